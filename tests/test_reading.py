"""One hour of reading: a short list of files, and a line on everything that they import besides."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minicnn"
MOST = 1500  # lines of all files together


def section(path, heading):
    """Return the text below a heading, up to the next one."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", path.read_text(), re.M | re.S)
    assert found, f"{path} has no section {heading!r}"
    return found[1]


def reading_list():
    """Return the paths of the numbered list in the README, in its order."""
    items = re.findall(
        r"^(\d+)\. \[`(.+?)`\]\((.+?)\): \S",
        section(ROOT / "README.md", "One hour of reading"),
        re.M,
    )
    assert [int(number) for number, _, _ in items] == list(range(1, len(items) + 1))
    assert all(f"minicnn/{name}" == link for _, name, link in items)
    return [ROOT / link for _, _, link in items]


def explained():
    """Return {path: names} of the table of what the listed files import from elsewhere."""
    rows = re.findall(
        r"^\| \[(.+?)\]\((.+?)\) \| (.+?) \| \S.* \|$",
        section(PACKAGE / "README.md", "Beside the hour"),
        re.M,
    )
    assert all(name == link for name, link, _ in rows)
    return {PACKAGE / link: set(re.findall(r"`(\w+)`", names)) for _, link, names in rows}


def imported(source):
    """Return {(path, name)} of what a source imports from minicnn."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "minicnn":
            for alias in node.names:
                module = ROOT.joinpath(*node.module.split("."), f"{alias.name}.py")
                if not module.exists():
                    module = ROOT.joinpath(*node.module.split(".")).with_suffix(".py")
                found.add((module, alias.name))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert not any(name.startswith("minicnn") for name in names), "name what is imported"
    return found


def from_elsewhere(paths):
    """Return {path: names} of what the listed files import from files that are not listed."""
    needed = {}
    for path in paths:
        for module, name in imported(path.read_text()):
            if module not in paths:
                needed.setdefault(module, set()).add(name)
    return needed


def test_the_hour_is_short():
    lines = {path.name: len(path.read_text().splitlines()) for path in reading_list()}
    assert len(lines) >= 10
    assert sum(lines.values()) <= MOST, lines


def test_the_hour_goes_from_the_operations_to_the_run():
    names = [path.relative_to(PACKAGE).as_posix() for path in reading_list()]
    assert names[0] == "ops/relu.py"
    assert names[-1] == "methods/style/run.py"
    assert len(set(names)) == len(names)


def test_a_file_is_read_after_what_it_uses():
    paths = reading_list()
    for i, path in enumerate(paths):
        later = {module for module, _ in imported(path.read_text())} & set(paths[i:])
        assert not later, f"{path.name} uses what is read after it"


def test_what_the_hour_takes_from_elsewhere_has_a_line_each():
    assert from_elsewhere(reading_list()) == explained()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from minicnn.ops import conv2d", {("ops/conv2d.py", "conv2d")}),
        ("def f():\n    from minicnn.ops.relu import RULES", {("ops/relu.py", "RULES")}),
        ("import numpy as np\nfrom typing import Any", set()),
    ],
    ids=["a-module", "a-name-in-a-function", "others"],
)
def test_the_check_sees_imports(source, found):
    assert imported(source) == {(PACKAGE / path, name) for path, name in found}
