"""Small files that would take much memory or time: read in bounded memory, or refused at once."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
from picture_files import png, tiff
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.pictures import reader

MEASURE = """
import sys
from minicnn.pictures.reader import load_image

def most():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

load_image(sys.argv[1])
before = most()
pixels = load_image(sys.argv[2]).pixels
print((most() - before) / pixels[..., 0].size)
"""


def progressive(side, scans):
    """Return a progressive JPEG whose last scan is there so many times more."""
    file = io.BytesIO()
    Image.new("L", (side, side), 99).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    return data[:-2] + data[data.rfind(b"\xff\xda") : -2] * scans + data[-2:]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory was taken")
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_sixteen_bits_and_alpha_take_little_more_than_the_pixels(tmp_path, planes):
    samples = np.zeros((1500, 2000, planes), np.uint16)
    png(tmp_path / "large.png", samples, {1: 0, 2: 4, 4: 6}[planes])
    png(tmp_path / "small.png", samples[:9, :9], {1: 0, 2: 4, 4: 6}[planes])
    files = [str(tmp_path / name) for name in ("small.png", "large.png")]
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, *files], capture_output=True, text=True, check=True
    )
    assert float(told.stdout) < 4 + 3 + 3  # Pillow's, ours, and some strips


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    (tmp_path / "bomb.jpg").write_bytes(progressive(2000, 3000))
    with pytest.raises(MinicnnError, match=r"bomb.jpg': .* 2000 x 2000 pixels in 3,\d+ scans"):
        reader.load_image(tmp_path / "bomb.jpg")
    with pytest.raises(MinicnnError, match="scans takes too long"):
        reader.load_image("picture 3", encoded=progressive(2000, 3000))


@pytest.mark.parametrize("more", [b"", b"\xff\xd9" + b"\xff\xda\x00\x08" * 9000, b"\xff\xda\x00"])
def test_usual_jpegs_are_not(tmp_path, more):
    """Neither many scans of a few pixels, nor what stands behind the picture."""
    (tmp_path / "x.jpg").write_bytes(progressive(600, 20) + more)
    assert reader.load_image(tmp_path / "x.jpg").pixels[5, 5].tolist() == [99] * 3


@pytest.mark.parametrize(("suffix", "most"), [("png", 100), ("webp", 50)])
def test_kinds_that_take_more_have_a_smaller_limit(tmp_path, suffix, most):
    for name, width in (("fits", most // 5), ("large", most // 5 + 1)):
        Image.new("RGB", (width, 5)).save(tmp_path / f"{name}.{suffix}")
    assert not reader.load_image(tmp_path / f"fits.{suffix}", max_pixels=100).pixels.any()
    with pytest.raises(MinicnnError, match=f"the limit of {most} for {suffix.upper()}"):
        reader.load_image(tmp_path / f"large.{suffix}", max_pixels=100)


def test_too_little_memory_is_told_as_such(tmp_path, monkeypatch):
    def none_left(*_):
        raise MemoryError

    Image.new("RGB", (7, 5)).save(tmp_path / "x.png")
    monkeypatch.setattr(reader, "_rgb", none_left)
    with pytest.raises(MinicnnError, match=r"not enough memory to read '.*x.png' of 7 x 5 pixels"):
        reader.load_image(tmp_path / "x.png")


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate", "group4"])
def test_libtiff_says_nothing_by_itself(tmp_path, rng, capfd, compression):
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
    image = image.convert("1") if compression == "group4" else image
    image.save(tmp_path / "x.tif", compression=compression)
    data = bytearray((tmp_path / "x.tif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = rng.bytes(40)
    data[20:60] = rng.bytes(40)
    (tmp_path / "x.tif").write_bytes(data)
    with contextlib.suppress(MinicnnError):
        reader.load_image(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""


def test_pillow_logs_nothing(tmp_path):
    """In a process of its own: here the tests' handler takes what is logged."""
    tiff(tmp_path / "x.tif", np.zeros((4, 4, 8), np.uint16))
    program = f"from minicnn.pictures import load_image; load_image({str(tmp_path / 'x.tif')!r})"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.returncode == 1
    assert told.stderr.startswith("Traceback")
    assert "MinicnnError" in told.stderr
