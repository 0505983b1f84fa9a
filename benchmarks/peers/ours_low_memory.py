"""ours, keeping less."""

from functools import partial

from peers import ours

PACKAGES = ours.PACKAGES
KINDS = ("gradient",)
WHEN = "asked"

prepare = partial(ours.prepare, engine="low-memory")
