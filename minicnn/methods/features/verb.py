"""The verb `features`: scan, or merge the files of shards; then draw."""

import re
import time
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from minicnn.backend import resolve_device
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.features import cluster, page, results_file
from minicnn.methods.features import scan as features_scan
from minicnn.methods.features.settings import FeaturesOptions, FeaturesSettings
from minicnn.network.chosen_layers import choose_layers
from minicnn.runs.estimate import option
from minicnn.runs.estimate.sample_run import cut_short
from minicnn.runs.inputs import load_network
from minicnn.runs.options import add_settings
from minicnn.runs.settings import settings_of
from minicnn.storage.atomic import check_output, results_folder
from minicnn.storage.interrupts import INTERRUPTED, interrupts_noted
from minicnn.terminal.report import Report, duration
from minicnn.weights import checkpoint

example = """
minicnn demo --size 64 --iterations 1
minicnn features minicnn-demo --layers relu1_2,relu2_2 --top 4 -o features
minicnn features minicnn-demo --layers relu1_2 --shard 1/2 -o shards
minicnn features minicnn-demo --layers relu1_2 --shard 2/2 -o shards
minicnn features merge shards/features-1-of-2.h5 shards/features-2-of-2.h5 -o merged
"""
FILE = "features.h5"
OF_SCANS = ("layers", "split", "limit", "size", "batch", "shard", "scheduler", "strict")
EVENT_SECONDS = 1.0  # between two JSON lines of progress


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, FeaturesSettings, FeaturesOptions)


def run(args) -> int:
    """Scan, or merge; then draw."""
    settings, options = settings_of(FeaturesSettings, args), settings_of(FeaturesOptions, args)
    report = Report(options.json, options.quiet)
    settings.check()
    if options.estimate:
        return option.repeated(measure, settings, "use a smaller --batch", report)
    return (merge if settings.data[0] == "merge" else scan)(settings, options, report)


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
    if len(settings.data) > 1:
        raise MinicnnError(f"one data set at a time, not {' and '.join(settings.data)}")
    data = settings.data[0]
    if options.moved:
        raise MinicnnError(f"--data {options.moved} is for merge; the data set is {data}")
    if options.scheduler and settings.device.startswith("cuda"):
        raise MinicnnError("a cluster scans on its processors; leave out --device or --scheduler")
    device = "cpu" if options.scheduler else resolve_device(settings.device, several=True)
    _check_apart(settings, options)
    net, pictures, wanted = _opened(settings)
    part = "-{}-of-{}".format(*options.shard) if options.shard else ""
    path = _output(options, Path(FILE).stem + part + ".h5")
    run = Run(settings, options, report, path, net, pictures, device)
    try:
        features = _scanned(run, _begun(run, wanted))
    except KeyboardInterrupt:
        kept = f"what is done is in {path}, go on with --resume"
        report.note(f"interrupted; {kept if path.exists() else 'nothing was done yet'}")
        return INTERRUPTED
    return _finish(run, features, draw=not options.shard)


def measure(settings, seconds):
    """Scan for so many seconds; yield what all of it would take, for `runs.estimate`."""
    device = resolve_device(settings.device, several=True)

    def run(**watched):
        net, pictures, wanted = _opened(settings)
        how = {"batch": settings.batch, "threads": settings.threads, "device": device}
        features_scan.scan(features_scan.begin(net, wanted), net, pictures, **how, **watched)

    whole, done, pictures = cut_short(run, seconds)
    what = f"{done} pictures of {pictures}; drawing the sheets comes on top"
    yield {"seconds": whole, "device": device, "what": what}


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
        left = (~features.done).sum() * scanned.group
        where = _shards_left(files, features)
        report.note(f"about {left} of {scanned.pictures} pictures are not scanned yet{where}")
    if not features.complete or not options.sheets:
        return _finish(run, features, draw=False)
    results_file.save(features, run.path)  # whatever is wrong with what is drawn from
    name = settings.network or (None if settings.weights else scanned.network)
    net = load_network(name, settings.weights, scanned.pool, seed=settings.seed)
    pictures = PictureSet(options.moved or scanned.data, scanned.split, scanned.pictures)
    if checkpoint.weights_hash(net) != scanned.weights:
        raise MinicnnError(
            f"the weights are not those of the scan ({scanned.network}, SHA-256 "
            f"{scanned.weights}); give them with --weights FILE"
        )
    if pictures.fingerprint() != scanned.fingerprint:
        raise MinicnnError(f"the pictures of {pictures.path} are not those of the scan")
    results_file.check_shapes(features, features_scan.begin(net, scanned), "the files are damaged")
    return _finish(run._replace(net=net, pictures=pictures), features, draw=True)


def _shards_left(files, features):
    """Return which shards are missing or not done, where the names of files say how many."""
    counts = {found[1] for file in files if (found := re.search(r"-of-(\d+)\.h5$", file))}
    if len(counts) != 1:
        return ""
    n = int(counts.pop())
    blocks = [features_scan.shard_blocks(features.settings, (i, n)) for i in range(1, n + 1)]
    left = [f"{i}/{n}" for i, own in enumerate(blocks, 1) if not features.done[list(own)].all()]
    return f": those of --shard {', '.join(left)}"


def _opened(settings):
    """Return the network, the pictures, and the `ScanSettings` that are wanted."""
    net = load_network(settings.network, settings.weights, settings.pool, seed=settings.seed)
    layers = choose_layers(net, settings.layers)
    pictures = PictureSet(settings.data[0], settings.split, settings.limit)
    how = {"top": settings.top, "size": settings.size}
    return net, pictures, features_scan.settings_for(net, pictures, layers, **how)


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
    _, todo = features_scan.blocks_left(features, blocks)
    if not todo:
        return features
    how = {"batch": settings.batch, "threads": 1 if options.scheduler else settings.threads}
    memory = features_scan.memory(run.net, features, **how) / 2**20
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


def _check_apart(settings, options):
    """Refuse results in the folder of the pictures: a second scan would take them for pictures."""
    root = Path(settings.data[0], settings.split or "")
    if root.is_dir() and Path(options.output).resolve().is_relative_to(root.resolve()):
        raise MinicnnError(
            f"the folder {options.output!r} lies among the pictures of {str(root)!r}, and what is "
            "drawn there would be scanned next time; give a folder elsewhere"
        )


def _output(options, name):
    """Return where the numbers go; refuse to replace others, and what cannot be written."""
    folder = results_folder(options.output, [])
    for path in (folder / name, folder / "index.html"):
        if path.exists() and not (options.force or options.resume):
            raise MinicnnError(
                f"{path} exists already; go on with --resume, replace it with --force, or give "
                "another folder"
            )
        check_output(path, force=True)
    return folder / name


def _finish(run, features, draw):
    """Save the numbers, draw the sheets and the page, if that is wanted, and tell the result."""
    layers, sheets = features.layers, []
    if features.complete and run.pictures:
        used = {int(n) for r in layers.values() for n in set(r.picture.ravel()) if n >= 0}
        features.names = {number: run.pictures.name(number) for number in sorted(used)}
    units = sum(len(r.dead) for r in layers.values())
    try:
        with interrupts_noted() as interrupts:
            results_file.save(features, run.path)
        if interrupts:
            raise KeyboardInterrupt
        if draw and features.complete and run.options.sheets:
            run.report.note(f"drawing {units} units")
            how = {"settings": run.settings, "resume": run.options.resume}
            with run.report.progress(units, "unit") as progress:
                how["progress"] = lambda done: progress.update(done, {})
                sheets = page.draw(features, run.net, run.pictures, run.options.output, **how)
    except KeyboardInterrupt:
        run.report.note(f"interrupted; the scan is in {run.path}, go on with --resume")
        return INTERRUPTED
    if run.pictures and run.pictures.left_out:
        run.report.note(run.pictures.left_out)
    dead = {name: int(r.dead.sum()) for name, r in layers.items()}
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
