"""Style transfer as others have published it, to the letter: losses, pixels, sizes, budgets.

    name             content            style, per layer          total variation    white is
    seed             Σ ΔF²              100 · λ/4 · Σ ΔG²         none               255
    gatys            mean ΔF²           1000 · Σ ΔG² / C⁴         none               255
    neural-style     5 · mean ΔF²       100 · Σ ΔG² / C⁴          1e-3 · ½ Σ d²+r²   256
    neural-style-pt  5 · mean ΔF²       100 · Σ ΔG² / C⁴          1e-3 · Σ |d|+|r|   255
    deeptextures     none               1e9 / 4 · Σ ΔG² / C²      none               255

    ΔF  activation - that of the content       ΔG  F Fᵀ/M - that of the style, C channels
    d, r  differences to the pixel below and to the right

seed is equations 2 and 4 to 8 of the lecture notes as printed; they give no numbers, λ = 1/5 and
the weights are ours. gatys is the authors' PyTorch notebook, at its first size: (1000/C²) ·
mean ΔG². deeptextures is their program of 2015, 1e9 · E_l; the content gives the size alone.
neural-style pools with `ceil` and adds the gradient of the total variation without counting its
value; a line search needs both.

A preset fixes the formulas; weights, layers, sizes and budgets of what it has can be changed. All
were made for VGG-19. Other networks get their own layers, and no total variation unless a weight is
given: theirs was set against the activations of VGG-19, and on minivgg, where they are about 1, it
leaves nothing but grey. The content term grows with the square of the activations and the style
term with their fourth power: on minivgg neural-style and neural-style-pt, which start from next to
nothing, paint edges on grey, and need some hundred times the style weight (`STRONGER`). Total
variation and the noise to start from are measured in the network's own units, as in the programs.
"""

import math
from dataclasses import replace
from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.network.layers import MaxPool2d
from minicnn.network.network import Network

VGG_CONTENT = {"relu4_2": 1.0}
VGG_STYLE = dict.fromkeys(network_defaults.FIVE_BLOCKS, 1.0)
VGG_TEXTURE = network_defaults.texture_layers("vgg19")
VGG = ("vgg16", "vgg19")
FIXED = ("gram", "content_loss", "tv")  # settings that a preset decides


class Published(NamedTuple):
    """How one of them is run; `loss` is what it minimises."""

    loss: network_defaults.Style
    evaluations: int
    size: int = 512
    side: str = "long"  # of which side `size` is: long or short, or "area" for that of a square
    init: str = "noise"
    noise: float | None = None  # its deviation in the network's units; else 20 grey levels
    pixels: float = 255.0  # value of white
    ceil: bool = False  # max pooling lets a last window hang over the edge
    bounds: bool = False  # between the least and largest value of the style picture
    pairs: int | None = None  # that L-BFGS remembers


PUBLISHED = {
    "seed": Published(
        network_defaults.Style(
            VGG_CONTENT, dict.fromkeys(network_defaults.FIVE_BLOCKS, 0.2), 1.0, 100.0, 0.0,
            gram="lecture", pool="average", content_loss="sum",
        ),
        evaluations=500,
    ),
    "gatys": Published(
        network_defaults.Style(VGG_CONTENT, VGG_STYLE, 1.0, 1000.0, 0.0, pool="max"),
        evaluations=500,
        side="short",
        init="content",
    ),
    "neural-style": Published(
        network_defaults.Style(
            VGG_CONTENT, VGG_STYLE, 5.0, 100.0, 1e-3, pool="max", tv="neural-style"
        ),
        evaluations=1000,
        noise=1e-3,
        pixels=256.0,
        ceil=True,
    ),
    "neural-style-pt": Published(
        network_defaults.Style(VGG_CONTENT, VGG_STYLE, 5.0, 100.0, 1e-3, pool="max", tv="absolute"),
        evaluations=1000,
        noise=1e-3,
    ),
    "deeptextures": Published(
        network_defaults.Style({}, VGG_TEXTURE, 0.0, 1e9, 0.0, gram="gatys", pool="average"),
        evaluations=2000,
        size=256,
        side="area",
        noise=1.0,
        bounds=True,
        pairs=20,
    ),
}  # fmt: skip

# network -> preset -> style weight at which it paints there, found by looking at 160 pixels
STRONGER = {"minivgg": {"neural-style": 3e4, "neural-style-pt": 3e4}}


def check(settings):
    """Refuse settings that contradict their preset, or a preset that there is not.

    Raises
    ------
    MinicnnError
    """
    name = settings.preset
    if name is None:
        return
    if name not in PUBLISHED:
        raise MinicnnError(f"no preset {name!r}; use {', '.join(PUBLISHED)}")
    loss = PUBLISHED[name].loss
    for key in FIXED:
        given, own = getattr(settings, key), getattr(loss, key)
        if given not in (None, own):
            raise MinicnnError(
                f"the preset {name} has {key.replace('_', ' ')} {own}, not {given}; leave out "
                f"one of them"
            )
    for term, wanted in (
        ("total variation", settings.tv_weight and not loss.tv_weight),
        ("content term", _asks_for_content(settings) and not loss.content_weight),
        ("coarser sizes", (settings.scales or 1) > 1),
        ("padding but zeros", settings.padding == "replicate"),
    ):
        if wanted:
            raise MinicnnError(f"the preset {name} has no {term}; leave out one of them")
    if name == "deeptextures" and settings.pool == "max":
        raise MinicnnError("the preset deeptextures pools by averages; leave out one of them")


def _asks_for_content(settings):
    return bool(settings.content_weight or settings.content_layers)


def style_of(settings, net):
    """Return the row of the settings: that of their preset, or of the network.

    But for a VGG, the network's own layers take the place of those of the preset, and there is
    no total variation by default.
    """
    name = net.attrs["name"]
    own = network_defaults.style_preset(name) or network_defaults.Style({}, {}, 1.0, 100.0, 1.0)
    if settings.preset is None:
        return own
    loss = PUBLISHED[settings.preset].loss
    if name in VGG:
        return loss
    if not loss.content_layers:
        return loss._replace(style_layers=network_defaults.texture_layers(name))
    return loss._replace(
        content_layers=own.content_layers, style_layers=own.style_layers, tv_weight=0.0
    )


def notes(settings):
    """Return what is to be said of the preset of filled-in settings: a list of lines."""
    preset, network = settings.preset, settings.network
    if preset is None or network in VGG:
        return []
    weaker = settings.style_weight == PUBLISHED[preset].loss.style_weight
    stronger = STRONGER.get(network_defaults.SAME_AS.get(network, network), {}).get(preset)
    return [
        f"the weights of the preset {preset} are for the activations of VGG-19; {network} has "
        "others: its terms may need other weights, and total variation is left out without one"
        + (f"; try --style-weight {stronger:g}" if stronger and weaker else "")
    ]


def network(net, preset):
    """Return the network as the preset sees it: its pixels, its pooling."""
    if preset is None:
        return net
    row, attrs = PUBLISHED[preset], dict(net.attrs)
    pixels = dict(attrs["preprocess"])
    pixels["scale"] = float(pixels.get("scale", 1.0)) * row.pixels / 255
    attrs["preprocess"] = pixels
    layers = [
        (name, replace(layer, ceil=True), inputs)
        if row.ceil and isinstance(layer, MaxPool2d)
        else (name, layer, inputs)
        for name, layer, inputs in net.nodes
    ]
    return Network(layers, net.params, net.input_shape, attrs)


def long_side(preset, shape):
    """Return the long side in pixels that the preset gives a picture of `shape` (H, W, 3)."""
    row, aspect = PUBLISHED[preset], max(shape[:2]) / min(shape[:2])
    return round(row.size * {"long": 1, "short": aspect, "area": math.sqrt(aspect)}[row.side])
