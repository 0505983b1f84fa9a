"""The server of `explore` on small networks, and what asks it."""

import base64
import http.client
import io
import json
import tempfile
import threading
from contextlib import closing, contextmanager
from urllib.parse import urlencode

import numpy as np
from look_testing import classifier
from PIL import Image

from minicnn.methods.explore.answers import Answers
from minicnn.methods.explore.searches import Searches
from minicnn.methods.explore.seen import Explored
from minicnn.methods.explore.server import PageServer
from minicnn.network.layers import Conv2d, Linear, ReLU, Softmax

HOSTILE = '<script>alert("x")</script>\n\'"&' + "n" * 10_000
NAMED = {"network": "minivgg", "weights": "random"}


def png(rng, size=(20, 30)):
    """The bytes of a random picture."""
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def tiny(**how):
    """A small classifier in float32."""
    return classifier(dtype="float32", **how)


def wide():
    """A network with ten thousand units in a layer, and classes of hostile names."""
    layers = (
        ("conv1", Conv2d(4, 3, 3)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(10_000, 1)),
        ("relu2", ReLU()),
        ("fc3", Linear(3)),
        ("prob", Softmax()),
    )
    return classifier(*layers, dtype="float32", names=(HOSTILE, "<b>bold</b>", "plain"))


@contextmanager
def served(*nets, scans=None, picture=None):
    """Serve networks; gives the `PageServer`, which has a picture already."""
    with tempfile.TemporaryDirectory() as folder:
        explored = [Explored(net, net.attrs["name"], threads=1) for net in nets]
        searches = Searches([NAMED] * len(nets), folder, threads=1)
        answers = Answers(explored, scans or [None] * len(nets), folder, searches)
        answers.first = answers.add("first.png", picture or png(np.random.default_rng(0)))
        server = PageServer(answers)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            searches.stop_all()
            server.server_close()


class Client:
    """Asks a server as the page does."""

    def __init__(self, server):
        self.server, self.picture = server, server.answers.first["id"]

    def raw(self, path, method="GET", body=None, headers=None):
        """Return (status, headers, body) of a path, as it is."""
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        with closing(line):
            line.request(method, path, body, headers or {})
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()

    def ask(self, what, **values):
        """Return (status, answer) of a question about the first network and picture."""
        asked = urlencode({"net": 0, "picture": self.picture, **values})
        status, _, body = self.raw(f"/{self.server.token}/{what}?{asked}")
        return status, json.loads(body)

    def raw_json(self, what, **values):
        """Return the answer to a question that takes no picture."""
        return json.loads(self.raw(f"/{self.server.token}/{what}?{urlencode(values)}")[2])

    def post(self, what, body, **values):
        """Return (status, answer) of what changes something."""
        body = json.dumps(body) if isinstance(body, dict) else body
        path = f"/{self.server.token}/{what}?{urlencode(values)}"
        status, _, body = self.raw(path, "POST", body)
        return status, json.loads(body)


def image(answer):
    """Return the picture of an answer, uint8 (H, W, 3)."""
    data = base64.b64decode(answer["image"].partition(",")[2])
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
