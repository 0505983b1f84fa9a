"""Softmax over the classes, and its cross-entropy.

    forward   p[n,k]  = exp(x[n,k]) / Σ_j exp(x[n,j])
    backward  dx[n,k] = p[n,k] (dy[n,k] - Σ_j dy[n,j] p[n,j])

    cross_entropy           loss = -1/N Σ_nk t[n,k] log p[n,k]
                            t[n,k] = (1 - smoothing) [k = label n] + smoothing / K
    cross_entropy_backward  dx = (p - t) / N

The largest entry of each row is subtracted first: it cancels in p, and exp cannot overflow.
Source of the smoothing: Szegedy et al. 2015, arXiv 1512.00567, section 7.
"""

from typing import Any, NamedTuple

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


class Cache(NamedTuple):
    """What `cross_entropy_backward` needs: p (N, K), the labels (N,), the smoothing."""

    p: object
    labels: object
    smoothing: float


def forward(x) -> tuple:
    """Return the probabilities p (N, K) of the scores `x` (N, K), and p again: the cache."""
    p = array_module(x).exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p, p


def backward(dy, p) -> Any:
    """Return dx (N, K) for `dy` (N, K)."""
    return p * (dy - (dy * p).sum(axis=1, keepdims=True))


def cross_entropy(logits, labels, *, smoothing: float = 0.0) -> tuple:
    """Score the logits by the labels.

    Parameters
    ----------
    logits : array (N, K)
        Scores before the softmax.
    labels : integer array (N,)
        From 0 to K - 1.
    smoothing : float
        The share of the target that is spread evenly over all classes, 0 to 1.

    Returns
    -------
    loss : float
        Mean over the batch, in nats, summed in float64.
    cache : Cache

    Raises
    ------
    MinicnnError
        If a label is no class.
    """
    xp = array_module(logits)
    N, K = logits.shape
    if labels.min() < 0 or labels.max() >= K:
        raise MinicnnError(
            f"labels from {labels.min()} to {labels.max()} for {K} classes; use 0 to {K - 1}"
        )
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = xp.exp(shifted)
    total = p.sum(axis=1, keepdims=True)  # (N, 1)
    log_p = shifted - xp.log(total)
    p /= total
    at_label = log_p[xp.arange(N), labels].mean(dtype=xp.float64)
    loss = -(1 - smoothing) * at_label - smoothing * log_p.mean(dtype=xp.float64)
    return float(loss), Cache(p, labels, smoothing)


def cross_entropy_backward(cache: Cache):
    """Return dlogits (N, K) of the loss."""
    p, labels, smoothing = cache
    N, K = p.shape
    dx = p - smoothing / K
    dx[array_module(p).arange(N), labels] -= 1 - smoothing
    dx /= N
    return dx
