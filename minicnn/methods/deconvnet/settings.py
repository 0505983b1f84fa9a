"""The settings of a projection: what the papers leave open, and which units of which picture."""

from dataclasses import dataclass, fields

from minicnn.methods.deconvnet.projection import POLICIES, STARTS, Policy
from minicnn.runs.look_run import LookSettings
from minicnn.runs.settings import CLIP, Declared, Kind, choice, setting, text


def _policy(name, words, shown=None):
    default = getattr(Policy, name)
    return setting(choice(POLICIES[name]), default, words, group="projection", shown=shown)


@dataclass(frozen=True)
class PolicySettings(Declared):
    """What the papers leave open, see `projection.Policy`."""

    rule: str = _policy("rule", "what a ReLU does on the way down; `gradient` alone is a gradient")
    overlap: str = _policy(
        "overlap", "where pooling windows share a winner", "sum, which is the adjoint"
    )
    order: str = _policy(
        "order", "what comes first, unpooling or rectifying", "unpool-rectify, as published"
    )
    zero_windows: str = _policy(
        "zero_windows", "a pooling window that is all 0 has its switch at the first pixel, or none"
    )
    lrn: str | None = _policy(
        "lrn",
        "pass response normalisations by, or differentiate them",
        "identity for the rule deconvnet, else gradient",
    )

    @property
    def policy(self):
        """The `projection.Policy` of these settings."""
        return Policy(**{entry.name: getattr(self, entry.name) for entry in fields(Policy)})


def read_units(written):
    """Return a list of units, or how many of the strongest are wanted; `ValueError` for neither."""
    word, colon, number = str(written).partition(":")
    if word.strip() == "max":
        most = int(number) if colon else 1
        if most >= 1:
            return most
    elif not colon:
        return [int(part) for part in word.split(",")]
    raise ValueError


def read_position(written):
    """Return "max", "all" or (row, column); `ValueError` for none of them."""
    if written in ("max", "all"):
        return written
    row, column = map(int, str(written).split(","))
    return row, column


def _readable(read, wanted, metavar):
    """Return the kind of texts that `read` understands."""

    def fits(value):
        try:
            read(value)
        except ValueError:
            return False
        return True

    return Kind(str, fits, wanted, metavar)


UNITS = _readable(read_units, "max, max:9, a number from 0, or numbers as 3,17", "K|max")
POSITION = _readable(read_position, "max, all, or row,column as 3,4", "max|all|Y,X")


@dataclass(frozen=True)
class UnitSettings(LookSettings):
    """Which units of which layer, and how they are shown."""

    layer: str = setting(text("NAME"), help="see `minicnn models NETWORK`")
    unit: str = setting(
        UNITS, "max", "a unit from 0, several as 3,17, the strongest (max), or nine of them (max:9)"
    )
    position: str = setting(
        POSITION, "max", "where in its map: its maximum, everywhere, or a row and column"
    )
    start: str = setting(
        choice(STARTS), STARTS[0], "what is projected: the unit's activation, or 1"
    )
    clip: float = setting(
        CLIP, 0.005, "share of the values that may be shown as full black or white", group="picture"
    )


@dataclass(frozen=True)
class DeconvSettings(PolicySettings, UnitSettings):
    """What to project, and how."""
