"""Matrix products, with AVX-512 in pieces so small that OpenBLAS multiplies without packing.

OpenBLAS copies ("packs") the factors of a product before it multiplies, except, on processors with
AVX-512, where rows x columns x depth is at most a million. There the copies cost a fifth of the
time of the products here, and far more where one factor is a small matrix; but where both are
large, less than pieces do, as long as these are not `panels`. Elsewhere each piece would be packed
anew, so a product is left whole.
"""

from functools import cache

import numpy as np

from minicnn.engine.cpu import aligned
from minicnn.engine.cpu.threads import blas_libraries

SMALL = 1_000_000  # rows, columns, depth
UNPACKED = ("SkylakeX", "Cooperlake", "SapphireRapids")  # OpenBLAS' names of processors
PANEL = 64  # columns of a panel
FEW_COLUMNS = 128  # of small products that are better made side by side, in a copy
AT_ONCE = 4  # rows that OpenBLAS' kernel without packing takes at once
BLOCK = 16  # rows at a time that go well with a factor that is not in panels,
FEW_ROWS = 96  # up to so many; more are better packed


@cache
def in_pieces():
    """Return whether products are cut up, see above."""
    return any(library.get("architecture") in UNPACKED for library in blas_libraries())


def fills_panels(*counts):
    """Return whether factors of so many columns can be in `panels`, and products want them so."""
    return in_pieces() and not any(count % PANEL for count in counts)


def wants_panels(shape):
    """Return whether a second factor (F, C, K) is multiplied faster in `panels`."""
    return fills_panels(shape[2]) and BLOCK * shape[1] * shape[2] > SMALL


def panels(U):
    """Return matrices U (..., C, K) as (..., K / 64, C, 64), contiguous, for `by`."""
    return aligned.copy(_in_panels(U))


def joined(U):
    """Return the matrices (F, C, K) of their `panels`."""
    F, count, C, _ = U.shape
    return aligned.copy(U.transpose(0, 2, 1, 3)).reshape(F, C, count * PANEL)


def exchanged(U):
    """Return the `panels` of the matrices of panels U (F, K / 64, C, 64), rows for columns."""
    F, count, C, _ = U.shape
    blocks = U.reshape(F, count, C // PANEL, PANEL, PANEL).transpose(0, 2, 1, 4, 3)
    return aligned.copy(blocks).reshape(F, C // PANEL, count * PANEL, PANEL)


def together(N):
    """Return whether products L x of small matrices, x of N columns, are better made side by side.

    Where OpenBLAS packs it takes a lock at every product, for which the other threads wait.
    """
    return N <= FEW_COLUMNS and not in_pieces()


def by(calls, V, U, M):
    """Note M = V U for V (F, T, C), U (F, C, K) or its `panels`, and M (F, T, K)."""
    (_, T, C), K = V.shape, M.shape[2]
    large = U.ndim == 3 and BLOCK * C * K > SMALL
    if not in_pieces() or (large and T >= FEW_ROWS):
        calls.add(np.matmul, V, U, out=M)
        return
    if U.ndim == 3 and not large:
        most, U, M = SMALL // (C * K), U[:, None], M[:, None]
    elif U.ndim == 4:
        most, M = _evenly(T, SMALL // (C * PANEL)), _in_panels(M)
    elif K % PANEL == 0:
        most, U, M = BLOCK, _in_panels(U), _in_panels(M)
    else:
        most, U, M = T, U[:, None], M[:, None]  # packed, at once
    rows = _height(T, most)
    whole = T - T % rows
    for first, last, height in ((0, whole, rows), (whole, T, T - whole)):
        if last > first:
            blocks = _blocks(V[:, None, first:last], height)
            calls.add(np.matmul, blocks, U[:, :, None], out=_blocks(M[:, :, first:last], height))


def of_small(calls, L, x, out):
    """Note out = L x for a small matrix L (n, k), x (..., k, N) and out (..., n, N)."""
    if not in_pieces():
        calls.add(np.matmul, L, x, out=out)
        return
    N = x.shape[-1]
    count = max(1, -(-L.size * N // SMALL))
    count = next((p for p in range(count, 8 * count) if N % p == 0), 1)
    calls.add(np.matmul, L, _cut(x, count), out=_cut(out, count))


def _in_panels(U):
    """View (..., T, K) as (..., K / 64, T, 64)."""
    return U.reshape(*U.shape[:-1], -1, PANEL).swapaxes(-3, -2)


def _evenly(T, most):
    """Return how many rows, near `most`, leave none of T: else panels are read again for these."""
    heights = range(most // AT_ONCE * AT_ONCE, most // 2, -AT_ONCE)
    return next((height for height in heights if T % height == 0), most)


def _height(T, most):
    """Return how many rows blocks of T rows have, alike, at most `most`, a multiple of AT_ONCE."""
    if T <= most:
        return T
    most = max(1, most // AT_ONCE * AT_ONCE)
    each = -(-T // -(-T // most))
    return min(most, -(-each // AT_ONCE) * AT_ONCE)


def _blocks(V, height):
    """View (..., T, C) as (..., T / height, height, C)."""
    return V.reshape(*V.shape[:-2], -1, height, V.shape[-1])


def _cut(x, count):
    """View (..., k, N) as (..., count, k, N / count)."""
    return np.swapaxes(x.reshape(*x.shape[:-1], count, -1), -2, -3)
