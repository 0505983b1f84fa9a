"""The batched convolutions of the device, run on the CPU, equal those of `ops`."""

import numpy as np
import pytest
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler

from minicnn.engine.gpu.conv2d import DeviceConvolution
from minicnn.kernels import strips
from minicnn.ops import conv2d

pytestmark = needs_compiler
CASES = {
    "3x3 padded": ((3, 5, 7, 6), (4, 5, 3, 3), {"padding": 1}),
    "11x11 stride 4": ((2, 3, 27, 23), (6, 3, 11, 11), {"stride": 4, "padding": 2}),
    "uneven": ((2, 3, 9, 8), (4, 3, 3, 2), {"stride": (2, 1), "padding": (0, 1)}),
    "dilated": ((2, 3, 9, 8), (4, 3, 3, 2), {"dilation": (1, 2), "padding": 2}),
    "two groups": ((3, 8, 6, 7), (6, 4, 3, 3), {"padding": 1, "groups": 2}),
    "1x1": ((2, 8, 5, 4), (12, 8, 1, 1), {}),
}


@pytest.mark.parametrize("strip", [1, strips.LARGEST], ids=["a picture at a time", "all at once"])
@pytest.mark.parametrize("case", CASES)
def test_batches(rng, case, strip):
    with strips.Strips(strip).in_use():
        _agree(rng, case)


def _agree(rng, case):
    shape, w_shape, options = CASES[case]
    x, w, b = (rng.standard_normal(s).astype("f4") for s in (shape, w_shape, w_shape[:1]))
    ours = DeviceConvolution(HostMachine())
    y, cache = ours.forward(x, w, b, **options)
    expected, _ = conv2d.forward(x, w, b, **options)
    dy = rng.standard_normal(expected.shape).astype("f4")
    for layout in (dy, np.ascontiguousarray(dy.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        dx = ours.backward_data(layout, w, x.shape, **options)
        close(dx, conv2d.backward_data(dy, w, x.shape, **options))
        for found, exact in zip(
            ours.backward_params(layout, cache, w.shape, **options),
            conv2d.backward_params(dy, x, w.shape, **options),
            strict=True,
        ):
            close(found, exact)
    close(y, expected)
    close(ours.forward(x, w, **options)[0], conv2d.forward(x, w, **options)[0])


def close(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())
