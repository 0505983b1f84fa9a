"""A run of `fool`: the change, the picture with another class, and what is said of them."""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.methods.attribution.fooling import fooled
from minicnn.methods.classes.scores import class_scores, find_class, scores_layer, short, told
from minicnn.pictures.arrays import preprocess
from minicnn.pictures.lettering import Scale
from minicnn.pictures.overlays import over, strength
from minicnn.pictures.sheets import greys, signed_to_uint8
from minicnn.runs.look_run import Look, LookJob, open_look


def open_job(settings, files=None):
    """Return the `FoolJob` of checked settings; raises `MinicnnError` if it would fail."""
    job = open_look(settings, FoolJob, files)
    scores_layer(job.net, job.x.shape[2:])
    return job


class FoolJob(LookJob):
    """A picture, a network, and perhaps the class to reach."""

    verb = "fool"

    def run(self, progress=None):
        """Return the `Look`."""
        s, net = self.settings, self.net
        layer = scores_layer(net, self.x.shape[2:])
        scores = class_scores(net, self.evaluator, self.x, layer)[0]
        c, goal = int(scores.argmax()), None
        if s.wanted_class is not None:
            goal = find_class(net, s.wanted_class, len(scores))
            if goal == c:
                raise MinicnnError(f"the picture is {told(net, scores, c)['name']} already")
        _, found = fooled(net, self.evaluator, self.picture, layer, goal, self.device)
        if found is None:
            raise MinicnnError("no change turned the class; take another --class, or none")
        x = preprocess(found, net.attrs["preprocess"]).astype(net.dtype, copy=False)
        after = class_scores(net, self.evaluator, x, layer)[0]
        change = found.astype(np.float64) - self.picture
        return self._look(found, change, told(net, scores, c), told(net, after, after.argmax()))

    def _look(self, found, change, before, after):
        rms, most = float(np.sqrt((change**2).mean())), int(np.abs(change).max())
        shown, scale = signed_to_uint8(change)
        overlay = over(self.picture, strength(change, 0.005))
        before, after = ({**one, "class": int(one["class"])} for one in (before, after))
        names = [f"{short(one['name'])}, {one['probability']:.1%}" for one in (before, after)]
        if names[0] == names[1]:
            names = [
                f"{name} ({what})" for name, what in zip(names, ("before", "after"), strict=True)
            ]
        row = {names[0]: self.picture, names[1]: found, "change": shown}
        text = (
            f"{short(before['name'])} {before['probability']:.2%} -> {short(after['name'])} "
            f"{after['probability']:.2%}, by {rms:.3g} grey levels rms, {most} at most"
        )
        findings = {"before": before, "after": after, "rms": rms, "largest": most, "scale": scale}
        return Look(
            picture=found,
            overlay=overlay,
            row=row,
            arrays={"change": np.float32(change)},
            findings=findings,
            text=text,
            scales={"change": Scale(greys, -127 / scale, 127 / scale)},
            columns="The picture, the changed picture, and the change in grey levels.",
            is_view=False,
        )
