"""What a training takes, from some of its steps, for `runs.estimate`."""

import math
import tempfile
import time
from dataclasses import replace
from functools import partial

from minicnn.backend import to_device
from minicnn.data.datasets import open_dataset
from minicnn.engine.cpu.threads import thread_count
from minicnn.engine.cpu.workers import step_pool
from minicnn.methods.training import training
from minicnn.methods.training.devices import place_of
from minicnn.network import build
from minicnn.runs.estimate.sample_run import cut_short

LOOKED_AT = 256  # validation pictures


def measure(settings, seconds):
    """Train for so many seconds and look at some pictures; yield what all of it would take."""
    with tempfile.TemporaryDirectory() as folder:
        s = replace(settings, output=folder)
        whole, done, steps = cut_short(partial(training.run, s), seconds)
    val, place = open_dataset(s.data, "val"), place_of(s, several=True)
    some = val.thinned(LOOKED_AT)
    shown = some.pictures(s.size)
    net = build.build(s.network, classes=len(val.class_names))
    net.params = {name: to_device(value, place.device) for name, value in net.params.items()}
    started = time.perf_counter()
    with step_pool(thread_count(s.threads)) as pool:
        training.evaluate(net, shown, some.labels, place, pool)
    looked = (time.perf_counter() - started) / len(shown) * len(val.labels)
    whole += looked * math.ceil(s.epochs / s.validate_every)
    yield {"seconds": whole, "device": place.device, "what": f"{done} steps of {steps}"}
