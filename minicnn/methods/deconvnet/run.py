"""What in a picture excites units of a layer: `projection` with settings, pictures and words."""

import numpy as np

from minicnn.backend import to_host
from minicnn.methods.deconvnet.projection import project, read_position, read_units, strongest
from minicnn.network.chosen_layers import pools_below
from minicnn.ops import unpool
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.lettering import Scale
from minicnn.pictures.overlays import (
    boxed,
    cut,
    heat,
    least_square,
    magnified,
    over,
    peak,
    strength,
)
from minicnn.pictures.sheets import greys, grid, labelled, signed_to_uint8
from minicnn.runs.look_run import Look, LookJob, open_look

GREY = 128
BATCH = 8  # units that go down together
RECONSTRUCTIONS = (
    "Reconstruction: what comes down from the unit, in grey levels of the picture; grey is zero."
)
VIEWS = (
    "Where: its magnitude on the picture; the frame is all that the unit sees. Patch: the part "
    "that nearly all of it comes from."
)


def open_job(settings, files=None):
    """Return the `DeconvJob` of checked settings; raises `MinicnnError` if it would fail."""
    return open_look(settings, DeconvJob, files)


class DeconvJob(LookJob):
    """A picture, a network, and which units of it are to be projected."""

    verb = "deconv"

    def run(self, progress=None):
        """Return the `Look`."""
        s = self.settings
        acts = s.forward(self.evaluator, self.x, [s.layer, *pools_below(self.net, [s.layer])])
        y, pools = acts[s.layer], pool_shares(acts, self.evaluator.switches())
        units = read_units(s.unit)
        units = strongest(y, units) if isinstance(units, int) else units
        deltas, found = [], []
        for first in range(0, len(units), BATCH):
            for delta, one in self._project(units[first : first + BATCH]):
                deltas.append(delta)
                found.append(one)
        return self._look(np.stack(deltas), found, pools, to_host(y)[0])

    def _project(self, units):
        """Yield (what comes down in grey levels, what is said of it) of each of some units."""
        s = self.settings
        where = read_position(s.position)
        if not isinstance(where, str):
            where = [where] * len(units)
        down = project(self.evaluator, self.x, s.layer, units, where, policy=s, start=s.start)
        dx, positions, values = map(to_host, (down.dx, down.positions, down.values))
        for i, unit in enumerate(units):
            at, box = "all", None
            if s.position != "all":
                at = positions[i].tolist()
                box = self.net.receptive_fields()[s.layer].box(*at)
            delta = as_pixels(dx[i : i + 1], self.net)
            clear_outside(delta, box)
            activation = float(values[i])
            yield delta, {"unit": unit, "position": at, "activation": activation, "box": box}

    def _look(self, deltas, found, pools, y):
        s, units = self.settings, [one["unit"] for one in found]
        values = [one["activation"] for one in found]
        scale = 127 / peak(deltas, s.clip)
        pictures = [signed_to_uint8(delta, scale)[0] for delta in deltas]
        heats = [over(self.picture, strength(delta, s.clip)) for delta in deltas]
        for i, one in enumerate(found):
            if one["box"]:
                heats[i] = boxed(heats[i], one["box"])
        titles = [
            f"{s.layer} unit {unit}: {value:.4g}" for unit, value in zip(units, values, strict=True)
        ]
        ends = f"Black is -{127 / scale:.4g}, white {127 / scale:.4g}."
        text = "\n".join([*(_line(s.layer, one) for one in found), *_shares_line(pools)])
        return Look(
            picture=self._together(pictures, titles, f"{RECONSTRUCTIONS} {ends}"),
            overlay=self._together(heats, titles, "Where each of them comes from."),
            row=self._row(found, deltas[0], dict(zip(titles, pictures, strict=True)), heats),
            scales={
                **dict.fromkeys(
                    ["reconstruction", *titles], Scale(greys, -127 / scale, 127 / scale)
                ),
                "where": Scale(heat, 0, peak(np.abs(deltas[0]).sum(axis=-1), s.clip)),
            },
            columns=f"{RECONSTRUCTIONS} {VIEWS if len(found) == 1 else ''}",
            arrays={
                "reconstruction": deltas.astype(np.float32),
                "activation": y[units],
                "unit": np.array(units),
                "value": np.array(values),
            },
            findings={
                "layer": s.layer,
                "units": found,
                "policy": s.choices(),
                "start": s.start,
                "scale": scale,
                "poolings": pools,
            },
            text=text,
            notes=_notes(found, deltas, s),
        )

    def _row(self, found, delta, pictures, heats):
        """Return {label: picture}: of one unit all views, of several the reconstructions alone.

        The patch is the least square of the field that holds nearly all of the reconstruction.
        """
        if len(found) > 1:
            return {"picture": self.picture, **pictures}
        (picture,) = pictures.values()
        row = {"picture": self.picture, "reconstruction": picture, "where": heats[0]}
        if found[0]["box"]:
            box = least_square((delta**2).sum(axis=-1))
            row["patch"] = cut(self.picture, box, GREY)
            row["patch reconstructed"] = cut(picture, box, GREY)
        return row

    def _together(self, pictures, titles, caption):
        """Return the picture of one unit, or a figure of several."""
        if len(pictures) == 1:
            return pictures[0]
        how = {"paper": self.settings.paper}
        cells = [
            labelled(magnified(p), title, **how) for p, title in zip(pictures, titles, strict=True)
        ]
        sheet = grid(cells, int(np.ceil(len(cells) ** 0.5)), gap=8, **how)
        return self.figure(sheet, caption)


def pool_shares(acts, switches):
    """Return what a policy decides about in every max pooling.

    Parameters
    ----------
    acts : dict, layer -> activation of the poolings, at least
    switches : dict, layer -> `maxpool2d.Cache`, as `Network.switches` returns

    Returns
    -------
    dict
        layer -> {"zero_windows": share of the windows whose maximum is 0, "shared_winners": share
        of those whose winner another window has too}
    """
    found = {}
    for name, cache in switches.items():
        y = acts[name]
        hits = unpool.unpool(y * 0 + 1, cache)
        found[name] = {
            "zero_windows": round(unpool.zero_windows(y) / y.size, 4),
            "shared_winners": round(float(hits[hits > 1].sum()) / y.size, 4),
        }
    return found


def clear_outside(delta, box):
    """Set what a unit cannot see to exactly 0: the fast convolution leaves rounding there."""
    if box:
        top, left, bottom, right = box
        delta[: max(0, top)] = delta[max(0, bottom) :] = 0
        delta[:, : max(0, left)] = delta[:, max(0, right) :] = 0


def _line(layer, one):
    where = "at all positions"
    if one["position"] != "all":
        where = "at row {}, column {}; it sees ".format(*one["position"])
        if one["box"]:
            top, left, bottom, right = one["box"]
            where += f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
        else:
            where += "everything"
    return f"{layer} unit {one['unit']}: activation {one['activation']:.4g} {where}"


def _shares_line(pools):
    """Return a line on what the policies had to decide, if there is any pooling on the way."""
    shares = [
        f"{name} {share['zero_windows']:.0%}, {share['shared_winners']:.0%}"
        for name, share in pools.items()
    ]
    return [f"windows of zeros, windows that share a winner: {'; '.join(shares)}"] if shares else []


def _notes(found, deltas, settings):
    silent, lost = [], []
    for one, delta in zip(found, deltas, strict=True):
        unit, value = one["unit"], one["activation"]
        if value == 0 and settings.start == "activation":
            silent.append(
                f"unit {unit} does not fire in this picture (activation {value:.4g} in the place "
                "looked at), so there is nothing to show; another unit does, or --start one"
            )
        elif not delta.any():
            lost.append(
                f"nothing of unit {unit} comes down to the picture by the rule {settings.rule}"
            )
    return silent + lost
