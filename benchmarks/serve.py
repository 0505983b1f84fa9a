"""Be the process of a peer: `serve.py PEER CASE FILE`, a case as JSON, or `serve.py PEER --about`.

Talks in lines of JSON: {"imports_mb"} after the imports; {"seconds", "wall"} of one unit of work,
once prepared, and the samples of its result in FILE; then for every number of units asked for
{"seconds", "wall", "peak_mb"}, seconds for one. {"failed": why} ends it.
"""

import json
import os
import resource
import sys
import time
import traceback
from importlib import import_module, metadata

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def main(name, case, file=None):
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is not meant for the one who asks us

    def say(**facts):
        print(json.dumps(facts), file=channel, flush=True)

    try:
        if case == "--about":
            return say(**about(name))
        work(name, json.loads(case), file, say)
    except Exception as error:
        traceback.print_exc()
        say(failed=f"{type(error).__name__}: {' '.join(str(error).split())}")


def about(name):
    """Return what the coordinator needs to know of a peer before any case is run."""
    try:
        peer = import_module(f"peers.{name}")
    except ImportError as error:
        return {"why_not": str(error)}
    return {
        "title": peer.__doc__.strip().split("\n")[0].rstrip("."),
        "kinds": peer.KINDS,
        "group": getattr(peer, "GROUP", name),
        "when": getattr(peer, "WHEN", "always"),
        "versions": {package: metadata.version(package) for package in peer.PACKAGES},
        "why_not": getattr(peer, "why_not", lambda: None)(),
    }


def work(name, fields, file, say):
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(fields["threads"])))
    os.environ.pop("MINICNN_THREADS", None)
    peer = import_module(f"peers.{name}")
    say(imports_mb=peak_mb())

    from cases import Case
    from checks import write_samples

    from minicnn.engine.memory import watched

    run = peer.prepare(Case(**fields))
    write_samples(file, getattr(run, "check", run)())
    with watched() as most:  # not while it is timed: worker processes are looked at by a thread
        timed(run, 1)
        together_mb = most() / 2**20
    say(**timed(run, 1))
    for line in sys.stdin:
        say(**timed(run, int(line)), peak_mb=max(peak_mb(), together_mb))


def timed(run, units):
    """Return "seconds" of one of some units of work, and "wall": the same with what is left out."""
    own, started = 0.0, time.perf_counter()
    for _ in range(units):
        result = run()
        own += result.get("seconds", 0.0) if result else 0.0
    wall = time.perf_counter() - started
    return {"seconds": (own or wall) / units, "wall": wall / units}


def peak_mb():
    """Return the largest resident memory of this process so far, in MB of 2^20 bytes.

    Linux counts in ru_maxrss what the parent had before the program was started; VmHWM does not.
    """
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024 if sys.platform != "darwin" else peak / 2**20


if __name__ == "__main__":
    main(*sys.argv[1:])
