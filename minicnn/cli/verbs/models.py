"""The verb `models`."""

from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.runs.options import add_settings
from minicnn.runs.settings import SIZE, JsonOption, setting
from minicnn.terminal.report import Report, table

example = """
minicnn models
minicnn models vgg19 --size 224
"""


@dataclass(frozen=True, kw_only=True)
class ModelsOptions(JsonOption):
    """What the layers are told for."""

    size: tuple | None = setting(
        SIZE, None, "width and height of the picture", shown="what the network was made for"
    )


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "name", metavar="NAME", nargs="?", help="show the layers of this network, or file"
    )
    add_settings(verb, ModelsOptions)


def run(args) -> int:
    """Print the table."""
    report = Report(args.json)
    return _layers(args.name, args.size, report) if args.name else _list(args.size, report)


def _list(size, report):
    from minicnn.network import build
    from minicnn.weights import locations, manifest

    if size is not None:
        raise MinicnnError("--size is for one network: minicnn models NAME --size N")
    rows, public = [], manifest.entries()
    at_hand = dict.fromkeys(locations.available(), "fetched")
    at_hand |= dict.fromkeys(locations.embedded(), "embedded")
    for name in build.names():
        net = build.skeleton(name)
        row = {
            "name": name,
            "input": net.input_shape,
            "outputs": net.shapes()[net.layers[-1]][0],
            "layers": len(net.layers),
            "parameters": sum(build.count_parameters(net).values()),
            "weights": at_hand.get(name) or (public[name].state if name in public else "none"),
        }
        report.event("model", **row)
        rows.append({**row, "input": _times(row["input"]), "parameters": f"{row['parameters']:,}"})
    report.tell(table(rows))
    return 0


def _layers(name, size, report):
    from pathlib import Path

    from minicnn.network import build
    from minicnn.weights import checkpoint

    own = name not in build.names() and Path(name).is_file()
    net = checkpoint.load(name) if own else build.skeleton(name)
    described = build.describe(net, size and size[::-1])
    rows = []
    for row in described:
        report.event("layer", **row._asdict())
        whole = row.field_size is None
        rows.append(
            {
                "layer": row.layer,
                "kind": row.kind,
                "output": _times(row.shape),
                "parameters": f"{row.parameters:,}" if row.parameters else "",
                "field": "whole picture" if whole else _times(row.field_size),
                "stride": "" if whole else _one(row.field_stride),
                "offset": "" if whole else _one(row.field_offset),
            }
        )
    total = sum(row.parameters for row in described)
    left_out = net.layers[len(described) :]
    report.event("total", name=name, parameters=total, left_out=left_out)
    report.tell(f"{table(rows)}\n\n{name}: {len(rows)} layers, {total:,} parameters")
    if left_out:
        report.tell(f"left out, as they need another picture size: {', '.join(left_out)}")
    return 0


def _times(numbers):
    return " x ".join(map(str, numbers))


def _one(pair):
    """Write rows and columns as one number where they agree."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}, {pair[1]}"
