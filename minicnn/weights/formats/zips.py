"""Zip archives, read with distrust: no member twice, no bombs, no encryption."""

import io
import zipfile

from minicnn.errors import MinicnnError

MAX_MEMBERS = 20_000


def open_zip(data: bytes) -> zipfile.ZipFile:
    """Open an archive in memory.

    Raises
    ------
    MinicnnError
        If it is damaged, or two members have the same name.
    """
    archive = zipfile.ZipFile(io.BytesIO(data))
    names = archive.namelist()
    if len(names) > MAX_MEMBERS:
        raise MinicnnError(f"a zip archive with {len(names)} members")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MinicnnError(f"a zip archive with two members named {twice[:60]}")
    return archive


def read_member(archive, name: str, budget) -> bytes:
    """Return the bytes of a member; its checksum is verified.

    Raises
    ------
    KeyError
        If there is no such member.
    MinicnnError
        If it is larger than such a file can hold.
    """
    entry = archive.getinfo(name)
    budget.take((entry.file_size,))
    with archive.open(entry) as file:
        raw = file.read(entry.file_size)
    if len(raw) != entry.file_size:
        raise MinicnnError(f"{name[:60]} has {len(raw)} bytes instead of {entry.file_size}")
    return raw
