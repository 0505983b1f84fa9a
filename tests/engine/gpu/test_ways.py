"""The ways of convolutions are timed once, and remembered; what is remembered may be damaged."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from compiled_testing import compile_on, drawn, network
from compiled_testing import few_blocks as few_blocks
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler

from minicnn.engine.gpu.convolution_step import Convolution
from minicnn.engine.gpu.cuda import Cuda
from minicnn.engine.gpu.ways import FILE, WAYS, Ways
from minicnn.network.layers import AvgPool2d


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / FILE


def clock(**times):
    """Return what times work, which says what it is, and what has been timed."""
    timed = []

    def milliseconds(work):
        timed.append(work())
        return times[timed[-1]]

    return milliseconds, timed


WORKS, OUT = {"columns": lambda: "columns", "convolve": lambda: "convolve"}, np.ones(3)


def test_the_fastest_way_is_taken_and_remembered(file):
    milliseconds, timed = clock(columns=2.0, convolve=1.5)
    ways = Ways("a card", milliseconds)
    for _ in range(2):
        assert ways.best("a layer", WORKS, OUT) == "convolve"
    assert timed == ["columns", "convolve"]
    assert not file.exists()
    ways.remember()
    assert json.loads(file.read_text()) == {"a card": {"a layer": {"columns": 2, "convolve": 1.5}}}
    written = file.stat().st_mtime_ns, file.stat().st_ino
    never = clock()[0]
    again = Ways("a card", never)
    assert again.best("a layer", WORKS, OUT) == "convolve"
    again.remember()
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == written, "there was nothing new"


def test_another_card_layer_or_choice_is_timed_anew(file):
    milliseconds, timed = clock(columns=1.0, convolve=2.0, convolve_narrow=0.5)
    one, other = Ways("a card", milliseconds), Ways("another", milliseconds)
    for ways in (one, other):
        assert ways.best("a layer", WORKS, OUT) == "columns"
        ways.remember()
    later = Ways("a card", milliseconds)
    assert later.best("another layer", WORKS, OUT) == "columns"
    assert later.best("a layer", WORKS | {"convolve_narrow": lambda: "convolve_narrow"}, OUT) == (
        "convolve_narrow"
    )
    assert len(timed) == 2 + 2 + 2 + 3
    later.remember()
    found = json.loads(file.read_text())
    assert {card: set(layers) for card, layers in found.items()} == {
        "a card": {"a layer", "another layer"},
        "another": {"a layer"},
    }


@pytest.mark.parametrize("wrong", [1.5, np.nan])
def test_a_way_that_computes_something_else_is_never_taken(file, wrong, capsys):
    out = np.ones(3)
    works = {"columns": partial(out.fill, 1), "convolve": partial(out.fill, wrong)}
    times = iter([2.0, 1.0])

    def milliseconds(work):
        work()
        return next(times)

    ways = Ways("a card", milliseconds)
    assert ways.best("a layer", works, out) == "columns"
    ways.remember()
    text = "minicnn: convolve is wrong on this device and is not used: a layer\n"
    assert capsys.readouterr().err == text
    assert Ways("a card", milliseconds).best("a layer", works, out) == "columns"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"\xff",
        b"[]",
        b'{"a card": []}',
        b'{"a card": {"a layer": {"columns": "fast"}}}',
        b'{"a card": {"a layer": {"columns": NaN, "convolve": 1.0}}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_made_again_with_one_line(file, text, capsys):
    file.parent.mkdir()
    file.write_bytes(text)
    ways = Ways("a card", clock(columns=2.0, convolve=1.0)[0])
    assert (
        capsys.readouterr().err
        == f"minicnn: {FILE} in the cache folder is damaged and is made again\n"
    )
    assert ways.best("a layer", WORKS, OUT) == "convolve"
    ways.remember()
    capsys.readouterr()
    assert json.loads(file.read_text())["a card"]["a layer"]["convolve"] == 1
    Ways("a card", clock()[0])
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_costs_one_line(file, capsys):
    file.parent.write_text("a file")
    ways = Ways("a card", clock(columns=2.0, convolve=1.0)[0])
    assert ways.best("a layer", WORKS, OUT) == "convolve"
    ways.remember()
    told = capsys.readouterr().err
    assert told.startswith("minicnn: how fast the ways of convolutions are is not remembered: ")
    assert told.count("\n") == 1


@needs_compiler
def test_a_plan_chooses_layer_by_layer(file):
    net = network(AvgPool2d, channels=(16, 16, 24))
    explicit, objective, x = drawn(net)
    times = iter([3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 2.0, 1.0, 3.0])

    def milliseconds(work):
        work()
        return next(times)

    machine = HostMachine("fp16", ways=WAYS, milliseconds=milliseconds)
    fun = compile_on(machine, net, objective, x)

    def ways(fun):
        steps = fun._arrays.trunk.steps
        return [way for step in steps if isinstance(step, Convolution) for way in step.ways]

    chosen = ["columns", "convolve_narrow", "columns", "convolve", "convolve"]
    assert ways(fun) == chosen
    assert next(times, None) is None
    value, gradient = explicit(x)
    found, dx = fun(x)
    assert found == pytest.approx(value, rel=5e-3)
    assert np.linalg.norm(dx - gradient) < 1.5e-2 * np.linalg.norm(gradient)
    assert len(json.loads(file.read_text())["a CPU"]) == 4
    again = compile_on(machine, net, objective, x)
    assert ways(again) == chosen, "from the file"
    same, dx_same = again(x)
    assert found == same
    np.testing.assert_array_equal(dx, dx_same)


def test_a_device_times_a_graph_where_it_can_be_had():
    done, now = [], iter((0, 8, 20, 24, 30, 50))

    class Event:
        def record(self):
            self.at = next(now)

        def synchronize(self):
            done.append("waited")

    def elapsed(start, end):
        return end.at - start.at

    machine = Cuda.__new__(Cuda)
    machine.xp = SimpleNamespace(cuda=SimpleNamespace(Event=Event, get_elapsed_time=elapsed))
    machine.captured = lambda run: (lambda: done.append("launched"), "")
    assert machine.milliseconds(lambda: done.append("run")) == 1  # the least of 8, 4, 20, by four
    assert done == ["run", *(["launched"] * 4 + ["waited"]) * 3]
