"""Draw the two pictures of `minicnn demo`: a mountain lake (content) and a painting (style).

Nothing is photographed or copied; both follow from one seed.
Landscape: heights of the ground are noise on a grid of columns u = x/z and distances z (metres);
for each pixel the nearest ground that rises above its line of sight is looked up, once from the
eye and once from the eye's mirror image under the water, which gives the reflections.
Painting: thousands of strokes follow a current with whirls; each is splatted bristle by bristle
into a colour and a height map, and the height map is lit from the upper left like thick paint.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SUPERSAMPLING = 3
ASPECT = 3 / 4
EYE, HORIZON = 12.0, 0.57  # metres above the lake; fraction of the picture's height
SUN = (-0.15, 0.135)  # u to the right and v up, as tangents from the middle of the horizon
MARGIN = 0.25  # columns left of the picture, so that mountains outside cast shadows into it
FAR_PEAKS = (
    (1100, 10500, 3300, 4300),
    (-1500, 13500, 1900, 3800),
    (3300, 10000, 2100, 3000),
    (-4600, 11000, 2300, 3600),
    (5600, 11500, 2700, 4200),
)  # x, z, height, radius
MID_PEAKS = ((-2500, 4400, 1250, 1900), (2700, 4900, 1000, 1700), (-3300, 6500, 1300, 1800))
FIRS = (
    (-24, 60, 27),
    (-19.5, 50, 25),
    (-15, 44, 15),
    (-22, 45, 30),
    (-12.2, 41, 9),
    (-17, 38, 12),
    (-9, 46, 6),
)  # x, z, height of those on the near bank

COOL = (
    np.array(
        [
            (14, 16, 44),
            (26, 32, 104),
            (32, 74, 164),
            (30, 128, 156),
            (118, 190, 182),
            (226, 232, 206),
        ],
        np.float32,
    )
    / 255
)
WARM = (
    np.array(
        [
            (84, 26, 30),
            (182, 62, 26),
            (226, 128, 34),
            (240, 186, 78),
            (250, 226, 158),
            (252, 243, 216),
        ],
        np.float32,
    )
    / 255
)
WHIRLS = (
    (0.66, 0.33, 0.17, 1.0),
    (0.23, 0.19, 0.11, -0.8),
    (0.28, 0.59, 0.12, 0.7),
    (0.93, 0.62, 0.09, -0.7),
    (0.92, 0.09, 0.06, 0.6),
)  # x, y, radius, spin
# number of strokes, length, breadth (picture widths), scatter of tone, thickness of the paint
LAYERS = (
    (1500, 0.19, 0.028, 0.08, 0.8),
    (3600, 0.13, 0.016, 0.13, 1.1),
    (3600, 0.085, 0.009, 0.18, 1.1),
    (2600, 0.05, 0.0055, 0.28, 1.2),
)


def mix(a, b, t):
    """Blend a (where t is 0) into b (where t is 1); t has no colour axis if a or b is a colour."""
    a, b, t = (np.asarray(v, np.float32) for v in (a, b, t))
    return a + (b - a) * (t[..., None] if 3 in (*a.shape[-1:], *b.shape[-1:]) else t)


def step(lo, hi, x):
    """Go smoothly from 0 at lo to 1 at hi."""
    t = np.clip((x - lo) / (hi - lo), 0, 1)
    return t * t * (3 - 2 * t)


class Noise:
    """Smooth random functions of the plane: splines on one random lattice."""

    def __init__(self, rng):
        self.lattice = rng.uniform(-2.6, 2.6, (256, 256)).astype(np.float32)

    def __call__(self, x, y):
        """Noise of wavelength about 2, mostly within -1..1."""
        at = np.stack(np.broadcast_arrays(y, x))
        return ndimage.map_coordinates(self.lattice, at, order=3, mode="grid-wrap", prefilter=False)

    def fbm(self, x, y, octaves, gain=0.5, ridged=False):
        """Sum of octaves, each twice as fine; ridged: sharp crests and quiet valleys, 0..1."""
        total, amplitude, weight = 0.0, 1 - gain, 1.0
        for _ in range(octaves):
            n = self(x, y)
            if ridged:
                n = (1 - np.abs(n).clip(0, 1)) ** 2 * weight
                weight = np.clip(n * 1.6, 0, 1)
            total = total + amplitude * n
            amplitude *= gain
            # turned by a 3-4-5 triangle's angle so that the lattices never line up
            x, y = 1.6 * x - 1.2 * y + 17.3, 1.2 * x + 1.6 * y + 5.1
        return total


def mountains(noise, x, z):
    """Heights (metres) of the two distant ranges: tents roughened by ridges."""
    wx = x + 350 * noise(x / 2100, z / 2100 + 9) + 60 * noise(x / 500, z / 500)
    wz = z + 350 * noise(x / 2100 + 40, z / 2100) + 60 * noise(x / 500 + 9, z / 500)
    crest = noise.fbm(wx / 2300, wz / 2300 + 3.7, 9, ridged=True)
    crag = noise.fbm(wx / 620, wz / 620 + 8, 8, 0.58)
    far, mid = (
        np.maximum.reduce(
            [h * np.clip(1 - np.hypot(wx - px, wz - pz) / r, 0, 1) ** 1.1 for px, pz, h, r in peaks]
        )
        for peaks in (FAR_PEAKS, MID_PEAKS)
    )
    far = far * (0.62 + 0.62 * crest + 0.13 * crag) * step(4500, 8500, z)
    mid = mid * (0.50 + 0.75 * crest + 0.12 * crag) * step(1300, 2800, z)
    return np.maximum(far, mid) - 60


def shores(noise, x, z):
    """Heights (metres) of the far hills, the point with the cabin and the near bank."""
    shore = 640 + 300 * noise(x / 330, 3.3) + 80 * noise(x / 60, 1.3) - 0.25 * np.abs(x)
    hill = 25 + 60 * noise.fbm(x / 600, z / 600, 5) + 0.05 * np.abs(x)
    hill = np.clip((z - shore) * 0.09, -8, np.maximum(hill, 4))
    point = 1 - np.hypot((x - 36) / 34, (z - 94) / 15) + 0.12 * noise.fbm(x / 6, z / 6, 3)
    bank = (-x - 3 + 1.5 * noise(x / 7, z / 7)) * 0.42 * step(66, 36, z) - 0.6
    bank = np.minimum(bank + 0.5 * noise.fbm(x / 3, z / 3, 3) * step(90, 60, z), 7)
    rough = 0.3 * noise.fbm(x / 4, z / 4, 4)
    return np.maximum(hill, np.maximum(2.4 * np.tanh(2.5 * point), bank) + rough)


def forest(noise, x, z, ground):
    """Canopy heights (one cone per cell of a jittered grid) and the wooded share, 0..1."""
    i, j = np.floor(x / 7).astype(np.int32), np.floor(z / 7).astype(np.int32)
    dice = [
        noise.lattice[(7 * i + k) & 255, (3 * j + i // 37 + 5 * k) & 255] / 5.2 + 0.5
        for k in range(4)
    ]
    d = np.hypot(x / 7 - i - 0.3 - 0.4 * dice[0], z / 7 - j - 0.3 - 0.4 * dice[1])
    share = step(0.1, -0.25, 0.8 * noise.fbm(x / 420, z / 420, 4) + (ground - 330) / 330)
    share = share * step(1, 6, ground) * step(300, 500, z)
    return (7 + 11 * dice[2]) * (dice[3] < share) * np.clip(1.05 - 1.6 * d, 0, 1), share


def sky(noise, u, v):
    """Colours of the evening sky in direction u, v: glow, two-sided clouds, sun."""
    v = np.maximum(v, 0)
    glow = np.exp(-3.8 * np.hypot((u - SUN[0]) * 0.8, v - SUN[1]))
    c = mix((0.95, 0.55, 0.38), (0.62, 0.58, 0.64), step(0.03, 0.19, v))
    c = mix(c, (0.26, 0.43, 0.66), step(0.10, 0.27, v))
    c = mix(c, (0.07, 0.18, 0.42), step(0.22, 0.46, v))
    c = mix(c, (1.15, 0.66, 0.25), np.clip(1.1 * glow, 0, 0.95))
    z, sun_z = 1 / (v + 0.09), 1 / (SUN[1] + 0.09)  # the clouds lie on a plane overhead
    x, sun_x = u * z, SUN[0] * sun_z
    wx, wz = x + 0.5 * noise(x * 0.7, z * 0.7), z + 0.5 * noise(x * 0.7 + 31, z * 0.7)
    away = (np.hypot(sun_x - x, sun_z - z) + 0.3) / 0.14
    dense, sunward = (
        noise.fbm(0.9 * (wx + dx) + 2, 1.3 * (wz + dz) + 1.7, 7, 0.55)
        for dx, dz in ((0, 0), ((sun_x - x) / away, (sun_z - z) / away))
    )
    lit = np.clip(0.55 + 1.7 * (dense - sunward) - 0.35 * dense, 0, 1)
    near = np.clip(2.2 * glow, 0, 1)
    cloud = mix(
        mix((0.28, 0.28, 0.44), (0.62, 0.36, 0.36), near),
        mix((1.10, 0.68, 0.52), (1.50, 0.98, 0.50), near),
        lit,
    )
    c = mix(c, cloud, 0.9 * step(-0.15, 0.42, dense + 0.2) * step(0, 0.06, v))
    disk = np.hypot(u - SUN[0], v - SUN[1])
    c = c + np.exp(-disk / 0.05)[..., None] * np.array([1.3, 1.0, 0.6], np.float32)
    return mix(c, (3.0, 2.7, 2.0), step(0.0145, 0.0125, disk))


def shaded_ground(noise, u, x, z, ground, canopy, share):
    """Colours of the ground: material, evening light from the left with shadows, air."""
    dz, du = np.gradient(ground, np.log(z[:, 0]), u)
    sx, sz = du / z, (dz - u * du) / z
    n = np.sqrt(1 + sx * sx + sz * sz)
    ray = np.maximum(ground + canopy, 0) + 0.3 * x  # height over a sunbeam falling to the right
    shadow = np.exp((ray - np.maximum.accumulate(ray, axis=1)) / (4 + 0.004 * z))
    light = np.clip((0.80 * sx + 0.34 + 0.30 * sz) / (0.92 * n), 0, 1) * shadow
    rough = noise.fbm(x / 14, z / 14, 5)
    rock = mix(
        (0.20, 0.19, 0.21), (0.36, 0.32, 0.31), step(-0.5, 0.5, noise.fbm(x / 90, z / 90, 4))
    )
    c = mix(
        mix((0.17, 0.21, 0.09), (0.40, 0.36, 0.16), step(-0.5, 0.5, rough)),
        rock,
        np.maximum(
            step(250, 600, ground + 130 * noise(x / 200, z / 200)),
            step(0.5, 0.0, ground + 0.4 * rough) * step(200, 150, z),
        ),
    )
    snow = step(-250, 0, ground - 1100 + 500 * noise.fbm(x / 500, z / 500, 6))
    snow *= step(0.44, 0.34, 1 - 1 / n + 0.08 * noise.fbm(x / 120, z / 120, 4))
    c = mix(c, (0.93, 0.93, 0.95), snow)
    c = mix(c, mix((0.04, 0.08, 0.07), (0.19, 0.23, 0.11), canopy / 18), share * step(150, 300, z))
    c = c * mix((0.30, 0.40, 0.60), (3.25, 2.05, 1.45), light)
    haze = mix((0.60, 0.62, 0.74), (1.1, 0.74, 0.45), np.exp(-3 * np.abs(u - SUN[0])))
    mist = 0.75 * step(500, 2500, z) * np.exp(-np.maximum(ground, 0) / 110)
    return mix(c, haze[None], 1 - np.exp(-z / 17000 - mist))


def look(eye, u, v, z, top, colours, background):
    """Picture seen from a height; also the row of the grid behind each pixel (len(z): sky)."""
    rise = np.maximum.accumulate((top - eye) / z, axis=0)
    row = np.stack([np.searchsorted(rise[:, k], v[::-1])[::-1] for k in range(len(u))], axis=1)
    seen = colours[np.minimum(row, len(z) - 1), np.arange(len(u))]
    return np.where((row < len(z))[..., None], seen, background), row


def water(noise, u, v, near, far):
    """Colours of the lake; near and far are mirror pictures with and without the point."""
    v = np.minimum(v[:, None], -1e-4)
    z = np.minimum(EYE / -v, 3000)
    x = u * z
    wave = noise.fbm(x / 3, z / 1.1, 4, 0.6)
    wind = step(-0.4, 0.5, noise.fbm(x / 60, z / 25, 3))
    swing = (0.004 + 0.016 * wind) * np.clip(-v / 0.12, 0.12, 1.2)
    width = len(u) / (1 + MARGIN)
    row = width * (ASPECT * HORIZON - np.maximum(swing * wave - v, 0)) - 0.5
    column = (u + 0.25 * swing * noise.fbm(x / 3 + 50, z / 1.1, 3) + 0.5 + MARGIN) * width - 0.5
    mirrored = [
        np.stack(
            [
                ndimage.map_coordinates(m[..., k], [row, column], order=1, mode="nearest")
                for k in range(3)
            ],
            axis=-1,
        )
        for m in (near, far)
    ]
    shine = 0.42 + 0.5 * step(0.28, 0, -v) - 0.08 * wave * wind
    c = mix((0.02, 0.09, 0.13), mix(*mirrored, step(93, 95, z + 0 * u)), shine)
    glint = np.exp(-(((u - SUN[0]) / (0.02 - 0.12 * v)) ** 2)) * step(0.05, 0.6, wave)
    return c + glint[..., None] * np.array([0.9, 0.6, 0.3], np.float32)


def ink(colour):
    """Convert 0..1 to what Pillow draws with."""
    return tuple(int(c) for c in np.clip(np.multiply(colour, 255), 0, 255))


class Camera:
    """Draws flat-coloured polygons and lines, given in metres, on a transparent canvas."""

    def __init__(self, width, eye, rng):
        self.width, self.eye, self.rng = width, eye, rng
        self.canvas = Image.new("RGBA", (width, int(width * ASPECT)))
        self.draw = ImageDraw.Draw(self.canvas)

    def at(self, p):
        """Pixel of a point x, y (up), z (ahead)."""
        x, y, z = p
        return (x / z + 0.5) * self.width, (ASPECT * HORIZON - (y - self.eye) / z) * self.width

    def line(self, start, end, colour, thick=1):
        """Draw between two pixels."""
        self.draw.line([start, end], fill=ink(colour), width=max(1, round(thick)))

    def boards(self, corners, rows, columns, colour, jitter=0.12):
        """Draw a quadrilateral (from its top left, clockwise) as planks of uneven colour."""
        a, b, c, d = (np.array(p, float) for p in corners)
        for i, j in np.ndindex(rows, columns):
            cell = [
                (1 - s) * ((1 - t) * a + t * b) + s * ((1 - t) * d + t * c)
                for s, t in (
                    (i / rows, j / columns),
                    (i / rows, (j + 1) / columns),
                    ((i + 1) / rows, (j + 1) / columns),
                    ((i + 1) / rows, j / columns),
                )
            ]
            shade = np.multiply(colour, 1 + jitter * self.rng.uniform(-1, 1))
            self.draw.polygon([self.at(p) for p in cell], fill=ink(shade))


def fir(cam, x, y, z, tall):
    """Draw a conifer: rings of drooping branches, each a fringe of needles, lit from the sun."""
    rng, (x0, y0), h = cam.rng, cam.at((x, y, z)), tall / z * cam.width
    cam.line((x0, y0), (x0, y0 - 0.9 * h), (0.05, 0.05, 0.05), h / 32)
    lean, sunny = 0.012 * rng.normal() * h, np.sign(SUN[0] - x / z)
    for t in np.linspace(0.05, 0.995, int(np.clip(h / 5, 12, 85))):
        reach = h * (0.27 * (1 - t) ** 0.9 * rng.uniform(0.5, 1.15) * min(1, t / 0.12) + 0.006)
        for side in rng.permutation(np.linspace(-1, 1, 7)) + rng.normal(0, 0.12, 7):
            droop = reach * (0.55 - 0.25 * abs(side) + 0.16 * rng.random())
            shade = np.clip(0.25 + side * sunny, 0, 1) ** 1.5 * rng.uniform(0.3, 1.1)
            count = int(np.clip(reach / 5, 2, 18))
            for f in np.arange(1, count + 1) / count:
                px, py = x0 + lean * t + side * reach * f, y0 - h * t + droop * f**1.4
                m = (0.014 * h + cam.width / 700) * rng.uniform(0.6, 1.5)
                colour = mix(
                    (0.02, 0.045, 0.055), (0.52, 0.38, 0.17), shade * f * rng.uniform(0.4, 1.2)
                )
                cam.line(
                    (px - side * m * 0.4, py - m * 0.3),
                    (px + side * m, py + m * rng.uniform(0.5, 1.1)),
                    colour,
                    1 + (h > 300),
                )


def cabin(cam, x, y, z):
    """Draw a red house of boards on stone, its gable to the light, and its lamps lit."""

    def p(a, b, up):  # a: along the ridge, b: towards the viewer
        return x + 0.85 * a + 0.52 * b, y + up, z + 0.52 * a - 0.85 * b

    def front(a0, a1, top, foot):
        return p(a0, 3.4, top), p(a1, 3.4, top), p(a1, 3.4, foot), p(a0, 3.4, foot)

    def side(b0, b1, top, foot, a=-5.2):
        return p(a, b0, top), p(a, b1, top), p(a, b1, foot), p(a, b0, foot)

    def window(wall, start, foot, size):
        cam.boards(wall(start - 0.15, start + size + 0.15, foot + 1.4, foot - 0.15), 1, 1, cream)
        cam.boards(wall(start, start + size, foot + 1.25, foot), 1, 1, (0.60, 0.40, 0.22))
        for k in range(2):
            pane = start + (0.03 + 0.5 * k) * size
            cam.boards(
                wall(pane, pane + 0.44 * size, foot + 1.22, foot + 0.03),
                2,
                1,
                (1.0, 0.80, 0.36),
                0.1,
            )

    cream, red, sunny_red = (0.93, 0.84, 0.70), (0.36, 0.09, 0.08), (0.72, 0.22, 0.12)
    shadow = p(-6, 4, -0.2), p(8, 5, -0.2), p(11, -2, 0), p(5, -4, 0)
    cam.draw.polygon([cam.at(q) for q in shadow], fill=(18, 22, 20, 120))
    cam.boards(
        (p(1.2, -0.5, 8), p(2.2, -0.5, 8), p(2.2, -0.5, 4), p(1.2, -0.5, 4)),
        9,
        3,
        (0.40, 0.26, 0.22),
        0.25,
    )
    cam.boards(side(-1.3, -0.5, 8, 4, 1.2), 9, 2, (0.70, 0.42, 0.30), 0.25)
    for b in np.linspace(-3.4, 3.4, 14)[:-1]:
        b1 = b + 6.8 / 13
        peak, peak1 = 6.6 - 0.97 * abs(b), 6.6 - 0.97 * abs(b1)
        cam.boards(
            (p(-5.2, b, peak), p(-5.2, b1, peak1), p(-5.2, b1, 0), p(-5.2, b, 0)), 1, 1, sunny_red
        )
    cam.boards(front(-5.2, 5.2, 3.3, 0), 1, 22, red)
    cam.boards(front(-5.2, 5.2, 0.1, -1.2), 3, 12, (0.24, 0.23, 0.25), 0.3)
    cam.boards(side(-3.4, 3.4, 0.1, -1.2), 3, 9, (0.56, 0.48, 0.42), 0.3)
    for start in (-3.6, 0.9, 3.1):
        window(front, start, 1.0, 1.4)
    cam.boards(front(-1.7, -0.1, 2.5, 0), 1, 1, cream)
    cam.boards(front(-1.5, -0.3, 2.3, 0), 1, 4, (0.14, 0.27, 0.25))
    window(side, -0.8, 1.0, 1.6)
    window(side, -0.6, 3.6, 1.2)
    cam.boards(
        (p(-5.8, 0, 6.75), p(5.8, 0, 6.75), p(5.8, 3.9, 2.95), p(-5.8, 3.9, 2.95)),
        9,
        22,
        (0.32, 0.24, 0.26),
        0.22,
    )
    for b in (-3.9, 3.9):
        cam.boards(
            (p(-5.8, 0, 6.85), p(-5.8, 0, 6.4), p(-5.8, b, 2.6), p(-5.8, b, 3.05)),
            1,
            1,
            (1.0, 0.86, 0.66),
        )


def jetty(cam):
    """Draw planks on posts leading from the point out over the water."""
    for k in range(16):
        x = 12.2 - 0.75 * k
        for z in (77.2, 79.2) if k % 3 == 0 else ():
            cam.line(cam.at((x, -0.5, z)), cam.at((x, 1.1, z)), (0.12, 0.10, 0.10), cam.width / 400)
        for far, y, colour in ((79.4, 0.9, (0.66, 0.48, 0.36)), (77, 0.6, (0.2, 0.15, 0.14))):
            cam.boards(
                (
                    (x - 0.75, 0.9 if far > 78 else y + 0.3, far),
                    (x, 0.9, far),
                    (x, y, 77),
                    (x - 0.75, y, 77),
                ),
                1,
                2,
                colour,
                0.2,
            )


def grass(cam, x, y, z):
    """Draw one blade, dark or catching the light."""
    a, b = cam.at((x, y - 0.1, z))
    tall = cam.rng.uniform(0.12, 0.2 + 0.5 * cam.rng.random() ** 2) / z * cam.width
    colour = mix((0.05, 0.08, 0.05), (0.60, 0.46, 0.18), cam.rng.random() ** 3)
    cam.line((a, b), (a + 0.3 * tall * cam.rng.normal(), b - tall), colour, 1 + (z < 45))


def add_objects(picture, noise, eye, width, seed):
    """Draw trees, cabin, jetty and grass, far ones first; the mirror image lacks the near bank."""
    rng = np.random.default_rng(seed)
    cam = Camera(width, eye, rng)
    x, z, tall = rng.uniform((22, 88, 6), (62, 108, 17), (26, 3)).T
    clear = (z > 92) | (x > 32)  # of the cabin
    x, z, tall = np.concatenate([np.stack([x, z, tall])[:, clear], np.transpose(FIRS)], axis=1)
    gz = np.exp(rng.uniform(np.log(24), np.log(110), 22000))
    gx = rng.uniform(-0.55, 0.55, gz.size) * gz
    gy = shores(noise, gx, gz)
    things = [(89, cabin, (18.5, 2.5, 88)), (78, jetty, ())]
    things += [
        (a[1], fir, (a[0], y - 0.3, *a[1:]))
        for a, y in zip(zip(x, z, tall, strict=True), shores(noise, x, z), strict=True)
    ]
    things += [(p[2], grass, p) for p in zip(gx, gy, gz, strict=True) if p[1] > 0.15]
    for distance, draw, place in sorted(things, key=lambda thing: -thing[0]):
        if eye > 0 or distance > 70:
            draw(cam, *place)
    layer = np.asarray(cam.canvas, np.float32) / 255
    picture[:, -width:] = mix(picture[:, -width:], layer[..., :3], layer[..., 3])


def landscape(width, seed):
    """Colours (height, width, 3) in 0..1 of the mountain lake."""
    noise = Noise(np.random.default_rng(seed))
    u = ((np.arange(int(width * (1 + MARGIN))) + 0.5) / width - MARGIN - 0.5).astype(np.float32)
    v = (ASPECT * HORIZON - (np.arange(int(width * ASPECT)) + 0.5) / width).astype(np.float32)
    z = np.geomspace(24, 17000, width).astype(np.float32)[:, None]
    x = u * z
    ground, distant = shores(noise, x, z), z[:, 0] > 1300
    ground[distant] = np.maximum(ground[distant], mountains(noise, x[distant], z[distant]))
    canopy, share = forest(noise, x, z, ground)
    colours = shaded_ground(noise, u, x, z, ground, canopy, share)
    top, air = np.maximum(ground + canopy, 0), sky(noise, u[None], v[:, None])
    picture, row = look(EYE, u, v, z, top, colours, air)
    mirrored = (np.where((ground > 0) & (z > nearest), top, -1e6) for nearest in (65, 200))
    near, far = (look(-EYE, u, v, z, heights, colours, air)[0] for heights in mirrored)
    add_objects(near, noise, -EYE, width, seed)
    wet = (row < len(z)) & (ground[np.minimum(row, len(z) - 1), np.arange(len(u))] <= 0)
    picture = np.where(wet[..., None], water(noise, u, v, near, far), picture)
    add_objects(picture, noise, EYE, width, seed)
    picture = 1.15 * picture[:, -width:]
    picture = picture * (1 + picture / 4) / (0.65 + picture)  # highlights fade out, not clip
    picture = mix(picture, step(0, 1, picture), 0.35)
    return picture + 0.2 * (picture - picture.mean(axis=2, keepdims=True))


def ramp(paints, t):
    """Colour at t in 0..1 of a scale of paints."""
    t = np.clip(t, 0, 1) * (len(paints) - 1)
    i = np.minimum(t.astype(int), len(paints) - 2)
    return mix(paints[i], paints[i + 1], t - i)


def current(noise, x, y):
    """Direction of a wavy current with whirls that spiral inwards; length 1, less in their eyes."""
    e, slow = 1e-3, 1.0
    psi = [
        0.055 * noise(6 * a, 6 * b + 7) + 0.014 * noise(17 * a + 3, 17 * b)
        for a, b in ((x, y + e), (x, y - e), (x + e, y), (x - e, y))
    ]
    vx = 0.55 + (psi[0] - psi[1]) / (2 * e)
    vy = -0.22 + 0.45 * np.cos(5.5 * x + 1.2 * y + 0.6) - (psi[2] - psi[3]) / (2 * e)
    for cx, cy, size, spin in WHIRLS:
        dx, dy = (x - cx) / size, (y - cy) / size
        r = np.hypot(dx, dy) + 1e-6
        pull, sink = 4 * np.exp(-(r**1.5)) / r, 0.25 * abs(spin)
        vx, vy = vx - pull * (spin * dy + sink * dx), vy + pull * (spin * dx - sink * dy)
        slow = slow * np.clip(2.5 * r, 0.25, 1)  # long strokes would close into bull's-eyes
    n = (np.hypot(vx, vy) + 1e-6) / slow
    return vx / n, vy / n


class Field:
    """A function on the picture, sampled once on a grid."""

    def __init__(self, values):
        self.values, self.scale = values, values.shape[1] - 1

    def __call__(self, x, y):
        """Value at x, y in picture widths."""
        return ndimage.map_coordinates(
            self.values, [y * self.scale, x * self.scale], order=1, mode="nearest"
        )


def motif(noise):
    """Direction x and y, tone and warmth of the painting; colours drift along the current."""
    y0, x0 = np.mgrid[0:241, 0:321] / 320
    vx, vy = (Field(c) for c in current(noise, x0, y0))
    x, y = x0, y0
    for _ in range(45):
        x, y = x - 0.006 * vx(x, y), y - 0.006 * vy(x, y)
    tone, warmth = 0.6 * noise.fbm(11 * x, 11 * y, 5), noise.fbm(5 * x + 30, 5 * y, 4)
    tone = 0.40 + tone - 0.75 * ndimage.gaussian_filter(tone, 40)  # light beside dark everywhere
    warmth = warmth - ndimage.gaussian_filter(warmth, 80) - 0.1
    for cx, cy, size, _ in WHIRLS[::2]:
        warmth += 0.7 * np.exp(-((np.hypot(x0 - cx, y0 - cy) / (0.5 * size)) ** 2))
    return vx, vy, Field(tone), Field(warmth)


def along(points, s):
    """Interpolate (strokes, knots) linearly at s in 0..1."""
    at = s * (points.shape[1] - 1)
    j = np.minimum(at.astype(int), points.shape[1] - 2)
    return points[:, j] + (points[:, j + 1] - points[:, j]) * (at - j)


def paint_strokes(rng, colour, height, hair, field, count, layer):
    """Splat strokes into colour (H, W, 3) and height (H, W); later strokes cover earlier ones."""
    vx, vy, tone, warmth = field
    length, breadth, scatter, body = layer
    rows, width = height.shape
    s = np.linspace(0, 1, int(1.25 * length * width))
    t = np.linspace(-1, 1, int(1.4 * breadth * width))
    x, y = rng.uniform(-0.08, 1.05, count), rng.uniform(-0.05, ASPECT + 0.05, count)
    value = tone(x, y) + rng.normal(0, scatter, count)
    heat = step(-0.06, 0.06, warmth(x, y) + rng.normal(0, scatter, count))
    move = length / 16 * rng.uniform(0.5, 1, count) * np.exp(1j * rng.normal(0, 0.1, count))
    path = [x + 1j * y]  # complex numbers: a stroke's own slant is one multiplication
    for _ in range(16):
        x, y = path[-1].real, path[-1].imag
        path.append(path[-1] + move * (vx(x, y) + 1j * vy(x, y)))
    knots = np.stack(path, axis=1)
    across = 1j * np.gradient(knots, axis=1)
    across = along(across / np.abs(across), s)
    taper = 0.15 + 0.85 * np.minimum(1, (s / 0.1) ** 0.6) * np.minimum(1, ((1 - s) / 0.45) ** 0.7)
    half = 0.5 * breadth * rng.uniform(0.5, 1, (count, 1)) * taper
    at = (along(knots, s)[..., None] + (across * half)[..., None] * t) * width  # (count, s, t)
    ix, iy = at.real.astype(np.int32), at.imag.astype(np.int32)
    bristle = rng.integers(256, size=(count, 1, 1)) + ((t + 1) * t.size / 5.2).astype(int)
    travel = rng.integers(1024, size=(count, 1, 1)) + (s * s.size / 2).astype(int)[:, None]
    strand = hair[bristle % 256, travel % 1024]
    dry = 2.6 - 1.9 * s[:, None] ** 2 - 1.3 * np.abs(t) ** 3  # bristles lift at the end and sides
    on = (strand + dry > 0) & (ix >= 0) & (ix < width) & (iy >= 0) & (iy < rows)
    one, two = (
        mix(ramp(COOL, value + d), ramp(WARM, 0.8 * (value + d) + 0.25), heat) for d in (0, 0.24)
    )
    tint = rng.normal(1, 0.06, (count, 1, 1, 3))  # no two brushfuls are mixed alike
    blend = 0.25 + 0.22 * strand + 0.25 * t * rng.choice([-1, 1], (count, 1, 1))
    ridge = (0.6 + 0.22 * strand) * (1 - t**6) + 0.35 * np.exp(-(((np.abs(t) - 0.8) / 0.15) ** 2))
    ridge += 0.4 * np.exp(-(((s - 0.93) / 0.05) ** 2))[:, None]  # paint heaped where the brush left
    paint = mix(one[:, None, None], two[:, None, None], np.clip(blend, 0, 1)) * tint
    colour[iy[on], ix[on]] = paint[on]
    height[iy[on], ix[on]] = body * ridge[on]


def painting(width, seed):
    """Colours (height, width, 3) in 0..1 of the painting."""
    rng = np.random.default_rng(seed)
    field = motif(Noise(rng))
    height = np.zeros((int(width * ASPECT), width), np.float32)
    colour = np.full((*height.shape, 3), (0.10, 0.10, 0.22), np.float32)
    hair = ndimage.gaussian_filter(rng.normal(size=(256, 1024)), (1, 45), mode="wrap")
    hair = (hair / hair.std()).astype(np.float32)
    for count, *layer in LAYERS:
        for _ in range(count // 100):
            paint_strokes(rng, colour, height, hair, field, 100, layer)
    down, right = np.gradient(ndimage.gaussian_filter(height, SUPERSAMPLING / 3))
    slope = (down + right)[..., None] * SUPERSAMPLING
    return colour * (1 + 0.55 * np.clip(slope, -0.9, 1.2)) + 0.2 * np.clip(slope - 0.35, 0, 1)


def save(path, colours):
    """Shrink and write a JPEG."""
    image = Image.fromarray((np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8))
    image = image.reduce(SUPERSAMPLING)
    image.save(path, quality=92)
    print(f"{path}: {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB")


def main(argv=None):
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description="Draw content.jpg and style.jpg of the demo.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--width", type=int, default=512, help="pixels (default 512)")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, draw in (("content.jpg", landscape), ("style.jpg", painting)):
        save(args.output / name, draw(args.width * SUPERSAMPLING, args.seed))


if __name__ == "__main__":
    main()
