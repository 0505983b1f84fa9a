"""How much memory of a CUDA device a process has had, and how much of it there is."""

import sys

from minicnn.backend import devices


def taken():
    """Return how many bytes CuPy's pool has taken of the current device, None without CuPy.

    The pool keeps what was given back to it, so this is the most that was in use at a time. The
    driver's own share, some hundred megabytes for a process, comes on top.
    """
    cupy = sys.modules.get("cupy")
    return None if cupy is None else cupy.get_default_memory_pool().total_bytes()


def room(device):
    """Return how many bytes of `device` a process can have: what is free, within the pool's limit.

    Parameters
    ----------
    device : {"cuda", "cuda:1"}
    """
    import cupy

    _, _, index = device.partition(":")
    free = devices()[int(index or 0)]["free"]
    limit = cupy.get_default_memory_pool().get_limit()  # 0 where there is none
    return min(free, limit) if limit else free
