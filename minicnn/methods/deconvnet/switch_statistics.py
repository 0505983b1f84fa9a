"""What the choices of a projection decide about in the max poolings on its way."""

from minicnn.ops import unpool


def pool_shares(acts, switches):
    """Count what a policy decides about, in every max pooling.

    Parameters
    ----------
    acts : dict, layer -> activation of the poolings, at least
    switches : dict, layer -> `maxpool2d.Cache`, as `Network.switches` returns

    Returns
    -------
    dict
        layer -> {"zero_windows": share of the windows whose maximum is 0, "shared_winners": share
        of those whose winner another window has too}
    """
    found = {}
    for name, cache in switches.items():
        y = acts[name]
        hits = unpool.unpool(y * 0 + 1, cache)
        found[name] = {
            "zero_windows": round(unpool.zero_windows(y) / y.size, 4),
            "shared_winners": round(float(hits[hits > 1].sum()) / y.size, 4),
        }
    return found


def shares_line(pools):
    """Return a line on what the policies had to decide, if there is any pooling on the way."""
    shares = [
        f"{name} {share['zero_windows']:.0%}, {share['shared_winners']:.0%}"
        for name, share in pools.items()
    ]
    return [f"windows of zeros, windows that share a winner: {'; '.join(shares)}"] if shares else []
