"""What an optimizer costs beside the function that it minimises."""

from time import perf_counter

import numpy as np

from minicnn import optimizers

ITERATIONS = 20


def prepare(case, method="lbfgs", bounds=None):
    """Minimise Σ d x² / 2 with d from 1 to 100, and leave the time of the function out."""
    start = np.random.default_rng(0).standard_normal((1, 3, case.size, case.size), np.float32)
    d = np.linspace(1, 100, start.size, dtype=np.float32).reshape(start.shape)
    spent = {}

    def fun(x):
        began = perf_counter()
        gradient = d * x
        value = 0.5 * float(x.ravel() @ gradient.ravel())
        spent["seconds"] += perf_counter() - began
        spent.setdefault("start", value)
        return value, gradient

    def run():
        spent.clear()
        spent["seconds"], began = 0.0, perf_counter()
        result = optimizers.minimize(method, fun, start, iterations=ITERATIONS, bounds=bounds)
        if result.iterations < ITERATIONS:
            raise RuntimeError(f"{method} ended after {result.iterations} iterations")
        seconds = (perf_counter() - began - spent["seconds"]) / result.iterations
        return {"seconds": seconds, "value": spent["start"]}

    return run
