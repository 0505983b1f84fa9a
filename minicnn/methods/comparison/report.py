"""Two compared networks as pictures, as tables, and as one page without other files."""

import base64
import io
from html import escape
from importlib import resources
from itertools import zip_longest

import numpy as np
from PIL import Image

from minicnn.methods.comparison.comparison import FAINT, in_grey_levels, limited
from minicnn.methods.comparison.filter_spectrum import BANDS
from minicnn.methods.features.reconstructions import scaled
from minicnn.pictures.lettering import LIGHT
from minicnn.pictures.overlays import cut, least_square
from minicnn.pictures.sheets import (
    column,
    figure,
    grid,
    labelled,
    side_by_side,
    signed_to_uint8,
)
from minicnn.pictures.unit_sheets import block

TILE = 84  # pixels, at most, that a filter is enlarged to
PATCH = 80
LEGEND = (
    "Filters as they weigh red, green and blue, zero is grey. Second layer: of units drawn at "
    "random the strongest activation projected, beside what it comes from; above it the unit."
)
TITLES = {
    "filters": "First filters, one scale for all",
    "limited": "First filters, RMS limited to the median one",
    "second": "Second layer: projections beside the patches",
}


def pictures(networks, paper=LIGHT):
    """Return {what: [picture of each network]}."""
    found = {name: [] for name in TITLES}
    for network in networks:
        w = in_grey_levels(network.net, network.net.params[f"{network.first}.weight"])
        found["filters"].append(_filters(w, paper))
        found["limited"].append(_filters(limited(w)[0], paper))
        found["second"].append(_second_layer(network, paper))
    return found


def _filters(w, paper):
    """Return filters (K, 3, R, S) as a grid, uint8 (H, W, 3)."""
    rgb, _ = signed_to_uint8(w.transpose(0, 2, 3, 1))
    times = max(1, TILE // max(rgb.shape[1:3]))
    return grid(rgb.repeat(times, axis=1).repeat(times, axis=2), 8, gap=3, paper=paper)


def _second_layer(network, paper):
    """Return the projections of the second layer beside their patches, each with its unit."""
    cells = []
    for unit in network.drawn:
        tile = network.tiles[unit]
        if tile is None:
            picture, text = np.full((PATCH, 2 * PATCH + 6, 3), 200, np.uint8), f"{unit} dead"
        else:
            box = least_square((tile.projection**2).sum(axis=2))  # the effective field
            cuts = {
                name: scaled(cut(getattr(tile, name), box, 0), PATCH)
                for name in ("patch", "projection")
            }
            picture = block([tile._replace(**cuts)], 1, shared=False, paper=paper)[0]
            text = str(unit)
        cells.append(labelled(picture, text, size=14, paper=paper))
    return grid(cells, 4, gap=8, paper=paper)


def sheet(networks, drawn, data, paper=LIGHT):
    """Return all pictures as one figure: a row for each of them, a column for each network."""
    called = names(networks)
    rows = [
        beside(pair, [f"{name}\n{TITLES[what]}" for name in called], paper)
        for what, pair in drawn.items()
    ]
    title, rows = f"{' and '.join(called)}, on {data}", column(rows, gap=16, paper=paper)
    return figure(rows, title, LEGEND, paper=paper)


def beside(pictures, labels, paper=LIGHT):
    """Return pictures of any sizes in a row, each below its label, their upper edges in line."""
    height, cells = max(map(len, pictures)), []
    for picture, label in zip(pictures, labels, strict=True):
        rest = paper.sheet(height - len(picture), picture.shape[1])
        cells.append(labelled(np.concatenate([picture, rest]), label, size=16, paper=paper))
    return side_by_side(cells, height=len(cells[0]), gap=24, paper=paper)


def names(networks):
    """Return what to call the two: their architectures if these differ, else as they were given."""
    architectures = [network.net.attrs["name"] for network in networks]
    if architectures[0] != architectures[1]:
        return architectures
    return [network.name for network in networks]


def tables(networks):
    """Return {title: list of rows}; a row is (what, value of one, value of the other)."""
    found = [network.findings for network in networks]

    def rows(part, lines):
        of = [f[part] if part else f for f in found]
        return [(what, *map(write, of)) for what, write in lines.items()]

    def spectrum(band):
        return lambda first: _mean(first["spectrum"][band])

    facts = {
        "network": lambda f: f["network"],
        "architecture": lambda f: f["architecture"],
        "input": lambda f: _times(f["input"]),
        "parameters": lambda f: f"{f['costs']['parameters']:,}",
        "multiplications a picture": lambda f: f"{f['costs']['macs']:,}",
        "time a picture": lambda f: f"{1000 * f['costs']['seconds']:.2f} ms",
        "top-1": lambda f: _accuracy(f["accuracy"], "top1"),
        "top-5": lambda f: _accuracy(f["accuracy"], "top5"),
    }
    filters = {
        "layer": lambda first: f"{first['layer']}: {first['filters']} filters",
        "size, stride": lambda first: f"{_times(first['kernel'])}, {first['stride']}",
        f"faint (RMS < {FAINT:g} of the largest)": lambda first: _share(first["faint"]),
        "largest RMS / median": lambda first: f"{first['largest_over_median_rms']:.2f}",
        **{f"power at {band} frequencies": spectrum(band) for band in BANDS},
        "folded by the stride": lambda first: _mean(first["folded"]),
    }
    projected = {
        "layer": lambda second: second["layer"],
        "power at the stride's harmonics": lambda second: _mean(second["harmonics"]),
        "against the frequencies around": lambda second: _mean(second["excess"], "x"),
    }
    dead = [
        (" / ".join(dict.fromkeys(d["layer"] for d in pair if d)), *(d and _share(d) for d in pair))
        for pair in zip_longest(*(f["dead"] for f in found), fillvalue="")
    ]
    return {
        "Costs and accuracy": rows(None, facts),
        "First filters": rows("first", filters),
        "Projections of the second layer": rows("second", projected),
        f"Dead units ({found[0]['pictures']} and {found[1]['pictures']} pictures)": dead,
    }


def _times(numbers):
    return " x ".join(map(str, numbers))


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
        "dead": "Fewer dead units",
        "folded": "Less of the first layer's answer folded by the stride",
        "harmonics": "Less power at the stride's harmonics in the second layer's projections",
    }
    lines = [f"{fine} has the smaller filters and stride, {coarse} the larger."]
    for name, test in found["tests"].items():
        low, high = test["interval"]
        lines.append(
            f"{texts[name]}: {test['verdict']} "
            f"({test['coarse']:.1%} in {coarse}, {test['fine']:.1%} in {fine}; the difference is "
            f"{low:.1%} to {high:.1%})."
        )
    aliasing = {test["verdict"] for name, test in found["tests"].items() if name != "dead"}
    lines.append(
        f"The paper's two findings here: fewer dead units {found['fewer_dead']}, less aliasing "
        f"{found['less_aliasing']}"
        + (", as its two measures say different things." if len(aliasing) > 1 else ".")
    )
    return lines


def html(networks, drawn, found, data):
    """Return the page; everything is inside it."""
    called = [escape(name) for name in names(networks)]
    title = " and ".join(called)
    head = "".join(f"<th>{name}</th>" for name in ("", *called))
    lines = "".join(f"<li>{escape(line)}</li>" for line in conclusions(networks, found))
    parts = [f"<h1>{title}</h1><p>On {escape(data)}.</p><ul>{lines}</ul><p>{WORDS}</p>"]
    parts.append("<div class=tables>")
    for heading, rows in tables(networks).items():
        parts.append(f"<section><h2>{escape(heading)}</h2><table><tr>{head}</tr>")
        for row in rows:
            parts.append("<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in row) + "</tr>")
        parts.append("</table></section>")
    parts.append("</div>")
    for what, pair in drawn.items():
        parts.append(f"<h2>{escape(TITLES[what])}</h2><div class='pair {what}'>")
        for name, picture in zip(called, pair, strict=True):
            image = f"<img src='{_inline(picture)}' alt='{name}'>"
            parts.append(f"<figure><figcaption>{name}</figcaption>{image}</figure>")
        parts.append("</div>")
    page = resources.files("minicnn.methods.comparison").joinpath("page.html").read_text("utf-8")
    return page.replace("TITLE", title).replace("BODY", "\n".join(parts))


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
