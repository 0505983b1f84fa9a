"""Packed data sets whose parts are links, claims or of the wrong kind: one line says which."""

import h5py
import numpy as np
import pytest

from minicnn.data.datasets import open_dataset
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError

PIECES = [b"first", b"second", b"third one"]


def fill(group, **parts):
    """Write a split; `parts` replace its own, None leaves one out."""
    whole = {
        "bytes": np.frombuffer(b"".join(PIECES), np.uint8),
        "offset": np.cumsum([0, *map(len, PIECES)]),
        "label": np.array([0, 1, 0]),
    }
    for name, value in {**whole, **parts}.items():
        if value is not None:
            group[name] = value


def parts(**changed):
    return lambda file: fill(file.create_group("val"), **changed)


def claimed(file):
    group = file.create_group("val")
    for name, count in (("offset", 2_000_000_001), ("label", 2_000_000_000)):
        group.create_dataset(name, (count,), "i8", chunks=(1 << 16,), compression="gzip")
    group["bytes"] = np.zeros(9, np.uint8)


def elsewhere(file):
    group = file.create_group("val")
    fill(group, bytes=None)
    group.create_dataset("bytes", (20,), "u1", external=[("/etc/hostname", 0, 20)])


def virtual(file):
    fill(file.create_group("val"), bytes=None)
    layout = h5py.VirtualLayout((20,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (20,))
    file.create_virtual_dataset("val/bytes", layout)


def named(*names):
    def change(file):
        fill(file.create_group("val"))
        file.attrs["class_names"] = list(names)

    return change


BAD = {
    "split-is-an-array": (lambda file: file.create_dataset("val", data=np.ones(3)), "no split"),
    "dangling": (lambda file: file.__setitem__("val", h5py.SoftLink("/nope")), "val is a link"),
    "external-link": (
        lambda file: file.__setitem__("val", h5py.ExternalLink("/etc/hostname", "/")),
        "val is a link",
    ),
    "external-storage": (elsewhere, "keeps its values in another file"),
    "virtual": (virtual, "keeps its values in another file"),
    "no-offsets": (parts(offset=None), "lacks offset"),
    "bytes-are-a-group": (lambda file: file.create_group("val/bytes"), "lacks bytes"),
    "bytes-of-rank-0": (parts(bytes=np.uint8(3)), "lacks bytes"),
    "bytes-of-rank-2": (parts(bytes=np.zeros((20, 2), np.uint8)), "lacks bytes"),
    "bytes-are-floats": (parts(bytes=np.ones(20)), "val/bytes has numbers of the type float64"),
    "bytes-are-wide": (parts(bytes=np.ones(20, "u2")), "val/bytes has numbers of the type uint16"),
    "bytes-are-texts": (parts(bytes=np.array([b"x"] * 20)), "lacks bytes"),
    "offsets-are-nan": (parts(offset=np.array([0, np.nan, 1, 2])), "val/offset has numbers of"),
    "offsets-are-texts": (parts(offset=np.array([b"0"] * 4)), "lacks offset"),
    "offsets-of-rank-0": (parts(offset=np.int64(3)), "lacks offset"),
    "offsets-go-back": (parts(offset=np.array([0, 9, 5, 20])), "the offsets of split 'val' do not"),
    "offsets-are-negative": (parts(offset=np.array([-9, -5, -2, 0])), "offsets"),
    "offsets-beyond": (parts(offset=np.array([0, 5, 9, 1 << 40])), "offsets"),
    "offsets-wrap": (parts(offset=np.array([0, 5, 9, 2**64 - 1], "u8")), "offsets"),
    "labels-of-rank-2": (parts(label=np.zeros((3, 2), int)), "lacks label"),
    "labels-are-floats": (parts(label=np.array([0.5, np.nan, 0])), "val/label has numbers of"),
    "labels-are-texts": (parts(label=np.array([b"a"] * 3)), "lacks label"),
    "labels-negative": (parts(label=np.array([-1, 0, 1])), "not from 0 to 99999"),
    "labels-huge": (parts(label=np.array([10**10, 0, 1])), "not from 0 to 99999"),
    "labels-without-names": (named("only"), "labels that are not from 0 to 0"),
    "claims": (claimed, "more than a file of this size can hold"),
    "nothing": (parts(bytes=np.zeros(0, np.uint8), offset=np.array([0]), label=np.zeros(0, int)),
                "holds no pictures"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_packs_are_refused_in_one_line(make, message, tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        make(file)
    for attempt in (lambda: open_dataset(path, "val"), lambda: PictureSet(path)):
        with pytest.raises(MinicnnError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"chunks": (7,)}, {"compression": "gzip"}], ids=str)
@pytest.mark.parametrize("userblock", [0, 512])
def test_pictures_are_found_however_the_bytes_are_laid_out(options, userblock, tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        group = file.create_group("val")
        fill(group, bytes=None)
        group.create_dataset("bytes", data=np.frombuffer(b"".join(PIECES), np.uint8), **options)
        file.attrs["class_names"] = ["a", b"\x1b[31m".decode()]
    data = open_dataset(path, "val")
    assert [data.read(i) for i in range(3)] == PIECES
    assert data.labels.tolist() == [0, 1, 0]
    assert data.class_names == ["a", "\x1b[31m"]
