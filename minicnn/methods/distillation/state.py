"""The state of a distillation in a file: all that it takes to go on, bit for bit.

Arrays: param/NAME, mean/NAME, square/NAME and average/NAME of the student, and projection/PC.
Attributes: the settings, hashes of the data, the step that comes next, E and F of every layer,
the records so far, and the sums for the next one.
"""

from functools import partial

import numpy as np

from minicnn.backend import to_host
from minicnn.methods.distillation.settings import portable
from minicnn.methods.training.state import STATE_FILE, read
from minicnn.weights import checkpoint

KINDS = {"param": "params", "mean": "means", "square": "squares", "average": "averages"}


def save(run):
    """Write the state of a `run.Distillation`."""
    attrs = {
        "settings": portable(run.settings),
        "data": run.data,
        "step": run.step,
        "scales": {pc: list(pair) for pc, pair in run.scales.items()},
        "sums": run.sums.tolist(),
        "history": run.history,
    }
    arrays = {f"projection/{pc}": P for pc, P in run.projections.items()}
    for kind, name in KINDS.items():
        arrays |= {f"{kind}/{key}": array for key, array in getattr(run, name).items()}
    arrays = {name: to_host(array) for name, array in arrays.items()}
    checkpoint.save_arrays(run.folder / STATE_FILE, arrays, attrs)


def restore(run):
    """Bring a `run.Distillation` to the saved state.

    Raises
    ------
    MinicnnError
        If there is none, it is damaged, or one of other settings or of other data.
    """
    sound, ours = partial(_sound, run=run), portable(run.settings)
    arrays, attrs = read(run.folder, sound, run.data, ours, _shapes(run))
    for kind, name in KINDS.items():
        setattr(run, name, {key: arrays[f"{kind}/{key}"] for key in run.params})
    run.projections = {stage.pc: arrays[f"projection/{stage.pc}"] for stage in run.stages}
    run.scales = {pc: tuple(pair) for pc, pair in attrs["scales"].items()}
    run.step, run.history, run.sums = attrs["step"], attrs["history"], np.array(attrs["sums"])


def _shapes(run):
    """Return the shapes of all arrays of a state."""
    shapes = {f"{kind}/{key}": a.shape for kind in KINDS for key, a in run.params.items()}
    for stage in run.stages:
        ours, theirs = run.params[f"{stage.pc}.bias"], run.teacher.params[f"{stage.conv}.bias"]
        shapes[f"projection/{stage.pc}"] = (len(ours), len(theirs))
    return shapes


def _sound(attrs, run):
    """Return whether the attributes are those of a state."""
    pairs = attrs.get("scales")
    return (
        isinstance(pairs, dict)
        and pairs.keys() == {stage.pc for stage in run.stages}
        and np.shape(list(pairs.values())) == (len(pairs), 2)
        and np.shape(attrs.get("sums")) == (len(pairs),)
    )
