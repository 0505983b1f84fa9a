"""The verb `info`."""

from minicnn.cli import parser
from minicnn.cli.report import Report


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "info", run, "show versions, BLAS, threads, devices and networks", "minicnn info"
    )
    verb.add_argument("--json", action="store_true", help="as one JSON object")


def run(args) -> int:
    """Print what the machine offers."""
    import platform

    from minicnn import checkpoint
    from minicnn.errors import MinicnnError
    from minicnn.tasks import provenance

    found = provenance.versions()
    del found["device"]
    found["machine"] = f"{platform.system()} {platform.machine()}"
    found["devices"] = "cpu"
    try:
        found["devices"] += f", {_cuda()}"
    except MinicnnError as error:
        found["cuda"] = f"none: {error}"
    found["networks"] = ", ".join(checkpoint.available()) or "none embedded, none fetched"
    Report(args.json).result(
        "\n".join(f"{name:9} {value}" for name, value in found.items()), **found
    )
    return 0


def _cuda():
    """Return the CUDA devices in words."""
    from minicnn.backend import resolve_device

    resolve_device("cuda")
    import cupy

    count = cupy.cuda.runtime.getDeviceCount()
    names = [cupy.cuda.runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
    return ", ".join(f"cuda:{i} ({name})" for i, name in enumerate(names))
