"""ours, lbfgs-device."""

from functools import partial

from minicnn import optimizers
from peers import _lbfgs

PACKAGES = ("minicnn-numpy", "numpy")
KINDS = ("lbfgs",)

prepare = partial(_lbfgs.prepare, method="lbfgs-device")


def why_not():
    """The optimizer may be missing in an older minicnn."""
    return None if "lbfgs-device" in optimizers.METHODS else "this minicnn has no lbfgs-device"
