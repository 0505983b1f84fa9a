"""How much memory and time a run will take on this machine, before it starts.

Nothing here knows how the network computes. Short runs of the real thing, each in a process of its
own (`sample_run`), tell what pictures of several small sizes take; the straight line through them
goes on to the wanted size:

    peak(P) = a + b·P        seconds of an evaluation (P) = c + d·P        P pixels of the picture

by least squares of the relative errors, with no term negative. The shares of the pixels fixed by
the settings (the size of the style, of the source) are those of the wanted picture. Where the
wanted picture is small enough, it is itself measured.

The L-BFGS methods fill their memory pair by pair; what a short run has not filled yet is added.
A picture in tiles works on more pixels than it has: those of the halos count in the time.
"""

import math
from dataclasses import asdict, dataclass, replace

import numpy as np

from minicnn.methods.texture import loss
from minicnn.runs.estimate import gpu_memory, host_memory, pixel_work, sample_run, sample_sizes

SECONDS = 8.0  # that all short runs may take, about
# evaluations, as benchmarks/lbfgs.py has it; one more at the start
PER_ITERATION = {"lbfgs": 1.04, "lbfgs-device": 1.03}
PAIR = {"lbfgs": 2 * 8, "lbfgs-device": 2 * 4}  # bytes of a pair for each number in the picture
VECTORS = 120  # bytes of the optimizer's other vectors and of the pictures, likewise
TILES = (1024, 512, 256, 128)  # sides that are advised
SPARE = 0.9  # share of the available memory that a run is allowed


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    peak : float, bytes of memory of the process
    seconds : float
    available : int, bytes that there are now, or None
    measured : list of str, what the short runs were
    fits : bool, or None if what is available is unknown
    advice : str, what would fit, or ""
    there : (float, int), bytes of the device's memory that it takes and that it can have, or None
    """

    peak: float
    seconds: float
    available: int | None
    measured: list
    advice: str = ""
    there: tuple | None = None

    @property
    def fits(self):
        """Whether the memory suffices."""
        if self.there is not None and self.there[0] > SPARE * self.there[1]:
            return False
        return None if self.available is None else self.peak <= SPARE * self.available


def picture(settings, files=None, patience=None):
    """Estimate the run of a verb that searches for a picture.

    Parameters
    ----------
    settings : of style, texture, invert or class-model
    files : dict, optional
        See `jobs`.
    patience : float, optional
        Seconds that a short run may take; see `sample_run.sample`.

    Returns
    -------
    Estimate

    Raises
    ------
    MinicnnError
        If the settings are unfit.
    """
    return pictures([settings], files, patience)


def pictures(many, files=None, patience=None):
    """Estimate several such runs, one after another; those of equal cost are measured once."""
    available = host_memory.available()
    kinds = {}
    for part in (part for settings in many for part in _parts(settings)):
        kinds.setdefault(_cost(part), []).append(part)
    found = [_one(part, files, available, len(kinds), patience) for part, *_ in kinds.values()]
    worst = max(found, key=lambda estimate: estimate.peak)
    counts = map(len, kinds.values())
    return replace(worst, seconds=sum(n * e.seconds for n, e in zip(counts, found, strict=True)))


def _cost(settings):
    """Return what decides how long a run takes: of a weight only whether it is 0."""
    values = {**asdict(settings), **dict.fromkeys(("seed", "noise_ratio", "learning_rate"))}
    return repr(
        {
            name: value != 0 if name.endswith("_weight") and value is not None else value
            for name, value in values.items()
        }
    )


def _parts(settings):
    """Return the settings of the single runs that an inversion or a sweep is made of."""
    layers = getattr(settings, "layers", None)
    if isinstance(layers, list) and len(layers) > 1:
        return [replace(settings, layers=[layer]) for layer in layers]
    if not getattr(settings, "sweep", False):
        return [settings]
    layers = settings.prepare().settings.layers
    rows = loss.steps_of_sweep(layers)
    return [
        replace(settings, sweep=False, sources=[source], layers=row)
        for row in rows
        for source in settings.sources
    ]


def _one(settings, files, available, parts, patience):
    """Estimate a run on one set of layers, of so many."""
    job = settings.prepare(files)
    verb, s, pairs = job.verb, job.settings, _pairs(job)
    device, stages = job.device, pixel_work.stages(job)
    worked, largest = pixel_work.worked(job), pixel_work.largest_crop(job)
    del job
    samples = sample_sizes.measure(verb, s, stages, SECONDS / parts, patience)
    shape = stages[-1][1]
    pixels = math.prod(shape)
    areas = [sample["pixels"] for sample in samples]
    pace = _line([worked(*x["shape"]) for x in samples], [x["seconds"] for x in samples])
    peak = _line(areas, [x["peak"] + _unfilled(x, s, pairs) for x in samples])
    optimizer = getattr(s, "optimizer", "lbfgs")
    at_start, per = (optimizer in PER_ITERATION), PER_ITERATION.get(optimizer, 1.0)
    evaluations = getattr(s, "evaluations", None) or math.inf
    seconds = _line(areas, [sample["setup"] for sample in samples])(pixels)
    for iterations, shape in stages:
        seconds += min(at_start + iterations * per, evaluations) * pace(worked(*shape))
    found = Estimate(peak(pixels), seconds, available, list(map(_named, samples)))
    limits = [(peak, available)] if available is not None else []
    if device != "cpu":
        there = (_line(areas, [x["device_peak"] for x in samples]), gpu_memory.room(device))
        found = replace(found, there=(there[0](pixels), there[1]))
        limits.append(there)
    if found.fits is not False:
        return found

    def share(pixels):
        return max(line(pixels) / room for line, room in limits)

    fitting = [_fitting_size(s, SPARE, share, pixels)]
    held = 3 * (pairs * PAIR.get(getattr(s, "optimizer", "lbfgs"), 0) + VECTORS)
    for tile in TILES if largest and device == "cpu" else ():
        crop = largest(tile, shape)
        if crop < pixels and peak(crop) + held * (pixels - crop) <= SPARE * available:
            fitting.append(f"--tile {tile}")
            break
    fitting = [option for option in fitting if option]
    return replace(found, advice=f"{' or '.join(fitting) or 'no size'} would fit")


def _pairs(job):
    """Return how many pairs the L-BFGS methods remember."""
    if job.verb == "texture":
        return loss.MEMORY
    return getattr(job, "search_options", dict)().get("pairs", 10)


def repeated(verb, settings):
    """Estimate a run of many equal steps: train or features.

    Parameters
    ----------
    settings : dataclass, of the verb

    Returns
    -------
    Estimate
    """
    available = host_memory.available()
    took = sample_run.sample(verb, settings)
    if verb == "train":
        looks = math.ceil(settings.epochs / settings.validate_every)
        seconds = took["setup"] + took["seconds"] * took["steps"] + took["looked"] * looks
        what = f"{sample_run.STEPS} steps of {took['steps']}"
    else:
        seconds = took["setup"] + took["seconds"] * took["steps"]
        what = f"{took['scanned']} pictures of {took['steps']}; drawing the sheets comes on top"
    found = Estimate(took["peak"], seconds, available, [what])
    if took.get("device"):
        there = (took["device_peak"], gpu_memory.room(took["device"]))
        found = replace(found, there=there)
    smaller = "use a smaller --group and --batch" if verb == "train" else "use a smaller --batch"
    return replace(found, advice=smaller) if found.fits is False else found


def _unfilled(sample, settings, pairs):
    """Return the bytes of the pairs that the short run has not come to remember."""
    missing = max(0, min(pairs, settings.iterations) - sample["iterations"])
    return missing * PAIR.get(getattr(settings, "optimizer", "lbfgs"), 0) * 3 * sample["pixels"]


def _line(x, y):
    """Return the line y = a + b·x that is nearest by relative errors, a and b not negative."""
    from scipy.optimize import nnls

    x, y = np.array(x, float), np.maximum(y, 1e-9)
    (a, b), _ = nnls(np.stack([np.ones_like(x), x], axis=1) / y[:, None], np.ones_like(y))
    if len(x) == 1:
        a, b = 0.0, y[0] / x[0]
    a, b = float(a), float(b)
    return lambda pixels: a + b * pixels


def _named(sample):
    return f"{sample['pixels']} pixels, {sample['seconds']:.3g} s an evaluation"


def _fitting_size(settings, room, peak, pixels):
    """Return the option with the largest size that fits into `room` bytes, None if none does."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if peak(middle**2 * pixels) <= room else (low, middle)
    for name, option in (("size", "--size"), ("width", "--size"), ("source_size", "--source-size")):
        side = getattr(settings, name, None)
        if side and int(side * low) > 0:
            height = f"x{int(settings.height * low)}" if name == "width" else ""
            return f"{option} {int(side * low)}{height}"
    return None
