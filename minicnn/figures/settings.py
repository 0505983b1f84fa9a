"""The settings of the figures."""

from dataclasses import dataclass

from minicnn.runs.inputs import DEFAULT, PAINTER
from minicnn.runs.settings import Settings, SheetSettings, as_in, count, setting, text


@dataclass(frozen=True, kw_only=True)
class FigureSettings(SheetSettings):
    """Which pictures, how large, how long."""

    picture: str | None = setting(
        text("PICTURE"), None, "content, and what is looked at", shown="the demo's"
    )
    style: list | None = setting(
        text("STYLE"),
        None,
        "styles and textures; the first one is that of figures 11 and 14",
        shown="the demo's, and two that are drawn",
        several=True,
    )
    data: str | None = setting(
        text("DATASET"),
        None,
        "folder of pictures or HDF5 file, where units are looked for (figures 4 to 8)",
        shown="shapes and textures that are drawn, and tiles of the pictures",
    )
    inside: str = setting(
        text("NETWORK"), "minizfnet", "at hand, or a file: whose units are drawn (figures 2 to 8)"
    )
    beside: str = setting(
        text("NETWORK"), "minialexnet", "likewise: what that one is compared with (figures 7 and 8)"
    )
    snapshots: list | None = setting(
        text("FILE"),
        None,
        "weights at moments of its training, as `train --snapshots` writes them (figure 6)",
        shown="those at hand",
        several=True,
    )
    size: int = setting(count(1024), 144, "long side of what is painted in pixels", group="picture")
    iterations: int = setting(count(), 40, "of each search", group="search")
    network: str | None = as_in(
        Settings,
        "network",
        help="that paints (figures 9 to 14)",
        shown=f"{DEFAULT}, {PAINTER} for figure 13",
    )
    weights: str | None = as_in(Settings, "weights")
    seed: int = as_in(Settings, "seed")
    threads: int | None = as_in(Settings, "threads")
