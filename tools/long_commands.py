"""Commands that take long, for `kill_runs`: what each keeps on its way, and how it goes on."""

import json
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from minicnn.methods.features import results_file, scan
from minicnn.methods.training import state
from minicnn.optimizers import resumable
from minicnn.weights import checkpoint


def of_search(folder):
    """Return the iterations that a search has kept."""
    if kept := list(folder.glob("*.checkpoint")):
        return iterations(kept[0])
    return math.inf if any(folder.glob("out*")) else 0


def iterations(path):
    """Return the iterations that a checkpoint has."""
    stored = resumable.read(path)
    has = sum(result.iterations for result in stored.done)
    return has + (stored.state.numbers["iterations"] if stored.state else 0)


def of_batch(folder):
    """Return how many rows have been made."""
    for path in (folder / "made").glob("*.checkpoint"):
        iterations(path)
    return len(list((folder / "made").glob("*.png")))


def of_training(folder):
    """Return how many epochs have been kept."""
    path = folder / "run" / state.STATE_FILE
    return checkpoint.load_arrays(path)[1]["epoch"] if path.exists() else 0


def of_scan(folder):
    """Return how many pictures have been kept."""
    path = folder / "scan" / "features.h5"
    return results_file.load(path).seen if path.exists() else 0


class Command(NamedTuple):
    """A command that takes long, and how it goes on."""

    words: str
    more: str = "-o out.png --checkpoint-every 0 --threads 1"
    resume: str = "--resume"
    step: str = "iteration"  # what counts in a line of its progress
    kept: Callable = of_search  # folder -> how much of that the files have
    lost: int = 1  # how much may be told and not kept
    growing: tuple = ()  # files that are written again on the way
    lines: int = 6  # of its progress until a kill, at most
    pause: float = 0.2  # seconds behind them, at most


BATCH = Command("batch in/jobs.jsonl -o made", "", "", "row", of_batch, 0, lines=2, pause=1.0)
TRAIN = "train data -o run --network minivgg-bn --size 16 --crop 16 --batch 8 --group 4"
SCAN = "features data --split train --layers relu1_1,relu1_2 --top 3 --size 16 -o scan"
COMMANDS = {
    "style": Command(
        "style in/a.png in/b.png --size 96 --scales 2 --iterations 12 --sheet sheet.png"
    ),
    "style-adam": Command(
        "style in/a.png in/b.png --size 48 --scales 1 --iterations 10 --optimizer adam "
        "--gif way.gif --every 2 --save-every 5"
    ),
    "style-scipy": Command(
        "style in/a.png in/b.png --size 48 --scales 1 --iterations 10 --optimizer lbfgs "
        "--frames way --every 4"
    ),
    "style-sweep": Command(
        "style in/a.png in/b.png --size 48 --scales 1 --iterations 4 --sweep style-weight=1,40"
    ),
    "texture": Command("texture in/b.png --size 48 --iterations 8"),
    "texture-sweep": Command(
        "texture in/b.png --size 48 --iterations 3 --sweep --layers relu1_1,relu2_1"
    ),
    "invert": Command("invert in/a.png --layer relu1_2,relu2_2 --restarts 2 --iterations 4"),
    "invert-jitter": Command(
        "invert in/a.png --layer relu3_3 --preset ijcv16 --restarts 2 --iterations 8"
    ),
    "class-model": Command(
        "class-model --class 7 --iterations 8 --jitter 3 --noise 5 --optimizer adam --npz out.npz "
        "--save-every 5"
    ),
    "batch": BATCH,
    "batch-jobs": BATCH._replace(words=f"{BATCH.words} --jobs 2"),
    "train": Command(
        f"{TRAIN} --limit 16 --epochs 3 --snapshots 1 --threads 1",
        "",
        step="epoch",
        kept=of_training,
        lost=0,
        growing=("run/state.h5", "run/log.csv"),
        lines=1,
        pause=2.0,
    ),
    "features": Command(
        f"{SCAN} --threads 1",
        "",
        step="done",
        kept=of_scan,
        lost=scan.GROUP,
        growing=("scan/features.h5",),
        lines=4,
    ),
}
ROWS = [
    {"content": "in/a.png", "style": "in/b.png", "size": 48, "scales": 1, "iterations": 6},
    {"verb": "texture", "sources": ["in/b.png"], "size": 48, "iterations": 4},
    {"verb": "saliency", "image": "in/a.png"},
    {"verb": "invert", "image": "in/a.png", "layer": "relu1_2", "iterations": 4},
]


def draw(folder):
    """Make a folder with two pictures, the rows of a batch and a data set in it."""
    rng = np.random.default_rng(0)
    (folder / "in").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        small = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        small.resize((192, 192), Image.Resampling.BICUBIC).save(folder / "in" / name)
    rows = []
    for number, row in enumerate(ROWS):
        search = {} if row.get("verb") == "saliency" else {"checkpoint-every": 0}
        rows.append(json.dumps({**row, **search, "output": f"{number}.png", "threads": 1}))
    (folder / "in" / "jobs.jsonl").write_text("\n".join(rows))
    for part, count in (("train/a", 24), ("train/b", 24), ("val/a", 4), ("val/b", 4)):
        (folder / "data" / part).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / part / f"{i}.png")
