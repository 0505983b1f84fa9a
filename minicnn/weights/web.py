"""What opens addresses of the web: http and https, not slower than a pace, and nothing else.

Proxies are taken from the environment (https_proxy, no_proxy).
"""

import http.client
import io
import socket
import time
import urllib.parse
import urllib.request

from minicnn.errors import MinicnnError, one_line

WORTH = 1 << 16  # bytes that a connection must bring in every timeout, headers included
LOST = (OSError, http.client.HTTPException, ValueError)  # what a connection dies of
FINAL = (socket.gaierror, http.client.InvalidURL, ValueError)  # no host, address, certificate


def check(url: str) -> None:
    """Raise `MinicnnError` if this is not an address that is downloaded from."""
    try:
        parts = urllib.parse.urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        raise MinicnnError(f"{url!r} is not a web address; write http://... or https://...")


def opener() -> urllib.request.OpenerDirector:
    """Return what opens an address, and what that leads to."""
    return urllib.request.build_opener(_Handler)


def words(said) -> str:
    """Return what a server or an exception says: a short line that is safe for a terminal."""
    return one_line(getattr(said, "strerror", None) or str(said) or type(said).__name__, 200)


class _Paced(io.RawIOBase):
    """What a socket sends, as long as that is `WORTH` bytes in its timeout."""

    def __init__(self, raw, timeout):
        self.raw, self.timeout = raw, timeout
        self.count, self.since = 0, time.monotonic()

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self.raw.readinto(buffer)
        self.count += count
        if self.count >= WORTH:
            self.count, self.since = 0, time.monotonic()
        elif count and time.monotonic() - self.since > self.timeout:
            raise TimeoutError(f"only {self.count} bytes in {self.timeout:g} s")
        return count

    def close(self):
        self.raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock, *args, **options):
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach(), sock.gettimeout()))


class _Handler(
    urllib.request.HTTPSHandler, urllib.request.HTTPHandler, urllib.request.HTTPRedirectHandler
):
    """Opens http and https; is led to nothing else, and not from https to http."""

    def do_open(self, kind, request, **options):
        def connection(*args, **more):
            made = kind(*args, **more)
            made.response_class = _Response
            return made

        return super().do_open(connection, request, **options)

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new = urllib.parse.urlsplit(newurl).scheme
        if new not in ("http", "https") or (new, req.type) == ("http", "https"):
            raise ValueError(f"it leads to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req, fp, code, msg, headers):
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # no address: urllib leaves the connection open
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
