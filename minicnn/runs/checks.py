"""What the settings of several verbs are checked for; None is a default, and right."""

import math

from minicnn.errors import MinicnnError
from minicnn.optimizers import WITHOUT_RATE

LARGEST = 10_000  # pixels a side


def counts(settings, most):
    """Refuse what is no whole number from 1 up: {name of the setting: largest, or None}."""
    for name, largest in most.items():
        value = getattr(settings, name)
        if value is not None and not 1 <= value <= (largest or value):
            allowed = f"from 1 to {largest}" if largest else "of at least 1"
            raise MinicnnError(f"{name} = {value}; use a whole number {allowed}")


def bits(settings, sheet=False):
    """Refuse a depth of colour that no picture file has, or none that is a `sheet` of several."""
    if settings.bits not in (8, 16):
        raise MinicnnError(f"bits = {settings.bits}; use 8 or 16")
    if sheet and settings.bits == 16:
        raise MinicnnError(
            "a sheet of several pictures has 8 bits a channel; leave out the 16 bits"
        )


def not_negative(values):
    """Refuse what is negative or not finite: {name: value}."""
    for name, value in values.items():
        if value is not None and not 0 <= value < math.inf:
            raise MinicnnError(f"{name} = {value}; use a finite number that is not negative")


def positive(values):
    """Refuse what is not positive or not finite: {name: value}."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise MinicnnError(f"{name} = {value}; use a positive finite number")


def one_of(choices):
    """Refuse what is not known: list of (value, known ones, what they are)."""
    for value, known, what in choices:
        if value is not None and value not in known:
            raise MinicnnError(f"no {what} {value!r}; use {', '.join(known)}")


def tones(path, rgb, what="texture"):
    """Refuse a picture uint8 (H, W, 3) of one flat colour, which has no `what`."""
    if (rgb == rgb[:1, :1]).all():
        raise MinicnnError(
            f"{str(path)!r} is one flat colour, there is no {what} in it; use another picture"
        )


def search(settings):
    """Refuse a seed or a learning rate that cannot be."""
    positive({"learning_rate": settings.learning_rate})
    if settings.learning_rate is not None and settings.optimizer in WITHOUT_RATE:
        raise MinicnnError(
            f"{settings.optimizer} takes no learning rate; leave it out or use another optimizer"
        )
    counts(settings, {"evaluations": None})
    seed(settings)


def seed(settings):
    """Refuse a seed below 0."""
    if settings.seed < 0:
        raise MinicnnError(f"seed {settings.seed}; use a whole number that is not negative")
