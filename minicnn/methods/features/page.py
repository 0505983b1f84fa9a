"""Draw what a scan has found: contact sheets, and a page to look through them all.

    FOLDER/sheets/LAYER-01.png        64 units each, with the settings in the file
    FOLDER/index.html                 needs no server and no network
    FOLDER/report/LAYER/UNIT.jpg      what the page shows, loaded when it comes into view
    FOLDER/report/pictures/NUMBER.jpg the pictures behind the patches

or, as a single file, the page with all of its pictures inside.
"""

import base64
import io
import json
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.methods.features import strongest
from minicnn.methods.features.sheets import GAP, UNITS_A_SHEET, Sheets, folder_name
from minicnn.storage.atomic import results_folder, write_whole


class _Writer:
    """Puts files below a folder, or into the page."""

    def __init__(self, folder, single_file):
        self.folder, self.inside = Path(folder), {} if single_file else None

    def picture(self, name, rgb):
        """Keep a JPEG picture for the page."""
        memory = io.BytesIO()
        Image.fromarray(rgb).save(memory, "JPEG", quality=88, subsampling=0)
        if self.inside is None:
            self.bytes(name, memory.getvalue())
        else:
            text = base64.b64encode(memory.getvalue()).decode()
            self.inside[name] = f"data:image/jpeg;base64,{text}"

    def bytes(self, name, data):
        """Write a file whole or not at all."""
        path = self.folder / name
        write_whole(results_folder(path.parent, []) / path.name, data)


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
    progress : callable, progress(units done, units in all), optional

    Returns
    -------
    list of Path
        The sheets, then the page.
    """
    writer, used, told, written = _Writer(folder, settings.single_file), set(), [], []
    sheets = Sheets(features, net, pictures, folder, settings, writer.picture)
    total, count = sum(len(r.dead) for r in features.layers.values()), 0
    for layer, records in features.layers.items():
        entries, sizes = [], {}
        for first in range(0, len(records.dead), UNITS_A_SHEET):
            units = range(first, min(first + UNITS_A_SHEET, len(records.dead)))
            there = None
            if resume and not settings.single_file:
                there = sheets.drawn(layer, units)
            if there is None:
                there = sheets.draw(layer, units)
            if there:
                written.append(sheets.file(layer, units))
                sizes = there
            entries += [_unit(sheets, layer, unit) for unit in units]
            count += len(units)
            if progress:
                progress(count, total)
        used.update(hit[0] for entry in entries for hit in entry["hits"])
        told.append(_layer(features, layer, entries, sizes))
    for number in sorted(used):
        rgb = pictures.picture(number, features.settings.size)
        writer.picture(f"report/pictures/{number}.jpg", rgb)
    data = _page(sheets, told, used) | {"files": writer.inside}
    writer.bytes("index.html", html(data).encode())
    return [*written, Path(folder) / "index.html"]


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


def _unit(sheets, layer, unit):
    features = sheets.features
    records, (rows, columns) = features.layers[layer], features.maps[layer]
    seen = max(1, features.seen)
    return {
        "unit": unit,
        "peak": float(records.value[unit, 0]),
        "share": int(records.positive[unit]) / (seen * rows * columns),
        "fired": int(records.fired[unit]) / seen,
        "hits": sheets.hits(layer, unit),
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


def _page(sheets, layers, used):
    features, settings = sheets.features, sheets.features.settings
    zero = [
        f"{name} {zeros / count:.1%}" for name, (zeros, count) in features.pools.items() if count
    ]
    facts = {
        "network": f"{settings.network}, weights {settings.weights[:12]}",
        "pictures": f"{features.seen} of {settings.data}, {settings.size} x {settings.size} pixels",
        "skipped": "; ".join(f"{n}: {why}" for n, why in list(features.skipped.items())[:100]),
        "dead units": "; ".join(
            f"{name} {r.dead.sum()} of {len(r.dead)}" for name, r in features.layers.items()
        ),
        "projection": ", ".join(
            f"{key} {value}" for key, value in sheets.settings.choices().items()
        ),
        "contrast": "one for each unit" if sheets.shared else "one for each picture",
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
