"""The command `minicnn`: starts the package of that name if it is ours, or says what is there.

The index has another project `minicnn`, whose module is `MiniCNN`. On Linux the two stand side by
side. Where a file system takes capital and small letters for the same (macOS, Windows), both are
written into one folder: the later `__init__.py` replaces the earlier, and the folder keeps the name
that it was made with. So the command must not lie in that folder: setup.py installs this file a
second time, at the top, as `minicnn_launcher`.
"""

import os
import sys  # the rest later: Ctrl-C before `main` has begun would end in a traceback

DISTRIBUTION, OTHER = "minicnn-numpy", "minicnn"
CURE = (
    f"uninstall both, `pip uninstall {DISTRIBUTION} {OTHER}`, "
    f"and install {DISTRIBUTION} alone in an environment of its own"
)


def main() -> int:
    """Return the exit code of the command line, or 1 after one line where it cannot start."""
    try:
        found = fault()
        if found is None:
            from minicnn.cli import main

            return main()
    except KeyboardInterrupt:  # before or after a verb's own work, which looks after itself
        print("minicnn: error: interrupted", file=sys.stderr)
        return 130
    print(f"minicnn: error: {found}; {CURE}", file=sys.stderr)
    return 1


def fault() -> str | None:
    """Return what is wrong with the package that `import minicnn` finds, or None.

    The package is not imported: what another project does then is not known.
    """
    import re
    from importlib.util import find_spec

    spec = find_spec("minicnn")
    if spec is None or spec.origin is None:
        return f"there is no package minicnn for this command of {DISTRIBUTION}"
    source = spec.loader.get_source("minicnn") or ""
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    if version is None or "minicnn.errors" not in source:
        return f"{spec.origin} is of another project than {DISTRIBUTION}"
    beside = map(str.lower, os.listdir(os.path.dirname(os.path.dirname(spec.origin))))
    about = [name for name in beside if name.startswith(("minicnn-", "minicnn.", "minicnn_numpy"))]
    if about == [f"minicnn_numpy-{version[1]}.dist-info"]:  # no need to load what reads them
        return None
    from importlib import metadata

    if _is_of(OTHER, spec.origin):
        folder = os.path.dirname(spec.origin)
        return f"{folder} is of both the distributions {DISTRIBUTION} and {OTHER}"
    if _is_of(DISTRIBUTION, spec.origin) and version[1] != metadata.version(DISTRIBUTION):
        said = f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
        return f"{spec.origin} is of version {version[1]}, but {said} is installed"
    return None


def installed() -> str:
    """Return in words which distribution the package is of."""
    from importlib import metadata
    from importlib.util import find_spec

    if _is_of(DISTRIBUTION, find_spec("minicnn").origin):
        return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    return f"{DISTRIBUTION}, from its sources"


def _is_of(distribution, origin):
    """Return whether a distribution has installed `origin`, the file of the package."""
    from importlib import metadata

    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return False
    places = [file.locate() for file in files if file.as_posix().lower() == "minicnn/__init__.py"]
    return any(place.exists() and os.path.samefile(place, origin) for place in places)
