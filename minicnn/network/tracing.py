"""A forward and a backward pass as a table: what each layer makes, keeps, gets and hands down."""

from html import escape
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import to_host
from minicnn.network.facts import rule_of
from minicnn.network.nodes import INPUT

# class of layer -> (forward, backward), as in ops/README.md
FORMULAS = {
    "Conv2d": ("y = w ∗ x + b", "dx = wᵀ ∗ dy"),
    "Linear": ("y = x wᵀ + b", "dx = dy w"),
    "ReLU": ("y = max(x, 0)", "dx = dy (x > 0)"),
    "PReLU": ("y = max(x, 0) + a min(x, 0)", "dx = dy where x > 0, else a dy"),
    "Clip": ("y = min(max(x, low), high)", "dx = dy (low < x < high)"),
    "MaxPool2d": ("y = max of a window", "dx = dy at the switches"),
    "AvgPool2d": ("y = mean of a window", "dx = Σ dy / count"),
    "GlobalAvgPool2d": ("y = mean of a map", "dx = dy / count"),
    "LRN": ("y = x a^-beta", "dx = dy a^-beta - c x Σ dy y/a"),
    "BatchNorm2d": ("y = gamma (x - m) h + beta", "dx = gamma h dy"),
    "Dropout": ("y = x mask", "dx = dy mask"),
    "Softmax": ("y = exp(x) / Σ exp(x)", "dx = y (dy - Σ dy y)"),
    "Concat": ("y = x1, x2, ...", "dxi = its part of dy"),
    "Add": ("y = x1 + x2 + ...", "dxi = dy"),
    "ReplicatePad2d": ("y = x, edges repeated", "dx = Σ dy of the copies"),
}
HEADS = ("layer", "class", "output", "bytes", "|y|", "|dy|", "forward", "backward")
TO_THE_LEFT = {0, 1, 6, 7}  # columns of words
STYLE = "border-collapse:collapse;font:13px/1.5 monospace"


class TraceRow(NamedTuple):
    """One layer; `gradient` is None where J does not depend on it. Norms are Euclidean."""

    layer: str
    kind: str
    shape: tuple
    bytes: int
    norm: float
    gradient: float | None
    forward: str
    backward: str


class Trace:
    """The rows of a trace, and dJ/dx; it prints as a table, in a notebook as one of HTML.

    Attributes
    ----------
    rows : list of TraceRow
        The picture first, then the layers in the order of the forward pass.
    dx : array like the picture, or None
        The gradient that has come down to it.
    """

    def __init__(self, rows: list[TraceRow], dx: Any):
        self.rows, self.dx = rows, dx

    def __repr__(self) -> str:
        cells = [HEADS, *map(_cells, self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(HEADS))]
        lines = []
        for row in cells:
            columns = enumerate(zip(row, widths, strict=True))
            aligned = [c.ljust(w) if i in TO_THE_LEFT else c.rjust(w) for i, (c, w) in columns]
            lines.append("  ".join(aligned).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for tag, row in [("th", HEADS), *(("td", _cells(row)) for row in self.rows)]:
            sides = ["left" if i in TO_THE_LEFT else "right" for i in range(len(row))]
            columns = [
                f'<{tag} style="text-align:{side};padding:0 .7em">{escape(cell)}</{tag}>'
                for side, cell in zip(sides, row, strict=True)
            ]
            rows.append(f"<tr>{''.join(columns)}</tr>")
        return f'<table style="{STYLE}">{"".join(rows)}</table>'


def trace(net: Any, x: Any, dy: Any = None, relu_rule: str = "gradient") -> Trace:
    """Trace both passes, see `Facts.trace`."""
    acts = net.forward(x, net.layers)
    dys = dy if isinstance(dy, dict) else {net.layers[-1]: dy}
    grads: dict[str, Any] = {}
    rule = rule_of(relu_rule, None, "sum", False)

    def step(node: Any, dy: Any, cache: Any) -> Any:
        grads[node.name] = dy
        return node.layer.backward(dy, cache, net.own_params(node), rule)

    dx = None if dy is None else net.walk_back(dys, step)
    rows = [_row(INPUT, "", x, dx, ("", ""))]
    for node in net.nodes:
        kind = type(node.layer).__name__
        formulas = FORMULAS.get(kind) or getattr(node.layer, "formulas", ("", ""))
        rows.append(_row(node.name, kind, acts[node.name], grads.get(node.name), formulas))
    return Trace(rows, dx)


def _row(name: str, kind: str, y: Any, dy: Any, formulas: tuple[str, str]) -> TraceRow:
    gradient = None if dy is None else _norm(dy)
    return TraceRow(name, kind, y.shape, y.nbytes, _norm(y), gradient, *formulas)


def _norm(a: Any) -> float:
    return float(np.linalg.norm(to_host(a).astype(np.float64).ravel()))


def _cells(row: TraceRow) -> tuple[str, ...]:
    shape = " x ".join(map(str, row.shape))
    gradient = "" if row.gradient is None else f"{row.gradient:.4g}"
    numbers = (f"{row.bytes:,}", f"{row.norm:.4g}", gradient)
    return (row.layer, row.kind, shape, *numbers, row.forward, row.backward)
