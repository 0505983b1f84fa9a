"""Local response normalisation, across the channels of each pixel.

    forward   a[c]  = k + alpha / size Σ x[j]² over j = c - size//2 .. c + (size - 1)//2
              y[c]  = x[c] a[c]^-beta
    backward  dx[c] = dy[c] a[c]^-beta - 2 alpha beta / size  x[c] Σ dy[j] y[j] / a[j]
                      over the j whose window holds c

    Channels before the first and behind the last are 0.

Caffe's convention: alpha is divided by the size. The paper's alpha = 1e-4 without the division,
with size 5 and k = 2, is alpha = 5e-4 here. Source: Krizhevsky et al. 2012, section 3.3.
"""

from typing import NamedTuple


class Cache(NamedTuple):
    """What `backward` needs: x and a, both (N, C, H, W), and the constants."""

    x: object
    a: object
    size: int
    alpha: float
    beta: float


def forward(x, *, size=5, alpha=1e-4, beta=0.75, k=1.0) -> tuple:
    """Normalise.

    Parameters
    ----------
    x : array (N, C, H, W)
    size : int
        Channels of a window; an even one reaches further to the front, as in torch.
    alpha, beta, k : float
        The defaults are Caffe's; k > 0 keeps a away from 0.

    Returns
    -------
    y : array (N, C, H, W), in the memory layout of `x`
    cache : Cache
    """
    a = _window_sum(x * x, size // 2, (size - 1) // 2)
    a *= alpha / size
    a += k
    y = a**-beta
    y *= x
    return y, Cache(x, a, size, alpha, beta)


def backward(dy, cache: Cache):
    """Return dx (N, C, H, W), the exact gradient, for `dy` (N, C, H, W)."""
    x, a, size, alpha, beta = cache
    direct = a**-beta
    direct *= dy
    # channel j sees from j - front to j + back, so channel c is seen from c - back to c + front
    dx = _window_sum(direct * x / a, (size - 1) // 2, size // 2)
    dx *= x
    dx *= -2 * alpha * beta / size
    dx += direct
    return dx


def _window_sum(z, front, back):
    """Sum `z` over the channels c - front .. c + back, those that exist."""
    total = z.copy(order="K")
    for d in range(1, front + 1):
        total[:, d:] += z[:, :-d]
    for d in range(1, back + 1):
        total[:, :-d] += z[:, d:]
    return total
