"""The course of a run as a drawing: every term of the loss over the evaluations, logarithmic."""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.runs import plots

COUNTS = ("run", "iteration", "evaluations")
INCHES, DOTS = (8, 5), 120
MOST = 12  # parts of terms that have a colour each


def check():
    """Raise `MinicnnError` if there is nothing to draw with; call it before a long run."""
    if not plots.available():
        raise MinicnnError(
            "drawing the losses needs matplotlib; install it "
            "(pip install matplotlib), or leave out --plot"
        )


def draw(table, title=""):
    """Return the drawing of a table of `columns`, uint8 (H, W, 3).

    Terms are lines, their parts in single layers thin ones; a new run (another size, another
    picture) begins a new line. Only values above 0 can be shown.
    """
    figure, [[axes]] = plots.pyplot_figure(1, 1, INCHES)
    figure.set_dpi(DOTS)
    x, runs = np.asarray(table["evaluations"], float), np.asarray(table["run"])
    x = np.insert(x, _breaks(runs), np.nan)
    for number, name in enumerate(name for name in table if name not in COUNTS):
        y = np.array([np.nan if v is None or not v > 0 else v for v in table[name]], float)
        y = np.insert(y, _breaks(runs), np.nan)
        if np.isnan(y).all():
            continue
        part = "." in name
        axes.plot(
            x,
            y,
            label=name,
            color="black" if name == "total" else f"C{number % 10}",
            linewidth=2 if name == "total" else 0.8 if part else 1.4,
            linestyle="--" if part and number >= MOST else ":" if part else "-",
            marker="." if len(x) < 3 else None,
        )
    axes.set(title=plots.words(title), xlabel="evaluations", ylabel="weighted loss", yscale="log")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", ncols=2)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _breaks(runs):
    return np.flatnonzero(np.diff(runs)) + 1
