"""Calls that are made one after another share scratch memory; those of one list do not."""

import numpy as np
import pytest

from minicnn.engine.cpu import scratch
from minicnn.engine.cpu.recorded_calls import Calls, share
from minicnn.engine.cpu.scratch import Scratch

SIZE = (3, 5)


@pytest.fixture(params=[scratch.BLOCK, 64])  # bytes; too few for the arrays here
def block(request, monkeypatch):
    monkeypatch.setattr(scratch, "BLOCK", request.param)
    return Scratch()


def test_arrays_of_one_list_share_no_memory(block):
    calls = Calls(block)
    arrays = [calls.buffer(name, SIZE, np.float64) for name in "abc"]
    for i, array in enumerate(arrays):
        array[...] = i
    assert [array.mean() for array in arrays] == [0, 1, 2]


def test_what_has_a_name_lies_where_it_lay(block):
    calls = Calls(block)
    first, other = calls.buffer("a", SIZE, np.float32), calls.buffer("b", (1,), np.float64)
    first[...], other[...] = 1, 2
    assert np.shares_memory(calls.buffer("a", (2, 5), np.float32), first)
    larger = calls.buffer("a", (30, 5), np.float32)
    larger[...] = 3
    assert (first == 1).all()
    assert (other == 2).all()


def test_lists_lie_over_each_other_but_behind_their_room():
    memory = Scratch()
    first, second = (Calls(memory).buffer("a", SIZE, np.float32) for _ in range(2))
    assert np.shares_memory(first, second)
    room = Calls(memory)
    kept = room.buffer("a", SIZE, np.float32)
    assert not np.shares_memory(Calls(memory, room).buffer("a", SIZE, np.float32), kept)


def test_the_room_is_in_the_first_scratch(block):
    room, made = Calls(block), []
    kept = room.buffer("kept", SIZE, np.float32)

    def note(calls, item):
        made.append(calls.buffer("mine", SIZE, np.float32))

    share([block, Scratch()], range(4), note, 0, room)
    assert all(not np.shares_memory(array, kept) for array in made)
    assert np.shares_memory(made[0], made[1])
    assert not np.shares_memory(made[0], made[2])
