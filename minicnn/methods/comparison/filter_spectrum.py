"""The frequencies of filters, and what a stride makes of them.

    W[k,c](f) = Σ_rs w[k,c,r,s] exp(-2πi (f1 r + f2 s))        f in cycles per pixel

Spectrum. The share of filter k in a band is Σ_c Σ_{f in band} |W[k,c](f)|² over the same sum for
all f, by radial frequency |f|: low below 1/8, mid from 1/8, high from 1/4 on. A filter of R pixels
tells frequencies apart that differ by 1/R. Noise has 5, 15 and 80 % in them, by their areas.

Folding. A layer of stride u keeps every u-th of the answers z[k] = Σ_c w[k,c] ⋆ x[c], so each
frequency f of the band B = {|f1|, |f2| <= 1/(2u)} that the kept ones can tell also holds what was
at f + (i/u, j/u), the harmonics of the stride:

    A[k] = Σ_{f in B} Σ_{(i,j) ≠ 0} E|Z[k](f + (i/u, j/u))|² / Σ_{f ≠ 0} E|Z[k](f)|²

the share of the answer's power that arrives at a wrong frequency; Z[k](f) = Σ_c W[k,c](f)* X[c](f),
E the mean over pictures. It is 0 for stride 1.

Harmonics. On the way down a layer of stride u puts its filters at every u-th pixel. What that
leaves in a projection p (h, w, 3) is the share of the power at the harmonics themselves, which is
the power of the part of p that repeats every u pixels:

    G = Σ_{(i,j) ≠ 0} Σ_c |P[c](i/u, j/u)|² / Σ_{f ≠ 0} Σ_c |P[c](f)|²       i, j = 0 .. u - 1

with h and w cut to multiples of u. A larger stride has more harmonics, and pictures have more power
at low frequencies: so beside G stands how many times stronger the harmonics are than the
frequencies two and three steps around them.

Sources: Zeiler & Fergus 2014, arXiv 1311.2901, section 4.1 (extremely high and low frequencies,
little coverage of the mid ones; aliasing by stride 4); the sampling theorem.
"""

import numpy as np

BANDS = {"low": (0, 1 / 8), "mid": (1 / 8, 1 / 4), "high": (1 / 4, 1)}
LEAST = 64  # points a side of the transform


def band_shares(w):
    """Return {band: float64 (K,)}: each filter's share of power in every band.

    Parameters
    ----------
    w : floating point (K, C, R, S)
        A filter of zeros only has no shares (NaN).
    """
    n = max(LEAST, *w.shape[2:])
    power = (np.abs(np.fft.fft2(w.astype(np.float64), (n, n))) ** 2).sum(axis=1)  # (K, n, n)
    radius = np.hypot(*_frequencies(n, n))
    total = power.sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        return {
            name: power[:, (radius >= low) & (radius < high)].sum(axis=1) / total
            for name, (low, high) in BANDS.items()
        }


def cross_spectrum(x, total=None):
    """Add up E X[c](f) X[d](f)* of pictures, windowed so that their edges make no frequencies.

    Parameters
    ----------
    x : floating point (N, C, H, W)
    total : complex (C, C, H, W), optional
        What other pictures have given.

    Returns
    -------
    complex128 (C, C, H, W)
    """
    H, W = x.shape[2:]
    x = x - x.mean(axis=(2, 3), keepdims=True)
    X = np.fft.fft2(x * np.outer(np.hanning(H + 2)[1:-1], np.hanning(W + 2)[1:-1]))
    found = np.einsum("nchw,ndhw->cdhw", X, X.conj())
    return found if total is None else total + found


def folded_shares(w, spectrum, stride):
    """Return A (K,): the share of each filter's answer that a stride folds to wrong frequencies.

    Parameters
    ----------
    w : floating point (K, C, R, S)
    spectrum : complex (C, C, H, W)
        Of the pictures, see `cross_spectrum`.
    stride : int or (int, int)
    """
    H, W = spectrum.shape[2:]
    w_hat = np.fft.fft2(_wrapped(w.astype(np.float64), H, W))  # (K, C, H, W)
    power = np.einsum("kchw,cdhw,kdhw->khw", w_hat.conj(), spectrum, w_hat, optimize=True).real
    power[:, 0, 0] = 0
    u, v = np.broadcast_to(stride, 2)
    f1, f2 = _frequencies(H, W)
    kept = (np.abs(f1) <= 0.5 / u + 1e-12) & (np.abs(f2) <= 0.5 / v + 1e-12)
    with np.errstate(invalid="ignore"):
        return power[:, ~kept].sum(axis=1) / power.sum(axis=(1, 2))


def harmonics(projection, stride):
    """Return (G, excess) of a projection: see the top of the file.

    Parameters
    ----------
    projection : floating point (h, w, 3)
    stride : int

    Returns
    -------
    share, excess : float
        (0, 1) for stride 1; NaN where there is nothing but a constant.
    """
    if stride == 1:
        return 0.0, 1.0
    h, w = (side // stride * stride for side in projection.shape[:2])
    P = np.fft.fft2(projection[:h, :w].astype(np.float64), axes=(0, 1))
    power = (np.abs(P) ** 2).sum(axis=2)
    power[0, 0] = 0
    at = [(i * h // stride, j * w // stride) for i in range(stride) for j in range(stride)][1:]
    rows, columns = np.array(at).T
    comb = power[rows, columns]
    around = [
        power[(rows + i) % h, (columns + j) % w]
        for i in range(-3, 4)
        for j in range(-3, 4)
        if max(abs(i), abs(j)) >= 2
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(comb.sum() / power.sum()), float(comb.mean() / np.mean(around))


def _frequencies(H, W):
    """Return f1 (H, 1) and f2 (1, W) in cycles per pixel, as a transform has them."""
    return np.fft.fftfreq(H)[:, None], np.fft.fftfreq(W)[None]


def _wrapped(w, H, W):
    """Return filters as (K, C, H, W); what is larger wraps around, as on a torus."""
    K, C, R, S = w.shape
    out = np.zeros((K, C, -(-R // H) * H, -(-S // W) * W))
    out[:, :, :R, :S] = w
    return out.reshape(K, C, -1, H, out.shape[3] // W, W).sum(axis=(2, 4))
