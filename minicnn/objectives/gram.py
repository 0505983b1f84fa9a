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

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives.layer_losses import over_layers, row_of, sum_squares, used_weights

STYLE = {
    "mean": lambda channels: 1 / channels**4,
    "gatys": lambda channels: 1 / (4 * channels**2),
    "lecture": lambda channels: 0.25,
}


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


class GramStyleLoss:
    """Weighted sum over layers of the distance between mean Gram matrices (equation 7).

    Parameters
    ----------
    targets : dict, layer name -> mean Gram matrix, shape (C, C) or (N, C, C)
        `style_targets` makes them; the style picture may have any size.
    layer_weights : dict, layer name -> float, optional
        The lambda of equation 7, 1 where not given; a layer of weight 0 is left out.
    normalisation : {"mean", "gatys", "lecture"}
    """

    def __init__(self, targets, layer_weights=None, normalisation="mean"):
        factor = row_of(STYLE, normalisation, "style")
        self.weights = used_weights(targets, layer_weights, "style")
        self.targets = {name: targets[name] for name in self.weights}
        self.factors = {name: factor(target.shape[-1]) for name, target in self.targets.items()}
        self.layers = list(self.weights)

    def __call__(self, acts, weight=1.0, report=None):
        """Return (weight · value, {layer: weight · gradient}), as `ContentLoss` does."""
        return over_layers(self, acts, weight, report, self.term)

    def deferred(self, acts, weight=1.0, report=None, mean_gram=mean_gram):
        """Return the same, each gradient a `ChannelProduct` that has not been multiplied out.

        `mean_gram` is the function of this name, or one that does the same faster. Nothing else
        reads the activations; what inherits this and reads more has None here.
        """

        def term(name, f, factor):
            return deferred_style(f, self.targets[name], factor, mean_gram)

        return over_layers(self, acts, weight, report, term)

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        return style(f, self.targets[name], factor)

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
