"""What every verb that makes a picture shares: reading its files, and what the picture carries.

A verb has settings (a frozen dataclass) with two methods, and a job that they prepare:

    settings.inputs()        {role: picture file}
    settings.prepare(files)  a `Job`: everything checked, every default filled in, arrays made;
                             `files` is role -> where a picture named in the settings lies now;
                             whatever would make the run fail is a `MinicnnError` of one line
    job.run(callback)        an outcome: `picture`, `result` (of `optimizers`), `losses`; and
                             `findings`, a dict of whatever else was measured
    job.row(outcome)         {label: picture}, what `--sheet` puts side by side
    job.snapshot(x)          the picture that x stands for, on the way
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import get_type_hints

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.runs import provenance
from minicnn.weights import checkpoint

# settings that there were once -> the value that changed nothing
GONE = {"carry": False}


def settings_from(kind, values, what):
    """Return the settings of class `kind` from a dict that came from a file.

    Settings that the file does not have, because its picture is older than they are, get their
    defaults; or what they stood for then, where a field says so in its metadata (`since`).
    Settings that are `GONE` are left out where they changed nothing.

    Parameters
    ----------
    kind : dataclass
    values : anything
    what : str
        What the settings are of, for the message.

    Returns
    -------
    settings : kind
    filled : {name: value}
        Of the settings that the file does not have.

    Raises
    ------
    MinicnnError
        If a name is unknown, one without a default is missing, a value has another type, or the
        picture was made with a setting that is gone.
    """
    kinds = get_type_hints(kind)
    unfit = MinicnnError(f"the settings are not those of this version of minicnn's {what}")
    if not isinstance(values, Mapping):
        raise unfit
    values = dict(values)
    for name in GONE.keys() & values.keys() - kinds.keys():
        if (value := values.pop(name)) != GONE[name]:
            raise MinicnnError(
                f"the setting {name} = {value!r} is no longer there; use minicnn {what} with the "
                "other settings of the picture"
            )
    filled = {
        entry.name: entry.metadata.get("before", entry.default)
        for entry in fields(kind)
        if entry.name not in values
    }
    if set(values) - set(kinds) or MISSING in filled.values():
        raise unfit
    for name, value in values.items():
        like = float(value) if type(value) is int and isinstance(1.0, kinds[name]) else value
        numbers = value.values() if isinstance(value, Mapping) else ()
        if not isinstance(like, kinds[name]) or not all(type(n) in (int, float) for n in numbers):
            raise MinicnnError(f"the setting {name} = {value!r} makes no sense")
    return kind(**values, **filled), filled


def filled(settings, defaults):
    """Return the settings in which every None that `defaults` names has the value given there."""
    missing = {key: value for key, value in defaults.items() if getattr(settings, key) is None}
    return replace(settings, **missing)


def since(default, *, before):
    """Return a field for a setting that came later: pictures without it were made with `before`."""
    return field(default=default, metadata={"before": before})


class Job:
    """The base of the jobs: has `settings`, `net`, `inputs`, `notes` and `device`."""

    verb = ""

    lead = 0  # iterations before those that `settings.iterations` counts

    @property
    def steps(self):
        """Iterations of the whole run."""
        return self.lead + self.settings.iterations

    def metadata(self, result, settings=None):
        """Return what a picture carries: all that is needed to make it again, and its losses."""
        return {
            "verb": self.verb,
            "settings": asdict(settings or self.settings),
            "inputs": self.inputs,
            "weights": {"network": self.net.attrs["name"], "sha256": self.weights_hash},
            "versions": provenance.versions(self.device, self.settings.threads),
            "result": result,
        }

    @cached_property
    def weights_hash(self):
        """The SHA-256 of the network's parameters."""
        return checkpoint.weights_hash(self.net)

    def check_weights(self, expected=None):
        """Refuse a network whose parameters have another SHA-256 than the one expected, if any."""
        if expected not in (None, self.weights_hash):
            raise MinicnnError(
                f"the weights of {self.net.attrs['name']} are others now (SHA-256 "
                f"{self.weights_hash}, then {expected}); put the old file back"
            )


@dataclass(frozen=True)
class Outcome:
    """What a run has made.

    Attributes
    ----------
    picture : uint8 (H, W, 3)
    result : optimizers.Result, behind it
    findings : dict, name -> what else was measured, plain values
    """

    picture: np.ndarray
    result: object
    findings: dict = field(default_factory=dict)

    @property
    def losses(self):
        """The weighted value of each term at the picture, and their sum as "total"."""
        return {**self.result.terms, "total": self.result.value}
