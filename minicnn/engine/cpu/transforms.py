"""Winograd's minimal filtering F(m, 3): m outputs of a 3-tap filter by m + 2 products.

    y = Aᵀ [ (G g) ∘ (Bᵀ d) ]         d: m + 2 inputs, g: 3 taps, y: m outputs

A product of polynomials of degree m - 1 and 2 is found from its values at m + 1 points a and
from its leading coefficient ("the point at infinity"), by Lagrange's interpolation; correlation
is the transpose of that product. With f(a) = Π_{b≠a} (a - b):

    Aᵀ[k, a] = a^k,    G[a] = (1, a, a²) / f(a),    Bᵀ[a] = coefficients of Π_{b≠a} (t - b)

Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2015, arXiv
1509.09308.
"""

from fractions import Fraction
from functools import cache

import numpy as np

POINTS = {
    2: (0, 1, -1),
    4: (0, 1, -1, 2, Fraction(1, 2)),
    6: (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
}


@cache
def matrices(m):
    """Return (Aᵀ (m, m+2), G (m+2, 3), Bᵀ (m+2, m+2)) of F(m, 3), exact, as float64.

    The rows of G and Bᵀ are scaled against each other by powers of two so that their entries are
    of like size, which keeps float32 rounding small.
    """
    points = [Fraction(p) for p in POINTS[m]]
    AT = [[a**k for a in points] + [Fraction(k == m - 1)] for k in range(m)]
    G, BT = [], []
    for i, a in enumerate(points):
        others = points[:i] + points[i + 1 :]
        f = np.prod([a - b for b in others])
        G.append([1 / f, a / f, a * a / f])
        BT.append([*_coefficients(others), Fraction(0)])
    G.append([Fraction(0), Fraction(0), Fraction(1)])
    BT.append(_coefficients(points))
    AT, G, BT = (np.array(M, dtype=float) for M in (AT, G, BT))
    scale = np.sqrt(abs(BT).max(axis=1) / abs(G).max(axis=1))
    scale = 2.0 ** np.round(np.log2(scale))
    return AT, G * scale[:, None], BT / scale[:, None]


@cache
def data_matrices(m, flipped):
    """Return (Aᵀ, Bᵀ) of F(m, 3) as float64, for filters that are `flipped` in r and s if so.

    The points are closed under a -> 1/a, 0 and infinity included, so the transform of the flipped
    filters is that of the filters in another order, up to factors: G[i, ::-1] = f[i] G[order[i]].
    One bank of filters serves both directions when Aᵀ and Bᵀ take that order and those factors.
    """
    AT, G, BT = matrices(m)
    if flipped:
        order = [_multiple_of(row, G) for row in G[:, ::-1]]
        factors = abs(G[:, ::-1]).sum(axis=1) / abs(G[order]).sum(axis=1)
        signs = np.sign((G[:, ::-1] * G[order]).sum(axis=1))
        back = np.argsort(order)
        AT, BT = AT[:, back], (BT * (factors * signs)[:, None])[back]
    return np.ascontiguousarray(AT), np.ascontiguousarray(BT)


def _multiple_of(row, G):
    """Return the index of the row of G that `row` is a multiple of."""
    cosines = abs(G @ row) / np.linalg.norm(G, axis=1)
    return int(cosines.argmax())


def _coefficients(roots):
    """Coefficients of Π (t - root), the constant first."""
    c = [Fraction(1)]
    for a in roots:
        shifted = [Fraction(0), *c]
        c = [s - a * (c[i] if i < len(c) else 0) for i, s in enumerate(shifted)]
    return c
