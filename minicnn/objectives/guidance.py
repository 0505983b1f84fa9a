"""Spatial guidance: a style for each region of the picture, each from a region of its source.

    t_r[p]  in 0..1, how much of position p of a layer lies in region r (`at_layer` makes it)
    M       positions of the layer,  s_r = Σ_p t_r[p] / M the share of the region

    G_r  = Σ_p t_r[p] f_p f_pᵀ / Σ_p t_r[p]                    mean Gram matrix of the region
    E    = c · Σ_r s_r Σ (G_r - A_r)²                          A_r: the same of the style picture
    dF_p = (4 c / M) Σ_r t_r[p] (G_r - A_r) f_p

c is that of `objectives`. A Gram matrix is divided by the area of its own region, so regions and
pictures of any size compare; the share makes style weigh in every pixel what it weighs without
guidance: one region that is the whole picture gives `style` exactly. Where no region is,
the style says nothing.

Gatys et al. 2016, arXiv 1611.07865, section 4: their guidance channel is T = √(t / Σ t), so that
(T F)(T F)ᵀ = G_r; there, s_r is left to the user as a weight.
"""

import numpy as np

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives.gram import GramStyleLoss
from minicnn.objectives.layer_losses import sum_squares


def guided_gram(f, guides):
    """Return the mean Gram matrix of every region, G_r: (N, R, C, C) for f (N, C, P, Q).

    The guides (R, P, Q) have the dtype of f; none of them is 0 everywhere.
    """
    xp, rows = array_module(f), _rows(f)
    columns = rows.transpose(0, 2, 1)  # (N, M, C)
    grams = [_rows(f * t) @ columns / t.sum() for t in guides]  # (N, C, C) each
    return xp.stack(grams, axis=1)


def guided_style(f, guides, targets, factor):
    """Return E with c = `factor`, and its gradient, an array like f (N, C, P, Q).

    A region of the guides (R, P, Q) that is 0 everywhere says nothing; the targets A_r are (R, C,
    C).
    """
    xp = array_module(f)
    rows, positions = _rows(f), f[0, 0].size
    value, df = 0.0, xp.zeros_like(f)
    for t, target in zip(guides, targets, strict=True):
        area = float(t.sum(dtype=xp.float64))
        if not area:
            continue
        inside = _rows(f * t)  # (N, C, M): t_r[p] f_p
        difference = inside @ rows.transpose(0, 2, 1)  # (N, C, M) (N, M, C)
        difference /= area
        difference -= target
        value += factor * area / positions * sum_squares(difference)
        difference *= 4 * factor / positions
        df += (difference @ inside).reshape(f.shape)  # (N, C, M) -> (N, C, P, Q)
    return value, df


class GuidedStyleLoss(GramStyleLoss):
    """`GramStyleLoss` region by region.

    The targets are mean Gram matrices of the regions, (R, C, C), and the guides how much of each
    position lies in each region, (R, P, Q), both by layer.
    """

    only_grams = False  # it reads regions

    def __init__(self, targets, guides, layer_weights=None, normalisation="mean"):
        super().__init__(targets, layer_weights, normalisation)
        self.guides = {name: guides[name] for name in self.layers}

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        return guided_style(f, self.guides[name], self.targets[name], factor)

    def check(self, name, f):
        """Refuse an activation that cannot be compared with the targets."""
        guides, targets = self.guides[name], self.targets[name]
        wanted = (len(guides), f.shape[1], f.shape[1])
        if f.ndim != 4 or f.shape[2:] != guides.shape[1:] or targets.shape != wanted:
            raise MinicnnError(
                f"style layer {name}: activation {f.shape} against guides {guides.shape} and Gram "
                f"matrices {targets.shape}; (N,C,P,Q) needs guides (R,P,Q) and matrices (R,C,C)"
            )


def at_layer(mask, field, size):
    """Return a mask (H, W) of values 0..1 as the positions of a layer see it, float32 (P, Q).

    A position stands for a cell of the picture, stride by stride pixels around the centre of its
    receptive field: it gets the mean of the mask there. The cells tile the picture, so masks that
    add up to 1 do so in every layer. (The whole receptive field would bleed: in deep layers it is
    many cells wide.)

    >>> from minicnn.network.receptive_fields import Field
    >>> pooled = Field(size=(2, 2), stride=(2, 2), offset=(0, 0))
    >>> at_layer(np.array([[0.0, 1, 1, 1], [0, 1, 0, 1]]), pooled, (1, 2)).tolist()
    [[0.5, 0.75]]
    """
    for axis in (0, 1):
        start = field.offset[axis] + (field.size[axis] - field.stride[axis]) / 2
        starts = start + field.stride[axis] * np.arange(size[axis])
        mask = _means(mask, starts, starts + field.stride[axis], axis)
    return mask.astype(np.float32)


def _means(values, starts, ends, axis):
    """Return the mean over [start, end) of each interval along an axis, within the picture."""
    values = np.moveaxis(np.asarray(values, np.float64), axis, 0)  # the axis first
    length = len(values)
    starts, ends = np.clip(starts, 0, length), np.clip(ends, 0, length)
    outside = ends - starts < 1e-9  # behind the edge: the outermost pixel stands for it
    starts = np.where(outside, np.clip(starts, 0, length - 1), starts)
    ends = np.where(outside, starts + 1, ends)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    means = (_between(sums, ends) - _between(sums, starts)) / (ends - starts)[:, None]
    return np.moveaxis(means, 0, axis)  # and back to its place


def _between(sums, places):
    """Interpolate the running sums linearly: exact, as the values are constant in each pixel."""
    below = np.minimum(places.astype(int), len(sums) - 2)
    share = (places - below)[:, None]
    return sums[below] * (1 - share) + sums[below + 1] * share


def _rows(f):
    return f.reshape(*f.shape[:2], -1)  # (N, C, P, Q) -> (N, C, M)
