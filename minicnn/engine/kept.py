"""What one run has made and the next one can use: networks, their evaluators, targets, pictures.

    with keeping(Kept(2**30)):          for runs one after another in this thread
        ...
        once(key, make, size)           make() the first time, the same thing for this key() later

Outside of `keeping` nothing is kept. What is kept must not be changed by those who use it.
"""

import hashlib
import math
import os
import threading
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np

from minicnn.backend import to_host
from minicnn.engine import memory

MOST = 4 * 2**30  # bytes that are kept at most
SHARE = 0.25  # of the memory that is there
_here = threading.local()


class Kept:
    """Things by their keys, of at most `limit` bytes together; those used last stay longest."""

    def __init__(self, limit):
        self.limit, self.bytes = limit, 0
        self._things = OrderedDict()

    def once(self, key, make, size, end=None):
        """Return the thing of a key, made by make() if it is not there; it has size(thing) bytes.

        A thing that is larger than all that may be kept is made each time. end(thing) is called
        when a kept one has to go.
        """
        if key in self._things:
            self._things.move_to_end(key)
            return self._things[key][0]
        made = make()
        if (count := size(made)) <= self.limit:
            self._things[key] = made, count, end
            self.bytes += count
            while self.bytes > self.limit:
                _, (gone, count, end) = self._things.popitem(last=False)
                self.bytes -= count
                if end:
                    end(gone)
        return made

    def __contains__(self, thing):
        return any(thing is other for other, *_ in self._things.values())


def limit_for(processes):
    """Return how many bytes each of so many processes may keep."""
    room = memory.available()
    return int(min(MOST, MOST if room is None else SHARE * room) / processes)


@contextmanager
def keeping(kept):
    """Context in which what this thread makes `once` is kept in a `Kept`."""
    before, _here.kept = getattr(_here, "kept", None), kept
    try:
        yield
    finally:
        _here.kept = before


def once(key, make, size, end=None):
    """Return make(), or what it has made before for this key(); see `Kept.once`."""
    kept = getattr(_here, "kept", None)
    return make() if kept is None else kept.once(key(), make, size, end)


def is_kept(thing):
    """Return whether another one may get this thing by `once`."""
    return thing in (getattr(_here, "kept", None) or ())


def arrays_bytes(arrays):
    """Return the bytes of {name: array}."""
    return sum(array.nbytes for array in arrays.values())


def host_bytes(arrays):
    """Return the same, or infinity for arrays of a GPU, whose memory is not counted here."""
    on_host = all(isinstance(array, np.ndarray) for array in arrays.values())
    return arrays_bytes(arrays) if on_host else math.inf


def of_file(path):
    """Return what tells a file from what it is after a change; (path, None) if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return str(path), None
    return str(path), (found.st_ino, found.st_size, found.st_mtime_ns)


def digest(array):
    """Return a hash of the shape, dtype and values of an array; None of None."""
    if array is None:
        return None
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(np.ascontiguousarray(to_host(array)))
    return digest.hexdigest()


def network_key(net):
    """Return what stands for the layers and parameters of a network, as long as it lives."""
    return tuple(net.nodes), tuple((name, id(array)) for name, array in net.params.items())
