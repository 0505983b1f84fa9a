"""The verb `rerun`."""

from dataclasses import dataclass
from pathlib import Path

from minicnn.backend import resolve_device
from minicnn.cli.register import rerunnable, verb_of
from minicnn.errors import MinicnnError
from minicnn.pictures.writer import read_metadata
from minicnn.runs import provenance
from minicnn.runs.options import add_settings
from minicnn.runs.settings import RunOptions, setting, settings_of, text
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


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, RerunSettings)


def run(args) -> int:
    """Read the settings out of the picture and run them."""
    own = settings_of(RerunSettings, args)
    report = Report(own.json, own.quiet)
    old = Path(own.picture)
    new = own.output or str(old.with_name(f"{old.stem}-rerun{old.suffix}"))
    verb, settings, files, weights = _read(old, report)
    outputs = verb.outputs(output=new, force=own.force)
    code = verb.make(settings, outputs, report, files, weights)
    if code == 0:
        same = Path(new).read_bytes() == old.read_bytes()
        report.note(
            f"{new} has {'the same' if same else 'other'} bytes {'as' if same else 'than'} {old}"
        )
    return code


def _read(old, report):
    """Return (verb, settings, files, SHA-256 of the weights) of a picture, and say what differs."""
    metadata = read_metadata(old)
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
        report.note(f"{name} is {now[name]} here, was {then.get(name)}: other bytes may come out")
    if status == "interrupted":
        report.note(f"{old} was interrupted; this run goes on to the end")
    return verb, settings, files, weights
