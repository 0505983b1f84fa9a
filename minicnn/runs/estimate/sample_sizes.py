"""Short runs of one job at several small sizes, for `estimate` to draw a line through."""

import math
import time
from dataclasses import replace

from minicnn.errors import MinicnnError
from minicnn.runs.estimate import sample_run

SIDES = ("size", "style_size", "source_size", "width", "height")
PIXELS = (128**2, 256**2, 512**2)  # of the short runs
SHARE = 0.02  # of the whole run that they may take, where that is long
STEPS = (3, 13)  # evaluations of a short run: at least, and enough to fill a memory of 10 pairs


def measure(verb, settings, stages, seconds, patience):
    """Return the measures of short runs at sizes up to the wanted one, small ones first.

    Parameters
    ----------
    verb : str
    settings : of the verb, with nothing left open
    stages : list of (iterations, (rows, columns)), see `work.stages`
    seconds : float
        That all of them may take, about; or `SHARE` of the whole run, if that is more.
    patience : float, optional
        Seconds that one may take, see `sample_run.sample`.

    Returns
    -------
    list of dict, see `sample_run.sample`
    """
    wanted, tile = math.prod(stages[-1][1]), getattr(settings, "tile", None)
    sizes = [(count * tile) ** 2 for count in (2, 3)] if tile else PIXELS
    samples, started = [], time.perf_counter()
    for pixels in [*(size for size in sizes if size < 0.8 * wanted), wanted]:
        small = resized(settings, math.sqrt(pixels / wanted))
        steps = STEPS[pixels <= PIXELS[-1]]
        if samples:
            last, passed = samples[-1], time.perf_counter() - started
            pace = last["seconds"] / last["pixels"]
            whole = sum(n * math.prod(shape) for n, shape in stages) * pace
            left = max(seconds, SHARE * whole) - passed - last["setup"]
            steps = min(STEPS[1], int(left / max(1e-9, pace * pixels)))
            if len(samples) > 1 and steps < STEPS[0]:
                break
        try:
            steps = max(STEPS[0], steps)
            took = sample_run.sample(verb, small, patience=patience, iterations=steps)
        except MinicnnError:
            if pixels == wanted and not samples:
                raise
            continue  # too small for the layers
        if not samples or took["pixels"] > samples[-1]["pixels"]:
            samples.append(took)
        if took["pixels"] >= wanted:
            break
    return samples


def resized(settings, factor):
    """Return the settings for a picture whose sides are `factor` times as long, at one size."""
    changes = {}
    for name in SIDES:
        side = getattr(settings, name, None)
        if isinstance(side, list):
            changes[name] = [max(1, round(one * factor)) for one in side]
        elif side:
            changes[name] = max(1, round(side * factor))
    if hasattr(settings, "scales"):
        changes["scales"] = 1
    return replace(settings, **changes)
