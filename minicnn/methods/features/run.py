"""What the verb `features` does: scan, merge the files of shards, draw."""

import math
import tempfile
import time
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from minicnn.backend import resolve_device
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.features import cluster, groups, page, results_file
from minicnn.methods.features import scan as features_scan
from minicnn.methods.features.settings import FeaturesOptions, FeaturesSettings
from minicnn.runs.inputs import load_network
from minicnn.terminal.report import Report, duration
from minicnn.weights import checkpoint

INTERRUPTED = 130
FILE = "features.h5"
OF_SCANS = ("layers", "split", "limit", "size", "batch", "shard", "scheduler", "strict")
EVENT_SECONDS = 1.0  # between two JSON lines of progress


class Run(NamedTuple):
    """What is asked for, and what is opened for it; `path` is the file of the numbers."""

    settings: FeaturesSettings
    options: FeaturesOptions
    report: Report
    path: Path
    net: object = None
    pictures: PictureSet | None = None
    device: str = "cpu"


def scan(settings, options, report) -> int:
    """Scan a data set, or one shard of it, and draw; return the exit code."""
    data, device = settings.data[0], settings.device
    if len(settings.data) > 1:
        raise MinicnnError(f"one data set at a time, not {' and '.join(settings.data)}")
    if options.moved:
        raise MinicnnError(f"--data {options.moved} is for merge; the data set is {data}")
    if options.scheduler and device.startswith("cuda"):
        raise MinicnnError("a cluster scans on its processors; leave out --device or --scheduler")
    device = "cpu" if options.scheduler else resolve_device(device)
    net = load_network(settings.network, settings.weights, settings.pool, seed=settings.seed)
    layers = features_scan.choose_layers(net, settings.layers)
    pictures = PictureSet(data, settings.split, settings.limit)
    _check_apart(settings, options)
    wanted = features_scan.settings_for(net, pictures, layers, top=settings.top, size=settings.size)
    part = "-{}-of-{}".format(*options.shard) if options.shard else ""
    path = _output(options, Path(FILE).stem + part + ".h5")
    run = Run(settings, options, report, path, net, pictures, device)
    try:
        features = _scanned(run, _begun(run, wanted))
    except features_scan.Interrupted:
        kept = f"what is done is in {path}, go on with --resume"
        report.note(f"interrupted; {kept if path.exists() else 'nothing was done yet'}")
        return INTERRUPTED
    if features.complete:
        _name(features, pictures)
    results_file.save(features, path)
    return _finish(run, features, draw=not options.shard)


def _begun(run, wanted):
    """Return the `Features` of the `ScanSettings` that are wanted: new, or as far as they are."""
    features = features_scan.begin(run.net, wanted)
    if not (run.options.resume and run.path.exists()):
        return features
    found = results_file.load(run.path)
    results_file.check_settings(found.settings, wanted, str(run.path), "what is asked for")
    results_file.check_shapes(found, features, f"{run.path} is damaged")
    run.report.note(f"{run.path}: {found.seen} of {wanted.pictures} pictures are done")
    return found


def _scanned(run, features):
    """Return the `Features` with all blocks of the shard done, on this machine or a cluster."""
    settings, options, report = run.settings, run.options, run.report
    blocks = features_scan.shard_blocks(features.settings, options.shard or (1, 1))
    todo = sum(len(features.settings.block(b)) for b in blocks if not features.done[b])
    if not todo:
        return features
    how = {"batch": settings.batch, "threads": 1 if options.scheduler else settings.threads}
    memory = groups.memory(run.net, features, **how) / 2**20
    where = " a worker" if options.scheduler else ""
    report.note(
        f"{todo} pictures to scan, about {memory:.0f} MiB of memory{where} besides the network's"
    )
    known, started, told = set(features.skipped), time.monotonic(), -EVENT_SECONDS
    with report.progress(todo, "picture") as progress:

        def show(done, total, skipped):
            nonlocal told
            progress.update(done, {"skipped": len(skipped)} if skipped else {})
            seconds = time.monotonic() - started
            if seconds - told >= EVENT_SECONDS or done == total:
                told, rate = seconds, round(done / max(1e-9, seconds), 3)
                report.event("progress", done=done, total=total, rate=rate, skipped=len(skipped))
            for number in sorted(set(skipped) - known):
                report.note(f"skipped picture {number}: {skipped[number]}")
                known.add(number)

        common = {
            "blocks": blocks,
            "strict": options.strict,
            "save": lambda found: found.done.any() and results_file.save(found, run.path),
            "progress": show,
        }
        if options.scheduler:
            features = cluster.scan(features, run.net, options.scheduler, **common)
        else:
            features_scan.scan(features, run.net, run.pictures, device=run.device, **how, **common)
    seconds = time.monotonic() - started
    report.note(f"{todo} pictures in {duration(seconds)}, {todo / seconds:.1f} a second")
    return features


def merge(settings, options, report) -> int:
    """Merge the files of shards, and draw if they are all; return the exit code."""
    files = settings.data[1:]
    if not files:
        raise MinicnnError("name the files to merge: minicnn features merge DIR/*.h5 -o DIR")
    given = vars(settings) | vars(options)
    for name in OF_SCANS:
        if given[name]:
            raise MinicnnError(f"merge takes no --{name}: the files say how they were scanned")
    run = Run(settings, options, report, _output(options, FILE))
    features = reduce(results_file.merge, map(results_file.load, files))
    scanned = features.settings
    if not features.complete:
        left = math.ceil((~features.done).sum() * scanned.group)
        report.note(f"about {left} of {scanned.pictures} pictures are not scanned yet")
    results_file.save(features, run.path)
    if not features.complete or not options.sheets:
        return _finish(run, features, draw=False)
    name = settings.network or (None if settings.weights else scanned.network)
    net = load_network(name, settings.weights, scanned.pool, seed=settings.seed)
    pictures = PictureSet(options.moved or scanned.data, scanned.split, scanned.pictures)
    _check_same(scanned, net, pictures)
    results_file.check_shapes(features, features_scan.begin(net, scanned), "the files are damaged")
    _name(features, pictures)
    results_file.save(features, run.path)
    return _finish(run._replace(net=net, pictures=pictures), features, draw=True)


def _check_apart(settings, options):
    """Refuse results in the folder of the pictures: a second scan would take them for pictures."""
    root = Path(settings.data[0], settings.split or "")
    if root.is_dir() and Path(options.output).resolve().is_relative_to(root.resolve()):
        raise MinicnnError(
            f"the folder {options.output!r} lies among the pictures of {str(root)!r}, and what is "
            "drawn there would be scanned next time; give a folder elsewhere"
        )


def _check_same(scanned, net, pictures):
    if checkpoint.weights_hash(net) != scanned.weights:
        raise MinicnnError(
            f"the weights are not those of the scan ({scanned.network}, SHA-256 "
            f"{scanned.weights}); give them with --weights FILE"
        )
    if pictures.fingerprint() != scanned.fingerprint:
        raise MinicnnError(f"the pictures of {pictures.path} are not those of the scan")


def _name(features, pictures):
    """Write down what the pictures among the strongest are called."""
    used = {int(n) for r in features.layers.values() for n in set(r.picture.ravel()) if n >= 0}
    features.names = {number: pictures.name(number) for number in sorted(used)}


def _output(options, name):
    """Return where the numbers go; refuse to replace others."""
    folder = Path(options.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinicnnError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None
    taken = [p for p in (folder / name, folder / "index.html") if p.exists()]
    if taken and not (options.force or options.resume):
        raise MinicnnError(
            f"{taken[0]} exists already; go on with --resume, replace it with --force, or give "
            "another folder"
        )
    try:
        tempfile.TemporaryFile(dir=folder).close()  # noticed before the scan, not at its first save
    except OSError as error:
        raise MinicnnError(
            f"cannot write to the folder {str(folder)!r}: {error.strerror}"
        ) from None
    return folder / name


def _finish(run, features, draw):
    """Draw the sheets and the page, if that is wanted, and tell the result."""
    sheets = []
    if draw and features.complete and run.options.sheets:
        try:
            sheets = _draw(run, features)
        except KeyboardInterrupt:
            run.report.note(f"interrupted; the scan is in {run.path}, go on drawing with --resume")
            return INTERRUPTED
    dead = {name: int(r.dead.sum()) for name, r in features.layers.items()}
    units = sum(len(r.dead) for r in features.layers.values())
    skipped = f", {len(features.skipped)} skipped" if features.skipped else ""
    run.report.result(
        f"{run.path}: {features.seen} pictures{skipped}, {units} units, {sum(dead.values())} DEAD"
        + (f"; look at {sheets[-1]}" if sheets else ""),
        output=str(run.path),
        complete=features.complete,
        pictures=features.seen,
        skipped={str(number): why for number, why in features.skipped.items()},
        units=units,
        dead=dead,
        sheets=[str(sheet) for sheet in sheets[:-1]],
        page=str(sheets[-1]) if sheets else None,
    )
    return 0


def _draw(run, features):
    units = sum(len(r.dead) for r in features.layers.values())
    run.report.note(f"drawing {units} units")
    with run.report.progress(units, "unit") as progress:
        return page.draw(
            features,
            run.net,
            run.pictures,
            run.options.output,
            run.settings,
            resume=run.options.resume,
            progress=lambda done, _: progress.update(done, {}),
        )
