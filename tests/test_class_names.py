"""A class name says one thing: two classes of the package share it only across CPU and GPU."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "minicnn"
DEVICES = {("engine", "cpu"), ("engine", "gpu")}  # the same idea on another device
# shared still; names leave this list, none comes to it
LEFT = ("Cache", "Interrupted", "Layer", "Network", "Preset", "Result")


def homes(package):
    """Return {class name: [folders and file of each class]} of the sources of a package."""
    found = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path.relative_to(package).parts)
    return found


def shared(package):
    """Return {class name: homes} of the names that mean two things."""
    return {
        name: places
        for name, places in homes(package).items()
        if len(places) > 1 and not (len(places) == 2 and {p[:2] for p in places} == DEVICES)
    }


def test_no_two_classes_share_a_name():
    new = {name: places for name, places in shared(PACKAGE).items() if name not in LEFT}
    assert not new, "rename one of each, or say more with both"


def test_one_that_is_shared_is_seen(tmp_path):
    for path, text in {
        "engine/cpu/a.py": "class Pooling: ...\nclass Plan: ...",
        "engine/gpu/b.py": "class Pooling: ...",
        "methods/c.py": "class Plan: ...\nclass _Plan: ...",
        "methods/d.py": "class _Plan: ...",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert list(shared(tmp_path)) == ["Plan"]
