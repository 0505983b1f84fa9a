"""What a frame of a video is told of the frame before it; `frame` says what is made of that."""

from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.runs.gram_settings import GramSettings
from minicnn.runs.settings import WEIGHT, setting, text

NEAR = 100.0  # weight of the temporal term
FILES = ("previous", "flow", "forward_flow", "flow_mask")  # settings that are files
NAMES = (*FILES, "temporal_weight")


def _file(words, metavar="FILE.flo"):
    return setting(text(metavar), None, words)


@dataclass(frozen=True, kw_only=True)
class PreviousFrame(GramSettings):
    """What a frame has of the frame before it."""

    previous: str | None = _file("the painted frame before: start there, and stay near it", "FILE")
    flow: str | None = _file(
        "where each pixel of CONTENT was in the frame before; without it nothing moves"
    )
    forward_flow: str | None = _file(
        "the flow from the frame before to CONTENT; where it does not lead back nothing is kept"
    )
    flow_mask: str | None = _file("white where --flow is to be believed", "FILE")
    temporal_weight: float | None = setting(
        WEIGHT,
        None,
        "weight of the distance to the frame before, in units of the loss at the start",
        group="loss",
        shown=f"{NEAR:g} with --previous",
    )


def check(settings):
    """Refuse settings of a frame before that do not belong together."""
    s = settings
    if s.init == "previous" and not s.previous:
        raise MinicnnError("--init previous starts from the frame before; give it with --previous")
    lone = [name for name in NAMES if getattr(s, name)]
    if lone and not s.previous:
        raise MinicnnError(f"--{lone[0].replace('_', '-')} is for a frame with --previous; add it")
    if s.previous and s.preserve_color:
        raise MinicnnError(
            "a painted frame with the colours of its content is no start for the next one; leave "
            "out --preserve-color or --previous"
        )
