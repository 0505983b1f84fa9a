"""A batch from its settings to its summary: rows read and checked, done, told in their order."""

import time
from functools import partial

from minicnn.runs.batch import manifest, pools, rows, work
from minicnn.storage.atomic import results_folder
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal.report import Report, duration

FAILED = 1
WORDS = {  # status -> what is said of a row
    work.MADE: "{output}: made, {width} x {height}, in {seconds:.3g} s",
    work.FINISHED: "{output}: was finished before",
    work.FAILED: "{output}: failed: {message} ({place})",
    work.STOPPED: "{output}: {message} ({place})",
    "missing": "{output}: {message} ({place})",
}


def batch(settings, verb_of, verbs) -> int:
    """Do a batch; return the exit code.

    Parameters
    ----------
    settings : BatchSettings
    verb_of : callable, name -> verb; a function of a module, which other processes can find
    verbs : list of str
    """
    settings.check()
    report = Report(settings.json, settings.quiet)
    found = rows.rows_of(manifest.read(settings), settings, verb_of, verbs)
    i, n = settings.shard or (1, 1)
    own = found[i - 1 :: n]
    if settings.missing:
        return _list_missing(own, verb_of, report)
    results_folder(settings.output, ())
    how = {"force": settings.force, "processes": settings.processes()}
    do = partial(work.do, verb_of=verb_of, **how)
    started, counts, interrupted = time.monotonic(), {}, False
    with report.progress(len(own) or 1, "row") as progress:
        told = _in_order(own, _pool(settings, own, do))
        try:
            for done, record in enumerate(told, 1):
                counts[record["status"]] = counts.get(record["status"], 0) + 1
                _tell(report, record)
                progress.update(done, {})
        except KeyboardInterrupt:
            interrupted = True
    _summarise(report, own, counts, time.monotonic() - started)
    if interrupted or work.STOPPED in counts:
        return INTERRUPTED
    return FAILED if work.FAILED in counts else 0


def _pool(settings, own, do):
    if settings.scheduler:
        from minicnn.runs.batch import cluster

        return cluster.workers(own, do, settings.scheduler)
    if settings.processes() > 1 or settings.device:
        return pools.processes(own, do, settings.processes(), settings.devices())
    return pools.alone(own, do)


def _in_order(own, records):
    """Yield records in the order of the rows, each as soon as those before are there.

    Where rows are left out, after an interruption, the rest comes at the end.
    """
    waiting, order = {}, iter(own)
    wanted = next(order, None)
    for record in records:
        waiting[record["row"]] = record
        while wanted and wanted.number in waiting:
            yield waiting.pop(wanted.number)
            wanted = next(order, None)
    for number in sorted(waiting):
        yield waiting[number]


def _tell(report, record):
    report.event("row", **record)
    report.tell(WORDS[record["status"]].format(**record))


def _summarise(report, own, counts, seconds):
    left = len(own) - sum(counts.values())
    words = [f"{count} {status}" for status, count in counts.items()]
    words += [f"{left} not begun"] * bool(left)
    report.result(
        f"{len(own)} rows in {duration(seconds)}: {', '.join(words) or 'nothing to do'}",
        rows=len(own),
        **{status: counts.get(status, 0) for status in WORDS if status != "missing"},
        not_begun=left,
        seconds=round(seconds, 3),
    )


def _list_missing(own, verb_of, report):
    """Tell the rows that are not finished; return 1 if there are some."""
    missing = 0
    for row in own:
        record = work.listed(row, verb_of)
        if record["status"] == "missing":
            missing += 1
            _tell(report, record)
    report.result(f"{missing} of {len(own)} rows are missing", rows=len(own), missing=missing)
    return FAILED if missing else 0
