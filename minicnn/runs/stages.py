"""Several runs of an optimizer as one: their iterations are counted through."""

from dataclasses import replace

GOES_ON = ("budget", "converged", "stalled", "stopped")  # ends after which the next run may start


def run_all(runs, callback=None):
    """Do runs one after another, up to the first that was interrupted or broke.

    Parameters
    ----------
    runs : list of (iterations, callable)
        callable(callback) -> outcome, with a `result` of `optimizers`.
    callback : callable, callback(iteration, x, value, info), optional
        Sees the iterations and evaluations of all runs counted through, and in the info "run",
        which of them it is, from 0.

    Returns
    -------
    list of outcomes
    """
    outcomes, done, evaluated, number = [], 0, 0, 0
    for iterations, run in runs:
        outcomes.append(run(callback and _later(callback, done, evaluated, number)))
        done, evaluated = done + iterations, evaluated + outcomes[-1].result.evaluations
        number += _runs(outcomes[-1].result.trace)
        if outcomes[-1].result.status not in GOES_ON:
            break
    return outcomes


def summary(results):
    """Return the last of several results, with the iterations, evaluations and trace of them all.

    Entries of the trace have a further key "run", counted from 0.
    """
    iterations, last = sum(result.iterations for result in results), results[-1]
    return replace(
        last,
        iterations=iterations,
        evaluations=sum(result.evaluations for result in results),
        trace=_joined(results),
        reason=last.reason.replace(f"all {last.iterations} iter", f"all {iterations} iter"),
    )


def _joined(results):
    trace, run, iterations, evaluations = [], 0, 0, 0
    for result in results:
        for entry in result.trace:
            shifted = {
                "run": run + entry.get("run", 0),
                "iteration": iterations + entry["iteration"],
                "evaluations": evaluations + entry["evaluations"],
            }
            trace.append({**entry, **shifted})
        run += _runs(result.trace)
        iterations, evaluations = iterations + result.iterations, evaluations + result.evaluations
    return trace


def _runs(trace):
    """Return how many runs a trace is of."""
    return trace[-1].get("run", 0) + 1 if trace else 0


def _later(callback, done, evaluated, before):
    def shifted(iteration, x, value, info):
        run, evaluations = info.get("run", 0) + before, info["evaluations"] + evaluated
        info = {**info, "run": run, "evaluations": evaluations}
        return callback(done + iteration, x, value, info)

    return shifted
