"""The verb `info`."""

from minicnn.cli import launcher
from minicnn.runs.options import add_settings
from minicnn.runs.settings import JsonOption
from minicnn.terminal.report import Report

GIGABYTE = 1 << 30
example = "minicnn info"


def add(verb) -> None:
    """Declare the options."""
    add_settings(verb, JsonOption)


def run(args) -> int:
    """Print what the machine offers."""
    import platform
    from pathlib import Path

    import minicnn
    from minicnn import backend
    from minicnn.errors import MinicnnError
    from minicnn.runs import provenance
    from minicnn.weights import locations

    found = provenance.versions()
    del found["device"]
    found["package"] = launcher.installed()
    found["place"] = str(Path(minicnn.__file__).parent)
    found["machine"] = f"{platform.system()} {platform.machine()}"
    found["arrays"] = "numpy"
    found["devices"] = "cpu"
    try:
        cards = backend.devices()
        found["arrays"] = f"numpy, {_cupy()}"
        found["devices"] = ", ".join(["cpu", *map(_card, range(len(cards)), cards)])
        found["graphs"] = _graphs()
    except MinicnnError as error:
        found["cuda"] = f"none: {error}"
    found["networks"] = ", ".join(locations.available()) or "none embedded, none fetched"
    Report(args.json).result(
        "\n".join(f"{name:9} {value}" for name, value in found.items()), **found
    )
    return 0


def _cupy():
    """Return the version of CuPy and of the CUDA that it uses, in words."""
    import cupy

    number = cupy.cuda.runtime.runtimeGetVersion()
    return f"cupy {cupy.__version__} (CUDA {number // 1000}.{number % 1000 // 10})"


def _graphs():
    """Return in words whether evaluations on a device become CUDA graphs, by trying one."""
    import cupy

    from minicnn.engine.gpu.cuda import captured

    x = cupy.zeros(1)
    graph, refusal = captured(cupy, lambda: x.fill(1))
    return "yes" if graph else f"no, steps are run one by one ({refusal})"


def _card(index, card):
    """Return a CUDA device in words."""
    free, memory = (card[name] / GIGABYTE for name in ("free", "memory"))
    capability = card["compute_capability"] / 10
    return f"cuda:{index} ({card['name']}, {capability}, {free:.1f} of {memory:.1f} GB free)"
