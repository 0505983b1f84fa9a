"""Time per iteration of L-BFGS on a GPU: on the device, through SciPy, and torch.optim.LBFGS.

Called by gpu.py. Each minimises the objective of gpu.py from the same picture for a number of
iterations that the clock allows; the evaluations that it needed are told, since one of several
evaluations costs that much more.
"""

import time

PAIRS = 10  # that each remembers
MOST = 40  # iterations


def minicnn(optimizer, fun, x, iterations):
    """Return (seconds, iterations, evaluations, value) of ours."""
    from minicnn.optimizers import minimize

    started = time.perf_counter()
    result = minimize(optimizer, fun, x, iterations=iterations, maxcor=PAIRS)
    return time.perf_counter() - started, result.iterations, result.evaluations, result.value


def torch_lbfgs(value_of, x, iterations):
    """Return (seconds, iterations, evaluations, value) of torch.optim.LBFGS, as neural-style-pt."""
    import torch

    x = x.detach().clone().requires_grad_(True)
    method = torch.optim.LBFGS(
        [x], max_iter=iterations, history_size=PAIRS, tolerance_grad=-1, tolerance_change=-1
    )
    values = []

    def closure():
        method.zero_grad()
        value = value_of(x)
        value.backward()
        values.append(value.detach())
        return value

    started = time.perf_counter()
    method.step(closure)
    value = values[-1].item()
    seconds = time.perf_counter() - started
    return seconds, method.state[x]["n_iter"], len(values), value


def measure(clock, runs):
    """Return {name: {"ms", "evaluations", "iterations", "value"} or {"failed"}}.

    Parameters
    ----------
    clock : gpu.Clock
    runs : dict, name -> run(iterations), one of the functions above
    """
    found = {}
    for name, run in runs.items():
        if clock.left < 10:
            found[name] = {"failed": "no time left"}
            continue
        try:
            run(2)  # compiles, captures, fills pools
            seconds = run(4)[0] / 4
            iterations = max(4, min(MOST, int(3 * clock.seconds / seconds)))
            seconds, done, evaluations, value = run(iterations)
        except Exception as error:  # one that fails must not take the others along
            found[name] = {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
            continue
        found[name] = {"ms": 1e3 * seconds / done, "iterations": done, "value": value}
        found[name]["evaluations"] = evaluations
    return found
