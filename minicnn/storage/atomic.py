"""Files written whole or not at all, and their hashes."""

import contextlib
import hashlib
import os
from pathlib import Path

from minicnn.errors import MinicnnError


def file_hash(path):
    """Return the SHA-256 of a file.

    Raises
    ------
    MinicnnError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise MinicnnError(f"cannot read {str(path)!r}: {error.strerror or error}") from None


def write_whole(path, data):
    """Write to a temporary file beside `path`, which then takes its name.

    `data` are the bytes, or a function that writes them to a file.
    """
    with _temporary_beside(path) as file:
        data(file) if callable(data) else file.write(data)
        file.flush()
        _let_go(file)
        os.replace(file.name, os.path.realpath(path))


def check_output(path, force=False, suffixes=()):
    """Check that `write_whole` can write to `path`; call it before a long computation.

    Parameters
    ----------
    path : path
    force : bool
        Whether a file that is there may be replaced.
    suffixes : tuple of str
        How its name may end; any by default.

    Raises
    ------
    MinicnnError
        If the suffix is another one, the folder is missing or not writable, or a file is there
        already and `force` is not set.
    """
    name, suffix = quoted(path), Path(path).suffix.lower()
    if "\0" in os.fspath(path):
        raise MinicnnError(f"cannot write {name}: a file name holds no null character")
    if os.path.isdir(path):
        raise MinicnnError(f"cannot write {name}: it is a folder; give a file name")
    if suffixes and suffix not in suffixes:
        raise MinicnnError(
            f"cannot write {name}: unknown suffix {suffix!r}; use one of {', '.join(suffixes)}"
        )
    if os.path.exists(path) and not force:
        raise MinicnnError(f"{name} exists already; give another name, or force to replace it")
    # only trying tells: permission bits say nothing about a read-only or full file system
    with _temporary_beside(path) as file:
        os.remove(file.name)
        with contextlib.suppress(FileNotFoundError):
            os.stat(path)  # a name can be too long


@contextlib.contextmanager
def _temporary_beside(path):
    """Give a new file beside `path`; leave nothing of it, and put failures into one line."""
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    if os.path.isdir(target):
        raise MinicnnError(f"cannot write {quoted(path)}: it is a folder")
    if not os.path.isdir(folder):
        named = os.path.dirname(os.fspath(path)) or folder
        raise MinicnnError(
            f"cannot write {quoted(path)}: there is no folder {named!r}; create it first"
        )
    own = f".minicnn-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.part"
    try:
        with _new_file(os.path.join(folder, own)) as file:
            try:
                yield file
            except BaseException:
                with contextlib.suppress(OSError):
                    os.remove(file.name)
                raise
    except OSError as error:
        reason = error.strerror or error
        raise MinicnnError(f"cannot write {quoted(path)}: {reason} (folder {folder!r})") from error


def _new_file(path):
    """Return a new file, locked; one that is there unlocked is left from a killed run, and goes."""
    while True:
        with contextlib.suppress(FileNotFoundError), open(path, "rb", opener=_no_link) as old:
            _lock(old)
            if _is_at(old, path):
                _let_go(old)
                os.remove(path)
        with contextlib.suppress(FileExistsError):
            file = open(path, "xb")
            _lock(file)
            if _is_at(file, path):
                return file
            file.close()


def _no_link(path, flags):
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _lock(file):
    """Wait until no other process holds an open file, where the system knows locks."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _let_go(file):
    """Close a file where open ones are neither renamed nor removed."""
    if os.name == "nt":
        file.close()


def _is_at(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def quoted(path):
    """Return the path in quotes, on one line whatever characters it has."""
    return repr(os.fspath(path))


def refuse_clashes(paths, inputs):
    """Raise `MinicnnError` if a file to be written is one of the inputs, or is named twice."""
    taken = {Path(path).resolve(): "an input of this run" for path in inputs}
    for path in paths:
        place = Path(path).resolve()
        if place in taken:
            raise MinicnnError(f"cannot write {str(path)!r}: it is {taken[place]}")
        taken[place] = "already to be written by this run"


def results_folder(path, names, force=False):
    """Make a folder for results and return it as `Path`.

    Parameters
    ----------
    path : path
    names : list of str
        Files that are going to be written there.
    force : bool
        They may be there already.

    Raises
    ------
    MinicnnError
        If the folder cannot be made, or one of the files is there and may not be replaced.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinicnnError(f"cannot make the folder {str(path)!r}: {error.strerror}") from None
    taken = [folder / name for name in names if (folder / name).exists()]
    if taken and not force:
        raise MinicnnError(
            f"{taken[0]} exists already; replace it with --force, or give another folder"
        )
    return folder
