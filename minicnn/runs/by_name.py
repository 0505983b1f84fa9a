"""Settings given by the names of their options, as in a manifest or a configuration file."""

import difflib

from minicnn.errors import MinicnnError
from minicnn.runs.options import option_of
from minicnn.runs.settings import FLAG, refusal


def named(*classes):
    """Return {option without dashes before it: (field, `Setting`)} of classes of settings."""
    found = {}
    for kind in classes:
        for field, declared in kind.declared():
            name = field.name if declared.argument else option_of(field, declared)
            found[name.lstrip("-").replace("_", "-")] = field, declared
    return found


def unknown(name, known, what):
    """Return the line that refuses a name which none of the `known` is."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? All are" if near else "there are"
    return f"no option {name!r} of {what}; {hint} {', '.join(known)}"


def assignment(text, known):
    """Return (option, value) of "OPTION=VALUE", with `known` as `named` returns it."""
    option, equals, written = text.partition("=")
    option = option.strip().lstrip("-")
    if option not in known or not equals:
        raise MinicnnError(
            f"--set {text} sets nothing; write OPTION=VALUE with one of {', '.join(known)}"
        )
    return option, value_of(option, *known[option], written)


def value_of(name, field, declared, given):
    """Return the value of a setting as the command line would have it.

    Parameters
    ----------
    given : text, number, bool, list or dict
        A text is read as on the command line. A list stands for several values, or for one written
        with commas, and a dict for layers with weights.

    Raises
    ------
    MinicnnError
        If it is none that the setting may have.
    """
    kind = declared.kind
    if kind is FLAG:
        if isinstance(given, str):
            given = {"true": True, "false": False}.get(given, given)
        if not isinstance(given, bool):
            raise MinicnnError(refusal(name, repr(given), kind))
        return given != (field.default is True)  # --no-flip: true means a flip of False
    several = declared.several or declared.repeated
    if not several:
        return _read(name, kind, given)
    given = given if isinstance(given, list) else [given]
    if not given:
        raise MinicnnError(f"{name} = []; give at least one")
    return [_read(name, kind, one) for one in given]


def as_value(name, declared, given):
    """Return the value of a setting in a program: as it is, or read if written as for `value_of`.

    Raises
    ------
    MinicnnError
        If it is written, and none that the setting may have.
    """
    kind, single = declared.kind, not (declared.several or declared.repeated or declared.pair)
    if not isinstance(given, str | list) or not single or kind is FLAG or kind.fits(given):
        return given
    return _read(name, kind, given)


def _read(name, kind, given):
    try:
        value = kind.read(_written(given))
        if kind.fits(value):
            return value
    except MinicnnError:
        raise
    except ValueError:
        pass
    raise MinicnnError(refusal(name, repr(given), kind))


def _written(given):
    """Return a value as the command line writes it."""
    if isinstance(given, dict):
        return ",".join(f"{name}={_written(value)}" for name, value in given.items())
    if isinstance(given, list):
        return ",".join(map(_written, given))
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        raise ValueError
    return str(given)
