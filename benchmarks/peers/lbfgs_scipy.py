"""SciPy's L-BFGS-B."""

from functools import partial

from peers import _lbfgs

PACKAGES = ("scipy", "numpy")
KINDS = ("lbfgs",)

prepare = partial(_lbfgs.prepare, method="lbfgs")
