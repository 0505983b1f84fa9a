"""Workers get like shares of a convolution, whatever the shape of the picture."""

import pytest

from minicnn.engine.cpu import winograd_tiles

LAYERS = ((1, 64), (2, 128), (4, 256))  # of VGG: pixels of the picture for one, channels


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("shape", [(512, 512), (384, 512), (288, 512), (341, 512), (1024, 683)])
def test_shares_differ_by_a_chunk_at_most(shape, workers):
    for step, C in LAYERS:
        tiles = tuple(-(-side // (4 * step)) for side in shape)
        parts = winograd_tiles.chunks(1, tiles, 36 * C * 4, 512 << 10)
        groups = winograd_tiles.neighbours(parts, workers)
        assert [part for group in groups for part in group] == parts
        assert max(map(len, groups)) <= winograd_tiles.GROUP
        edges = [len(groups) * i // workers for i in range(workers + 1)]
        shares = [sum(map(len, groups[edges[i] : edges[i + 1]])) for i in range(workers)]
        assert max(shares) - min(shares) <= 1, (shape, C, shares)


def test_a_group_is_of_one_picture():
    parts = winograd_tiles.chunks(3, (8, 8), 1000, 20_000)
    groups = winograd_tiles.neighbours(parts, 2)
    assert all(part[0] == group[0][0] for group in groups for part in group)
