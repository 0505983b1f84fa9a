"""Training on devices that `stand_in` plays gives what the CPU gives, on one or on several."""

import threading
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from played_gpu import gpus as gpus
from played_gpu import straight_and_short
from test_train import data as data
from test_train import settings
from tiny_network import tiny as tiny

from minicnn import backend, cli
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.methods.training import devices, training
from minicnn.runs.failures import in_words


@pytest.mark.parametrize("network", ["minivgg-bn", "minizfnet"])
def test_the_same_weights_as_on_the_cpu(gpus, data, tmp_path, network):
    """After one step: a few more, and a ReLU that turns the other way has changed them all."""
    given = {"network": network, "epochs": 1, "limit": 16, "max_rms": 0.2, "smoothing": 0.1}
    given |= {"seed": 1}  # with which none turns in the first, by kernels of any processor
    if network == "minizfnet":
        given |= {"size": 64, "crop": 64, "dropout": 0.3}
    there = training.run(settings(data, tmp_path / "there", device="cuda", **given))
    assert all(isinstance(array, gpus.ndarray) for array in there.params.values())
    here = training.run(settings(data, tmp_path / "here", **given))
    for name, array in here.params.items():
        scale = abs(array).max() or 1
        np.testing.assert_allclose(there.params[name].get(), array, rtol=0, atol=5e-4 * scale)
    logs = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("there", "here")]
    one, other = ([float(v) for v in log[-1].split(",")[:4]] for log in logs)
    assert one == pytest.approx(other, rel=1e-5)


def test_a_run_goes_on_where_it_was_on_either(gpus, tiny, data, tmp_path):
    given = {"network": "tiny", "device": "cuda", "epochs": 1, "limit": 16}
    chosen = settings(data, tmp_path / "run", **given)
    training.run(chosen)
    for place in ("cuda", "cpu"):
        chosen = replace(chosen, epochs=chosen.epochs + 1, device=place)
        assert len(training.run(chosen, resume=True).attrs["training"]["history"]) == chosen.epochs


def test_little_crosses_to_the_host_in_a_step(gpus, tiny, data, tmp_path, monkeypatch):
    seen = []
    one_step = training._Run._one_step

    def counted(self, *args):
        gpus.COPIES.clear()
        one_step(self, *args)
        seen.append(list(gpus.COPIES))

    monkeypatch.setattr(training._Run, "_one_step", counted)
    given = {"network": "tiny", "device": "cuda", "epochs": 1, "limit": 32}
    training.run(settings(data, tmp_path / "run", **given))
    assert len(seen) == 2
    assert all(shape == () for shapes in seen for shape in shapes), "no array, only numbers"


def test_pictures_are_prepared_while_the_device_computes(gpus, tiny, data, tmp_path, monkeypatch):
    prepared, computed = [], []
    augment, compute = training.augment, training.loss_and_gradients
    ahead = threading.Event()

    def preparing(*args):
        prepared.append(threading.current_thread() is threading.main_thread())
        if len(prepared) > 2:  # the groups of the second step
            ahead.set()
        return augment(*args)

    def computing(*args):
        computed.append(threading.current_thread() is threading.main_thread())
        assert len(computed) > 1 or ahead.wait(10), "the second step is prepared during the first"
        return compute(*args)

    monkeypatch.setattr(training, "augment", preparing)
    monkeypatch.setattr(training, "loss_and_gradients", computing)
    given = {"network": "tiny", "device": "cuda", "epochs": 1, "limit": 32, "threads": 1}
    training.run(settings(data, tmp_path / "run", **given))
    assert prepared == [False] * 4
    assert computed == [True] * 4


def test_memory_that_is_short_is_answered_by_strips_then_by_a_line(
    gpus, tiny, data, tmp_path, monkeypatch
):
    given = {"network": "tiny", "device": "cuda", "epochs": 1, "limit": 16, "dropout": 0.3}
    straight = training.run(settings(data, tmp_path / "a", **given))
    compute, least, seen = training.loss_and_gradients, 4 << 20, []

    def short(*args):
        found = compute(*args)  # has drawn its random numbers
        seen.append(strips.strip_bytes())
        if strips.strip_bytes() > least:
            raise gpus.cuda.OutOfMemoryError
        return found

    monkeypatch.setattr(training, "loss_and_gradients", short)
    again = training.run(settings(data, tmp_path / "b", **given))
    assert seen[:3] == [64 << 20, 16 << 20, 4 << 20]
    assert set(seen[3:]) == {least}
    for name, array in straight.params.items():
        np.testing.assert_array_equal(again.params[name].get(), array.get())
    least = 0
    with pytest.raises(MinicnnError, match="not enough GPU memory for a group of 8 pictures; use"):
        training.run(settings(data, tmp_path / "c", **given))


def test_memory_that_runs_out_anywhere_ends_in_a_line_or_not_at_all(gpus, tiny, data, tmp_path):
    runs = count()

    def compute():
        given = {"device": "cuda", "epochs": 1, "limit": 16, "network": "tiny"}
        run = training.run(settings(data, tmp_path / f"{next(runs)}", **given))
        return [array.get().tobytes() for array in run.params.values()]

    for error in straight_and_short(gpus, compute, every=40):
        assert in_words(error).count("\n") == 0
        assert "memory" in in_words(error)


def test_several_devices_give_the_same_bits_as_one(gpus, data, tmp_path):
    given = {"network": "minivgg-bn", "epochs": 1, "limit": 6, "batch": 6, "group": 2}
    found = []
    for device in ("cuda:1", "cuda,cuda:1"):
        gpus.LAUNCHED.clear()
        run = settings(data, tmp_path / device, device=device, **given)
        found.append(training.run(run).params)
        assert {number for _, number in gpus.LAUNCHED} == ({1} if device == "cuda:1" else {0, 1})
    for name, array in found[0].items():
        np.testing.assert_array_equal(array.get(), found[1][name].get())


def test_what_training_refuses(data, tmp_path, capsys):
    with pytest.raises(MinicnnError, match="training has no precision fp16"):
        devices.OnDevices("cuda", "fp16")
    try:
        backend.resolve_device("cuda")
    except MinicnnError as error:
        reason = str(error)
    else:
        pytest.skip("there is a GPU")
    command = ["train", str(data), "-o", str(tmp_path / "run"), "--device", "cuda"]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert said == f"minicnn: error: {reason}\n"
    assert not (tmp_path / "run").exists()
