"""The chapters: their tables are those of the settings, and every method can be taken out."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.cli.register import VERBS

ROOT = Path(__file__).resolve().parents[1]
METHODS = sorted(path.parent.name for path in (ROOT / "minicnn/methods").glob("*/README.md"))
# methods that a method is built from; the rest stand alone
NEEDS = {
    "features": {"deconvnet"},
    "evolution": {"deconvnet", "features", "training"},
    "comparison": {"deconvnet", "features", "classes", "training"},
    "classes": {"deconvnet"},
    "attribution": {"classes", "deconvnet"},
    "distillation": {"training"},
    "explore": {"deconvnet", "features", "classes", "attribution", "style", "texture"},
}


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("option_tables", ROOT / "tools/option_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", METHODS)
def test_the_tables_are_those_of_the_settings(method, tables):
    text = (ROOT / "minicnn/methods" / method / "README.md").read_text()
    assert "<!-- options " in text
    assert tables.filled(text) == text, "python tools/option_tables.py writes them anew"


def test_there_are_twelve_methods_with_a_verb_each():
    assert len(METHODS) == 12
    folders = {place.split(".")[1] for place, _ in VERBS.values() if place.startswith("methods.")}
    assert folders == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_taken_out_with_its_folder_and_its_rows(method):
    """All verbs but those of the method, and of the methods built from it, are there without it."""
    gone = {method} | {name for name, needs in NEEDS.items() if method in needs}
    script = f"""
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("minicnn.methods.{method}"):
            raise ImportError(name)
sys.meta_path.insert(0, Gone())
from minicnn.cli import command_parser
from minicnn.cli.register import VERBS
gone = {gone!r}
for name in [name for name, (place, _) in VERBS.items() if place.split(".")[1] in gone]:
    del VERBS[name]
for name in VERBS:
    command_parser([name])
print(*sorted(VERBS))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "models" in done.stdout.split()
