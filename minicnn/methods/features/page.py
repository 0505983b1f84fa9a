"""Draw what a scan has found: contact sheets, and a page to look through them all.

    FOLDER/sheets/LAYER-01.png        64 units each, with the settings in the file
    FOLDER/report/LAYER/UNIT.jpg      its units one by one, loaded when they come into view
    FOLDER/report/pictures/NUMBER.jpg the pictures behind the patches
    FOLDER/index.html                 needs no server and no network

or, as a single file, the page with all of its pictures inside. Processes draw one sheet each. A
sheet is written after its units, so where there is one, all is there: an interrupted drawing leaves
out the sheets that are drawn already with the same settings.
"""

import base64
import io
import json
import re
from contextlib import closing
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.engine.cpu.threads import one_blas_thread, thread_count
from minicnn.engine.cpu.workers import can_fork, workers
from minicnn.errors import MinicnnError
from minicnn.methods.features import strongest
from minicnn.methods.features.reconstructions import energy_of, projections
from minicnn.pictures.html import coloured
from minicnn.pictures.unit_sheets import GAP, block, sheet
from minicnn.pictures.writer import read_metadata, save_image
from minicnn.storage.atomic import results_folder, write_whole

UNITS_A_SHEET = 64  # whose tiles are held at a time


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
    drawing = _Drawing(features, net, pictures, Path(folder), settings)
    resume = resume and not settings.single_file
    sizes, seen = ({layer: {} for layer in features.layers} for _ in range(2))
    used, told, written, inside, count = set(), [], [], {}, 0
    with closing(_drawn(drawing, resume)) as sheets:
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
        boxes = (seen[layer].get(str(unit), []) for unit in range(len(records.dead)))
        entries = [_unit(features, layer, unit, shown) for unit, shown in enumerate(boxes)]
        used.update(hit[0] for entry in entries for hit in entry["hits"])
        told.append(_layer(features, layer, entries, sizes[layer]))
    for number in sorted(used):
        rgb = pictures.picture(number, features.settings.size)
        inside |= drawing.keep(f"report/pictures/{number}.jpg", rgb)
    data = _page(features, settings, told, used) | {"files": inside or None}
    page = coloured(html(data), settings.dark)
    write_whole(drawing.folder / "index.html", page.encode())
    return [*written, drawing.folder / "index.html"]


def _drawn(drawing, resume):
    """Yield (layer, units, what `_Drawing.draw` returned of them) of every sheet, in order."""
    sheets = [
        (layer, range(len(records.dead))[first : first + UNITS_A_SHEET])
        for layer, records in drawing.features.layers.items()
        for first in range(0, len(records.dead), UNITS_A_SHEET)
    ]
    count = drawing.workers
    with one_blas_thread(), workers(drawing.draw, count, processes=count > 1) as submit:
        found = [(resume and drawing.sizes_of(*sheet)) or submit(*sheet) for sheet in sheets]
        for sheet, there in zip(sheets, found, strict=True):
            yield *sheet, there if isinstance(there, dict) else there.result()


class _Drawing:
    """Draws sheets, and keeps the pictures of the page below the folder or for inside the page."""

    def __init__(self, features, net, pictures, folder, settings):
        self.features, self.net, self.pictures = features, net, pictures
        self.folder, self.settings = folder, settings
        count = thread_count(settings.threads)
        self.workers = count if can_fork() else 1
        # in little memory: each process would keep filters in another layout for small windows
        self.evaluator = FastEvaluator(net, count // self.workers, low_memory=True)
        size = features.settings.size
        self.evaluator.transform(list(features.layers), (net.input_shape[0], size, size))

    def keep(self, name, rgb):
        """Keep a JPEG picture for the page: in a file, or as {name: address} to put inside."""
        memory = io.BytesIO()
        Image.fromarray(rgb).save(memory, "JPEG", quality=88, subsampling=0)
        if self.settings.single_file:
            text = base64.b64encode(memory.getvalue()).decode()
            return {name: f"data:image/jpeg;base64,{text}"}
        path = self.folder / name
        write_whole(results_folder(path.parent, []) / path.name, memory.getvalue())
        return {}

    def draw(self, layer, units):
        """Draw one sheet, and its units one by one; dead ones have a place on it, nothing else.

        Returns {"tile": [width, height], "block": [width, height], "seen": {unit: boxes},
        "inside": {name: address}}, the pixels of a patch and of all that is shown of a unit, what
        of each picture is shown as [top, left, bottom, right], and what the page must hold; empty
        if all units are dead: then no sheet is written.
        """
        metadata, shared = self._metadata(layer, units), self.settings.contrast == "unit"
        alive = metadata["units"]
        if not alive:
            return {}
        how = {"evaluator": self.evaluator, "policy": self.settings, "patch": self.settings.patch}
        how["energy"] = energy_of(self.settings)
        tiles = projections(self.net, self.features, self.pictures, layer, alive, **how)
        how = {"shared": shared, "paper": self.settings.paper}
        blocks, scales, seen, inside, size = {}, {}, {}, {}, self.features.settings.size
        for unit in alive:
            boxes = np.clip([tile.box for tile in tiles[unit]], 0, size)
            seen[str(unit)] = boxes.tolist()
            blocks[unit], scale = block(tiles[unit], self.features.settings.top, **how)
            scales[unit] = scale[0] if shared else scale
            inside |= self.keep(unit_file(layer, unit), blocks[unit])
        sizes = {
            "tile": list(tiles[unit][0].patch.shape[1::-1]),
            "block": list(blocks[unit].shape[1::-1]),
            "seen": seen,
        }
        names = {unit: _told(self.features, layer, unit) for unit in units}
        title, caption = self._words(layer, units)
        how = {"caption": caption, "paper": self.settings.paper}
        path, rgb = self.file(layer, units), sheet(blocks, names, title, **how)
        results_folder(path.parent, [])
        save_image(path, rgb, metadata={**metadata, "scale": scales, **sizes}, force=True)
        return {**sizes, "inside": inside}

    def sizes_of(self, layer, units):
        """Return what `draw` returned if the same sheet is there already, else None."""
        path, wanted = self.file(layer, units), self._metadata(layer, units)
        files = [path, *(self.folder / unit_file(layer, unit) for unit in wanted["units"])]
        if not all(file.exists() for file in files):
            return None
        try:
            found = read_metadata(path)
        except MinicnnError:
            return None  # of another program
        wanted = json.loads(json.dumps(wanted))
        same = all(found.get(name) == value for name, value in wanted.items())
        return {name: found.get(name) for name in ("tile", "block", "seen")} if same else None

    def file(self, layer, units):
        """Return the path of the sheet of some units."""
        number = units[0] // UNITS_A_SHEET + 1
        return self.folder / "sheets" / f"{_folder_name(layer)}-{number:02d}.png"

    def _words(self, layer, units):
        """Return the title of a sheet, and what it shows in words."""
        features, settings = self.features, self.features.settings
        seen = "it sees" if self.settings.field == "theoretical" else "they come from"
        title = (
            f"{settings.network} {layer}, units {units[0]} to {units[-1]}; {features.seen} "
            f"pictures of {Path(settings.data).name}"
        )
        return title, (
            f"Of each unit, left: its {settings.top} strongest activations projected, rule "
            f"{self.settings.rule}, zero is grey; right: what of the pictures {seen}. Where there "
            "are fewer, it fires in no other picture; DEAD: in none."
        )

    def _metadata(self, layer, units):
        features, settings = self.features, self.features.settings
        alive = [unit for unit in units if not features.layers[layer].dead[unit]]
        keys = ("picture", "position", "value")
        return {
            "verb": "features",
            "layer": layer,
            "units": alive,
            "dead": [unit for unit in units if unit not in alive],
            "activations": {
                unit: [
                    dict(zip(keys, (features.names.get(n, n), at, value), strict=True))
                    for n, *at, value in strongest.hits(features.layers[layer], unit)
                ]
                for unit in alive
            },
            "network": settings.network,
            "weights_sha256": settings.weights,
            "data": settings.data,
            "data_sha256": settings.fingerprint,
            "pictures": features.seen,
            "size": settings.size,
            "side": self.settings.patch,
            "policy": self.settings.choices(),
            "contrast": self.settings.contrast,
            "dark": self.settings.dark,
            "field": self.settings.field,
        }


def _folder_name(layer):
    """Return a layer's name as part of a file name."""
    return re.sub(r"[^\w.-]", "-", layer)


def unit_file(layer, unit):
    """Return where the drawing of a unit lies below the folder."""
    return f"report/{_folder_name(layer)}/{unit}.jpg"


def _told(features, layer, unit):
    """Return a unit's number, and how many tiles it has if not all."""
    records, top = features.layers[layer], features.settings.top
    there = int((records.picture[unit] != strongest.EMPTY).sum())
    if records.dead[unit]:
        return f"{unit} DEAD"
    return f"{unit}" if there == top else f"{unit}: {there} of {top}"


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


def _unit(features, layer, unit, seen):
    records, (rows, columns) = features.layers[layer], features.maps[layer]
    pictures, hits = max(1, features.seen), strongest.hits(records, unit)
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
        "folder": _folder_name(layer),
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
