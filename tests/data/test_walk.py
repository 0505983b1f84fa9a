"""One walk over folders: what is taken, what is left out, and that somebody is told."""

import os
from collections import Counter

import numpy as np
import pytest
from picture_files import encoded, write_folder

from minicnn.data.datasets import open_dataset, spread
from minicnn.data.picture_set import PictureSet
from minicnn.data.walk import left_out, pictures_below
from minicnn.errors import MinicnnError


@pytest.fixture
def folder(tmp_path, rng):
    """Two classes of two pictures."""
    return write_folder(tmp_path / "data", rng, {"train": {"a": 2, "b": 2}})


def test_hidden_names_are_skipped(folder, rng):
    write_folder(folder, rng, {"train/.ipynb_checkpoints": {"c": 1}})
    (folder / "train" / "a" / "._0.png").write_bytes(b"what macOS leaves beside a file")
    found, others = pictures_below(folder / "train")
    assert found == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert not others
    assert open_dataset(folder, "train").class_names == ["a", "b"]


@pytest.mark.parametrize("suffix", [".pgm", ".jfif", ".tga", ".PNG", ".jpe"])
def test_every_suffix_that_pillow_reads_is_taken(folder, suffix):
    (folder / "train" / "a" / "0.png").rename(folder / "train" / "a" / f"0{suffix}")
    assert len(open_dataset(folder, "train")) == len(PictureSet(folder)) == 4


def test_links_are_followed_once(folder, tmp_path, rng):
    elsewhere = write_folder(tmp_path / "elsewhere", rng, {"deep": {"down": 1}})
    (folder / "train" / "a" / "linked").symlink_to(elsewhere)
    (folder / "train" / "a" / "loop").symlink_to(folder)
    (folder / "train" / "a" / "b").symlink_to(folder / "train" / "b")
    (folder / "train" / "a" / "itself.png").symlink_to("itself.png")
    (folder / "train" / "a" / "gone.png").symlink_to("nowhere.png")
    (folder / "train" / "a" / "2.png").symlink_to(folder / "train" / "b" / "0.png")
    names = ["a/0.png", "a/1.png", "a/2.png", "a/linked/deep/down/0.png", "b/0.png", "b/1.png"]
    found, others = pictures_below(folder / "train")
    # "loop" is another folder than "train": its pictures are met there once more, but not entered
    assert found == names
    assert others == {"folder linked twice": 2, "no regular file": 2}
    data = open_dataset(folder, "train")
    assert [data.class_names[label] for label in data.labels] == ["a"] * 4 + ["b"] * 2
    assert len(PictureSet(folder, "train")) == 6


def test_a_class_may_be_a_link(folder, tmp_path, rng):
    write_folder(tmp_path, rng, {"store": {"dogs": 3}})
    (folder / "train" / "c").symlink_to(tmp_path / "store" / "dogs")
    data = open_dataset(folder, "train")
    assert data.class_names == ["a", "b", "c"]
    assert np.bincount(data.labels).tolist() == [2, 2, 3]


def test_what_is_no_picture_is_counted_and_told(folder):
    (folder / "train" / "a" / "notes.txt").write_text("no picture")
    (folder / "train" / "b" / "LICENSE").write_text("no picture")
    (folder / "train" / "b" / "drawing.eps").write_text("%!PS")
    (folder / "train" / "b" / "bad\x1b[31m.\x1bx").write_text("no picture")
    os.mkfifo(folder / "train" / "b" / "pipe.png")
    (folder / "train" / "loose.png").write_bytes(encoded(np.random.default_rng(0)))
    told = open_dataset(folder, "train").left_out
    assert told.startswith(f"{folder / 'train'}: left out, as no pictures: ")
    for part in ("1 x .txt", "1 x no suffix", "1 x .eps", "1 x no regular file", "1 x others"):
        assert part in told
    assert "\x1b" not in told
    assert "1 x .txt" in PictureSet(folder).left_out
    assert left_out("data", Counter()) == ""


def test_an_empty_class_is_refused(folder):
    (folder / "train" / "c").mkdir()
    (folder / "train" / "c" / "notes.txt").touch()
    with pytest.raises(MinicnnError, match=r"'.*train/c' holds no pictures; put some there"):
        open_dataset(folder, "train")


def test_a_folder_without_pictures_says_what_it_has(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(MinicnnError, match=r"no pictures in .* 1 x \.txt"):
        PictureSet(tmp_path)


def test_names_that_are_no_utf8(folder):
    name = os.fsdecode(b"latin\xe9.png")
    (folder / "train" / "a" / "0.png").rename(folder / "train" / "a" / name)
    pictures = PictureSet(folder, "train")
    assert pictures.picture(1).shape == (8, 10, 3)
    assert len(pictures.fingerprint()) == 64


def test_a_limit_is_spread_over_the_classes(folder):
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 8).tolist() == spread(3).tolist() == [0, 1, 2]
    data = open_dataset(folder, "train")
    few = data.thinned(2)
    assert few.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(few.picture(1), data.picture(3))
    assert few.fingerprint() != data.fingerprint() == data.thinned(None).fingerprint()
    pictures = PictureSet(folder, limit=2)
    assert [pictures.name(i) for i in range(2)] == ["train/a/0.png", "train/b/1.png"]
    np.testing.assert_array_equal(pictures.picture(1), data.picture(3))
