"""Gradients of Gram matrices that are not multiplied out: for an engine that does so part by part.

`gram.style` returns dF = S F, an array as large as the activation. The matrix S is small; whoever
passes the gradient down may multiply S with a part of F while the part is in the processor's cache.
"""

from typing import NamedTuple

from minicnn.objectives.gram import compare, times
from minicnn.objectives.weighted_sum import WeightedSum


class ChannelProduct(NamedTuple):
    """The gradient S F + rest: matrix S (N, C, C), f (N, C, H, W), rest an array like f or None.

    It can be added to arrays and to others of its kind, from both sides.
    """

    matrix: object
    f: object
    rest: object = None

    __array_ufunc__ = None  # NumPy leaves the sum of an array and this to __radd__

    @property
    def shape(self):
        """That of the gradient."""
        return self.f.shape

    def dense(self):
        """Return the gradient, an array like f."""
        df = times(self.matrix, self.f)
        return df if self.rest is None else df + self.rest

    def __add__(self, other):
        """Return the sum of this and another gradient of f."""
        if isinstance(other, ChannelProduct):
            one = self._replace(matrix=self.matrix + other.matrix)
            return one if other.rest is None else one + other.rest
        return self._replace(rest=other if self.rest is None else self.rest + other)

    __radd__ = __add__


class DeferredSum(WeightedSum):
    """A `WeightedSum` that hands out the gradients of Gram matrices as `ChannelProduct`.

    `total` is not changed; mean_gram(f) stands for `gram.mean_gram`. It is for an evaluator whose
    `backward` takes `ChannelProduct`.
    """

    def __init__(self, total, mean_gram):
        self.objectives, self.priors, self.layers = total.objectives, total.priors, total.layers
        self.mean_gram = mean_gram

    def evaluate(self, objective, acts, weight, report):
        """Return (value, {layer: gradient}) of one objective."""
        if not reads_only_grams(objective):
            return objective(acts, weight, report)

        def term(name, f, factor):
            grams = self.mean_gram(f)
            value, matrix = compare(grams, objective.targets[name], factor, f.shape)
            return value, ChannelProduct(matrix, f)

        return objective(acts, weight, report, term)


def gram_layers(objectives):
    """Return the layers of which {name: (weight, objective)} read Gram matrices alone."""
    grams, others = set(), set()
    for _, objective in objectives.values():
        (grams if reads_only_grams(objective) else others).update(objective.layers)
    return frozenset(grams - others)


def reads_only_grams(objective):
    """Return whether an objective reads Gram matrices alone, see `GramStyleLoss`."""
    return getattr(objective, "only_grams", False)
