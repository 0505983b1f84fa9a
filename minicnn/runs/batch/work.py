"""One row of a batch: passed over if its picture is there, made otherwise, and told as a record.

A picture is there if it was made from the same: verb, settings, bytes of the pictures read and
weights, as its own record says (`runs.provenance`), and the run had come to its end.
"""

import os
import threading
from dataclasses import replace
from pathlib import Path

from minicnn.engine import kept
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.errors import MinicnnError
from minicnn.optimizers.resumable import SUFFIX
from minicnn.pictures.writer import read_metadata
from minicnn.runs import provenance
from minicnn.runs.failures import in_words
from minicnn.runs.outputs import Outputs
from minicnn.runs.picture_run import UNFINISHED
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal.report import Report

MADE, FINISHED, FAILED, STOPPED = "made", "finished", "failed", "interrupted"
WITHOUT_RECORD = ("npz", "gif")
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
            code = verb.make(row.settings, _going_on(row.outputs, force), told)
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
    job, status = verb.open_job(row.settings), None
    about = provenance.metadata(job, provenance.checked_weights(job.net), {})
    for what, path in paths.items():
        if what in WITHOUT_RECORD:
            continue
        found = _record(path)
        others = provenance.differing(found, about)
        if others and not force:
            raise MinicnnError(
                f"{path!r} exists already and was made from something else: "
                f"{', '.join(others[:3])}; give another name, or --force to replace it"
            )
        if others:
            return False
        status = found["result"]["status"] if what == "output" else status
    return len(paths) == len(row.files()) and status not in (None, *UNFINISHED)


def _record(path):
    try:
        return read_metadata(path)
    except MinicnnError:
        return {}  # of another program, or damaged


def _going_on(outputs, force):
    """Return the outputs of a row so that it goes on from its checkpoint, where there is one."""
    if force or not isinstance(outputs, Outputs):
        return outputs
    checkpoint = outputs.checkpoint or f"{outputs.output}{SUFFIX}"
    return replace(outputs, resume=os.path.exists(checkpoint))


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
