"""Traces: the results of several runs as one, and what is told of their iterations.

A trace is a list with an entry for each iteration, see `optimizers.Result`.
"""

from dataclasses import replace


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
        run += runs_of(result.trace)
        iterations, evaluations = iterations + result.iterations, evaluations + result.evaluations
    return trace


def runs_of(trace):
    """Return how many runs a trace is of."""
    return trace[-1].get("run", 0) + 1 if trace else 0


def columns(trace):
    """Return a trace (see `optimizers.Result`) as {name: list}, as long as it has entries.

    "run" tells apart runs one after another, "iteration" and "evaluations" count through, then
    come "total" and every term of the loss.
    """
    terms = list(dict.fromkeys(name for entry in trace for name in entry["terms"]))
    table = {
        "run": [entry.get("run", 0) for entry in trace],
        "iteration": [entry["iteration"] for entry in trace],
        "evaluations": [entry["evaluations"] for entry in trace],
        "total": [entry["value"] for entry in trace],
    }
    return table | {name: [entry["terms"].get(name) for entry in trace] for name in terms}


def course(trace):
    """Return what a picture keeps of a trace: of each run its iterations, first and last total.

    Returns
    -------
    dict of lists, one entry for each run
    """
    runs = {}
    for entry in trace:
        runs.setdefault(entry.get("run", 0), []).append(entry)
    return course_of(
        (run[-1]["iteration"] - run[0]["iteration"], run[0]["value"], run[-1]["value"])
        for run in runs.values()
    )


def course_of(runs):
    """Return the same of (iterations, first, last total) of each run."""
    columns = list(zip(*runs, strict=True)) or [()] * 3
    return dict(zip(("iterations", "first", "last"), map(list, columns), strict=True))
