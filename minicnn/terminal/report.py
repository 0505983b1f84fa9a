"""What a running verb says: progress to stderr, results to stdout."""

import json
import math
import os
import sys
import time
from contextlib import contextmanager, suppress

from minicnn.errors import safe

LINES = 10  # progress lines of a run that is not on a terminal
PAUSE = 15.0  # seconds without a word there at most
PROGRESS = ("progress", "epoch")  # events on the way to a result


class Stream:
    r"""A text stream that costs no run its result: what it cannot take is left out.

    Characters that its encoding lacks are written as \u30c6. Once nobody reads it, as behind
    `head`, the disk is full or it is closed, this and all to come goes nowhere; `lost` is why.
    """

    def __init__(self, stream):
        self.stream, self.lost, self.log = stream, None, None

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, if that can be."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self._try("write", text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Write out what waits, if that can be."""
        self._try("flush")

    def isatty(self) -> bool:
        """Return whether somebody sees it."""
        return self.stream is not None and not self.lost and self.stream.isatty()

    def _try(self, do, *what):
        if self.stream is None or self.lost:
            return
        try:
            getattr(self.stream, do)(*what)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.lost = error
            with suppress(OSError, ValueError):  # Python itself writes out the rest at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def streams():
    """Context in which stdout and stderr are `Stream`s; gives stdout.

    Where one was closed, no file may get its number: what libraries print would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, this one
    before = sys.stdout, sys.stderr
    stdout, stderr = sys.stdout, sys.stderr = [Stream(stream) for stream in before]
    try:
        yield stdout
    finally:
        sys.stdout, sys.stderr = before
        if stderr.log:
            stderr.log.file.close()


def say(text: str, stream) -> None:
    """Write a line at once, and into the log of the stream if it has one."""
    print(safe(text), file=stream, flush=True)
    if log := getattr(stream, "log", None):
        log.add(safe(text))


class Log:
    """A file to which lines are added, each with its time; what it cannot take is left out.

    Raises OSError if it cannot be opened.
    """

    def __init__(self, path):
        self.file = Stream(open(path, "a", encoding="utf-8", errors="backslashreplace"))

    def add(self, text):
        """Add some lines."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        for line in text.splitlines():
            self.file.write(f"{now} {line}\n")
        self.file.flush()


class Report:
    """The voice of a verb.

    Parameters
    ----------
    as_json : bool
        Results and progress as one JSON object a line on stdout.
    quiet : bool
        No progress and no notes.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False):
        self.as_json, self.quiet = as_json, quiet
        self.noted = set()

    def note(self, text: str, *, once: bool = False) -> None:
        """Say something on stderr; what is said `once` is left out when it comes again."""
        if not self.quiet and not (once and text in self.noted):
            self.noted.add(text)
            say(f"minicnn: {text}", sys.stderr)

    def event(self, kind: str, /, **values) -> None:
        """Write a JSON line, where JSON is wanted; none of progress where it is to be quiet."""
        if self.as_json and not (self.quiet and kind in PROGRESS):
            say(json.dumps(_plain({"event": kind, **values})), sys.stdout)

    def result(self, text: str, /, **values) -> None:
        """Write the result, for people or for programs."""
        self.event("result", **values)
        self.tell(text)

    def tell(self, text: str) -> None:
        """Write for people: nothing where JSON is wanted."""
        if not self.as_json:
            say(text, sys.stdout)

    def progress(self, total: int, unit: str = "iteration", what: str = "") -> "Progress":
        """Return a display of `total` units of work: a bar on a terminal, else a line at times.

        It says at once `what` is made.
        """
        drawn = sys.stderr.isatty() or "ipykernel" in sys.modules  # a terminal, or a notebook
        if self.quiet or (self.as_json and not drawn):
            return Progress()
        return (Bar if drawn else Lines)(total, unit, what)


class Progress:
    """Work done, losses and the time left; of itself it shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Leave what is shown as it is."""

    def update(self, done: int, losses: dict) -> None:
        """Show that `done` units are over, and {name: value} of the losses."""


class Bar(Progress):
    """tqdm's bar, which reckons the time left; a widget in a notebook that has such."""

    def __init__(self, total, unit, what=""):
        from tqdm.auto import tqdm

        how = {"desc": what or None, "unit": f" {unit}", "dynamic_ncols": True}
        self.bar = tqdm(total=total, file=sys.stderr, **how)

    def __exit__(self, *_):
        self.bar.close()

    def update(self, done, losses):  # noqa: D102
        self.bar.set_postfix_str(_told(losses), refresh=False)
        self.bar.update(done - self.bar.n)


class Lines(Progress):
    """A line for every tenth of the run, and when `PAUSE` seconds have passed without one."""

    def __init__(self, total, unit, what="", clock=time.monotonic):
        if what:
            say(f"{what}: {total} {unit}s", sys.stderr)
        self.total, self.unit, self.clock = total, unit, clock
        self.start = self.said = clock()
        self.tenth = 0

    def update(self, done, losses):  # noqa: D102
        now = self.clock()
        tenth = done * LINES // self.total
        if done > 1 and tenth == self.tenth and now - self.said < PAUSE:
            return
        self.said, self.tenth = now, tenth
        passed = now - self.start
        left = passed / done * (self.total - done)
        say(
            f"{self.unit} {done}/{self.total}  {_told(losses)}  "
            f"{duration(passed)} passed, {duration(left)} left",
            sys.stderr,
        )


def _told(losses):
    return "  ".join(f"{name} {value:.4g}" for name, value in losses.items())


def duration(seconds: float) -> str:
    """Write a number of seconds for people.

    >>> duration(7.4), duration(75), duration(3700)
    ('7 s', '1 min 15 s', '1 h 01 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _plain(value):
    """Return `value` as JSON knows it: NaN and infinity become words, NumPy numbers plain ones."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def table(rows: list) -> str:
    """Write a list of dicts with the same keys as a table; numbers stand to the right.

    >>> print(table([{"name": "a", "size": 1}, {"name": "bc", "size": 10}]))
    name  size
    a        1
    bc      10
    """
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    right = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def _is_number(text):
    return not text or text.replace(",", "").replace(".", "").lstrip("-").isdigit()
