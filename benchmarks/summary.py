"""What the rounds of a case say: medians of times, and of the ratios of the same round."""

import statistics

DISTURBED = 0.25  # processors that others may use during a turn


def summarize(outcome, limit=DISTURBED):
    """Return the figures of an `Outcome.as_dict()`.

    Returns
    -------
    dict
        "kept", "dropped": rounds; "disturbed": True if every round was, so that the figures are of
        disturbed ones; "peers": {name: {"ms", "ratio", "low", "high"}} with medians, `ratio` being
        the first peer's time by this one's, and its quartiles; "best": {group: name} of the
        fastest of each group. Peers without times are left out.
    """
    quiet = [i for i, others in enumerate(outcome["others"]) if others <= limit]
    chosen = quiet or list(range(len(outcome["others"])))
    timed = {n: p for n, p in outcome["peers"].items() if p["seconds"] and not p["failed"]}
    figures = {}
    first = next(iter(timed.values()), None)
    for name, peer in timed.items():
        ratios = [first["seconds"][i] / peer["seconds"][i] for i in chosen]
        low, middle, high = quartiles(ratios)
        ms = 1e3 * statistics.median(peer["seconds"][i] for i in chosen)
        figures[name] = {"ms": ms, "ratio": middle, "low": low, "high": high}
    best = {}
    for name in sorted(figures, key=lambda name: -figures[name]["ms"]):
        best[timed[name]["group"]] = name
    return {
        "kept": len(quiet),
        "dropped": len(outcome["others"]) - len(quiet),
        "disturbed": bool(outcome["others"]) and not quiet,
        "peers": figures,
        "best": best,
    }


def quartiles(values):
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return (*values, *values, *values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
