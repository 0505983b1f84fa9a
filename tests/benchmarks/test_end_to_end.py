"""Benchmarks that paint: commands against PyTorch scripts, our L-BFGS against SciPy's."""

import numpy as np
import pytest
from test_benchmarks import BENCHMARKS, module  # noqa: F401 - a fixture

from minicnn.methods.style.settings import StyleSettings

SMALL = ["--size", "48", "--steps", "4", "--network", "minivgg", "--threads", "1"]


def test_ours_is_timed_until_it_has_the_peers_loss(module, capsys):  # noqa: F811
    pytest.importorskip("torch")
    assert module("end_to_end").main([*SMALL, "--peers", "scipy"]) == 0
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
    assert end_to_end._checked(args, found) == right
    with pytest.raises(RuntimeError, match="minimises another loss"):
        end_to_end._checked(args, {**found, "losses": np.array([right, 1.01 * right])})


@pytest.mark.parametrize("options", [["--steps", "0"], ["--rounds", "0"]])
def test_bad_options_are_one_line(module, capsys, options):  # noqa: F811
    with pytest.raises(SystemExit) as stopped:
        module("end_to_end").parse(options)
    assert stopped.value.code == 2
    assert "whole numbers from 1" in capsys.readouterr().err


def test_both_optimizers_paint_the_same_job(module):  # noqa: F811
    demo = BENCHMARKS.parent / "minicnn" / "demo"
    pictures = (str(demo / name) for name in ("content.jpg", "style.jpg"))
    settings = StyleSettings(*pictures, network="minivgg", size=48, scales=1, init="content")
    found = module("lbfgs").row(settings, 4)
    assert float(found["SciPy"]) < float(found["first"])
    assert float(found["ours"]) < float(found["first"])
