import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.methods.features import strongest

SHAPE = (5, 4, 3)  # units, rows, columns


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def maps_of(pictures, rng, ties=True):
    """Activations as a ReLU gives them; few different values, so that ties are common."""
    maps = rng.integers(-6, 4, (pictures, *SHAPE)) if ties else rng.normal(size=(pictures, *SHAPE))
    maps = np.maximum(maps, 0).astype(np.float32)
    maps[:, 2] = 0  # dead
    maps[1:, 3] = 0  # fires on picture 0 alone
    maps[0, 3, 2, 1] = 5
    return maps


def offer(records, pictures, maps):
    strongest.note(records, pictures, strongest.sight(maps, records.value[:, -1]))


def scanned(maps, order, batch, k=9):
    records = strongest.empty(SHAPE[0], k)
    for first in range(0, len(order), batch):
        mine = order[first : first + batch]
        offer(records, mine, maps[mine])
    return records


def by_sorting(maps, k=9):
    """The definition: all activations of a unit sorted, the first of each picture, k of them."""
    out = []
    for unit in range(SHAPE[0]):
        entries = sorted(
            (-maps[n, unit, y, x], n, y, x) for n, y, x in np.ndindex(len(maps), *SHAPE[1:])
        )
        best, seen = [], set()
        for value, n, y, x in entries:
            if value < 0 and n not in seen:
                seen.add(n)
                best.append((-value, n, y, x))
        out.append(best[:k] + [(0, -1, -1, -1)] * (k - len(best[:k])))
    return np.array(out, np.float64)


@pytest.mark.smoke
@pytest.mark.parametrize("ties", [True, False], ids=["ties", "no-ties"])
@pytest.mark.parametrize("count", [3, 40])
def test_it_is_the_sorted_list_of_all_activations(rng, ties, count):
    maps = maps_of(count, rng, ties)
    records = scanned(maps, np.arange(count), 7)
    found = np.stack([getattr(records, name) for name in strongest.RANKED], axis=-1)
    np.testing.assert_array_equal(found, by_sorting(maps))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_neither_batch_size_nor_order_changes_the_answer(rng, batch):
    maps = maps_of(40, rng)
    wanted = scanned(maps, np.arange(40), 40)
    for _ in range(5):
        assert equal(scanned(maps, rng.permutation(40), batch), wanted)


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_shards_merged_in_any_order_are_the_whole(rng, shards):
    maps = maps_of(40, rng)
    wanted = scanned(maps, np.arange(40), 40)
    for _ in range(5):
        parts = np.array_split(rng.permutation(40), shards)
        records = [scanned(maps, part, 3) for part in parts]
        while len(records) > 1:  # any tree of merges
            i, j = rng.choice(len(records), 2, replace=False)
            records.append(strongest.merge(records[i], records[j]))
            del records[max(i, j)], records[min(i, j)]
        assert equal(records[0], wanted)


def test_merging_changes_nothing_that_went_in(rng):
    maps = maps_of(8, rng)
    one, two = scanned(maps, np.arange(4), 2), scanned(maps, np.arange(4, 8), 2)
    strongest.merge(one, two)
    assert equal(one, scanned(maps, np.arange(4), 2))


def test_a_dead_unit_has_empty_slots(rng):
    records = scanned(maps_of(20, rng), np.arange(20), 4)
    assert records.dead.tolist() == [False, False, True, False, False]
    assert (records.picture[2] == -1).all()
    assert (records.value[2] == 0).all()
    assert records.picture[3].tolist() == [0] + [-1] * 8
    assert (records.row[3, 0], records.column[3, 0], records.value[3, 0]) == (2, 1, 5)
    assert records.fired[2:4].tolist() == [0, 1]


def test_negative_activations_are_no_activations():
    records = strongest.empty(1, 3)
    offer(records, [0, 1], np.array([-1.0, 0.0], np.float32).reshape(2, 1, 1, 1))
    assert records.dead.all()
    assert records.histogram[0, 0] == 2


def test_a_picture_with_many_peaks_appears_once():
    maps = np.zeros((3, 1, 5, 5), np.float32)
    maps[1, 0, :4] = 9
    maps[2, 0, 0, 0] = 1
    records = strongest.empty(1, 9)
    offer(records, [0, 1, 2], maps)
    assert records.picture[0].tolist() == [1, 2] + [-1] * 7
    assert (records.row[0, 0], records.column[0, 0]) == (0, 0)
    assert records.positive[0] == 21


def test_counts(rng):
    maps = maps_of(30, rng, ties=False)
    records = scanned(maps, np.arange(30), 7)
    assert np.array_equal(records.fired, (maps.max(axis=(2, 3)) > 0).sum(axis=0))
    assert np.array_equal(records.positive, (maps > 0).sum(axis=(0, 2, 3)))
    assert (records.histogram.sum(axis=1) == 30).all()
    assert np.array_equal(records.histogram[:, 0], 30 - records.fired)


def test_bins_of_the_histogram():
    records = strongest.empty(3, 1)
    value = np.array([1.0, 1e-9, 1e9], np.float32)
    offer(records, [0], value.reshape(1, 3, 1, 1))
    bins = records.histogram.argmax(axis=1)
    assert strongest.EDGES[bins[0] - 2] == 1.0
    assert bins[1:].tolist() == [1, strongest.BINS - 1]


def test_maps_may_lie_in_memory_channels_last(rng):
    maps = maps_of(9, rng)
    last = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert equal(scanned(maps, np.arange(9), 4), scanned(last, np.arange(9), 4))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_cannot_be_ordered_is_refused(rng, value):
    maps = maps_of(3, rng)
    maps[1, 4, 0, 0] = value
    with pytest.raises(MinicnnError, match=r"unit 4 is .* on picture 11"):
        offer(strongest.empty(SHAPE[0], 9), [10, 11, 12], maps)


def test_a_sight_taken_while_weaker_ones_were_kept_gives_the_same(rng):
    """Other threads look before all that came first is noted."""
    maps = maps_of(12, rng)
    wanted, late = scanned(maps, np.arange(12), 4), strongest.empty(SHAPE[0], 9)
    sights = [strongest.sight(maps[i : i + 4], late.value[:, -1]) for i in (0, 4, 8)]
    for i, seen in enumerate(sights):
        strongest.note(late, np.arange(4 * i, 4 * i + 4), seen)
    assert equal(late, wanted)
