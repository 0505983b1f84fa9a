"""Parts of a long run, one for each machine: the i-th of n, or as the arrays of Slurm count."""

import os

from minicnn.errors import MinicnnError
from minicnn.runs.settings import Kind

AUTO = "auto"


def _read(written):
    if written == AUTO:
        return _of_slurm(os.environ)
    i, n = map(int, written.split("/"))
    return i, n


def _of_slurm(variables):
    """Return (i, n) from 1 on, of the variables that Slurm sets for a task of an array."""
    names = [f"SLURM_ARRAY_TASK_{word}" for word in ("ID", "MIN", "COUNT")]
    step = variables.get("SLURM_ARRAY_TASK_STEP", "1")
    values = [*map(variables.get, names), step]
    if not all(value is not None and value.isdigit() for value in values) or step == "0":
        raise MinicnnError(
            f"a shard {AUTO} is for a job array of Slurm, which sets {', '.join(names)}; write 2/8 "
            "for the second of eight"
        )
    at, first, count, step = map(int, values)
    return (at - first) // step + 1, count


SHARD = Kind(
    _read,
    lambda shard: 1 <= shard[0] <= shard[1],
    f"a part; write 2/8 for the second of eight, or {AUTO} in a job array of Slurm",
    "I/N",
)
