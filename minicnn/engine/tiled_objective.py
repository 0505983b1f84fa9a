"""A weighted sum of objectives in tiles: value and gradient of the whole picture, in two passes.

A Gram matrix is a sum over positions, so it is a sum over tiles; and the gradient is linear in
what enters at the layers, so it is one too:

    G_l   = Σ_t F_lt F_ltᵀ                    F_lt (C, M_lt): the positions of layer l in tile t
    J     = Σ_l c_l |G_l/M_l - A_l|² + ...    M_l = Σ_t M_lt
    dJ/dx = Σ_t backward_t({l: dJ/dF_lt})     dJ/dF_lt = (4 c_l/M_l) (G_l/M_l - A_l) F_lt

Hence two passes. The first adds up the Gram matrices; the second computes each tile again and
sends back the gradients of its own positions, made with the matrices of the whole picture. That
is the function of the whole picture, not the mean of functions of its pieces, which compare the
statistics of a piece of sky with those of the whole painting and leave seams.
`tiles` says how a tile is cut so that this is exact.
"""

from typing import NamedTuple

from minicnn.backend import array_module
from minicnn.engine.tiled import gram_sum, solid
from minicnn.errors import MinicnnError
from minicnn.objectives.content import ContentLoss, content
from minicnn.objectives.gram import GramStyleLoss
from minicnn.objectives.guidance import GuidedStyleLoss
from minicnn.objectives.layer_losses import sum_squares
from minicnn.objectives.weighted_sum import ImageFunction


class TiledFunction(ImageFunction):
    """A `WeightedSum` as a function of the picture, fun(x) -> (value, gradient), in tiles.

    Equal to `ImageFunction` to the rounding of sums in another order. Priors see the whole picture
    at once: they need a few arrays of its size, no activations. Other objectives than
    `ContentLoss`, `GramStyleLoss` and `GuidedStyleLoss` are refused.
    """

    def __init__(self, objective, evaluator):
        super().__init__(objective, None, None)
        self.evaluator = evaluator
        for name, (_, term) in objective.objectives.items():
            if type(term) not in (ContentLoss, GramStyleLoss, GuidedStyleLoss):
                raise MinicnnError(f"the {name} term cannot be computed in tiles; leave them out")

    def __call__(self, x):
        """Return (value, gradient) at picture x, both for all terms together."""
        terms, dx, value = {}, array_module(x).zeros_like(x), 0.0
        for name, (weight, prior) in self.objective.priors.items():
            terms[name], gradient = prior(x)
            terms[name] *= weight
            value += terms[name]
            gradient *= weight
            dx += gradient
        if self.objective.objectives:
            parts = {}
            maps = self.evaluator.maps(self.objective.layers, x.shape)
            slopes = self._slopes(x, self._regions(x, maps), parts)
            self._add_gradients(x, dx, maps, slopes, parts)
            value += self._name(parts, terms)
        self.terms = terms
        return value, dx

    def _losses(self, *kinds):
        """Yield (name, layer, loss, weight · layer weight · normalisation) of kinds of loss."""
        for name, (weight, loss) in self.objective.objectives.items():
            if type(loss) in kinds:
                for layer, share in loss.weights.items():
                    yield name, layer, loss, weight * share * loss.factors[layer]

    def _regions(self, x, maps):
        """Return every Gram matrix that is compared, a list of `_Region`."""
        regions = []
        for name, layer, loss, factor in self._losses(GramStyleLoss, GuidedStyleLoss):
            _check(loss, layer, x, maps)
            target, positions = loss.targets[layer], maps[layer][1] * maps[layer][2]
            if type(loss) is GramStyleLoss:
                regions.append(_Region(name, layer, None, positions, target, factor, positions))
                continue
            for guide, one in zip(loss.guides[layer], target, strict=True):
                area = float(guide.sum(dtype="float64"))
                if area:
                    regions.append(_Region(name, layer, guide, area, one, factor, positions))
        return regions

    def _slopes(self, x, regions, parts):
        """First pass: return [(region, (4 c/M) (G/M - A))]; the values go to `parts`."""
        layers = list(dict.fromkeys(region.layer for region in regions))
        sums = [0.0] * len(regions)
        for tile in self.evaluator.tiles(layers, x.shape) if layers else ():
            acts = self.evaluator.visit(x, tile, keep=False)
            for i, region in enumerate(regions):
                if region.layer in acts:
                    f = solid(acts[region.layer][(..., *tile.own[region.layer])])
                    sums[i] = sums[i] + region.gram_sum(f, tile).astype("float64")
        slopes = []
        for region, total in zip(regions, sums, strict=True):
            value, slope = region.compare((total / region.area).astype(x.dtype))
            key = region.name, region.layer
            parts[key] = parts.get(key, 0.0) + value
            slopes.append((region, slope))
        return slopes

    def _add_gradients(self, x, dx, maps, slopes, parts):
        """Second pass: add the gradient of every tile to dx, and up the content terms."""
        losses = list(self._losses(ContentLoss))
        for _, layer, loss, _ in losses:
            _check(loss, layer, x, maps)
        for tile in self.evaluator.tiles(self.objective.layers, x.shape):
            acts, dys = self.evaluator.visit(x, tile), {}
            own = {name: solid(f[(..., *tile.own[name])]) for name, f in acts.items()}
            for region, slope in slopes:
                if region.layer in own:
                    _add(dys, region.layer, region.gradient(own[region.layer], slope, tile))
            for name, layer, loss, factor in losses:
                if layer in own:
                    target = loss.targets[layer][(..., *tile.whole[layer])]
                    value, df = content(own[layer], target, factor)
                    parts[name, layer] = parts.get((name, layer), 0.0) + value
                    _add(dys, layer, df)
            if dys:
                self.evaluator.add_backward(dx, acts, dys, tile)

    def _name(self, parts, terms):
        """Return the value of the objectives; name the terms as `WeightedSum` does."""
        total = 0.0
        for name, (_, loss) in self.objective.objectives.items():
            own = {layer: parts.get((name, layer), 0.0) for layer in loss.layers}
            terms[name] = sum(own.values())
            total += terms[name]
            if len(own) > 1:
                terms.update({f"{name}.{layer}": part for layer, part in own.items()})
        return total


class _Region(NamedTuple):
    """One Gram matrix to be compared: that of a layer, or of a region of it (see `guidance`).

    `guide` (P, Q) is how much of each position lies in the region, None for all of it, and `area`
    its sum; `target` is (C, C) or (N, C, C); `factor` and `positions` are the c and M of the
    formula.
    """

    name: str
    layer: str
    guide: object
    area: float
    target: object
    factor: float
    positions: int

    def gram_sum(self, f, tile):
        """Return Σ_p t[p] f_p f_pᵀ over the positions of a tile, (N, C, C)."""
        return gram_sum(f, self._guide(tile))

    def compare(self, mean_gram):
        """Return the value, and the matrix that turns t[p] f_p into the gradient."""
        mean_gram -= self.target
        value = self.factor * self.area / self.positions * sum_squares(mean_gram)
        mean_gram *= 4 * self.factor / self.positions
        return value, mean_gram

    def gradient(self, f, slope, tile):
        """Return the gradient at the positions of a tile."""
        inside = f if self.guide is None else f * self._guide(tile)
        return (slope @ inside.reshape(*f.shape[:2], -1)).reshape(f.shape)

    def _guide(self, tile):
        return None if self.guide is None else self.guide[tile.whole[self.layer]]


def _add(dys, layer, df):
    dys[layer] = dys[layer] + df if layer in dys else df


def _check(loss, layer, x, maps):
    """Refuse targets that the activations of the whole picture do not fit, as the loss does."""
    shape = (len(x), *maps[layer])
    loss.check(layer, array_module(x).broadcast_to(x[:1, :1, :1, :1], shape))
