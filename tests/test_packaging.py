"""A wheel, installed into an environment of its own and used from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import minicnn
from minicnn.weights import checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the sources, without the network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("minicnn", "weights"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    command = ["wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", "dist", "."]
    subprocess.run([sys.executable, "-m", "pip", *command], cwd=source, check=True)
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Run a command of an environment that has the wheel, from an empty folder."""
    home, folder = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("elsewhere")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ask = [scripts / "python", "-c", question]
    site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    install = ["install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(home), *install], check=True)
    # its own packages come first; NumPy and the others are borrowed from this environment
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(command, *arguments):
        done = subprocess.run(
            [scripts / command, *arguments], cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.folder = folder
    return run


pytestmark = pytest.mark.slow


def test_the_wheel_has_the_networks_and_pictures_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"minicnn/demo/content.jpg", "minicnn/demo/style.jpg"} <= set(names)
    assert "minicnn/methods/features/page.html" in names
    weights = {f"minicnn/_weights/{path.name}" for path in checkpoint.embedded().values()}
    assert weights <= set(names)
    assert {f"minicnn/_weights/{name}.json" for name in ("manifest", "imagenet-classes")} <= set(
        names
    )
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"minicnn"}


def test_the_installed_command_works_from_another_folder(run):
    assert run("minicnn", "--version") == f"minicnn {minicnn.__version__}\n"
    place = run("python", "-c", "import minicnn; print(minicnn.__file__)")
    assert str(ROOT) not in place
    found = run("python", "-c", "from minicnn import checkpoint; print(*checkpoint.embedded())")
    assert found.split() == list(checkpoint.embedded())


def test_the_installed_demo_works_from_another_folder(run):
    weights = () if "minivgg" in checkpoint.embedded() else ("--weights", "random")
    run("minicnn", "demo", "--size", "48", "--iterations", "1", *weights)
    names = {path.name for path in (run.folder / "minicnn-demo").iterdir()}
    assert {"content.jpg", "style.jpg", "result.png", "sheet.png"} == names
