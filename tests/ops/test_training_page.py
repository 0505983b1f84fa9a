"""The page that follows a training step: its code runs, its byte counts are those of the tool."""

import re
import sys
from pathlib import Path

import numpy as np

import minicnn
from minicnn.methods.training.step import loss_and_gradients

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "minicnn" / "ops" / "TRAINING.md").read_text()
sys.path.insert(0, str(ROOT / "tools"))

import trace_training_step  # noqa: E402


def test_the_code_of_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "TRAINING.md", "exec"), {})  # its assertions are the check


def test_the_table_of_the_page_is_what_the_tool_prints(capsys):
    (shown,) = re.findall(r"```console\n\$ (.*?)```", PAGE, re.DOTALL)
    command, _, shown = shown.partition("\n")
    assert command.startswith("python tools/trace_training_step.py ")
    trace_training_step.main(command.split()[2:])
    printed = capsys.readouterr().out
    exact = [line for line in printed.splitlines() if "peak" not in line]
    assert exact == [line for line in shown.splitlines() if "peak" not in line]


def test_the_counts_are_those_of_the_arrays():
    rows, totals = trace_training_step.trace("minizfnet", 2, classes=3)
    found = {row["layer"]: row for row in rows}
    maps = 2 * 48 * 32 * 32
    assert found["relu1"]["new"] == maps  # a byte an entry
    assert found["conv1"]["new"] == 0  # it keeps the pictures
    assert found["norm1"]["new"] == 2 * 4 * 2 * 48 * 16 * 16  # x and a, float32
    assert found["conv2"]["new"] == 4 * 2 * 48 * 16 * 16  # what norm1 has written
    net = minicnn.build("minizfnet", classes=3)
    assert totals["parameters"] == totals["gradients"] == sum(p.nbytes for p in net.params.values())
    more = trace_training_step.trace("minizfnet", 4, classes=3)[1]
    assert more["caches"] == 2 * totals["caches"]
    assert totals["caches"] < totals["forward peak"] < totals["step peak"]


def test_an_array_that_two_caches_hold_is_counted_once(rng):
    """The sum of "new" is the memory of all different arrays in the caches."""
    net = minicnn.build("minivgg-bn", classes=2)
    x = rng.standard_normal((1, 3, 16, 16)).astype(np.float32)
    net.forward(x, ["fc5"], training=True, rng=rng)
    total = trace_training_step._rows(net, 1, net._caches, x)[1]
    owners = {}
    for array in trace_training_step.arrays_in(list(net._caches.values())):
        own = trace_training_step.owner(array)
        owners[id(own)] = own
    assert total == sum(a.nbytes for a in owners.values()) - x.nbytes
    assert loss_and_gradients(net, x, np.array([1]), 0.0, rng)[0] > 0
