"""The settings of `deconv`: how it goes down, and which units of which picture."""

from dataclasses import dataclass

from minicnn.methods.deconvnet.projection import STARTS, Policy, read_position, read_units
from minicnn.runs.look_run import LookSettings
from minicnn.runs.settings import CLIP, choice, readable, setting, text


@dataclass(frozen=True)
class DeconvSettings(Policy, LookSettings):
    """What to project, and how."""

    layer: str = setting(text("NAME"), help="see `minicnn models NETWORK`")
    unit: str = setting(
        readable(read_units, "max, max:9, a number from 0, or numbers as 3,17", "K|max"),
        "max",
        "a unit from 0, several as 3,17, the strongest (max), or nine of them (max:9)",
    )
    position: str = setting(
        readable(read_position, "max, all, or row,column as 3,4", "max|all|Y,X"),
        "max",
        "where in its map: its maximum, everywhere, or a row and column",
    )
    start: str = setting(
        choice(STARTS), STARTS[0], "what is projected: the unit's activation, or 1"
    )
    clip: float = setting(
        CLIP, 0.005, "share of the values that may be shown as full black or white", group="picture"
    )
