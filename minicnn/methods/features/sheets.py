"""The contact sheets of a scan, one at a time, each with its settings in the file.

    FOLDER/sheets/LAYER-01.png        64 units each
    FOLDER/report/LAYER/UNIT.jpg      the units of a sheet one by one, for the page

The sheet is written last, so where there is one, all is there: an interrupted drawing goes on
behind the sheets that are drawn already with the same settings.
"""

import json
import re
from pathlib import Path

import numpy as np

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.features.reconstructions import box, projections
from minicnn.methods.features.strongest import EMPTY
from minicnn.pictures.sheets import grid, labelled, signed_to_uint8
from minicnn.pictures.writer import read_metadata, save_image
from minicnn.storage.atomic import results_folder

GAP = 2
UNITS_A_SHEET = 64  # whose tiles are held at a time
CLIPPED = 0.01  # share of the visible values that may leave the range: deep signals are spiky


class Sheets:
    """Draws the sheets of a scan.

    Parameters
    ----------
    features : Features
    net : Network
    pictures : PictureSet
        The one that was scanned.
    folder : path
    settings : DrawSettings
    keep : callable, keep(name, rgb)
        Writes the picture of a unit below the folder.
    """

    def __init__(self, features, net, pictures, folder, settings, keep):
        self.features, self.net, self.pictures = features, net, pictures
        self.folder, self.settings, self.keep = Path(folder), settings, keep
        self.shared = settings.contrast == "unit"
        self.evaluator = FastEvaluator(net, settings.threads)

    def draw(self, layer, units):
        """Draw one sheet, and its units one by one.

        Parameters
        ----------
        layer : str
        units : range
            Those that are dead have a place on the sheet, nothing else.

        Returns
        -------
        {"tile": [width, height], "block": [width, height]}
            Pixels of a patch, and of all that is shown of a unit; empty if all units are dead: then
            no sheet is written.
        """
        alive = self._alive(layer, units)
        if not alive:
            return {}
        tiles = projections(
            self.net,
            self.features,
            self.pictures,
            layer,
            alive,
            evaluator=self.evaluator,
            policy=self.settings,
            patch=self.settings.patch,
        )
        blocks, scales = {}, {}
        for unit in alive:
            blocks[unit], scales[unit] = block(
                tiles[unit], self.features.settings.top, shared=self.shared
            )
            self.keep(unit_file(layer, unit), blocks[unit])
        sizes = {
            "tile": list(tiles[unit][0].patch.shape[1::-1]),
            "block": list(blocks[unit].shape[1::-1]),
        }
        metadata = self._metadata(layer, units)
        metadata["scale"] = {u: scale[0] if self.shared else scale for u, scale in scales.items()}
        path = self.file(layer, units)
        results_folder(path.parent, [])
        rgb = sheet(blocks, metadata["dead"])
        save_image(path, rgb, metadata=metadata | sizes, force=True)
        return sizes

    def drawn(self, layer, units):
        """Return what `draw` returned if the same sheet is there already, else None."""
        path, alive = self.file(layer, units), self._alive(layer, units)
        if not (alive and path.exists()):
            return None
        if not all((self.folder / unit_file(layer, unit)).exists() for unit in alive):
            return None
        try:
            found = read_metadata(path)
        except MinicnnError:
            return None  # of another program
        wanted = json.loads(json.dumps(self._metadata(layer, units)))
        if any(found.get(name) != value for name, value in wanted.items()):
            return None
        sizes = {name: found.get(name) for name in ("tile", "block")}
        return sizes if all(sizes.values()) else None

    def file(self, layer, units):
        """Return the path of the sheet of some units."""
        number = units[0] // UNITS_A_SHEET + 1
        return self.folder / "sheets" / f"{folder_name(layer)}-{number:02d}.png"

    def hits(self, layer, unit):
        """Return [(picture, row, column, value, what of the picture is seen)] of a unit."""
        records, field = self.features.layers[layer], self.net.receptive_fields()[layer]
        size = (self.features.settings.size,) * 2
        rows = zip(
            *(
                array[unit].tolist()
                for array in (records.picture, records.row, records.column, records.value)
            ),
            strict=True,
        )
        return [(*row, box(field, *row[1:3], size).seen) for row in rows if row[0] != EMPTY]

    def _alive(self, layer, units):
        return [unit for unit in units if not self.features.layers[layer].dead[unit]]

    def _metadata(self, layer, units):
        features, settings = self.features, self.features.settings
        alive = self._alive(layer, units)
        return {
            "verb": "features",
            "layer": layer,
            "units": alive,
            "dead": [unit for unit in units if unit not in alive],
            "activations": {
                unit: [
                    {
                        "picture": features.names.get(picture, picture),
                        "position": [row, column],
                        "value": value,
                        "seen": seen,
                    }
                    for picture, row, column, value, seen in self.hits(layer, unit)
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
        }


def unit_file(layer, unit):
    """Return the name of a unit's picture below the folder."""
    return f"report/{folder_name(layer)}/{unit}.jpg"


def folder_name(layer):
    """Return a layer's name as part of a file name."""
    return re.sub(r"[^\w.-]", "-", layer)


def block(tiles, slots, *, shared=True, gap=GAP):
    """Return a unit's block: square of reconstructions, square of patches; and the scales used.

    Parameters
    ----------
    tiles : list of Tile
        At least one.
    slots : int
        Tiles that the block has room for; those that are not there stay white.
    shared : bool
        One scale for the unit's reconstructions, so that their strengths compare; else each its
        own.
    gap : int
        Pixels between tiles.

    Returns
    -------
    uint8 (H, W, 3), list of float
        Scales in grey levels of the sheet for a grey level of the picture.
    """
    common = _scale([t.projection for t in tiles])
    drawn = [
        signed_to_uint8(t.projection, common if shared else _scale([t.projection])) for t in tiles
    ]
    columns = int(np.ceil(slots**0.5))
    empty = [None] * (slots - len(tiles))
    squares = [
        grid([*pictures, *empty], columns, gap=gap)
        for pictures in ([d for d, _ in drawn], [t.patch for t in tiles])
    ]
    return grid(squares, 2, gap=3 * gap), [scale for _, scale in drawn]


def _scale(projections):
    """Return the scale at which all but the `CLIPPED` largest values fit into a byte."""
    size = np.abs(np.concatenate([p.ravel() for p in projections]))
    size = size[size > 0.01 * size.max(initial=0)]
    peak = float(np.quantile(size, 1 - CLIPPED)) if size.size else 0.0
    return 127.0 / peak if peak > 1e-30 else None


def sheet(blocks, dead=(), columns=8):
    """Return one sheet of {unit: block picture}, each with its unit's number above.

    Units that are `dead` have their place too, with nothing in it.
    """
    nothing = np.full_like(next(iter(blocks.values())), 255)
    cells = {unit: labelled(picture, str(unit), size=14) for unit, picture in blocks.items()}
    cells |= {unit: labelled(nothing, f"{unit} DEAD", size=14) for unit in dead}
    return grid([cells[unit] for unit in sorted(cells)], columns, gap=14)
