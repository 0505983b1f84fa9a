"""The verb `invert`."""

from dataclasses import dataclass

from minicnn.methods.inversion.settings import InvertSettings
from minicnn.runs.outputs import FrameOutputs, sweep_of
from minicnn.runs.picture_run import PictureVerb

EXAMPLE = """
minicnn demo --size 64
minicnn invert minicnn-demo/content.jpg --layer relu2_2 -o inverted.png --iterations 50
minicnn invert minicnn-demo/content.jpg --layer relu1_2,relu3_3,fc5 -o row.png --iterations 50
"""


@dataclass(frozen=True, kw_only=True)
class InvertOutputs(FrameOutputs):
    """What `invert` writes."""

    sweep: list | None = sweep_of(InvertSettings, "tv-weight=0.5,5,50")


INVERT = PictureVerb(
    "invert", InvertSettings, InvertOutputs, "minicnn.methods.inversion.run", EXAMPLE
)
