"""One row of a batch: passed over if its picture is there, made otherwise, and told as a record.

A picture is there if it was made from the same: verb, settings, bytes of the pictures read and
weights, as its own record says (`runs.provenance`), and the run had come to its end.
"""

import os
import threading
from pathlib import Path

from minicnn.engine import kept
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.errors import MinicnnError
from minicnn.pictures.writer import read_metadata, recorded
from minicnn.runs import provenance
from minicnn.runs.failures import in_words
from minicnn.runs.search import GOES_ON
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal.report import Report

MADE, FINISHED, FAILED, STOPPED = "made", "finished", "failed", "interrupted"
ENDS = ("done", *GOES_ON)  # of a run whose picture is what was wanted
SAME = ("verb", "settings", "inputs", "weights")
_own = threading.local()  # of a worker's thread, what it keeps from row to row


class Told(Report):
    """A report that keeps what a verb says, for the record of a row."""

    def __init__(self):
        super().__init__(quiet=True)
        self.notes, self.values = [], {}

    def note(self, text, *, once=False):
        """Keep a note."""
        self.notes.append(text)

    def result(self, text, /, **values):
        """Keep the result, but for the course of the loss, which the picture has in short."""
        self.values = {name: value for name, value in values.items() if name != "trace"}


def do(row, verb_of, *, force=False, processes=1, folder=None):
    """Make the picture of a row if it is not there; return the record, plain values.

    Parameters
    ----------
    row : rows.BatchRow
    verb_of : callable, name -> verb
    force : bool
        Replace files that were made from something else.
    processes : int
        How many share the memory of this machine.
    folder : path, optional
        Where the names of the row are meant.
    """
    if not hasattr(_own, "kept"):
        _own.kept = kept.Kept(kept.limit_for(processes))
    record = _head(row)
    told = Told()
    try:
        if folder and os.getcwd() != folder:
            os.chdir(folder)
        with kept.keeping(_own.kept), one_blas_thread():
            verb = verb_of(row.verb)
            if finished(row, verb, force):
                return {**record, "status": FINISHED}
            code = verb.make(row.settings, row.outputs, told)
    except KeyboardInterrupt:
        return {**record, "status": STOPPED, "message": "interrupted; nothing was saved"}
    except Exception as error:
        if (message := in_words(error)) is None:
            raise
        return {**record, "status": FAILED, "message": " ".join(message.split())}
    status = {0: MADE, INTERRUPTED: STOPPED}.get(code, FAILED)
    ended = {} if status == MADE else {"message": "; ".join(told.notes[-1:])}
    values = {name: v for name, v in told.values.items() if name not in ("output", "status")}
    return {**record, "status": status, **ended, **values}


def killed(row):
    """Return the record of a row whose process was killed."""
    message = (
        "its process was killed, as systems do where memory runs out; use fewer --jobs, or a "
        "smaller size"
    )
    return {**_head(row), "status": FAILED, "message": message}


def _head(row):
    return {
        "row": row.number,
        "place": row.place,
        "verb": row.verb,
        "output": row.outputs.output,
    }


def finished(row, verb, force=False):
    """Return whether the files of a row are there, made from what it says, and done.

    Raises
    ------
    MinicnnError
        If they were made from something else, and `force` is not set; or if the row could not be
        made at all.
    """
    paths = {what: path for what, path in row.files().items() if os.path.exists(path)}
    if not paths:
        return False
    if "npz" in paths and "output" not in paths and not force:
        raise MinicnnError(f"{paths['npz']!r} exists already; give another name, or --force")
    found = {}
    for what, path in paths.items():
        found[what] = _record(path) if what not in ("npz", "gif") else None
    wanted = _wanted(row, verb)
    for what, made in found.items():
        differs = made is not None and [name for name in SAME if made.get(name) != wanted[name]]
        if differs and not force:
            raise MinicnnError(
                f"{paths[what]!r} exists already and was made from something else: "
                f"{_difference(made, wanted, differs)}; give another name, or --force to replace it"
            )
        if differs:
            return False
    done = found.get("output") or {}
    return len(paths) == len(row.files()) and done.get("result", {}).get("status") in ENDS


def _record(path):
    try:
        return read_metadata(path)
    except MinicnnError:
        return {}  # of another program, or damaged


def _wanted(row, verb):
    """Return what the record of a finished picture says of where it comes from."""
    job = verb.open_job(row.settings)
    record = provenance.metadata(job, provenance.checked_weights(job.net), {})
    return recorded({name: record[name] for name in SAME})


def _difference(made, wanted, differs):
    """Return in words what is another one, the first things first."""
    if not made:
        return "it has no record of minicnn"
    name = differs[0]
    a, b = made.get(name), wanted[name]
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return f"{name} {a}, not {b}"
    keys = sorted(key for key in {*a, *b} if a.get(key) != b.get(key))
    if name == "settings":
        return ", ".join(f"{key} {a.get(key)}, not {b.get(key)}" for key in keys[:3])
    return f"other {name}: {', '.join(keys)}"


def listed(row, verb_of, folder=None):
    """Return the record of a row that is not touched: finished, or what it lacks."""
    record = _head(row)
    try:
        there = finished(row, verb_of(row.verb))
        message = None if there else "not there" if not _any(row) else "not finished"
    except MinicnnError as error:
        there, message = False, str(error)
    return {**record, "status": FINISHED if there else "missing", "message": message}


def _any(row):
    return any(Path(path).exists() for path in row.files().values())
