"""ours, lbfgs-device, with bounds."""

from functools import partial

from peers import _lbfgs
from peers.lbfgs_device import why_not  # noqa: F401 - it is the same

PACKAGES = ("minicnn-numpy", "numpy")
KINDS = ("lbfgs",)

prepare = partial(_lbfgs.prepare, method="lbfgs-device", bounds=(-50.0, 50.0))
