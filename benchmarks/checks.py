"""Whether two peers compute the same: samples of their results, compared before any timing."""

import numpy as np

SAMPLES = 65536  # values of an array that are compared, evenly spread
# relative difference in norm that rounding may make (float32, Winograd's transforms, and maxima
# that change places): measured 1e-6 to 1e-4. A forgotten term or layer makes 1e-2 and more.
TOLERANCE = 1e-3
# Below ten batch normalisations, ReLUs and max poolings a rounding decides which way a gradient
# takes: against float64, PyTorch's is off by 1e-3 there, ours by 4e-3 (explicit)
# and 1e-2 (fast).
LOOSER = {"conv1_1.weight": 5e-2}


def write_samples(file, result):
    """Write samples of a result {name: array or number} to an .npz file."""
    parts = {}
    for name, value in result.items():
        if name != "seconds":
            array = np.asarray(value)
            parts[f"{name}|shape"], parts[f"{name}|values"] = array.shape, _sample(array)
    np.savez(file, **parts)


def _sample(array):
    """Values in the order of the axes, whatever the layout; no copy of the array is made."""
    step = -(-array.size // SAMPLES) if array.size else 1
    where = np.arange(0, array.size, step)
    return array[np.unravel_index(where, array.shape)] if array.ndim else array.reshape(1)


def differences(reference_file, file):
    """Return {name: relative difference in norm} between two files of samples.

    Raises
    ------
    ValueError
        If something is missing, of another shape, not finite, all zero, or further off than
        `TOLERANCE` or, for that name, `LOOSER`.
    """
    with np.load(reference_file) as ours, np.load(file) as theirs:
        if set(ours) != set(theirs):
            names = sorted({key.partition("|")[0] for key in set(ours) ^ set(theirs)})
            raise ValueError(f"it computes other things: {', '.join(names)}")
        found = {}
        for name in (key.partition("|")[0] for key in ours if key.endswith("|shape")):
            shapes = [tuple(file[f"{name}|shape"].tolist()) for file in (ours, theirs)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"its {name} is {shapes[1]}, ours {shapes[0]}")
            a, b = (file[f"{name}|values"].astype(np.float64) for file in (ours, theirs))
            if not (np.isfinite(a).all() and np.isfinite(b).all() and a.any()):
                raise ValueError(f"{name} is not finite, or 0 everywhere")
            found[name] = float(np.linalg.norm(b - a) / np.linalg.norm(a))
            if found[name] > LOOSER.get(name, TOLERANCE):
                raise ValueError(f"its {name} differs by {found[name]:.2g} from ours")
    return found
