"""The peers, one small file each: put one here, or into the folder $MINICNN_PEERS.

A peer NAME.py has

    a docstring      its first line is its title in the tables
    KINDS            the kinds of case that it can do
    prepare(case)    returns run, a function without arguments that does one unit of work

and may have

    PACKAGES         names of installed packages whose versions are to be recorded
    GROUP            peers with the same GROUP are variants of one: the best of them counts
    WHEN             "always"; or "full": not with --quick; or "asked": only if --peers names it
    why_not()        a reason why it cannot take part on this machine, or None

What it needs it imports at the top: a package that is missing is then said in one line, and the
memory of the imports is told from that of the work. `prepare` gets a `cases.Case`; the network, the
pictures and the arrays of a case come from `cases`, the same in every process. What is done in
`prepare` is not timed, so whatever does not depend on the picture belongs there.

The result of run is checked against that of the first peer (ours) before anything is timed, in
`checks.py`. It is a dict of NumPy arrays and numbers:

| kind | a unit of work | result |
|---|---|---|
| gradient | value and gradient of the style objective for one picture | value, gradient (1,3,H,W) |
| forward | the activations of the objective's layers | {layer: (1,C,H,W)} |
| conv-forward | one convolution with bias | y (1,K,P,Q) |
| conv-backward | its gradient with respect to the input | dx (1,C,H,W) |
| train | a step: forward, backward, update | see `methods/training/step.py` |
| scan, records | all pictures through the network | see `methods/features/scan.py` |
| lbfgs | iterations of an optimizer on a cheap function | value at the start |

If a result is not at hand after a unit of work, run.check() may return it instead. If something
must be left out of the time, the result has "seconds" per unit, and those count.

Files that begin with an underscore are no peers, but what some of them share.
"""

import os
from pathlib import Path

if os.environ.get("MINICNN_PEERS"):
    __path__.append(os.environ["MINICNN_PEERS"])


def names():
    """Return the names of all peers, ours first."""
    found = {path.stem for folder in __path__ for path in Path(folder).glob("[!_]*.py")}
    return sorted(found, key=lambda name: (not name.startswith("ours"), name))
