"""What the rows of a batch mean: settings and outputs of a verb, checked before anything starts."""

import string
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import SimpleNamespace

from minicnn.errors import MinicnnError
from minicnn.pictures.writer import SUFFIXES
from minicnn.runs import by_name
from minicnn.runs.settings import FLAG, RunOptions, settings_of

FILES = ("output", "sheet", "plot", "npz", "overlay", "gif")  # what a run writes
FOLDERS = ("frames",)
OF_ALL = (*(field.name for field, _ in RunOptions.declared()), "estimate", "sweep", "resume")


@dataclass(frozen=True)
class BatchRow:
    """A job: `settings` and `outputs` of a verb; its number from 1 on, its place for messages."""

    number: int
    place: str
    verb: str
    settings: object
    outputs: object

    def files(self):
        """Return {what: path} of the files that it writes, the picture first."""
        paths = {name: getattr(self.outputs, name, None) for name in FILES}
        return {name: path for name, path in paths.items() if path}


def rows_of(written, settings, verb_of, verbs):
    """Return the `BatchRow`s of written ones.

    Parameters
    ----------
    written : list of manifest.Written
    settings : BatchSettings
    verb_of : callable, name -> verb
    verbs : list of str, those whose pictures can be made in a batch

    Raises
    ------
    MinicnnError
        For the first that is wrong, with its place and what is allowed; or for two that write one
        file, or one that writes a file that another one reads.
    """
    known = {}  # verb -> its options, and the settings of all rows
    found, taken = [], {}
    for number, row in enumerate(written, 1):
        name = row.values.pop("verb", settings.verb)
        if name not in verbs:
            raise row.fault(f"no verb {name!r} makes a picture; use {', '.join(verbs)}", "verb")
        if name not in known:
            known[name] = _known(name, verb_of(name), settings)
        found.append(_row(number, row, name, verb_of(name), *known[name], settings))
        for path in found[-1].files().values():
            place = _absolute(path)
            if place in taken:
                raise row.fault(f"{path!r} is written by {taken[place]} too", "output")
            taken[place] = _told(row, number)
    for row, source in zip(found, written, strict=True):
        for path in row.settings.inputs().values():
            if (place := _absolute(path)) in taken:
                raise source.fault(
                    f"{path!r} is written by {taken[place]}; read what is there before"
                )
    return found


def _told(row, number):
    return f"line {row.line}" if row.line else f"row {number}"


def _absolute(path):
    return Path(path).absolute()  # `resolve` would ask the disk for every part of every path


def _known(name, verb, settings):
    """Return ({option: (field, `Setting`)}, {option: value of all rows}) of a verb."""
    options = by_name.named(verb.settings, verb.outputs)
    options = {option: found for option, found in options.items() if found[0].name not in OF_ALL}
    return options, dict(by_name.assignment(text, options) for text in settings.changes or ())


def _row(number, row, name, verb, options, common, settings):
    values = dict(common)
    for key, given in row.values.items():
        option = key.replace("_", "-")
        if option not in options:
            raise row.fault(by_name.unknown(key, options, name), key)
        if given is not None:
            try:
                values[option] = by_name.value_of(option, *options[option], given)
            except MinicnnError as error:
                raise row.fault(error, key) from None
    try:
        if "output" not in values:
            values["output"] = _named(settings.name, number, name, values, options)
        lacking = [o for o, (f, _) in options.items() if f.default is MISSING and o not in values]
        if lacking:
            raise MinicnnError(f"{name} needs {' and '.join(lacking)}")
        given = {options[option][0].name: value for option, value in values.items()}
        for what in (*FILES, *FOLDERS):
            if given.get(what):
                given[what] = str(Path(settings.output, given[what]))
        own = settings_of(verb.settings, SimpleNamespace(**given))
        # what has been made from something else is told by `work`
        outputs = settings_of(verb.outputs, SimpleNamespace(**given, force=True, quiet=True))
        own.check()
        own.check_outputs(outputs)
        if Path(outputs.output).suffix.lower() not in SUFFIXES:
            raise MinicnnError(f"output = {outputs.output!r}; use one of {', '.join(SUFFIXES)}")
    except MinicnnError as error:
        raise row.fault(error) from None
    return BatchRow(
        number, row.file + (f", line {row.line}" if row.line else ""), name, own, outputs
    )


def _named(template, number, verb, values, options):
    """Return the name of a picture by the template."""
    if template is None:
        raise MinicnnError("no output, and no --name TEMPLATE to make one of")
    words = {
        option: _in_name(value)
        for option, value in values.items()
        if options[option][1].kind is not FLAG
    }
    words |= {"row": number, "verb": verb}
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template)]
        for field in filter(lambda field: field is not None, fields):
            if field not in words:
                raise MinicnnError(f"--name has {{{field}}}, and the row {', '.join(words)}")
        return template.format(**words)
    except MinicnnError:
        raise
    except (ValueError, IndexError, KeyError) as error:
        raise MinicnnError(f"--name {template!r} is no template: {error}") from None


def _in_name(value):
    """Return a value as a part of a file name: of files the stem."""
    if isinstance(value, (list, tuple)):
        return "-".join(_in_name(one) for one in value)
    if isinstance(value, dict):
        return "-".join(value)
    return Path(value).stem if isinstance(value, str) else f"{value:g}"
