"""Calls to NumPy that are noted once and made again and again.

Making the views of a small call takes longer than the call, and holds the interpreter lock, for
which the other threads wait. So what is evaluated often is noted first, with all its views, as a
program: a list of `ProgramStage`s.
"""

import math
from functools import partial
from itertools import pairwise, zip_longest

import numpy as np

from minicnn.engine.cpu.aligned import LINE
from minicnn.engine.cpu.threads import at_hand

WORKERS = 4  # up to so many are to have like shares
SHARE_WORK = 10_000_000  # multiplications, about a fifth of a millisecond
BY_PLACE = np.matmul, np.add, np.multiply  # NumPy reads their `out` faster by place than by name
PASS_WORK = 50  # what a pass over the numbers of an array counts, for each of them


class Calls:
    """Calls one after the other, with the `Scratch` they use; by default that of this thread.

    Their arrays lie where those of other calls lie, but behind those of `room` if it is given.
    """

    def __init__(self, scratch=None, room=None):
        self._scratch = scratch or at_hand().scratches[0]
        self._end = 0 if room is None else room._end
        self._held, self._noted = {}, []

    def buffer(self, name, shape, dtype):
        """Return an uninitialised array, in the memory of all arrays of that name.

        Where a larger array is wanted than before, those made before keep their own memory.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = self._scratch.part(self._end, size)
            self._end += -(-size // LINE) * LINE
        return held[:size].view(dtype).reshape(shape)

    def add(self, function, *args, **kwargs):
        """Note a call."""
        if function in BY_PLACE:
            args = (*args, kwargs.pop("out"))
        self._noted.append(partial(function, *args, **kwargs))

    def __len__(self):
        return len(self._noted)

    def __call__(self):
        """Make all calls."""
        for call in self._noted:
            call()


class ProgramStage:
    """Parts of a program that do not depend on each other: `Calls`, no two with one scratch.

    `work` is multiplications in all, which say how many `workers` there are to be.
    """

    def __init__(self, parts, work=0):
        self.parts, self.work = parts, work
        self.workers = min(len(parts), worth(work))

    def do(self, worker):
        """Make the calls of one of the workers; others have none."""
        if worker < self.workers:
            for calls in self.parts[worker :: self.workers]:
                calls()


def cut(N, P, wanted):
    """Cut N pictures of P rows into [(slice of pictures, (first, last + 1) row), ...].

    Whole pictures if several have the `wanted` rows; else like parts of each, which two or four
    workers can share.
    """
    if N > 1 and wanted >= P:
        step = wanted // P
        return [(slice(n, min(n + step, N)), (0, P)) for n in range(0, N, step)]
    count = min(P, WORKERS * -(-P // (WORKERS * max(1, wanted))))
    edges = [P * i // count for i in range(count + 1)]
    return [(slice(n, n + 1), rows) for n in range(N) for rows in pairwise(edges)]


def share(scratches, items, note, work, room=None):
    """Return a `ProgramStage` of `work`; its parts each have a scratch and some neighbouring items.

    note(calls, item) notes the calls of an item. The arrays of `room` in the first scratch stay.
    """
    count = max(1, min(len(scratches), len(items)))
    edges, parts = [len(items) * i // count for i in range(count + 1)], []
    for scratch, (first, last) in zip(scratches, pairwise(edges), strict=False):
        parts.append(Calls(scratch, None if parts else room))
        for item in items[first:last]:
            note(parts[-1], item)
    return ProgramStage(parts, work)


def alone(function):
    """Return a `ProgramStage` of one call."""
    calls = Calls()
    calls.add(function)
    return ProgramStage([calls])


def beside(*stages):
    """Return stages that do not depend on each other as one."""
    merged = []
    for parts in zip_longest(*(stage.parts for stage in stages)):
        calls = Calls()
        calls._noted = [call for part in parts if part for call in part._noted]
        merged.append(calls)
    return ProgramStage(merged, sum(stage.work for stage in stages))


def worth(work):
    """Return how many workers are worth waking for so many multiplications."""
    return max(1, work // SHARE_WORK)
