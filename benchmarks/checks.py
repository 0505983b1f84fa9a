"""Whether two peers compute the same: samples of their results, compared before any timing."""

import numpy as np

SAMPLES = 65536  # values of an array that are compared, evenly spread
# Relative differences in norm that rounding may make. Those of gradients are larger, since a
# rounding decides on which side of a ReLU or a maximum a unit is: against float64, for VGG-16 at
# 96 px, the explicit engine is off by 5e-7 and the fast one by 3e-4, for minivgg both by less than
# 1e-6. Below ten batch normalisations and three max poolings PyTorch is off by 1e-3, our engines
# by 4e-3 and 1e-2. What a peer leaves out shows in the value.
TOLERANCE = 1e-4
TOLERANCES = {"value": 1e-5, "gradient": 5e-3, "conv1_1.weight": 5e-2}


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
        rounding may make it.
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
            if found[name] > TOLERANCES.get(name, TOLERANCE):
                raise ValueError(f"its {name} differs by {found[name]:.2g} from ours")
    return found
