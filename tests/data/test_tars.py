"""Pictures in tar files: found as Python's tarfile finds them, and nothing else is touched."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from picture_files import encoded

from minicnn.data import tars
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError

LONG = "a/" + 60 * "long-" + "/1.png"


def write(path, members, form=tarfile.GNU_FORMAT):
    """Write a tar file of {name: bytes, or the kind of a member without any}."""
    with tarfile.open(path, "w", format=form) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes) and len(data) > 1:
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data, "/etc/passwd"
                file.addfile(info)
    return str(path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_pictures_are_those_of_tarfile(tmp_path, rng, form):
    names = ["1.png", "a/2.jpg", "a/ü.png", 20 * "prefix/" + "3.png"]
    names += [LONG] * (form != tarfile.USTAR_FORMAT)
    members = {name: encoded(rng) for name in names}
    others = {"a": tarfile.DIRTYPE, "1.cls": b"12", "l.png": tarfile.SYMTYPE, ".h.png": b"no"}
    others |= {"h.png": tarfile.LNKTYPE, "d.png": tarfile.BLKTYPE, "f.png": tarfile.FIFOTYPE}
    path = write(tmp_path / "s.tar", {**others, **members}, form)
    found, left = tars.pictures_in([path])
    assert {member.name: member.read() for member in found} == members
    assert left == {".cls": 1, "no regular file": 4}


def test_shards_are_one_set(tmp_path, rng):
    pictures = [encoded(rng) for _ in range(4)]
    for i in range(2):
        write(tmp_path / f"s-{i:03d}.tar", {f"{n}.png": pictures[2 * i + n] for n in range(2)})
    ranged, folder = PictureSet(f"{tmp_path}/s-{{000..001}}.tar"), PictureSet(tmp_path)
    assert len(ranged) == len(folder) == 4
    assert [ranged.name(i) for i in (0, 3)] == ["s-000.tar/0.png", "s-001.tar/1.png"]
    assert ranged.fingerprint() == folder.fingerprint()
    assert len(PictureSet(tmp_path / "s-001.tar", limit=1)) == 1
    for i in range(4):
        Path(tmp_path, "one.png").write_bytes(pictures[i])
        alone = PictureSet(tmp_path).picture(0)  # tars beside pictures are left out
        assert np.array_equal(ranged.picture(i), alone)
    assert "2 x .tar" in PictureSet(tmp_path).left_out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:600], "it is cut off: a member at byte 512 has"),
        (lambda data: data[:100], "it is no tar file, or a compressed one"),
        (lambda data: b"\x1f\x8b" + data[2:], "it is no tar file, or a compressed one"),
        (lambda data: data[:130] + b"9" + data[131:], "it is no tar file"),
        (lambda data: changed(data, 124, b"77777777777\0"), "it is cut off"),
        (lambda data: changed(data, 124, b"\x80" + 11 * b"\xff"), "it is cut off"),
        (lambda data: changed(data, 124, b"\xff" + 11 * b"\xff"), "a size of"),
        (lambda data: changed(data, 124, b"-0000000100\0"), "a size of"),
        (lambda data: changed(data, 156, b"L", b"00010000000\0"), "it is cut off"),
        (lambda data: pax(b"19 size=9999999999\n") + data, "it is cut off"),
        (lambda data: pax(b"13 size=-512\n") + data, "a size of b'-512'"),
    ],
)
def test_a_hostile_file_is_one_line(tmp_path, rng, change, said):
    path = write(tmp_path / "s.tar", {"1.png": encoded(rng)})
    Path(path).write_bytes(change(Path(path).read_bytes()))
    with pytest.raises(MinicnnError, match=r"cannot read the tar file '.*s.tar'") as error:
        PictureSet(path)
    assert said in str(error.value)


def changed(data, at, value, size=None):
    """Return a tar with other bytes in its first header, whose sum is right again."""
    head = bytearray(data[:512])
    head[at : at + len(value)] = value
    if size:
        head[124:136] = size
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head) + data[512:]


def pax(record):
    """Return a member of kind x."""
    head = tarfile.TarInfo("x").tobuf()
    size = f"{len(record):011o}\0".encode()
    return changed(changed(head, 156, b"x"), 124, size) + record.ljust(512, b"\0")


def test_a_name_too_long_to_be_one(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(tars, "LONGEST_RECORD", 100)
    path = write(tmp_path / "s.tar", {LONG: encoded(rng)})
    with pytest.raises(MinicnnError, match=r"a name of .* bytes at byte 512"):
        PictureSet(path)


def test_a_picture_too_large(tmp_path, monkeypatch, rng):
    small, large = encoded(rng), encoded(rng) + bytes(5000)
    monkeypatch.setattr(tars, "LARGEST", 4999)
    path = write(tmp_path / "s.tar", {"1.png": large, "2.png": small})
    found, left = tars.pictures_in([path])
    assert [member.name for member in found] == ["2.png"]
    assert sum(left.values()) == 1


@pytest.mark.parametrize("name", ["s-{5..1}.tar", "s-{0..9999999}.tar", "s-{000..001}.tar"])
def test_shards_that_cannot_be(tmp_path, name):
    with pytest.raises(MinicnnError, match=r"use at most 100,000|s-000.tar': No such file"):
        PictureSet(tmp_path / name)
