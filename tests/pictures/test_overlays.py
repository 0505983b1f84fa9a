import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.pictures.overlays import (
    COLOURS,
    boxed,
    cut,
    enlarged,
    heat,
    magnified,
    over,
    peak,
    regions,
    unit_range,
)


def test_overlays(rng):
    rgb = rng.integers(0, 256, (8, 9, 3), np.uint8)
    assert heat(np.array([[0.0, 1.0]])).tolist() == [[[0, 0, 4], [252, 255, 164]]]
    assert over(rgb, np.zeros((8, 9))).max() <= 0.7 * 255 + 1
    np.testing.assert_array_equal(unit_range(np.array([[2.0, 4, 3]])), [[0, 1, 0.5]])
    assert not unit_range(np.ones((2, 2))).any()
    frame = boxed(rgb, (-2, 3, 4, 6))
    assert (frame[3, 3:6] == (255, 255, 0)).all()
    assert (frame[0:4, 3] == (255, 255, 0)).all()
    np.testing.assert_array_equal(frame[0, 4], rgb[0, 4])
    part = cut(rgb, (-1, 7, 2, 12), 128)
    np.testing.assert_array_equal(part[1:, :2], rgb[:2, 7:])
    assert (part[0] == 128).all()
    assert (part[:, 2:] == 128).all()
    assert (cut(rgb, (20, 20, 22, 22), 1) == 1).all()
    assert enlarged(np.array([[1, 2]]), (3, 3), (3, 5)).tolist() == [[1, 1, 1, 2, 2]] * 3
    assert magnified(rgb, 20).shape == (24, 27, 3)
    np.testing.assert_array_equal(magnified(rgb, 20)[::3, ::3], rgb)
    assert magnified(rgb, 9).shape == rgb.shape
    assert regions(np.array([[4]]), {4: COLOURS["blue"]}).tolist() == [[list(COLOURS["blue"])]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: peak(np.ones(3), -0.1), "clip = -0.1"),
        (lambda: peak(np.ones(3), 1), "clip = 1; use a share from 0 to below 1"),
        (lambda: heat(np.ones(3)), "a map is an array"),
        (lambda: heat(np.full((2, 2), np.nan)), "NaN"),
        (lambda: over(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2))), "does not lie on"),
    ],
)
def test_bad_calls_end_in_one_line(call, message):
    with pytest.raises(MinicnnError, match=message):
        call()
