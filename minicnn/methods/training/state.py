"""The state of a training run in a file: all that it takes to go on, bit for bit.

Arrays: param/NAME and velocity/NAME, the parameters and their momentum. Attributes: the settings,
a hash of the data, the epoch and the step that come next, the sums of the epoch so far, and the
records of the epochs before.
"""

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.training.settings import BY_HAND, portable
from minicnn.weights import checkpoint

STATE_FILE = "state.h5"


def save(run):
    """Write the state of a `training.Run`."""
    attrs = {
        "settings": portable(run.settings),
        "data": run.fingerprint,
        "epoch": run.epoch,
        "step": run.step,
        "sums": run.sums.tolist(),
        "history": run.history,
    }
    arrays = {name: to_host(array) for name, array in _arrays(run).items()}
    checkpoint.save_arrays(run.folder / STATE_FILE, arrays, attrs)


def restore(run):
    """Bring a `training.Run` to the saved state.

    Raises
    ------
    MinicnnError
        If there is none, it is damaged, or one of other settings or of other data.
    """
    path = run.folder / STATE_FILE
    if not path.exists():
        raise MinicnnError(f"{run.folder} holds no training run; start one without --resume")
    arrays, attrs = checkpoint.load_arrays(path)
    damaged = MinicnnError(
        f"{path} is damaged, or not the state of a training run; start one in another folder"
    )
    if not _sound(attrs, run.steps):
        raise damaged
    if attrs["data"] != run.fingerprint:
        raise MinicnnError(
            f"the data set {run.settings.data} has changed since {path} was written; "
            "start a new run in another folder"
        )
    theirs, ours = attrs["settings"], portable(run.settings)
    differing = sorted(k for k in ours if theirs.get(k) != ours[k] and k not in BY_HAND)
    if differing:
        raise MinicnnError(
            f"{path} was made with other settings for {', '.join(differing)}; "
            "resume with the same ones or start a new run in another folder"
        )
    own = _arrays(run)
    shapes, wanted = ({k: a.shape for k, a in found.items()} for found in (arrays, own))
    if shapes != wanted or not all(np.isfinite(array).all() for array in arrays.values()):
        raise damaged
    for name, target in own.items():
        target[...] = array_module(target).asarray(arrays[name])
    run.epoch, run.step = attrs["epoch"], attrs["step"]
    run.sums, run.history = np.array(attrs["sums"]), attrs["history"]


def _sound(attrs, steps):
    """Return whether the attributes are those of a state, with `steps` in an epoch."""
    epoch, step, history = (attrs.get(name) for name in ("epoch", "step", "history"))
    return (
        isinstance(attrs.get("settings"), dict)
        and "data" in attrs
        and isinstance(history, list)
        and all(isinstance(record, dict) for record in history)
        and type(epoch) is type(step) is int
        and epoch == len(history)
        and 0 <= step <= steps
        and np.shape(attrs.get("sums")) == (3,)
    )


def _arrays(run):
    return {
        f"{kind}/{name}": array
        for kind, arrays in (("param", run.net.params), ("velocity", run.velocity))
        for name, array in arrays.items()
    }
