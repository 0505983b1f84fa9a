"""Losses and accuracies of training runs, from wherever they are kept.

a folder of `minicnn train`     its log.csv, which grows by a row an epoch while it runs
log.csv itself
a weight file                   the history in its attribute `training`
"""

import csv
import math
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.methods.training.state import LOG
from minicnn.weights import checkpoint


def read_history(path):
    """Return the records of a run's epochs, a list of {"epoch": int, "loss": float, ...}.

    Parameters
    ----------
    path : path, or the name of a network at hand

    Raises
    ------
    MinicnnError
        If there is no such run, or it has no epoch yet.
    """
    where = Path(path)
    if where.is_dir():
        if not (where / LOG).is_file():
            raise MinicnnError(f"{path} has no {LOG} yet; it is written after the first epoch")
        where = where / LOG
    if where.suffix == ".csv":
        return _from_csv(where)
    training = checkpoint.info(path).get("training")
    history = training.get("history") if isinstance(training, dict) else None
    if not isinstance(history, list) or not all(
        isinstance(r, dict) and isinstance(r.get("epoch"), int) for r in history
    ):
        history = None
    if not history:
        raise MinicnnError(f"{path} does not say how it was trained; `minicnn train` writes that")
    return history


def _from_csv(path):
    """Return the records of a log; an empty cell is nothing that was measured."""
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MinicnnError(f"cannot read {path}: {error}") from None
    if not rows or "epoch" not in rows[0]:
        raise MinicnnError(f"{path} holds no epochs; give the log.csv of `minicnn train`")
    found = []
    for number, row in enumerate(rows, 2):
        try:
            record = {k: float(v) for k, v in row.items() if k and v}
            record["epoch"] = int(record["epoch"])
        except (KeyError, ValueError, TypeError, OverflowError):
            raise MinicnnError(f"{path}: line {number} is no record of an epoch") from None
        found.append({k: v for k, v in record.items() if math.isfinite(v)})
    return found
