"""Workers get like shares of a convolution, whatever the shape of the picture."""

import numpy as np
import pytest

from minicnn.engine.cpu import column_matrices, winograd_tiles
from minicnn.engine.cpu.recorded_calls import cut

LAYERS = ((1, 64), (2, 128), (4, 256))  # of VGG: pixels of the picture for one, channels


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("shape", [(512, 512), (384, 512), (288, 512), (341, 512), (1024, 683)])
def test_shares_differ_by_a_chunk_at_most(shape, workers):
    for step, C in LAYERS:
        tiles = tuple(-(-side // (4 * step)) for side in shape)
        parts = cut(1, tiles[0], (512 << 10) // (tiles[1] * 36 * C * 4))
        groups = winograd_tiles.neighbours(parts, workers)
        assert [part for group in groups for part in group] == parts
        assert max(map(len, groups)) <= winograd_tiles.GROUP
        edges = [len(groups) * i // workers for i in range(workers + 1)]
        shares = [sum(map(len, groups[edges[i] : edges[i + 1]])) for i in range(workers)]
        assert max(shares) - min(shares) <= 1, (shape, C, shares)


def test_a_group_is_of_one_picture():
    parts = cut(3, 8, 2)
    groups = winograd_tiles.neighbours(parts, 2)
    assert all(part[0] == group[0][0] for group in groups for part in group)


@pytest.mark.parametrize("N", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("size", [1, 1 << 16, 1 << 30])
def test_a_few_small_pictures_are_shared_out(N, size):
    parts = column_matrices.strips(N, 13, 13, np.empty((1, 64, 128), np.float32), size)
    rows = [(n, p) for where, edges in parts for n in range(N)[where] for p in range(*edges)]
    assert rows == [(n, p) for n in range(N) for p in range(13)]
    assert len(parts) >= (4 if N == 1 else min(N, 4))


@pytest.mark.parametrize("wanted", [0, 1, 5, 17, 18, 40, 1000])
@pytest.mark.parametrize(("N", "P"), [(1, 1), (1, 3), (1, 18), (5, 18), (7, 1)])
def test_every_row_is_in_one_part_and_parts_are_alike(N, P, wanted):
    parts = cut(N, P, wanted)
    rows = [(n, p) for where, edges in parts for n in range(N)[where] for p in range(*edges)]
    assert rows == [(n, p) for n in range(N) for p in range(P)]
    if N == 1 or wanted < P:
        lengths = {last - first for _, (first, last) in parts}
        assert max(lengths) - min(lengths) <= 1
        assert max(lengths) <= max(1, wanted)
        assert len(parts) % (4 * N) == 0 or len(parts) == N * P
    else:
        assert max(len(range(N)[where]) for where, _ in parts) == min(N, wanted // P)
