"""Learning-rate schedules: the rate as a function of the share of the training that is done.

one-cycle goes from peak / 25 up to the peak over the first 30 %, then down to peak / 10,000, both
along half a cosine (Smith & Topin 2017, arXiv 1708.07120); cosine from the peak down to 0 along
half a cosine (Loshchilov & Hutter 2016, arXiv 1608.03983); step falls to a tenth after one half
and to a hundredth after three quarters.
"""

import math

from minicnn.errors import MinicnnError


def rate(name, peak, done):
    """Return the rate of schedule `name` when the share `done` (0..1) of all steps is over.

    Raises
    ------
    MinicnnError
        If there is no such schedule.
    """
    if name not in SCHEDULES:
        raise MinicnnError(f"no schedule {name!r}; the schedules are {', '.join(SCHEDULES)}")
    return peak * SCHEDULES[name](done)


def _ease(start, end, t):
    """From `start` to `end` along half a cosine, t = 0..1."""
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


SCHEDULES = {
    "one-cycle": lambda t: _ease(0.04, 1, t / 0.3) if t < 0.3 else _ease(1, 1e-4, (t - 0.3) / 0.7),
    "cosine": lambda t: _ease(1, 0, t),
    "step": lambda t: 1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01,
    "constant": lambda t: 1.0,
}
