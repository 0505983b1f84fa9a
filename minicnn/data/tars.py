"""Pictures in tar files, such as the shards of WebDataset: found by their headers, read in place.

    train-{0000..0146}.tar      these files, in order
    train-0000.tar              one of them

    member   512 bytes of header, then its bytes, filled up with zeros to a multiple of 512
    header   name [0:100], size [124:136], checksum [148:156], kind [156], prefix [345:500]

Nothing is unpacked: no name of a member is ever opened. Links, devices and sparse files are left
out. A long name or size comes in a member of its own before (kinds x of POSIX, L of GNU).
"""

import os
import re
from collections import Counter
from typing import NamedTuple

from minicnn.data.walk import picture_suffixes
from minicnn.errors import MinicnnError

BLOCK = 512
LONGEST_RECORD = 1 << 20  # bytes of a member that only says a name
LARGEST = 256 << 20  # bytes of a picture
MOST_SHARDS = 100_000
REGULAR, FOLDER, WITHOUT_BYTES = b"0\07", b"5", b"123456"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Member(NamedTuple):
    """A picture in a tar file."""

    file: str
    name: str
    start: int
    size: int

    def read(self):
        """Return its bytes."""
        with open(self.file, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


def shards(path):
    """Return the tar files of a name with ranges, train-{000..146}.tar, in order."""
    found = RANGE.search(path)
    if not found:
        return [path]
    first, last = map(int, found.groups())
    if not first <= last < first + MOST_SHARDS:
        raise MinicnnError(
            f"{path!r} asks for shards {first} to {last}; use at most {MOST_SHARDS:,} from a "
            "smaller to a larger number"
        )
    numbers = [f"{i:0{len(found[1])}d}" for i in range(first, last + 1)]
    begin, end = path[: found.start()], path[found.end() :]
    return [name for number in numbers for name in shards(f"{begin}{number}{end}")]


def pictures_in(paths):
    """Return ([`Member`], others) of tar files: pictures, and a Counter of what else is there.

    Raises
    ------
    MinicnnError
        If a file is missing, no tar file, compressed, damaged or cut off.
    """
    found, others, suffixes = [], Counter(), picture_suffixes()
    for path in paths:
        try:
            with open(path, "rb", buffering=0) as file:
                for name, start, size in _members(file, others):
                    base = os.path.basename(name)
                    suffix = os.path.splitext(base)[1].lower()
                    if base.startswith("."):
                        continue
                    if suffix not in suffixes:
                        others[suffix or "no suffix"] += 1
                    elif size > LARGEST:
                        others[f"picture of more than {LARGEST >> 20} MiB"] += 1
                    else:
                        found.append(Member(str(path), name, start, size))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MinicnnError(f"cannot read the tar file {str(path)!r}: {reason}") from None
    return found, others


def _members(file, others):
    """Yield (name, start, size) of the regular files; a ValueError says what is wrong."""
    whole, at, said = os.fstat(file.fileno()).st_size, 0, {}
    while at < whole:
        file.seek(at)
        head = file.read(BLOCK)
        if len(head) == BLOCK and not any(head):
            return  # the end is two blocks of zeros
        _check(head, at)
        kind, size = head[156:157], said.get("size", _number(head[124:136], at))
        start = at + BLOCK
        at = start if kind in WITHOUT_BYTES else start + -(-size // BLOCK) * BLOCK
        if kind not in WITHOUT_BYTES and start + size > whole:
            raise ValueError(f"it is cut off: a member at byte {start} has {size} bytes")
        if kind in b"xLgK":
            if size > LONGEST_RECORD:
                raise ValueError(f"a name of {size} bytes at byte {start}")
            if kind in b"xL":
                said |= _said(kind, file.read(size))
            continue
        name = said.get("name") or _name(head)
        if kind not in REGULAR or "sparse" in said:
            others["no regular file"] += kind != FOLDER
        else:
            yield name, start, size
        said = {}


def _check(head, at):
    """Refuse what is no header, by its sum."""
    if len(head) == BLOCK:
        stored = head[148:156].strip(b" \0")
        total = sum(head) - sum(head[148:156]) + 8 * ord(" ")
        if re.fullmatch(rb"[0-7]{1,7}", stored) and int(stored, 8) == total:
            return
    if at:
        raise ValueError(f"it is damaged at byte {at}")
    raise ValueError("it is no tar file, or a compressed one; unpack it: gunzip, unxz, unzstd")


def _number(field, at):
    """Return a size: octal digits, or base 256 where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ValueError(f"it is damaged at byte {at}: a size of {digits!r}")
    return int(digits or b"0", 8)


def _name(head):
    parts = [head[:100]]
    if head[257:262] == b"ustar" and head[262:263] == b"\0":  # of POSIX; GNU has other things there
        parts.insert(0, head[345:500])
    names = [part.partition(b"\0")[0] for part in parts]
    return b"/".join(filter(None, names)).decode("utf-8", "replace")


def _said(kind, data):
    """Return what a member says of the next one: name, size, sparse."""
    if kind == b"L":
        return {"name": data.partition(b"\0")[0].decode("utf-8", "replace")}
    said, at = {}, 0
    while at < len(data):  # "18 path=town/1.jpg\n", the number being the length of all that
        length = data[at : at + 8].partition(b" ")[0]
        if not length.isdigit() or int(length) < 5:
            break
        key, _, value = data[at : at + int(length) - 1].partition(b" ")[2].partition(b"=")
        at += int(length)
        if key == b"path":
            said["name"] = value.decode("utf-8", "replace")
        elif key == b"size":
            if not re.fullmatch(rb"\d{1,19}", value):
                raise ValueError(f"a size of {value[:20]!r}")
            said["size"] = int(value)
        elif key.startswith(b"GNU.sparse"):
            said["sparse"] = True
    return said
