"""The benchmark for a GPU, as far as a CPU can run it: both sides compute the same function."""

import importlib
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from compiled_testing import compile_on, drawn, few_blocks, network  # noqa: F401
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler
from played_gpu import gpus as gpus

from minicnn import backend
from minicnn.engine.gpu import cuda as gpu_cuda
from minicnn.engine.gpu.buffers import Buffers
from minicnn.engine.gpu.steps import Form
from minicnn.engine.gpu.trunk import Trunk
from minicnn.engine.gpu.ways import WAYS
from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.layers import Conv2d

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The module, on the CPU and with a small network."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("gpu")
    net = build.build("minivgg", seed=0, pool="max")
    names = {"STYLE": ("relu1_1", "relu2_1", "relu3_1"), "CONTENT": ("relu2_2",)}
    settings = {**names, "DEVICE": "cpu", "network": lambda: net, "_release": lambda: None}
    for name, value in settings.items():
        monkeypatch.setattr(module, name, value)
    torch = {name: {} for name in ("torch eager", "torch TF32 off")}
    torch["torch channels_last"] = {"channels_last": True}
    monkeypatch.setattr(module, "TORCH", torch)
    monkeypatch.setattr(gpu_cuda, "ALLOWED", gpu_cuda.ALLOWED)
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


@needs_compiler
def test_single_layers_with_and_without_columns(gpu, monkeypatch):
    layers = importlib.import_module("gpu_layers")
    net = build.build("vgg19", seed=0, pool="max")
    net.nodes = net.nodes[:4]  # conv1_1, conv1_2
    made = {}

    def ours(*given):
        *_, precision, way = given
        made[precision, way] = HostMachine(precision, ways=(way,))
        return partial(as_cupys, original(*given, made[precision, way]))

    original = layers.ours
    monkeypatch.setattr(layers, "ours", ours)
    clock = SimpleNamespace(left=1000, milliseconds=lambda work: 1.0)
    rows = layers.measure(clock, net, 6, "cpu")
    assert [row["direction"] for row in rows] == ["forward", "backward"] * 2
    bounds = {"fp32": 1e-6, "tf32": 1e-3, "fp16": 1e-3}
    for row in rows:
        for name, cell in row.items():
            if isinstance(cell, dict):
                bound = bounds[name.split()[0]] if "torch" not in name else 1e-6
                assert 0 < cell["error"] < bound, (row["layer"], name)
                assert name.startswith(("fp32", "torch")) or cell["error"] > 1e-5
    assert len(made) == 7
    shown = layers.table(rows).splitlines()
    assert len(shown) == 2 + len(rows)
    assert "failed" not in "".join(shown)


def as_cupys(work):
    class There(np.ndarray):
        def get(self):
            return np.array(self)

    return work().view(There)


def test_training_and_scans_are_timed(gpu, monkeypatch):
    training = importlib.import_module("gpu_training")
    small = {"BATCH": 4, "GROUP": 4, "PICTURES": 8, "CLASSES": 2, "SCANNED": 8}
    for name, value in small.items():
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr(training, "SCAN", "minivgg")
    found = training.measure(gpu.Clock(0.01, 1000, lambda: None), "cpu")
    for rows in found.values():
        assert list(rows) == ["minicnn", "torch eager"]
        assert all(row.get("ms", 0) > 0 for row in rows.values()), rows
    assert training.table(found).count(" ms ") == 4
    spent = training.measure(gpu.Clock(0.01, 0, lambda: None), "cpu")
    assert spent["train"]["minicnn"] == {"failed": "no time left"}


def test_the_program_goes_on_where_a_part_fails(gpu, monkeypatch, tmp_path, capsys):
    cuda = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(gpu, "check", lambda: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(gpu, "environment", lambda: {"device": "none"})
    monkeypatch.setattr(gpu, "LAYERS", 8)
    path = tmp_path / "gpu.json"
    given = ["gpu.py", "--sizes", "32", "--seconds", "0.01", "--json", str(path)]
    parts = ["layers", "memory"]
    monkeypatch.setattr(sys, "argv", [*given, "--only", *parts])
    gpu.main()
    found = json.loads(path.read_text())
    assert list(found) == ["environment", *parts]
    assert found["layers"][0]["torch fp32"]["error"] < 1e-6
    assert found["layers"][0]["model ms"] > 0
    assert "cupy" in found["memory"]["failed"]
    told = capsys.readouterr().out
    assert all(f"\n{part}, " in told for part in parts)


def test_the_parts_run_on_a_device_beside_their_models(gpu, gpus, monkeypatch, tmp_path, capsys):
    def nothing(*given, **options):
        raise RuntimeError("PyTorch sees no device")

    net = network()
    net.params = {name: backend.to_device(value, "cuda") for name, value in net.params.items()}
    here = {"DEVICE": "cuda", "network": lambda: net, "STYLE": ("relu1_1",), "LARGE": (24,)}
    here |= {"CONTENT": ("relu2_1",), "OURS": {"minicnn tf32": {}}, "TORCH": {"torch eager": {}}}
    here |= {"torchs": lambda *given, iterate=False, **options: nothing if iterate else nothing()}
    here |= {"check": lambda: SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: None))}
    for name, value in (here | {"environment": dict}).items():
        monkeypatch.setattr(gpu, name, value)
    path = tmp_path / "gpu.json"
    parts = ["evaluations", "iterations", "memory"]
    given = ["gpu.py", "--sizes", "24", "--seconds", "0.01", "--json", str(path), "--only", *parts]
    monkeypatch.setattr(sys, "argv", given)
    gpu.main()
    found = json.loads(path.read_text())
    for name in ("minicnn tf32", "model (H200) tf32", "model (H200) fp16"):
        assert found["evaluations"][name]["24"]["ms"] > 0
    assert found["evaluations"]["torch eager"]["24"]["failed"].startswith("RuntimeError: PyTorch")
    for name in ("minicnn lbfgs-device", "minicnn lbfgs", "model (H200)"):
        assert found["iterations"]["24"][name]["ms"] > 0
    assert found["memory"]["24"]["bytes"] > 0
    told = capsys.readouterr()
    assert "; model (H200) " in told.out
    assert "not captured" not in told.err
    kernels = importlib.import_module("gpu_kernels")
    monkeypatch.setattr(sys, "argv", ["gpu_kernels.py", "--side", "24", "--precisions", "fp16"])
    kernels.main()
    assert "captured as a graph" in capsys.readouterr().out


def test_the_model_of_a_pass(gpu):
    model, training = (importlib.import_module(name) for name in ("gpu_model", "gpu_training"))
    layer = Conv2d(64, kernel=3, padding=1)
    narrow, wide = (model.roof(layer, (c, 64, 64), (64, 64, 64), "tf32") for c in (4, 4096))
    assert narrow == pytest.approx(1e3 * 4 * (68 * 64**2 + 64 * 4 * 9) / model.MEMORY)
    assert wide == pytest.approx(1e3 * 2 * 64 * 4096 * 9 * 64**2 / model.RATES["tf32"], rel=0.5)
    assert all(milliseconds > 0 for milliseconds in training.modelled().values())


@needs_compiler
def test_kernels_are_timed_and_the_model_knows_them(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    kernels, model = (importlib.import_module(name) for name in ("gpu_kernels", "gpu_model"))
    net = network()
    _, objective, x = drawn(net)
    fun = compile_on(HostMachine("fp32"), net, objective, x)
    clock = iter(range(10**6))

    class Event:
        def record(self):
            self.at = next(clock)

    launches = kernels.Launches(Event, lambda start, end: end.at - start.at)
    before = fun(x)[0]
    found = kernels.measure(fun, x, launches, lambda: None)
    assert {"windows", "product", "max_pool", "unpool", "add_window_rows", "total"} <= set(found)
    assert all(milliseconds == count for count, milliseconds in found.values())
    assert fun(x)[0] == before
    steps = fun._arrays.trunk.steps
    modelled = model.model(steps, {0: 1, 2: 1}, "fp32")
    assert set(modelled) <= set(found)
    more = model.model(steps, {0: 2, 2: 1}, "fp32")
    assert more["product"] > modelled["product"]
    assert model.model(steps, {}, "fp16")["windows"] < modelled["windows"]
    wide, shape = network(channels=(64, 64, 64)), (1, 3, 512, 512)
    alone, chosen = (
        model.model(Trunk(Buffers(), wide, ["pool2"], shape, Form("fp16", ways)).steps, {}, "fp16")
        for ways in (WAYS[:1], WAYS)
    )
    assert "convolve_narrow" in chosen
    assert sum(chosen.values()) < sum(alone.values())
    assert "model" in kernels.table(found, modelled).splitlines()[0]


def test_stages_on_a_gpu_end_by_themselves_or_are_stopped(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    on_gpu = importlib.import_module("on_gpu")
    monkeypatch.setattr(on_gpu, "LEAST", 0.1)
    write = "import sys, pathlib; pathlib.Path(sys.argv[2]).write_text('{}'); print('here')"
    chosen = {
        "good": (30, [sys.executable, "-c", write], True),
        "bad": (30, [sys.executable, "-c", "raise SystemExit(3)"], False),
        "none": (30, [str(tmp_path / "nothing")], False),
        "slow": (1, [sys.executable, "-c", "import time; time.sleep(60)"], False),
    }
    found = on_gpu.run_all(chosen, tmp_path, 100)
    ended = {name: row["ended"] for name, row in found.items()}
    assert ended == {"good": "well", "bad": "status 3", "none": "not there", "slow": "stopped"}
    assert (tmp_path / "good.json").read_text() == "{}"
    assert (tmp_path / "good.txt").read_text() == "here\n"
    assert "stopped after 1 s" in (tmp_path / "slow.txt").read_text()
    assert on_gpu.run_all({"late": chosen["good"]}, tmp_path, 0)["late"]["ended"] == "no time"
    assert json.loads((tmp_path / "summary.json").read_text())["late"]["ended"] == "no time"


def test_stages_fit_into_eight_minutes_and_name_what_there_is(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    on_gpu = importlib.import_module("on_gpu")
    stages = on_gpu.stages()
    assert next(iter(stages)) == "smoke"
    assert sum(seconds for seconds, *_ in stages.values()) <= 480
    root = BENCHMARKS.parent
    for _, command, _ in stages.values():
        assert all((root / part).exists() for part in command if part.endswith(".py"))
    names = "\n".join((root / path).read_text() for path in (on_gpu.PLAN, on_gpu.KERNELS))
    for word in ("capture", "plan_equals", "same_bits", "addresses"):
        assert re.search(rf"def test_\w*{word}", names)


@pytest.mark.parametrize("script", ["gpu.py", "on_gpu.py", "gpu_kernels.py"])
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
