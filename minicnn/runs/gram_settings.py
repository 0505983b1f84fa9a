"""The settings that `style` and `texture` share."""

from dataclasses import dataclass

from minicnn.network.replicate_edges import PADDINGS
from minicnn.runs.inputs import PAINTER
from minicnn.runs.search import SearchSettings
from minicnn.runs.settings import BITS, LARGEST, WEIGHT, as_in, choice, count, one_or_list, setting


@dataclass(frozen=True, kw_only=True)
class GramSettings(SearchSettings):
    """Of a search that matches Gram matrices; None is the default of the network."""

    network: str | None = as_in(SearchSettings, "network", shown=PAINTER)
    tv_weight: float | None = setting(
        WEIGHT,
        None,
        "weight of the total variation (smoothness)",
        group="loss",
        shown="the network's",
    )
    padding: str | None = setting(
        choice(PADDINGS),
        None,
        "what the first layer sees beyond the edge: zeros, or the edge again",
        group="loss",
        shown="the network's: the edge again with slimvgg, and where the first layer pads nothing",
        before="zero",
    )
    tile: int | None = setting(
        count(LARGEST),
        None,
        "compute in tiles of N x N pixels: in less memory and more time, the same loss",
        group="machine",
    )
    scales: int | None = setting(
        count(),
        None,
        "sizes to paint at, each twice the one before; the last is that of the result",
        group="search",
        shown="from about 100 pixels on",
        before=1,
    )
    iterations: int | list | None = as_in(
        SearchSettings,
        "iterations",
        kind=one_or_list(count(), "N|N,N,..."),
        help="steps of the optimizer in all, shared out among the sizes; or those at each size",
        shown="150 at each size for both L-BFGS, else 250",
    )
    coarse_iterations: int | None = setting(
        count(),
        None,
        "how many of them at each size before the full one",
        group="search",
        shown="equal shares",
    )
    precision: str = setting(
        choice(("auto", "fp32", "tf32", "fp16")),
        "auto",
        "of matrix products on a GPU; auto is tf32 where it has it",
        group="machine",
        before="fp32",
    )
    bits: int = setting(BITS, 8, "bits a channel of the picture; 16 for .png", group="files")
