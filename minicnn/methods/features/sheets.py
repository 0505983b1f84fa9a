"""The contact sheets of a scan, one at a time, each with its settings in the file.

    FOLDER/sheets/LAYER-01.png        64 units each
    FOLDER/report/LAYER/UNIT.jpg      the units of a sheet one by one, for the page

The sheet is written last, so where there is one, all is there: an interrupted drawing goes on
behind the sheets that are drawn already with the same settings.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import Policy
from minicnn.methods.features import reconstructions
from minicnn.methods.features.strongest import EMPTY
from minicnn.methods.features.windows import box
from minicnn.pictures.writer import read_metadata, save_image
from minicnn.storage.atomic import results_folder

GAP = 2
UNITS_A_SHEET = reconstructions.CHUNK


@dataclass(frozen=True)
class Look:
    """How sheets are drawn.

    Attributes
    ----------
    policy : deconvnet.Policy
    tile : int
        Side of a patch, in pixels.
    shared : bool
        One contrast for all reconstructions of a unit.
    """

    policy: Policy
    tile: int
    shared: bool


def hits(features, net, layer, unit):
    """Return [(picture, row, column, value, what of the picture is seen)] of a unit."""
    records, field = features.layers[layer], net.receptive_fields()[layer]
    size = (features.settings.size,) * 2
    rows = zip(
        *(a[unit].tolist() for a in (records.picture, records.row, records.column, records.value)),
        strict=True,
    )
    return [(*row, box(field, *row[1:3], size).seen) for row in rows if row[0] != EMPTY]


def draw(features, net, pictures, layer, units, path, writer, evaluator, look):
    """Draw one sheet, and its units one by one.

    Parameters
    ----------
    features, net, pictures
        Those of `page.draw`.
    layer : str
    units : list of int
        Those that are dead have a place on the sheet, nothing else.
    path : Path
        Of the sheet; it is not written if all units are dead.
    writer : has `picture(name, rgb)`
    evaluator : FastEvaluator
    look : Look

    Returns
    -------
    {"tile": [width, height], "block": [width, height]}
        Pixels of a patch, and of all that is shown of a unit; empty if nothing is.
    """
    alive = _alive(features, layer, units)
    if not alive:
        return {}
    tiles = reconstructions.projections(
        net,
        features,
        pictures,
        layer,
        alive,
        evaluator=evaluator,
        policy=look.policy,
        tile=look.tile,
    )
    blocks, scales = {}, {}
    for unit in alive:
        blocks[unit], scales[unit] = reconstructions.block(
            tiles[unit], features.settings.top, shared=look.shared, gap=GAP
        )
        writer.picture(unit_file(layer, unit), blocks[unit])
    sizes = {
        "tile": list(tiles[unit][0].patch.shape[1::-1]),
        "block": list(blocks[unit].shape[1::-1]),
    }
    metadata = _metadata(features, net, layer, units, look)
    metadata["scale"] = {u: scale[0] if look.shared else scale for u, scale in scales.items()}
    results_folder(path.parent, [])
    rgb = reconstructions.sheet(blocks, metadata["dead"])
    save_image(path, rgb, metadata=metadata | sizes, force=True)
    return sizes


def drawn(features, net, layer, units, path, look):
    """Return what `draw` returned if the same sheet is there already, else None."""
    folder = path.parent.parent
    alive = _alive(features, layer, units)
    if not (alive and path.exists()):
        return None
    if not all((folder / unit_file(layer, unit)).exists() for unit in alive):
        return None
    try:
        found = read_metadata(path)
    except MinicnnError:
        return None  # of another program
    wanted = json.loads(json.dumps(_metadata(features, net, layer, units, look)))
    if any(found.get(name) != value for name, value in wanted.items()):
        return None
    sizes = {name: found.get(name) for name in ("tile", "block")}
    return sizes if all(sizes.values()) else None


def sheet_file(folder, layer, first):
    """Return the path of the sheet that begins with unit `first`."""
    return Path(folder) / "sheets" / f"{folder_name(layer)}-{first // UNITS_A_SHEET + 1:02d}.png"


def unit_file(layer, unit):
    """Return the name of a unit's picture below the folder."""
    return f"report/{folder_name(layer)}/{unit}.jpg"


def folder_name(layer):
    """Return a layer's name as part of a file name."""
    return re.sub(r"[^\w.-]", "-", layer)


def _alive(features, layer, units):
    return [unit for unit in units if not features.layers[layer].dead[unit]]


def _metadata(features, net, layer, units, look):
    settings, alive = features.settings, _alive(features, layer, units)
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
                for picture, row, column, value, seen in hits(features, net, layer, unit)
            ]
            for unit in alive
        },
        "network": settings.network,
        "weights_sha256": settings.weights,
        "data": settings.data,
        "data_sha256": settings.fingerprint,
        "pictures": features.seen,
        "size": settings.size,
        "side": look.tile,
        "policy": look.policy.metadata(),
        "contrast": "unit" if look.shared else "picture",
    }
