"""Training, evaluation, scans and `classify` see the same pixels of the same file, of any kind."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from picture_files import planar_tiff, png, tiff
from PIL import Image, features

from minicnn.data.datasets import open_dataset
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.classes import classify
from minicnn.pictures.arrays import centre, preprocess
from minicnn.pictures.reader import load_image
from minicnn.runs.inputs import Reader

ROWS, COLUMNS = 8, 12
PIXELS = {"channel_order": "RGB", "mean": [0, 0, 0], "std": [1, 1, 1], "scale": 1}
RNG = np.random.default_rng(2)
COLOURS = RNG.integers(0, 256, (ROWS, COLUMNS, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (ROWS, COLUMNS), np.uint8)
DEEP = RNG.integers(0, 65536, (ROWS, COLUMNS, 4)).astype(np.uint16)
RGB = Image.fromarray(COLOURS)
RGBA = Image.fromarray(np.dstack([COLOURS, ALPHA]))
PALETTE = RGB.quantize(16)
EXIF = [Image.Exif() for _ in range(9)]
for _turn, _exif in enumerate(EXIF):
    _exif[274] = _turn


def saved(image, suffix, **options):
    """Return what writes a picture of Pillow's to a path without suffix."""
    return suffix, lambda path: image.save(path, **options)


def by_hand(write, samples, suffix, *options, **more):
    return suffix, lambda path: write(path, samples, *options, **more)


LA = RGBA.convert("LA")
READ = {
    **{f"rgb{s}": saved(RGB, s) for s in (".png", ".bmp", ".ppm", ".tga", ".pcx", ".sgi", ".gif")},
    **{f"jpeg{s}": saved(RGB, s, format="JPEG") for s in (".jpg", ".jpeg", ".jfif", ".JPG")},
    **{f"grey{s}": saved(RGB.convert("L"), s) for s in (".png", ".jpg", ".pgm", ".tif", ".webp")},
    **{f"one-bit{s}": saved(RGB.convert("1"), s) for s in (".png", ".pbm", ".bmp", ".tif", ".gif")},
    **{f"palette{s}": saved(PALETTE, s) for s in (".png", ".gif", ".bmp", ".tif")},
    **{f"clear-palette{s}": saved(PALETTE, s, transparency=0) for s in (".png", ".gif")},
    **{f"alpha{s}": saved(RGBA, s) for s in (".png", ".tif", ".tga", ".ico")},
    "alpha.webp": saved(RGBA, ".webp", lossless=True),
    "grey-alpha.png": saved(LA, ".png"),
    "clear-colour.png": saved(RGB, ".png", transparency=tuple(COLOURS[0, 0].tolist())),
    "lossy.webp": saved(RGB, ".webp"),
    "progressive.jpg": saved(RGB, ".jpg", progressive=True),
    "cmyk.jpg": saved(RGB.convert("CMYK"), ".jpg"),
    "cmyk.tif": saved(RGB.convert("CMYK"), ".tif"),
    "ycbcr.tif": saved(RGB.convert("YCbCr"), ".tif"),
    "white-is-0.tif": saved(RGB.convert("L"), ".tif", tiffinfo={262: 0}),
    **{f"{c}.tif": saved(RGB, ".tif", compression=c) for c in ("tiff_lzw", "packbits", "jpeg")},
    "group4.tif": saved(RGB.convert("1"), ".tif", compression="group4"),
    **{f"turned-{n}.jpg": saved(RGB, ".jpg", exif=EXIF[n]) for n in range(1, 9)},
    **{f"turned-6{s}": saved(RGB, s, exif=EXIF[6]) for s in (".png", ".tif", ".webp")},
    **{
        f"frames{s}": saved(RGB, s, save_all=True, append_images=[RGB.rotate(180)])
        for s in (".gif", ".png", ".tif", ".webp")
    },
    "grey16.png": by_hand(png, DEEP[..., 0], ".png", 0),
    "grey16-alpha.png": by_hand(png, DEEP[..., :2], ".png", 4),
    "rgb16.png": by_hand(png, DEEP[..., :3], ".png", 2),
    "rgba16.png": by_hand(png, DEEP, ".png", 6),
    "grey16.tif": by_hand(tiff, DEEP[..., 0], ".tif"),
    "grey16-big-endian.tif": by_hand(tiff, DEEP[..., 0], ".tif", ">"),
    "grey16-white-is-0.tif": by_hand(tiff, DEEP[..., 0], ".tif", photometric=0),
    "rgb16.tif": by_hand(tiff, DEEP[..., :3], ".tif", deflate=True),
    "planar16.tif": by_hand(planar_tiff, DEEP[..., :3], ".tif", deflate=True),
}
if features.check("avif"):
    READ["rgb.avif"] = saved(RGB, ".avif")
if features.check("jpg_2000"):
    READ["rgb.jp2"] = saved(RGB, ".jp2")
REFUSED = {
    "drawing.eps": saved(RGB, ".eps"),
    "float.tif": saved(Image.fromarray(np.ones((4, 4), np.float32)), ".tif"),
    "int32.tif": saved(Image.fromarray(np.ones((4, 4), np.int32)), ".tif"),
    "planar16-raw.tif": by_hand(planar_tiff, DEEP[..., :3], ".tif"),
}


def written(tmp_path, kind):
    """Return (folder of class folders, file in it, HDF5 file) of one picture."""
    suffix, write = kind
    folder = tmp_path / "data"
    file = folder / "train" / "thing" / f"x{suffix}"
    file.parent.mkdir(parents=True)
    write(file)
    encoded = file.read_bytes()
    with h5py.File(tmp_path / "data.h5", "w") as packed:
        packed["train/bytes"] = np.frombuffer(encoded, np.uint8)
        packed["train/offset"] = [0, len(encoded)]
        packed["train/label"] = [0]
        packed.attrs["class_names"] = ["thing"]
    return folder, file, tmp_path / "data.h5"


@pytest.mark.parametrize("name", READ)
def test_all_see_the_same_pixels(tmp_path, name):
    folder, file, packed = written(tmp_path, READ[name])
    rgb = load_image(file).pixels
    whole = [Reader({"image": file}).read("image")]
    squares = []
    for path in (folder, packed):
        for pictures in (open_dataset(path, "train"), PictureSet(path, "train")):
            assert len(pictures) == 1
            whole.append(pictures.picture(0))
        squares += [open_dataset(path, "train").pictures(8)[0], pictures.picture(0, 8)]
    for pixels in whole:
        np.testing.assert_array_equal(pixels, rgb)
    for pixels in squares:
        np.testing.assert_array_equal(pixels, centre(rgb, 8))
    seen = {}
    net = SimpleNamespace(input_shape=(3, 8, 8), attrs={"preprocess": PIXELS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "class_scores", lambda net, evaluator, x: seen.update(x=x) or [0])
        patch.setattr(classify, "ranking", lambda *_: [])
        classify.classify(net, None, file)
    np.testing.assert_array_equal(seen["x"], preprocess(centre(rgb, 8), PIXELS))


def test_there_are_sixty_kinds():
    assert len(READ) >= 60


@pytest.mark.parametrize("name", REFUSED)
def test_all_refuse_the_same_files(tmp_path, name):
    folder, file, packed = written(tmp_path, REFUSED[name])
    for refused in (
        lambda: load_image(file),
        lambda: open_dataset(packed, "train").picture(0),
        lambda: PictureSet(packed, "train").picture(0),
        lambda: open_dataset(folder, "train").picture(0),
    ):
        with pytest.raises(MinicnnError, match=r"cannot use|no pictures") as error:
            refused()
        assert "\n" not in str(error.value)
