import itertools

import naive
import pytest

from minicnn.errors import MinicnnError
from minicnn.ops.shapes import out_size, pair

GEOMETRIES = list(itertools.product(range(1, 12), range(1, 5), range(1, 5), range(3)))


@pytest.mark.smoke
@pytest.mark.parametrize("ceil", [False, True])
def test_count_of_windows(ceil):
    for size, kernel, stride, padding in GEOMETRIES:
        expected = naive.window_count(size, kernel, stride, padding, ceil=ceil)
        if expected > 0 and padding < kernel:
            found = out_size(size, kernel, stride, padding, ceil=ceil)
            assert found == expected, (size, kernel, stride, padding)


def test_count_of_dilated_windows():
    for size, kernel, stride, padding in GEOMETRIES:
        for dilation in (2, 3):
            expected = naive.window_count(size, kernel, stride, padding, dilation)
            if expected > 0:
                found = out_size(size, kernel, stride, padding, dilation=dilation)
                assert found == expected, (size, kernel, stride, padding, dilation)


@pytest.mark.parametrize("ceil", [False, True])
def test_torch(ceil):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    for size, kernel, stride, padding in GEOMETRIES:
        if padding <= kernel // 2 and size + 2 * padding >= kernel:
            y = torch.nn.functional.max_pool1d(
                torch.zeros(1, 1, size), kernel, stride, padding, ceil_mode=ceil
            )
            found = out_size(size, kernel, stride, padding, ceil=ceil)
            assert found == y.shape[-1], (size, kernel, stride, padding)


def test_published_sizes_of_zfnet():
    sizes = [out_size(224, 7, 2, 1)]
    sizes.append(out_size(sizes[-1], 3, 2, 0, ceil=True))
    sizes.append(out_size(sizes[-1], 5, 2, 0))
    sizes.append(out_size(sizes[-1], 3, 2, 0, ceil=True))
    assert sizes == [110, 55, 26, 13]


def test_no_window_fits():
    with pytest.raises(MinicnnError, match="5 px does not fit into 3 px with padding 0"):
        out_size(3, 3, 1, 0, dilation=2)


def test_pair():
    assert pair(3) == (3, 3)
    assert pair([1, 2]) == (1, 2)
