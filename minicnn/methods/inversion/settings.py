"""The settings of an inversion, and what they stand for on a network."""

from dataclasses import dataclass, field

from minicnn.errors import MinicnnError
from minicnn.methods.inversion.energy import PRESETS
from minicnn.runs.gram_settings import GramSettings
from minicnn.runs.search import SearchSettings
from minicnn.runs.settings import (
    SIZE,
    WEIGHT,
    Settings,
    SheetSettings,
    as_in,
    check_bits_of_sheet,
    choice,
    count,
    list_of,
    number,
    setting,
    text,
)

MOST = 64  # restarts
BETA = number(float, 1, wanted="a number of at least 1, such as 2", metavar="B")


def _weight(term):
    words = f"weight of {term}"
    return setting(WEIGHT, None, words, group="loss", shown="the preset's, by depth")


@dataclass(frozen=True)
class InvertSettings(SheetSettings, Settings):
    """Everything that decides the reconstruction; None is the default of the preset."""

    image: str = setting(
        text("IMAGE"), help="picture whose representation is inverted", argument=True
    )
    layers: list = setting(
        list_of(None, "NAME,..."),
        help="layer to invert; several make a row, see `minicnn models NAME`",
        option="--layer",
    )
    preset: str = setting(
        choice(PRESETS),
        "lbfgs",
        "energy and search: L-BFGS, or as Mahendran & Vedaldi 2015 or 2016",
    )
    restarts: int = setting(
        count(MOST), 1, "reconstructions from the seeds SEED, SEED+1, ... in a row"
    )
    width: int | None = setting(
        SIZE,
        None,
        "what the picture is stretched to",
        group="picture",
        shown="what the network was made for",
        option="--size",
        pair="height",
    )
    height: int | None = field(default=None, kw_only=True)
    data_weight: float | None = _weight("the distance of the representations")
    alpha_weight: float | None = _weight("the alpha-norm")
    tv_weight: float | None = _weight("the total variation (smoothness)")
    tv_beta: float = setting(BETA, 2.0, "exponent of the total variation", group="loss")
    jitter: int | None = setting(
        count(),
        None,
        "places of the moving window in each direction, for ijcv16",
        group="search",
        shown="a quarter of the stride",
    )
    optimizer: str | None = as_in(
        SearchSettings,
        "optimizer",
        default=None,
        kind=choice(("lbfgs-device", "lbfgs")),
        help="of the preset lbfgs: our own, where the picture is, or SciPy's",
        shown=PRESETS["lbfgs"].optimizer,
    )
    iterations: int | None = as_in(
        SearchSettings,
        "iterations",
        help="steps for each layer",
        shown=", ".join(f"{row.iterations} for {name}" for name, row in PRESETS.items()),
    )
    evaluations: int | None = as_in(
        SearchSettings, "evaluations", help="stop after N evaluations of the energy, each time"
    )
    pool: str | None = as_in(Settings, "pool", shown="max")
    bits: int = as_in(GramSettings, "bits")

    @property
    def several(self):
        """Whether there are several searches, whose pictures make a sheet."""
        return len(self.layers) > 1 or self.restarts > 1

    def inputs(self):
        """Return {role: picture file}."""
        return {"image": self.image}

    def check(self):
        """Refuse settings with which no run can be, before any file is opened."""
        super().check()
        if not self.layers or len(set(self.layers)) < len(self.layers):
            names = ", ".join(self.layers) or "none"
            raise MinicnnError(f"layers {names}; name at least one, each once")
        if self.several:
            check_bits_of_sheet(self.bits)
        if self.data_weight == 0:
            raise MinicnnError("data_weight = 0 leaves nothing to invert; use a positive number")
        # records of the other presets say "lbfgs", which they do not read
        if self.optimizer not in (None, "lbfgs") and self.preset != "lbfgs":
            raise MinicnnError(
                f"the preset {self.preset} has its own optimizer; leave out --optimizer"
            )
        if self.jitter is not None and self.preset != "ijcv16":
            raise MinicnnError(
                f"the preset {self.preset} has no jitter; leave it out or use ijcv16"
            )

    def check_outputs(self, outputs):
        """Refuse to show several searches as one."""
        if self.several and (outputs.frames or outputs.gif):
            raise MinicnnError(
                "--frames and --gif show one search; name one --layer, and leave out --restarts"
            )


def resolve(settings, net):
    """Return the settings with every None replaced by what it stands for, but the weights.

    Those depend on the layer: see `run.InvertJob.strengths`.

    Raises
    ------
    MinicnnError
        If a layer is not there, or a picture of this size does not reach it.
    """
    settings = settings.filled(
        {
            "network": net.attrs["name"],
            "pool": net.attrs["pool"],
            "height": net.input_shape[1],
            "width": net.input_shape[2],
            "iterations": settings.evaluations or PRESETS[settings.preset].iterations,
            # the other presets do not read it; their records have always said "lbfgs"
            "optimizer": "lbfgs-device" if settings.preset == "lbfgs" else "lbfgs",
        }
    )
    last = net.nodes_until(settings.layers)[-1].name
    try:
        net.shapes((net.input_shape[0], settings.height, settings.width), settings.layers)
    except MinicnnError as error:
        raise MinicnnError(
            f"a picture of {settings.width} x {settings.height} pixels does not reach layer "
            f"{last} ({error}); {_size_that_does(net, settings.layers)}"
        ) from None
    return settings


def _size_that_does(net, layers):
    """Say the least size of pictures for layers; or the only one, which the weights ask for."""
    channels, rows, columns = net.input_shape

    def fits(side):
        try:
            return bool(net.shapes((channels, side, side), layers))
        except MinicnnError:
            return False

    least = next(filter(fits, range(1, max(rows, columns) + 1)), None)
    if least is None or not fits(2 * least):
        return f"use --size {columns}x{rows}, which the network is made for"
    return f"use --size {least} or more"
