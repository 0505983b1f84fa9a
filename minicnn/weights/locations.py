"""Where the files of minicnn lie: those installed with it, and the user's cache folder.

NAME.h5 in the cache folder is the network that `minicnn weights fetch NAME` has got.
"""

from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.storage.cache_folder import cache
from minicnn.storage.hdf5_reading import is_hdf5
from minicnn.storage.limits import regular_file


def installed() -> Path | None:
    """Return the folder of the networks that are part of minicnn, or None where there is none."""
    package = Path(__file__).parents[1]
    if (package / "_weights").is_dir():
        return package / "_weights"
    folder = package.parent / "weights"  # not installed: run from a checkout
    return folder if folder.is_dir() and (package.parent / "setup.py").is_file() else None


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


def networks(folder: Path | None) -> dict:
    """Return {name: path} of the weight files in a folder, in the order of the names."""
    if folder is None or not folder.is_dir():
        return {}
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix == ".h5" and not path.name.startswith(".")
    }
