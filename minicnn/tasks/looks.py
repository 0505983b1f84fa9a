"""What the verbs share that look at one picture: its settings, the network, what comes out.

settings.prepare(files)   a `LookJob`: the picture cut to the network's size, preprocessed
job.run(progress)         a `Look`: pictures, raw arrays, findings in words and numbers
"""

from dataclasses import dataclass, field

import numpy as np

from minicnn.backend import to_device, to_host
from minicnn.datasets import centre
from minicnn.errors import MinicnnError
from minicnn.images import deprocess, fit, preprocess, resize
from minicnn.tasks import checks, jobs, opening
from minicnn.tasks.networks import OWN
from minicnn.tasks.walks import walk_of

FITS = ("crop", "stretch", "whole")
LARGEST = 4096


@dataclass(frozen=True, kw_only=True)
class LookSettings(opening.Settings):
    """The settings that all these verbs have.

    Attributes
    ----------
    image : str, picture file
    size : int, pixels; by default the side that the network was made for
    fit : how the picture comes to that size: "crop" scales its short side and cuts the centre out,
        "stretch" makes it square without cutting, "whole" scales its long side
    """

    image: str
    size: int | None = None
    fit: str = "crop"

    def inputs(self):
        """Return {role: picture file}."""
        return {"image": self.image}


@dataclass(frozen=True)
class LookJob(jobs.Job):
    """Checked settings, and what they stand for.

    Attributes
    ----------
    walk : what walks the network
    picture : uint8 (H, W, 3), as the network sees it; None where there is none
    x : float32 (1, 3, H, W), the same preprocessed, on the device
    """

    settings: LookSettings
    net: object
    walk: object
    picture: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    notes: list
    inputs: dict
    device: str = "cpu"

    @property
    def steps(self):
        """Parts of the work that `progress` counts."""
        return 1


@dataclass
class Look:
    """What a look has found.

    Attributes
    ----------
    picture : uint8 (H, W, 3), the main picture
    overlay : uint8 (H, W, 3), the finding on the picture looked at
    row : dict, label -> picture, what `--sheet` puts side by side
    arrays : dict, name -> array, the raw numbers for `--npz`
    findings : dict, plain values for `--json` and the metadata
    text : str, the same for people, in a line or a few
    notes : list of str, what to be aware of
    """

    picture: np.ndarray
    overlay: np.ndarray
    row: dict
    arrays: dict
    findings: dict
    text: str
    notes: list = field(default_factory=list)


def prepare(settings, kind, files=None):
    """Return the job (of class `kind`, a `LookJob`) of `LookSettings`.

    Raises
    ------
    MinicnnError
        For whatever would make it fail, in one line.
    """
    checks.one_of([(settings.fit, FITS, "fit")])
    opened, walk = open_network(settings, files)
    net, reader, device = opened.net, opened.reader, opened.device
    rgb = fitted(opened.pictures["image"], settings.size or net.input_shape[1], settings.fit)
    x = to_device(preprocess(rgb, net.attrs["preprocess"]), device)
    x = x.astype(net.dtype, copy=False)
    return kind(settings, net, walk, rgb, x, reader.notes, reader.inputs, device)


def open_network(settings, files=None):
    """Return (`opening.Opened`, walk) of settings, which are checked as far as verbs share them."""
    settings.check()
    checks.counts(settings, {"size": LARGEST})
    opened = opening.open_all(settings, files, pool=OWN)
    return opened, walk_of(opened.net, settings.engine, settings.threads)


def fitted(rgb, size, how):
    """Return a picture at `size` pixels, see `LookSettings.fit`."""
    if how == "crop":
        return np.ascontiguousarray(centre(rgb, size))
    return resize(rgb, (size, size)) if how == "stretch" else fit(rgb, size)


def as_pixels(dx, net):
    """Return a change of the network's input as a change of the picture.

        dp = dx std / scale

    Parameters
    ----------
    dx : array (1, 3, H, W)

    Returns
    -------
    float64 (H, W, 3), RGB, grey levels; zero stays exactly zero
    """
    return deprocess(to_host(dx), {**net.attrs["preprocess"], "mean": (0.0, 0.0, 0.0)})


def per_pixel(dx, net):
    """Return a derivative with respect to the network's input as one by the picture's grey levels.

        dS/dp = dS/dx scale / std

    Parameters
    ----------
    dx : array (1, 3, H, W)

    Returns
    -------
    float64 (H, W, 3), RGB; zero stays exactly zero
    """
    attrs = net.attrs["preprocess"]
    inverse = {
        "channel_order": attrs["channel_order"],
        "mean": (0.0, 0.0, 0.0),
        "std": [1 / s for s in attrs.get("std", (1.0, 1.0, 1.0))],
        "scale": 1 / attrs.get("scale", 1.0),
    }
    return deprocess(to_host(dx), inverse)


def peak(values, clip):
    """Return the size that is shown as the brightest.

    Parameters
    ----------
    values : array
        Their magnitudes count, those of zeros do not: what is sparse is not all clipped.
    clip : float
        The share, from 0 to below 1, of what is not 0 that may be larger; 0 takes the largest.

    Returns
    -------
    float
        1 where all are 0.
    """
    if not 0 <= clip < 1:
        raise MinicnnError(f"clip = {clip}; use a share from 0 to below 1, such as 0.005")
    sizes = np.abs(values)[values != 0]
    return float(np.quantile(sizes, 1 - clip)) if sizes.size else 1.0
