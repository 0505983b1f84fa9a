"""Data sets as others give them away: told what they are, and turned into ours by the tool."""

import gzip
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data.datasets import open_dataset
from minicnn.errors import MinicnnError

TOOL = Path(__file__).parents[2] / "tools" / "pack_pictures.py"
GREYS = {"train": (10, 200), "val": (60, 120)}  # of the two pictures of a split


def tiny_imagenet(folder):
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "words.txt").write_text("n01\tcat, house cat\nn02\tdog\n")
    for name, grey in zip(("n01", "n02"), GREYS["train"], strict=True):
        (folder / "train" / name / "images").mkdir(parents=True)
        Image.new("L", (8, 8), grey).save(folder / "train" / name / "images" / "0.JPEG")
    for number, grey in enumerate(GREYS["val"]):
        Image.new("L", (8, 8), grey).save(folder / "val" / "images" / f"val_{number}.JPEG")
    lines = "val_0.JPEG\tn01\t0\t0\t7\t7\nval_1.JPEG\tn02\t0\t0\t7\t7\n"
    (folder / "val" / "val_annotations.txt").write_text(lines)
    return ["cat", "dog"]


def cifar(folder):
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))

    def batch(greys, labels):
        pixels = np.repeat(np.array(greys, np.uint8)[:, None], 3 * 32 * 32, axis=1)
        return {b"data": pixels, b"labels": labels}

    write("batches.meta", {b"label_names": [b"cat", b"dog"]})
    for number in range(5):
        write(f"data_batch_{number + 1}", batch([GREYS["train"][number % 2]], [number % 2]))
    write("test_batch", batch(GREYS["val"], [0, 1]))
    return ["cat", "dog"]


def mnist(folder):
    folder.mkdir()
    for split, start in (("train", "train"), ("val", "t10k")):
        pixels = np.repeat(np.array(GREYS[split], np.uint8), 28 * 28).tobytes()
        images = struct.pack(">4i", 0x803, 2, 28, 28) + pixels
        (folder / f"{start}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        labels = struct.pack(">2i", 0x801, 2) + bytes([0, 1])
        (folder / f"{start}-labels-idx1-ubyte").write_bytes(labels)
    return [str(digit) for digit in range(10)]


@pytest.mark.parametrize("make", [tiny_imagenet, cifar, mnist])
def test_a_foreign_layout_is_named_and_can_be_packed(tmp_path, make):
    names = make(tmp_path / "theirs")
    with pytest.raises(MinicnnError, match=r"tools/pack_pictures\.py"):
        open_dataset(tmp_path / "theirs", "val")
    command = [sys.executable, TOOL, tmp_path / "theirs", tmp_path / "ours.h5"]
    subprocess.run(command, check=True, capture_output=True)
    for split, greys in GREYS.items():
        data = open_dataset(tmp_path / "ours.h5", split)
        assert data.class_names == names
        assert data.labels[:2].tolist() == [0, 1]
        assert [round(float(data.picture(i).mean())) for i in range(2)] == list(greys)


@pytest.mark.parametrize("head", [b"\x80\x04", b"\x00\x00\x08\x03", b"\x1f\x8b\x08", b"PK\x03\x04"])
def test_a_foreign_file_is_named(tmp_path, head):
    path = tmp_path / "theirs"
    path.write_bytes(head + bytes(40))
    with pytest.raises(MinicnnError, match=r"tools/pack_pictures\.py"):
        open_dataset(path, "train")


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    cifar(tmp_path / "theirs")
    harmful = b"cos\nsystem\n(S'touch harmed'\ntR."
    (tmp_path / "theirs" / "test_batch").write_bytes(harmful)
    command = [sys.executable, TOOL, tmp_path / "theirs", tmp_path / "ours.h5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "asks for os.system" in done.stderr or "asks for posix.system" in done.stderr
    assert not (tmp_path / "harmed").exists()
