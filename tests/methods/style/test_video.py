"""Frames of a video: the flow file, the way along it, and painted frames that stay together."""

import json
import struct
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.pictures.flow import certain, read_flow, resized, warped
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata

STEP = (3.0, 1.0)  # pixels to the right and down, by which the window moves
SMALL = "--size 64 --iterations 20 --scales 1 --network minivgg --threads 1 --quiet".split()


def write_flow(path, vectors, magic=202021.25):
    """Write vectors (H, W, 2) as a .flo file."""
    rows, cols = vectors.shape[:2]
    head = struct.pack("<fii", magic, cols, rows)
    path.write_bytes(head + vectors.astype("<f4").tobytes())


def constant(rows, cols, vector):
    """A flow that is the same everywhere, and known."""
    return np.float32(np.broadcast_to([*vector, 1], (rows, cols, 3)))


@pytest.fixture
def pan(tmp_path, monkeypatch, rng):
    """A folder with four frames of a window that moves over a picture, their flow, and a style."""
    monkeypatch.chdir(tmp_path)
    small = Image.fromarray(rng.integers(0, 256, (14, 14, 3), np.uint8))
    whole = np.asarray(small.resize((96, 96), Image.Resampling.BICUBIC))
    for name in ("frames", "flows"):
        (tmp_path / name).mkdir()
    for i in range(4):
        x, y = (i * int(step) for step in STEP)
        Image.fromarray(whole[y : y + 64, x : x + 64]).save(f"frames/{i}.png")
        write_flow(tmp_path / "flows" / f"{i}.flo", constant(64, 64, STEP)[..., :2])
    noise = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
    noise.resize((64, 64), Image.Resampling.NEAREST).save("style.png")
    return tmp_path


def unrest(folder):
    """Return the mean square of the differences of neighbours, where they show the same."""
    frames = [load_image(folder / f"{i}.png").pixels for i in range(4)]
    errors = []
    for before, frame in pairwise(frames):
        moved, inside = warped(before, constant(64, 64, STEP))
        errors.append(((frame - moved) ** 2)[inside].mean())
    return np.mean(errors)


def test_frames_stay_together_where_they_show_the_same(pan, capfd):
    words = ["video", "frames", "style.png", "--flows", "flows", *SMALL]
    assert main([*words, "-o", "near"]) == 0
    (pan / "alone").mkdir()
    for i in range(4):
        assert main(["style", f"frames/{i}.png", "style.png", *SMALL, "-o", f"alone/{i}.png"]) == 0
    together, apart = unrest(pan / "near"), unrest(pan / "alone")
    assert together < apart / 2, (together, apart)
    # the first is a picture of its own, the others carry what they were made from
    assert (pan / "near" / "0.png").read_bytes() == (pan / "alone" / "0.png").read_bytes()
    assert read_metadata(pan / "near" / "1.png")["result"]["losses"]["temporal"] > 0
    assert main(["rerun", "near/2.png", "-o", "again.png", "--check", "--quiet"]) == 0
    capfd.readouterr()
    assert main([*words, "-o", "near", "--resume", "--json"]) == 0
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [event["made"] for event in told] == ["before"] * 4


def test_a_frame_is_painted_in_two_sizes_and_in_tiles(pan):
    (pan / "flows" / "1-mask.png").write_bytes((pan / "frames" / "1.png").read_bytes())
    words = "style frames/1.png style.png --previous frames/0.png --flow flows/1.flo --scales 2 "
    words += "--flow-mask flows/1-mask.png --size 64 --iterations 4 --network minivgg --quiet "
    words += "--content-layers relu2_1 --style-layers relu1_1"
    assert main([*words.split(), "-o", "a.png"]) == 0
    assert main([*words.split(), "--tile", "32", "-o", "b.png"]) == 0
    one, other = (read_metadata(f"{name}.png")["result"]["losses"]["total"] for name in "ab")
    assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--flow flows/1.flo", "--flow is for a frame with --previous"),
        ("--flow-mask frames/0.png", "--flow-mask is for a frame with --previous"),
        ("--temporal-weight 3", "--temporal-weight is for a frame with --previous"),
        ("--init previous", "give it with --previous"),
        ("--previous frames/0.png --flow style.png", "no .flo file"),
        ("--previous frames/0.png --flow short.flo", "has 92 bytes, 4 x 5 vectors have 172"),
        ("--previous frames/0.png --flow small.flo", "is 4 x 5, its frame 64 x 64"),
        ("--previous wide.png --flow flows/1.flo", "not the shape of a frame of 64 x 64"),
        ("--previous frames/0.png --flow flows/1.flo --preserve-color histogram", "no start for"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(pan, capfd, words, said):
    write_flow(pan / "small.flo", np.zeros((5, 4, 2)))
    (pan / "short.flo").write_bytes((pan / "small.flo").read_bytes()[:92])
    Image.new("RGB", (64, 32)).save("wide.png")
    command = ["style", "frames/1.png", "style.png", *SMALL, "-o", "x.png", *words.split()]
    assert main(command) == 1
    assert said in capfd.readouterr().err
    assert not (pan / "x.png").exists()


def test_a_video_lacks_a_flow_or_has_one_frame_twice(pan, capfd):
    words = ["video", "frames", "style.png", "--flows", "flows", *SMALL, "-o", "near"]
    (pan / "flows" / "2.flo").unlink()
    assert main(words) == 1
    assert "flows/2.flo" in capfd.readouterr().err
    (pan / "frames" / "2.jpg").write_bytes(b"")
    assert main(words) == 1
    assert "two frames are called '2'" in capfd.readouterr().err


def test_a_flow_file(tmp_path):
    vectors = np.arange(24.0).reshape(3, 4, 2)
    vectors[1, 2] = 1e10
    write_flow(tmp_path / "a.flo", vectors)
    flow = read_flow(tmp_path / "a.flo")
    assert flow.shape == (3, 4, 3)
    assert (flow[..., 2] == 0).sum() == 1
    assert flow[1, 2, 2] == 0
    assert np.array_equal(flow[0, :, :2], vectors[0])
    assert np.allclose(resized(constant(8, 6, (1, 2)), (4, 12)), constant(4, 12, (2, 1)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:3], "no .flo file"),
        (lambda data: data[:4] + struct.pack("<ii", -1, 3) + data[12:], "a side is from 1 to"),
        (lambda data: data[:4] + struct.pack("<ii", 2**31 - 1, 3) + data[12:], "a side is from"),
        (lambda data: data + b"1", "cut off or damaged"),
        (lambda data: data[:12] + struct.pack("<f", np.nan) + data[16:], "are not numbers"),
    ],
)
def test_a_damaged_flow_file(tmp_path, damage, said):
    path = tmp_path / "a.flo"
    write_flow(path, np.zeros((3, 4, 2)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MinicnnError, match=said):
        read_flow(path)
    with pytest.raises(MinicnnError, match="cannot read"):
        read_flow(tmp_path / "none.flo")


def test_a_picture_moves_along_the_flow(rng):
    picture = rng.uniform(0, 1, (6, 7, 3)).astype(np.float32)
    moved, inside = warped(picture, constant(6, 7, (2, 1)))
    assert np.array_equal(moved[:5, :5], picture[1:, 2:])
    assert inside.sum() == 25
    half, _ = warped(picture, constant(6, 7, (0.5, 0)))
    assert np.allclose(half[:, :6], (picture[:, :6] + picture[:, 1:]) / 2)


def test_where_flow_is_believed():
    flow, back = constant(20, 20, (4, 0)), constant(20, 20, (-4, 0))
    assert certain(flow, back)[:, :16].all()
    assert not certain(flow, back)[:, 16:].any()  # was outside the frame
    back[5, 9] = 3, 0, 1  # somebody else goes where (5, 5) comes from
    assert certain(flow, back)[5, 5] == 0
    flow[10:] = 0, 0, 1  # the lower half stands still: the boundary is not believed
    found = certain(flow)
    assert not found[9].any()
    assert found[10:].all()
    flow[0, 0, 2] = 0
    assert certain(flow)[0, 0] == 0
