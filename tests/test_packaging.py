"""The wheel and the source distribution: complete, described, and used from another folder."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import minicnn
from minicnn.cli import launcher
from minicnn.weights import locations

ROOT = Path(__file__).resolve().parents[1]
TEXTS = (".py", ".md")
FOLDERS = ("minicnn", "weights", "tests", "tools", "benchmarks", ".ci")


def files():
    """Return the files of the project: those that git does not ignore, or all where it has none."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = ""
    if shutil.which("git"):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        listed = done.stdout
    found = [ROOT / name for name in listed.split("\0") if name]
    if ROOT / "setup.py" not in found:  # from a source distribution
        found = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
        found = [*ROOT.glob("*.*"), ROOT / "LICENSE", *found]
        found = [path for path in found if "__pycache__" not in path.parts]
    return sorted(path.relative_to(ROOT) for path in found if path.is_file())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the project."""
    source = tmp_path_factory.mktemp("source")
    for path in files():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    return source


def build(source, kind):
    """Build a wheel or sdist, without the network; return its path."""
    script = f"from setuptools import build_meta; build_meta.build_{kind}('dist')"
    run = [sys.executable, "-W", "ignore", "-c", script]
    subprocess.run(run, cwd=source, check=True, stdout=subprocess.DEVNULL)
    return next((source / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(source):
    return build(source, "wheel")


@pytest.fixture(scope="module")
def metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(archive.read(name))


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


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    places = {"minicnn": "minicnn", "weights": "minicnn/_weights"}
    wanted = {
        "/".join([places[path.parts[0]], *path.parts[1:]])
        for path in files()
        if path.parts[0] in places
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names - {"minicnn_launcher/__init__.py"} == wanted
    assert "minicnn_launcher/__init__.py" in names
    assert {Path(name).suffix for name in wanted} >= {".py", ".md", ".jpg", ".html", ".cu", ".cuh"}
    assert "minicnn/py.typed" in wanted


def test_the_source_distribution_holds_every_file_of_the_project(source):
    names = tarfile.open(build(source, "sdist")).getnames()
    assert {path.as_posix() for path in files()} <= {name.partition("/")[2] for name in names}


def test_the_metadata_say_what_it_is(metadata):
    assert metadata["Name"] == launcher.DISTRIBUTION
    assert metadata["Version"] == minicnn.__version__
    assert metadata["License-Expression"] == "MIT AND CC-BY-4.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.10"
    kinds = metadata.get_all("Classifier")
    versions = [kind.rpartition(" ")[2] for kind in kinds if ":: 3." in kind]
    assert versions == ["3.10", "3.11", "3.12", "3.13"]
    assert "Typing :: Typed" in kinds
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# minicnn")


def test_the_changelog_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", head) for head in heads[1:])
    assert heads[1].startswith(f"{minicnn.__version__} - ")


def test_the_oldest_libraries_are_those_that_were_tried(metadata):
    tried = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").lower()
    bounds = [re.fullmatch(r"([\w-]+)>=([\d.]+)", one) for one in metadata.get_all("Requires-Dist")]
    required = [f"{match[1]} {match[2]}" for match in bounds if match]
    assert len(required) == 6
    assert [one for one in required if f"{one}." not in tried and f"{one}," not in tried] == []


def test_the_extras_for_cuda_are_on_the_index(tmp_path):
    """That pip finds them, and that they have the libraries along; nothing is installed."""
    extras = dict(re.findall(r'"(cuda\d\d[-a-z]*)": \["(.+)"\]', (ROOT / "setup.py").read_text()))
    assert set(extras) == {"cuda12", "cuda13", "cuda12-ctk", "cuda13-ctk"}

    def found(*wanted):
        report = tmp_path / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        quiet = ["--quiet", "--no-deps", "--retries", "0", "--timeout", "10"]
        done = subprocess.run(
            [*pip, *quiet, "--report", str(report), *wanted], capture_output=True, text=True
        )
        listed = json.loads(report.read_text())["install"] if done.returncode == 0 else []
        return {one["metadata"]["name"]: one["metadata"] for one in listed}, done.stderr

    packages, said = found(extras["cuda12-ctk"], extras["cuda13-ctk"])
    if not packages and not found("numpy")[0]:
        pytest.skip("no package index can be reached")
    assert set(packages) == {"cupy-cuda12x", "cupy-cuda13x"}, said
    for metadata in packages.values():
        assert "ctk" in metadata["provides_extra"]
        assert any("cuda-toolkit" in line and "ctk" in line for line in metadata["requires_dist"])


def test_no_text_tells_to_install_the_other_project():
    texts = {path: (ROOT / path).read_text("utf-8") for path in files() if path.suffix in TEXTS}
    wrong = re.compile(r"pip install '?minicnn(?!-numpy)")
    assert [str(path) for path, text in texts.items() if wrong.search(text)] == []
    assert wrong.search("pip install " + "'minicnn[plot]'")


def test_the_installed_command_works_from_another_folder(run):
    assert run("minicnn", "--version") == f"minicnn {minicnn.__version__}\n"
    place = run("python", "-c", "import minicnn; print(minicnn.__file__)")
    assert str(ROOT) not in place
    assert f"package   {launcher.DISTRIBUTION} {minicnn.__version__}\n" in run("minicnn", "info")
    code = "from minicnn.weights import locations; print(*locations.embedded())"
    found = run("python", "-c", code)
    assert found.split() == list(locations.embedded())


def test_the_installed_demo_works_from_another_folder(run):
    weights = () if "slimvgg" in locations.embedded() else ("--weights", "random")
    run("minicnn", "demo", "--size", "48", "--iterations", "1", *weights)
    names = {path.name for path in (run.folder / "minicnn-demo").iterdir()}
    assert {"content.jpg", "style.jpg", "result.png", "sheet.png"} == names
