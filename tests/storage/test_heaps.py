import mmap
import struct

import pytest

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening

PAGE = mmap.PAGESIZE


def heap(own):
    """A heap of 64 bytes with one object of `own` bytes, the rest free."""
    body = struct.pack("<HH4xQ", 1, 1, own) + bytes(own) + struct.pack("<H6xQ", 0, 32 - own)
    return (hdf5_screening.HEAP + struct.pack("<Q", 64) + body).ljust(64, b"\0")


@pytest.mark.smoke
@pytest.mark.parametrize("own", [16, 1 << 40])
@pytest.mark.parametrize("place", [0, PAGE - 64, PAGE - 7, PAGE - 1, PAGE, 3 * PAGE - 64])
def test_a_heap_is_found_wherever_it_begins(tmp_path, monkeypatch, place, own):
    """Also on the edge of two pieces; what was searched before is given back to the system."""
    monkeypatch.setattr(hdf5_screening, "PIECE", PAGE)
    data = bytearray(3 * PAGE)
    data[place : place + 64] = heap(16)[:24] + struct.pack("<Q", own) + heap(16)[32:]
    (tmp_path / "f.h5").write_bytes(data)
    if own == 16:
        assert hdf5_screening.check_heaps(bytes(data)) == 16  # the longest text
        assert hdf5_screening.check_file(tmp_path / "f.h5") == 16
        return
    with pytest.raises(MinicnnError, match="objects of impossible sizes"):
        hdf5_screening.check_heaps(bytes(data))
    with pytest.raises(MinicnnError, match="truncated or damaged"):
        hdf5_screening.check_file(tmp_path / "f.h5")
