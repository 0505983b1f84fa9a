"""What in a picture excites units of a layer: `projection` with settings, pictures and words."""

import numpy as np

from minicnn.backend import to_host
from minicnn.methods.deconvnet.projection import pools_below, project, strongest
from minicnn.methods.deconvnet.settings import read_position, read_units
from minicnn.methods.deconvnet.switch_statistics import pool_shares, shares_line
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.overlays import boxed, cut, magnified, over, peak, strength
from minicnn.pictures.sheets import grid, labelled, signed_to_uint8
from minicnn.runs.look_run import Look, LookJob, open_look

GREY = 128
BATCH = 8  # units that go down together


def open_job(settings, files=None):
    """Return the `DeconvJob` of checked settings; raises `MinicnnError` if it would fail."""
    return open_look(settings, DeconvJob, files)


class DeconvJob(LookJob):
    """A picture, a network, and which units of it are to be projected."""

    verb = "deconv"

    def run(self, progress=None):
        """Return the `Look`."""
        s = self.settings
        taps = [s.layer, *pools_below(self.net, [s.layer])]
        acts = s.policy.forward(self.evaluator, self.x, taps)
        y, pools = acts[s.layer], pool_shares(acts, self.evaluator.switches())
        units = read_units(s.unit)
        units = strongest(y, units) if isinstance(units, int) else units
        position = read_position(s.position)
        if not isinstance(position, str):
            position = [position]
        parts = [self._project(units[i : i + BATCH], position) for i in range(0, len(units), BATCH)]
        dx, positions, values = (
            np.concatenate([to_host(part[i]) for part in parts]) for i in (0, 2, 3)
        )
        deltas = np.stack([as_pixels(one[np.newaxis], self.net) for one in dx])
        everywhere = s.position == "all"
        found = [
            self._describe(*one, everywhere) for one in zip(units, positions, values, strict=True)
        ]
        for delta, one in zip(deltas, found, strict=True):
            _clear_outside(delta, one["box"])
        scale = 127 / peak(deltas, s.clip)
        return self._look(deltas, found, scale, pools, to_host(y)[0])

    def _project(self, units, position):
        s = self.settings
        if not isinstance(position, str):
            position = position * len(units)
        return project(
            self.evaluator, self.x, s.layer, units, position, policy=s.policy, start=s.start
        )

    def _describe(self, unit, position, value, everywhere):
        box = None
        if not everywhere:
            box = self.net.receptive_fields()[self.settings.layer].box(*map(int, position))
        return {
            "unit": int(unit),
            "position": "all" if everywhere else [int(i) for i in position],
            "activation": float(value),
            "box": box,
        }

    def _look(self, deltas, found, scale, pools, y):
        s = self.settings
        pictures = [signed_to_uint8(delta, scale)[0] for delta in deltas]
        heats = [over(self.picture, strength(delta, s.clip)) for delta in deltas]
        heats = [
            boxed(heat, one["box"]) if one["box"] else heat
            for heat, one in zip(heats, found, strict=True)
        ]
        titles = [f"{s.layer} unit {one['unit']}: {one['activation']:.4g}" for one in found]
        findings = {
            "layer": s.layer,
            "units": found,
            "policy": s.policy.metadata(),
            "start": s.start,
            "scale": scale,
            "poolings": pools,
        }
        arrays = {
            "reconstruction": deltas.astype(np.float32),
            "activation": y[[one["unit"] for one in found]],
            "unit": np.array([one["unit"] for one in found]),
            "value": np.array([one["activation"] for one in found]),
        }
        return Look(
            picture=_together(pictures, titles),
            overlay=_together(heats, titles),
            row=self._row(found, pictures, heats),
            arrays=arrays,
            findings=findings,
            text="\n".join([*(_line(s.layer, one) for one in found), *shares_line(pools)]),
            notes=_notes(found, deltas, s),
        )

    def _row(self, found, pictures, heats):
        """Return {label: picture}: of one unit all views, of several the reconstructions alone."""
        if len(found) > 1:
            many = {f"unit {one['unit']}": p for one, p in zip(found, pictures, strict=True)}
            return {"picture": self.picture, **many}
        row = {"picture": self.picture, "reconstruction": pictures[0], "where": heats[0]}
        box = found[0]["box"]
        if box and (box[2] - box[0], box[3] - box[1]) < self.picture.shape[:2]:
            row["patch"] = cut(self.picture, box, GREY)
            row["patch reconstructed"] = cut(pictures[0], box, GREY)
        return row


def _clear_outside(delta, box):
    """Set what the unit cannot see to exactly 0: the fast convolution leaves rounding there."""
    if box:
        top, left, bottom, right = box
        delta[: max(0, top)] = delta[max(0, bottom) :] = 0
        delta[:, : max(0, left)] = delta[:, max(0, right) :] = 0


def _together(pictures, titles):
    if len(pictures) == 1:
        return pictures[0]
    cells = [labelled(magnified(p), title) for p, title in zip(pictures, titles, strict=True)]
    return grid(cells, int(np.ceil(len(cells) ** 0.5)), gap=8)


def _line(layer, one):
    where = "at all positions"
    if one["box"]:
        top, left, bottom, right = one["box"]
        where = (
            f"at row {one['position'][0]}, column {one['position'][1]}; it sees rows {top} to "
            f"{bottom - 1}, columns {left} to {right - 1}"
        )
    elif one["position"] != "all":
        where = f"at row {one['position'][0]}, column {one['position'][1]}; it sees everything"
    return f"{layer} unit {one['unit']}: activation {one['activation']:.4g} {where}"


def _notes(found, deltas, settings):
    notes = [
        f"unit {one['unit']} does not fire in this picture (activation {one['activation']:.4g} in "
        "the place looked at), so there is nothing to show; another unit does, or --start one"
        for one in found
        if one["activation"] == 0 and settings.start == "activation"
    ]
    notes += [
        f"nothing of unit {one['unit']} comes down to the picture by the rule {settings.rule}"
        for one, delta in zip(found, deltas, strict=True)
        if not delta.any() and not (one["activation"] == 0 and settings.start == "activation")
    ]
    return notes
