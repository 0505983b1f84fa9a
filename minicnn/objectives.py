"""Objectives on named activations: content, Gram style and class score.

An objective maps activations {layer: f} to (value, {layer: df}); it knows no network. With f of
shape (N,C,H,W), M = H·W positions, F the C x M matrix of one picture, P and A the targets:

    content   c · sum (F - P)²                                   (equation 2)
      mean      c = 1 / (C·M)          the default
      sum       c = 1                  the lecture notes
      half-sum  c = 1/2                Gatys et al.
      relative  c = 1 / sum P²         Mahendran & Vedaldi

    gram      G = F Fᵀ                                           (equations 4 and 5)
    style     c · sum (G/M - A)²,  A = G_style / M_style         (equations 6 and 7)
      mean      c = 1 / C⁴             the default here; neural-style: mean square of G/(C·M)
      gatys     c = 1 / (4 C²)         E_l = 1/(4 C² M²) sum (G - G_style)², Gatys et al. 2015; what
                `minicnn style` takes for minivgg
      lecture   c = 1 / 4              equation 6 as printed, without 1/C² (their 1/N²)

    gradients   dF = 2 c (F - P)       and       dF = (4 c / M) (G/M - A) F

Every Gram is divided by its own number of positions before it is compared, so a style picture
may have another size than the generated one; for equal sizes this is the published formula.
"mean" and "gatys" differ by 4/C² only: "mean" gives shallow, narrow layers more weight.

Values are sums in float64; gradients have the dtype and memory layout of f. The pictures of a
batch are independent: values are added, so each gradient is what the picture would get alone.
"""

import math
from typing import NamedTuple

import numpy as np

from minicnn.backend import array_module
from minicnn.errors import MinicnnError

CONTENT = {
    "mean": lambda target: 1 / target[0].size,
    "sum": lambda target: 1.0,
    "half-sum": lambda target: 0.5,
    "relative": lambda target: 1 / _positive(sum_squares(target) / len(target)),
}
STYLE = {
    "mean": lambda channels: 1 / channels**4,
    "gatys": lambda channels: 1 / (4 * channels**2),
    "lecture": lambda channels: 0.25,
}


def content(f, target, factor):
    """Squared distance of activations, value = factor · sum (f - target)².

    Parameters
    ----------
    f : array, shape (N, ...)
    target : array, shape (N, ...) or (1, ...)
    factor : float, the weight times a value of the table `CONTENT`

    Returns
    -------
    value : float
    df : array like f, 2 · factor · (f - target)
    """
    df = f - target
    value = factor * sum_squares(df)
    df *= 2 * factor
    return value, df


def gram(f):
    """Gram matrix of the channels, G = F Fᵀ, for each picture.

    Parameters
    ----------
    f : array, shape (N, C, H, W)

    Returns
    -------
    array, shape (N, C, C), dtype of f. BLAS sums float32 in float32, in blocks: about 1e-6 of
    the largest entry, less than the convolutions before it have lost.
    """
    rows = f.reshape(*f.shape[:2], -1)  # (N,C,M), a view for both usual memory layouts
    return rows @ rows.transpose(0, 2, 1)  # NumPy sees one matrix twice: half the work (syrk)


def mean_gram(f):
    """Gram matrix divided by the number of positions, G / M: the target of a style loss."""
    g = gram(f)
    g *= f.shape[1] / f[0].size
    return g


class ChannelProduct(NamedTuple):
    """The gradient S F of a Gram matrix before it is multiplied out: matrix (N,C,C), f (N,C,H,W).

    Whoever passes it down may multiply part by part, while the part is in the cache. `rest` is an
    array like f that is to be added, or None.
    """

    matrix: object
    f: object
    rest: object = None

    @property
    def shape(self):
        """That of the gradient."""
        return self.f.shape

    def dense(self):
        """Return the gradient, an array like f."""
        df = array_module(self.f).empty_like(self.f).reshape(*self.f.shape[:2], -1)
        array_module(df).matmul(self.matrix, self.f.reshape(df.shape), out=df)
        df = df.reshape(self.f.shape)
        return df if self.rest is None else df + self.rest

    def plus(self, other):
        """Return the sum of this and another gradient of f, an array or a `ChannelProduct`."""
        if isinstance(other, ChannelProduct):
            one = self._replace(matrix=self.matrix + other.matrix)
            return one if other.rest is None else one.plus(other.rest)
        return self._replace(rest=other if self.rest is None else self.rest + other)


def style(f, target, factor):
    """Squared distance of mean Gram matrices, value = factor · sum (G/M - target)².

    Parameters
    ----------
    f : array, shape (N, C, H, W)
    target : array, shape (N, C, C) or (1, C, C) or (C, C), a `mean_gram`
    factor : float, the weight times a value of the table `STYLE`

    Returns
    -------
    value : float
    df : array like f, (4 · factor / M) · (G/M - target) F: one more product, no other pass
    """
    value, df = deferred_style(f, target, factor)
    return value, df.dense()


def deferred_style(f, target, factor, mean_gram=mean_gram):
    """Return the value of `style` and its gradient as a `ChannelProduct`."""
    difference = mean_gram(f)
    difference -= target
    value = factor * sum_squares(difference)
    difference *= 4 * factor * f.shape[1] / math.prod(f.shape[1:])
    return value, ChannelProduct(difference, f)


class ContentLoss:
    """Weighted sum over layers of the distance to target activations (equation 2).

    Parameters
    ----------
    targets : dict, layer name -> activation of the content picture
    weights : dict, layer name -> float, optional
        1 for every layer where not given; a layer of weight 0 is left out.
    normalisation : {"mean", "sum", "half-sum", "relative"}
    """

    def __init__(self, targets, weights=None, normalisation="mean"):
        factor = _row(CONTENT, normalisation, "content")
        self.weights = _layer_weights(targets, weights, "content")
        self.targets = {name: targets[name] for name in self.weights}
        self.factors = {name: factor(target) for name, target in self.targets.items()}
        self.layers = list(self.weights)

    def __call__(self, acts, weight=1.0, report=None):
        """Return (weight · value, {layer: weight · gradient}); `report` receives each layer's part.

        Parameters
        ----------
        acts : dict, layer name -> array
        weight : float
        report : dict, optional
            Gets layer name -> weighted value of that layer.
        """
        return _over_layers(self, acts, weight, report)

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        return content(f, self.targets[name], factor)

    def check(self, name, f):
        """Refuse an activation that cannot be compared with the target."""
        target = self.targets[name]
        if f.shape[1:] != target.shape[1:] or len(target) not in (1, len(f)):
            raise MinicnnError(
                f"content layer {name}: activation {f.shape} against target {target.shape}; "
                "give the generated picture the size of the content picture"
            )


class GramStyleLoss:
    """Weighted sum over layers of the distance between mean Gram matrices (equation 7).

    Parameters
    ----------
    targets : dict, layer name -> mean Gram matrix, shape (C, C) or (N, C, C)
        `style_targets` makes them; the style picture may have any size.
    layer_weights : dict, layer name -> float, optional
        The lambda of equation 7, 1 where not given; a layer of weight 0 is left out.
    normalisation : {"mean", "gatys", "lecture"}

    Attributes
    ----------
    only_grams : bool
        Whether nothing but `mean_gram` reads the activations; what inherits this may read more.
    deferred : bool
        Whether gradients are handed out as `ChannelProduct`: if somebody can take those.
    mean_gram : callable
        The function of this name, or one that does the same faster.
    """

    only_grams = True

    def __init__(self, targets, layer_weights=None, normalisation="mean"):
        self.deferred, self.mean_gram = False, mean_gram
        factor = _row(STYLE, normalisation, "style")
        self.weights = _layer_weights(targets, layer_weights, "style")
        self.targets = {name: targets[name] for name in self.weights}
        self.factors = {name: factor(target.shape[-1]) for name, target in self.targets.items()}
        self.layers = list(self.weights)

    def __call__(self, acts, weight=1.0, report=None):
        """Return (weight · value, {layer: weight · gradient}), as `ContentLoss` does."""
        return _over_layers(self, acts, weight, report)

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        value, df = deferred_style(f, self.targets[name], factor, self.mean_gram)
        return value, df if self.deferred else df.dense()

    def check(self, name, f):
        """Refuse an activation that cannot be compared with the target."""
        target = self.targets[name]
        fits = f.ndim == 4 and target.shape[-2:] == (f.shape[1], f.shape[1])
        if not fits or (target.ndim == 3 and len(target) not in (1, f.shape[0])):
            raise MinicnnError(
                f"style layer {name}: activation {f.shape} against a Gram matrix {target.shape}; "
                "activation (N,C,H,W) needs a matrix (C,C)"
            )


def style_targets(acts, layers=None):
    """Mean Gram matrices {layer: (N, C, C)} of a style picture's activations."""
    return {name: mean_gram(acts[name]) for name in (acts if layers is None else layers)}


def blend_targets(targets, weights):
    """Mix the targets of several style pictures: sum_k b_k A_k, with b = weights / sum(weights).

    Parameters
    ----------
    targets : list of dict, one per style picture, as from `style_targets`, same layers in each
    weights : list of float, not negative, one per style picture
    """
    total = float(sum(weights))
    if len(weights) != len(targets) or min(weights, default=-1) < 0 or not 0 < total < float("inf"):
        raise MinicnnError(
            f"blend weights {list(weights)} for {len(targets)} style pictures; "
            "give one number per picture, none negative and not all 0"
        )
    shares = [float(b) / total for b in weights]
    return {
        name: sum(b * target[name] for b, target in zip(shares, targets, strict=True))
        for name in targets[0]
    }


class ClassScore:
    """Score of a class, to be made large: value = - sum over pictures of f[n, k].

    Simonyan et al. 2013 (arXiv 1312.6034) take the score before softmax. A map f (N,C,H,W)
    scores by its mean over the positions. The derivative is -1 (or -1/M) at channel k, 0 elsewhere.

    Parameters
    ----------
    layer : str
    index : int, class (or channel) from 0
    """

    def __init__(self, layer, index):
        self.layer, self.index, self.layers = layer, index, [layer]

    def __call__(self, acts, weight=1.0, report=None):
        """Return (weight · value, {layer: weight · gradient})."""
        f = _activation(acts, self.layer)
        if not 0 <= self.index < f.shape[1]:
            raise MinicnnError(
                f"no class {self.index} in layer {self.layer}; use 0 to {f.shape[1] - 1}"
            )
        xp = array_module(f)
        positions = f[0, 0].size
        score = float(xp.sum(f[:, self.index], dtype=xp.float64)) / positions
        df = xp.zeros_like(f)
        df[:, self.index] = -weight / positions
        if report is not None:
            report[self.layer] = -weight * score
        return -weight * score, {self.layer: df}


def sum_squares(a):
    """Sum of squares in float64: exact to about 1e-15, without a float64 copy of the array."""
    xp = array_module(a)
    if xp is not np:
        return float(xp.sum(xp.square(a), dtype=xp.float64))
    flat = a.ravel(order="K")
    block = 65536  # half a megabyte of float64, which stays in the cache between cast and product
    total = 0.0
    for start in range(0, flat.size, block):
        part = flat[start : start + block].astype(np.float64, copy=False)
        total += float(part @ part)
    return total


def _over_layers(loss, acts, weight, report):
    total, gradients = 0.0, {}
    for name, layer_weight in loss.weights.items():
        f = _activation(acts, name)
        loss.check(name, f)
        factor = weight * layer_weight * loss.factors[name]
        value, gradients[name] = loss.term(name, f, factor)
        total += value
        if report is not None:
            report[name] = value
    return total, gradients


def _activation(acts, name):
    if name not in acts:
        there = ", ".join(acts) or "none"
        raise MinicnnError(f"no activation of layer {name!r}; there are {there}")
    return acts[name]


def _layer_weights(targets, weights, kind):
    weights = weights or {}
    for name, weight in weights.items():
        if name not in targets:
            raise MinicnnError(
                f"weight for {kind} layer {name!r}, which has no target; "
                f"there are {', '.join(targets) or 'none'}"
            )
        _check_weight(weight, f"{kind} layer {name}")
    chosen = {name: weights.get(name, 1.0) for name in targets}
    if not any(chosen.values()):
        raise MinicnnError(f"no {kind} layer with a weight other than 0; name at least one")
    return {name: weight for name, weight in chosen.items() if weight}


def _check_weight(weight, name):
    if not abs(weight) < float("inf"):
        raise MinicnnError(f"weight {weight} of {name}; use a finite number")


def _row(table, normalisation, kind):
    if normalisation not in table:
        raise MinicnnError(f"no {kind} normalisation {normalisation!r}; use {', '.join(table)}")
    return table[normalisation]


def _positive(value):
    if not value > 0:
        raise MinicnnError(
            "relative content loss: the target activation is all 0; use another layer or mean"
        )
    return value
