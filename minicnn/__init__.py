"""A convolutional network on NumPy and CuPy arrays, with every gradient written out.

    net = minicnn.load("squeezenet")                  embedded or fetched, or a weight file
    acts = net.forward(x, ["fire2/concat"])
    dx = net.backward({"fire2/concat": dy})
    made = minicnn.run("style", content=a, style=b)   a method as a function

The names below are made available on first use, so that `import minicnn` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for those who check types; at run time `_HOMES` has the same
    from minicnn.errors import MinicnnError
    from minicnn.library import run
    from minicnn.methods.style.loss import style_objective
    from minicnn.network.build import build
    from minicnn.weights.checkpoint import load, save

__version__ = "0.1.0"

_HOMES = {
    "MinicnnError": "minicnn.errors",
    "build": "minicnn.network.build",
    "load": "minicnn.weights.checkpoint",
    "run": "minicnn.library",
    "save": "minicnn.weights.checkpoint",
    "style_objective": "minicnn.methods.style.loss",
}
__all__ = ["MinicnnError", "__version__", "build", "load", "run", "save", "style_objective"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
