"""The verb `style`."""

from dataclasses import dataclass

from minicnn.methods.style.settings import StyleSettings
from minicnn.runs.outputs import FrameOutputs, SnapshotOutputs, sweep_of
from minicnn.runs.picture_run import PictureVerb

EXAMPLE = """
minicnn demo
minicnn style minicnn-demo/content.jpg minicnn-demo/style.jpg -o picture.png --iterations 50
"""


@dataclass(frozen=True, kw_only=True)
class StyleOutputs(SnapshotOutputs, FrameOutputs):
    """What `style` writes."""

    sweep: list | None = sweep_of(
        StyleSettings, "style-weight=100,1e3,1e4", "; style-layers alone adds the layers one by one"
    )


STYLE = PictureVerb("style", StyleSettings, StyleOutputs, "minicnn.methods.style.inputs", EXAMPLE)
