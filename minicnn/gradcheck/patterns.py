"""Wrong gradients of any operation: what an array looks like beside the one it should be.

`recognised` takes the pairs (found, right) of all points and returns (name, what to say), or None.
`where_it_differs` says where to look if nothing is recognised.
"""

import itertools

import numpy as np

from minicnn.gradcheck.exercise import same

OF_PICTURES = ("pictures", "channels", "rows", "columns")
OF_WEIGHTS = ("axis 0", "axis 1", "rows", "columns")


def recognised(pairs, shapes, axes=OF_PICTURES):
    """Return (name, what to say) of the first pattern that holds at all points, or None.

    Parameters
    ----------
    pairs : list of (found, right), arrays
    shapes : list of {letter: number}
        What sizes mean at each point, for factors: {"N, the pictures": 2, ...}.
    axes : tuple of str
        What the axes are called if there are four.
    """
    for pattern in (_not_finite, _shape, _zero, _precision):
        said = pattern(pairs)
        if said:
            return said
    return _factor(pairs, shapes) or _flipped(pairs, axes) or _moved(pairs) or _permuted(pairs)


def _not_finite(pairs):
    for found, _right in pairs:
        bad = np.argwhere(~np.isfinite(found))
        if len(bad):
            return (
                "not finite",
                f"{len(bad)} of {found.size} values are NaN or infinite, the first at "
                f"{_index(bad[0])}: look for a division by 0, or a power or logarithm of 0.",
            )
    return None


def _shape(pairs):
    found, right = next(
        ((f, r) for f, r in pairs if f.shape != r.shape), (np.empty(0), np.empty(0))
    )
    if found.shape == right.shape:
        return None
    said = f"Its shape is {found.shape}, that of its input {right.shape}."
    if found.ndim == right.ndim and found.ndim > 1:
        for axes in itertools.permutations(range(found.ndim)):
            if same(found.transpose(axes), right):
                return "transposed", f"{said} It is right but for the order of its axes: {axes}."
    if found.ndim > right.ndim and same(found.sum(axis=0), right):
        return "not summed over the pictures", f"{said} Sum over the first axis."
    return "wrong shape", f"{said} Write the shapes beside each line of the backward pass."


def _zero(pairs):
    if any(found.any() for found, _ in pairs):
        return None
    return "zero", "It is 0 everywhere: is the array that you return the one that you fill?"


def _precision(pairs):
    if not all(same(found, right, 1e-4) for found, right in pairs):
        return None
    kinds = {str(found.dtype) for found, _ in pairs} - {"float64"}
    said = f"what comes back is {', '.join(sorted(kinds))}" if kinds else "it is rounded somewhere"
    return (
        "float precision",
        f"It is right to about {_digits(pairs)} digits, but not to rounding: the inputs are "
        f"float64, and {said}. Make new arrays in the dtype of x: np.zeros_like, dtype=x.dtype.",
    )


def _digits(pairs):
    errors = [np.abs(f - r).max() / np.abs(r).max() for f, r in pairs if r.any()]
    return int(-np.log10(max(errors, default=1e-4)))


def _factor(pairs, shapes):
    factors = []
    for found, right in pairs:
        factor = float((found * right).sum() / (right * right).sum()) if right.any() else 1.0
        if not same(found, factor * right):
            return None
        factors.append(factor)
    if np.allclose(factors, -1):
        return "wrong sign", "It is right but for its sign: minus where plus should be."
    meant = sorted(
        name
        for name in set.intersection(*map(set, shapes))
        for sizes in [np.array([sizes[name] for sizes in shapes], float)]
        if sizes[0] != 1 and (np.allclose(factors, sizes) or np.allclose(factors, 1 / sizes))
    )
    if np.allclose(factors, factors[0]):
        over = "" if factors[0] > 1 else "1 over "
        size = f", {over}{' or '.join(meant)}" if meant else ""
        said = f"It is {factors[0]:.4g} times what it should be{size}"
        return "a constant factor", f"{said}: a factor of the formula, or a mean for a sum?"
    if not meant:
        return None
    how, why = ("large", "is a mean not divided") if factors[0] > 1 else ("small", "divided twice")
    return f"a factor too {how}", f"It is too {how} by the factor {' and '.join(meant)}: {why}?"


def _flipped(pairs, axes):
    ndim = pairs[0][1].ndim
    names = _names(ndim, axes)
    for count in range(1, ndim + 1):
        for turned_axes in itertools.combinations(range(ndim), count):
            if all(same(found, np.flip(right, turned_axes)) for found, right in pairs):
                turned = " and ".join(names[axis] for axis in turned_axes)
                return "reversed", f"It is right but for the order of its {turned}, reversed."
    if ndim > 1 and all(r.shape[-1] == r.shape[-2] for _, r in pairs):
        if all(same(found, right.swapaxes(-1, -2)) for found, right in pairs):
            return "rows and columns exchanged", "It is right, but transposed in its last two axes."
    return None


def _names(ndim, axes):
    names = {2: ("rows", "columns"), 4: axes}
    return names.get(ndim, tuple(f"axis {i}" for i in range(ndim)))


def _moved(pairs):
    """By one pixel."""
    if any(right.ndim != 4 or min(right.shape[2:]) < 3 for _, right in pairs):
        return None
    for down, across in itertools.product((-1, 0, 1), repeat=2):
        if (down or across) and all(
            same(_inner(found), _inner(np.roll(right, (down, across), (2, 3))))
            for found, right in pairs
        ):
            return (
                "moved by a pixel",
                f"It is right but {abs(down)} rows and {abs(across)} columns off: an index that "
                "begins one too late or too early.",
            )
    return None


def _inner(a):
    return a[:, :, 1:-1, 1:-1]


def _permuted(pairs):
    if all(same(np.sort(found, axis=None), np.sort(right, axis=None)) for found, right in pairs):
        return (
            "the right numbers in wrong places",
            "All its values are right, but not where they are: a reshape where a transpose is "
            "needed, or two axes or channels exchanged.",
        )
    return None


def where_it_differs(found, right, axes=OF_PICTURES):
    """Return in words where two arrays of one shape differ most, and whether only in a part."""
    wrong = np.abs(found - right)
    place = np.unravel_index(wrong.argmax(), wrong.shape)
    said = (
        f"It differs most at {_index(place)}: {float(found[place]):.6g}, "
        f"where {float(right[place]):.6g} is right."
    )
    bad = wrong > 1e-5 * max(np.abs(right).max(initial=0), 1e-12)
    said += f" {bad.sum()} of {bad.size} values are wrong"
    return f"{said}{_part(bad, axes)}."


def _part(bad, axes):
    """Return in words in which part of an array (N, C, H, W) something is wrong."""
    if bad.ndim != 4 or bad.all():
        return ""
    if min(bad.shape[2:]) > 2:
        border = bad.copy()
        border[:, :, 1:-1, 1:-1] = False
        if (bad == border).all():
            return ", all of them at the border"
        if not border.any():
            return ", all of them inside, none at the border"
    for axis, name in enumerate(axes):
        lines = bad.any(axis=tuple(i for i in range(4) if i != axis))
        if not lines.all():
            return f", all of them in {name} {', '.join(map(str, np.flatnonzero(lines)))}"
    return ""


def _index(place):
    return f"[{', '.join(str(int(i)) for i in place)}]"
