"""Project units of a layer down to the picture: what in it has excited them.

    forward      the picture goes up, the max poolings record their switches
    seed         all units of the layer are set to 0 but one, at one position or at all
    backward     unpool by the switches, rectify, filter with the transposed filters, layer by layer

Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1; section 1.1 of the lecture notes. There are no
biases on the way down, and the result is not rectified in the pixels. Simonyan et al. 2013
(arXiv 1312.6034, section 4) show that this is the chain rule but for the ReLU: the rule `gradient`
is the derivative, `deconvnet` and `guided` are none (see `ops.relu`).

What the papers leave open is a `Policy`, which goes into the metadata of every picture.
"""

from dataclasses import dataclass
from typing import NamedTuple

from minicnn.backend import array_module, check_finite
from minicnn.errors import MinicnnError
from minicnn.network.facts import LRN_RULES
from minicnn.ops.relu import RULES
from minicnn.ops.unpool import OVERLAPS
from minicnn.runs.settings import Declared, choice, setting

ORDERS = ("unpool-rectify", "rectify-unpool")
ZERO_WINDOWS = ("first", "drop")
STARTS = ("activation", "one")


def _choice(names, default, words, shown=None):
    return setting(choice(names), default, words, group="projection", shown=shown)


@dataclass(frozen=True)
class Policy(Declared):
    """How a projection goes down; a row of `ops.relu.RULES`, and what the papers leave open."""

    rule: str = _choice(
        RULES, "deconvnet", "what a ReLU does on the way down; `gradient` alone is a gradient"
    )
    # only "sum" is the adjoint, see `ops.unpool`
    overlap: str = _choice(
        OVERLAPS,
        "sum",
        "where pooling windows share a winner",
        "sum, which is the adjoint",
    )
    # it matters where windows overlap: signals of both signs may meet; `gradient` does not rectify
    order: str = _choice(
        ORDERS,
        ORDERS[0],
        "what comes first, unpooling or rectifying",
        "unpool-rectify, as published",
    )
    # "first" as ties have it everywhere
    zero_windows: str = _choice(
        ZERO_WINDOWS,
        "first",
        "a pooling window that is all 0 has its switch at the first pixel, or none",
    )
    lrn: str | None = _choice(
        LRN_RULES,
        None,
        "pass response normalisations by, or differentiate them",
        "identity for the rule deconvnet, else gradient",
    )

    def choices(self):
        """Return {name: choice} of all of it, for metadata."""
        return {
            "rule": self.rule,
            "overlap": self.overlap,
            "order": self.order,
            "zero_windows": self.zero_windows,
            "lrn": self.lrn or ("identity" if self.rule == "deconvnet" else "gradient"),
        }

    def forward(self, evaluator, x, taps):
        """Compute activations {layer: array}, recording switches by this policy."""
        return evaluator.forward(x, taps, drop_zero_windows=self.zero_windows == "drop")

    def backward(self, evaluator, dys):
        """Take {layer: seed} down to the picture by this policy."""
        dx = evaluator.backward(
            dys,
            self.rule,
            lrn_rule=self.choices()["lrn"],
            overlap=self.overlap,
            rectify_first=self.order == "rectify-unpool",
        )
        check_finite(dx, f"projections of layer {', '.join(dys)}")
        return dx


class Projection(NamedTuple):
    """What `project` returns; N rows, one for every pair of picture and unit."""

    dx: object  # (N, 3, H, W), in the units of the network's input
    units: object  # int (N,)
    positions: object  # int (N, 2): row and column of each largest activation, or as asked for
    values: object  # (N,): the activations there


def project(evaluator, x, layer, units, positions="max", *, policy=None, start="activation"):
    """Project units down to their pictures, all in one pass forward and one backward.

    Parameters
    ----------
    evaluator : Network, or FastEvaluator of one
    x : array (N, 3, H, W) or (1, 3, H, W), preprocessed
        A single picture serves all units.
    layer : str
        Any layer; a fully connected one has the single position (0, 0).
    units : int array (N,)
        The unit (channel) that row n keeps.
    positions : "max", "all" or int array (N, 2)
        Where it is kept: at its largest activation (the first in row-major order), everywhere,
        or at (row, column).
    policy : Policy, optional
        The deconvnet of the paper by default.
    start : {"activation", "one"}
        What the kept entries are: their activation, as in the paper, or 1, which makes the rule
        `gradient` the derivative of the unit. A linear map goes down either way, but with "all"
        positions it weighs them differently, and a unit that does not fire has nothing to project.

    Returns
    -------
    Projection

    Raises
    ------
    MinicnnError
        If there is no such layer, unit or position, or an activation is NaN or infinite.
    """
    policy = policy or Policy()
    policy.check()
    _check_choice("start", start, STARTS)
    xp = array_module(x)
    units = xp.atleast_1d(xp.asarray(units))
    if len(x) == 1 and len(units) > 1:
        x = xp.repeat(x, len(units), axis=0)
    y = policy.forward(evaluator, x, [layer])[layer]
    seed, units, positions, values = make_seed(y, layer, units, positions, start)
    return Projection(policy.backward(evaluator, {layer: seed}), units, positions, values)


def make_seed(y, layer, units, positions="max", start="activation"):
    """Return an activation with all but one unit of each row set to 0, and which entries are kept.

    Parameters
    ----------
    y : array (N, K, P, Q)
        The activation of `layer`.
    units, positions, start
        See `project`.

    Returns
    -------
    seed : array like y
    units : int array (N,)
    positions : int array (N, 2)
    values : array (N,)
    """
    xp = array_module(y)
    N, K, P, Q = y.shape
    check_finite(y, f"activations of layer {layer}")
    units = _integers(xp, units, (N,), f"one unit of layer {layer} for each of {N} pictures")
    _check_range(units, K, f"unit {{}} in layer {layer}")
    rows = xp.arange(N)
    maps = y[rows, units]  # (N, P, Q)
    everywhere = isinstance(positions, str) and positions == "all"
    if isinstance(positions, str):
        _check_choice("positions", positions, ("max", "all"))
        best = maps.reshape(N, -1).argmax(axis=1)
        positions = xp.stack([best // Q, best % Q], axis=1)
    positions = _integers(xp, positions, (N, 2), f"a (row, column) for each of {N} units")
    _check_range(positions[:, 0], P, f"row {{}} in layer {layer}")
    _check_range(positions[:, 1], Q, f"column {{}} in layer {layer}")
    at = (rows, *positions.T)
    seed = xp.zeros_like(y)
    if everywhere:
        seed[rows, units] = 1 if start == "one" else maps
    else:
        seed[rows, units, at[1], at[2]] = 1 if start == "one" else maps[at]
    return seed, units, positions, maps[at]


def read_units(written):
    """Return a list of units, or how many of the strongest are wanted; `ValueError` for neither."""
    word, colon, number = str(written).partition(":")
    if word.strip() == "max":
        most = int(number) if colon else 1
        if most >= 1:
            return most
    elif not colon:
        return [int(part) for part in word.split(",")]
    raise ValueError


def read_position(written):
    """Return "max", "all" or (row, column); `ValueError` for none of them."""
    if written in ("max", "all"):
        return written
    row, column = map(int, str(written).split(","))
    return row, column


def strongest(y, count=1):
    """Return the `count` units of y (1, K, P, Q) with the largest activations, strongest first."""
    peaks = y[0].reshape(y.shape[1], -1).max(axis=1)
    # stable: among equals the lower number comes first
    return array_module(y).argsort(-peaks, kind="stable")[:count].tolist()


def _check_choice(what, value, known):
    if value not in known:
        raise MinicnnError(f"no {what} {value!r}; use {', '.join(known)}")


def _integers(xp, values, shape, wanted):
    values = xp.asarray(values)
    if values.shape != shape or values.dtype.kind not in "iu":
        raise MinicnnError(f"give {wanted}, integers {shape}, not {values.dtype} {values.shape}")
    return values.astype("int64", copy=False)


def _check_range(values, count, what):
    bad = values[(values < 0) | (values >= count)]
    if len(bad):
        raise MinicnnError(f"no {what.format(int(bad[0]))}; use 0 to {count - 1}")
