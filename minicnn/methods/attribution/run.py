"""What a class or a unit owes to the pixels of a picture: the methods, with pictures and words."""

import numpy as np

from minicnn.backend import array_module, seeded_rng, to_device, to_host
from minicnn.methods.attribution.grad_cam import enlarged_evenly, grad_cam, guided_grad_cam
from minicnn.methods.attribution.integrated import (
    TOLERANCE,
    complete,
    gradient_times_input,
    integrated_gradients,
    steps_for,
)
from minicnn.methods.attribution.noisy import noisy_moments, smooth_squared, vargrad
from minicnn.methods.attribution.target import Target, at_maximum, value_and_gradient
from minicnn.methods.classes.saliency import magnitude
from minicnn.methods.classes.scores import last_map_layer, scores_layer, short, told, wanted_or_top
from minicnn.methods.deconvnet.projection import read_position
from minicnn.pictures.arrays import grey_level, per_pixel, preprocess
from minicnn.pictures.lettering import Scale
from minicnn.pictures.overlays import heat, over, peak
from minicnn.pictures.sheets import greys, signed_to_uint8
from minicnn.runs.look_run import Look, LookJob, open_look

NOISY = {"smooth-squared": smooth_squared, "vargrad": vargrad}
SHARES = ("gradient-input", "integrated")  # these add up to a score
SIGNED = "Signed: the same of each colour, grey is zero. Last: the map on the picture."
GRADIENT = f"Map: how much the score changes per grey level, the largest of the colours. {SIGNED}"
SHARED = f"Map: the share of the score, over the colours, without its sign. {SIGNED}"
COLUMNS = {
    "gradient": GRADIENT,
    **dict.fromkeys(SHARES, SHARED),
    **dict.fromkeys(NOISY, f"Map: of the gradients of noisy copies, squared. {SIGNED}"),
    "grad-cam": "Map: the layer's maps, weighed by their mean gradients; last: it on the picture.",
    "guided-grad-cam": f"Map: the guided gradient times Grad-CAM. {SIGNED}",
}


def open_job(settings, files=None):
    """Return the `AttributionJob` of checked settings; raises `MinicnnError` if it would fail."""
    job = open_look(settings, AttributionJob, files)
    if settings.layer is None:
        scores_layer(job.net, job.x.shape[2:])
    return job


class AttributionJob(LookJob):
    """A picture, a network, and a class or a unit."""

    verb = "attribute"

    @property
    def what(self):
        """The method, for titles."""
        return self.settings.method

    @property
    def steps(self):
        """Points of the path, or noisy copies."""
        s = self.settings
        return {"integrated": s.steps, **dict.fromkeys(NOISY, s.samples)}.get(s.method, 1)

    def run(self, progress=None):
        """Return the `Look`."""
        s = self.settings
        target, found = self._target()
        found |= {"method": s.method}
        if s.method == "grad-cam":
            found["maps"] = self._maps()
            L = to_host(grad_cam(self.evaluator, self.x, target, found["maps"]))
            signed, m = None, enlarged_evenly(L.astype(np.float64), self.x.shape[2:])[0]
        else:
            a, power = self._attribution(target, found, progress)
            signed = per_pixel(a, self.net, power)
            m = np.abs(signed.sum(axis=-1)) if s.method in SHARES else magnitude(signed)
        return self._look(signed, m, found)

    def _target(self):
        """Return the `Target`, and what is told of it."""
        s, net = self.settings, self.net
        layer = s.layer or scores_layer(net, self.x.shape[2:])
        y = self.evaluator.forward(self.x, [layer], keep=False)[layer]
        if s.layer is None:
            scores = to_host(y)[0, :, 0, 0]
            index = wanted_or_top(net, scores, s.wanted_class)
            return Target(layer, np.array([index])), told(net, scores, index)
        where = read_position(s.position)
        target = at_maximum(y, layer, [s.unit])
        if where != "max":
            target = Target(layer, target.units, where if where == "all" else np.array([where]))
        value = float((y * target.seed(y)).sum(dtype="float64"))
        at = "all" if where == "all" else target.positions[0].tolist()
        place = {"layer": layer, "unit": s.unit, "position": at}
        return target, place | {"name": f"{layer} unit {s.unit}", "score": value}

    def _maps(self):
        """Return the layer whose maps are weighed; that of a unit has been told."""
        shape = self.x.shape[1:]
        return self.settings.maps or last_map_layer(
            self.net, scores_layer(self.net, shape[1:]), shape
        )

    def _attribution(self, target, found, progress):
        """Return the attribution, array like x, and the power of `per_pixel`; fill `found`."""
        s, x, evaluator = self.settings, self.x, self.evaluator
        if s.method == "gradient":
            return value_and_gradient(evaluator, x, target)[1], 1
        if s.method == "guided-grad-cam":
            found["maps"] = self._maps()
            return guided_grad_cam(evaluator, x, target, found["maps"]), 1
        if s.method in NOISY:
            noise = s.noise * float(np.ptp(self.picture)) * to_host(grey_level(self.net, x))
            options = {"samples": s.samples, "noise": noise, "rng": seeded_rng(s.seed)}
            moments = noisy_moments(evaluator, x, target, progress=progress, **options)
            return NOISY[s.method](*moments), 2
        x0 = self._baseline()
        if s.method == "gradient-input":
            return gradient_times_input(evaluator, x, x0, target), 0
        shares = complete(
            lambda steps: integrated_gradients(
                evaluator, x, x0, target, steps, progress if steps == s.steps else None
            ),
            s.steps,
        )
        found["completeness"] = {
            "sum": float(shares.sums[0]),
            "difference": float(shares.differences[0]),
            "error": shares.error,
            "steps": shares.steps,
            "enough": steps_for(shares),
        }
        return shares.shares, 0

    def _baseline(self):
        """Return the picture that counts as nothing, like x: the network's mean colour, or grey."""
        x0 = array_module(self.x).zeros_like(self.x)
        if self.settings.grey is not None:
            level = np.full((1, 1, 3), self.settings.grey, np.uint8)
            x0 += to_device(preprocess(level, self.net.attrs["preprocess"]), self.device)
        return x0

    def _look(self, signed, m, found):
        s, method = self.settings, self.settings.method
        brightest = peak(m, s.clip)
        shown = np.clip(m / brightest, 0, 1)
        grey, overlay = greys(shown), over(self.picture, shown)
        row, scales = {"picture": self.picture, method: grey}, {method: Scale(greys, 0, brightest)}
        arrays, picture = {"map": np.float32(m)}, grey
        found |= {"white": brightest}
        if signed is not None:
            found["scale"] = 127 / peak(signed, s.clip)
            colour = signed_to_uint8(signed, found["scale"])[0]
            row["signed"] = colour
            scales["signed"] = Scale(greys, -127 / found["scale"], 127 / found["scale"])
            arrays["attribution"] = np.float32(signed)
            picture = colour if s.signed else grey
        name = short(found["name"])
        row[name], scales[name] = overlay, Scale(heat, 0, brightest)
        notes = [] if m.any() else [f"nothing of {name} comes down to the picture"]
        text, more = _told(found)
        return Look(
            picture, overlay, row, arrays, found, text, notes + more, scales, COLUMNS[method]
        )


def _told(found):
    """Return a line on what was attributed, and notes."""
    text = f"{short(found['name'])}: score {found['score']:.4g}"
    if "probability" in found:
        text += f", probability {found['probability']:.2%}"
    if "maps" in found:
        text += f"; maps of {found['maps']}"
    if "completeness" not in found:
        return text, []
    sums = found["completeness"]
    text += (
        f"\nshares sum to {sums['sum']:.5g}, the score is {sums['difference']:.5g} above that of "
        f"the baseline: {sums['error']:.2%} off, with {sums['steps']} steps"
    )
    if sums["error"] <= TOLERANCE:
        return text, []
    return text, [
        f"the shares sum to the score within {sums['error']:.1%} only; "
        f"about {sums['enough']} steps would do for {TOLERANCE:.0%}"
    ]
