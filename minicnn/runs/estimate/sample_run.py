"""A short run in a process of its own: what it took, for `estimate`.

    python -m minicnn.runs.estimate.sample_run < request.json > sample.json

The run is the real one, set-up and all, only with fewer iterations, so whatever the engine and the
optimizer do is in the figures. The process is new, so its peak of memory is that of this run.
"""

import importlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, is_dataclass, replace
from itertools import pairwise

from minicnn.errors import MinicnnError
from minicnn.runs.estimate import gpu_memory, host_memory

# verb -> module and class of its settings
PICTURES = {
    "style": ("style.settings", "StyleSettings"),
    "texture": ("texture.settings", "TextureSettings"),
    "invert": ("inversion.settings", "InvertSettings"),
    "class-model": ("classes.class_model", "ClassModelSettings"),
}
STEPS = 4  # of a training, groups of a scan a thread: after the first, which also allocates
PATIENCE = 600
LOOKED_AT = 256  # validation pictures


def sample(verb, settings, *, patience=None, **request):
    """Return what a short run of a verb took, from a process of its own: a dict, see `MEASURES`.

    It is given up after `patience` seconds, `PATIENCE` by default: where memory is short, OpenBLAS
    tries again for ever to get some.

    Raises
    ------
    MinicnnError
        What the run itself says, or that it needed more memory than there is.
    """
    settings = asdict(settings) if is_dataclass(settings) else settings
    text = json.dumps({"verb": verb, "settings": settings, **request})
    command = [sys.executable, "-m", __name__]
    patience = patience or PATIENCE
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=patience
        )
    except subprocess.TimeoutExpired:
        raise MinicnnError(
            f"cannot estimate, a short run did not end in {patience:.0f} s"
        ) from None
    lines = done.stdout.splitlines()
    answer = json.loads(lines[-1]) if lines and done.returncode == 0 else {}
    if "error" in answer:
        raise MinicnnError(answer["error"])
    if not answer:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise MinicnnError(f"cannot estimate, the short run failed: {last}")
    return answer


def main():
    """Do the request on stdin."""
    request = json.load(sys.stdin)
    verb = request.pop("verb")
    try:
        with host_memory.watched() as most:
            answer = MEASURES.get(verb, _picture)(verb, **request)
        answer["peak"], answer["device_peak"] = most(), gpu_memory.taken()
    except MinicnnError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "not even a short run fits into the memory that is there"}
    print(json.dumps(answer))


def _picture(verb, settings, iterations):
    """Search for a picture; "seconds" of one evaluation, with the optimizer's share."""
    module, kind = PICTURES[verb]
    kind = getattr(importlib.import_module(f"minicnn.methods.{module}"), kind)
    started, worked = time.perf_counter(), time.process_time()
    job = replace(kind(**settings), iterations=iterations, evaluations=None).prepare()
    ends = []

    def watch(iteration, x, value, info):
        ends.append((time.perf_counter(), info["evaluations"], x.shape, time.process_time()))

    outcome = job.run(watch)
    finished = time.perf_counter()
    if len(ends) < 2:
        raise MinicnnError(f"cannot estimate: {outcome.result.reason}")
    pace = [(b[0] - a[0]) / max(1, b[1] - a[1]) for a, b in pairwise(ends)]
    seconds = _median(pace[len(pace) // 2 :])
    return {
        "pixels": ends[-1][2][2] * ends[-1][2][3],
        "shape": ends[-1][2][2:],
        "seconds": seconds,
        # before the first iteration's end, but for that evaluation, and after the last
        "setup": max(0.0, finished - started - (ends[-1][0] - ends[0][0]) - ends[0][1] * seconds),
        "iterations": outcome.result.iterations,
        "processor": (ends[-1][3] - ends[0][3]) / max(1, ends[-1][1] - ends[0][1]),
        "worked": time.process_time() - worked,
    }


def _train(verb, settings):
    """Take some steps, and look at some validation pictures."""
    from concurrent.futures import ThreadPoolExecutor

    from minicnn.backend import to_device
    from minicnn.data.datasets import open_dataset
    from minicnn.engine.cpu.threads import one_blas_thread, thread_count
    from minicnn.methods.training import training
    from minicnn.methods.training.devices import place_of
    from minicnn.methods.training.settings import TrainSettings
    from minicnn.network import build

    ends, started = [], time.perf_counter()

    def watch(done, total, losses):
        ends.append((time.perf_counter(), total))
        if len(ends) > STEPS:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings(**{**settings, "output": folder})
        try:
            training.run(settings, progress=watch)
        except _EnoughError:
            pass
    pace = [b[0] - a[0] for a, b in pairwise(ends)] or [ends[0][0] - started]
    val = open_dataset(settings.data, "val")
    pictures = val.pictures(settings.size)[:LOOKED_AT]
    net = build.build(settings.network, classes=len(val.class_names))
    place = place_of(settings)
    net.params = {name: to_device(value, place.device) for name, value in net.params.items()}
    before = time.perf_counter()
    with one_blas_thread(), ThreadPoolExecutor(thread_count(settings.threads)) as pool:
        looks = place.mapping(pool)
        how = {"device": place.device, "convolution": place.convolution()}
        training.evaluate(net, pictures, val.labels[: len(pictures)], looks, **how)
    looked = (time.perf_counter() - before) / len(pictures) * len(val.labels)
    return {
        "setup": max(0.0, ends[0][0] - started - _median(pace)),
        "seconds": _median(pace),
        "steps": ends[0][1],
        "looked": looked,
        "device": None if place.device == "cpu" else place.device,
    }


def _features(verb, settings):
    """Scan some groups of pictures, enough that as many are read ahead as ever."""
    from minicnn.backend import resolve_device
    from minicnn.data.picture_set import PictureSet
    from minicnn.engine.cpu.threads import thread_count
    from minicnn.methods.features import groups as features_groups
    from minicnn.methods.features import scan as features_scan
    from minicnn.runs.inputs import load_network

    s, started = settings, time.perf_counter()
    net = load_network(s["network"], s["weights"], s["pool"] or "own")
    layers = features_scan.choose_layers(net, s["layers"])
    whole = PictureSet(s["data"], s["split"], s["limit"])
    scan = features_scan.settings_for(net, whole, layers, top=s["top"], size=s["size"])
    how = {"batch": s["batch"], "threads": s["threads"]}
    device = resolve_device(s.get("device", "cpu"))
    groups = features_groups.groups_ahead(scan, **how) + STEPS * thread_count(s["threads"])
    features, ends = features_scan.begin(net, scan), []

    def watch(done, total, skipped):
        ends.append((time.perf_counter(), done))

    blocks = range(min(scan.blocks, groups))
    features_scan.scan(features, net, whole, blocks=blocks, progress=watch, device=device, **how)
    (first, one), (last, all_) = ends[0], ends[-1]
    pace = (last - first) / (all_ - one) if all_ > one else (last - started) / all_
    return {
        "setup": max(0.0, first - started - one * pace),
        "seconds": pace,
        "scanned": all_,
        "device": None if device == "cpu" else device,
        "steps": len(whole),
    }


class _EnoughError(Exception):
    """The run has taken as many steps as are wanted."""


def _median(numbers):
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2]


MEASURES = {"train": _train, "features": _features}

if __name__ == "__main__":
    main()
