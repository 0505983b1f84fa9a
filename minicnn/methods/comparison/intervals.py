"""Intervals for shares that were counted: k of n.

    Wilson       (k + z²/2 ± z sqrt(k (n - k) / n + z²/4)) / (n + z²)
    difference   d = p - q, from the Wilson limits (l, u) of each:
                 d - sqrt((p - l_p)² + (u_q - q)²)  to  d + sqrt((u_p - p)² + (q - l_q)²)

z = 1.96 for 95 %. Unlike p ± z sqrt(p (1 - p) / n) they are right for shares near 0, where dead
units are, and never of width 0.

Sources: Wilson 1927, J. Am. Stat. Assoc. 22, 209; Newcombe 1998, Stat. Med. 17, 873, method 10.
"""

from typing import NamedTuple

Z95 = 1.959963984540054


class Share(NamedTuple):
    """A share `count` / `of`, with its interval."""

    count: int
    of: int
    share: float
    low: float
    high: float


def wilson(count, of, z=Z95):
    """Return the `Share` of `count` among `of`, at least 1.

    >>> share = wilson(0, 48)
    >>> share.low, round(share.high, 4)
    (0.0, 0.0741)
    """
    middle = count + z * z / 2
    spread = z * (count * (of - count) / of + z * z / 4) ** 0.5
    low, high = ((middle + sign * spread) / (of + z * z) for sign in (-1, 1))
    # at the ends of the range the formula is exact, floating point is not
    low, high = (0.0 if count == 0 else max(0.0, low)), (1.0 if count == of else min(1.0, high))
    return Share(int(count), int(of), count / of, low, high)


def difference(one, other):
    """Return (low, high) of one.share - other.share of two independent `Share`s.

    >>> low, high = difference(wilson(56, 70), wilson(48, 80))
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    d = one.share - other.share
    low = ((one.share - one.low) ** 2 + (other.high - other.share) ** 2) ** 0.5
    high = ((one.high - one.share) ** 2 + (other.share - other.low) ** 2) ** 0.5
    return d - low, d + high
