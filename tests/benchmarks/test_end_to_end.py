"""Benchmarks that paint: commands against PyTorch scripts, our L-BFGS against SciPy's."""

import sys

import numpy as np
import pytest
from test_benchmarks import BENCHMARKS, module  # noqa: F401 - a fixture

from minicnn.methods.style.settings import StyleSettings
from minicnn.objectives.gram import mean_gram

SMALL = ["--size", "48", "--steps", "4", "--network", "minivgg", "--threads", "1"]


def test_ours_is_timed_until_it_has_the_peers_loss(module, capsys):  # noqa: F811
    pytest.importorskip("torch")
    own = ["--scales", "1", "--optimizer", "lbfgs-device", "--pairs", "3"]
    assert module("end_to_end").main([*SMALL, "--peers", "scipy", *own]) == 0
    head, _, row = capsys.readouterr().out.strip().split("\n")
    assert head.count("|") == row.count("|") == 7
    peer, its, loss, ours = (cell.strip() for cell in row.split("|")[1:5])
    assert peer == "PyTorch and SciPy's L-BFGS-B"
    assert float(loss) > 0
    assert all(float(cell.split()[0]) > 0 for cell in (its, ours))


def test_a_peer_of_another_loss_is_no_peer(module):  # noqa: F811
    end_to_end = module("end_to_end")
    args = end_to_end.parse(SMALL)
    job = end_to_end.job_of(args, scales=1, iterations=1)
    right = float(job.function()(job.start)[0])
    found = {"x": job.start, "losses": np.array([right, right])}
    assert end_to_end.checked(args, found, 1e-3) == right
    with pytest.raises(RuntimeError, match="minimises another loss"):
        end_to_end.checked(args, {**found, "losses": np.array([right, 1.01 * right])}, 1e-3)


def test_pastiche_gets_weights_that_make_its_loss_ours(module):  # noqa: F811
    end_to_end = module("end_to_end")
    job = end_to_end.job_of(end_to_end.parse(SMALL), scales=1, iterations=1)
    content, style = sys.modules["painters"].pastiche_weights(job)
    pictures = (job.start, job.content, job.styles[0])
    x, kept, painted = (job.net.forward(z, [*content, *style]) for z in pictures)
    loss = sum(w * np.square(x[name] - kept[name]).mean() for name, w in content.items())
    for name, w in style.items():
        loss += w * np.square(mean_gram(x[name]) - mean_gram(painted[name])).mean()
    assert loss == pytest.approx(float(job.function()(job.start)[0]), rel=1e-4)


@pytest.mark.parametrize("options", [["--steps", "0"], ["--rounds", "0"]])
def test_bad_options_are_one_line(module, capsys, options):  # noqa: F811
    with pytest.raises(SystemExit) as stopped:
        module("end_to_end").parse(options)
    assert stopped.value.code == 2
    assert "whole numbers from 1" in capsys.readouterr().err


def test_peers_that_are_not_here_are_one_line(module, capsys):  # noqa: F811
    with pytest.raises(SystemExit) as stopped:
        module("end_to_end").parse([*SMALL, "--peers", "pastiche"])  # has VGG-19 alone
    assert stopped.value.code == 2
    assert "no peer pastiche of minivgg is here" in capsys.readouterr().err


def test_both_optimizers_paint_the_same_job(module):  # noqa: F811
    demo = BENCHMARKS.parent / "minicnn" / "demo"
    pictures = (str(demo / name) for name in ("content.jpg", "style.jpg"))
    settings = StyleSettings(*pictures, network="minivgg", size=48, scales=1, init="content")
    found = module("lbfgs").row(settings, 4)
    assert float(found["SciPy"]) < float(found["first"])
    assert float(found["ours"]) < float(found["first"])
