r"""Where the files of minicnn lie: those installed with it, and the user's cache folder.

Cache folder        $MINICNN_CACHE if that is set, else the platform's convention:
                        Linux    $XDG_CACHE_HOME/minicnn, or ~/.cache/minicnn
                        macOS    ~/Library/Caches/minicnn
                        Windows  %LOCALAPPDATA%\minicnn\Cache
                    NAME.h5 in it is the network that `minicnn weights fetch NAME` has got.
"""

import os
import sys
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.storage.hdf5_reading import is_hdf5
from minicnn.storage.limits import regular_file

VARIABLE = "MINICNN_CACHE"


def installed() -> Path | None:
    """Return the folder of the networks that are part of minicnn, or None where there is none."""
    package = Path(__file__).parents[1]
    if (package / "_weights").is_dir():
        return package / "_weights"
    folder = package.parent / "weights"  # not installed: run from a checkout
    return folder if folder.is_dir() and (package.parent / "setup.py").is_file() else None


def cache() -> Path:
    """Return the cache folder, which need not exist.

    Raises
    ------
    MinicnnError
        If the user has no home folder and the variable is not set.
    """
    try:
        return _cache()
    except RuntimeError:  # of pathlib
        raise MinicnnError(f"there is no home folder; set {VARIABLE} to a folder") from None


def cached() -> dict:
    """Return {name: path} of the networks in the cache folder; none if it cannot be read."""
    try:
        return networks(cache())
    except (MinicnnError, OSError):
        return {}


def embedded() -> dict:
    """Return {name: path} of the weight files that are part of minicnn."""
    return networks(installed())


def available() -> dict:
    """Return {name: path} of the networks that are known by name: embedded, then fetched."""
    return {**cached(), **embedded()}


def find(name_or_path) -> Path:
    """Return the path of a network at hand, or of a weight file.

    Raises
    ------
    MinicnnError
        If there is neither, or the file is that of another program.
    """
    known = available()
    if isinstance(name_or_path, str) and name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    if not path.exists():
        raise MinicnnError(
            f"no weights {str(name_or_path)!r}: there is no such file, and the networks at hand "
            f"are {', '.join(known) or 'none'}; `minicnn weights list` tells what can be fetched"
        )
    if not is_hdf5(regular_file(path)[1]):
        raise MinicnnError(
            f"{path} is not an HDF5 file; if another program made it, make one of it by "
            "`minicnn weights convert`"
        )
    return path


def _cache():
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "minicnn" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minicnn"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the convention has a relative path ignored
    return (base if base.is_absolute() else Path.home() / ".cache") / "minicnn"


def networks(folder: Path | None) -> dict:
    """Return {name: path} of the weight files in a folder, in the order of the names."""
    if folder is None or not folder.is_dir():
        return {}
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix == ".h5" and not path.name.startswith(".")
    }
