r"""The user's cache folder: $MINICNN_CACHE if that is set, else the platform's convention.

Linux    $XDG_CACHE_HOME/minicnn, or ~/.cache/minicnn
macOS    ~/Library/Caches/minicnn
Windows  %LOCALAPPDATA%\minicnn\Cache
"""

import os
import sys
from pathlib import Path

from minicnn.errors import MinicnnError

VARIABLE = "MINICNN_CACHE"


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
