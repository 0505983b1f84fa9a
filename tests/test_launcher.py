"""The command says in one line that the package it would start is not ours, and does not run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn
from minicnn.cli import launcher, main

OURS = f'__version__ = "{minicnn.__version__}"\nHOME = "minicnn.errors"\n'
THEIRS = 'from .main import TinyCNN\nprint("theirs runs")\n'


@pytest.fixture
def site(tmp_path):
    """An empty folder of installed packages, in which only the launcher is."""
    text = Path(launcher.__file__).read_text(encoding="utf-8")
    (tmp_path / "minicnn_launcher.py").write_text(text, encoding="utf-8")
    return tmp_path


def package(site, source, folder="minicnn"):
    (site / folder).mkdir()
    (site / folder / "__init__.py").write_text(source)
    (site / folder / "cli.py").write_text("def main():\n    print('ours runs')\n    return 0\n")


def distribution(site, name, version, folder="minicnn"):
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{folder}/__init__.py,,\n{folder}/main.py,,\n")


def start(site):
    """Run the command as its script does, with nothing else of ours in reach."""
    script = "import sys, minicnn_launcher; sys.exit(minicnn_launcher.main())"
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-S", "-c", script]  # not what is installed here
    return subprocess.run(command, cwd=site, env=env, capture_output=True, text=True)


def test_ours_is_started(site):
    package(site, OURS)
    distribution(site, launcher.DISTRIBUTION, minicnn.__version__)
    done = start(site)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ours runs\n", "")


def test_another_project_beside_ours_is_no_matter(site):
    package(site, OURS)
    package(site, THEIRS, "MiniCNN")
    if (site / "minicnn" / "__init__.py").read_text() == THEIRS:
        pytest.skip("this file system takes MiniCNN for minicnn")
    distribution(site, launcher.DISTRIBUTION, minicnn.__version__)
    distribution(site, "minicnn", "0.3.0", "MiniCNN")
    assert start(site).stdout == "ours runs\n"


def spoil(site, case):
    """Make of the folder what two installations can leave."""
    if case != "missing":
        package(site, THEIRS if case == "replaced" else OURS)
    if case == "no __init__":
        (site / "minicnn" / "__init__.py").unlink()
    version = "9.9" if case == "mixed" else minicnn.__version__
    distribution(site, launcher.DISTRIBUTION, version)
    if case == "both":
        distribution(site, "minicnn", "0.3.0")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing", "there is no package minicnn"),
        ("no __init__", "there is no package minicnn"),
        ("replaced", "__init__.py is of another project than minicnn-numpy"),
        ("both", "is of both the distributions minicnn-numpy and minicnn"),
        ("mixed", f"is of version {minicnn.__version__}, but minicnn-numpy 9.9 is installed"),
    ],
)
def test_what_is_not_ours_gets_one_line(site, case, words):
    spoil(site, case)
    done = start(site)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("minicnn: error: ")
    assert words in done.stderr
    assert "pip uninstall minicnn-numpy minicnn" in done.stderr


def test_the_package_here_is_ours_and_info_says_where(capfd):
    assert launcher.fault() is None
    assert main(["info"]) == 0
    shown = capfd.readouterr().out
    assert f"package   {launcher.installed()}\n" in shown
    assert f"place     {Path(minicnn.__file__).parent}\n" in shown
    assert launcher.installed().startswith("minicnn-numpy")
