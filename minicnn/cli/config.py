"""Defaults of one's own: a TOML file with a table for each verb, its keys the names of options.

    [style]
    size = 256
    style-layers = {"relu1_1" = 1, "relu2_1" = 0.5}

What the command line says comes first, then this file, then the environment (MINICNN_THREADS), then
the defaults of the network, the optimizer or the program.
"""

import difflib

from minicnn.cli.register import VERBS
from minicnn.errors import MinicnnError
from minicnn.runs import by_name


def preset(path, verb, classes):
    """Return {setting: value} of the table of a verb in a file; {} if there is none.

    `classes` are those of its settings. Raises `MinicnnError` for what no verb or option has.
    """
    tables = _read(path)
    for name, table in tables.items():
        if name not in VERBS or not isinstance(table, dict):
            near = difflib.get_close_matches(name, VERBS, 1)
            hint = f"did you mean [{near[0]}]?" if near else f"use one of {', '.join(VERBS)}"
            raise MinicnnError(f"{path}: {name!r} is no table of a verb; {hint}")
    known = {
        option: (field, declared)
        for option, (field, declared) in by_name.named(*classes).items()
        if not declared.argument and field.name != "config"
    }
    found = {}
    for key, given in tables.get(verb, {}).items():
        option = key.replace("_", "-")
        try:
            if option not in known:
                raise MinicnnError(by_name.unknown(key, known, verb))
            found[known[option][0].name] = by_name.value_of(option, *known[option], given)
        except MinicnnError as error:
            raise MinicnnError(f"{path}, [{verb}]: {error}") from None
    return found


def _read(path):
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib
        except ImportError:
            raise MinicnnError(
                "--config needs Python 3.11, or tomli: pip install tomli; or give the options"
            ) from None
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:  # ValueError: no TOML, or no UTF-8
        reason = getattr(error, "strerror", None) or error
        raise MinicnnError(f"cannot read the configuration {path!r}: {reason}") from None
