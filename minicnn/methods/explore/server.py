"""The server of the page: this machine alone, and nobody without the token in the address.

    http://127.0.0.1:PORT/TOKEN/              the page
    http://127.0.0.1:PORT/TOKEN/units?...     a question, answered in JSON; see `answers`

Other programs and web pages on this machine reach the port, but do not know the token; a name that
somebody lets point to 127.0.0.1 (DNS rebinding) is not the host that is asked for. The page may
load nothing from elsewhere (Content-Security-Policy), and all text that it shows is text.
"""

import contextlib
import hmac
import inspect
import json
import secrets
import socketserver
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from urllib.parse import parse_qsl

from minicnn.errors import MinicnnError, one_line
from minicnn.methods.explore.answers import MOST

FILES = {"": "html", "page.css": "css", "page.js": "javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ASKED = ("networks", "overview", "units", "unit", "view", "cam", "top", "search", "alive")
DONE = ("upload", "start", "stop")  # these change something: by POST


class PageServer(ThreadingHTTPServer):
    """Serves the page and `answers` on 127.0.0.1.

    Parameters
    ----------
    answers : Answers
    port : int, 0 for a free one
    """

    daemon_threads = True

    def __init__(self, answers, port=0):
        self.answers, self.token = answers, secrets.token_urlsafe(24)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise MinicnnError(
                f"cannot serve on port {port} of 127.0.0.1: {error.strerror}; give another --port, "
                "or none for a free one"
            ) from None

    def server_bind(self):
        """Bind without asking for the machine's name, which takes long where nobody answers."""
        socketserver.TCPServer.server_bind(self)

    @property
    def port(self):
        """The port that is listened on."""
        return self.server_address[1]

    @property
    def url(self):
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "minicnn", ""
    timeout = 60  # seconds without a word

    def do_GET(self):
        """Answer with a file of the page, or what is asked."""
        self._answer(ASKED)

    def do_POST(self):
        """Do something, and tell what came of it."""
        self._answer(DONE)

    def _answer(self, allowed):
        started = time.perf_counter()
        status, kind, body = self._found(allowed)
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        milliseconds = 1000 * (time.perf_counter() - started)
        self.send_header("Server-Timing", f"answer;dur={milliseconds:.1f}")
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 200 and self.path.partition("?")[0].endswith("/saved"):
            self.send_header("Content-Disposition", 'attachment; filename="minicnn.png"')
        self.end_headers()
        self.wfile.write(body)

    def _found(self, allowed):
        """Return (status, content type, bytes) of the answer."""
        path, _, query = self.path.partition("?")
        token, _, name = path.removeprefix("/").partition("/")
        if not self._is_ours(token):
            self.close_connection = True  # whatever else it sends
            return 403, "text/plain", b"open the address that minicnn explore has printed\n"
        values = dict(parse_qsl(query, keep_blank_values=True))
        try:
            if self.command == "POST":
                data = self._body()
                values |= {"data": data} if name == "upload" else _object(data)
            if self.command == "GET" and name in FILES:
                return 200, f"text/{FILES[name]}", _file(name)
            if self.command == "GET" and name == "saved":
                found = self.server.answers.searches.find(values.get("number", ""))
                return 200, "image/png", found.saved()
            if name not in allowed:
                return 404, "application/json", _error(f"nothing is called {name[:40]!r} here")
            return 200, "application/json", json.dumps(self._ask(name, values)).encode()
        except MinicnnError as error:
            return 400, "application/json", _error(str(error))
        except MemoryError:
            return 400, "application/json", _error("there is not enough memory for this")
        except Exception as error:  # the server and the page go on
            traceback.print_exc()
            said = f"a fault of minicnn itself: {type(error).__name__}: {error}"
            return 500, "application/json", _error(said)

    def _is_ours(self, token):
        """Whether who asks knows the token, and asks this host by its own name."""
        host = self.headers.get("Host", "")
        hosts = [f"{name}:{self.server.port}" for name in ("127.0.0.1", "localhost")]
        return host in hosts and hmac.compare_digest(token.encode(), self.server.token.encode())

    def _body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST:
            self.close_connection = True  # what comes is not read
            raise MinicnnError(f"an upload has at most {MOST >> 20} MiB; make the picture smaller")
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise MinicnnError("the upload broke off; try again")
        return data

    def _ask(self, name, values):
        method = getattr(self.server.answers, name)
        try:
            inspect.signature(method).bind(**values)
        except TypeError as error:
            raise MinicnnError(f"{name}: {error}") from None
        return method(**values)

    def log_message(self, *_):
        """Say nothing of requests."""


def _file(name):
    found = resources.files("minicnn.methods.explore").joinpath(name or "page.html")
    return found.read_bytes()


def _error(message):
    return json.dumps({"error": one_line(message)}).encode()


def _object(data):
    """Return {name: text} of a JSON object."""
    with contextlib.suppress(ValueError):
        values = json.loads(data)
        if isinstance(values, dict) and all(isinstance(value, str) for value in values.values()):
            return values
    raise MinicnnError("a question is a JSON object of texts")
