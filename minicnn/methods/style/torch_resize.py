"""How Torch7's `image.scale`, in its bilinear mode, makes pictures smaller and larger.

    smaller   y[i] = mean of x over [i s, (i + 1) s),  s = n / m      parts of pixels count as parts
    larger    y[i] = x at i (n - 1) / (m - 1), linear between the middles of two pixels

for a side of n pixels that gets m; rows and columns one after the other.
"""

import numpy as np

from minicnn.pictures.arrays import to_uint8


def torch_resize(rgb, size):
    """Resize a uint8 picture (H, W, 3) to `size` = (rows, columns), rounded to uint8."""
    (rows, columns), (old_rows, old_columns) = size, rgb.shape[:2]
    y = _weights(rows, old_rows) @ rgb.reshape(old_rows, -1)  # (rows, W 3)
    y = y.reshape(rows, old_columns, 3).swapaxes(0, 1).reshape(old_columns, -1)  # (W, rows 3)
    y = _weights(columns, old_columns) @ y  # (columns, rows 3)
    return to_uint8(y.reshape(columns, rows, 3).swapaxes(0, 1))


def _weights(new, old):
    """Return what each new pixel of a side takes of the old ones: float32 (new, old)."""
    from scipy.sparse import csr_array

    x = np.arange(old)
    if new > old:
        at = np.linspace(0, old - 1, new)[:, None]
        return csr_array(np.maximum(1 - abs(at - x), 0), dtype=np.float32)
    edges = (np.arange(new + 1) * old / new)[:, None]
    covered = np.minimum(edges[1:], x + 1) - np.maximum(edges[:-1], x)
    return csr_array(np.maximum(covered, 0) * (new / old), dtype=np.float32)
