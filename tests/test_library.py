"""Methods as functions of pictures that are in memory."""

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import minicnn
from minicnn.cli.register import rerunnable
from minicnn.methods.training.step import loss_and_gradients
from minicnn.ops import conv2d
from minicnn.runs.look_run import Look

SMALL = {"engine": "fast", "threads": 1}
FILES = {"content": "a.png", "style": "b.png"}
CALLS = {
    "style": {"content": 0, "style": [1], "size": 48, "scales": 1, "iterations": 2},
    "texture": {"sources": [0], "width": 32, "height": 32, "source_size": 48, "iterations": 2},
    "invert": {"image": 0, "layers": ["relu2_2"], "iterations": 2},
    "class-model": {"wanted_class": "7", "size": 64, "iterations": 2},
    "deconv": {"image": 0, "layer": "relu2_2", "unit": "3"},
    "saliency": {"image": 0},
    "occlusion": {"image": 0, "step": 32},
    "attribute": {"image": 0, "steps": 4},
    "fool": {"image": 0},
}


@pytest.fixture
def pictures(rng):
    return [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2)]


def with_pictures(settings, pictures):
    """The settings with pictures in the place of their numbers."""
    chosen = dict(settings)
    for name in chosen.keys() & {"content", "image"}:
        chosen[name] = pictures[chosen[name]]
    for name in chosen.keys() & {"style", "sources"}:
        chosen[name] = [pictures[i] for i in chosen[name]]
    return chosen


def test_the_methods_are_those_of_the_verbs():
    assert set(rerunnable()) == CALLS.keys()


@pytest.mark.parametrize("method", CALLS)
def test_a_method_takes_and_returns_arrays_and_calls_back(method, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called = []
    settings = with_pictures(CALLS[method], pictures)
    made = minicnn.run(method, lambda *told: called.append(told), **settings, **SMALL)
    assert (made.picture.dtype, made.picture.ndim) == (np.uint8, 3)
    if isinstance(made, Look):
        assert all(isinstance(array, np.ndarray) for array in made.arrays.values())
    else:
        assert len(called) == 2
        assert np.isfinite(made.losses["total"])
    assert not list(tmp_path.iterdir())


def test_an_array_is_what_its_file_is(pictures, tmp_path):
    file = tmp_path / "a.png"
    minicnn.pictures.save_image(file, pictures[0])
    settings = {**CALLS["invert"], **SMALL}
    found = [
        minicnn.run("invert", **{**settings, "image": image}) for image in (str(file), pictures[0])
    ]
    np.testing.assert_array_equal(found[0].result.x, found[1].result.x)


@pytest.mark.parametrize(
    ("method", "written", "value"),
    [
        ("style", {"style_layers": "relu1_1,relu2_1=0.5"}, {"relu1_1": 1.0, "relu2_1": 0.5}),
        ("style", {"content_layers": ["relu2_1"]}, {"relu2_1": 1.0}),
        ("style", {"iterations": "2"}, 2),
        ("style", {"style_weight": "1e3"}, 1000.0),
        ("invert", {"layers": "relu2_2"}, ["relu2_2"]),
    ],
)
def test_a_value_may_be_written_as_on_the_command_line(pictures, method, written, value):
    settings = with_pictures(CALLS[method], pictures) | SMALL | {"network": "minivgg"}
    meant = dict.fromkeys(written, value)
    found = [minicnn.run(method, **{**settings, **more}) for more in (written, meant)]
    np.testing.assert_array_equal(found[0].picture, found[1].picture)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("painting", {}, "no method 'painting'; use style"),
        ("saliency", {"picture": 1}, "no setting 'picture'; it has"),
        ("style", {"style": "b.png"}, "missing 1 required"),
        ("saliency", {"image": np.zeros((4, 4, 3))}, "a picture is uint8"),
        ("saliency", {"image": np.zeros((4, 4), np.uint8)}, "a picture is uint8"),
        ("saliency", {"image": "none.png"}, "none.png"),
        ("style", {**FILES, "style_layers": "relu1_1=x"}, "style_layers = 'relu1_1=x'; use layers"),
        ("style", {**FILES, "style_layers": ["relu1_1"] * 2}, "use layers, each once"),
        ("style", {**FILES, "size": "large"}, "size = 'large'; use a whole number"),
        ("saliency", {"image": "a.png", "dark": "no"}, "dark = no; use true or false"),
    ],
)
def test_what_cannot_be_is_one_line(method, settings, said):
    with pytest.raises(minicnn.MinicnnError, match=said):
        minicnn.run(method, **settings)


def blas_threads():
    """The threads that NumPy's BLAS may use."""
    return {
        one["num_threads"]
        for one in threadpool_info()
        if one["user_api"] == "blas" and "numpy" in one["filepath"]
    }


def test_a_step_of_training_holds_blas_to_one_thread(rng, monkeypatch):
    net = minicnn.build("minizfnet", seed=0)
    x, seen = rng.standard_normal((2, *net.input_shape)).astype(np.float32), []
    forward = conv2d.forward

    def watched(*args, **options):
        seen.append(blas_threads())
        return forward(*args, **options)

    monkeypatch.setattr(conv2d, "forward", watched)
    with threadpool_limits(2, user_api="blas"):
        loss_and_gradients(net, x, np.array([0, 1]), 0.0, rng)
        after = blas_threads()
    assert seen
    assert all(threads == {1} for threads in seen)
    assert after == {2}


def test_no_thread_is_left_behind(pictures):
    settings = with_pictures(CALLS["style"], pictures)
    for _ in range(3):
        minicnn.run("style", **settings, threads=2)
    before = threading.active_count()
    for _ in range(3):
        minicnn.run("style", **settings, threads=2)
    end = time.monotonic() + 10  # a worker that is dismissed takes a moment to end
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before
