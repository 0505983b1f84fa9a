"""Which way a convolution goes on a device: timed when a plan is made, and remembered.

With columns and a product of cuBLASLt, or without, by one of the kernels of `kernels/convolve.cu`:
which is faster depends on the card and on the shapes, and no rule is right for all. So each way is
timed once. Another plan for the same shapes on the same card, in this run or a later one, goes the
same ways, and so gives the same bits. A way that computes something else than the first one is not
taken.
"""

import contextlib
import json
import math
import sys

from minicnn.errors import MinicnnError
from minicnn.kernels.loader import TILES
from minicnn.storage.atomic import write_whole
from minicnn.storage.cache_folder import cache
from minicnn.terminal.report import say

COLUMNS = "columns"
WAYS = (COLUMNS, *TILES)  # the latter by these kernels, in tf32 and fp16
FILE = "gpu_ways.json"  # in the cache folder
MOST_BYTES = 1 << 20
SAMPLES = 1 << 20  # about so many numbers of a result are compared
TOLERANCE = 0.02  # of the largest magnitude: rounding alone is a tenth of it


class Ways:
    """The times of the ways on one device.

    Parameters
    ----------
    device : str
        What tells it, its software and the kernels from others.
    milliseconds : callable
        How long a function takes, see `cuda.Cuda.milliseconds`.
    """

    def __init__(self, device, milliseconds):
        self._device, self._milliseconds, self._new = device, milliseconds, {}
        self._known = _read().get(device, {})

    def best(self, what, works, out):
        """Return the fastest way of works, {way: function that fills out}, to compute `what` (str).

        The first way is the one that the others are compared with.
        """
        times = self._known.get(what, {})
        if set(times) != set(works):
            times, wanted = {}, None
            some = out.reshape(-1)[:: out.size // SAMPLES | 1]  # odd: of all channels
            for way, work in works.items():
                times[way] = self._milliseconds(work)
                wanted = some.copy() if wanted is None else wanted
                if not _alike(some, wanted):
                    times[way] = math.inf
                    _note(f"{way} is wrong on this device and is not used: {what}")
            self._known[what] = self._new[what] = times
        return min(works, key=times.get)

    def remember(self):
        """Write what is new into the file; others may have written there since it was read."""
        if not self._new:
            return
        found = _read()
        found.setdefault(self._device, {}).update(self._new)
        try:
            cache().mkdir(parents=True, exist_ok=True)
            write_whole(cache() / FILE, json.dumps(found, indent=1).encode())
        except (MinicnnError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            _note(f"how fast the ways of convolutions are is not remembered: {reason}")
        self._new = {}


def _read():
    """Return {device: {what: {way: milliseconds}}}; nothing of a file that is not this."""
    try:
        with open(cache() / FILE, "rb") as file:
            found = json.loads(file.read(MOST_BYTES))
    except (MinicnnError, OSError):
        return {}
    except (ValueError, RecursionError):
        found = None
    if not _is_ours(found):
        _note(f"{FILE} in the cache folder is damaged and is made again")
        return {}
    return found


def _alike(found, wanted):
    return float(abs(found - wanted).max()) <= TOLERANCE * float(abs(wanted).max())


def _is_ours(found):
    with contextlib.suppress(AttributeError):  # of what is no dict
        times = [ms for known in found.values() for one in known.values() for ms in one.values()]
        return all(isinstance(ms, float) and ms > 0 for ms in times)
    return False


def _note(text):
    say(f"minicnn: {text}", sys.stderr)
