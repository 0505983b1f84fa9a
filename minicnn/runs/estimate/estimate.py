"""How much memory and time a run will take on this machine, before it starts.

Nothing here knows how the network computes. Short runs of the real thing (`sample_run`) tell what
pictures of two small sizes take; the straight line through them goes on to the wanted size:

    peak(P) = a + b·P        seconds of an evaluation (P) = c + d·P        P pixels of the picture

with no term negative. The shares of the pixels fixed by the settings (the size of the style, of
the source) are those of the wanted picture. A small picture is itself measured.

The L-BFGS methods fill their memory pair by pair; what a short run has not filled yet is added.
A picture in tiles works on more pixels than it has: those of the halos count in the time.
"""

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from minicnn.engine import memory
from minicnn.engine.memory import SPARE, device_available
from minicnn.engine.tiled import TiledEvaluator
from minicnn.runs.estimate import sample_run

SECONDS = 8.0  # that all short runs may take, about
# evaluations of either L-BFGS, as benchmarks/lbfgs.py has it; one more at the start
PER_ITERATION = 1.04
PAIR = {"lbfgs-device": 3 * 2 * 4, "lbfgs": 3 * 2 * 8}  # bytes of a pair for each pixel
VECTORS = 3 * 120  # bytes of the optimizer's other vectors and of the pictures, likewise
TILES = (1024, 512, 256, 128)  # sides that are advised


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    peak : float, bytes of memory of the process
    seconds : float
    available : int, bytes that there are now, or None
    measured : list of str, what the short runs were
    there : (float, int), bytes of the device's memory that it takes and that it can have, or None
    advice : str, what would fit, or ""
    """

    peak: float
    seconds: float
    available: int | None
    measured: list
    there: tuple | None = None
    advice: str = ""

    @property
    def fits(self):
        """Whether the memory suffices, None if what is available is unknown."""
        if self.there is not None and self.there[0] > SPARE * self.there[1]:
            return False
        return None if self.available is None else self.peak <= SPARE * self.available


def pictures(verb, many, files=None, patience=None):
    """Return the `Estimate` of searches for pictures: the time of all, the memory of the largest.

    `many` are settings of the `verb`; those of equal cost are measured once, in `patience` seconds
    at most (see `sample_run.measured`). Settings that are unfit raise `MinicnnError`.
    """
    counts = Counter(map(_cost, many))
    kinds = {_cost(settings): settings for settings in many}
    found = {
        cost: _one(verb, settings, files, SECONDS / len(kinds), patience)
        for cost, settings in kinds.items()
    }
    seconds = sum(counts[cost] * one.seconds for cost, one in found.items())
    return replace(max(found.values(), key=lambda one: one.peak), seconds=seconds)


def _cost(settings):
    """Return what decides how long a run takes: of a weight only whether it is 0."""
    values = {**asdict(settings), **dict.fromkeys(("seed", "noise_ratio", "learning_rate"))}
    weights = {k: v != 0 for k, v in values.items() if k.endswith("_weight") and v is not None}
    return repr(values | weights)


def _one(verb, settings, files, budget, patience):
    """Estimate a run from short runs of so many seconds."""
    job = verb.open_job(settings, files)
    s, device, pairs, crops = job.settings, job.device, job.pairs, _crops(job)
    stages = [(n, stage.size) for n, stage in job.stages()] * (job.steps // sum(job.counts))
    del job  # its arrays are not needed beside the short runs
    tile = getattr(s, "tile", None)
    size, pair = stages[-1][1], PAIR.get(s.optimizer, 0)
    pixels = math.prod(size)
    samples = sample_run.measured(
        sample_run.pictures, verb, s, files, pixels, budget, patience=patience
    )
    areas = [x["pixels"] for x in samples]
    unfilled = [max(0, min(pairs, stages[-1][0]) - x["iterations"]) for x in samples]
    peaks = [x["peak"] + n * pair * x["pixels"] for x, n in zip(samples, unfilled, strict=True)]

    def worked(size):
        return sum(crops(tile, size)) if tile else math.prod(size)

    peak = line_through(areas, peaks)
    pace = line_through([worked(x["shape"]) for x in samples], [x["seconds"] for x in samples])
    at_start, per = (1, PER_ITERATION) if pair else (0, 1.0)
    most = getattr(s, "evaluations", None) or math.inf
    seconds = line_through(areas, [x["setup"] for x in samples])(pixels)
    seconds += sum(min(at_start + n * per, most) * pace(worked(size)) for n, size in stages)
    limits, there = [(peak, memory.available())], None
    if device != "cpu":
        limits.append(
            (line_through(areas, [x["device_peak"] for x in samples]), device_available(device))
        )
        there = (limits[1][0](pixels), limits[1][1])
    said = [f"{x['pixels']} pixels, {x['seconds']:.3g} s an evaluation" for x in samples]
    found = Estimate(peak(pixels), seconds, limits[0][1], said, there)
    if found.fits is not False:
        return found
    share = min(line.reach(SPARE * room) for line, room in limits if room is not None) / pixels
    fitting = [_fitting_size(s, max(0.0, share) ** 0.5)]
    for side in TILES if crops and not tile and device == "cpu" else ():
        crop = max(crops(side, size))
        held = (pair * pairs + VECTORS) * (pixels - crop)
        if crop < pixels and peak(crop) + held <= SPARE * found.available:
            fitting.append(f"--tile {side}")
            break
    return replace(found, advice=f"{' or '.join(filter(None, fitting)) or 'no size'} would fit")


def _crops(job):
    """Return (tile, (rows, columns)) -> pixels of each crop; None where there are no tiles."""
    s, net, taps = job.settings, job.net, job.taps
    if not hasattr(s, "tile"):
        return None

    def crops(tile, shape):
        evaluator = TiledEvaluator(net, None, tile, torus=getattr(s, "seamless", False))
        cut = evaluator.tiles(taps, (1, 3, *shape))
        return [math.prod(end - start for start, end in tile.crop) for tile in cut]

    return crops


class Line(NamedTuple):
    """y = base + slope·x, neither term negative."""

    base: float
    slope: float

    def __call__(self, x):
        """Return the y of x."""
        return self.base + self.slope * x

    def reach(self, y):
        """Return the x of y."""
        return (y - self.base) / max(self.slope, 1e-9)


def line_through(x, y):
    """Return the line through the first and the last point, from 0 where there is but one."""
    slope = max(0.0, (y[-1] - y[0]) / (x[-1] - x[0])) if x[-1] > x[0] else math.inf
    slope = min(slope, y[-1] / x[-1])
    return Line(y[-1] - slope * x[-1], slope)


def _fitting_size(s, factor):
    """Return the option that makes the sides `factor` times as long, None if nothing is left."""
    for name, option in (("size", "--size"), ("width", "--size"), ("source_size", "--source-size")):
        if side := int((getattr(s, name, None) or 0) * factor):
            return f"{option} {side}" + (f"x{int(s.height * factor)}" if name == "width" else "")
    return None


def repeated(work, settings, smaller):
    """Return the `Estimate` of a run of many equal steps; `smaller` is what makes it fit.

    The generator work(settings, seconds) cuts a run short, see `sample_run.cut_short`, and yields
    a dict of "seconds" of the whole, "device" and "what" was measured.
    """
    (took,) = sample_run.measured(work, settings, SECONDS)
    there = None
    if took["device"] != "cpu":
        there = (took["device_peak"], device_available(took["device"]))
    room = memory.available()
    found = Estimate(took["peak"], took["seconds"], room, [took["what"]], there)
    return replace(found, advice=smaller) if found.fits is False else found
