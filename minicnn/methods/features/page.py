"""Draw what a scan has found: contact sheets, and a page to look through them all.

    FOLDER/sheets/LAYER-01.png        64 units each, with the settings in the file
    FOLDER/report/LAYER/UNIT.jpg      its units one by one, loaded when they come into view
    FOLDER/report/pictures/NUMBER.jpg the pictures behind the patches
    FOLDER/index.html                 needs no server and no network

or, as a single file, the page with all of its pictures inside. `drawing` draws them, and
goes on where it was interrupted.
"""

import json
from contextlib import closing
from importlib import resources
from pathlib import Path

import numpy as np

from minicnn.methods.features import strongest
from minicnn.methods.features.drawing import Drawing, all_sheets, folder_name
from minicnn.pictures.unit_sheets import GAP
from minicnn.storage.atomic import write_whole


def draw(features, net, pictures, folder, settings, *, resume=False, progress=None):
    """Write the sheets and the page of a complete scan.

    Parameters
    ----------
    features : Features
    net : Network
    pictures : PictureSet
    folder : path
        Files in it are replaced.
    settings : DrawSettings
    resume : bool
        Leave the sheets that are there already with these settings; not for a single file.
    progress : callable, progress(units done), optional

    Returns
    -------
    list of Path
        The sheets, then the page.
    """
    drawing = Drawing(features, net, pictures, Path(folder), settings)
    resume = resume and not settings.single_file
    sizes, seen = ({layer: {} for layer in features.layers} for _ in range(2))
    used, told, written, inside, count = set(), [], [], {}, 0
    with closing(all_sheets(drawing, resume)) as sheets:
        for layer, units, there in sheets:
            if there:
                written.append(drawing.file(layer, units))
                seen[layer] |= there.pop("seen")
                inside |= there.pop("inside", {})
                sizes[layer] = there
            count += len(units)
            if progress:
                progress(count)
    for layer, records in features.layers.items():
        everyone = range(len(records.dead))
        entries = [_unit(drawing, layer, unit, seen[layer].get(str(unit), [])) for unit in everyone]
        used.update(hit[0] for entry in entries for hit in entry["hits"])
        told.append(_layer(features, layer, entries, sizes[layer]))
    for number in sorted(used):
        rgb = pictures.picture(number, features.settings.size)
        inside |= drawing.keep(f"report/pictures/{number}.jpg", rgb)
    data = _page(features, settings, told, used) | {"files": inside or None}
    write_whole(drawing.folder / "index.html", html(data).encode())
    return [*written, drawing.folder / "index.html"]


def html(data):
    """Return the page that shows `data`."""
    template = resources.files("minicnn.methods.features").joinpath("page.html").read_text("utf-8")
    # "</script>" in a file name must not end the script
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace("/*DATA*/", text)


def _trimmed(counts):
    """Return ("first", "counts") of a histogram without its empty ends."""
    held = np.flatnonzero(counts)
    first, last = (int(held[0]), int(held[-1])) if held.size else (0, 0)
    return {"first": first, "counts": counts[first : last + 1].tolist()}


def _unit(drawing, layer, unit, seen):
    features = drawing.features
    records, (rows, columns) = features.layers[layer], features.maps[layer]
    pictures, hits = max(1, features.seen), drawing.hits(layer, unit)
    return {
        "unit": unit,
        "peak": float(records.value[unit, 0]),
        "share": int(records.positive[unit]) / (pictures * rows * columns),
        "fired": int(records.fired[unit]) / pictures,
        "hits": [(*hit, box) for hit, box in zip(hits, seen, strict=True)],
        **_trimmed(records.histogram[unit]),
    }


def _layer(features, layer, entries, sizes):
    records = features.layers[layer]
    bins = np.searchsorted(strongest.EDGES, records.value[:, 0], side="right") + 1
    counts = np.bincount(np.where(records.dead, 0, bins), minlength=strongest.BINS)
    return {
        "name": layer,
        "folder": folder_name(layer),
        "units": entries,
        "columns": int(np.ceil(features.settings.top**0.5)),
        "gap": GAP,
        "tile": [64, 64],
        "block": [400, 200],
        **sizes,
        **_trimmed(counts),
    }


def _page(features, drawn, layers, used):
    settings, dead = features.settings, {n: r.dead for n, r in features.layers.items()}
    zero = [
        f"{name} {zeros / count:.1%}" for name, (zeros, count) in features.pools.items() if count
    ]
    facts = {
        "network": f"{settings.network}, weights {settings.weights[:12]}",
        "pictures": f"{features.seen} of {settings.data}, {settings.size} x {settings.size} pixels",
        "skipped": "; ".join(f"{n}: {why}" for n, why in list(features.skipped.items())[:100]),
        "dead units": "; ".join(f"{name} {d.sum()} of {len(d)}" for name, d in dead.items()),
        "projection": ", ".join(f"{name} {value}" for name, value in drawn.choices().items()),
        "contrast": f"one for each {drawn.contrast}",
        "windows of zeros": "; ".join(zero),
    }
    return {
        "title": f"{settings.network}: features of {features.seen} pictures",
        "pictures": features.seen,
        "size": settings.size,
        "edges": strongest.EDGES.tolist(),
        "facts": [[name, text] for name, text in facts.items() if text],
        "names": {number: features.names.get(number, str(number)) for number in sorted(used)},
        "layers": layers,
    }
