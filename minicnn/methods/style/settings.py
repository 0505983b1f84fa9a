"""The settings of a style transfer; `inputs` has what they stand for on a network."""

from collections.abc import Mapping
from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.methods.style import previous as frame_before
from minicnn.methods.style.presets import PRESETS
from minicnn.objectives.content import CONTENT
from minicnn.objectives.gram import STYLE
from minicnn.objectives.priors import TV
from minicnn.pictures.colours import MATCHES
from minicnn.runs.settings import (
    LARGEST,
    LAYERS,
    POSITIVE,
    SHARE,
    WEIGHT,
    choice,
    count,
    list_of,
    one_or_list,
    setting,
    text,
)

STARTS = ("content", "noise", "mix")  # else a picture file, or the frame before
FIXED = ("gram", "content_loss", "tv")  # settings that a preset decides


def _weight(term):
    return setting(WEIGHT, None, f"weight of {term}", group="loss", shown="the network's")


def _layers(term):
    words = f"layers of the {term}, as relu1_1,relu2_1=0.5"
    return setting(LAYERS, None, words, group="loss", shown="the network's")


def _form(rows, words, shown="mean, or the preset's"):
    return setting(choice(rows), None, words, group="loss", shown=shown)


@dataclass(frozen=True)
class StyleSettings(frame_before.PreviousFrame):
    """Everything that decides the picture; None is the default of the network or the optimizer."""

    content: str = setting(text("CONTENT"), help="picture that says what is seen", argument=True)
    style: str | list = setting(
        text("STYLE"),
        help="picture that says how it is painted; several are blended",
        argument=True,
        several=True,
    )
    preset: str | None = setting(
        choice(PRESETS),
        None,
        "losses, layers, weights, size and evaluations of the lecture notes (seed) or of another "
        "program",
        group="loss",
        shown="our own, by network",
    )
    blend: list | None = setting(
        list_of(WEIGHT, "W,W,..."), None, "weights of several styles", shown="equal"
    )
    content_masks: list | None = setting(
        text("FILE"),
        None,
        "a mask for each STYLE: white where it is wanted; or one label picture, a flat colour for "
        "each STYLE from dark to light",
        option="--content-mask",
        several=True,
    )
    style_masks: list | None = setting(
        text("FILE"),
        None,
        "a mask for each STYLE: white where it is meant",
        option="--style-mask",
        several=True,
    )
    size: int | None = setting(
        count(LARGEST),
        None,
        "long side of the result in pixels",
        group="picture",
        shown="512, less for a small content",
    )
    style_size: int | list | None = setting(
        one_or_list(count(LARGEST), "N,..."),
        None,
        "long side of the style pictures, or of each",
        group="picture",
        shown="as the result",
    )
    style_scale: float | None = setting(
        POSITIVE, None, "the same, as a multiple of the result's long side", group="picture"
    )
    init: str | None = setting(
        text("content|noise|mix|previous|FILE"),
        None,
        "what to start from",
        group="picture",
        shown="previous with --previous, else content or the preset's",
    )
    noise_ratio: float | None = setting(
        SHARE, None, "share of noise in the start `mix`", group="picture", shown="0.5"
    )
    content_layers: Mapping | None = _layers("content")
    style_layers: Mapping | None = _layers("style")
    content_weight: float | None = _weight("the content")
    style_weight: float | None = _weight("the style")
    gram: str | None = _form(STYLE, "normalisation of the Gram matrices", "the network's")
    content_loss: str | None = _form(CONTENT, "normalisation of the content term")
    tv: str | None = _form(TV, "form of the total variation")
    match_color: str | None = setting(
        choice(MATCHES), None, "give the style the colours of the content first", group="picture"
    )
    preserve_color: str | None = setting(
        choice(("luminance", "histogram")),
        None,
        "keep the content's colours: paint in grey and put them back, or give the result their "
        "histogram at the end",
        group="picture",
    )

    @property
    def styles(self):
        """The style pictures, a list."""
        return [self.style] if isinstance(self.style, str) else list(self.style)

    @property
    def roles(self):
        """What the style pictures are called: style, style1, ..."""
        return names("style", len(self.styles))

    def inputs(self):
        """Return {role: picture file}."""
        found = {"content": self.content}
        for kind, files in (
            ("style", self.styles),
            ("content_mask", self.content_masks or []),
            ("style_mask", self.style_masks or []),
        ):
            found.update(zip(names(kind, len(files)), files, strict=True))
        found |= {role: file for role in frame_before.FILES if (file := getattr(self, role))}
        return found if self.init in (None, "previous", *STARTS) else {**found, "init": self.init}

    def check(self):
        """Refuse settings with which no run can be, before any file is opened."""
        super().check()
        if self.preset:
            _check_preset(self)
        _check_styles(self)
        if self.init == "previous" or any(getattr(self, name) for name in frame_before.NAMES):
            frame_before.check(self)
        if self.style_size and self.style_scale:
            raise MinicnnError("--style-size and --style-scale say the same; leave out one of them")
        if self.noise_ratio is not None and self.init != "mix":
            raise MinicnnError(
                f"noise_ratio = {self.noise_ratio} is the share, 0 to 1, of noise in the start "
                "`mix`; use --init mix with it"
            )
        if self.match_color and self.preserve_color == "luminance":
            raise MinicnnError(
                "with luminance preserved the network sees no colours to match; leave out one of "
                "them"
            )


def names(kind, count):
    """Return the roles of `count` pictures of a kind: style, style1, ..."""
    return [f"{kind}{i or ''}" for i in range(count)]


def _check_preset(s):
    """Refuse what contradicts the preset."""
    name, loss = s.preset, PRESETS[s.preset].loss
    for key in FIXED:
        given, own = getattr(s, key), getattr(loss, key)
        if given not in (None, own):
            raise MinicnnError(
                f"the preset {name} has {key.replace('_', ' ')} {own}, not {given}; leave out "
                f"one of them"
            )
    content = s.content_weight or s.content_layers
    for term, wanted in (
        ("total variation", s.tv_weight and not loss.tv_weight),
        ("content term", content and not loss.content_weight),
        ("coarser sizes", (s.scales or 1) > 1),
        ("padding but zeros", s.padding == "replicate"),
    ):
        if wanted:
            raise MinicnnError(f"the preset {name} has no {term}; leave out one of them")
    if name == "deeptextures" and s.pool == "max":
        raise MinicnnError("the preset deeptextures pools by averages; leave out one of them")


def _check_styles(s):
    """Refuse what is not one for each style."""
    count = len(s.styles)
    if not count:
        raise MinicnnError("no style picture; give at least one")
    sizes = s.style_size if isinstance(s.style_size, list) else [s.style_size]
    if len(sizes) not in (1, count):
        raise MinicnnError(
            f"{len(sizes)} style sizes for {count} styles; give one, or one for each"
        )
    masks = s.content_masks
    label_picture = masks is not None and len(masks) == 1 < count
    check_counts(count, s.blend, masks * count if label_picture else masks, s.style_masks)
    if s.blend is not None and not sum(s.blend):
        raise MinicnnError("blend weights are all 0; make at least one of them larger")


def check_counts(styles, blend, content_masks, style_masks):
    """Refuse blend weights or masks that are not one for each of so many styles."""
    for what, given in (
        ("blend weights", blend),
        ("content masks", content_masks),
        ("style masks", style_masks),
    ):
        if given is not None and len(given) != styles:
            raise MinicnnError(
                f"{len(given)} {what} for {styles} style pictures; give one for each of them"
            )
    if blend is not None and content_masks is not None:
        raise MinicnnError(
            "blend weights mix styles everywhere, content masks give each its own place; "
            "leave out one of them"
        )
