"""Where the maps of a layer speak for a score: Grad-CAM, and guided Grad-CAM.

    A (N,K,P,Q)           the maps of a layer below S
    alpha[n,k]  = mean over p, q of dS_n/dA[n,k,p,q]          how much map k speaks for S
    L[n,p,q]    = max(Σ over k of alpha[n,k] A[n,k,p,q], 0)   what speaks against it is left out

    guided      = guided dS/dx · L enlarged to the picture

Selvaraju et al. 2016, arXiv 1610.02391, equations 1 and 2, and section 3.2. Where a network ends in
A, a global mean and one linear layer, alpha is that layer's row divided by P Q, and L is the class
activation map of Zhou et al. 2015 (arXiv 1512.04150) but for this factor and the bias. The way down
from S stops at A. `guided` (see `ops.relu`) is no gradient.
"""

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.attribution.target import layer_gradient, value_and_gradient


def grad_cam(evaluator, x, target, layer):
    """Return L (N, P, Q).

    Parameters
    ----------
    evaluator : Network, or what evaluates one
    x : array (N, 3, H, W), preprocessed
    target : Target
    layer : str, that of the maps A

    Raises
    ------
    MinicnnError
        If the target is not above the layer, or that has no maps.
    """
    A, dA = layer_gradient(evaluator, x, target, layer)
    if dA is None:
        raise MinicnnError(f"{target.layer} does not depend on {layer}; take maps below it")
    if A.shape[2:] == (1, 1):
        raise MinicnnError(f"layer {layer} has no maps, but one value a unit; take one below")
    alpha = dA.mean(axis=(2, 3), keepdims=True)
    return array_module(A).maximum((alpha * A).sum(axis=1), 0)


def guided_grad_cam(evaluator, x, target, layer):
    """Return what the rule `guided` brings down (N, 3, H, W) times L enlarged, on the host."""
    L = enlarged_evenly(to_host(grad_cam(evaluator, x, target, layer)), x.shape[2:])
    return to_host(value_and_gradient(evaluator, x, target, "guided")[1]) * L[:, np.newaxis]


def enlarged_evenly(maps, size):
    """Return maps (N, P, Q) at `size` = (H, W), bilinear between the middles of their entries.

    y[i,j] = Σ over p, q of R[i,p] C[j,q] x[p,q]          at the edges the outermost entry
    """
    R, C = (_weights(*sides) for sides in zip(size, maps.shape[1:], strict=True))
    return R @ maps @ C.T


def _weights(fine, coarse):
    """Return the bilinear weights (fine, coarse) of a side."""
    at = (np.arange(fine) + 0.5) * coarse / fine - 0.5  # the middle of each pixel, in entries
    return np.maximum(1 - np.abs(np.clip(at, 0, coarse - 1)[:, np.newaxis] - np.arange(coarse)), 0)
