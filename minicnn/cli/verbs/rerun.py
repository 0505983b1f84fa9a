"""The verb `rerun`."""

from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.backend import resolve_device
from minicnn.cli.register import rerunnable, verb_of
from minicnn.errors import MinicnnError
from minicnn.pictures.writer import STDOUT, read_metadata
from minicnn.runs import by_name, provenance
from minicnn.runs.inputs import STDIN, piped
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import Outputs
from minicnn.runs.settings import FLAG, RunOptions, as_in, setting, settings_of, text
from minicnn.terminal.report import Report

example = """
minicnn demo --iterations 20
minicnn rerun minicnn-demo/result.png -o again.png
"""


@dataclass(frozen=True)
class RerunSettings(RunOptions):
    """Which picture, and where it goes."""

    picture: str = setting(text("OUT"), help="picture that minicnn has made", argument=True)
    output: str | None = setting(
        text("NEW"), None, "picture to write", group="files", shown="OUT-rerun"
    )
    changes: list | None = setting(
        text("OPTION=VALUE"), None, "a setting that is to be another", option="--set", repeated=True
    )
    resume: bool = as_in(Outputs, "resume")
    check: bool = setting(FLAG, False, "exit with 1 if other bytes come out", group="files")


class Comparison(Report):
    """A report whose result says whether the new picture has the bytes of the old one.

    `differs` is {what: [then, now]}, `same` None until there is a result.
    """

    def __init__(self, own, old, new):
        super().__init__(own.json, own.quiet)
        self.old, self.new, self.before = old, new, old.read_bytes()
        self.same, self.differs = None, {}

    def result(self, text, /, **values):
        """Write the result and the comparison."""
        self.same = self.new.read_bytes() == self.before
        told = f"the same bytes as {self.old}"
        if not self.same:
            why = ", ".join(f"{name} {a} -> {b}" for name, (a, b) in self.differs.items())
            told = f"other bytes than {self.old}; what differs: {why or 'nothing that is recorded'}"
        compared = {"same_bytes": self.same, "differs": self.differs}
        super().result(f"{text}\n{self.new} has {told}", **values, **compared)


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, RerunSettings)


def run(args) -> int:
    """Read the settings out of the picture and run them."""
    own = settings_of(RerunSettings, args)
    old = Path(own.picture)
    new = own.output or str(old.with_name(f"{old.stem}-rerun{old.suffix}"))
    if new == STDOUT:
        raise MinicnnError("rerun compares the file that it writes; give -o FILE")
    metadata = read_metadata(old)
    report = Comparison(own, old, Path(new))
    verb, settings, files, weights = _read(old, metadata, report)
    for change in own.changes or ():
        settings = _changed(settings, change, report)
    files = {role: file for role, file in files.items() if role in settings.inputs()}
    if report.differs.keys() & {"network", "weights", "seed"}:
        weights = None
    outputs = verb.outputs(output=new, force=own.force)
    if own.resume:
        if not hasattr(outputs, "resume"):
            raise MinicnnError(f"{verb.name} is too short to be gone on with; leave --resume out")
        outputs = replace(outputs, resume=True)
    with piped(settings, outputs) as read:
        for role, file in read.items():
            provenance.find_input(file, metadata["inputs"][role]["sha256"], old)
        code = verb.make(settings, outputs, report, files | read, weights)
    return code or int(own.check and not report.same)


def _read(old, metadata, report):
    """Return (verb, settings, files, SHA-256 of the weights) of a picture, and say what differs."""
    try:
        name = metadata["verb"]
        if name not in rerunnable():
            raise KeyError(name)
        verb = verb_of(name)
        settings, filled = provenance.settings_from(verb.settings, metadata["settings"], name)
        weights = metadata["weights"]["sha256"]
        files = {
            role: provenance.find_input(found["path"], found["sha256"], old)
            for role, found in metadata["inputs"].items()
            if found["path"] != STDIN
        }
        then, status = metadata["versions"], metadata["result"]["status"]
    except (KeyError, TypeError, AttributeError):
        raise MinicnnError(
            f"the settings in {str(old)!r} are not those of a verb of this version of minicnn "
            f"({', '.join(rerunnable())})"
        ) from None
    if filled:
        taken = ", ".join(
            f"{name} = {'its default' if value is None else value}"
            for name, value in filled.items()
        )
        report.note(f"{old} is older than some settings, which are as they were then: {taken}")
    now = provenance.versions(resolve_device(settings.device), settings.threads)
    for name in sorted(name for name in now if now[name] != then.get(name)):
        report.differs[name] = [then.get(name), now[name]]
        report.note(f"{name} is {now[name]} here, was {then.get(name)}: other bytes may come out")
    if status == "interrupted":
        report.note(f"{old} was interrupted; this run goes on to the end")
    return verb, settings, files, weights


def _changed(settings, change, report):
    """Return the settings with OPTION=VALUE done."""
    known = {
        option: found
        for option, found in by_name.named(type(settings)).items()
        if not (found[1].argument or found[1].several)
    }
    name, value = by_name.assignment(change, known)
    field, declared = known[name]
    names = (field.name, declared.pair) if declared.pair else (field.name,)
    values = dict(zip(names, value if declared.pair else (value,), strict=True))
    for name, value in values.items():
        report.differs[name] = [getattr(settings, name), value]
    return replace(settings, **values)
