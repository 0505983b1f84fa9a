"""What the settings of a style transfer must not be, before any file is opened."""

from dataclasses import replace

from minicnn.errors import MinicnnError
from minicnn.methods.style import published
from minicnn.methods.style.job import PRESERVE
from minicnn.methods.style.loss import check_counts
from minicnn.network.replicate_edges import PADDINGS
from minicnn.objectives.content import CONTENT
from minicnn.objectives.priors import TV
from minicnn.pictures.colours import MATCHES
from minicnn.runs import checks


def check(s):
    """Refuse `StyleSettings` with which no run can be.

    Raises
    ------
    MinicnnError
    """
    whole = ("scales", "iterations", "coarse_iterations")
    checks.counts(s, {"size": checks.LARGEST, "tile": checks.LARGEST, **dict.fromkeys(whole)})
    checks.bits(s)
    sizes = s.style_size if isinstance(s.style_size, list) else [s.style_size]
    for size in sizes:
        checks.counts(replace(s, style_size=size), {"style_size": checks.LARGEST})
    weights = {name: getattr(s, name) for name in ("content_weight", "style_weight", "tv_weight")}
    for layers in (s.content_layers, s.style_layers):
        weights |= {f"weight of layer {name}": value for name, value in (layers or {}).items()}
    checks.not_negative({**weights, "noise_ratio": s.noise_ratio})
    checks.positive({"style_scale": s.style_scale})
    s.check()
    checks.one_of(
        [
            (s.content_loss, CONTENT, "content loss"),
            (s.tv, TV, "total variation"),
            (s.match_color, MATCHES, "way to match colours"),
            (s.preserve_color, PRESERVE, "way to preserve colours"),
            (s.padding, PADDINGS, "padding"),
        ]
    )
    published.check(s)
    _check_styles(s, sizes)
    if s.noise_ratio is not None and (s.noise_ratio > 1 or s.init != "mix"):
        raise MinicnnError(
            f"noise_ratio = {s.noise_ratio} is the share, 0 to 1, of noise in the start `mix`; "
            "use --init mix with it"
        )
    if s.match_color and s.preserve_color == "luminance":
        raise MinicnnError(
            "with luminance preserved the network sees no colours to match; leave out one of them"
        )


def _check_styles(s, sizes):
    """Refuse what is not one for each style."""
    count = len(s.styles)
    if not count:
        raise MinicnnError("no style picture; give at least one")
    if len(sizes) not in (1, count):
        raise MinicnnError(
            f"{len(sizes)} style sizes for {count} styles; give one, or one for each"
        )
    checks.not_negative({f"blend weight {i + 1}": b for i, b in enumerate(s.blend or [])})
    masks = s.content_masks
    label_picture = masks is not None and len(masks) == 1 < count
    check_counts(count, s.blend, masks * count if label_picture else masks, s.style_masks)
    if s.blend is not None and not sum(s.blend):
        raise MinicnnError("blend weights are all 0; make at least one of them larger")
