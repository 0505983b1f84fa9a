"""Every code block of every README runs as it stands; every link and name leads somewhere."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted(
    path.relative_to(ROOT)
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.rglob("*/README.md")]
    if not any(part.startswith(".") or part in ("build", "runs_out") for part in path.parts)
)
PROJECT = [ROOT / name for name in ("minicnn", "tests", "tools", "benchmarks", "setup.py")]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# a word of a block that cannot run here -> why
NOT_HERE = {
    "pip install": "installs into the environment",
    "benchmarks/": "takes minutes, and needs the peers",
    "tiny_imagenet.h5": "hours, and a data set that is not ours",
    "run/": "the result of hours of training",
    "weights fetch": "a download",
    "minicnn explore": "serves until it is stopped",
    "town.jpg": "pictures of the reader's own",
    "vgg19.h5": "weights of the reader's own",
    "tcp://": "a cluster",
    "PACKAGES = (": "a file to be written, which another test runs",
    "tools/": "needs a clone, and minutes",
    "--device cuda": "a GPU",
}

# these always; the chapters' blocks together take ten minutes
QUICK = {Path(name) for name in ("README.md", "minicnn/README.md", "minicnn/runs/README.md")}
DRAWN = ("minicnn curves", "both.png", "--plot")  # by matplotlib


def blocks():
    """Yield (name, readme, kind, text) of all blocks that run here."""
    for readme in READMES:
        for number, (kind, text) in enumerate(BLOCK.findall((ROOT / readme).read_text())):
            if not any(word in text for word in NOT_HERE):
                yield pytest.param(readme, kind, text, id=f"{readme}-{number}-{kind}")


def run(folder, kind, text):
    """Run a block in a folder."""
    bin_ = folder / ".bin"
    bin_.mkdir(exist_ok=True)
    command = bin_ / "minicnn"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m minicnn "$@"\n')
    command.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "Agg",
    }
    words = ["bash", "-euc", text] if kind == "sh" else [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's pictures, as `minicnn demo` leaves them."""
    made = tmp_path_factory.mktemp("demo")
    small = "minicnn demo --size 64 --iterations 1 --quiet"
    done = run(made, "sh", small)
    assert done.returncode == 0, done.stderr
    return made / "minicnn-demo"


@pytest.fixture(scope="module")
def folders(demo, tmp_path_factory):
    """Return the folder in which the blocks of a README run one after another."""

    @cache
    def folder(readme):
        made = tmp_path_factory.mktemp("reader")
        shutil.copytree(demo, made / "minicnn-demo")
        return made

    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("readme", "kind", "text"), list(blocks()))
def test_a_block_runs_as_written(readme, kind, text, folders):
    if readme not in QUICK and not os.environ.get("MINICNN_CHAPTERS"):
        pytest.skip("MINICNN_CHAPTERS=1 runs the blocks of the chapters")
    if any(word in text for word in DRAWN):
        pytest.importorskip("matplotlib")
    done = run(folders(readme), kind, text)
    assert done.returncode == 0, f"{text}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"


def test_there_are_blocks_of_all_kinds():
    found = list(blocks())
    assert {block.values[1] for block in found} == {"sh", "python"}
    assert len({block.values[0] for block in found}) > 9


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_links_lead_somewhere(readme):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "code", (ROOT / readme).read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert ((ROOT / readme).parent / target).exists(), target


PAGES = [*READMES, Path("minicnn/ops/TRAINING.md")]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_a_page_names_are_there(page):
    folders = [(ROOT / page).parent, ROOT, ROOT / "minicnn", ROOT / "tests"]
    for name in re.findall(r"`([\w./]+\.(?:py|cu|h))`", (ROOT / page).read_text()):
        if "/" in name:
            assert any((folder / name).exists() for folder in folders), name
        else:
            assert any(f.name == name or next(f.rglob(name), None) for f in PROJECT), name


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_functions_that_a_page_names_are_there(page):
    rooms = "|".join(path.parent.name for path in (ROOT / "minicnn").glob("*/__init__.py"))
    for name in re.findall(rf"`(?:minicnn\.)?((?:{rooms})\.[\w.]*\w)`", (ROOT / page).read_text()):
        if not name.endswith(".py"):
            assert found(name), name


def found(name):
    """Whether a dotted name below `minicnn` is a module, or is in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(["minicnn", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            value = getattr(value, part, None)
        return value is not None
    return False


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 8000
