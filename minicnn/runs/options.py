"""Options of the command line and tables of the documentation, from declared settings."""

import argparse
import sys
from dataclasses import MISSING

from minicnn.errors import MinicnnError
from minicnn.runs.settings import FLAG, GROUPS, RunOptions
from minicnn.terminal.report import say

TITLES = {
    "what": "what to make",
    "picture": "size, start and colours",
    "loss": "the loss",
    "projection": "the way down to the picture",
    "search": "the search",
    "network": "the network",
    "machine": "the machine",
    "files": "files and messages",
}


def add_settings(verb, *classes) -> None:
    """Declare an option for every setting of the classes, group by group."""
    verb.declared = classes  # for the tables of the documentation
    for group, entries in _by_group(classes).items():
        section = verb.add_argument_group(TITLES[group])
        for field, setting in entries:
            _add(section, field, setting)


def _by_group(classes):
    """Return {group: its settings, as of `declared`}, arguments first; without empty groups."""
    entries = [entry for kind in classes for entry in kind.declared()]
    entries.sort(key=lambda entry: not entry[1].argument)
    found = {group: [one for one in entries if one[1].group == group] for group in GROUPS}
    return {group: chosen for group, chosen in found.items() if chosen}


def option_of(field, setting) -> str:
    """Return how a setting is spelt on the command line, as --style-weight."""
    if setting.argument:
        return setting.option or field.name.upper()
    no = "no-" if field.default is True else ""
    return setting.option or f"--{no}{field.name.replace('_', '-')}"


def default_of(field, setting) -> str:
    """Return the default in words, or "" where there is none to tell."""
    if setting.shown is not None:
        return setting.shown
    default = field.default
    if default in (None, MISSING) or isinstance(default, (bool, tuple)):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _add(section, field, setting):
    kind, default = setting.kind, default_of(field, setting)
    told = setting.help + (f" (default: {default})" if default else "")
    how = {"help": told}
    if kind is FLAG:
        how["action"] = "store_false" if field.default else "store_true"
    else:
        if kind.choices:
            how["choices"] = kind.choices
        else:
            how |= {"type": _reader(setting), "metavar": kind.metavar}
        if setting.argument and field.default is not MISSING:
            how |= {"nargs": "?", "default": field.default}
        if setting.several:
            how["nargs"] = "*" if setting.argument and field.default is not MISSING else "+"
            if not setting.argument:
                how["action"] = "extend"
    if setting.repeated:
        how["action"] = "append"
    if setting.argument:
        if field.default is not MISSING:
            how["default"] = field.default
        section.add_argument(field.name, **{**how, "metavar": option_of(field, setting)})
        return
    how["dest"] = field.name
    names = [option_of(field, setting)]
    if field.name == "output":
        names.insert(0, "-o")
    if field.default is MISSING:
        how["required"] = True
        target = section
        if setting.old:  # one of the spellings is enough
            target = section.add_mutually_exclusive_group(required=True)
            del how["required"]
        target.add_argument(*names, **how)
    else:
        # of the option and those that stand for one of its values, one is enough
        target = section.add_mutually_exclusive_group() if setting.consts else section
        option = target.add_argument(*names, default=field.default, **how)
        # an option that once took no value still may stand alone, see `Parser.parse_known_args`
        option.alone = kind.metavar if names[-1] in setting.old else None
    for old in (spelling for spelling in setting.old if spelling not in names):
        hidden = {**how, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        hidden.pop("required", None)
        target.add_argument(old, **_old_spelling(hidden, names[-1]))
    for spelling, value, words in setting.consts:
        target.add_argument(
            spelling, dest=field.name, action="store_const", const=value, help=words
        )


def _reader(setting):
    """Return argparse's `type` of a kind."""
    kind = setting.kind

    def read(text):
        try:
            value = kind.read(text)
            fits = kind.fits(value)
        except MinicnnError as error:  # it says more than the kind
            raise argparse.ArgumentTypeError(str(error)) from None
        except ValueError:
            fits = False
        if not fits:
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind.wanted}")
        return value

    return read


def _old_spelling(how, new):
    """Return the arguments of an option that works as before and says its new name."""
    base = {
        "store_true": argparse._StoreTrueAction,
        "store_false": argparse._StoreFalseAction,
        "extend": argparse._ExtendAction,
    }.get(how.pop("action", None), argparse._StoreAction)

    class Old(base):
        def __call__(self, parser, namespace, values, option_string=None):
            say(f"minicnn: {option_string} is called {new} now", sys.stderr)
            super().__call__(parser, namespace, values, option_string)

    return {**how, "action": Old}


def table(*classes) -> str:
    """Return the options of classes of settings as a table in Markdown."""
    rows = ["| option | default | what it does |", "|---|---|---|"]
    shared = {field.name for field, _ in RunOptions.declared()}
    for entries in _by_group(classes).values():
        for field, setting in entries:
            if field.name in shared:
                continue
            kind, option = setting.kind, option_of(field, setting)
            values = "|".join(kind.choices) if kind.choices else (kind.metavar or "")
            values = "" if kind is FLAG or setting.argument else values
            cell = f"`{option} {values}`".replace("|", "\\|") if values else f"`{option}`"
            words = setting.help.replace("|", "\\|").replace("%%", "%")
            rows.append(f"| {cell} | {default_of(field, setting)} | {words} |")
    return "\n".join(rows)
