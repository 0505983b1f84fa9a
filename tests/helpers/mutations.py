"""Damaged copies of a file, and a child process that reads them within bounded memory and time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import minicnn

MEMORY = 3 << 30  # address space of the child: generous, since libraries reserve more than they use
HUGE = (0xFF, 0x7F, 0x80, 0x00, 0x01)


def mutate(data: bytes, rng) -> bytes:
    """Return a damaged copy: flipped bits, huge lengths, cuts, blocks moved or doubled."""
    data = bytearray(data)
    kind = rng.integers(8)
    if kind == 0:
        return bytes(data[: _place(data, rng)])
    if kind == 1:  # a block is copied over another
        size = int(rng.integers(1, 65))
        start, end = _place(data, rng), _place(data, rng)
        data[end : end + size] = data[start : start + size]
    elif kind == 2:  # a block is put in, or doubled
        start, size = _place(data, rng), int(rng.integers(1, 65))
        data[start:start] = data[start : start + size]
    elif kind == 3:  # a block is lost
        start = _place(data, rng)
        del data[start : start + int(rng.integers(1, 65))]
    elif kind == 4:  # a length becomes huge, negative or zero
        start, size = _place(data, rng), int(rng.choice([1, 2, 4, 8]))
        data[start : start + size] = bytes([rng.choice(HUGE)] * size)[: len(data) - start]
    else:
        for _ in range(int(rng.integers(1, 9))):
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _place(data, rng):
    """A place in the file: half of them where the structure is, at the two ends."""
    size = len(data)
    near = min(size, 4096)
    choice = rng.integers(4)
    if choice == 0:
        return int(rng.integers(near))
    if choice == 1:
        return int(size - 1 - rng.integers(near))
    return int(rng.integers(size))


def read_copies(paths, count, seed, folder, *, start=0):
    """Read `count` damaged copies of each file in a child process.

    The child has a limit on its memory, and is killed if one copy takes longer than its alarm.

    Returns
    -------
    reports : {path: dict}
        For each file that it came to the end of: "read", "refused" (numbers), "seconds" (the
        longest), "megabytes" (the most so far), "opened" (what else was opened or run).
    end : str
        Empty if all went well; else the copy that was being read, and what the child said.
    """
    options = json.dumps([[str(path) for path in paths], count, seed, str(folder), start])
    script = [sys.executable, "-W", "error", str(Path(__file__).with_name("read_mutations.py"))]
    env = {**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])}
    run = subprocess.run([*script, options], capture_output=True, text=True, env=env, check=False)
    reports = dict(json.loads(line) for line in run.stdout.splitlines())
    if run.returncode == 0:
        return reports, ""
    last = (Path(folder) / "last").read_text()
    return reports, f"{last}: exit code {run.returncode}: {run.stderr[-2000:]}"
