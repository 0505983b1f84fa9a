"""Run by `mutations.read_copies`: reads damaged copies of a file one after the other."""

import faulthandler
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mutations import MEMORY, mutate

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5
from minicnn.weights import formats, norm_folding
from minicnn.weights.conversion import convert_graph

SECONDS = 60


def main(paths, count, seed, folder, start):
    originals = {path: Path(path).read_bytes() for path in paths}
    opened, folder = set(), Path(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    faulthandler.enable()
    watch(folder, opened)
    for path, original in originals.items():
        read, longest, target = 0, 0.0, folder / f"copy{Path(path).suffix}"
        for i in range(start, start + count):
            target.write_bytes(mutate(original, np.random.default_rng([seed, i])))
            (folder / "last").write_text(f"{path}, copy {i} of seed {seed}")
            signal.alarm(SECONDS)  # kills the process: a handler would not run inside a library
            begun = time.perf_counter()
            read += reads(target)
            longest = max(longest, time.perf_counter() - begun)
            signal.alarm(0)
        report = {"read": read, "refused": count - read, "seconds": round(longest, 2)}
        report["megabytes"] = most_memory() >> 20
        print(json.dumps([path, {**report, "opened": sorted(opened)}]), flush=True)


def most_memory():
    """Return the most memory so far in bytes; getrusage would count that of the parent, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def reads(target):
    """Read a copy; return whether it was not refused. Anything but one clear line is a failure."""
    if target.suffix == ".h5":
        accepted(lambda: hdf5.load_arrays(target))  # as a file of our own
    if target.suffix == ".onnx":  # as a network
        accepted(lambda: convert_graph(target, preprocess="unit"))
    found = accepted(lambda: formats.read(target))
    if found is None:
        return False
    for array in found.arrays.values():
        assert array.dtype.kind in "fiub"
        array.max(initial=0)  # the values are there
    accepted(lambda: norm_folding.fold(found))
    return True


def accepted(call):
    """Return what `call` does, or None if it ends in one clear line."""
    try:
        return call()
    except MinicnnError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1000, said
    return None


def watch(folder, opened):
    """Note every other file that is opened, and every program that is run."""
    own = (str(folder), "/proc", sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]))

    def hook(event, args):
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"):
            opened.add(event)
        elif event == "open" and isinstance(args[0], (str, os.PathLike)):
            name = os.fspath(args[0])
            if not name.startswith(own):
                opened.add(name)

    sys.addaudithook(hook)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
