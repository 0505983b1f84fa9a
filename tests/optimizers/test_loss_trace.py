"""The trace of a run: joined over runs, as columns, in the JSON result, as a drawing; budgets."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.methods.style import run
from minicnn.optimizers import minimize
from minicnn.optimizers.trace import columns, course, summary
from minicnn.pictures.writer import read_metadata
from minicnn.runs import loss_plot


def bowl(x):
    bowl.terms = {"near": float(x @ x) / 4, "far": 0.75 * float(x @ x), "far.a": 0.1}
    return float(x @ x), 2 * x


def results():
    first = minimize("adam", bowl, np.array([3.0, 4.0]), iterations=2)
    second = minimize("adam", lambda x: (float(x @ x), 2 * x), first.x, iterations=3)
    return [first, second]


@pytest.mark.smoke
def test_runs_are_joined_with_iterations_and_evaluations_counted_through():
    first, second = results()
    trace = summary([first, second]).trace
    assert [entry["run"] for entry in trace] == [0, 0, 0, 1, 1, 1, 1]
    assert [entry["iteration"] for entry in trace] == [0, 1, 2, 2, 3, 4, 5]
    assert [entry["evaluations"] for entry in trace] == [1, 2, 3, 4, 5, 6, 7]
    twice = summary([summary([first, second]), first]).trace
    assert [entry["run"] for entry in twice] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert twice[-1]["iteration"] == 7


def test_columns_have_every_term_and_gaps_where_a_run_has_it_not():
    table = columns(summary(results()).trace)
    assert list(table) == ["run", "iteration", "evaluations", "total", "near", "far", "far.a"]
    assert {len(column) for column in table.values()} == {7}
    assert table["total"][0] == 25.0
    assert table["near"][:3] == [pytest.approx(v / 4) for v in table["total"][:3]]
    assert table["near"][3:] == [None] * 4
    assert columns([])["total"] == []


def test_the_course_has_the_ends_of_each_run():
    trace = summary(results()).trace
    found = course(trace)
    assert found["iterations"] == [2, 3]
    assert found["first"] == [25.0, trace[3]["value"]]
    assert found["last"] == [trace[2]["value"], trace[-1]["value"]]
    assert course([]) == {"iterations": [], "first": [], "last": []}


def test_without_matplotlib_it_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MinicnnError, match="needs matplotlib; install it"):
        loss_plot.check()


def test_that_line_comes_before_any_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plot = str(tmp_path / "loss.png")
    assert main(["style", "none.png", "none.png", "-o", "out.png", "--plot", plot]) == 1
    assert "needs matplotlib" in capsys.readouterr().err


def test_the_drawing_has_lines():
    pytest.importorskip("matplotlib")
    trace = summary(results()).trace
    drawn = loss_plot.draw(columns(trace), "a title")
    empty = loss_plot.draw(columns([]))
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert drawn.shape[2] == 3
    assert (drawn != 255).sum() > (empty != 255).sum()
    negative = [{**entry, "value": -1.0, "terms": {}} for entry in trace]
    assert loss_plot.draw(columns(negative)).shape == drawn.shape


@pytest.fixture
def pictures(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for name in ("content", "style"):
        pixels = np.kron(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8), np.ones((8, 8, 1)))
        paths.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


SMALL = ["--size", "48", "--content-layers", "relu2_1", "--style-layers", "relu1_1,relu2_1"]


@pytest.mark.parametrize("optimizer", ["lbfgs", "lbfgs-device", "adam"])
def test_evaluations_are_a_budget_at_each_size(pictures, tmp_path, capsys, optimizer):
    out = str(tmp_path / "out.png")
    arguments = ["style", *pictures, "-o", out, *SMALL, "--scales", "2", "--evaluations", "4"]
    assert main([*arguments, "--optimizer", optimizer, "--json", "--quiet"]) == 0
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["reason"] == "all 4 evaluations are used"
    assert event["evaluations"] == 8
    trace = event["trace"]
    assert trace["run"][0] == 0
    assert trace["run"][-1] == 1
    assert len(trace["total"]) == event["iterations"] + 2
    for name in ("content", "style", "tv", "style.relu1_1", "style.relu2_1"):
        assert all(value >= 0 for value in trace[name])
    parts = zip(trace["content"], trace["style"], trace["tv"], strict=True)
    assert [sum(terms) for terms in parts] == pytest.approx(trace["total"], rel=1e-6)
    kept = read_metadata(out)
    assert kept["settings"]["evaluations"] == 4
    ends = {"first": [trace["run"].index(0), trace["run"].index(1)]}
    ends["last"] = [ends["first"][1] - 1, -1]
    for end, places in ends.items():
        assert kept["result"]["course"][end] == [trace["total"][i] for i in places]


def test_a_picture_on_the_way_keeps_the_course_of_all_sizes_up_to_it(pictures, tmp_path):
    out = str(tmp_path / "out.png")
    arguments = ["style", *pictures, "-o", out, *SMALL, "--scales", "2", "--quiet"]
    arguments += ["--iterations", "5", "--coarse-iterations", "2", "--save-every", "2"]
    assert main(arguments) == 0
    early, whole = (read_metadata(tmp_path / f"out{end}.png") for end in ("-0002", ""))
    early, whole = early["result"]["course"], whole["result"]["course"]
    assert (early["iterations"], whole["iterations"]) == ([2, 2], [2, 3])
    assert early["first"] == whole["first"]
    assert early["last"][0] == whole["last"][0]
    again = str(tmp_path / "again.png")
    assert main(["rerun", str(tmp_path / "out-0002.png"), "-o", again, "--quiet"]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out-0002.png").read_bytes()


def test_options_that_cannot_be(pictures, tmp_path, capsys):
    out = str(tmp_path / "o.png")
    rate = ["--optimizer", "lbfgs-device", "--learning-rate", "2"]
    assert main(["style", *pictures, "-o", out, *rate]) == 1
    assert "lbfgs-device takes no learning rate" in capsys.readouterr().err
    assert main(["style", *pictures, "-o", out, "--evaluations", "0"]) == 2
    preset = ["--preset", "cvpr15", "--optimizer", "lbfgs-device", "--layer", "relu1_1"]
    assert main(["invert", pictures[0], "-o", out, *preset]) == 1
    assert "the preset cvpr15 has its own optimizer" in capsys.readouterr().err


def test_an_overflow_on_the_way_keeps_the_best_picture(pictures, tmp_path, monkeypatch, capsys):
    original = run.search

    def spoilt(settings, fun, start, level, **options):
        calls = []

        def wrong(x):
            calls.append(1)
            value, gradient = fun(x)
            return (np.inf if len(calls) == 3 else value), gradient

        return original(settings, wrong, start, level, **options)

    monkeypatch.setattr(run, "search", spoilt)
    out = tmp_path / "o.png"
    arguments = ["style", *pictures, "-o", str(out), *SMALL, "--scales", "1", "--iterations", "9"]
    assert main([*arguments, "--optimizer", "lbfgs-device"]) == 1
    assert "overflow: the value is inf in evaluation 3" in capsys.readouterr().err
    assert read_metadata(out)["result"]["status"] == "not-finite"
