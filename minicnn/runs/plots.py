"""Curves as PNG pictures, drawn by matplotlib (the extra `plot`)."""

import io

from minicnn.errors import MinicnnError

METADATA = {"Software": None}  # no version and no date: the same numbers give the same bytes


def pyplot_figure(rows, columns, size):
    """Return a matplotlib figure and its axes, without a display and without global state.

    Raises `MinicnnError` if matplotlib is not there.
    """
    if not available():
        raise MinicnnError(
            "curves are drawn by matplotlib, which is not here: pip install matplotlib"
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def words(text):
    """Return a text, of a file name perhaps, as Matplotlib draws it: $ begins no formula."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")


def available():
    """Return whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def png(figure):
    """Return a figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata=METADATA)
    return file.getvalue()


def convergence(rows, layers, title):
    """Draw the distances of `evolution`, `Evolution.rows`, one panel a measure; return PNG bytes.

    The `layers` are in the network's order: low ones are dark, high ones bright.
    """
    panels = {
        "features": "features: 1 - CKA with the last",
        "filters": "filters: 1 - cosine with the last",
        "changed": "units whose strongest picture changed",
    }
    epochs = sorted({r["epoch"] for r in rows})
    figure, axes = pyplot_figure(1, len(panels), (4.6 * len(panels), 4.2))
    for axis, (name, text) in zip(axes[0], panels.items(), strict=True):
        for number, layer in enumerate(layers):
            points = [
                (r["epoch"], r[name]) for r in rows if r["layer"] == layer and r[name] is not None
            ]
            if points:
                axis.plot(*zip(*points, strict=True), "o-", ms=4, color=_shade(number, len(layers)))
        axis.set(
            xlabel="epoch", title=text, ylim=(0, None), xlim=(0.9 * epochs[0], 1.1 * epochs[-1])
        )
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks(epochs, [str(epoch) for epoch in epochs])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for number, layer in enumerate(layers):
        axes[0][0].plot([], [], "o-", ms=4, color=_shade(number, len(layers)), label=layer)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(words(title))
    return png(figure)


def training(runs):
    """Draw loss and accuracy of training runs, {name: records of epochs}; return PNG bytes."""
    figure, axes = pyplot_figure(1, 2, (11, 4.2))
    for axis, keys in (
        (axes[0][0], ("loss", "val_loss")),
        (axes[0][1], ("accuracy", "val_accuracy")),
    ):
        for number, (name, history) in enumerate(runs.items()):
            for key, line in zip(keys, (":", "o-"), strict=True):
                points = [(r["epoch"], r[key]) for r in history if r.get(key) is not None]
                kind = "validation" if key.startswith("val") else "training"
                label = f"{name}: {kind}" if len(runs) > 1 else kind
                if points:
                    xy = zip(*points, strict=True)
                    axis.plot(*xy, line, ms=3, color=f"C{number % 10}", label=words(label))
        axis.set(xlabel="epoch", title=keys[0])
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8)
    axes[0][1].set_ylim(0, None)
    return png(figure)


def _shade(number, count):
    """Return a colour: dark for the first, bright for the last."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.92 * number / max(1, count - 1))
