"""Settings, declared once: type, default, help and check; options, tables and reruns follow.

    size: int | None = setting(count(LARGEST), None, "long side in pixels", shown="512")

A class of settings is a frozen dataclass that derives from `Declared`, whose fields are made by
`setting`. From them come the options of the command line (`runs.options`), the table in the
method's README, the check of every value, and what `rerun` reads out of a picture.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, NamedTuple

from minicnn.errors import MinicnnError

LARGEST = 10_000  # pixels a side
# of the help
GROUPS = ("what", "picture", "loss", "projection", "search", "network", "machine", "files")


class Kind(NamedTuple):
    """What values a setting has: how one is written, and which are allowed."""

    read: Callable  # text of the command line -> value; a ValueError is told as `wanted`
    fits: Callable  # value -> bool
    wanted: str
    metavar: str | None = None
    choices: tuple = ()


class Setting(NamedTuple):
    """What is declared of a setting beside its default."""

    kind: Kind
    help: str
    group: str = "what"
    shown: str | None = None  # the default in words, where it depends on something
    option: str | None = None  # another name than that of the field
    argument: bool = False  # given by its place, not by an option
    several: bool = False  # takes several values
    repeated: bool = False  # or the option is given several times
    pair: str | None = None  # the setting that gets the second half of the value
    before: Any = MISSING  # what pictures that do not have it were made with
    old: tuple = ()  # old spellings of the option
    consts: tuple = ()  # further options that stand for a value: (spelling, value, help)


def setting(kind, default=MISSING, help="", **more):
    """Return a dataclass field that declares a setting; `more` as in `Setting`."""
    declared = Setting(kind, help, **more)
    return field(default=default, metadata={"setting": declared}, kw_only=not declared.argument)


def as_in(kind, name, /, **changes):
    """Return the field that declares a setting as the class `kind` does, but for some changes."""
    field_ = kind.__dataclass_fields__[name]
    default = changes.pop("default", field_.default)
    declared = field_.metadata["setting"]._replace(**changes)
    return field(default=default, metadata={"setting": declared}, kw_only=field_.kw_only)


# kinds


def number(read, least, most=math.inf, *, wanted, metavar="N", above=False):
    """Return the kind of numbers from `least` to `most`; `above`: larger than `least`."""

    def fits(value):
        if isinstance(value, bool) or not isinstance(value, (int, read)):
            return False
        return (least < value if above else least <= value) and value <= most and value != math.inf

    return Kind(read, fits, wanted, metavar)


def count(most=math.inf):
    """Return the kind of whole numbers from 1 on, or up to `most`."""
    to = "of at least 1" if most == math.inf else f"from 1 to {most}"
    return number(int, 1, most, wanted=f"a whole number {to}")


def choice(names):
    """Return the kind of one of several words."""
    names = tuple(names)
    return Kind(str, lambda value: value in names, " or ".join(names), None, names)


def text(metavar):
    """Return the kind of any text: a file, a name."""
    return Kind(str, lambda value: isinstance(value, str), "a text", metavar)


DEVICES = text("auto|cpu|cuda|cuda:0,cuda:1")
SHARED_OUT = "where to compute; several CUDA devices share the work"


def readable(read, wanted, metavar):
    """Return the kind of texts that `read` understands; it raises a ValueError for others."""

    def fits(value):
        try:
            read(value)
        except ValueError:
            return False
        return True

    return Kind(str, fits, wanted, metavar)


def one_or_list(kind, metavar):
    """Return the kind of one value, or of a list written with commas."""

    def read(written):
        found = [kind.read(part) for part in written.split(",")]
        return found if len(found) > 1 else found[0]

    def fits(value):
        return all(map(kind.fits, value if isinstance(value, list) else [value]))

    return Kind(read, fits, kind.wanted, metavar)


def list_of(kind, metavar):
    """Return the kind of lists written with commas: of a kind, or of names where it is None."""
    kind = kind or Kind(str.strip, bool, "names with commas between them")

    def fits(value):
        return isinstance(value, (list, tuple)) and all(map(kind.fits, value))

    return Kind(
        lambda written: [kind.read(part) for part in written.split(",")], fits, kind.wanted, metavar
    )


def _read_layers(written):
    found = {}
    for part in written.split(","):
        name, equals, factor = part.strip().replace(":", "=").partition("=")
        if not name or name in found:
            raise ValueError
        found[name] = float(factor) if equals else 1.0
    return found


def _read_size(written):
    width, x, height = written.partition("x")
    return int(width), int(height if x else width)


NATURAL = number(int, 0, wanted="a whole number of at least 0")
WEIGHT = number(float, 0, wanted="a finite number that is not negative", metavar="W")
POSITIVE = number(float, 0, wanted="a positive finite number", metavar="F", above=True)
SHARE = number(float, 0, 1, wanted="a number from 0 to 1", metavar="F")
CLIP = Kind(
    float,
    lambda value: SHARE.fits(value) and value < 1,
    "a share from 0 to below 1",
    "SHARE",
)
BITS = Kind(int, lambda value: value in (8, 16), "8 or 16", "8|16")
FLAG = Kind(bool, lambda value: isinstance(value, bool), "true or false")
LAYERS = Kind(
    _read_layers,
    lambda value: isinstance(value, Mapping) and all(map(WEIGHT.fits, value.values())),
    "layers, each once, with weights that are not negative, as relu1_1,relu2_1=0.5",
    "LIST",
)
SIZE = Kind(
    _read_size,
    lambda value: all(map(count(LARGEST).fits, value)),
    f"a size; write 512 or 640x480, with sides from 1 to {LARGEST}",
    "N|WxH",
)


# classes of settings


class Declared:
    """The base of classes of settings."""

    @classmethod
    def declared(cls):
        """Return [(field, `Setting`)] of those that are declared."""
        return [(f, f.metadata["setting"]) for f in fields(cls) if "setting" in f.metadata]

    @classmethod
    def by_name(cls):
        """Return {name: `Setting`}, the second names of pairs too."""
        found = {}
        for entry, declared in cls.declared():
            found |= dict.fromkeys(filter(None, (entry.name, declared.pair)), declared)
        return found

    def check(self) -> None:
        """Raise `MinicnnError` for the first value that is not allowed; None is a default."""
        for name, declared in self.by_name().items():
            value = getattr(self, name)
            if value is not None and not allowed(value, declared):
                raise MinicnnError(refusal(name, value, declared.kind))

    def filled(self, defaults):
        """Return the settings in which every None that `defaults` names has the value there."""
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing)


def allowed(value, declared):
    """Return whether a setting may have a value."""
    kind = declared.kind
    if declared.several or declared.repeated:
        return all(map(kind.fits, [value] if isinstance(value, str) else value))
    return kind.fits((value, value) if declared.pair else value)


def refusal(name, value, kind):
    """Return the line that refuses a value."""
    if kind.choices:
        return f"no {name.replace('_', ' ')} {value!r}; use {', '.join(kind.choices)}"
    return f"{name} = {value}; use {kind.wanted}"


def check_bits_of_sheet(bits) -> None:
    """Refuse 16 bits a channel for a sheet of several pictures."""
    if bits == 16:
        raise MinicnnError(
            "a sheet of several pictures has 8 bits a channel; leave out the 16 bits"
        )


def settings_of(kind, args, **others):
    """Return the settings of class `kind` of the arguments; `others` are those not named there."""
    values = {}
    for entry, declared in kind.declared():
        if not hasattr(args, entry.name):
            continue
        value = getattr(args, entry.name)
        if declared.pair:
            value, values[declared.pair] = value or (None, None)
        values.setdefault(entry.name, value)
    return kind(**{**values, **others})


# the settings that all methods share


@dataclass(frozen=True, kw_only=True)
class Settings(Declared):
    """Which network, how it computes, and the seed; None is the default of the network."""

    network: str | None = setting(
        text("NAME"), None, "see `minicnn models`", group="network", shown="minivgg"
    )
    weights: str | None = setting(
        text("FILE"),
        None,
        "HDF5 file of weights, a network at hand, or `random`: drawn from the seed",
        group="network",
        shown="the network's own",
    )
    pool: str | None = setting(
        choice(("average", "max")),
        None,
        "what the network pools by",
        group="network",
        shown="the network's",
    )
    seed: int = setting(NATURAL, 0, "of all that is drawn at random", group="search")
    engine: str = setting(
        choice(("auto", "explicit", "fast", "low-memory")),
        "auto",
        "how to compute: the formulas as written (explicit), or faster",
        group="machine",
        consts=(
            (
                "--low-memory",
                "low-memory",
                "keep less on the CPU: the large filters of VGG in one copy for small pictures too",
            ),
        ),
    )
    device: str = setting(text("auto|cpu|cuda|cuda:1"), "auto", "where to compute", group="machine")
    threads: int | None = setting(
        count(), None, "worker threads", group="machine", shown="one a processor"
    )

    def inputs(self):
        """Return {role: picture file}."""
        return {}

    def check_outputs(self, outputs) -> None:
        """Raise `MinicnnError` for files that no run with these settings writes."""


@dataclass(frozen=True, kw_only=True)
class SheetSettings(Declared):
    """What sheets look like, of all verbs that draw some."""

    dark: bool = setting(FLAG, False, "sheets and pages on black, letters in white", group="files")

    @property
    def paper(self):
        """The `Paper` of sheets."""
        from minicnn.pictures.lettering import DARK, LIGHT  # not for the options alone

        return DARK if self.dark else LIGHT


@dataclass(frozen=True, kw_only=True)
class JsonOption(Declared):
    """How a verb speaks that only prints."""

    json: bool = setting(FLAG, False, "as JSON, one object a line", group="files")


@dataclass(frozen=True, kw_only=True)
class RunOptions(Declared):
    """What every run is told beside its settings; none of it changes a number."""

    gpu_memory: str | None = setting(
        text("SIZE"),
        None,
        "at most so much of each GPU: 8G, 500M or 50%%",
        group="machine",
        shown="all",
    )
    force: bool = setting(FLAG, False, "replace files that exist", group="files")
    quiet: bool = setting(FLAG, False, "no progress", group="files")
    json: bool = setting(FLAG, False, "progress and result as JSON lines", group="files")
    log_file: str | None = setting(
        text("FILE"), None, "add what is said to a file, each line with its time", group="files"
    )
    config: str | None = setting(
        text("FILE"),
        None,
        "a TOML file with a table for each verb, size = 256 in [style]: for options that are not "
        "given here",
        group="files",
    )
