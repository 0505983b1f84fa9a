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
import re
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.engine.walk import FastWalk
from minicnn.images import save_image
from minicnn.tasks import feature_pictures, topk
from minicnn.tasks.deconvnet import Policy
from minicnn.tasks.outputs import results_folder, write_bytes

GAP = 2
UNITS_A_SHEET = feature_pictures.CHUNK


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
        write_bytes(results_folder(path.parent, []) / path.name, data)


def draw(
    features,
    net,
    pictures,
    folder,
    *,
    policy=None,
    tile=feature_pictures.TILE,
    shared=True,
    single_file=False,
    threads=None,
    progress=None,
):
    """Write the sheets and the page of a complete scan.

    Parameters
    ----------
    features : Features
    net : Network
    pictures : PictureSet
    folder : path
        Files in it are replaced.
    policy : deconvnet.Policy, optional
    tile : int
        Side of a patch in the sheets, in pixels.
    shared : bool
        One contrast for all reconstructions of a unit.
    single_file : bool
        Put all pictures into the page.
    threads : int, optional
    progress : callable, progress(units done, units in all), optional

    Returns
    -------
    list of Path
        The sheets, then the page.
    """
    policy, walk = policy or Policy(), FastWalk(net, threads)
    writer, used, told, sheets = _Writer(folder, single_file), set(), [], []
    total, count = sum(len(r.dead) for r in features.layers.values()), 0
    for layer, records in features.layers.items():
        entries, sizes = [], {}
        for first in range(0, len(records.dead), UNITS_A_SHEET):
            units = list(range(first, min(first + UNITS_A_SHEET, len(records.dead))))
            alive = [unit for unit in units if not records.dead[unit]]
            tiles = feature_pictures.projections(
                net, features, pictures, layer, alive, walk=walk, policy=policy, tile=tile
            )
            blocks, scales = {}, {}
            for unit in alive:
                blocks[unit], scales[unit] = feature_pictures.block(
                    tiles[unit], features.settings.top, shared=shared, gap=GAP
                )
                writer.picture(f"report/{folder_name(layer)}/{unit}.jpg", blocks[unit])
                sizes = {
                    "tile": tiles[unit][0].patch.shape[1::-1],
                    "block": blocks[unit].shape[1::-1],
                }
            if blocks:
                name = f"{folder_name(layer)}-{first // UNITS_A_SHEET + 1:02d}.png"
                metadata = _metadata(features, layer, tiles, scales, policy, shared)
                metadata["dead"] = [unit for unit in units if records.dead[unit]]
                sheets.append(_save_sheet(Path(folder) / "sheets" / name, blocks, metadata))
            entries += [_unit(features, layer, unit, tiles.get(unit, [])) for unit in units]
            used.update(t.picture for unit in alive for t in tiles[unit])
            count += len(units)
            if progress:
                progress(count, total)
        told.append(_layer(features, layer, entries, sizes))
    for number in sorted(used):
        rgb = pictures.picture(number, features.settings.size)
        writer.picture(f"report/pictures/{number}.jpg", rgb)
    data = _page(features, net, policy, shared, told, used) | {"files": writer.inside}
    writer.bytes("index.html", html(data).encode())
    return [*sheets, Path(folder) / "index.html"]


def html(data):
    """Return the page that shows `data`."""
    template = resources.files("minicnn.tasks").joinpath("feature_report.html").read_text("utf-8")
    # "</script>" in a file name must not end the script
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace("/*DATA*/", text)


def folder_name(layer):
    """Return a layer's name as part of a file name."""
    return re.sub(r"[^\w.-]", "-", layer)


def _save_sheet(path, blocks, metadata):
    results_folder(path.parent, [])
    drawn = feature_pictures.sheet(blocks, metadata["dead"])
    save_image(path, drawn, metadata=metadata, force=True)
    return path


def _metadata(features, layer, tiles, scales, policy, shared):
    settings = features.settings
    return {
        "verb": "features",
        "layer": layer,
        "units": list(tiles),
        "activations": {
            unit: [
                {
                    "picture": features.names.get(t.picture, t.picture),
                    "position": [t.row, t.column],
                    "value": t.value,
                    "seen": t.box.seen,
                }
                for t in found
            ]
            for unit, found in tiles.items()
        },
        "network": settings.network,
        "weights_sha256": settings.weights,
        "data": settings.data,
        "data_sha256": settings.fingerprint,
        "pictures": features.seen,
        "size": settings.size,
        "policy": policy.metadata(),
        "contrast": "unit" if shared else "picture",
        "scale": {unit: scale[0] if shared else scale for unit, scale in scales.items()},
    }


def _trimmed(counts):
    """Return ("first", "counts") of a histogram without its empty ends."""
    held = np.flatnonzero(counts)
    first, last = (int(held[0]), int(held[-1])) if held.size else (0, 0)
    return {"first": first, "counts": counts[first : last + 1].tolist()}


def _unit(features, layer, unit, tiles):
    records, (rows, columns) = features.layers[layer], features.maps[layer]
    seen = max(1, features.seen)
    hits = [[t.picture, t.row, t.column, t.value, t.box.seen] for t in tiles]
    return {
        "unit": unit,
        "peak": float(records.value[unit, 0]),
        "share": int(records.positive[unit]) / (seen * rows * columns),
        "fired": int(records.fired[unit]) / seen,
        "hits": hits,
        **_trimmed(records.histogram[unit]),
    }


def _layer(features, layer, entries, sizes):
    records = features.layers[layer]
    bins = np.searchsorted(topk.EDGES, records.value[:, 0], side="right") + 1
    counts = np.bincount(np.where(records.dead, 0, bins), minlength=topk.BINS)
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


def _page(features, net, policy, shared, layers, used):
    settings = features.settings
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
        "projection": ", ".join(f"{key} {value}" for key, value in policy.metadata().items()),
        "contrast": "one for each unit" if shared else "one for each picture",
        "windows of zeros": "; ".join(zero),
    }
    return {
        "title": f"{settings.network}: features of {features.seen} pictures",
        "pictures": features.seen,
        "size": settings.size,
        "edges": topk.EDGES.tolist(),
        "facts": [[name, text] for name, text in facts.items() if text],
        "names": {number: features.names.get(number, str(number)) for number in sorted(used)},
        "layers": layers,
    }
