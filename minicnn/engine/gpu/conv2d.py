"""The three functions of `ops.conv2d` for batches on a CUDA device: same arguments, same results.

For training and scans, where maps are small and many. All windows of some pictures become the rows
of one matrix, channels last in memory, so that each function is one large product:

    forward          y (N P Q, K)   =  rows (N P Q, R S C) wᵀ
    backward_params  dw (K, R S C)  =  dyᵀ rows
    backward_data    rows           =  dy w,  and each pixel adds up the windows that hold it

`Network.forward` takes a `DeviceConvolution` as its `convolution`.
"""

from minicnn.backend import current_number
from minicnn.engine.gpu.buffers import Buffers
from minicnn.kernels import strips
from minicnn.kernels.loader import lanes
from minicnn.ops.shapes import convolved, pair


class DeviceConvolution:
    """Stands in for the module `ops.conv2d`, for float32; the `cuda.Cuda` has full columns.

    Threads whose current devices differ share it.
    """

    def __init__(self, machine):
        self._xp, self._kernels = machine.xp, machine.kernels
        self._machine, self._products = machine, {}  # number of a device -> its matrix product

    def _product(self, *matrices, **how):
        device = current_number()
        if device not in self._products:
            self._products[device] = self._machine.products(Buffers(self._xp))
        self._products[device](*matrices, **how)

    def forward(self, x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
        """Convolve; see `ops.conv2d.forward`. The result has its channels last in memory."""
        P, Q = convolved(x.shape, w.shape, stride, padding, dilation, groups)
        N, K = len(x), len(w)
        windows = _Windows(self, w.shape, (P, Q), stride, padding, dilation)
        y = self._xp.empty((N, P, Q, K), x.dtype)
        last, filters = _channels_last(x), self._matrices(w, groups)
        for n, (g, some, columns) in windows.parts(N, groups, last.shape[3]):
            rows = windows.of(last[n, :, :, some])
            whole = groups == 1  # else the filters of a group are not next to each other in y
            out = (
                y[n].reshape(-1, K) if whole else self._xp.empty((len(rows), K // groups), x.dtype)
            )
            self._product(rows, filters[g], out, transpose=(False, True))
            if not whole:
                y[n, :, :, columns] = out.reshape(-1, P, Q, K // groups)
        if b is not None:
            y += b
        return y.transpose(0, 3, 1, 2), x

    def backward_data(self, dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return dx; see `ops.conv2d.backward_data`."""
        N, C, H, W = x_shape
        windows = _Windows(self, w.shape, dy.shape[2:], stride, padding, dilation)
        dx = self._xp.empty((N, H, W, C), dy.dtype)
        last, filters = _channels_last(dy), self._matrices(w, groups)
        for n, (g, some, columns) in windows.parts(N, groups, C):
            dy_rows = self._rows(last[n, :, :, columns])
            rows = self._xp.empty((len(dy_rows), filters[g].shape[1]), dy.dtype)
            self._product(dy_rows, filters[g], rows)
            if groups == 1:
                windows.add(rows, dx[n])
            else:
                part = self._xp.empty((*dx[n].shape[:3], C // groups), dy.dtype)
                dx[n, :, :, some] = windows.add(rows, part)
        return dx.transpose(0, 3, 1, 2)

    def backward_params(self, dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return (dw, db); see `ops.conv2d.backward_params`."""
        K, c, R, S = w_shape
        windows = _Windows(self, w_shape, dy.shape[2:], stride, padding, dilation)
        dw = self._xp.zeros((groups, K // groups, R * S * c), dy.dtype)
        last, x = _channels_last(dy), _channels_last(x)
        for n, (g, some, columns) in windows.parts(len(x), groups, x.shape[3]):
            rows, dy_rows = windows.of(x[n, :, :, some]), self._rows(last[n, :, :, columns])
            self._product(dy_rows, rows, dw[g], transpose=(True, False), add=True)
        dw = dw.reshape(K, R, S, c).transpose(0, 3, 1, 2)
        return self._xp.ascontiguousarray(dw), last.sum(axis=(0, 1, 2))

    def _rows(self, maps):
        """Return maps (N, P, Q, K) as a contiguous matrix (N P Q, K)."""
        return self._xp.ascontiguousarray(maps).reshape(-1, maps.shape[3])

    def _matrices(self, w, groups):
        """Return filters (K, c, R, S) as a list of contiguous matrices (K / groups, R S c)."""
        K = len(w)
        rows = self._xp.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(K, -1)
        return [rows[g * K // groups : (g + 1) * K // groups] for g in range(groups)]


class _Windows:
    """The windows of one convolution, as rows."""

    def __init__(self, owner, w_shape, size, stride, padding, dilation):
        self._xp, self._kernels = owner._xp, owner._kernels
        self._channels, self._filters = w_shape[1], w_shape[0]
        self._size, self._kernel = tuple(size), tuple(w_shape[2:])
        self._geometry = (*self._kernel, *pair(stride), *pair(dilation), *pair(padding))

    def parts(self, N, groups, channels):
        """Yield (pictures, (group, its channels, its filters)) as slices, within the strip's bytes.

        At least one picture at a time.
        """
        each = 4 * self._size[0] * self._size[1] * self._kernel[0] * self._kernel[1]
        step = max(1, strips.strip_bytes() // (each * self._channels))
        for first in range(0, N, step):
            for g in range(groups):
                own = [
                    slice(g * k // groups, (g + 1) * k // groups) for k in (channels, self._filters)
                ]
                yield slice(first, min(first + step, N)), (g, *own)

    def of(self, x):
        """Return the windows of x (N, H, W, C) as rows (N P Q, R S C)."""
        x = self._xp.ascontiguousarray(x)
        N, C = x.shape[0], x.shape[3]
        width = self._kernel[0] * self._kernel[1] * C
        rows = self._xp.empty((N * self._size[0] * self._size[1], width), x.dtype)
        self._run("window_rows", rows.size, x, rows, x.shape)
        return rows

    def add(self, rows, x):
        """Fill x (N, H, W, C), contiguous, with the sum of rows (N P Q, R S C), and return it."""
        self._run("add_window_rows", x.size, rows, x, x.shape)
        return x

    def _run(self, name, size, source, out, shape):
        wide = lanes(shape[3], source, out)
        geometry = (*shape[1:], *self._geometry, *self._size, wide)
        self._kernels.each(name, size // wide, source, out, *geometry)


def _channels_last(x):
    return x.transpose(0, 2, 3, 1)
