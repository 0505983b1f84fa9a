"""Zip archives, read with distrust: no member twice, no bombs, no rare compression."""

import io
import zipfile

from minicnn.errors import MinicnnError

ENTRY = b"PK\1\2"  # what an entry of the table of members begins with
STEPS = 10  # that an entry costs


def open_zip(data: bytes, budget) -> zipfile.ZipFile:
    """Open an archive in memory.

    Raises
    ------
    MinicnnError
        If it is damaged, has too many members, or two of the same name.
    """
    budget.step(STEPS * data.count(ENTRY))
    archive = zipfile.ZipFile(io.BytesIO(data))
    seen = set()
    for name in archive.namelist():
        if name in seen:
            raise MinicnnError(f"a zip archive with two members named {name[:60]}")
        seen.add(name)
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
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MinicnnError(f"{name[:60]} is compressed in a way that is not read")
    budget.take(entry.file_size, name[:60])
    with archive.open(entry) as file:
        raw = file.read(entry.file_size)
    if len(raw) != entry.file_size:
        raise MinicnnError(f"{name[:60]} has {len(raw)} bytes instead of {entry.file_size}")
    return raw
