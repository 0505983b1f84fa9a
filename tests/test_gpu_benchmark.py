"""The benchmark for a GPU, as far as a CPU can run it: both sides compute the same function."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn import backend, models
from minicnn.errors import MinicnnError

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The module, on the CPU and with a small network."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("gpu")
    net = models.build("minivgg", seed=0, pool="max")
    names = {"STYLE": ("relu1_1", "relu2_1", "relu3_1"), "CONTENT": ("relu2_2",)}
    settings = {**names, "DEVICE": "cpu", "network": lambda: net, "_release": lambda: None}
    for name, value in settings.items():
        monkeypatch.setattr(module, name, value)
    torch = {name: {} for name in ("torch eager", "torch TF32 off")}
    torch["torch channels_last"] = {"channels_last": True}
    monkeypatch.setattr(module, "TORCH", torch)
    explicit = {"minicnn explicit": {"engine": "explicit"}, "minicnn tf32": {"precision": "tf32"}}
    monkeypatch.setattr(module, "OURS", explicit)
    return module


def test_both_sides_compute_the_same_function(gpu):
    net = gpu.network()
    work, gradient = gpu.ours(net, 32, engine="explicit")
    exact = gradient().astype(np.float64)
    for options in ({}, {"channels_last": True}):
        torch_work, torch_gradient = gpu.torchs(net, 32, **options)
        assert torch_work() == pytest.approx(work(), rel=1e-5)
        assert gpu._compare(torch_gradient().astype(np.float64), exact)["error"] < 1e-5


def test_times_errors_and_failures_are_in_the_table(gpu):
    clock = gpu.Clock(0.01, 1000, lambda: None)
    found = gpu.measure(clock, [32])
    assert found["minicnn explicit"][32]["ms"] > 0
    assert found["minicnn explicit"][32]["error"] < 1e-5
    assert "cannot be computed in tf32" in found["minicnn tf32"][32]["failed"]
    shown = gpu.table(found, [32]).splitlines()
    assert len(shown) == 1 + len(found)
    assert shown[1].split()[:2] == ["torch", "eager"]
    assert " 1.00 " in shown[1]
    assert shown[-1].endswith("failed")
    spent = gpu.measure(gpu.Clock(0.01, 0, lambda: None), [32])
    assert spent["torch eager"][32] == {"failed": "no time left"}


def test_iterations_are_timed(gpu):
    found = gpu.iterations(gpu.Clock(0.01, 1000, lambda: None), [32])[32]
    assert set(found) == {"minicnn lbfgs-device", "minicnn lbfgs", "torch.optim.LBFGS"}
    for row in found.values():
        assert row["iterations"] >= 4
        assert row["ms"] > 0


@pytest.mark.parametrize("script", ["gpu.py", "on_gpu.py"])
def test_without_a_gpu_there_is_one_line(script):
    try:
        backend.resolve_device("cuda")
    except MinicnnError as error:
        reason = str(error)
    else:
        pytest.skip("there is a GPU")
    run = subprocess.run([sys.executable, BENCHMARKS / script], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert run.stderr.endswith(f"{reason}\n")
