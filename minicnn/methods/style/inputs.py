"""From the settings of a style transfer to its arrays: defaults, pictures, masks, the start."""

import math
from dataclasses import replace

from minicnn.backend import to_device
from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.methods.style import frame
from minicnn.methods.style import masks as style_masks
from minicnn.methods.style.presets import PRESETS, STRONGER, VGG
from minicnn.methods.style.previous import NEAR
from minicnn.methods.style.run import StyleJob, start_of
from minicnn.network.layers import MaxPool2d
from minicnn.network.network import Network
from minicnn.network.replicate_edges import replicate_first
from minicnn.network.sizes import least_side
from minicnn.pictures.arrays import fit, preprocess, to_uint8
from minicnn.pictures.colours import MATCHES, grey, luminance, match_luminance
from minicnn.runs.inputs import PAINTER, check_size, open_all, tones
from minicnn.runs.search import SEARCH, iterations_at, most_sizes, sizes_of
from minicnn.runs.settings import LARGEST

SIZE = 512  # long side in pixels
NOISE_RATIO = 0.5


def open_job(settings, files=None):
    """Return the `StyleJob` of checked settings; raises `MinicnnError` if it would fail."""
    row = PRESETS.get(settings.preset)
    opened = open_all(settings, files, row.loss.pool if row else _pool, PAINTER)
    reader, read, net, device = opened
    net = as_programmed(net, row) if row else net
    own = network_defaults.style_preset(net.attrs["name"])
    padding = own.padding if own and row is None else "zero"
    settings = settings.filled({"padding": padding})
    net = replicate_first(net) if settings.padding == "replicate" else net
    styles = settings.roles
    settings = resolve(settings, net, read["content"].shape, [read[role].shape for role in styles])
    size = settings.style_size
    sides = size if isinstance(size, list) else [size] * len(styles)
    sides = dict(zip(["content", *styles], [settings.size, *sides], strict=True))
    style_layers = _used(settings.style_layers, settings.style_weight)
    layers = [*_used(settings.content_layers, settings.content_weight), *style_layers]
    for role, side in sides.items():
        option, needed = ("--size", layers) if role == "content" else ("--style-size", style_layers)
        check_size(reader.path(role), read[role], net, needed, side, option)
        if role != "content" and settings.style_weight:
            tones(reader.path(role), read[role], "style")
    if settings.match_color or settings.preserve_color:
        tones(reader.path("content"), read["content"], "range of colours")
    fitted = row.fitted if row else fit
    originals = {role: fitted(read[role], side) for role, side in sides.items()}
    masks = _masks(settings, reader, read, originals, net, style_layers)
    pictures = coloured(settings, originals)
    scales = _scales(settings, pictures, net, layers, style_layers)
    iterations = iterations_at(settings, scales)
    settings = replace(settings, scales=scales, iterations=iterations, coarse_iterations=None)
    attrs = net.attrs["preprocess"]
    x, *painted = (preprocess(rgb, attrs) for rgb in pictures.values())
    given = preprocess(read["init"], attrs) if "init" in read else None
    kind, more = StyleJob, {}
    if settings.previous:
        moved, certain = frame.moved(reader, read, x.shape[2:])
        before = preprocess(moved, attrs)
        kind, more = frame.FrameJob, {"before": to_device(before, device), "certain": certain}
        if settings.init == "previous":  # from the content where that is not to be believed
            given = certain * before + (1 - certain) * x
    start = start_of(settings, net, x, given, row)
    x, start, *painted = (to_device(array, device) for array in (x, start, *painted))
    return opened.job(
        kind,
        settings,
        net,
        notes(settings),
        content=x,
        styles=painted,
        start=start,
        pictures=pictures,
        originals=originals,
        content_masks=masks[0],
        style_masks=masks[1],
        row=row,
        **more,
    )


def resolve(settings, net, shape, style_shapes=()):
    """Return the settings with every None replaced by what it stands for, but scales and steps.

    `shape` (H, W, 3) is that of the content picture as read, `style_shapes` are those of the
    styles; only presets need them.
    """
    name, row = net.attrs["name"], PRESETS.get(settings.preset)
    own = network_defaults.style_preset(name) or network_defaults.Style({}, {}, 1.0, 100.0, 1.0)
    loss = row.loss_on(name, own) if row else own
    size = settings.size or (row.long_side(shape) if row else min(SIZE, max(shape[:2])))
    evaluations = settings.evaluations
    if row and not settings.iterations:
        evaluations = evaluations or row.evaluations
    settings = settings.filled(
        {
            "network": name,
            "pool": net.attrs["pool"],
            "size": size,
            "style_size": _style_size(settings, row, size, style_shapes),
            "init": "previous" if settings.previous else row.init if row else "content",
            "temporal_weight": NEAR if settings.previous else None,
            "scales": 1 if row or settings.previous else None,
            "evaluations": evaluations,
            "learning_rate": SEARCH[settings.optimizer].learning_rate,
            **{key: getattr(loss, key) for key in loss._fields if key != "pool"},
        }
    )
    settings = replace(settings, style_scale=None)  # `style_size` says it now
    if settings.init == "mix" and settings.noise_ratio is None:
        settings = replace(settings, noise_ratio=NOISE_RATIO)
    for kind in ("content", "style"):
        layers, weight = getattr(settings, f"{kind}_layers"), getattr(settings, f"{kind}_weight")
        if weight and not layers:
            raise MinicnnError(
                f"no default {kind} layers for the network {name}; name them with "
                f"--{kind}-layers, from {', '.join(net.layers)}"
            )
    return settings


def _style_size(settings, row, size, shapes):
    """Return the long side of the style pictures: one number, or one for each if they differ."""
    scale = settings.style_scale or 1
    if size * scale > LARGEST:
        raise MinicnnError(
            f"style_scale = {scale:g} makes the style larger than {LARGEST} pixels; use at most "
            f"{LARGEST / size:g}"
        )
    if row is None:
        return max(1, round(size * scale))
    whole = int if settings.preset == "neural-style-pt" else math.ceil
    if settings.size:
        return whole(size * scale)
    sides = [whole(row.long_side(shape) * scale) for shape in shapes]
    return sides[0] if len(set(sides)) == 1 else sides


def notes(settings):
    """Return what is to be said of preset and network of resolved settings: a list of lines."""
    preset, network = settings.preset, settings.network
    if preset is None and network == PAINTER and settings.weights is None:
        return [
            f"{network} has learnt from VGG-19: `minicnn weights fetch vgg19`, then "
            "--network vgg19 for VGG-19 itself"
        ]
    if preset is None or network in VGG:
        return []
    weaker = settings.style_weight == PRESETS[preset].loss.style_weight
    stronger = STRONGER.get(network_defaults.SAME_AS.get(network, network), {}).get(preset)
    return [
        f"the weights of the preset {preset} are for the activations of VGG-19; {network} has "
        "others: its terms may need other weights, and total variation is left out without one"
        + (f"; try --style-weight {stronger:g}" if stronger and weaker else "")
    ]


def _pool(name):
    """Return how style transfer pools on a network."""
    own = network_defaults.style_preset(name)
    return own.pool if own else None


def as_programmed(net, row):
    """Return the network as the preset sees it: its pixels, its pooling."""
    attrs = dict(net.attrs)
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


def _used(layers, weight):
    return [name for name, factor in layers.items() if factor] if weight else []


def _masks(settings, reader, read, pictures, net, layers):
    """Return (content masks, style masks) in the sizes of the pictures, or None for either."""
    styles = settings.roles
    found = []
    for kind, owners in (("content_mask", ["content"] * len(styles)), ("style_mask", styles)):
        roles = [role for role in read if role.startswith(kind)]
        if not roles:
            found.append(None)
            continue
        masks = style_masks.masks_of(reader, read, roles, owners)
        masks = [
            style_masks.resized(mask, pictures[owner].shape[:2])
            for mask, owner in zip(masks, owners, strict=True)
        ]
        paths = [reader.path(role) for role in roles] * (len(masks) // len(roles))
        option = "--size" if kind == "content_mask" else "--style-size"
        if layers:
            style_masks.check_areas(net, layers, masks, paths, option)
        found.append(masks)
    return found


def coloured(settings, pictures):
    """Return the pictures as the network is to see them, for the colours that the settings ask.

    Parameters
    ----------
    pictures : dict, "content" and styles -> uint8 (H, W, 3)
    """
    content = pictures["content"]
    seen = dict(pictures)
    styles = [role for role in pictures if role != "content"]
    if settings.match_color is not None:
        match = MATCHES[settings.match_color]
        seen.update({role: to_uint8(match(pictures[role], content)) for role in styles})
    if settings.preserve_color == "luminance":
        y = luminance(content)
        seen = {role: to_uint8(grey(match_luminance(luminance(seen[role]), y))) for role in styles}
        seen = {"content": to_uint8(grey(y)), **seen}
    return seen


def _scales(settings, pictures, net, layers, style_layers):
    """Return the number of sizes, see `sizes_of`."""
    short = {name: min(rgb.shape[:2]) for name, rgb in pictures.items()}
    style_need = least_side(net, style_layers)
    need = {**dict.fromkeys(pictures, style_need), "content": least_side(net, layers)}
    long = min(max(rgb.shape[:2]) for rgb in pictures.values())
    needs = [(short[name], need[name]) for name in short]
    return sizes_of(settings, most_sizes(needs), long)
