import json
import os
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from picture_files import planar_tiff, png, tiff
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.pictures import arrays, reader, writer

CAFFE = {"channel_order": "BGR", "mean": [103.939, 116.779, 123.68], "std": [1, 1, 1], "scale": 1}
TORCH = {
    "channel_order": "RGB",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "scale": 1 / 255,
}


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def rounded(samples):
    return np.floor(samples / 257 + 0.5).astype(np.uint8)


def within_one_level(pixels, samples):
    """Whether the pixels are within one level of 255 of the 16-bit samples."""
    return pixels.shape == samples.shape and np.abs(pixels * 257.0 - samples).max() <= 257


@pytest.fixture
def colours(rng):
    return rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".tga"])
def test_lossless_files_read_back_exactly(tmp_path, colours, suffix):
    path = tmp_path / f"x{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(colours).save(path, **options)
    pixels, notes = reader.load_image(path)
    np.testing.assert_array_equal(pixels, colours)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert notes == []


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_one_bit_become_three_equal_channels(tmp_path, rng, mode):
    grey = rng.integers(0, 2, (6, 9), dtype=np.uint8) * 255
    Image.fromarray(grey).convert(mode).save(tmp_path / "x.png")
    pixels, notes = reader.load_image(str(tmp_path / "x.png"))
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, axis=2))
    assert notes == []


@pytest.mark.parametrize("write", [png, tiff], ids=["png", "tiff"])
@pytest.mark.parametrize("planes", [1, 3, 4])
def test_sixteen_bits_are_reduced_to_eight(tmp_path, rng, write, planes):
    samples = rng.integers(0, 65536, (8, 50, planes)).astype(np.uint16)
    samples[0, :6] = np.array([0, 128, 129, 65406, 65407, 65535])[:, None]
    if planes == 4:
        samples[..., 3] = 65535
    data = samples[..., 0] if planes == 1 else samples
    path = tmp_path / "x"
    write(path, data, {1: 0, 3: 2, 4: 6}[planes]) if write is png else write(path, data)
    pixels, notes = reader.load_image(path)
    colours = np.broadcast_to(samples[..., :3], (8, 50, 3))
    assert within_one_level(pixels, colours)
    if planes == 1:
        np.testing.assert_array_equal(pixels, rounded(colours))
    assert notes == ["16 bits per channel reduced to 8"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
def test_sixteen_bit_tiff_orders_and_compression(tmp_path, rng, order, deflate):
    samples = rng.integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    path = tiff(tmp_path / "x.tif", samples, order, deflate)
    assert within_one_level(reader.load_image(path).pixels, samples)
    path = tiff(tmp_path / "y.tif", samples[..., 0], order, deflate)
    np.testing.assert_array_equal(reader.load_image(path).pixels[..., 1], rounded(samples[..., 0]))


def test_sixteen_bit_tiff_with_white_at_zero(tmp_path, rng):
    samples = rng.integers(0, 65536, (6, 5)).astype(np.uint16)
    path = tiff(tmp_path / "x.tif", samples, photometric=0)
    np.testing.assert_array_equal(reader.load_image(path).pixels[..., 1], 255 - rounded(samples))


def test_planar_sixteen_bit_tiff_is_refused_not_misread(tmp_path, rng):
    samples = rng.integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    with pytest.raises(MinicnnError, match="planar"):
        reader.load_image(planar_tiff(tmp_path / "x.tif", samples))
    pixels = reader.load_image(planar_tiff(tmp_path / "y.tif", samples, deflate=True)).pixels
    assert within_one_level(pixels, samples)


def test_sixteen_bit_alpha_and_transparent_colour(tmp_path, rng):
    samples = rng.integers(0, 65536, (4, 6, 2)).astype(np.uint16)
    samples[..., 1] = 0
    samples[1, 2, 1] = 65535
    pixels, notes = reader.load_image(png(tmp_path / "la.png", samples, 4))
    assert within_one_level(pixels[1, 2], np.repeat(samples[1, 2, 0], 3))
    assert (np.delete(pixels.reshape(-1, 3), 8, axis=0) == 255).all()
    assert notes == ["16 bits per channel reduced to 8", "transparent parts composited on white"]

    # one 16-bit grey is transparent, its neighbour in the low byte is not; of colours both are
    def key(*values):
        data = b"tRNS" + struct.pack(f">{len(values)}H", *values)
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    colour = np.full((2, 2, 3), 4660, np.uint16)
    colour[0, 0, 2] += 1
    colour[1, 1] = 60000
    pixels = reader.load_image(png(tmp_path / "k.png", colour, 2, key(4660, 4660, 4660))).pixels
    assert pixels[..., 0].tolist() == [[255, 255], [255, 234]]
    pixels = reader.load_image(png(tmp_path / "g.png", colour[..., 2], 0, key(4660))).pixels
    assert pixels[..., 0].tolist() == [[18, 255], [255, 233]]


def test_sixteen_bit_pnm_is_scaled(tmp_path):
    values = np.array([[0, 257, 65535]], ">u2")
    (tmp_path / "x.pgm").write_bytes(b"P5\n3 1\n65535\n" + values.tobytes())
    assert reader.load_image(tmp_path / "x.pgm").pixels[0, :, 0].tolist() == [0, 1, 255]


def test_alpha_is_composited_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = 0, 51, 255
    Image.fromarray(rgba).save(tmp_path / "x.png")
    pixels, notes = reader.load_image(tmp_path / "x.png")
    assert pixels[0].tolist() == [[255, 255, 255], [244, 204, 204], [200, 0, 0]]
    assert notes == ["transparent parts composited on white"]


def test_opaque_alpha_needs_no_note(tmp_path, colours):
    Image.fromarray(colours).convert("RGBA").save(tmp_path / "x.png")
    pixels, notes = reader.load_image(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels, colours)
    assert notes == []


@pytest.mark.parametrize("suffix", ["png", "gif"])
@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path, suffix, transparent):
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    options = {"transparency": 0} if transparent else {}
    picture.save(tmp_path / f"x.{suffix}", **options)
    pixels, notes = reader.load_image(tmp_path / f"x.{suffix}")
    assert pixels[0, 0].tolist() == ([255, 255, 255] if transparent else [255, 0, 0])
    assert pixels[0, 1].tolist() == [0, 0, 255]
    assert len(notes) == transparent


def test_palette_with_a_table_of_alphas(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 0, 0, 255])
    picture.save(tmp_path / "x.png", transparency=bytes([51, 255]))
    assert reader.load_image(tmp_path / "x.png").pixels[0].tolist() == [[204] * 3, [0, 0, 255]]


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    pixels, notes = reader.load_image(tmp_path / "x.jpg")
    np.testing.assert_allclose(pixels[8, 8], [255, 0, 0], atol=3)
    assert notes == ["CMYK converted to RGB without a colour profile"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, suffix, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255, 0, 0  # one corner red, one blue
    upright[8:, :16] = 0, 0, 255
    # the way back, by Pillow's numbers; the test below looks up one of them independently
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = Image.fromarray(upright)
    stored = stored if undo is None else stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"subsampling": 0}}.get(suffix, {})
    stored.save(tmp_path / f"x.{suffix}", exif=exif, **options)
    pixels, notes = reader.load_image(tmp_path / f"x.{suffix}")
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 3
    assert notes == ([] if orientation == 1 else ["turned upright by its EXIF orientation"])


def test_orientation_six_is_a_quarter_turn_clockwise(tmp_path):
    # independent of the table above: EXIF 6 says that row 0 of the file is the right-hand side
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[[10] * 3, [20] * 3]], np.uint8)).save(tmp_path / "x.png", exif=exif)
    assert reader.load_image(tmp_path / "x.png").pixels[:, 0, 0].tolist() == [10, 20]


def test_damaged_exif_spoils_no_picture(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12")
    pixels, _ = reader.load_image(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels, colours)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_first_of_several_frames(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:], **options)
    pixels, notes = reader.load_image(tmp_path / f"x.{suffix}")
    assert pixels[3, 4].tolist() == [255, 0, 0]
    assert notes == ["the first of several frames or pages is used"]


def test_real_pictures(shared_data):
    picture = reader.load_image(shared_data / "style_inputs" / "shipwreck.jpg")
    assert picture.pixels.shape[2] == 3
    assert picture.notes == []
    assert picture.pixels.std() > 20
    grey = reader.load_image(shared_data / "textures" / "ps_text.pgm").pixels
    assert grey.shape == (256, 256, 3)
    assert np.ptp(grey, axis=2).max() == 0


def bad_files(folder):
    whole = folder / "whole.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    Image.fromarray(noise).save(folder / "whole.png")
    (folder / "folder.png").mkdir()
    (folder / "text.jpg").write_text("this is not a picture\n")
    (folder / "cut.jpg").write_bytes(whole.read_bytes()[:1500])
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:1500])
    (folder / "head.png").write_bytes((folder / "whole.png").read_bytes()[:20])
    (folder / "empty.png").write_bytes(b"")
    (folder / "drawing.eps").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n"
    )
    (folder / "zero.pgm").write_bytes(b"P5\n0 5\n255\n")
    Image.fromarray(np.ones((3, 3), np.float32)).save(folder / "float.tif")
    os.mkfifo(folder / "pipe.png")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", "there is no file"),
        ("folder.png", "is a folder"),
        ("text.jpg", "not a picture"),
        ("cut.jpg", "truncated"),
        ("cut.png", "damaged"),
        ("head.png", "not a picture|damaged"),
        ("empty.png", "0 bytes"),
        ("drawing.eps", "drawing"),
        ("zero.pgm", "not a picture|no pixels"),
        ("float.tif", "no agreed range"),
        ("pipe.png", "not a regular file"),
        ("whole.jpg/x.png", "Not a directory"),
        ("nul\0.png", "null"),
        ("new\nline.png", "there is no file"),
    ],
)
def test_bad_files_give_one_line_with_their_name(tmp_path, name, reason):
    bad_files(tmp_path)
    with pytest.raises(MinicnnError, match=reason) as error:
        reader.load_image(tmp_path / name)
    assert repr(name)[1:-1] in one_line(error)


def test_unreadable_file(tmp_path, colours, monkeypatch):
    def denied(*_args):
        raise PermissionError(13, "Permission denied")

    Image.fromarray(colours).save(tmp_path / "x.png")
    monkeypatch.setattr(reader, "open", denied, raising=False)
    with pytest.raises(MinicnnError, match="Permission denied") as error:
        reader.load_image(tmp_path / "x.png")
    assert "x.png" in one_line(error)


def test_large_pictures_are_refused_by_their_header(tmp_path):
    # the header promises 30,000 x 30,000; the data would not even fill a row
    path = png(tmp_path / "bomb.png", np.zeros((1, 1), np.uint16), 0, size=(30_000, 30_000))
    with pytest.raises(
        MinicnnError, match=r"30000 x 30000 = 900,000,000 .* make it smaller"
    ) as error:
        reader.load_image(path)
    assert "bomb.png" in one_line(error)
    with pytest.raises(MinicnnError, match="damaged"):  # allowed, so it is decoded, or tried
        reader.load_image(png(tmp_path / "y.png", np.zeros((1, 1), np.uint16), 0, size=(2, 2)))


def test_the_limit_is_an_argument_and_pillows_own_is_left_alone(tmp_path, colours, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow would refuse this picture
    Image.fromarray(colours).save(tmp_path / "x.png")
    np.testing.assert_array_equal(reader.load_image(tmp_path / "x.png").pixels, colours)
    with pytest.raises(MinicnnError, match="7 x 5 = 35 pixels, more than the limit of 34"):
        reader.load_image(tmp_path / "x.png", max_pixels=34)
    assert reader.load_image(tmp_path / "x.png", max_pixels=35).pixels.shape == (5, 7, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_resize_keeps_flat_colour_and_rows_come_first():
    flat = np.full((10, 20, 3), (1, 128, 255), np.uint8)
    small = arrays.resize(flat, (3, 5))
    assert small.shape == (3, 5, 3)
    assert (small == (1, 128, 255)).all()
    np.testing.assert_array_equal(arrays.resize(flat, (10, 20)), flat)


def test_resize_antialiases():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # one pixel wide: without a filter this is all black or all white
    small = arrays.resize(stripes, (16, 16))[:, 2:-2]
    assert 120 <= small.min() <= small.max() <= 135


def test_resize_floats_as_bytes_but_unrounded(rng):
    picture = arrays.resize(rng.integers(60, 200, (9, 12, 3), dtype=np.uint8), (36, 48))
    floats = arrays.resize(picture.astype(np.float64)[:, ::-1], (20, 21))
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, arrays.resize(picture[:, ::-1], (20, 21)), atol=0.51 + 0.5)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((30, 40), 20, (15, 20)),
        ((40, 30), 400, (400, 300)),
        ((2, 1000), 100, (1, 100)),
        ((3, 2), 5, (5, 3)),
        ((4, 3), 2, (2, 2)),  # 1.5 rounds up
        ((7, 7), 1, (1, 1)),
    ],
)
def test_fit_sets_the_long_side(shape, size, expected):
    assert arrays.fit(np.zeros((*shape, 3), np.uint8), size).shape == (*expected, 3)


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (3, 40_001)])
def test_of_a_strip_only_the_middle_is_scaled(shape, monkeypatch):
    rgb = np.zeros((*shape, 3), np.uint8)
    at = tuple(length // 2 for length in shape)
    rgb[at] = 255
    made = []
    real = arrays.resize
    monkeypatch.setattr(arrays, "resize", lambda *a: made.append(real(*a)) or made[-1])
    square = arrays.centre(rgb, 64)
    assert square.shape == (64, 64, 3)
    assert square.max() > 200
    assert made[0].size <= 8 * 64 * 64 * 3


def test_impossible_sizes_and_shapes(colours):
    with pytest.raises(MinicnnError, match="0 x 5"):
        arrays.resize(colours, (0, 5))
    with pytest.raises(MinicnnError, match="fit a picture to 0"):
        arrays.fit(colours, 0)
    with pytest.raises(MinicnnError, match=r"\(H, W, 3\), got \(5, 7\)"):
        arrays.resize(colours[..., 0], (3, 3))


@pytest.mark.parametrize("attrs", [CAFFE, TORCH], ids=["caffe", "torchvision"])
def test_preprocess_and_deprocess_are_inverse(rng, attrs):
    every_byte = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    x = arrays.preprocess(every_byte, attrs)
    assert x.shape == (1, 3, 16, 16)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    back = arrays.deprocess(x, attrs)
    np.testing.assert_allclose(back, every_byte, atol=1e-5)
    np.testing.assert_array_equal(arrays.to_uint8(back), every_byte)
    x = rng.standard_normal((1, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(arrays.preprocess(arrays.deprocess(x, attrs), attrs), x)


@pytest.mark.parametrize("attrs", [CAFFE, TORCH], ids=["caffe", "torchvision"])
def test_a_change_of_the_input_as_a_change_of_the_picture(rng, attrs):
    net = SimpleNamespace(attrs={"preprocess": attrs})
    a, b = rng.uniform(0, 255, (2, 12, 12, 3))
    dx = arrays.preprocess(a, attrs).astype("float64") - arrays.preprocess(b, attrs)
    np.testing.assert_allclose(arrays.as_pixels(dx, net), a - b, atol=1e-3)
    assert not arrays.as_pixels(0 * dx, net).any()


def test_preprocess_by_hand():
    rgb = np.array([[[10, 20, 30]]], np.uint8)
    x = arrays.preprocess(rgb, CAFFE)[0, :, 0, 0]
    np.testing.assert_allclose(x, [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-6)
    x = arrays.preprocess(rgb.astype(float), TORCH)[0, :, 0, 0]
    expected = (np.array([10, 20, 30]) / 255 - TORCH["mean"]) / TORCH["std"]
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_preprocessing_attributes_as_hdf5_gives_them(colours):
    attrs = {"channel_order": b"BGR", "mean": np.float32([1, 2, 3])}
    x = arrays.preprocess(colours, attrs)
    np.testing.assert_array_equal(x[0, 0], colours[..., 2] - np.float32(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_order": "GBR"}, "'GBR'; it must be RGB or BGR"),
        ({"mean": [1.0]}, "mean"),
        ({"mean": [1, np.nan, 1]}, "mean"),
        ({"std": [1, 0, 1]}, "not zero"),
        ({"scale": 0}, "not zero"),
    ],
)
def test_wrong_preprocessing_attributes(colours, change, message):
    with pytest.raises(MinicnnError, match=message):
        arrays.preprocess(colours, {**CAFFE, **change})


def test_deprocess_wants_one_picture():
    with pytest.raises(MinicnnError, match=r"\(2, 3, 4, 4\)"):
        arrays.deprocess(np.zeros((2, 3, 4, 4)), CAFFE)


def test_to_uint8_refuses_what_is_no_number():
    assert arrays.to_uint8(np.array([1.5, 2.5, -0.5, -0.51, 255.4])).tolist() == [2, 3, 0, 0, 255]
    for value in (np.nan, np.inf):
        with pytest.raises(MinicnnError, match="1 of 2 values are NaN"):
            arrays.to_uint8(np.array([0.0, value], np.float32))


@pytest.mark.smoke
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".webp"])
def test_written_pictures_read_back_with_metadata(tmp_path, colours, suffix):
    path = tmp_path / f"x{suffix}"
    settings = {"seed": 1, "title": "Zürich", "losses": [1.5, 0.25]}
    writer.save_image(path, colours, metadata=settings)
    np.testing.assert_array_equal(reader.load_image(path).pixels, colours)
    assert reader.load_image(path).notes == []
    assert writer.read_metadata(path) == settings


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_close(tmp_path, suffix):
    ramp = np.linspace(0, 255, 32).astype(np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2)
    path = tmp_path / f"x{suffix}"
    writer.save_image(path, ramp, metadata={"seed": 2})
    assert np.abs(reader.load_image(path).pixels.astype(int) - ramp).max() < 6
    assert writer.read_metadata(path) == {"seed": 2}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_same_picture_and_metadata_give_the_same_bytes(tmp_path, colours, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    writer.save_image(first, colours, metadata={"a": 1, "b": [2, 3]})
    writer.save_image(second, colours, metadata={"b": (2, 3), "a": np.int64(1)})
    assert first.read_bytes() == second.read_bytes()
    assert sorted(os.listdir(tmp_path)) == [first.name, second.name]


def test_metadata_is_plain_json_in_a_text_chunk(tmp_path, colours):
    path = tmp_path / "x.png"
    values = {
        "loss": float("nan"),
        "array": np.array([1.0, np.inf]),
        "path": tmp_path,
        3: None,
        "flag": np.bool_(True),
    }
    writer.save_image(path, colours, metadata=values)
    with Image.open(path) as picture:
        text = picture.text["minicnn"]
    expected = {
        "loss": "nan",
        "array": [1.0, "inf"],
        "path": str(tmp_path),
        "3": None,
        "flag": True,
    }
    assert json.loads(text) == expected
    assert writer.read_metadata(path) == expected


def test_metadata_that_cannot_be_held(tmp_path, colours):
    with pytest.raises(MinicnnError, match="of type set"):
        writer.save_image(tmp_path / "x.png", colours, metadata={"a": {1}})
    with pytest.raises(MinicnnError, match=r"EXIF data is too long; use \.png"):
        writer.save_image(tmp_path / "x.jpg", colours, metadata={"a": "b" * 70_000})
    writer.save_image(tmp_path / "x.png", colours, metadata={"a": "b" * 2_000_000})
    assert len(writer.read_metadata(tmp_path / "x.png")["a"]) == 2_000_000
    assert os.listdir(tmp_path) == ["x.png"]


def test_pictures_of_others_carry_no_metadata(tmp_path, colours):
    for name in ("x.png", "x.jpg"):
        Image.fromarray(colours).save(tmp_path / name)
        with pytest.raises(MinicnnError, match="carries no minicnn metadata") as error:
            writer.read_metadata(tmp_path / name)
        assert name in one_line(error)
    with pytest.raises(MinicnnError, match="there is no file"):
        writer.read_metadata(tmp_path / "missing.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.gif", r"unknown suffix '\.gif'; use one of \.png, \.jpg"),
        ("x", "unknown suffix ''"),
        ("missing/x.png", r"there is no folder .*missing'; create it first"),
        ("there.png", "exists already"),
        ("there.png/x.png", "there is no folder"),
        ("folder.png", "it is a folder"),
        (f"{'n' * 300}.png", "too long"),
        ("nul\0.png", "null character"),
    ],
)
def test_check_output_says_early_what_save_image_would(tmp_path, colours, name, message):
    writer.save_image(tmp_path / "there.png", colours)
    (tmp_path / "folder.png").mkdir()
    before = (tmp_path / "there.png").read_bytes()
    with pytest.raises(MinicnnError, match=message) as error:
        writer.check_output(tmp_path / name, False)
    assert repr(name.split("/")[0])[1:-1] in one_line(error)
    with pytest.raises(MinicnnError, match=message):
        writer.save_image(tmp_path / name, 255 - colours)
    assert (tmp_path / "there.png").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["folder.png", "there.png"]


def test_check_output_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer.check_output("x.png")
    assert os.listdir() == []


def test_force_replaces_and_follows_a_link(tmp_path, colours):
    writer.save_image(tmp_path / "x.png", colours)
    (tmp_path / "link.png").symlink_to("x.png")
    writer.save_image(tmp_path / "link.png", 255 - colours, force=True)
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(reader.load_image(tmp_path / "x.png").pixels, 255 - colours)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(MinicnnError, match="Permission denied"):
        writer.check_output(tmp_path / "x.png")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_picture_and_no_rest(tmp_path, colours, monkeypatch, error):
    def fail(*_args):
        raise error

    writer.save_image(tmp_path / "x.png", colours)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        expected = MinicnnError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected, match="No space" if expected is MinicnnError else None):
            writer.save_image(tmp_path / "x.png", 255 - colours, force=True)
    assert os.listdir(tmp_path) == ["x.png"]
    np.testing.assert_array_equal(reader.load_image(tmp_path / "x.png").pixels, colours)


def test_written_files_have_the_usual_permissions(tmp_path, colours):
    writer.save_image(tmp_path / "x.png", colours)
    (tmp_path / "y").touch()
    assert (tmp_path / "x.png").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_only_bytes_are_written(tmp_path, colours):
    with pytest.raises(MinicnnError, match="uint8"):
        writer.save_image(tmp_path / "x.png", colours / 255)
    with pytest.raises(MinicnnError, match=r"not uint8 \(5, 7\)"):
        writer.save_image(tmp_path / "x.png", colours[..., 0])
    writer.save_image(tmp_path / "x.png", colours[:, ::-1])
    np.testing.assert_array_equal(reader.load_image(tmp_path / "x.png").pixels, colours[:, ::-1])


def test_formats_say_what_they_cannot_hold(tmp_path):
    with pytest.raises(MinicnnError, match=r"cannot write .*use \.png instead") as error:
        writer.save_image(tmp_path / "x.webp", np.zeros((1, 16_400, 3), np.uint8))
    one_line(error)
