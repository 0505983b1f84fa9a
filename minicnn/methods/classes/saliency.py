"""Which pixels decide the score of a class.

    w = dS_c / dI at the picture                 S_c: the score of class c before softmax
    M[i,j] = max over the colours of |w[i,j]|    the map, the largest magnitude, not the sum

Simonyan et al. 2013, arXiv 1312.6034, section 3. w is taken per grey level of the picture. With the
rules `guided` (Springenberg et al. 2014, arXiv 1412.6806) and `deconvnet` it is no gradient.

A single gradient is noisy. Two averages are offered:

    shifts   the mean of the maps of the picture moved by a few pixels, each moved back; as the
             paper averages over cropped pictures
    noise    the mean of w for the picture plus noise: SmoothGrad, Smilkov et al. 2017,
             arXiv 1706.03825; M is taken of the mean
"""

import numpy as np

from minicnn.backend import array_module, seeded_rng, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.classes.scores import class_scores, scores_layer, short, told, wanted_or_top
from minicnn.methods.deconvnet.projection import Policy
from minicnn.pictures.arrays import as_pixels, per_pixel
from minicnn.pictures.lettering import Scale
from minicnn.pictures.overlays import heat, over, peak
from minicnn.pictures.sheets import greys, signed_to_uint8
from minicnn.runs.look_run import Look, LookJob, open_look

BATCH = 8  # copies that go up and down together


def open_job(settings, files=None):
    """Return the `SaliencyJob` of checked settings; raises `MinicnnError` if it would fail."""
    job = open_look(settings, SaliencyJob, files)
    scores_layer(job.net, job.x.shape[2:])
    return job


class SaliencyJob(LookJob):
    """A picture, a network and a class."""

    verb = "saliency"

    @property
    def steps(self):
        """Samples of the average."""
        return self.settings.samples if self.settings.average != "none" else 1

    def run(self, progress=None):
        """Return the `Look`."""
        s, net = self.settings, self.net
        layer = scores_layer(net, self.x.shape[2:])
        scores = class_scores(net, self.evaluator, self.x, layer)[0]
        index = wanted_or_top(net, scores, s.wanted_class)
        w, m = averaged(
            lambda x: class_gradient(self.evaluator, x, layer, index, s.rule),
            self.x,
            s.average,
            samples=s.samples,
            shift=s.shift,
            noise=self._noise(),
            rng=seeded_rng(s.seed),
            magnitude=lambda dx: magnitude(per_pixel(dx, net)),
            progress=progress,
        )
        return self._look(per_pixel(w, net), m, scores, told(net, scores, index))

    def _noise(self):
        """Return the standard deviation of the noise in the units of the network's input."""
        s, picture = self.settings, self.picture.astype(np.float64)
        unit = as_pixels(np.ones((1, 3, 1, 1)), self.net)[0, 0]  # grey levels per unit
        order = -1 if self.net.attrs["preprocess"]["channel_order"] == "BGR" else 1
        return s.noise * (picture.max() - picture.min()) / unit[::order]

    def _look(self, w, m, scores, found):
        s, name = self.settings, short(found["name"])
        brightest = peak(m, s.clip)
        shown = np.clip(m / brightest, 0, 1)
        grey = greys(shown)
        scale = 127 / peak(w, s.clip)
        colour = signed_to_uint8(w, scale)[0]
        overlay = over(self.picture, shown)
        notes = []
        if not m.any():
            notes.append(
                f"the score of {name}, {found['score']:.4g}, changes with no pixel: it lies where "
                "a ReLU is 0; take another class"
                if s.rule == "gradient"
                else f"nothing of {name} comes down to the picture by the rule {s.rule}: on "
                "the way some ReLU gets negative values alone; take another rule, or deconv"
            )
        text = f"{name} ({found['class']}): score {found['score']:.4g}, "
        text += f"probability {found['probability']:.2%}"
        best = found["top"][0]
        if best["class"] != found["class"]:
            text += f"; most probable is {short(best['name'])}"
        shown_as = {"rule": s.rule, "average": s.average, "white": brightest, "scale": scale}
        return Look(
            picture=colour if s.signed else grey,
            overlay=overlay,
            row={"picture": self.picture, "map": grey, "signed": colour, name: overlay},
            scales={
                "map": Scale(greys, 0, brightest),
                "signed": Scale(greys, -127 / scale, 127 / scale),
                name: Scale(heat, 0, brightest),
            },
            arrays={"gradient": np.float32(w), "map": np.float32(m), "scores": scores},
            findings=found | shown_as,
            text=text,
            notes=notes,
            columns="Map: how much the score changes per grey level of a pixel, the largest of the "
            "colours. Signed: the same of each colour, grey is zero. Last: the map on the picture.",
        )


def class_gradient(evaluator, x, layer, index, rule="gradient"):
    """Return dS_c / dx of pictures x (N, 3, H, W), or what another rule makes of it.

    `layer` has the scores (N, K, 1, 1); `rule` is a row of `ops.relu.RULES`.
    """
    policy = Policy(rule=rule)
    y = policy.forward(evaluator, x, [layer])[layer]
    if not 0 <= index < y.shape[1]:
        raise MinicnnError(f"no class {index}; use 0 to {y.shape[1] - 1}")
    seed = array_module(y).zeros_like(y)
    seed[:, index] = 1
    return policy.backward(evaluator, {layer: seed})


def magnitude(w):
    """Return the largest magnitude over the colours of w (H, W, 3) as a map (H, W)."""
    return np.abs(w).max(axis=-1)


def averaged(gradient, x, average, *, samples, shift, noise, rng, magnitude, progress=None):
    """Average a gradient over moved or noisy copies of a picture.

    Parameters
    ----------
    gradient : callable, x (N, 3, H, W) -> array like x
    x : array (1, 3, H, W)
    average : str, of `settings.AVERAGES`
    samples : int
    shift : int
        The first copy is not moved; the others by up to so many pixels, edges repeated.
    noise : float or (3,)
        Standard deviation in the units of x, for each channel.
    rng : numpy.random.Generator
    magnitude : callable, w (1, 3, H, W) -> map (H, W)
    progress : callable, optional
        Called with the number of samples done.

    Returns
    -------
    w : array (1, 3, H, W), the mean gradient
    m : array (H, W)
        The map of it; with "shifts" the mean of the maps.
    """
    if average == "none":
        w = to_host(gradient(x))
        return w, magnitude(w)
    host = to_host(x)
    steps = rng.integers(-shift, shift + 1, (samples, 2))
    steps[0] = 0
    total, maps = np.zeros(host.shape, np.float64), np.zeros(host.shape[2:])
    for start in range(0, samples, BATCH):
        now = steps[start : start + BATCH]
        if average == "shifts":
            copies = np.concatenate([moved(host, step) for step in now])
        else:
            copies = np.repeat(host, len(now), axis=0)
            spread = np.reshape(np.broadcast_to(noise, 3), (1, 3, 1, 1))
            copies = copies + (spread * rng.standard_normal(copies.shape)).astype(host.dtype)
        for w, step in zip(to_host(gradient(array_module(x).asarray(copies))), now, strict=True):
            w = w[np.newaxis]
            w = moved_back(w, step) if average == "shifts" else w
            total += w
            maps += magnitude(w)
        if progress:
            progress(min(start + BATCH, samples))
    w = total / samples
    return w, maps / samples if average == "shifts" else magnitude(w)


def moved(x, step):
    """Move pictures (N, C, H, W) down and to the right by `step` = (rows, columns).

    What comes in is the repeated edge.
    """
    pad = [(abs(int(s)),) * 2 for s in step]
    wide = np.pad(x, ((0, 0), (0, 0), *pad), mode="edge")
    return wide[(..., *(_window(s, x.shape[2 + i]) for i, s in enumerate(step)))]


def moved_back(w, step):
    """Move gradients (N, C, H, W) up and to the left by `step`; what comes in is 0."""
    pad = [(abs(int(s)),) * 2 for s in step]
    wide = np.pad(w, ((0, 0), (0, 0), *pad))
    return wide[(..., *(_window(-s, w.shape[2 + i]) for i, s in enumerate(step)))]


def _window(step, size):
    first = abs(int(step)) - int(step)
    return slice(first, first + size)
