"""The verb `features`."""

import argparse
import math
import time
from pathlib import Path

from minicnn.cli import parser
from minicnn.cli.report import Report, duration

INTERRUPTED = 130
FILE = "features.h5"
EXAMPLE = """
minicnn demo
minicnn features minicnn-demo --layers relu1_2,relu2_2 --top 4 -o features
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs,
        "features",
        run,
        "show what excites the units of a network most in a data set",
        EXAMPLE,
    )
    verb.usage = (
        "minicnn features DATASET -o DIR [options]\n"
        "       minicnn features merge FILE... -o DIR [options]"
    )
    verb.add_argument(
        "data",
        metavar="DATASET",
        nargs="+",
        help="folder of pictures or HDF5 file; or the word merge and the files of all shards",
    )
    verb.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    verb.add_argument(
        "--layers",
        metavar="LIST",
        type=names,
        help="as relu1_1,fire*/concat (default: below each pooling)",
    )
    verb.add_argument(
        "--top", metavar="K", type=parser.count, default=9, help="activations a unit (default: 9)"
    )
    verb.add_argument("--split", metavar="NAME", help="of the data set (default: val, or all)")
    verb.add_argument(
        "--data", metavar="PATH", dest="moved", help="for merge: where the data is now"
    )
    verb.add_argument(
        "--limit", metavar="N", type=parser.count, help="take the first N pictures only"
    )
    verb.add_argument(
        "--size", metavar="N", type=parser.count, help="side (default: the network's)"
    )
    verb.add_argument(
        "--batch", metavar="N", type=parser.count, default=8, help="pictures at a time (default: 8)"
    )
    verb.add_argument(
        "--shard", metavar="I/N", type=shard, help="scan this part only, draw nothing"
    )
    verb.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster that scans, as tcp://host:8786"
    )
    verb.add_argument("--resume", action="store_true", help="go on with an interrupted scan in DIR")
    verb.add_argument("--strict", action="store_true", help="stop at a picture that cannot be read")
    verb.add_argument("--no-sheets", action="store_true", help="write the numbers only")
    verb.add_argument("--single-file", action="store_true", help="put all pictures into the page")
    verb.add_argument(
        "--tile", metavar="N", type=parser.count, default=64, help="pixels a patch (default: 64)"
    )
    verb.add_argument(
        "--contrast",
        choices=("unit", "picture"),
        default="unit",
        help="what shares a contrast of reconstructions (default: unit)",
    )
    verb.add_argument("--network", metavar="NAME", help="see `minicnn models` (default: minivgg)")
    verb.add_argument("--weights", metavar="FILE", help="HDF5 file of weights, or `random`")
    verb.add_argument(
        "--threads", metavar="N", type=parser.count, help="(default: one a processor)"
    )
    parser.add_output_options(verb)


def names(text: str) -> list:
    """Read "relu1_1,relu2*" as a list."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name; write relu1_1,relu2*")
    return parts


def shard(text: str) -> tuple:
    """Read "2/8" as (2, 8)."""
    i, slash, n = text.partition("/")
    if not (slash and i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; write 2/8 for the second of eight")
    return int(i), int(n)


def run(args) -> int:
    """Scan, or merge; then draw."""
    report = Report(args.json, args.quiet)
    if args.data[0] == "merge":
        return _merge(args, report)
    return _scan(args, report)


def _scan(args, report):
    from minicnn.errors import MinicnnError
    from minicnn.tasks import feature_file, feature_scan
    from minicnn.tasks.networks import load_network
    from minicnn.tasks.picture_set import PictureSet

    if len(args.data) > 1:
        raise MinicnnError(f"one data set at a time, not {' and '.join(args.data)}")
    net = load_network(args.network, args.weights)
    layers = feature_scan.choose_layers(net, args.layers)
    pictures = PictureSet(args.data[0], args.split, args.limit)
    settings = feature_scan.settings_for(
        net, pictures, layers, top=args.top, size=args.size, batch=args.batch
    )
    part = f"-{args.shard[0]}-of-{args.shard[1]}" if args.shard else ""
    path = _output(args, Path(FILE).stem + part + ".h5")
    if args.resume and path.exists():
        features = feature_file.load(path)
        feature_file.check_settings(features.settings, settings, str(path), "what is asked for")
        report.note(f"{path}: {features.seen} of {settings.pictures} pictures are done")
    else:
        features = feature_scan.begin(net, settings)
    blocks = feature_scan.shard_blocks(settings, args.shard or (1, 1))
    features = _run_scan(args, report, features, net, pictures, blocks, path)
    if features.complete:
        _name(features, pictures)
        feature_file.save(features, path)
    return _finish(args, report, features, net, pictures, path)


def _run_scan(args, report, features, net, pictures, blocks, path):
    from minicnn.tasks import feature_file, feature_scan

    todo = sum(len(features.settings.block(b)) for b in blocks if not features.done[b])
    if not todo:
        return features
    known, started = set(features.skipped), time.monotonic()
    with report.progress(todo) as progress:

        def show(done, total, skipped):
            progress.update(done, {"skipped": len(skipped)} if skipped else {})
            rate = done / max(1e-9, time.monotonic() - started)
            report.event(
                "progress", done=done, total=total, rate=round(rate, 3), skipped=len(skipped)
            )
            for number in sorted(set(skipped) - known):
                report.note(f"skipped picture {number}: {skipped[number]}")
                known.add(number)

        options = {
            "blocks": blocks,
            "strict": args.strict,
            "save": lambda found: feature_file.save(found, path),
            "progress": show,
        }
        try:
            if args.scheduler:
                from minicnn.tasks import feature_cluster

                features = feature_cluster.scan(features, net, args.scheduler, **options)
            else:
                feature_scan.scan(features, net, pictures, threads=args.threads, **options)
        except feature_scan.Interrupted:
            report.note(f"interrupted; what is done is in {path}, go on with --resume")
            raise SystemExit(INTERRUPTED) from None
    seconds = time.monotonic() - started
    report.note(f"{todo} pictures in {duration(seconds)}, {todo / seconds:.1f} a second")
    return features


def _merge(args, report):
    from functools import reduce

    from minicnn.errors import MinicnnError
    from minicnn.tasks import feature_file
    from minicnn.tasks.networks import load_network
    from minicnn.tasks.picture_set import PictureSet

    files = args.data[1:]
    if not files:
        raise MinicnnError("name the files to merge: minicnn features merge DIR/*.h5 -o DIR")
    path = _output(args, FILE)
    features = reduce(feature_file.merge, map(feature_file.load, files))
    settings = features.settings
    if not features.complete:
        left = math.ceil((~features.done).sum() * settings.batch)
        report.note(f"about {left} of {settings.pictures} pictures are not scanned yet")
    feature_file.save(features, path)
    if not features.complete or args.no_sheets:
        return _finish(args, report, features, None, None, path)
    net = load_network(args.network or (None if args.weights else settings.network), args.weights)
    pictures = PictureSet(args.moved or settings.data, settings.split, settings.pictures)
    _check_same(settings, net, pictures)
    _name(features, pictures)
    feature_file.save(features, path)
    return _finish(args, report, features, net, pictures, path)


def _check_same(settings, net, pictures):
    from minicnn import checkpoint
    from minicnn.errors import MinicnnError

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
    from minicnn.errors import MinicnnError

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
    from minicnn.tasks import feature_report

    units = sum(len(r.dead) for r in features.layers.values())
    report.note(f"drawing {units} units")
    with report.progress(units) as progress:
        return feature_report.draw(
            features,
            net,
            pictures,
            args.output,
            tile=args.tile,
            shared=args.contrast == "unit",
            single_file=args.single_file,
            threads=args.threads,
            progress=lambda done, _: progress.update(done, {}),
        )
