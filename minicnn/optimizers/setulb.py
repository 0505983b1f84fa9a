"""SciPy's L-BFGS-B by reverse communication: it asks for values, and all that it knows is ours.

`setulb`, which `scipy.optimize.minimize` calls in a loop as well, keeps its state in arrays of the
caller: stored and given back, they lead to the same steps. The routine is private to SciPy. It has
had two lists of arguments, until SciPy 1.14 and since 1.15; where it has another, `available` says
so.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

import numpy as np
import scipy

SINCE_1_15 = "m,x,l,u,nbd,f,g,factr,pgtol,wa,iwa,task,lsave,isave,dsave,maxls,ln_task"
UNTIL_1_14 = "m,x,l,u,nbd,f,g,factr,pgtol,wa,iwa,task,iprint,csave,lsave,isave,dsave,maxls,[n]"
VALUE, ITERATION = "value", "iteration"  # what is asked for, or has just ended
NUMBERS = {1: ITERATION, 3: VALUE, 401: "gradient", 402: "reduction"}  # since 1.15
WORDS = {b"NEW_X": ITERATION, b"FG": VALUE, b"CONVERGENCE: NORM": "gradient",
         b"CONVERGENCE: REL": "reduction"}  # until 1.14  # fmt: skip


def _alone():
    """Return SciPy's routines without scipy.optimize around them, which takes long to load."""
    name = "scipy.optimize._lbfgsb"
    found = PathFinder.find_spec(name, [os.path.join(path, "optimize") for path in scipy.__path__])
    if found is None or name in sys.modules:
        return import_module(name)
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


_lbfgsb = _alone()


def _arguments():
    """Return the list of arguments of SciPy's routine."""
    found = getattr(getattr(_lbfgsb, "setulb", None), "__doc__", None) or ""
    return found.partition("(")[2].partition(")")[0]


def available() -> bool:
    """Return whether this SciPy has a routine that is known here."""
    return _arguments() in (SINCE_1_15, UNTIL_1_14)


class Setulb:
    """A minimisation under way, from z, a float64 vector.

    Attributes
    ----------
    arrays : {name: array}
        The state: "z", where a value is asked for or an iteration has ended, and "g", the gradient
        there, among others.
    """

    def __init__(self, z, bounds, *, maxcor, maxls, ftol, gtol):
        m, n, self.old = maxcor, z.size, _arguments() == UNTIL_1_14
        self.settings, self.maxls = (ftol / np.finfo(float).eps, gtol), maxls
        self.limits, self.maxcor = _limits(bounds, n), maxcor
        self.value = 0.0
        self.arrays = {
            "z": np.array(z),
            "g": np.zeros(n),
            "wa": np.zeros(2 * m * n + 5 * n + 11 * m * m + 8 * m),
            "iwa": np.zeros(3 * n, np.int32),
            "lsave": np.zeros(4, np.int32),
            "isave": np.zeros(44, np.int32),
            "dsave": np.zeros(29),
            "task": np.zeros(2, np.int32),
            "within": np.zeros(2, np.int32),
        }
        if self.old:
            self.arrays |= {name: np.zeros(60, np.uint8) for name in ("task", "within")}
            self.arrays["task"].view("S60")[:] = b"START"

    def advance(self):
        """Go on to the next question or end."""
        a, task, within = self.arrays, self.arrays["task"], self.arrays["within"]
        saved = a["lsave"], a["isave"], a["dsave"], self.maxls
        if self.old:  # both are texts
            task, within = task.view("S60"), within.view("S60")
        rest = (-1, within, *saved) if self.old else (*saved, within)
        where = (self.maxcor, a["z"], *self.limits, self.value, a["g"])
        _lbfgsb.setulb(*where, *self.settings, a["wa"], a["iwa"], task, *rest)

    @property
    def asks(self) -> str:
        """`VALUE`, `ITERATION`, "gradient" or "reduction" for tests that are met, else ""."""
        task = self.arrays["task"]
        if self.old:
            told = task.tobytes()
            return next((what for word, what in WORDS.items() if told.startswith(word)), "")
        return NUMBERS.get(int(task[0]), NUMBERS.get(int(task[1]), ""))


def _limits(bounds, n):
    """Return the lower and upper bounds, made 0 where there is none, and which there are."""
    if bounds is None:
        return np.zeros(n), np.zeros(n), np.zeros(n, np.int32)
    kinds = np.array([[0, 3], [1, 2]], np.int32)  # none, upper; lower, both
    known = [np.isfinite(side) for side in bounds]
    for side, there in zip(bounds, known, strict=True):
        side[~there] = 0.0
    return *bounds, kinds[known[0].astype(int), known[1].astype(int)]
