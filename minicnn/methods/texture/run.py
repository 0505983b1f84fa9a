"""From the settings of a texture synthesis to its picture: one texture, or the sheet of a sweep.

`loss` has the formula of what is minimised, J. x starts as white noise and is changed until J is
small, every pixel kept between the least and the largest of the source. Texture and source are
halved some times first: what is larger than a unit sees is put together there, and each size starts
where the one before has ended.

A sweep is figure 12 of the lecture notes: rows of textures from more and more layers, a column for
each source, and the sources themselves in the last row.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from minicnn.backend import to_device
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.methods import network_defaults
from minicnn.methods.texture.loss import texture_objective
from minicnn.methods.texture.settings import SOURCE_SIZE, resolve, used, with_layers
from minicnn.network.folding import fold_batch_norm, normalize_activations
from minicnn.network.grey_input import grey_first
from minicnn.network.layers import BatchNorm2d
from minicnn.network.replicate_edges import replicate_first
from minicnn.ops import conv2d
from minicnn.optimizers.trace import summary
from minicnn.pictures.arrays import fit, grey_level, preprocess, resampled, to_uint8
from minicnn.pictures.colours import grey
from minicnn.pictures.histograms import match_histogram
from minicnn.pictures.sheets import grid, labelled
from minicnn.runs.inputs import PAINTER, check_size, noise, open_all, tones
from minicnn.runs.search import (
    Outcome,
    SearchJob,
    from_small_to_large,
    halved_side,
    run_all,
    search,
)


def open_job(settings, files=None):
    """Return the `TextureJob` of checked settings; raises `MinicnnError` if it would fail."""
    opened = open_all(settings, files, pool="average", default=PAINTER)
    reader, read, net, device = opened
    padding = "zero" if settings.seamless else network_defaults.padding(net.attrs["name"])
    size = min(SOURCE_SIZE, max(max(rgb.shape[:2]) for rgb in read.values()))
    settings = settings.filled({"padding": padding, "source_size": size})
    net = replicate_first(net) if settings.padding == "replicate" else net
    settings = with_layers(settings, net)
    for role, rgb in read.items():
        check_size(
            reader.path(role), rgb, net, used(settings), settings.source_size, "--source-size"
        )
        tones(reader.path(role), rgb)
    pictures = [fit(rgb, settings.source_size) for rgb in read.values()]
    settings = resolve(settings, net, [rgb.shape for rgb in pictures])
    arrays = _arrays(settings, net, device, pictures, (settings.height, settings.width))
    return opened.job(TextureJob, settings, net, pictures=pictures, **arrays)


def _arrays(settings, net, device, pictures, size):
    """Return what a `TextureJob` has at one size, for sources and a texture of these sizes."""
    sources = [to_device(preprocess(rgb, net.attrs["preprocess"]), device) for rgb in pictures]
    nets = [
        _for_source(net, source, rgb, settings.normalize)
        for source, rgb in zip(sources, pictures, strict=True)
    ]
    start = noise(net, (1, 3, *size), settings.seed, device)
    return {"sources": sources, "nets": nets, "start": start}


def _for_source(net, source, rgb, normalize):
    """Return the network as one source needs it; of a grey one it sees no colours."""
    net = _normalized(net, source, normalize)
    return grey_first(net) if is_grey(rgb) else net


def is_grey(rgb):
    """Return whether a picture (H, W, 3) has no colour, but for what a JPEG file adds."""
    return int(np.ptp(rgb, axis=2).max()) <= 2


def _normalized(net, source, how):
    """Return the network, with every channel scaled to the mean 1 over the source if wanted."""
    if how != "channels":
        return net
    if any(isinstance(node.layer, BatchNorm2d) for node in net.nodes):
        net = fold_batch_norm(net)
    fast = FastConvolution(frozen=True) if isinstance(source, np.ndarray) else conv2d
    return normalize_activations(net.replica(), [source], fast)


@dataclass(frozen=True, kw_only=True)
class TextureJob(SearchJob):
    """A texture synthesis with nothing left open.

    Attributes
    ----------
    nets : list of Network, one a source: channels normalised, blind to colours if it has none
    sources : list of float32 (1, 3, H', W'), preprocessed
    start : float32 (1, 3, H, W), the noise to start from
    pictures : list of uint8 (H', W', 3), the sources as resized
    """

    nets: list
    sources: list
    start: np.ndarray
    pictures: list = field(repr=False)

    verb = "texture"
    own_pairs = 20  # as in the authors' program

    @property
    def steps(self):
        """Iterations of the whole run."""
        s = self.settings
        return super().steps * (len(s.layers) * len(s.sources) if s.sweep else 1)

    @property
    def size(self):
        """Rows and columns of the picture."""
        return self.start.shape[2:]

    def run(self, callback=None, minimize=None):
        """Make the picture, a texture or the sheet of a sweep; return the `Outcome`."""
        if self.settings.sweep:
            return _sweep(self, callback, minimize)
        return _synthesise(self, 0, self.settings.layers, minimize, callback)

    def halved(self, times):
        """Return the job with the texture and its sources halved so many times."""
        small = [fit(rgb, halved_side(max(rgb.shape[:2]), times)) for rgb in self.pictures]
        size = [halved_side(side, times) for side in self.size]
        return replace(self, **_arrays(self.settings, self.net, self.device, small, size))

    def function(self, number, layers):
        """Return what is minimised, fun(x) -> (value, gradient), for a source and layers."""
        s = self.settings
        return texture_objective(
            self.nets[number],
            self.sources[number],
            layers=layers,
            tv_weight=s.tv_weight,
            gram=s.gram,
            relative=s.normalize == "layers",
            seamless=s.seamless,
            shape=self.start.shape,
            evaluation=self.evaluation,
        )

    def search_options(self, number=0):
        """Return how a texture is searched for: pairs that L-BFGS remembers, bounds of pixels."""
        options, source = {"pairs": self.pairs}, self.sources[number]
        if self.settings.bounds == "source":
            options["bounds"] = (float(source.min()), float(source.max()))
        return options

    def colours(self, x, number=0):
        """Return the picture of x, a texture of source `number`."""
        rgb = super().colours(x)
        if is_grey(self.pictures[number]):
            rgb = grey(rgb.mean(axis=2))
        if self.settings.histogram:
            return match_histogram(np.clip(rgb, 0, 255), self.pictures[number])
        return rgb

    def views(self, outcome):
        """Return {label: picture} of the sheet."""
        if self.settings.sweep:
            return {"": outcome.picture}
        return {"source": self.pictures[0], "texture": outcome.picture}


def _synthesise(job, number, layers, minimize, callback=None):
    """Make a texture of source `number` from these layers (name -> weight)."""
    at_size = partial(_at_size, number, layers, minimize)
    result = from_small_to_large(job, at_size, callback)
    return Outcome(to_uint8(job.colours(result.x, number)), result)


def _at_size(number, layers, minimize, job, iterations, reached, callback):
    """Minimise at one size, from noise or from the texture of the size before, enlarged."""
    start = job.start if reached is None else resampled(reached, job.size, job.net)
    return search(
        job.settings,
        job.function(number, layers),
        start,
        grey_level(job.net, start),
        iterations=iterations,
        callback=callback,
        minimize=minimize,
        **job.search_options(number),
    )


def steps_of_sweep(layers):
    """Return the layers of each row of a sweep: the first alone, the first two, and so on."""
    names = list(layers)
    return [{name: layers[name] for name in names[: i + 1]} for i in range(len(names))]


def _sweep(job, callback, minimize):
    """Make a texture of each source from each number of layers, and their sheet."""
    sources, rows = job.settings.sources, steps_of_sweep(job.settings.layers)
    cells = [(number, layers) for layers in rows for number in range(len(sources))]
    count = sum(job.counts)
    runs = [(count, partial(_synthesise, job, *cell, minimize)) for cell in cells]
    outcomes = run_all(runs, callback)
    told = [
        {
            "source": sources[number],
            "layers": list(layers),
            "losses": outcome.losses,
            "iterations": outcome.result.iterations,
            "reason": outcome.result.reason,
        }
        for (number, layers), outcome in zip(cells, outcomes, strict=False)
    ]
    made = [outcome.picture for outcome in outcomes]
    made += [None] * (len(cells) - len(made))  # it was interrupted
    result = summary([outcome.result for outcome in outcomes])
    return Outcome(_sheet(job, made), result, {"runs": told})


def _sheet(job, made):
    """Put the textures in rows by their layers, and the sources under them."""
    paper, (first, *more) = job.settings.paper, job.settings.layers
    texts, columns = [first, *(f"+ {name}" for name in more), "source"], len(job.sources)
    cells = []
    for i, picture in enumerate([*made, *job.pictures]):
        text = " " if i % columns else texts[i // columns]
        cells.append(None if picture is None else labelled(picture, text, paper=paper))
    return job.figure(grid(cells, columns, paper=paper))
