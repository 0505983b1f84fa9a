"""What the page asks and what it gets: each question is a method, each answer plain values.

Nothing is remembered of who asks: a question names the network (its number), the picture, the
layer, the unit. So any number of tabs work side by side, and a page that is loaded again goes on.
"""

import hashlib
from collections import OrderedDict
from pathlib import Path
from threading import RLock

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.methods.explore.mosaic import mosaic
from minicnn.methods.explore.seen import RULES
from minicnn.methods.explore.texts import place, plain_name, whole
from minicnn.methods.features.page import unit_file
from minicnn.pictures.html import data_uri
from minicnn.pictures.reader import load_image
from minicnn.storage.atomic import write_whole

MOST = 64 << 20  # bytes of an upload
PICTURES = 4  # kept, the last used, with the activations of all layers
STRIP, STRIP_SIDE = 8, 32  # units of a layer in the drawing of the network; entries a side
PAGE, COLUMNS, SIDE = 256, 16, 40  # units of a layer that are drawn together
QUICK = {"compress_level": 1}  # of PNG


class Answers:
    """The networks, the pictures and the scans that are explored.

    Parameters
    ----------
    explored : list of Explored, one or two
    scans : list, for each of them (Features, folder of its drawings), or None
    folder : Path, of this run alone; uploaded files are kept there
    searches : Searches, which starts `style` and `texture`
    """

    def __init__(self, explored, scans, folder, searches):
        self.explored, self.scans, self.folder = explored, scans, Path(folder)
        self.searches = searches
        # of every picture what is told, by its key; {(number of the network, key): Seen}
        self._told, self._seen, self._lock = OrderedDict(), {}, RLock()
        self.first = None  # the picture to begin with

    # pictures

    def upload(self, name, data):
        """Keep the picture of a file's bytes, see `add`."""
        return self.add(plain_name(name), data)

    def open(self, path):
        """Keep the picture of a file, see `add`."""
        load_image(path)  # which tells best what is wrong with a file
        return self.add(plain_name(str(path)), Path(path).read_bytes())

    def add(self, name, data):
        """Keep a picture, and go forward with it through every network; return what is told."""
        pixels, notes = load_image(name, encoded=data)
        key = hashlib.sha256(data).hexdigest()[:16]
        rows, columns = pixels.shape[:2]
        told = {"id": key, "name": name, "size": [columns, rows], "notes": notes}
        with self._lock:
            for number, one in enumerate(self.explored):
                if (number, key) not in self._seen:
                    self._seen[number, key] = one.look(pixels)
            write_whole(self.folder / key, data)
            self._told[key] = told
            self._told.move_to_end(key)
            while len(self._told) > PICTURES:
                self._forget(next(iter(self._told)))
        return told

    def _forget(self, key):
        del self._told[key]
        (self.folder / key).unlink(missing_ok=True)
        for number in range(len(self.explored)):
            self._seen.pop((number, key), None)

    def _look(self, net, picture):
        """Return the `Seen` of a picture by a network, both as the page names them."""
        with self._lock:
            if picture not in self._told:
                raise MinicnnError("this picture is no longer kept; choose it again")
            self._told.move_to_end(picture)
            return self._seen[self._number(net), picture]

    def _number(self, net):
        if net not in map(str, range(len(self.explored))):
            raise MinicnnError(f"no network {net}; there are {len(self.explored)}")
        return int(net)

    # questions

    def networks(self):
        """Tell all networks, layer by layer, and the picture to begin with."""
        return {
            "networks": [self._network(i) for i in range(len(self.explored))],
            "picture": self.first,
            "pictures": list(self._told.values()),
            "searches": self.searches.forms(),
            "going": self.searches.going(),
            "rules": RULES,
            "page": PAGE,
            "most": MOST,
        }

    def _network(self, number):
        one, scan = self.explored[number], self.scans[number]
        before, layers = "input", []
        for node in one.net.nodes:
            field = one.fields[node.name]
            layers.append(
                {
                    "name": node.name,
                    "kind": type(node.layer).__name__,
                    "shape": one.shapes[node.name],
                    "inputs": [] if node.inputs == (before,) else node.inputs,
                    "field": field.size,
                    "stride": field.stride,
                    "offset": field.offset,
                    "scanned": scan is not None and node.name in scan[0].layers,
                }
            )
            before = node.name
        return {"name": one.name, "size": one.size, "layers": layers}

    def overview(self, net, picture):
        """Draw the network: of every layer the units that fire most; the classes."""
        seen = self._look(net, picture)
        layers, strips = [], {}
        for name in seen.net.layers:
            units, (low, high) = seen.strongest(name, STRIP), seen.range(name)
            strip = mosaic(seen.maps(name)[units], STRIP, STRIP_SIDE, low, high)
            strips[name] = data_uri(strip, **QUICK)
            layers.append({"units": units, "range": [low, high]})
        told = {"layers": layers, "strips": strips, "image": data_uri(seen.picture, **QUICK)}
        try:
            return told | {"classes": seen.classes()}
        except MinicnnError as error:
            return told | {"classes": [], "without": str(error)}

    def units(self, net, picture, layer, page="0", order="number", scale="layer"):
        """Draw a page of the units of a layer, in one scale of colours or each in its own."""
        seen = self._look(net, picture)
        y, number = seen.maps(layer), whole(page, "page")
        order = seen.strongest(layer) if order == "strength" else range(len(y))
        pages = -(-len(y) // PAGE)
        if number >= pages:
            raise MinicnnError(f"no page {number} of layer {layer}; it has {pages}")
        units = list(order[number * PAGE : (number + 1) * PAGE])
        low, high = bounds = seen.range(layer)
        if scale == "unit":
            own = y[units].min(axis=(1, 2)), y[units].max(axis=(1, 2))
            low, high = (each[:, None, None] for each in (np.minimum(own[0], 0), own[1]))
        names = seen.explored.names(layer)
        return {
            "units": units,
            "peaks": [float(y[unit].max()) for unit in units],
            "names": names and [names[unit] for unit in units],
            "pages": pages,
            "range": bounds,
            "columns": COLUMNS,
            "rows": -(-len(units) // COLUMNS),
            "image": data_uri(mosaic(y[units], COLUMNS, SIDE, low, high), **QUICK),
        }

    def unit(self, net, picture, layer, unit, at=""):
        """Tell a unit at a position, or where it is largest, and draw its map."""
        seen = self._look(net, picture)
        found = seen.unit(layer, whole(unit, "unit"), place(at))
        names = seen.explored.names(layer)
        return {
            "name": names and names[found.unit],
            "at": found.at,
            "peak": found.peak,
            "value": found.value,
            "most": float(found.map.max()),
            "box": found.box,
            "range": found.range,
            "image": data_uri(found.picture(), **QUICK),
        }

    def view(self, net, picture, layer, unit, at, rule):
        """Draw what comes down from a unit at a position by a rule."""
        seen = self._look(net, picture)
        unit = seen.unit(layer, whole(unit, "unit"), place(at))
        rgb, most = seen.view(layer, unit.unit, unit.at, rule)
        return {"image": data_uri(rgb, **QUICK), "most": most}

    def cam(self, net, picture, wanted, layer=""):
        """Draw Grad-CAM of a class, given by number or name."""
        told, overlay = self._look(net, picture).cam(wanted, layer or None)
        return told | {"image": data_uri(overlay, **QUICK)}

    def top(self, net, layer, unit):
        """Tell what of the scanned pictures excites a unit most, and show the scan's drawing."""
        scan = self.scans[self._number(net)]
        if scan is None or layer not in scan[0].layers:
            raise MinicnnError(f"layer {layer} has not been scanned; see `minicnn features`")
        features, folder = scan
        records, number = features.layers[layer], whole(unit, "unit")
        if number >= len(records.dead):
            raise MinicnnError(f"no unit {number} in layer {layer}; it has {len(records.dead)}")
        ranked = zip(records.picture[number].tolist(), records.value[number].tolist(), strict=True)
        hits = [[features.names.get(n, str(n)), value] for n, value in ranked if n >= 0]
        told = {"hits": hits, "pictures": features.seen, "data": Path(features.settings.data).name}
        file = folder / unit_file(layer, number)
        if hits and file.is_file():
            return told | {"image": data_uri(load_image(file).pixels, "JPEG", quality=90)}
        return told

    # style and texture

    def start(self, net, verb, content, style="", **values):
        """Start a search from pictures that are kept; tell its number."""
        number = self._number(net)
        with self._lock:
            pictures = [content, style] if verb == "style" else [content]
            for key in pictures:
                if key not in self._told:
                    raise MinicnnError(
                        "choose a style picture first" if not key else "choose the picture again"
                    )
            named = [(self._told[key]["name"], self.folder / key) for key in pictures]
        return self.searches.start(number, verb, named, values)

    def search(self, number, since="-1"):
        """Tell how far a search is, and its picture where that is newer than iteration `since`."""
        return self.searches.find(number).told(int(since) if since.lstrip("-").isdigit() else -1)

    def stop(self, number):
        """Let a search end with the best picture so far."""
        return self.searches.find(number).stop()

    def alive(self):
        """Say that the server is there."""
        return {}
