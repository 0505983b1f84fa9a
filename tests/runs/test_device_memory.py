"""What a run takes of a GPU's memory: told by short runs, held against what can be had there."""

import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pytest

from minicnn.engine import memory
from minicnn.runs.estimate import estimate, option, sample_run
from minicnn.terminal.report import Report

MIB = 1 << 20


def fake_cupy(monkeypatch, *, taken=0, limit=0, free=8 << 30):
    cupy = ModuleType("cupy")
    pool = SimpleNamespace(total_bytes=lambda: taken, get_limit=lambda: limit)
    cupy.get_default_memory_pool = lambda: pool
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(memory, "devices", lambda: [{"free": free}, {"free": 2 * free}])


@dataclass
class Settings:
    """A style at a size."""

    size: int
    optimizer: str = "lbfgs-device"
    iterations: int = 100


class Verb:
    """A verb that searches for pictures on a GPU."""

    @staticmethod
    def open_job(settings, files=None):
        job = {"device": "cuda", "settings": settings, "net": None, "steps": 100, "pairs": 10}
        job |= {"taps": [], "size": (settings.size, settings.size), "counts": [100]}
        stage = SimpleNamespace(size=job["size"])
        return SimpleNamespace(**job, stages=lambda: [(100, stage)])


@pytest.fixture
def measured(monkeypatch):
    """Short runs that take 3 MiB and 700 bytes a pixel of the device, little of the host."""
    areas = sample_run.PIXELS
    samples = [
        {"pixels": n, "shape": (n, 1), "seconds": 1e-7 * n, "peak": 100 * MIB, "setup": 1.0}
        | {"iterations": 10, "device_peak": 3 * MIB + 700 * n}
        for n in areas
    ]
    monkeypatch.setattr(sample_run, "measured", lambda *args, patience: samples)
    monkeypatch.setattr(memory, "available", lambda: 64 << 30)


def test_a_picture_that_fits_the_device(monkeypatch, measured):
    fake_cupy(monkeypatch)
    found = estimate.pictures(Verb, [Settings(1024)])
    assert found.there == (pytest.approx(3 * MIB + 700 * 1024**2, rel=1e-6), 8 << 30)
    assert found.fits
    assert found.advice == ""


def test_a_picture_that_does_not(monkeypatch, measured):
    fake_cupy(monkeypatch, limit=600 * MIB)
    found = estimate.pictures(Verb, [Settings(1024)])
    assert found.there[1] == 600 * MIB, "the limit is less than what is free"
    assert found.fits is False
    side = int(((0.9 * 600 - 3) * MIB / 700) ** 0.5)
    assert found.advice == f"--size {side} would fit"


def test_a_training(monkeypatch):
    took = {"peak": MIB, "seconds": 2.0, "what": "4 steps of 10"}
    took |= {"device": "cuda:1", "device_peak": 15 << 30}
    monkeypatch.setattr(sample_run, "measured", lambda work, settings, seconds: [took])
    monkeypatch.setattr(memory, "available", lambda: 64 << 30)
    fake_cupy(monkeypatch, free=4 << 30)
    settings = SimpleNamespace(epochs=2, validate_every=1)
    found = estimate.repeated(None, settings, "use a smaller --group and --batch")
    assert found.there == (15 << 30, 8 << 30)
    assert found.fits is False
    assert found.advice == "use a smaller --group and --batch"
    took["device"] = "cpu"
    assert estimate.repeated(None, settings, "smaller").there is None


def test_what_the_pool_has_taken(monkeypatch):
    fake_cupy(monkeypatch, taken=5 * MIB)
    assert memory.device_peak() == 5 * MIB
    monkeypatch.delitem(sys.modules, "cupy")
    assert memory.device_peak() is None


def test_the_line_that_is_told(capsys):
    there = (3 << 30, 24 << 30)
    line = "memory of the GPU: 3.0 GiB of 24.0 GiB that can be had, and the driver's own\n"
    assert option.tell(estimate.Estimate(MIB, 1.0, None, [], there), Report()) == 0
    assert line in capsys.readouterr().out
    assert option.tell(estimate.Estimate(MIB, 1.0, None, []), Report()) == 0
    assert capsys.readouterr().out == "memory: 1 MiB\ntime: 1 s\n"
