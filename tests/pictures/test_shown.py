"""Notebooks show pictures as they are."""

import io

import numpy as np
from PIL import Image

from minicnn.pictures.reader import load_image
from minicnn.runs.search import Outcome
from minicnn.terminal import report


def test_what_holds_a_picture_shows_it(tmp_path, rng):
    rgb = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "x.png")
    for holder in (load_image(tmp_path / "x.png"), Outcome(rgb, None)):
        shown = np.asarray(Image.open(io.BytesIO(holder._repr_png_())))
        assert np.array_equal(shown, rgb)


def test_progress_is_a_bar_in_a_notebook(monkeypatch):
    assert not isinstance(report.Report().progress(3), report.Bar)
    monkeypatch.setitem(report.sys.modules, "ipykernel", report)
    with report.Report().progress(3) as bar:
        assert isinstance(bar, report.Bar)
        bar.update(3, {"total": 1.0})
