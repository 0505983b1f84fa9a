"""Two compared networks as pictures, as tables, and as one page without other files."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from minicnn.methods.comparison.comparison import FAINT, in_grey_levels, limited
from minicnn.methods.features.reconstructions import scaled
from minicnn.pictures.sheets import column, grid, labelled, side_by_side, signed_to_uint8
from minicnn.pictures.unit_sheets import block

TILE = 44  # pixels, at least, that a filter is drawn with
PATCH = 64
COLUMNS = 8
TITLES = {
    "filters": "First filters, one scale for all",
    "limited": "First filters, RMS limited to the median one",
    "second": "Second layer: projections beside the patches",
}


def filter_pictures(network, columns=COLUMNS):
    """Return (filters, limited filters) of the first layer as two grids, uint8 (H, W, 3)."""
    w = in_grey_levels(network.net, network.net.params[f"{network.first}.weight"])
    drawn = []
    for filters in (w, limited(w)[0]):
        rgb, _ = signed_to_uint8(filters.transpose(0, 2, 3, 1))
        times = max(1, TILE // max(rgb.shape[1:3]))
        tiles = [np.repeat(np.repeat(tile, times, axis=0), times, axis=1) for tile in rgb]
        drawn.append(grid(tiles, columns, gap=3))
    return drawn


def second_picture(network, columns=4):
    """Return the projections of the second layer beside their patches, each with its unit."""
    cells = []
    for unit in network.drawn:
        tile = network.tiles[unit]
        if tile is None:
            picture, text = np.full((PATCH, 2 * PATCH + 6, 3), 200, np.uint8), f"{unit} dead"
        else:
            sized = tile._replace(
                patch=scaled(tile.patch, PATCH),
                projection=scaled(tile.projection, PATCH),
            )
            picture, _ = block([sized], 1, shared=False)
            text = str(unit)
        cells.append(labelled(picture, text, size=12))
    return grid(cells, columns, gap=8)


def pictures(networks):
    """Return {what: [picture of each network]}."""
    found = {name: [] for name in TITLES}
    for network in networks:
        plain, clipped = filter_pictures(network)
        found["filters"].append(plain)
        found["limited"].append(clipped)
        found["second"].append(second_picture(network))
    return found


def sheet(networks, drawn):
    """Return all pictures on one sheet: a row for each of them, a column for each network."""
    rows = []
    for what, pair in drawn.items():
        height = max(picture.shape[0] for picture in pair)
        cells = [
            labelled(
                np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=255),
                f"{name}\n{TITLES[what]}",
                size=14,
            )
            for name, picture in zip(names(networks), pair, strict=True)
        ]
        rows.append(side_by_side(cells, height=cells[0].shape[0], gap=24))
    return column(rows, gap=16)


def names(networks):
    """Return what to call the two: their architectures if these differ, else as they were given."""
    architectures = [network.net.attrs["name"] for network in networks]
    if architectures[0] != architectures[1]:
        return architectures
    return [network.name for network in networks]


def tables(networks):
    """Return {title: list of rows}; a row is (what, value of one, value of the other)."""
    found = [network.findings for network in networks]
    first, second = ([f[name] for f in found] for name in ("first", "second"))
    facts = [
        _row("network", [f["network"] for f in found]),
        _row("architecture", [f["architecture"] for f in found]),
        _row("input", [_times(f["input"]) for f in found]),
        _row("parameters", [f"{f['costs']['parameters']:,}" for f in found]),
        _row("multiplications a picture", [f"{f['costs']['macs']:,}" for f in found]),
        _row("time a picture", [f"{1000 * f['costs']['seconds']:.2f} ms" for f in found]),
        *(
            _row(text, [_accuracy(f["accuracy"], key) for f in found])
            for key, text in (("top1", "top-1"), ("top5", "top-5"))
        ),
    ]
    filters = [
        _row("layer", [f"{f['layer']}: {f['filters']} filters" for f in first]),
        _row(
            "size, stride", [f"{' x '.join(map(str, f['kernel']))}, {f['stride']}" for f in first]
        ),
        _row(f"faint (RMS < {FAINT:g} of the largest)", [_share(f["faint"]) for f in first]),
        _row("largest RMS / median", [f"{f['largest_over_median_rms']:.2f}" for f in first]),
        *(
            _row(f"power at {band} frequencies", [_mean(f["spectrum"][band]) for f in first])
            for band in first[0]["spectrum"]
        ),
        _row("folded by the stride", [_mean(f["folded"]) for f in first]),
    ]
    projected = [
        _row("layer", [f["layer"] for f in second]),
        _row("power at the stride's harmonics", [_mean(f["harmonics"]) for f in second]),
        _row("against the frequencies around", [_mean(f["excess"], "x") for f in second]),
    ]
    dead = [
        (" / ".join(dict.fromkeys(d["layer"] for d in pair if d)), *map(_dead, pair))
        for pair in _paired([f["dead"] for f in found])
    ]
    return {
        "Costs and accuracy": facts,
        "First filters": filters,
        "Projections of the second layer": projected,
        f"Dead units ({found[0]['pictures']} and {found[1]['pictures']} pictures)": dead,
    }


def _times(numbers):
    return " x ".join(map(str, numbers))


def _row(what, values):
    return (what, *values)


def _paired(lists):
    longest = max(map(len, lists))
    return zip(*([*some, *[None] * (longest - len(some))] for some in lists), strict=True)


def _dead(entry):
    return _share(entry) if entry else ""


def _share(s):
    return f"{s['count']} of {s['of']}: {s['share']:.1%} ({s['low']:.1%} to {s['high']:.1%})"


def _mean(m, unit="%"):
    if m["mean"] is None:
        return "not measured"
    error = m["error"] or 0.0
    if unit == "x":
        return f"{m['mean']:.2f} ± {error:.2f} times"
    return f"{m['mean']:.1%} ± {error:.1%}"


def _accuracy(found, key):
    if not found["measured"]:
        return f"not measured: {found['why']}"
    s = found[key]
    return f"{s['share']:.2%} ({s['low']:.2%} to {s['high']:.2%})"


def conclusions(networks, found):
    """Return the verdicts as sentences."""
    if not found["applies"]:
        return [f"The paper's findings do not apply: {found['why']}."]
    called = names(networks)
    fine, coarse = called[found["finer"]], called[1 - found["finer"]]
    texts = {
        "dead": "fewer dead units",
        "folded": "less of the first layer's answer folded by the stride",
        "harmonics": "less power at the stride's harmonics in the second layer's projections",
    }
    lines = [f"{fine} has the smaller filters and stride, {coarse} the larger."]
    for name, test in found["tests"].items():
        low, high = test["interval"]
        lines.append(
            f"{texts[name][0].upper()}{texts[name][1:]}: {test['verdict']} "
            f"({test['coarse']:.1%} in {coarse}, {test['fine']:.1%} in {fine}; the difference is "
            f"{low:.1%} to {high:.1%})."
        )
    lines.append(
        f"The paper's two findings here: fewer dead units {found['fewer_dead']}, less aliasing "
        f"{found['less_aliasing']}."
    )
    return lines


def html(networks, drawn, found, data):
    """Return the page; everything is inside it."""
    called = [escape(name) for name in names(networks)]
    title = " and ".join(called)
    head = "".join(f"<th>{name}</th>" for name in ("", *called))
    lines = "".join(f"<li>{escape(line)}</li>" for line in conclusions(networks, found))
    parts = [f"<h1>{title}</h1><p>On {escape(data)}.</p><ul>{lines}</ul><p>{WORDS}</p>"]
    for heading, rows in tables(networks).items():
        parts.append(f"<h2>{escape(heading)}</h2><table><tr>{head}</tr>")
        for row in rows:
            parts.append("<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in row) + "</tr>")
        parts.append("</table>")
    for what, pair in drawn.items():
        parts.append(f"<h2>{escape(TITLES[what])}</h2><div class=pair>")
        for name, picture in zip(called, pair, strict=True):
            image = f"<img src='{_inline(picture)}' alt='{name}'>"
            parts.append(f"<figure><figcaption>{name}</figcaption>{image}</figure>")
        parts.append("</div>")
    return PAGE.replace("TITLE", title).replace("BODY", "\n".join(parts))


WORDS = (
    "In brackets 95 % intervals (Wilson); ± is the standard error of a mean over filters or units. "
    "Dead: fires on none of the pictures. Low, mid, high: below 1/8, from 1/8, from 1/4 cycles per "
    "pixel. Folded: the share of a filter's answer that its stride moves to a wrong frequency. "
    "Harmonics: the share of a projection's power that repeats with the stride of the first layer, "
    "and how much stronger that is than the frequencies around."
)


def _inline(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>TITLE</title>
<style>
body { font: 15px/1.45 sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #ccc; padding: .25em 1em .25em 0; text-align: left; }
.pair { display: flex; flex-wrap: wrap; gap: 2em; }
figure { margin: 0; }
img { max-width: 100%; image-rendering: pixelated; }
</style>
<body>
BODY
</body></html>
"""
