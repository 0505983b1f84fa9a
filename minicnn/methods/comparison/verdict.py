"""Whether the paper's findings hold between two networks.

Zeiler & Fergus 2014, section 4.1 and figure 6: with 7x7 filters of stride 2 for 11x11 ones of
stride 4 there are fewer dead features, and less aliasing. Each is a difference coarse - fine of
something measured, and holds if the 95 % interval of the difference lies above 0:

    dead         shares of dead units in the compared layers together (`intervals.difference`)
    folded       mean over the first filters of what the stride folds (`filter_spectrum`)
    harmonics    mean over the second layer's projections of the power at the stride's harmonics

The intervals of the means are d ± 1.96 sqrt(e² + e'²) with the standard errors of the two means.
Units are taken as independent samples; it is two networks that are compared, not two kinds of
network: another seed may say otherwise.
"""

from minicnn.methods.comparison.intervals import Z95, difference, wilson

HOLDS, REVERSED, OPEN = "holds", "is reversed", "is not decided"


def finer(one, other):
    """Return 0 or 1, which of two `findings` has the smaller first filters and stride, or None.

    Smaller means neither filter nor stride larger, and not both the same.
    """
    sizes = [(max(f["first"]["kernel"]), f["first"]["stride"]) for f in (one, other)]
    for i, (a, b) in enumerate((sizes, sizes[::-1])):
        if a[0] <= b[0] and a[1] <= b[1] and a != b:
            return i
    return None


def verdict(interval):
    """Return what an interval (low, high) of coarse - fine says."""
    low, high = interval
    return HOLDS if low > 0 else REVERSED if high < 0 else OPEN


def verdicts(one, other):
    """Return what holds of the two findings, from `comparison.Network.findings` of each.

    Returns
    -------
    dict
        "applies", and either "why" or "finer" (0 or 1), "tests" {name: {"coarse", "fine",
        "interval", "verdict"}}, "fewer_dead" and "less_aliasing" (verdicts in a word).
    """
    i = finer(one, other)
    if i is None:
        return {
            "applies": False,
            "why": "neither network has the smaller filters and stride in its first layer",
        }
    fine, coarse = (one, other) if i == 0 else (other, one)
    tests = {"dead": _dead_test(coarse, fine)}
    means = {
        "folded": [found["first"]["folded"] for found in (coarse, fine)],
        "harmonics": [found["second"]["harmonics"] for found in (coarse, fine)],
    }
    for name, pair in means.items():
        if all(mean["error"] is not None for mean in pair):
            tests[name] = _mean_test(*pair)
    aliasing = {tests[name]["verdict"] for name in means if name in tests}
    return {
        "applies": True,
        "finer": i,
        "tests": tests,
        "fewer_dead": tests["dead"]["verdict"],
        "less_aliasing": aliasing.pop() if len(aliasing) == 1 else OPEN,
    }


def _dead_test(coarse, fine):
    shares = [
        wilson(*(sum(d[key] for d in found["dead"]) for key in ("count", "of")))
        for found in (coarse, fine)
    ]
    return _test(*(share.share for share in shares), difference(*shares))


def _mean_test(coarse, fine):
    d = coarse["mean"] - fine["mean"]
    error = Z95 * (coarse["error"] ** 2 + fine["error"] ** 2) ** 0.5
    return _test(coarse["mean"], fine["mean"], (d - error, d + error))


def _test(coarse, fine, interval):
    found = {"coarse": coarse, "fine": fine, "interval": list(interval)}
    return {**found, "verdict": verdict(interval)}
