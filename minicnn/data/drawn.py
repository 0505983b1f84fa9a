"""Labelled pictures that need no download: they are drawn here, each from its number alone.

    shapes   10 classes, 64 x 64, colours: five shapes on a cloudy ground, five textures that fill
             the picture at any angle and scale; shading, blur and grain as of a photograph
    digits   10 classes, 28 x 28, light on dark: the digits of Pillow's font, turned, sheared,
             thick and thin, moved

Every picture comes from the generator [seed, split, class, number], so that a longer set begins
with the pictures of a shorter one.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SPLITS = ("train", "val")
SIDE = {"shapes": 64, "digits": 28}
CLASSES = {
    "shapes": (
        "disc", "ring", "square", "triangle", "cross",
        "stripes", "waves", "checks", "dots", "grain",
    ),
    "digits": tuple("0123456789"),
}  # fmt: skip
FINE = 2  # points drawn along a pixel, to soften edges


def png(kind, split, label, number, seed=0, side=None):
    """Return one picture as the bytes of a PNG file.

    Parameters
    ----------
    kind : {"shapes", "digits"}
    split : {"train", "val"}
    label : int
        Number of the class in `CLASSES[kind]`.
    number, seed : int
    side : int, optional
        Pixels, of another size than `SIDE`: the same things larger, with finer grain.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), label, number])
    draw = {"shapes": _shape_or_texture, "digits": _digit}[kind]
    file = io.BytesIO()
    Image.fromarray(draw(label, rng, side or SIDE[kind])).save(file, "PNG")
    return file.getvalue()


def labelled(kind: str, split: str, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` pictures of each class, uint8 (N, H, W, 3), and their labels (N,).

    >>> pictures, labels = labelled("digits", "train", 2)
    >>> pictures.shape, labels[:5].tolist()
    ((20, 28, 28, 3), [0, 0, 1, 1, 2])
    """
    labels = np.repeat(np.arange(len(CLASSES[kind])), count)
    files = (png(kind, split, int(k), i % count, seed) for i, k in enumerate(labels))
    return np.stack([np.asarray(Image.open(io.BytesIO(f)).convert("RGB")) for f in files]), labels


# distance of (x, y) from the edge of a shape of size 1: negative inside
EDGES = {
    "disc": lambda x, y: np.hypot(x, y) - 0.9,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.18,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.75,
    "triangle": lambda x, y: np.maximum(0.87 * np.abs(x) + 0.5 * y, -y) - 0.5,
    "cross": lambda x, y: np.maximum(
        np.maximum(np.abs(x), np.abs(y)) - 0.9, np.minimum(np.abs(x), np.abs(y)) - 0.27
    ),
}


def _bent(x, y, rng):
    return np.sin(x + rng.uniform(1, 2) * np.sin(y / rng.uniform(1.5, 2.5)))


# how much of the second colour is at (x, y), about -1 to 1; a period is 2 pi
TEXTURES = {
    "stripes": lambda x, y, rng: np.sin(x),
    "waves": _bent,
    "checks": lambda x, y, rng: 4 * np.sin(x / 1.4) * np.sin(y / 1.4),
    "dots": lambda x, y, rng: 4 * (np.cos(x) + np.cos(y) - rng.uniform(0.5, 1.1)),
}


def _clouds(across, rng, wavenumbers):
    """Return the sum of waves of random directions and phases, of standard deviation 1.

    Strength is one over wavenumber. At the points `across` of both axes, (len, len): a wave is a
    product of rows and columns.
    """
    directions, phases = rng.uniform(0, 2 * np.pi, (2, len(wavenumbers)))
    rows = np.exp(1j * np.outer(across, wavenumbers * np.sin(directions)))
    columns = np.exp(1j * (np.outer(wavenumbers * np.cos(directions), across) + phases[:, None]))
    total = ((rows / wavenumbers) @ columns).real
    return total / np.sqrt((wavenumbers**-2.0).sum() / 2)


def _shape_or_texture(label, rng, side):
    name = CLASSES["shapes"][label]
    across = np.linspace(-1, 1, FINE * side, endpoint=False)
    y, x = np.meshgrid(across, across, indexing="ij")
    first, second = _two_colours(rng)
    light = _clouds(across, rng, rng.uniform(1, 3, 4))[..., None]
    ground = first + 9 * light
    if name in EDGES:
        size, (left, top) = rng.uniform(0.4, 0.75), rng.uniform(-0.3, 0.3, 2)
        u, v = _turned(x - left, y - top, rng.uniform(-0.35, 0.35))
        cover = EDGES[name](u / size, v / size) < 0
        # a shape is lit from one side, and the ground has clouds
        shaded = second + 40 * _turned(u, v, rng.uniform(0, 2 * np.pi))[0][..., None]
        ground += rng.uniform(4, 16) * _clouds(across, rng, rng.uniform(5, 25, 24))[..., None]
        rgb = np.where(cover[..., None], shaded, ground)
    else:
        u, v = _turned(x, y, rng.uniform(0, np.pi))
        periods = SIDE["shapes"] / np.exp(rng.uniform(np.log(6), np.log(18)))
        scale = np.pi * periods  # `across` is 2 long
        shift = rng.uniform(0, 2 * np.pi, 2)
        if name == "grain":
            share = _clouds(across * scale, rng, np.ones(40))
        else:
            share = TEXTURES[name](u * scale + shift[0], v * scale + shift[1], rng)
        share = np.clip(0.5 + rng.uniform(0.5, 1.5) * share, 0, 1)[..., None]
        rgb = ground + share * (second - first)
    rgb = rgb.reshape(side, FINE, side, FINE, 3).mean(axis=(1, 3))
    rgb = np.clip(rgb + rng.normal(0, rng.uniform(2, 9), (side, side, 3)), 0, 255)
    blurred = Image.fromarray(rgb.round().astype(np.uint8))
    return np.asarray(blurred.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8))))


def _turned(x, y, angle):
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _two_colours(rng):
    """Return two colours (3,) whose lightness differs by a quarter of white at least."""
    while True:
        first, second = rng.uniform(30, 225, (2, 3))
        if abs((first - second) @ (0.3, 0.59, 0.11)) > 64:
            return first, second


def _digit(label, rng, side):
    large = 112
    font = ImageFont.load_default(rng.integers(76, 100))
    canvas = Image.new("L", (large, large))
    draw = ImageDraw.Draw(canvas)
    place, thick = (large / 2, large / 2), int(rng.integers(0, 4))
    draw.text(place, str(label), fill=255, font=font, anchor="mm", stroke_width=thick)
    turn, shear = rng.uniform(-0.3, 0.3), rng.uniform(-0.25, 0.25)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix = matrix @ [[1, shear], [0, 1]] * rng.uniform(0.8, 1.1)
    shift = large / 2 - matrix @ (large / 2 + rng.uniform(-8, 8, 2))
    affine = [*matrix[0], shift[0], *matrix[1], shift[1]]
    canvas = canvas.transform(canvas.size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    small = np.asarray(canvas.resize((side, side), Image.Resampling.BOX), float)
    small = small * rng.uniform(0.7, 1) + rng.normal(0, 8, small.shape)
    return np.clip(small, 0, 255).round().astype(np.uint8)
