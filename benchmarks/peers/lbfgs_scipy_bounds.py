"""SciPy's L-BFGS-B with bounds."""

from functools import partial

from peers import _lbfgs

PACKAGES = ("scipy", "numpy")
KINDS = ("lbfgs",)

prepare = partial(_lbfgs.prepare, method="lbfgs", bounds=(-50.0, 50.0))
