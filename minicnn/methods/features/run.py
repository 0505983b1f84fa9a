"""What the verb `features` does: scan, merge the files of shards, draw."""

import math
import tempfile
import time
from functools import reduce
from pathlib import Path

from minicnn.backend import resolve_device
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import Policy
from minicnn.methods.features import cluster, groups, page, results_file
from minicnn.methods.features import scan as features_scan
from minicnn.runs.inputs import load_network
from minicnn.terminal.report import duration
from minicnn.weights import checkpoint

INTERRUPTED = 130
FILE = "features.h5"
OF_SCANS = ("layers", "split", "limit", "size", "batch", "shard", "scheduler", "strict")
LARGEST_TILE = 1024
EVENT_SECONDS = 1.0  # between two JSON lines of progress


def scan(args, report) -> int:
    """Scan a data set, or one shard of it, and draw; return the exit code."""
    if len(args.data) > 1:
        raise MinicnnError(f"one data set at a time, not {' and '.join(args.data)}")
    if args.scheduler and args.device.startswith("cuda"):
        raise MinicnnError("a cluster scans on its processors; leave out --device or --scheduler")
    device = "cpu" if args.scheduler else resolve_device(args.device)
    _check_options(args)
    if args.moved:
        raise MinicnnError(f"--data {args.moved} is for merge; the data set is {args.data[0]}")
    net = load_network(args.network, args.weights, args.pool or "own")
    layers = features_scan.choose_layers(net, args.layers)
    pictures = PictureSet(args.data[0], args.split, args.limit)
    _check_apart(args)
    settings = features_scan.settings_for(net, pictures, layers, top=args.top, size=args.size)
    part = f"-{args.shard[0]}-of-{args.shard[1]}" if args.shard else ""
    path = _output(args, Path(FILE).stem + part + ".h5")
    if args.resume and path.exists():
        features = results_file.load(path)
        results_file.check_settings(features.settings, settings, str(path), "what is asked for")
        results_file.check_shapes(
            features, features_scan.begin(net, settings), f"{path} is damaged"
        )
        report.note(f"{path}: {features.seen} of {settings.pictures} pictures are done")
    else:
        features = features_scan.begin(net, settings)
    blocks = features_scan.shard_blocks(settings, args.shard or (1, 1))
    features = _run_scan(args, report, features, net, pictures, blocks, path, device)
    if features.complete:
        _name(features, pictures)
    results_file.save(features, path)
    return _finish(args, report, features, net, pictures, path)


def _run_scan(args, report, features, net, pictures, blocks, path, device):
    todo = sum(len(features.settings.block(b)) for b in blocks if not features.done[b])
    if not todo:
        return features
    how = {"batch": args.batch, "threads": 1 if args.scheduler else args.threads}
    memory = groups.memory(net, features, **how) / 2**20
    where = " a worker" if args.scheduler else ""
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

        options = {
            "blocks": blocks,
            "strict": args.strict,
            "save": lambda found: found.done.any() and results_file.save(found, path),
            "progress": show,
        }
        try:
            if args.scheduler:
                features = cluster.scan(features, net, args.scheduler, **options)
            else:
                features_scan.scan(features, net, pictures, device=device, **how, **options)
        except features_scan.Interrupted:
            kept = f"what is done is in {path}, go on with --resume"
            report.note(f"interrupted; {kept if path.exists() else 'nothing was done yet'}")
            raise SystemExit(INTERRUPTED) from None
    seconds = time.monotonic() - started
    report.note(f"{todo} pictures in {duration(seconds)}, {todo / seconds:.1f} a second")
    return features


def merge(args, report) -> int:
    """Merge the files of shards, and draw if they are all; return the exit code."""
    files = args.data[1:]
    if not files:
        raise MinicnnError("name the files to merge: minicnn features merge DIR/*.h5 -o DIR")
    _check_options(args)
    for name in OF_SCANS:
        if getattr(args, name):
            raise MinicnnError(f"merge takes no --{name}: the files say how they were scanned")
    path = _output(args, FILE)
    features = reduce(results_file.merge, map(results_file.load, files))
    settings = features.settings
    if not features.complete:
        left = math.ceil((~features.done).sum() * settings.group)
        report.note(f"about {left} of {settings.pictures} pictures are not scanned yet")
    results_file.save(features, path)
    if not features.complete or args.no_sheets:
        return _finish(args, report, features, None, None, path)
    name = args.network or (None if args.weights else settings.network)
    net = load_network(name, args.weights, settings.pool or "own")
    pictures = PictureSet(args.moved or settings.data, settings.split, settings.pictures)
    _check_same(settings, net, pictures)
    results_file.check_shapes(features, features_scan.begin(net, settings), "the files are damaged")
    _name(features, pictures)
    results_file.save(features, path)
    return _finish(args, report, features, net, pictures, path)


def _check_options(args):
    """Notice before the scan what would fail after it."""
    if args.tile > LARGEST_TILE:
        raise MinicnnError(f"tile = {args.tile}; use at most {LARGEST_TILE} pixels a patch")


def _check_apart(args):
    """Refuse results in the folder of the pictures: a second scan would take them for pictures."""
    root = Path(args.data[0], args.split or "")
    if root.is_dir() and Path(args.output).resolve().is_relative_to(root.resolve()):
        raise MinicnnError(
            f"the folder {args.output!r} lies among the pictures of {str(root)!r}, and what is "
            "drawn there would be scanned next time; give a folder elsewhere"
        )


def _check_same(settings, net, pictures):
    if checkpoint.weights_hash(net) != settings.weights:
        raise MinicnnError(
            f"the weights are not those of the scan ({settings.network}, SHA-256 "
            f"{settings.weights}); give them with --weights FILE"
        )
    if pictures.fingerprint() != settings.fingerprint:
        raise MinicnnError(f"the pictures of {pictures.path} are not those of the scan")


def _name(features, pictures):
    """Write down what the pictures among the strongest are called."""
    used = {int(n) for r in features.layers.values() for n in set(r.picture.ravel()) if n >= 0}
    features.names = {number: pictures.name(number) for number in sorted(used)}


def _output(args, name):
    """Return where the numbers go; refuse to replace others."""
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinicnnError(f"cannot make the folder {args.output!r}: {error.strerror}") from None
    taken = [p for p in (folder / name, folder / "index.html") if p.exists()]
    if taken and not (args.force or args.resume):
        raise MinicnnError(
            f"{taken[0]} exists already; go on with --resume, replace it with --force, or give "
            "another folder"
        )
    try:
        tempfile.TemporaryFile(dir=folder).close()  # noticed before the scan, not at its first save
    except OSError as error:
        raise MinicnnError(
            f"cannot write to the folder {args.output!r}: {error.strerror}"
        ) from None
    return folder / name


def _finish(args, report, features, net, pictures, path):
    sheets = []
    if features.complete and not (args.no_sheets or args.shard):
        try:
            sheets = _draw(args, report, features, net, pictures)
        except KeyboardInterrupt:
            report.note(f"interrupted; the scan is in {path}, go on drawing with --resume")
            return INTERRUPTED
    dead = {name: int(r.dead.sum()) for name, r in features.layers.items()}
    units = sum(len(r.dead) for r in features.layers.values())
    skipped = f", {len(features.skipped)} skipped" if features.skipped else ""
    report.result(
        f"{path}: {features.seen} pictures{skipped}, {units} units, {sum(dead.values())} DEAD"
        + (f"; look at {sheets[-1]}" if sheets else ""),
        output=str(path),
        complete=features.complete,
        pictures=features.seen,
        skipped={str(number): why for number, why in features.skipped.items()},
        units=units,
        dead=dead,
        sheets=[str(sheet) for sheet in sheets[:-1]],
        page=str(sheets[-1]) if sheets else None,
    )
    return 0


def _draw(args, report, features, net, pictures):
    units = sum(len(r.dead) for r in features.layers.values())
    report.note(f"drawing {units} units")
    with report.progress(units, "unit") as progress:
        return page.draw(
            features,
            net,
            pictures,
            args.output,
            policy=Policy(args.rule, args.overlap, args.order, args.zero_windows, args.lrn),
            tile=args.tile,
            shared=args.contrast == "unit",
            single_file=args.single_file,
            resume=args.resume,
            threads=args.threads,
            progress=lambda done, _: progress.update(done, {}),
        )
