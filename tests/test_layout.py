import numpy as np
import pytest
from op_testing import LAYOUTS, is_channels_last

from minicnn.layout import channels_last, empty, laid_out
from minicnn.network.layers import GlobalAvgPool2d, Linear, Mode


@pytest.mark.parametrize(("layout", "last"), [("contiguous", False), ("channels-last", True)])
def test_arrays_lie_as_they_are_told(rng, layout, last):
    x = LAYOUTS[layout](rng.standard_normal((2, 3, 4, 5)).astype("float32"))
    assert channels_last(x) == last
    new = empty(x, (2, 3, 6, 1), last)
    assert is_channels_last(new) == last
    assert new.dtype == x.dtype
    assert new.shape == (2, 3, 6, 1)
    y = laid_out(np.ascontiguousarray(x), last)
    assert is_channels_last(y) == last
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    "layer", [GlobalAvgPool2d(), Linear(5)], ids=lambda layer: type(layer).__name__
)
@pytest.mark.parametrize(("layout", "last"), [("contiguous", False), ("channels-last", True)])
def test_the_gradient_behind_a_single_pixel_lies_as_the_map_did(rng, layer, layout, last):
    """Else what is done with both, down to a convolution, takes up to nine times as long."""
    x = LAYOUTS[layout](rng.standard_normal((2, 3, 4, 5)))
    params = {"weight": rng.standard_normal((5, 60)), "bias": np.zeros(5)}
    y, cache = layer.forward(x, params, Mode())
    dx = layer.backward(rng.standard_normal(y.shape), cache, params, "gradient")
    assert is_channels_last(dx) == last
