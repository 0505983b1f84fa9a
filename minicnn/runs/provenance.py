"""Where a picture comes from: hashes of its inputs, versions of what computed it.

Nothing here changes from one run to the next on the same machine, so that the same command gives
the same bytes: no times, no dates.
"""

import platform
from importlib import metadata
from pathlib import Path

from threadpoolctl import threadpool_info

import minicnn
from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError
from minicnn.storage.atomic import file_hash

LIBRARIES = ("numpy", "scipy", "pillow", "h5py")


def versions(device="cpu", threads=None):
    """Return {"minicnn": ..., "python": ..., "numpy": ..., ..., "blas": ..., "threads": ...}."""
    found = {"minicnn": minicnn.__version__, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in LIBRARIES}
    return found | {"blas": blas(), "device": device, "threads": thread_count(threads)}


def blas():
    """Return the BLAS of NumPy and SciPy in words: kind, version, kernels.

    Not how many threads they may use, which is less while a picture is searched for.
    """
    import scipy.linalg  # noqa: F401 - loads the BLAS that SciPy brings along

    keys = ("internal_api", "version", "architecture")
    found = {
        " ".join(str(lib[key]) for key in keys if lib.get(key))
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "none known"


def find_input(path, sha256, beside):
    """Find an input file of an earlier run: as named, or beside the picture that it made.

    Parameters
    ----------
    path : str
        As given to that run.
    sha256 : str
        Of the file then.
    beside : path-like
        The picture.

    Returns
    -------
    Path

    Raises
    ------
    MinicnnError
        If there is no such file, or only one with other bytes.
    """
    candidates = [Path(path), Path(beside).parent / path, Path(beside).parent / Path(path).name]
    files = [candidate for candidate in candidates if candidate.is_file()]
    for file in files:
        if file_hash(file) == sha256:
            return file
    if files:
        raise MinicnnError(
            f"{str(files[0])!r} is not the file that {str(beside)!r} was made from (another "
            "SHA-256); put the old one back"
        )
    raise MinicnnError(
        f"no file {path!r}, from which {str(beside)!r} was made, here or beside it; put it back"
    )
