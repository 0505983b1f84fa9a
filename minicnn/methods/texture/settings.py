"""The settings of a texture synthesis, and what they stand for on a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.network.sizes import least_side
from minicnn.objectives.gram import STYLE
from minicnn.runs.gram_settings import GramSettings
from minicnn.runs.search import SEARCH, halved_side, iterations_at, most_sizes, sizes_of
from minicnn.runs.settings import (
    FLAG,
    LARGEST,
    LAYERS,
    SIZE,
    Kind,
    as_in,
    check_bits_of_sheet,
    choice,
    count,
    setting,
    text,
)

SOURCE_SIZE = 256  # long side in pixels
ITERATIONS = {"lbfgs-device": 500, "lbfgs": 500}
LOOKS = ("sheet", "save_every", "frames", "gif")  # further pictures, which a sweep has not


def _read_sweep(written):
    if written != "layers":
        raise ValueError
    return True


SWEEP = Kind(_read_sweep, FLAG.fits, "the word layers", "layers")


@dataclass(frozen=True)
class TextureSettings(GramSettings):
    """Everything that decides the texture; None is the default of the network or the optimizer."""

    sources: list = setting(
        text("SOURCE"),
        help="picture of a texture; several with --sweep layers",
        option="SOURCE",
        argument=True,
        several=True,
    )
    sweep: bool = setting(
        SWEEP,
        False,
        "write a sheet: layers added one by one downwards, a column for each SOURCE",
        old=("--sweep",),
    )
    seamless: bool = setting(FLAG, False, "make a tile: copies of it join without a seam")
    width: int | None = setting(
        SIZE,
        None,
        "width and height of the texture in pixels",
        group="picture",
        shown="the source's",
        option="--size",
        pair="height",
    )
    height: int | None = field(default=None, kw_only=True)
    source_size: int | None = setting(
        count(LARGEST),
        None,
        "long side that the source is brought to",
        group="picture",
        shown="256, less for a small source",
    )
    histogram: bool = setting(
        FLAG, False, "at the end, give every channel the histogram of the source", group="picture"
    )
    layers: Mapping | None = setting(
        LAYERS,
        None,
        "layers and their weights, as relu1_1,pool1=0.5",
        group="loss",
        shown="the network's",
    )
    gram: str = setting(choice(STYLE), "gatys", "normalisation of the Gram matrices", group="loss")
    normalize: str | None = setting(
        choice(("layers", "channels", "none")),
        None,
        "make layers comparable: by the size of their Gram matrices, or by scaling every channel "
        "to the mean 1 over the source",
        group="loss",
        shown="layers; none for weights that `minicnn weights normalize` has made",
    )
    tv_weight: float | None = as_in(
        GramSettings, "tv_weight", shown="0.05, with VGG 1, SqueezeNet 0.2, else 0"
    )
    bounds: str = setting(
        choice(("source", "none")),
        "source",
        "keep pixels between the least and largest of the source",
        group="search",
    )
    iterations: int | None = as_in(
        GramSettings,
        "iterations",
        help="steps of the optimizer for each texture, shared out among the sizes; or at each size",
        shown="500 for both L-BFGS, else 250",
    )
    scales: int | None = as_in(
        GramSettings,
        "scales",
        help="sizes of texture and source, each twice the one before; the last are those asked for",
    )
    pairs: int | None = as_in(GramSettings, "pairs", shown="20")
    pool: str | None = as_in(GramSettings, "pool", shown="average")
    precision: str = as_in(GramSettings, "precision", before="auto")

    def inputs(self):
        """Return {role: picture file}."""
        return {f"source{i or ''}": path for i, path in enumerate(self.sources)}

    def check(self):
        """Refuse settings with which no run can be, before any file is opened."""
        super().check()
        if not self.sources or (len(self.sources) > 1 and not self.sweep):
            raise MinicnnError(
                f"{len(self.sources)} sources; give one, or several with --sweep layers"
            )
        if self.sweep:
            check_bits_of_sheet(self.bits)
        if self.seamless and self.padding == "replicate":
            raise MinicnnError(
                "a seamless texture has no edges to replicate; leave out the padding"
            )

    def check_outputs(self, outputs):
        """Refuse further pictures of a sweep."""
        if self.sweep and any(getattr(outputs, name) for name in LOOKS):
            raise MinicnnError(
                "--sweep writes a sheet already; leave out --sheet, --save-every, --frames and "
                "--gif"
            )


def with_layers(settings, net):
    """Return the settings with layers: their own in the network's order, or the network's."""
    if settings.layers:
        place = {layer: i for i, layer in enumerate(net.layers)}
        ordered = sorted(settings.layers.items(), key=lambda entry: place.get(entry[0], 0))
        return replace(settings, layers=dict(ordered))
    name = net.attrs["name"]
    layers = network_defaults.texture_layers(name)
    if not layers:
        raise MinicnnError(
            f"no default layers for the network {name}; name them with --layers, from "
            f"{', '.join(net.layers)}"
        )
    return replace(settings, layers=layers)


def resolve(settings, net, shapes):
    """Return the settings with every None replaced by what it stands for.

    Parameters
    ----------
    settings : TextureSettings, with layers
    net : Network
    shapes : list of (int, int, 3), of the sources as resized

    Raises
    ------
    MinicnnError
        If the texture is too small for the layers, or no tile of theirs.
    """
    name, search = net.attrs["name"], SEARCH[settings.optimizer]
    rows, columns = shapes[0][:2]
    if settings.seamless:
        step = _stride(net, settings.layers)
        rows, columns = (max(step, side // step * step) for side in (rows, columns))
    settings = settings.filled(
        {
            "network": name,
            "pool": net.attrs["pool"],
            "width": columns,
            "height": rows,
            "tv_weight": network_defaults.texture_tv(name),
            "normalize": "none" if net.attrs.get("normalized") else "layers",
            "learning_rate": search.learning_rate,
        }
    )
    _check_size(settings, net)
    scales = _scales(settings, net, shapes)
    if not settings.evaluations:
        whole = ITERATIONS.get(settings.optimizer, search.iterations)
        settings = settings.filled({"iterations": whole})
    iterations = iterations_at(settings, scales)
    return replace(settings, scales=scales, iterations=iterations, coarse_iterations=None)


def _scales(settings, net, shapes):
    """Return the number of sizes, see `sizes_of`; each is a tile of the layers if seamless."""
    sides, layers = (settings.height, settings.width), used(settings)
    least, step = least_side(net, layers), _stride(net, layers) if settings.seamless else 1
    most = most_sizes([(min(shape[:2]), least) for shape in (sides, *shapes)])
    while any(halved_side(side, most - 1) % step for side in sides):
        most -= 1
    return sizes_of(settings, most, min(max(shape[:2]) for shape in (sides, *shapes)))


def used(settings):
    """Return the layers that have a weight."""
    return [name for name, weight in settings.layers.items() if weight]


def _stride(net, layers):
    """Return the largest stride of the layers in pixels."""
    fields = net.receptive_fields()
    return max(max(fields[name].stride) for name in layers)


def _check_size(s, net):
    """Refuse a texture that is too small for the layers, or no tile of theirs."""
    layers = used(s)
    least = least_side(net, layers)
    if min(s.width, s.height) < least:
        raise MinicnnError(
            f"a texture of {s.width} x {s.height} pixels is too small for the layers of "
            f"{net.attrs['name']}; use --size {max(s.width, least)}x{max(s.height, least)} or more"
        )
    if s.seamless and (s.width % (step := _stride(net, layers)) or s.height % step):
        near = "x".join(str(-(-side // step) * step) for side in (s.width, s.height))
        raise MinicnnError(
            f"a seamless texture needs sides that are multiples of {step} for the layers of "
            f"{net.attrs['name']}, not {s.width} x {s.height}; use --size {near}"
        )
