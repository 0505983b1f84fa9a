"""The verb `texture`."""

from dataclasses import dataclass

from minicnn.methods.texture.settings import TextureSettings
from minicnn.runs.outputs import FrameOutputs, SnapshotOutputs
from minicnn.runs.picture_run import PictureVerb

EXAMPLE = """
minicnn demo --size 64
minicnn texture minicnn-demo/style.jpg -o texture.png --size 192x128 --iterations 30
"""


@dataclass(frozen=True, kw_only=True)
class TextureOutputs(SnapshotOutputs, FrameOutputs):
    """What `texture` writes."""


TEXTURE = PictureVerb(
    "texture", TextureSettings, TextureOutputs, "minicnn.methods.texture.run", EXAMPLE
)
