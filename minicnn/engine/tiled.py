"""A network evaluated in tiles, exactly: pictures whose activations would not fit into memory.

What a tile computes. The positions of a layer in a tile see pixels beyond it: the tile is cut out
with a halo as wide as the receptive fields, from a place that is a multiple of all strides, so
that every window falls where it does in the whole picture. At a cut, the padding of the network
is wrong, but it only spoils positions of the halo, which belong to other tiles; at the edge of
the picture the crop ends, and the padding is that of the whole picture. Ceil-mode windows hang
over that edge as always.

The price is a second forward pass and the halo: for tiles of side n and a halo of h on each side,
(1 + 2 h/n)² times the pixels.
"""

import math
from typing import NamedTuple

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.network.network import Network


class HaloTile(NamedTuple):
    """A tile of the picture: what is cut out, and which positions of each layer belong to it.

    `crop` is ((top, bottom), (left, right)) in pixels, ends excluded, with the halo; on a torus it
    may lie outside of the picture. `own` is {layer: (slice, slice)}, the tile's positions in the
    maps of the crop, without layers where it has none; `whole` is the same in the maps of the whole
    picture.
    """

    crop: tuple
    own: dict
    whole: dict


class TiledEvaluator:
    """A network evaluated over a picture, one tile after the other.

    `net` has the geometry; `evaluator` computes, as `Network` does. A tile has `side` rows and
    columns without its halo, rounded up to a multiple of the strides. On a `torus` the picture goes
    on at its opposite edge, as in `network.torus`; `net` and `evaluator` have padding all the same,
    since no position that counts sees any, and the picture's sides must be multiples of all
    strides.
    """

    def __init__(self, net, evaluator, side, *, torus=False):
        if not side >= 1:
            raise MinicnnError(f"tiles of {side} pixels; use a whole number of at least 1")
        self.net, self.evaluator, self.side, self.torus = net, evaluator, int(side), torus
        self._known = {}

    def tiles(self, layers, shape):
        """Return the `HaloTile`s of a picture of `shape` (N, C, H, W) for these layers.

        They are refused where a layer is unknown or sees the whole picture at once.
        """
        key = (tuple(layers), tuple(shape[1:]))
        if key not in self._known:
            self._known[key] = self._cut(list(layers), tuple(shape[1:]))
        return self._known[key]

    def maps(self, layers, shape):
        """Return {layer: (C, H, W)} of a picture of `shape` (N, C, H, W)."""
        maps = self._trunk(layers).shapes(tuple(shape[1:]))
        if not self.torus:
            return {name: maps[name] for name in layers}
        fields = self.net.receptive_fields()
        return {
            name: (
                maps[name][0],
                *(side // s for side, s in zip(shape[2:], fields[name].stride, strict=True)),
            )
            for name in layers
        }

    def visit(self, x, tile, keep=True):
        """Return {layer: activation of the crop} where the tile has positions of its own."""
        taps = list(tile.own)
        return self.evaluator.forward(self._cropped(x, tile), taps, keep=keep) if taps else {}

    def add_backward(self, dx, acts, dys, tile):
        """Add to dx (N, C, H, W) what the gradients at a tile's own positions hand back.

        `acts` are the activations of the crop, from `visit` just before, `dys` the gradients.
        """
        whole = {}
        for name, dy in dys.items():
            whole[name] = array_module(dy).zeros_like(acts[name])
            whole[name][(..., *tile.own[name])] = dy
        back = self.evaluator.backward(whole)
        rows, columns = (
            _pieces(*ends, side, self.torus)
            for ends, side in zip(tile.crop, dx.shape[2:], strict=True)
        )
        for inside, row in rows:
            for within, column in columns:
                dx[:, :, row, column] += back[:, :, inside, within]

    def forward(self, x, taps, keep=False):
        """Return {layer: activation of the whole picture}; those must fit into memory.

        As `Network.forward`, but that nothing is kept for a pass back.
        """
        found, maps = {}, self.maps(taps, x.shape)
        for tile in self.tiles(taps, x.shape):
            for name, f in self.visit(x, tile, keep=False).items():
                if name not in found:
                    found[name] = array_module(f).empty((len(f), *maps[name]), f.dtype)
                found[name][(..., *tile.whole[name])] = f[(..., *tile.own[name])]
        return found

    def mean_grams(self, x, layers, guides=None):
        """Return the mean Gram matrices of a picture or of a region, see `select.mean_grams`."""
        maps, sums = self.maps(layers, x.shape), dict.fromkeys(layers, 0.0)
        for tile in self.tiles(layers, x.shape):
            for name, f in self.visit(x, tile, keep=False).items():
                guide = None if guides is None else guides[name][tile.whole[name]]
                part = gram_sum(solid(f[(..., *tile.own[name])]), guide)
                sums[name] = sums[name] + part.astype("float64")  # few numbers, from many tiles
        areas = {
            name: maps[name][1] * maps[name][2] if guides is None else guides[name].sum()
            for name in layers
        }
        return {name: (sums[name] / float(areas[name])).astype(x.dtype) for name in layers}

    def _cropped(self, x, tile):
        (top, bottom), (left, right) = tile.crop
        if not self.torus:
            return solid(x[:, :, top:bottom, left:right])
        xp = array_module(x)
        rows, columns = xp.arange(top, bottom), xp.arange(left, right)
        return x[:, :, (rows % x.shape[2])[:, None], columns % x.shape[3]]

    def _trunk(self, layers):
        """Return the network up to the last of the layers, whose shapes fit any picture."""
        names = self.net.layers
        for name in layers:
            if name not in names:
                raise MinicnnError(f"no layer named {name!r}; the layers are {', '.join(names)}")
        nodes = self.net.nodes[: max(names.index(name) for name in layers) + 1]
        return Network([tuple(node) for node in nodes], self.net.params, self.net.input_shape)

    def _cut(self, layers, shape):
        trunk = self._trunk(layers)
        fields, maps = trunk.receptive_fields(), self.maps(layers, (1, *shape))
        for name in layers:
            if fields[name].size is None:
                raise MinicnnError(
                    f"layer {name} sees the whole picture, no tile can have it; leave out the "
                    "tiles, or use a layer before it"
                )
        axes = []
        for axis in (0, 1):
            step = math.lcm(*(field.stride[axis] for field in fields.values() if field.size))
            if self.torus and shape[1 + axis] % step:
                raise MinicnnError(
                    f"on a torus, {shape[1 + axis]} rows or columns are no multiple of {step}"
                )
            seen = {name: [part[axis] for part in fields[name]] for name in layers}
            counts = {name: maps[name][1 + axis] for name in layers}
            axes.append(_along(seen, counts, shape[1 + axis], self.side, step, self.torus))
        rows, columns = axes
        return [_tile(row, column) for row in rows for column in columns]


def _along(seen, counts, length, side, step, torus):
    """Cut one axis; return [(start, end, {layer: (first, end, first in the crop)})].

    Along this axis, `seen` has (size, stride, offset) of each layer, as a `receptive_fields.Field`,
    `counts` its positions in the whole picture. `length` and `side` are pixels of the picture and
    of a tile, which may begin at multiples of `step`.
    """
    side = -(-side // step) * step
    starts = list(range(0, max(step, length // step * step), side))
    before = max(0, max(-offset for _, _, offset in seen.values()))
    behind = max(0, max(offset + size - stride for size, stride, offset in seen.values()))
    cuts = []
    for start, end in zip(starts, [*starts[1:], length], strict=True):
        first = (start - before) // step * step
        last = end + behind
        if not torus:
            first, last = max(0, first), min(length, last)
            if end == length:
                last = length
        places = {}
        for name, (_, stride, _) in seen.items():
            a, b = start // stride, end // stride if end < length else counts[name]
            if a < min(b, counts[name]):
                places[name] = (a, min(b, counts[name]), a - first // stride)
        cuts.append((first, last, places))
    return cuts


def _tile(row, column):
    own, whole = {}, {}
    for name in row[2]:
        if name in column[2]:
            axes = (row[2][name], column[2][name])
            whole[name] = tuple(slice(a, b) for a, b, _ in axes)
            own[name] = tuple(slice(at, at + b - a) for a, b, at in axes)
    return HaloTile((row[:2], column[:2]), own, whole)


def _pieces(first, last, length, torus):
    """Return [(slice of the crop, slice of the picture)] of the pixels first ... last - 1."""
    if not torus:
        return [(slice(0, last - first), slice(first, last))]
    pieces, at = [], first
    while at < last:
        begin = at % length
        count = min(last - at, length - begin)
        pieces.append((slice(at - first, at - first + count), slice(begin, begin + count)))
        at += count
    return pieces


def gram_sum(f, guide=None):
    """Return Σ_p t[p] f_p f_pᵀ of f (N, C, P, Q), with the guide t (P, Q) or t = 1: (N, C, C)."""
    rows = f.reshape(*f.shape[:2], -1)
    inside = rows if guide is None else (f * guide).reshape(rows.shape)
    return inside @ rows.transpose(0, 2, 1)


def solid(part):
    """Return a slice as an array of its own, as fast products and reshapes want it."""
    return array_module(part).ascontiguousarray(part)
