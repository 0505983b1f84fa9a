"""PNG of 16 bits a channel, read back by a decoder that knows the specification alone."""

import numpy as np
import pytest
from PIL import Image
from png16_decoder import decode

from minicnn.errors import MinicnnError
from minicnn.pictures import arrays, reader, writer
from minicnn.pictures.writer import check_bits


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (16, 33)], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("kind", ["noise", "ramp"])
def test_every_sample_comes_back(rng, tmp_path, shape, kind):
    if kind == "noise":
        rgb = rng.integers(0, 65536, (*shape, 3)).astype(np.uint16)
    else:
        rgb = np.linspace(0, 65535, 3 * shape[0] * shape[1]).astype(np.uint16).reshape(*shape, 3)
    writer.save_image(tmp_path / "x.png", rgb, metadata={"seed": 3, "name": "größe"})
    samples, texts = decode((tmp_path / "x.png").read_bytes())
    np.testing.assert_array_equal(samples, rgb)
    assert list(texts) == ["minicnn"]
    assert writer.read_metadata(tmp_path / "x.png") == {"seed": 3, "name": "größe"}
    # Pillow takes the file as well, and our reader reduces it to 8 bits
    with Image.open(tmp_path / "x.png") as opened:
        opened.verify()
    pixels, notes = reader.load_image(tmp_path / "x.png")
    assert notes == ["16 bits per channel reduced to 8"]
    assert np.abs(pixels * 257.0 - rgb).max() <= 257


def test_a_smooth_picture_is_packed_by_its_filters(tmp_path):
    ramp = np.broadcast_to(np.arange(0, 65536, 256, np.uint16)[None, :, None], (256, 256, 3))
    writer.save_image(tmp_path / "x.png", ramp)
    assert (tmp_path / "x.png").stat().st_size < ramp.nbytes / 100


@pytest.mark.smoke
def test_levels_between_the_256_are_kept():
    x = np.array([0.0, 100.0, 100.25, 100.5, 255.0])
    deep = arrays.to_uint16(x)
    np.testing.assert_allclose(deep / 257, x, atol=0.5 / 257)
    np.testing.assert_array_equal(arrays.to_uint8(deep / 257), arrays.to_uint8(x))
    with pytest.raises(MinicnnError, match="1 of 2 values are NaN"):
        arrays.to_uint16(np.array([0.0, np.nan]))


def test_formats_without_16_bits_say_so(tmp_path):
    deep = np.zeros((4, 4, 3), np.uint16)
    with pytest.raises(MinicnnError, match=r"with 16 bits a channel: only \.png holds them"):
        writer.save_image(tmp_path / "x.jpg", deep)
    with pytest.raises(MinicnnError, match=r"no pictures of 12 bits a channel; use 8 or 16"):
        check_bits("x.png", 12)
    assert not list(tmp_path.iterdir())
