"""Short runs of the real thing, in one new process: what they took, for `estimate`.

The runs are those of the verb, set-up and all, with fewer iterations, so whatever the engine and
the optimizer do is in the figures. The process is new, and small runs come first, so its peak of
memory is that of the run just done.
"""

import gc
import math
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from itertools import groupby, pairwise
from statistics import mean, median

from minicnn.engine import heap, memory
from minicnn.errors import MinicnnError

PATIENCE = 600  # seconds
SIDES = ("size", "style_size", "source_size", "width", "height")
# of the short runs of a search. Below, scratch memory still grows with the picture, and the filters
# may take twice the memory (`engine.cpu.filters.FEW_PIXELS`)
PIXELS = (272**2, 512**2)
ITERATIONS = (3, 13)  # of a short run: at least, and enough to fill a memory of 10 pairs
STEPS = 4  # of a training or a scan, at least, after the first, which also allocates


def measured(work, *args, patience=None):
    """Return what a generator function yields in a new process, with the peaks of memory.

    Raises
    ------
    MinicnnError, MemoryError
        As the run did; or if it took more than `patience` seconds: where memory is short, OpenBLAS
        tries again for ever to get some.
    """
    command, patience = [sys.executable, "-m", __name__], patience or PATIENCE
    request = {"input": pickle.dumps((work, args)), "capture_output": True, "timeout": patience}
    try:
        done = subprocess.run(command, check=True, **request)
    except subprocess.TimeoutExpired:
        raise MinicnnError(f"cannot estimate, a short run did not end in {patience} s") from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
        raise MinicnnError(f"cannot estimate, the short run failed: {last[0]}") from None
    answer = pickle.loads(done.stdout)
    if isinstance(answer, Exception):
        raise answer
    return answer


def main():
    """Do the request that is pickled on stdin; pickle the answer to stdout."""
    work, args = pickle.load(sys.stdin.buffer)
    with memory.watched() as most:
        try:
            answer = [
                found | {"peak": most(), "device_peak": memory.device_peak()}
                for found in work(*args)
            ]
        except MinicnnError as error:
            answer = error
        except MemoryError as error:
            answer = MemoryError(str(error))  # NumPy's cannot be pickled
    sys.stdout.buffer.write(pickle.dumps(answer))


def pictures(verb, settings, files, wanted, seconds):
    """Search for pictures of two sizes, small to large; yield what each took.

    `settings` have nothing left open; no run has more than the `wanted` pixels,
    and both take about so many `seconds`, but at least `ITERATIONS[0]` iterations each.
    """
    tile, found, started = getattr(settings, "tile", None), [], time.perf_counter()
    sizes = [(count * tile) ** 2 for count in (2, 3)] if tile else PIXELS
    for pixels in [*(size for size in sizes if size < 0.8 * wanted), wanted]:
        iterations = ITERATIONS[pixels <= PIXELS[-1]]
        if found:
            last, left = found[-1], seconds - (time.perf_counter() - started)
            one = last["seconds"] * last["runs"] * pixels / last["pixels"]
            iterations = int(left / one)
        iterations = max(ITERATIONS[0], min(ITERATIONS[1], iterations))
        try:
            found.append(
                picture(verb, resized(settings, (pixels / wanted) ** 0.5), files, iterations)
            )
        except (MinicnnError, MemoryError):  # too small for the layers, or too large
            if pixels == wanted and not found:
                raise
            continue
        yield found[-1]
        if len(found) == 2:
            return
        gc.collect()
        heap.release()  # the next run starts anew


def resized(settings, factor):
    """Return the settings for a picture whose sides are `factor` times as long, at one size."""
    changes = {"scales": 1} if hasattr(settings, "scales") else {}
    for name in SIDES:
        side = getattr(settings, name, None)
        if isinstance(side, list):
            changes[name] = [max(1, round(one * factor)) for one in side]
        elif side:
            changes[name] = max(1, round(side * factor))
    return replace(settings, **changes)


def picture(verb, settings, files, iterations):
    """Search for a picture; "seconds" of one evaluation, with the optimizer's share."""
    started, ends = time.perf_counter(), []

    def watch(iteration, x, value, info):
        ends.append((info.get("run", 0), time.perf_counter(), info["evaluations"], x.shape[2:]))

    settings = replace(settings, iterations=iterations, evaluations=None)
    job = verb.open_job(settings, files).lowered()
    result = job.run(watch).result
    took, paces = time.perf_counter() - started, []
    for _, run in groupby(ends, key=lambda end: end[0]):
        pace = [(b[1] - a[1]) / max(1, b[2] - a[2]) for a, b in pairwise(run)]
        paces += [median(pace[len(pace) // 2 :])] if pace else []
    if not ends:
        raise MinicnnError(f"cannot estimate: {result.reason}")
    # where a search ends at once there is no pace, and the set-up counts too
    seconds, shape = mean(paces or [took / result.evaluations]), ends[-1][-1]
    return {
        "pixels": math.prod(shape),
        "shape": shape,
        "seconds": seconds,
        "setup": max(0.0, took - seconds * result.evaluations),
        "iterations": iterations,
        "runs": max(1, len(paces)),
    }


def cut_short(run, seconds):
    """Return (seconds of the whole, units done, units in all) of a run that is cut short.

    `run` takes `progress`, called with (units done, units in all, ...), and then asks `stop`.
    """
    ends, started = [], time.perf_counter()

    def progress(done, total, _):
        ends.append((time.perf_counter(), done, total))

    run(
        progress=progress,
        stop=lambda _: len(ends) > STEPS and ends[-1][0] - ends[0][0] > seconds,
    )
    (first, one, total), (last, done, _) = ends[0], ends[-1]
    pace = (last - first) / (done - one) if done > one else (last - started) / done
    return max(0.0, first - started - one * pace) + pace * total, done, total


if __name__ == "__main__":
    main()
