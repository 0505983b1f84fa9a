"""Transposed convolution: the convolution's `backward_data`, run forwards.

    forward          y[n,k,i,j]   = b[k] + Σ_c,r,s,p,q w[c,k,r,s] x[n,c,p,q]  where
                                    (p u + r d - pad, q u + s d - pad) = (i, j)
    backward_data    dx[n,c,p,q]  = Σ_krs w[c,k,r,s] dy[n,k, p u + r d - pad, q u + s d - pad]
    backward_params  dw[c,k,r,s]  = Σ_npq x[n,c,p,q] dy[n,k, p u + r d - pad, q u + s d - pad]
                     db[k]        = Σ_nij dy[n,k,i,j]

    u is the stride, d the dilation. x is (N, C, H, W), y is (N, K, P, Q),
    P = u (H - 1) + d (R - 1) + 1 - 2 pad + extra,    0 <= extra < u.

Let A be the convolution with these weights, from maps like y to maps like x. Then y = Aᵀ x + b and
dx = A dy: the functions below are conv2d's, with x and y in exchanged roles. A stride u maps u
sizes P to the same H, so the size is stored (`output_size`), never guessed. The weights have the
input channels first, because the outputs of A are the channels of x.

Source: Dumoulin & Visin 2016, arXiv 1603.07285, chapter 4.
"""

from minicnn.errors import MinicnnError
from minicnn.ops import conv2d
from minicnn.ops.shapes import convolved, pair


def forward(
    x, w, b=None, *, stride=1, padding=0, output_size=None, output_padding=0, dilation=1, groups=1
) -> tuple:
    """Convolve, transposed.

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (C, K / groups, R, S)
    b : array (K,), optional
    stride, padding, dilation : int or (int, int)
        Those of the convolution A: the padding is cut off y.
    output_size : (int, int), optional
        P and Q.
    output_padding : int or (int, int)
        The extra rows and columns, where `output_size` is not given.

    Returns
    -------
    y : array (N, K, P, Q)
    x : array
        The cache of `backward_params`.

    Raises
    ------
    MinicnnError
        If the channels do not fit, or A would not map P, Q back to H, W.
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    size = output_size or _size(x.shape, w.shape, stride, padding, dilation, output_padding)
    y_shape = (x.shape[0], w.shape[1] * groups, *size)
    back = (w.shape[0], *convolved(y_shape, w.shape, **options)) if min(size) > 0 else None
    if back != x.shape[1:]:
        raise MinicnnError(
            f"weights {w.shape} do not give {size[0]} x {size[1]} px from an input {x.shape}: the "
            "convolution must lead back; check channels, output_size and output_padding < stride"
        )
    y = conv2d.backward_data(x, w, y_shape, **options)
    if b is not None:
        y += b[:, None, None]
    return y, x


def backward_data(dy, w, *, stride=1, padding=0, dilation=1, groups: int = 1):
    """Return dx (N, C, H, W) for `dy` (N, K, P, Q): the convolution A of `dy`."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return conv2d.forward(dy, w, **options)[0]


def backward_params(dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1) -> tuple:
    """Return (dw, db), of shape `w_shape` and (K,)."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return conv2d.backward_params(x, dy, w_shape, **options)[0], dy.sum(axis=(0, 2, 3))


def _size(x_shape, w_shape, stride, padding, dilation, extra):
    """Return (P, Q) as in the formula."""
    u, pad, d, extra = pair(stride), pair(padding), pair(dilation), pair(extra)
    return tuple(
        u[i] * (x_shape[2 + i] - 1) + d[i] * (w_shape[2 + i] - 1) + 1 - 2 * pad[i] + extra[i]
        for i in (0, 1)
    )
