"""The verb `style`."""

from dataclasses import dataclass

from minicnn.methods.style.settings import StyleSettings
from minicnn.runs.outputs import FrameOutputs, SnapshotOutputs
from minicnn.runs.picture_run import PictureVerb
from minicnn.runs.settings import setting, text

EXAMPLE = """
minicnn demo
minicnn style minicnn-demo/content.jpg minicnn-demo/style.jpg -o picture.png --iterations 50
"""


@dataclass(frozen=True, kw_only=True)
class StyleOutputs(SnapshotOutputs, FrameOutputs):
    """What `style` writes."""

    sweep: list | None = setting(
        text("OPTION=V,V,..."),
        None,
        "a picture for each value of a numeric option, such as style-weight=1,10,100, as "
        "OUT-style-weight-1.png and so on, and OUT is a sheet of them; a second --sweep makes it a "
        "table; style-layers alone adds the layers one by one",
        repeated=True,
        group="picture",
    )


STYLE = PictureVerb("style", StyleSettings, StyleOutputs, "minicnn.methods.style.inputs", EXAMPLE)
