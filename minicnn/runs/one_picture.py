"""What the verbs share that look at one picture: its settings, the network, what comes out.

settings.prepare(files)   a `LookJob`: the picture cut to the network's size, preprocessed
job.run(progress)         a `Look`: pictures, raw arrays, findings in words and numbers
"""

from dataclasses import dataclass, field

import numpy as np

from minicnn.backend import to_device
from minicnn.data.datasets import centre
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.pictures.arrays import fit, preprocess, resize
from minicnn.runs import checks, job
from minicnn.runs import inputs as runs_inputs
from minicnn.runs import settings as runs_settings
from minicnn.runs.inputs import OWN

FITS = ("crop", "stretch", "whole")
LARGEST = 4096


@dataclass(frozen=True, kw_only=True)
class LookSettings(runs_settings.Settings):
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
class LookJob(job.Job):
    """Checked settings, and what they stand for.

    Attributes
    ----------
    evaluator : what evaluates the network
    picture : uint8 (H, W, 3), as the network sees it; None where there is none
    x : float32 (1, 3, H, W), the same preprocessed, on the device
    """

    settings: LookSettings
    net: object
    evaluator: object
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
    opened, evaluator = open_network(settings, files)
    net, reader, device = opened.net, opened.reader, opened.device
    rgb = fitted(opened.pictures["image"], settings.size or net.input_shape[1], settings.fit)
    x = to_device(preprocess(rgb, net.attrs["preprocess"]), device)
    x = x.astype(net.dtype, copy=False)
    return kind(settings, net, evaluator, rgb, x, reader.notes, reader.inputs, device)


def open_network(settings, files=None):
    """Return (`inputs.Opened`, evaluator) of settings, checked as far as verbs share them."""
    settings.check()
    checks.counts(settings, {"size": LARGEST})
    opened = runs_inputs.open_all(settings, files, pool=OWN)
    return opened, evaluator_of(opened.net, Evaluation(settings.engine, settings.threads))


def fitted(rgb, size, how):
    """Return a picture at `size` pixels, see `LookSettings.fit`."""
    if how == "crop":
        return np.ascontiguousarray(centre(rgb, size))
    return resize(rgb, (size, size)) if how == "stretch" else fit(rgb, size)
