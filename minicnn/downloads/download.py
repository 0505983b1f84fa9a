"""Get one file over HTTP, going on where an earlier attempt broke off.

A partial file is continued by a Range request that holds for the same version alone (If-Range);
a server that knows no ranges, or has another version now, sends the whole file and we start over.
The server's word is taken for nothing: bytes are counted, ranges compared, sizes limited, and in
the end the hash decides. Proxies are taken from the environment (https_proxy, no_proxy).

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (ranges).
"""

import http.client
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from minicnn.downloads import web
from minicnn.downloads.partial_file import Digest, PartialFile, hashes
from minicnn.errors import MinicnnError

MAX_BYTES = 2 << 30  # the largest of the public files has 0.6 GB
CHUNK = 1 << 16
ATTEMPTS = 5  # in a row that bring nothing worth while
WORTH = 1 << 16  # new bytes that make an attempt worth while
PAUSE = 1.0  # seconds before the second attempt, doubled each time
TIMEOUT = 30.0  # seconds without a byte
TRY_LATER = {408, 425, 429, 500, 502, 503, 504}
MOVED_AWAY = {401, 403, 404, 410}
LOST = (OSError, http.client.HTTPException, UnicodeError)  # what a connection dies of


class _Broken(Exception):
    """The connection was lost, or the server is busy: worth another attempt."""


class _Stale(Exception):
    """What has come is of no use: start over."""


def download(
    url: str,
    path: Path,
    digest: Digest | None = None,
    *,
    progress: Callable = lambda done, total: None,
    note: Callable = lambda text: None,
    timeout: float = TIMEOUT,
) -> str:
    """Bring the file at `url` to `path`.

    Parameters
    ----------
    url : str
        http or https.
    path : path
        In a folder that exists. What is there is replaced when the new file is whole.
    digest : Digest, optional
        What the file's hash must be; without it any file is taken.
    progress : function
        Called as progress(bytes so far, bytes in all or None).
    note : function
        Called with a few words when something unusual happens.
    timeout : float
        Seconds without a byte after which a connection counts as lost.

    Returns
    -------
    str
        The SHA-256 of the file.

    Raises
    ------
    MinicnnError
        If it cannot be had, or is not the file it should be. What has come stays for the next
        call, unless it is wrong.
    """
    web.check(url)
    try:
        with PartialFile(Path(path), url) as partial:
            return _Download(partial, progress, note, timeout).run(digest)
    except OSError as error:
        reason, place = error.strerror or error, error.filename or str(path)
        raise MinicnnError(f"cannot write {str(place)!r}: {reason}") from None


def megabytes(count: int) -> str:
    """Write a number of bytes for people.

    >>> megabytes(675_763), megabytes(574_673_361)
    ('0.68 MB', '574.67 MB')
    """
    return f"{count / 1e6:.2f} MB"


class _Download:
    def __init__(self, partial, progress, note, timeout):
        self.partial, self.url = partial, partial.url
        self.progress, self.note, self.timeout = progress, note, timeout

    def run(self, digest):
        """Get the whole file and check it; return its SHA-256."""
        if self.partial.size():
            self.note(f"going on at {megabytes(self.partial.size())}")
        self.complete()
        sha256, fault = hashes(self.partial.part, digest)
        if fault and self.partial.continued:  # the pieces may be those of different files
            self.note(f"the pieces do not fit: {fault}; starting over")
            self.partial.restart()
            self.complete()
            sha256, fault = hashes(self.partial.part, digest)
        if fault:
            self.partial.discard()
            raise MinicnnError(f"{self.url} is not the file it should be: {fault}; it was deleted")
        self.partial.finish()
        return sha256

    def complete(self):
        """Ask again until all of the file is there."""
        failures = 0
        while True:
            before = self.partial.size()
            try:
                return self.attempt()
            except _Stale as reason:
                self.partial.restart()
                failures, happened = failures + 1, f"{reason}; starting over"
            except _Broken as reason:
                worth = self.partial.size() - before >= WORTH
                failures, happened = 0 if worth else failures + 1, f"{reason}; trying again"
            if failures >= ATTEMPTS:
                size = self.partial.size()
                kept = f", {megabytes(size)} are kept" if size else ""
                reason = happened.rpartition(";")[0]
                raise MinicnnError(f"cannot get {self.url}: {reason}; try again later{kept}")
            self.note(happened)
            time.sleep(PAUSE * 2 ** max(0, failures - 1))

    def attempt(self):
        """Make one request and take what comes."""
        try:
            response = web.opener().open(self.request(), timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                return self.refused(error)
        except LOST as error:
            raise _trouble(self.url, getattr(error, "reason", error)) from None
        with response:
            total = self.agree(response)
            self.check_room(total)
            self.take(response, total)
        if total is not None and self.partial.size() != total:
            at = self.partial.size()
            raise _Broken(f"the connection broke off at {at:,} of {total:,} bytes")
        return None

    def request(self):
        """Return the request for what is missing."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "minicnn"}
        if self.partial.size() and self.partial.validator():
            headers["Range"] = f"bytes={self.partial.size()}-"
            headers["If-Range"] = self.partial.validator()
        return urllib.request.Request(self.url, headers=headers)

    def agree(self, response):
        """Bring the partial file to where the response begins; return the whole file's size."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise MinicnnError(f"{self.url}: the server sends it packed ({encoding}) unasked")
        if response.status == 206:
            return self.agree_on_range(response.headers.get("Content-Range", ""))
        if response.status != 200:
            raise MinicnnError(f"{self.url}: the server answered {response.status}")
        length = response.headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(r"\d{1,18}", length) else None
        if self.partial.size():
            self.note("the server sends it from the beginning")
        self.partial.begin(response.headers, total)
        return total

    def agree_on_range(self, text):
        """Check the part that the server says it sends."""
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", text.strip())
        if not found or int(found[1]) != self.partial.size():
            raise _Stale("the server sends another part than it was asked for")
        self.partial.continued = True
        known, total = self.partial.origin.get("total"), found[2]
        if total == "*":
            return known
        if known not in (None, int(total)):
            raise _Stale(f"the file has {int(total):,} bytes now, {known:,} before")
        return int(total)

    def check_room(self, total):
        """Refuse what is too large, before any of it comes."""
        missing = (total or 0) - self.partial.size()
        if (total or 0) > MAX_BYTES:
            raise MinicnnError(
                f"{self.url}: the server announces {total:,} bytes, the limit is {MAX_BYTES:,}"
            )
        folder = self.partial.path.parent
        free = shutil.disk_usage(folder).free
        if missing > free:
            raise MinicnnError(
                f"{self.url} needs {megabytes(missing)} more, {megabytes(free)} are free in "
                f"{str(folder)!r}; set MINICNN_CACHE to a folder on a larger disk"
            )

    def take(self, response, total):
        """Write the body behind what is there."""
        done = self.partial.size()
        self.progress(done, total)
        try:
            while chunk := self.read(response):
                done += len(chunk)
                if done > MAX_BYTES:
                    self.partial.restart()
                    raise MinicnnError(f"{self.url} sends more than {MAX_BYTES:,} bytes")
                self.partial.append(chunk)
                self.progress(done, total)
        finally:
            self.partial.flush()

    def read(self, response):
        """Return what has come since, at least a byte; b"" at the end."""
        try:
            return response.read1(CHUNK)
        except LOST as error:
            raise _trouble(self.url, error) from None

    def refused(self, error):
        """Deal with an answer that is no success."""
        if error.code == 416 and self.partial.size():
            size = re.fullmatch(r"bytes \*/(\d{1,18})", error.headers.get("Content-Range", ""))
            if size and int(size[1]) == self.partial.size():
                return  # all is there
            raise _Stale("the server's file is not as long as what is here")
        answer = f"the server answered {error.code} {' '.join(str(error.reason).split())}"
        if error.code in TRY_LATER:
            raise _Broken(answer)
        hint = "; give another address with --url" if error.code in MOVED_AWAY else ""
        raise MinicnnError(f"{self.url}: {answer}{hint}")


def _trouble(url, reason):
    """Return the exception for a connection that failed: final, or worth another attempt."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return MinicnnError(f"{url}: the certificate is not valid ({reason.verify_message})")
    if isinstance(reason, socket.gaierror):
        host = urllib.parse.urlsplit(url).hostname
        return MinicnnError(
            f"no host {host!r} can be found for {url}; check the connection, set https_proxy "
            "behind a proxy, or give a mirror with MINICNN_MIRROR or --url"
        )
    if isinstance(reason, (http.client.InvalidURL, UnicodeError)):
        return MinicnnError(f"{url!r} is not a web address")
    if isinstance(reason, TimeoutError):
        return _Broken("the server stopped sending")
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return _Broken(f"the connection failed ({' '.join(words.split())})")
