"""A real HTTP server on this machine whose files can be served in every bad way.

A `Behaviour` says what the next answers do wrong; the last one stays. Every request is written
down in `server.seen` as (path, headers).
"""

import contextlib
import re
import socketserver
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """One answer."""

    content: bytes | None = None  # instead of the file
    status: int | None = None  # an error, without content
    stop_after: int | None = None  # bytes after which the connection is cut
    stall_after: int | None = None  # bytes after which nothing more comes
    piece: int = 1 << 16  # bytes written at a time ...
    pause: float = 0.0  # ... and the seconds between
    length: object = True  # True: right; None: not told; else what is claimed
    ranges: bool = True  # whether Range is understood
    range_start: int | None = None  # claimed beginning of the part, instead of the right one
    total: int | None = None  # claimed size in Content-Range
    etag: str | None = '"one"'
    modified: str | None = None
    headers: dict = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """Serves `files` {path: bytes} by `behaviours` {path: [Behaviour, ...]}."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.behaviours, self.seen = {}, {}, []
        self.closing = threading.Event()

    def server_bind(self):
        """Bind without asking for the machine's name, which takes long where nobody answers."""
        socketserver.TCPServer.server_bind(self)

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def serve(self, path, content, *behaviours):
        self.files[path] = content
        self.behaviours[path] = list(behaviours) or [Behaviour()]
        return self.url(path)

    def handle_error(self, request, client_address):
        """Say nothing: clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        server.seen.append((self.path, dict(self.headers)))
        queue = server.behaviours.get(path, [Behaviour(status=404)])
        how = queue.pop(0) if len(queue) > 1 else queue[0]
        self.close_connection = True
        if how.status:
            self.send_response(how.status)
            for name, value in {"Content-Length": "0", **how.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        content = server.files[path] if how.content is None else how.content
        self.send_body(how, content, self.start(how, len(content)))

    def start(self, how, size):
        """Return the first byte that is wanted."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        current = self.headers.get("If-Range") in (None, how.etag, how.modified)
        return int(found[1]) if found and how.ranges and current else 0

    def send_body(self, how, content, start):
        partial = start > 0
        if start >= len(content) and partial:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = content[start:]
        self.send_response(206 if partial else 200)
        if partial:
            claimed = start if how.range_start is None else how.range_start
            total = len(content) if how.total is None else how.total
            self.send_header("Content-Range", f"bytes {claimed}-{len(content) - 1}/{total}")
        if how.length is not None:
            self.send_header("Content-Length", len(body) if how.length is True else how.length)
        for name, value in {"ETag": how.etag, "Last-Modified": how.modified, **how.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        sent = 0
        while sent < len(body):
            limits = (how.stop_after, how.stall_after)
            end = min(sent + how.piece, len(body), *(i for i in limits if i is not None))
            self.wfile.write(body[sent:end])
            self.wfile.flush()
            sent = end
            if sent == how.stop_after:
                return
            if sent == how.stall_after:
                self.server.closing.wait(30)
                return
            if how.pause:
                time.sleep(how.pause)


@contextlib.contextmanager
def running():
    """Give a server that answers until the end of the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
