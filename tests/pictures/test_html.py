"""Pictures in pages and notebooks."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from minicnn.optimizers import Result
from minicnn.pictures.html import data_uri, figures
from minicnn.pictures.lettering import Scale
from minicnn.pictures.sheets import greys
from minicnn.runs.look_run import Look
from minicnn.runs.search import Outcome


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (5, 7, 3), np.uint8)


def test_an_address_holds_the_picture(rgb):
    kind, _, text = data_uri(rgb[:, ::-1]).partition(",")
    assert kind == "data:image/png;base64"
    found = np.array(Image.open(io.BytesIO(base64.b64decode(text))))
    np.testing.assert_array_equal(found, rgb[:, ::-1])


def test_labels_are_text(rgb):
    html = figures({"<b>": rgb, "& so on": rgb})
    assert html.count("<img") == 2
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_what_a_run_returns_shows_itself_in_a_notebook(rgb):
    scales = {"map": Scale(greys, 0.0, 2.5)}
    look = Look(rgb, rgb, {"picture": rgb, "map": rgb}, {}, {}, "score < 3", scales=scales)
    assert look._repr_html_().count("<img") == 2
    assert ">picture<" in look._repr_html_()
    assert ">map, 0 to 2.5<" in look._repr_html_()
    assert "<pre>score &lt; 3</pre>" in look._repr_html_()
    result = Result(rgb, 2.5, 1, 1, "budget", "all 1 iterations are done", [], {"style": 2.0})
    html = Outcome(rgb, result)._repr_html_()
    assert "all 1 iterations are done; style 2, total 2.5" in html
