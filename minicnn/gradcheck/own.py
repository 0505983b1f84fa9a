"""The reader's own functions, called by the names of their parameters.

    forward(x, ...) -> y, or (y, cache)             also conv2d_forward, or conv2d of (value, dx)
    backward(dy, ...) -> dx, or (dx, dw, db)        also backward_data and backward_params

A parameter gets what its name says: an input (x, w, b), an option (stride, padding), x_shape, the
cache. What a function does not take is not used: its point is left out if it matters there.
"""

import itertools
from inspect import Parameter, signature

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.gradcheck.exercise import Point

ALIASES = {
    "X": "x", "inputs": "x", "input": "x", "logits": "x", "scores": "x", "W": "w", "weight": "w",
    "weights": "w", "kernel_size": "kernel", "bias": "b", "pad": "padding", "strides": "stride",
    "F": "f", "features": "f", "picture": "x", "labels_": "labels", "t": "target", "slope": "a",
}  # fmt: skip
CACHE = "cache"


class Own:
    """Functions of the reader's, called alike whatever their parameters.

    Parameters
    ----------
    forward : callable
    backwards : list of callable
        Whose gradients are taken together: `backward` alone, or one for the data and one for the
        parameters.
    inputs : list of str
        The names of what is differentiated by, in the order in which gradients are returned.
    """

    def __init__(self, forward, backwards, inputs):
        self.forward_, self.backwards, self.inputs = forward, backwards, list(inputs)

    def takes(self, options):
        """Return the names of the inputs and options that forward takes."""
        known = [*self.inputs, *options]
        names = [_known(name, [*known, "xs"]) for name in _parameters(self.forward_)]
        unknown = {_known(name, known) for name in required(self.forward_)} - {*known, "xs"}
        if unknown:
            raise MinicnnError(
                f"{self.forward_.__name__} asks for {', '.join(sorted(unknown))}; what it can have "
                f"is {', '.join(known)}"
            )
        return known if "xs" in names else names

    def placed(self, verdict):
        """Return a verdict in which every diagnosis says which function to look at."""
        placed = []
        for one in verdict.diagnoses:
            function = self.forward_
            if one.of not in ("y", "forward") and self.backwards:
                function = self.backwards[0 if one.of == self.inputs[0] else -1]
            where = f"Yours: {function.__name__}, from line {function.__code__.co_firstlineno}."
            placed.append(one._replace(says=f"{one.says} {where}"))
        return verdict._replace(diagnoses=placed)

    def forward(self, point):
        """Return (y, cache)."""
        out = self.forward_(**_bound(self.forward_, _values(point, None)))
        several = isinstance(out, (tuple, list)) and len(out) > 1
        y, cache = (out[0], out[1]) if several else (out, None)
        if not isinstance(y, (int, float, np.ndarray, np.number)):
            raise MinicnnError(
                f"{self.forward_.__name__} returns {type(y).__name__}; it should return an array "
                "or a number, or that and a cache"
            )
        return y, cache

    def backward(self, dy, point, cache):
        """Return {name: gradient}."""
        found, names = {}, [name for name in self.inputs if name in point.inputs]
        for function in self.backwards:
            part = function.__name__.rpartition("_")[2]
            wanted = {"data": names[:1], "params": names[1:]}.get(part, names)
            found |= gradients(function, dy, point, cache, wanted)
        return found


class OfLoss(Own):
    """One function that returns a value and its gradient, as objectives do."""

    def backward(self, dy, point, cache):
        """Return the gradient times dy."""
        if cache is None:
            raise MinicnnError(f"{self.forward_.__name__} returns no gradient beside its value")
        return {name: dy * g for name, g in _named(cache, self.inputs, "it").items()}


def gradients(function, dy, point, cache, names):
    """Return {name: gradient} of what function(dy, ...) returns, in the order of `names`."""
    rest = list(_parameters(function))[1:]
    out = function(dy, **_bound(function, _values(point, cache), rest))
    return _named(out, names, function.__name__)


def required(function):
    """Return the names of the parameters that a function cannot do without."""
    return [n for n, one in _parameters(function).items() if one.default is Parameter.empty]


def _parameters(function):
    try:
        return dict(signature(function).parameters)
    except (TypeError, ValueError):
        raise MinicnnError(f"{function!r} is no function that can be called") from None


def _known(name, known):
    return name if name in known else ALIASES.get(name, name)


def _values(point, cache):
    """Return all that a parameter may be called."""
    values = {**point.options, **point.inputs, "xs": list(point.inputs.values())}
    values |= {f"{name}_shape": value.shape for name, value in point.inputs.items()}
    if "rng" in values:
        values["rng"] = np.random.default_rng(values["rng"])
    return {**values, CACHE: cache}


def _bound(function, values, names=None):
    """Return {parameter: value}; of a backward function, one name that says nothing is the cache.

    `names` are the parameters of a backward function behind dy.
    """
    parameters, cache = _parameters(function), values[CACHE]
    wanted = parameters if names is None else names
    bound = {name: values[name] for name in wanted if name in values}
    unknown = [n for n in wanted if n not in bound and parameters[n].default is Parameter.empty]
    if len(unknown) == 1 and cache is not None and CACHE not in bound:
        return {**bound, unknown[0]: cache}
    bound |= {
        name: values[_known(name, values)] for name in wanted if _known(name, values) in values
    }
    unknown = [name for name in unknown if name not in bound]
    if not unknown:
        return bound
    told = ", ".join(name for name in values if name not in ("xs", CACHE))
    more = (
        ""
        if names is None or cache is not None
        else "; forward returns y alone, so there is no cache"
    )
    raise MinicnnError(
        f"{function.__name__} asks for {', '.join(unknown)}; what it can have is {told}{more}"
    )


def _named(out, names, function):
    """Return {name: array} of what a backward function returns."""
    if isinstance(out, dict):
        found = {
            str(key).removeprefix("d") if key not in names else key: g for key, g in out.items()
        }
        out = [found.get(name) for name in names]
    parts = list(out) if isinstance(out, (tuple, list)) else [out]
    found = {n: np.asarray(g) for n, g in zip(names, parts, strict=False) if g is not None}
    bad = [name for name, g in found.items() if g.dtype.kind not in "fiu"]
    if bad or not found:
        raise MinicnnError(
            f"{function} returns no gradient; it should return that of {', '.join(names)}, arrays "
            "of numbers in this order"
        )
    return found


# points that suit


def usable(own, exercise):
    """Return (points, names of options): where a function can be tried, and what had no pairs.

    A point is without what the function does not take. Where forward takes no pair (rows, columns)
    for an option, the point has its first number alone.
    """
    every = list(exercise.points(np.random.default_rng(1)))
    takes = own.takes(every[0].options)
    points, numbers = [], []
    for point in every:
        left_out = [name for name in point.options if name not in takes]
        if any(
            name not in exercise.defaults or point.options[name] != exercise.defaults[name]
            for name in left_out
        ):
            continue
        inputs = {name: value for name, value in point.inputs.items() if name in takes}
        point, names = _without_pairs(own, point._replace(inputs=inputs))
        points.append(point)
        numbers += names
    if not points or not points[0].inputs:
        raise MinicnnError(
            f"forward takes {', '.join(takes) or 'nothing'}; it needs at least "
            f"{', '.join(n for n in every[0].inputs)} of {', '.join(every[0].options) or 'x'}"
        )
    return points, list(dict.fromkeys(numbers))


def _without_pairs(own, point):
    """Return the point, with a number for as few pairs as forward runs with, and their names."""
    pairs = [name for name, value in point.options.items() if isinstance(value, tuple)]
    for count in range(len(pairs) + 1):
        for names in itertools.combinations(pairs, count):
            firsts = {name: point.options[name][0] for name in names}
            tried = point._replace(options={**point.options, **firsts})
            if pairs and _runs(own, tried):
                told = ", ".join(f"{name} {value}" for name, value in firsts.items())
                return tried._replace(name=told or point.name), names
    return point, ()


def _runs(own, point):
    try:
        own.forward(point)
    except (TypeError, ValueError):
        return False
    return True


def points_of(own, shapes):
    """Return two points of inputs that have such shapes."""
    if len(shapes) != len(own.inputs):
        raise MinicnnError(
            f"forward takes {', '.join(own.inputs)}: give {len(own.inputs)} shapes, not "
            f"{len(shapes)}"
        )
    rng = np.random.default_rng(1)
    return [
        Point(
            f"drawn {n}",
            {k: rng.standard_normal(s) for k, s in zip(own.inputs, shapes, strict=True)},
            {},
        )
        for n in (1, 2)
    ]
