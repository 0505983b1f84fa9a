"""Try the wheel with every Python that is here, and with the oldest libraries that it allows.

    python tools/try_versions.py
    python tools/try_versions.py --python 3.12 --wheel dist/minicnn_numpy-0.1.0-py3-none-any.whl

For each version in the metadata that is found (on the path, as uv or pyenv have it), an environment
of its own gets the wheel, and the newest libraries that fit; the oldest Python has a second one
with every library at its lower bound. In each, the tests marked `smoke` must pass (a selection by
name where none are), and the installed command must paint the demo from another folder. A Python
that is not found is said to be not tried. Exit code 1 if something failed or nothing was tried.
"""

import argparse
import email
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("numpy", "scipy", "pillow", "h5py", "tqdm", "threadpoolctl")
# PyTorch, Dask and the like are not installed: tests that need them skip
TOOLS = ("pytest>=8",)
SMOKE = ("-m", "smoke")
SMALL = (
    "-m",
    "not slow",
    "-k",
    "test_relu.py or test_maxpool2d.py or test_network.py or test_checkpoint.py or test_plan.py",
)
DEMO = ("demo", "--iterations", "5", "--size", "128", "--json")


def main():
    """Try all; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", nargs="+", metavar="X.Y", help="only these versions")
    parser.add_argument("--wheel", type=Path, help="a wheel (default: built from this checkout)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        wheel = (args.wheel or build(folder)).resolve()
        about = metadata(wheel)
        versions = supported(about)
        rows = []
        for version in args.python or versions:
            python = find(version)
            kinds = ("newest", "oldest") if version == versions[0] else ("newest",)
            for kind in kinds:
                pins = lower_bounds(about) if kind == "oldest" else []
                row = [version, kind] + (
                    attempt(python, wheel, pins, folder / f"{version}-{kind}")
                    if python
                    else ["not found: not tried"]
                )
                rows.append(row)
                print(" | ".join(row), flush=True)
    print("\n" + table(rows))
    tried = [row for row in rows if len(row) > 3]
    return 0 if tried and all(row[3:5] == ["passed", "painted"] for row in tried) else 1


def build(folder):
    """Build the wheel from a copy of the checkout; return its path."""
    source = folder / "source"
    for name in ("minicnn", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def metadata(wheel):
    """Return the metadata of a wheel."""
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(archive.read(name))


def supported(about):
    """Return the versions of Python in the metadata, the oldest first."""
    found = [re.fullmatch(r".*:: (3\.\d+)", kind) for kind in about.get_all("Classifier")]
    return [match[1] for match in found if match]


def lower_bounds(about):
    """Return "name==version" of each required library, at the oldest version that is allowed."""
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)", item) for item in about.get_all("Requires-Dist")]
    return [f"{match[1]}=={match[2]}" for match in found if match]


def find(version):
    """Return the path of a Python of that version that works, or None."""
    places = [shutil.which(f"python{version}")]
    if shutil.which("uv"):
        command = ["uv", "python", "find", "--no-project", "--no-python-downloads", version]
        done = subprocess.run(command, capture_output=True, text=True)
        places.append(done.stdout.strip())
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places += sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    ask = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    for place in filter(None, places):
        done = subprocess.run([place, "-c", ask], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return str(place)
    return None


def attempt(python, wheel, pins, home):
    """Return [libraries, outcome of the tests, of the demo, seconds] in a new environment."""
    began = time.monotonic()
    subprocess.run([python, "-m", "venv", home], check=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    install = [scripts / "python", "-m", "pip", "install", "-q", "--only-binary", ":all:"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "MINICNN_CACHE": str(home / "cache")}
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()

    def run(*command):
        done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout[-4000:] + done.stderr[-4000:], file=sys.stderr)
        return done

    if run(*install, wheel, *pins, *TOOLS).returncode:
        return ["not installed", "failed", "failed", ""]
    ask = f"from importlib.metadata import version as v; print(*map(v, {LIBRARIES}))"
    found = run(scripts / "python", "-c", ask).stdout.split()
    place = run(scripts / "python", "-c", "import minicnn; print(minicnn.__file__)").stdout
    if str(home) not in place:
        return ["not the wheel, but " + place.strip(), "failed", "failed", ""]
    # the checkout has the tests; `pytest`, unlike `python -m pytest`, does not import from it
    tests = run(
        scripts / "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml",
        "--rootdir", ROOT, ROOT / "tests", *selection(),
    )  # fmt: skip
    demo = run(scripts / "minicnn", *DEMO)
    painted = demo.returncode == 0 and (elsewhere / "minicnn-demo" / "result.png").is_file()
    return [
        ", ".join(f"{name} {one}" for name, one in zip(LIBRARIES, found, strict=True)),
        "passed" if tests.returncode == 0 else "failed",
        "painted" if painted else "failed",
        f"{time.monotonic() - began:.0f} s",
    ]


def selection():
    """Return the options that choose the tests: those marked `smoke`, where some are."""
    marked = '"smoke:' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return SMOKE if marked else SMALL


def table(rows):
    """Return the rows as a table in Markdown."""
    head = ["Python", "libraries", "versions", "smoke tests", "demo", "time"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row + [''] * (len(head) - len(row)))} |" for row in lines)


if __name__ == "__main__":
    sys.exit(main())
