"""The losses of fixed runs are those that were pinned; see pin.py."""

import pytest
from pin import RUNS, TOLERANCE, difference, measure, pinned

QUICK = {"style": pytest.mark.smoke, "saliency": pytest.mark.smoke}


@pytest.mark.parametrize("name", [pytest.param(name, marks=QUICK.get(name, ())) for name in RUNS])
def test_a_run_gives_its_pinned_losses(name, tmp_path):
    assert pinned()[name]["command"] == RUNS[name], "another run: make the file again"
    found, expected = measure(name, tmp_path), pinned()[name]["losses"]
    assert difference(found, expected) < TOLERANCE, (found, expected)


def test_nothing_is_pinned_that_is_not_run():
    assert set(pinned()) == set(RUNS)


def test_a_small_drift_is_seen():
    assert difference({"total": [1.0, 2.00003]}, {"total": [1.0, 2.0]}) > TOLERANCE
    assert difference({"total": [1.0, 2.00001]}, {"total": [1.0, 2.0]}) < TOLERANCE
    assert difference({"total": [1.0, 2.0]}, {"total": [1.0, 2.0, 3.0]}) > TOLERANCE
    assert not difference({"total": float("nan")}, {"total": 1.0}) < TOLERANCE
