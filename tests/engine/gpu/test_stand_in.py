"""The stand-in for CuPy refuses what CuPy refuses; captures; memory that runs out anywhere."""

import importlib.util
import inspect

import numpy as np
import pytest
from compiled_testing import network
from features_testing import LAYERS, small_network, write_set
from played_gpu import FOLDER, straight_and_short
from played_gpu import gpus as gpus

from minicnn.backend import to_device, to_host
from minicnn.cli import main
from minicnn.data.picture_set import PictureSet
from minicnn.engine.gpu import cuda
from minicnn.engine.gpu.compiled_objective import CompiledObjective
from minicnn.engine.gpu.convolution_step import Convolution
from minicnn.engine.gpu.ways import WAYS
from minicnn.errors import MinicnnError
from minicnn.methods.features import scan
from minicnn.methods.style.loss import style_objective

WEIGHTS = {"content_weight": 1.0, "style_weight": 1e3, "tv_weight": 0.1}
NAMES = {"content_layers": ["relu2_1"], "style_layers": ["relu1_1"]}
REFUSED = {
    "np.asarray": lambda a, host: np.asarray(a),
    "np.sum": lambda a, host: np.sum(a),
    "np.add": lambda a, host: np.add(a, host),
    "plus": lambda a, host: a + host,
    "reversed": lambda a, host: host * a,
    "in place": lambda a, host: host.__iadd__(a),
    "part": lambda a, host: a.__setitem__(0, host[0]),
    "index": lambda a, host: a[host > 0],
    "method": lambda a, host: a.sum(where=host),
    "median": lambda a, host: a.median(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses_what_cupy_refuses(gpus, what):
    a = to_device(np.ones((2, 3)), "cuda")
    with pytest.raises((TypeError, AttributeError)):
        REFUSED[what](a, np.ones((2, 3)))
    with gpus.cuda.Device(1), pytest.raises(ValueError, match="Array device must be same"):
        a + a
    assert not np.isfinite(to_host(gpus.empty(3))).any()
    assert isinstance(np.sqrt(a), gpus.ndarray)


def test_its_signatures_are_those_of_cupy():
    cupy = pytest.importorskip("cupy")
    spec = importlib.util.spec_from_file_location("signatures", FOLDER / "cupy" / "signatures.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    for name, ours in table.functions.items():
        theirs = getattr(cupy, name)
        assert isinstance(theirs, cupy.ufunc) == (name in table.ufuncs), name
        if name not in table.ufuncs:
            assert _bare(inspect.signature(theirs)) == _bare(ours), name
    for name, ours in table.methods.items():
        said = getattr(cupy.ndarray, name).__doc__.splitlines()[0]
        written = said.partition(f".{name}")[2].partition(" ->")[0]
        assert written == str(ours).replace("(self, *", "(self, *"), name


def _bare(signature):
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def evaluation(seed=1, channels=(8, 12, 16), **options):
    """Return a style objective on the device, and where."""
    net = network(channels=channels)
    net.params = {name: to_device(value, "cuda") for name, value in net.params.items()}
    shape = (3, 1, 3, 14, 12)
    pictures = (40 * np.random.default_rng(seed).standard_normal(shape)).astype("f4")
    x, content, style = (to_device(picture, "cuda") for picture in pictures)
    return style_objective(net, content, style, **NAMES, **WEIGHTS, **options), x


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_graph_gives_what_its_steps_gave(gpus, precision):
    fun, x = evaluation(precision=precision)
    assert isinstance(fun, CompiledObjective)
    seen = []
    for scale in (1, 1, 0.5, 1):  # the first step by step, then captured
        value, gradient = fun(scale * x)
        seen.append((value, to_host(gradient)))
    assert fun.refusal == ""
    assert isinstance(fun._graph.func.__self__, gpus.cuda.Graph)
    for value, gradient in (seen[1], seen[3]):
        assert value == seen[0][0]
        np.testing.assert_array_equal(gradient, seen[0][1])
    assert seen[2][0] != seen[0][0]


def test_a_plan_times_the_ways_of_its_layers(gpus, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    for name, value in {"ALLOWED": WAYS, "TRIES": 1, "LAUNCHES": 1}.items():
        monkeypatch.setattr(cuda, name, value)
    times = iter([3.0, 1.0, 2.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr(gpus.cuda, "get_elapsed_time", lambda start, end: next(times))
    value = None
    for _ in range(2):  # the second time it is known
        fun, x = evaluation(channels=(8, 16, 16), precision="fp16")
        ways = [step.ways for step in fun._arrays.trunk.steps if isinstance(step, Convolution)]
        assert ways == [["columns"], ["convolve"], ["convolve_narrow", "columns"]]
        found = [fun(x)[0] for _ in range(3)]
        assert found == [found[0]] * 3
        assert value in (None, found)
        value = found


def test_a_capture_that_fails_changes_nothing(gpus, monkeypatch):
    fun, x = evaluation()
    expected = fun(x)[0]
    steps = fun._step_by_step
    monkeypatch.setattr(fun, "_step_by_step", lambda: (steps(), gpus.empty(3)))
    assert [fun(x)[0] for _ in range(2)] == [expected] * 2
    assert "cudaErrorStreamCaptureUnsupported" in fun.refusal
    assert main(["info"]) == 0


def test_evaluations_bear_memory_that_runs_out_anywhere(gpus):
    def compute():
        fun, x = evaluation()
        return [fun(x)[0] for _ in range(3)]

    errors = [*straight_and_short(gpus, compute)]
    said = {str(error) for error in errors if isinstance(error, MinicnnError)}
    assert any("not enough GPU memory: this takes at least" in text for text in said)
    assert all("cuda has no memory for" in text or "GPU memory" in text for text in said)
    # beside the plan itself memory is a matter of a few small arrays: nothing to fall back to
    assert all(isinstance(error, MinicnnError | gpus.cuda.OutOfMemoryError) for error in errors)


def test_a_scan_bears_memory_that_runs_out_anywhere(gpus, tmp_path, rng):
    net, pictures = small_network(), PictureSet(write_set(tmp_path / "set.h5", rng, count=4))

    def compute():
        settings = scan.settings_for(net, pictures, LAYERS, top=2)
        features = scan.begin(net, settings)
        scan.scan(features, net, pictures, device="cuda", threads=1)
        return {name: records.value.tolist() for name, records in features.layers.items()}

    assert [*straight_and_short(gpus, compute, every=7)]
