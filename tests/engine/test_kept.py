"""What is kept from run to run: within a bound, and without a change of any number."""

import numpy as np
import pytest

from minicnn.engine import kept
from minicnn.engine.kept import Kept, keeping
from minicnn.engine.select import Evaluation, evaluator_of, replaying
from minicnn.network import build

TAPS = ["relu1_1", "relu2_1"]


def test_what_was_used_last_stays():
    made, gone, things = [], [], Kept(10)

    def thing(key, size=4):
        return things.once(key, lambda: made.append(key) or key, lambda _: size, gone.append)

    assert [thing(key) for key in "abacab"] == list("abacab")
    assert (made, gone) == (list("abcb"), ["b", "c"])
    assert things.bytes == 8
    first = things.once("a", None, None)
    assert first in things
    assert object() not in things
    assert [thing("large", 11) for _ in range(2)] == ["large", "large"]
    assert made[4:] == ["large", "large"]
    assert things.bytes == 8


def test_outside_nothing_is_kept():
    numbers = iter(range(9))
    assert [kept.once(lambda: "key", lambda: next(numbers), float) for _ in range(2)] == [0, 1]
    with keeping(Kept(99)):
        assert [kept.once(lambda: "key", lambda: next(numbers), float) for _ in range(2)] == [2, 2]
    assert kept.once(lambda: "key", lambda: next(numbers), float) == 3


@pytest.mark.parametrize("limit", [0, 2 * 10**6, 10**9])
def test_an_evaluation_is_compiled_again_where_it_had_to_go(rng, limit):
    """Three functions of two sizes take turns; with 2 MB one compiled evaluation is kept."""
    net = build.build("minivgg", seed=1)
    pictures = [rng.standard_normal((1, 3, side, 40), dtype=np.float32) for side in (40, 32, 40)]
    with keeping(Kept(limit)):
        evaluators = [evaluator_of(net, Evaluation(threads=1)) for _ in pictures]
        replays = [replaying(evaluator) for evaluator in evaluators]
        assert (evaluators[0] is evaluators[1]) == (limit == 10**9)
        for _ in range(2):
            for replay, x in zip(replays, pictures, strict=True):
                wanted = net.forward(x, TAPS)
                found = replay.forward(x, TAPS)
                for name in TAPS:
                    assert np.allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4)
                dys = {name: np.float32(0.1) * f for name, f in wanted.items()}
                assert np.allclose(replay.backward(dys), net.backward(dys), rtol=1e-3, atol=1e-4)
        assert (replays[0].plan is replays[2].plan) == (limit == 10**9)


def test_another_file_is_read_again(tmp_path):
    file = tmp_path / "a"
    told = [kept.of_file(file)]
    for content in ("1", "22"):
        file.write_text(content)
        told.append(kept.of_file(file))
    assert len(set(told)) == 3


def test_arrays_are_told_apart_by_shape_type_and_values():
    arrays = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 3), "f4"), np.ones((2, 3)), None]
    assert len({kept.digest(array) for array in arrays}) == 5
    assert kept.digest(np.zeros((2, 3))[::-1]) == kept.digest(np.zeros((2, 3)))
