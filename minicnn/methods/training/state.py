"""What a training run leaves in its folder: the log, and a state to go on from, bit for bit.

The log has a row an epoch. The state has as arrays param/NAME and velocity/NAME, the parameters and
their momentum; as attributes the settings, a hash of the data, the epoch and the step that come
next, the sums of the epoch so far, and the records of the epochs before.
"""

import csv
import io
from functools import partial

import numpy as np

from minicnn.backend import all_finite, array_module, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.training.settings import BY_HAND, portable
from minicnn.storage.atomic import write_whole
from minicnn.weights import checkpoint

LOG, STATE_FILE = "log.csv", "state.h5"


def write_log(history, path):
    """Write the records of all epochs as a log."""
    fields = list(dict.fromkeys(key for record in history for key in record))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fields)
    writer.writeheader()
    writer.writerows(history)
    write_whole(path, text.getvalue().encode())


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
    own = _arrays(run)
    ours = {k: v for k, v in portable(run.settings).items() if k not in BY_HAND}
    shapes = {name: array.shape for name, array in own.items()}
    sound = partial(_sound, steps=run.steps)
    arrays, attrs = read(run.folder, sound, run.fingerprint, ours, shapes)
    for name, target in own.items():
        target[...] = array_module(target).asarray(arrays[name])
    run.epoch, run.step = attrs["epoch"], attrs["step"]
    run.sums, run.history = np.array(attrs["sums"]), attrs["history"]


def read(folder, sound, data, settings, shapes):
    """Return (arrays, attributes) of the state in a folder.

    Parameters
    ----------
    folder : Path
    sound : callable, sound(attributes) -> bool
        Whether they are those of such a run; "settings", "data", "step", "history" are looked at.
    data, settings
        What they must say of both.
    shapes : {name: shape}, of the arrays

    Raises
    ------
    MinicnnError
        See `restore`.
    """
    path = folder / STATE_FILE
    arrays, attrs = checkpoint.load_arrays(path)
    damaged = MinicnnError(
        f"{path} is damaged, or not the state of such a run; start one in another folder"
    )
    step, history, theirs = (attrs.get(name) for name in ("step", "history", "settings"))
    if not (
        isinstance(theirs, dict)
        and "data" in attrs
        and isinstance(history, list)
        and all(isinstance(record, dict) for record in history)
        and type(step) is int
        and step >= 0
        and sound(attrs)
    ):
        raise damaged
    if attrs["data"] != data:
        raise MinicnnError(
            f"the pictures have changed since {path} was written; start a new run in another folder"
        )
    differing = sorted(key for key in settings if theirs.get(key) != settings[key])
    if differing:
        raise MinicnnError(
            f"{path} was made with other settings for {', '.join(differing)}; "
            "resume with the same ones or start a new run in another folder"
        )
    found = {name: array.shape for name, array in arrays.items()}
    if found != shapes or not all(map(all_finite, arrays.values())):
        raise damaged
    return arrays, attrs


def _sound(attrs, steps):
    """Return whether the attributes are those of a state, with `steps` in an epoch."""
    epoch = attrs.get("epoch")
    return (
        type(epoch) is int
        and epoch == len(attrs["history"])
        and attrs["step"] <= steps
        and np.shape(attrs.get("sums")) == (3,)
    )


def _arrays(run):
    return {
        f"{kind}/{name}": array
        for kind, arrays in (("param", run.net.params), ("velocity", run.velocity))
        for name, array in arrays.items()
    }
