"""Get one file over HTTP, going on where an earlier attempt broke off.

    PATH.part           what has come; it becomes PATH when it is whole and its hash is right
    PATH.part.version   where it comes from, and the server's name for this version of the file

A beginning is continued by a Range request that holds for the same version alone (If-Range). The
server's word is taken for nothing: bytes are counted, ranges compared, sizes limited, and in the
end the hash decides. Whatever it does, `ATTEMPTS` attempts without `WORTH` new bytes end it.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (ranges).
"""

import contextlib
import hashlib
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.weights import web
from minicnn.weights.web import WORTH

MAX_BYTES = 2 << 30  # the largest of the public files has 0.6 GB
CHUNK = 1 << 16
ATTEMPTS = 5  # in a row that bring nothing worth while
PAUSE = 1.0  # seconds before the second attempt, doubled each time
TIMEOUT = 30.0  # seconds
TRY_LATER = {408, 416, 425, 429, 500, 502, 503, 504}


class _Again(Exception):
    """The connection was lost, or the server is busy: worth another attempt."""


def download(
    url: str,
    path: Path,
    algorithm: str = "sha256",
    hash_start: str = "",
    *,
    progress: Callable = lambda done, total: None,
    note: Callable = lambda text: None,
    timeout: float = TIMEOUT,
) -> str:
    """Bring the file at `url` to `path`; return its SHA-256.

    Parameters
    ----------
    url : str
        http or https.
    path : path
        In a folder that exists. What is there is replaced when the new file is whole.
    algorithm, hash_start : str
        What the file's hash must begin with; by default any file is taken.
    progress : function
        Called as progress(bytes so far, bytes in all or None).
    note : function
        Called with a few words when something unusual happens.
    timeout : float
        Seconds without `WORTH` bytes after which a connection counts as lost.

    Raises
    ------
    MinicnnError
        If it cannot be had, is not the file it should be, or another command writes it. What has
        come stays for the next call, unless it is wrong.
    """
    web.check(url)
    try:
        with _Download(url, Path(path), progress, note, timeout) as partial:
            partial.complete()
            sha256, fault = hashes(partial.part, algorithm, hash_start)
            if fault:
                partial.restart()
                raise MinicnnError(f"{url} is not the file it should be: {fault}; it was deleted")
            partial.finish()
            return sha256
    except OSError as error:
        reason, place = error.strerror or error, error.filename or str(path)
        raise MinicnnError(f"cannot write {str(place)!r}: {reason}") from None


def hashes(path: Path, algorithm: str = "sha256", start: str = "") -> tuple:
    """Return (SHA-256 of a file, what is wrong with the hash that should begin so, or None)."""
    sha256, asked = hashlib.sha256(), hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            asked.update(block)
    fault = f"its {algorithm} is {asked.hexdigest()}, that of the right one begins with {start}"
    return sha256.hexdigest(), None if asked.hexdigest().startswith(start) else fault


class _Download:
    """A partial file, locked, and what fills it."""

    def __init__(self, url, path, progress, note, timeout):
        self.url, self.path, self.timeout = url, path, timeout
        self.progress, self.note = progress, note
        self.part = path.with_name(f"{path.name}.part")
        self.origin = path.with_name(f"{path.name}.part.version")

    def __enter__(self):
        self.file, self.version = open(self.part, "ab"), ""
        try:
            _lock(self.file)
            if not os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.part)):
                raise OSError  # the other command renamed it after we had opened it
        except OSError:
            self.file.close()
            raise MinicnnError(f"{str(self.part)!r} is being written by another command") from None
        self.size = self.file.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError, ValueError):
            url, version = self.origin.read_text(encoding="ascii").splitlines()
            self.version = version if url == self.url else ""
        if not self.version:
            self.restart()
        return self

    def __exit__(self, failure, *_):
        if failure and not (self.size and self.version):  # of no use to the next command
            self.let_go()
            self.part.unlink(missing_ok=True)
            self.origin.unlink(missing_ok=True)
        self.file.close()

    def let_go(self):
        """Close the file where open ones are not renamed or deleted; elsewhere keep the lock."""
        if os.name == "nt":
            self.file.close()

    def restart(self, version=""):
        """Forget what has come; what comes now is of this version."""
        self.file.truncate(0)
        self.size, self.version = 0, version
        self.origin.write_text(f"{self.url}\n{version}\n", encoding="ascii")

    def finish(self):
        """Make it the whole file."""
        os.fsync(self.file.fileno())
        self.let_go()
        os.replace(self.part, self.path)
        self.origin.unlink(missing_ok=True)

    def complete(self):
        """Ask again until all of the file is there."""
        best, failures = self.size, 0
        if best:
            self.note(f"going on at {best / 1e6:.2f} MB")
        while True:
            try:
                return self.attempt()
            except _Again as again:
                reason = again
            failures += 1
            if self.size >= best + WORTH:
                best, failures = self.size, 0
            if failures >= ATTEMPTS:
                kept = f", {self.size / 1e6:.2f} MB are kept" if self.version else ""
                raise MinicnnError(f"cannot get {self.url}: {reason}; try again later{kept}")
            self.note(f"{reason}; trying again")
            time.sleep(PAUSE * 2 ** max(0, failures - 1))

    def attempt(self):
        """Make one request and take what comes."""
        request = urllib.request.Request(self.url, headers={"User-Agent": "minicnn"})
        if self.size and self.version:
            request.add_header("Range", f"bytes={self.size}-")
            request.add_header("If-Range", self.version)
        with self.survive():
            try:
                response = web.opener().open(request, timeout=self.timeout)
            except urllib.error.HTTPError as answer:
                response = answer
        with response:
            total = self.begin(response)
            self.take(response, total)
        if total not in (None, self.size):
            raise _Again(f"the connection broke off at {self.size:,} of {total:,} bytes")

    @contextlib.contextmanager
    def survive(self):
        """Tell what ends a connection for good from what is worth another attempt."""
        try:
            yield
        except web.LOST as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if not isinstance(reason, web.FINAL):
                raise _Again(f"the connection failed ({web.words(reason)})") from None
            raise MinicnnError(
                f"cannot get {self.url}: {web.words(reason)}; check address and connection, set "
                "https_proxy behind a proxy, or give another address with --from"
            ) from None

    def begin(self, response):
        """Bring the partial file to where the response begins; return the whole file's size."""
        headers, status = response.headers, response.status
        if status == 206:
            wanted = rf"bytes {self.size}-\d+/(\d{{1,18}})"
            found = re.fullmatch(wanted, headers.get("Content-Range", "").strip())
            if not found:
                self.restart()
                raise _Again("the server sends another part than it was asked for")
        elif status == 200:
            etag = headers.get("ETag", "")  # a weak one may not be used for If-Range
            version = etag if etag.startswith('"') else headers.get("Last-Modified", "")
            self.restart(version if version.isascii() and version.isprintable() else "")
            found = re.fullmatch(r"(\d{1,18})", headers.get("Content-Length", ""))
        else:
            answer = web.words(f"the server answered {status} {response.reason or ''}")
            if status not in TRY_LATER:
                raise MinicnnError(f"{self.url}: {answer}; give another address with --from")
            if status == 416:  # what is here is not the beginning of the server's file
                self.restart()
            raise _Again(answer)
        return int(found[1]) if found else None

    def take(self, response, total):
        """Write the body behind what is there."""
        self.progress(self.size, total)
        try:
            while max(self.size, total or 0) <= MAX_BYTES:
                with self.survive():
                    chunk = response.read1(CHUNK)
                if not chunk:
                    return
                self.file.write(chunk)
                self.size += len(chunk)
                self.progress(self.size, total)
        finally:
            self.file.flush()
        self.restart()
        raise MinicnnError(f"{self.url} has more than the {MAX_BYTES:,} bytes that are allowed")


def _lock(file):
    """Take hold of an open file, or raise OSError; closing it lets go."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with contextlib.suppress(ImportError):
        import msvcrt

        file.seek(1 << 40)  # Windows keeps others from reading what is locked: nothing is there
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
