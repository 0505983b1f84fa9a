"""The settings of `explore`."""

from dataclasses import dataclass

from minicnn.runs.look_run import LookSettings
from minicnn.runs.settings import Declared, JsonOption, Settings, as_in, number, setting, text

PORT = number(int, 0, 65535, wanted="a whole number from 0 to 65535")


@dataclass(frozen=True)
class ExploreSettings(Declared):
    """Which networks are explored, and where the page is served."""

    networks: list = setting(
        text("NETWORK"),
        ("minivgg",),
        "one network or two: at hand, a weight file, or random:NAME for an untrained one",
        shown="minivgg",
        option="NETWORK",
        argument=True,
        several=True,
    )
    picture: str | None = setting(
        text("FILE"), None, "picture to begin with", group="picture", shown="that of the demo"
    )
    size: int | None = as_in(LookSettings, "size")
    features: list | None = setting(
        text("FILE"),
        None,
        "features.h5 of a scan by `minicnn features`: the page shows its drawings of each unit",
        several=True,
    )
    seed: int = as_in(Settings, "seed", help="of untrained weights", group="network")
    port: int = setting(PORT, 0, "port of 127.0.0.1", group="machine", shown="a free one")
    threads: int | None = as_in(Settings, "threads")
    json: bool = as_in(JsonOption, "json", help="the address as a JSON line")
