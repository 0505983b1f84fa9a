"""What the tests of the operations share: inputs in awkward memory layouts, comparisons, torch."""

import numpy as np
import pytest


def _channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def _every_second(x):
    wide = np.full([2 * size for size in x.shape], np.nan, x.dtype)
    view = wide[(slice(None, None, 2),) * x.ndim]
    view[...] = x
    return view


def _flipped(x):
    return np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1]


LAYOUTS = {
    "contiguous": np.ascontiguousarray,
    "channels-last": _channels_last,
    "every-second": _every_second,
    "flipped": _flipped,
}
# dtype and layout together: every layout, both dtypes, no full product
MEMORY = [
    pytest.param(("float64", "contiguous"), id="float64-contiguous"),
    pytest.param(("float32", "channels-last"), id="float32-channels-last"),
    pytest.param(("float32", "every-second"), id="float32-every-second"),
    pytest.param(("float64", "flipped"), id="float64-flipped"),
]


def stored(x, memory):
    """Return a read-only array with the values of x, in the dtype and layout of `memory`.

    An operation that writes into its input raises.
    """
    dtype, layout = memory
    x = LAYOUTS[layout](np.asarray(x, dtype))
    x.flags.writeable = False
    return x


def is_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


def agree(actual, expected, dtype="float64", scale=None):
    """Assert shape, dtype, and values to the rounding of the dtype.

    The rounding is relative to `scale`, the largest value expected unless given: sums that cancel
    are to be compared with their terms.
    """
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    scale = scale or np.abs(expected).max(initial=1e-30)
    tolerance = {"float64": 1e-13, "float32": 3e-6}[str(np.dtype(dtype))]
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=tolerance)


def by_torch(function, dy, *arrays):
    """Return y of `function(torch, *tensors)` and torch's gradients of the tensors.

    dy is the cotangent; it may be a function of the shape of y.
    """
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    torch.set_num_threads(1)
    tensors = [torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in arrays]
    y = function(torch, *tensors)
    y.backward(torch.tensor(dy(tuple(y.shape)) if callable(dy) else dy))
    return y.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors)
