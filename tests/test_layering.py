"""Imports point one way, and stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minicnn"

# A line is a level: its modules may import from the lines above. Modules of one family stand
# together and may import each other; families of one level, separated by |, may not.
ORDER = """
    errors
    backend layout | storage
    terminal | kernels | pictures
    ops
    objectives | optimizers | data
    network
    engine | weights
    gradcheck | runs
    methods
    figures | labs
    cli __main__ library
"""
FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "jax", "onnxruntime", "caffe"}
IMPORT_NAMES = {"pillow": "PIL"}


def places():
    """Return {module: (level, family)} from ORDER."""
    table = {}
    lines = ORDER.split("\n")
    for level, line in enumerate(line for line in lines if line.strip()):
        for family, members in enumerate(line.split("|")):
            table.update((name, (level, family)) for name in members.split())
    return table


PLACES = places()
SOURCES = {path: ast.parse(path.read_text(), str(path)) for path in sorted(PACKAGE.rglob("*.py"))}
files = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def module_of(path):
    """Return the module or folder of minicnn that a file belongs to; "" for __init__."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(tree):
    """Yield (dotted name, whether it is imported at the top of the file)."""
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        top = id(node) not in inside
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the import in full"
            yield from ((f"{node.module}.{alias.name}", top) for alias in node.names)


def imported_modules(tree):
    """Yield the modules and folders of minicnn that a source imports, in functions too."""
    for name, _ in imports(tree):
        parts = name.split(".")
        if parts[0] == "minicnn" and len(parts) > 1 and parts[1] in PLACES:
            yield parts[1]


def backward_imports(module, tree):
    """Return what a module imports although ORDER does not let it."""
    level, family = PLACES[module]
    return sorted(
        name
        for name in set(imported_modules(tree))
        if PLACES[name][0] > level or (PLACES[name][0] == level and PLACES[name][1] != family)
    )


@files
def test_every_module_has_a_place_in_the_order(path):
    module = module_of(path)
    assert not module or module in PLACES, f"give {module} a place in ORDER of {__file__}"


@files
def test_imports_point_one_way(path):
    module = module_of(path)
    if module in PLACES:
        assert backward_imports(module, SOURCES[path]) == []


def required():
    """Return the import names of the libraries that setup.py requires."""
    text = (ROOT / "setup.py").read_text()
    listed = re.search(r"install_requires=(\[.*?\])", text, re.DOTALL)[1]
    names = [re.match(r"[\w-]+", item)[0] for item in ast.literal_eval(listed)]
    return {IMPORT_NAMES.get(name, name) for name in names}


@files
def test_only_required_libraries_are_imported_at_the_top_of_a_file(path):
    allowed = required() | set(sys.stdlib_module_names) | {"minicnn"}
    found = {name.split(".")[0] for name, top in imports(SOURCES[path]) if top}
    assert found <= allowed, "import an optional library inside the function that needs it"


@files
def test_no_framework_is_imported_anywhere(path):
    assert not FRAMEWORKS & {name.split(".")[0] for name, _ in imports(SOURCES[path])}


@pytest.mark.smoke
@pytest.mark.parametrize("path", sorted(PACKAGE.glob("ops/*.py")), ids=lambda path: path.stem)
def test_an_operation_imports_numpy_and_the_library_only(path):
    found = {name.split(".")[0] for name, _ in imports(SOURCES[path])}
    assert found <= {"minicnn", "numpy", "math", "typing"}


def test_importing_the_operations_loads_no_library_but_numpy():
    names = [path.stem for path in PACKAGE.glob("ops/*.py") if path.stem != "__init__"]
    script = f"""
import sys
before = set(sys.modules)
{"".join(f"import minicnn.ops.{name}{chr(10)}" for name in names)}
print(*{{name.partition(".")[0] for name in set(sys.modules) - before}})
"""
    run = [sys.executable, "-c", script]
    loaded = set(
        subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    )
    assert "minicnn" in loaded
    assert loaded - set(sys.stdlib_module_names) - {"numpy", "minicnn"} == set()


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("ops", "from minicnn.network.network import Network", ["network"]),
        ("ops", "def f():\n    import minicnn.methods.style.run", ["methods"]),
        ("network", "from minicnn import storage, gradcheck", ["gradcheck"]),
        ("objectives", "from minicnn.data import batches", ["data"]),
        ("pictures", "from minicnn.pictures.reader import load_image", []),
        ("methods", "import numpy\nfrom minicnn import __version__, network", []),
    ],
    ids=["upward", "inside-a-function", "sideways", "level-mate", "family", "downward"],
)
def test_the_check_sees(module, source, found):
    assert backward_imports(module, ast.parse(source)) == found
