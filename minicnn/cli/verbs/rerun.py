"""The verb `rerun`."""

import importlib
from pathlib import Path

from minicnn.runs import look_run, search_run
from minicnn.terminal import parser

# verb -> where its settings are
SETTINGS = {
    "style": ("style.settings", "StyleSettings"),
    "texture": ("texture.settings", "TextureSettings"),
    "invert": ("inversion.settings", "InvertSettings"),
    "class-model": ("classes.class_model", "ClassModelSettings"),
    "deconv": ("deconvnet.job", "DeconvSettings"),
    "saliency": ("classes.saliency", "SaliencySettings"),
    "occlusion": ("classes.occlusion", "OcclusionSettings"),
}
LOOKS = (
    "deconv",
    "saliency",
    "occlusion",
)  # done by `runs.look_run`, the others by `runs.search_run`
EXAMPLE = """
minicnn demo --iterations 20
minicnn rerun minicnn-demo/result.png -o again.png
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "rerun", run, "make a picture again from the settings in it", EXAMPLE
    )
    verb.add_argument("picture", metavar="OUT", help="picture that minicnn has made")
    verb.add_argument("-o", "--output", metavar="NEW", help="picture to write (default: OUT-rerun)")
    parser.add_output_options(verb)


def run(args) -> int:
    """Read the settings out of the picture and run them."""
    from minicnn.backend import resolve_device
    from minicnn.errors import MinicnnError
    from minicnn.pictures.writer import read_metadata
    from minicnn.runs import provenance
    from minicnn.runs.job import settings_from

    metadata = read_metadata(args.picture)
    report = search_run.report(args)
    old = Path(args.picture)
    new = args.output or old.with_name(f"{old.stem}-rerun{old.suffix}")
    try:
        verb = metadata["verb"]
        kind = getattr(
            importlib.import_module(f"minicnn.methods.{SETTINGS[verb][0]}"), SETTINGS[verb][1]
        )
        settings, filled = settings_from(kind, metadata["settings"], verb)
        inputs = metadata["inputs"]
        weights = metadata["weights"]["sha256"]
        files = {
            role: provenance.find_input(found["path"], found["sha256"], old)
            for role, found in inputs.items()
        }
        then, status = metadata["versions"], metadata["result"]["status"]
    except (KeyError, TypeError, AttributeError):
        raise MinicnnError(
            f"the settings in {str(old)!r} are not those of a verb of this version of minicnn "
            f"({', '.join(SETTINGS)})"
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
    doing = look_run if verb in LOOKS else search_run
    outputs = doing.Outputs(str(new), force=args.force)
    code = (look_run.look if verb in LOOKS else search_run.paint)(
        settings, outputs, report, files, weights
    )
    if code == 0:
        same = Path(new).read_bytes() == old.read_bytes()
        report.note(
            f"{new} has {'the same' if same else 'other'} bytes {'as' if same else 'than'} {old}"
        )
    return code
