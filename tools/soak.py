"""Mixed work in one process for a while: memory, threads and open files must not grow.

    python tools/soak.py --minutes 15
    python tools/soak.py --minutes 120 --seed 1

All methods of `minicnn.run` in turn, with sizes and optimizers drawn at random, and between them
files: pictures written and read, a network stored and loaded, verbs with checkpoints, bad input. A
row is printed every minute. The first half is for caches to fill; then the last two quarters are
compared: exit code 1 where the last has more, memory by its median and with a tolerance for what
the allocator keeps.
"""

import argparse
import contextlib
import io
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import minicnn  # noqa: E402 - of this checkout
import minicnn.cli  # noqa: E402
from minicnn.pictures import load_image, save_image  # noqa: E402

GROWTH = 0.02  # share by which the median of memory may rise
PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20


class Row(NamedTuple):
    """What this process has at some time."""

    minutes: float
    memory: float  # MB, resident
    threads: int
    files: int  # open

    @classmethod
    def now(cls, began):
        """Return the row of this moment."""
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
        counts = (len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd"))
        return cls((time.monotonic() - began) / 60, resident, *counts)


class Work:
    """What is done in turn, in a folder; `dice` draws sizes and the like."""

    def __init__(self, folder, dice):
        self.folder, self.dice = folder, dice
        rng = np.random.default_rng(0)
        self.pictures = [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(3)]
        self.file = folder / "in.png"
        save_image(self.file, self.pictures[0])

    def style(self):
        """Paint at some size, by some optimizer and engine."""
        how = {"size": self.dice.choice((48, 72, 96)), "iterations": self.dice.randint(2, 6)}
        how["optimizer"] = self.dice.choice(("lbfgs", "lbfgs-device", "adam", "momentum"))
        how["engine"] = self.dice.choice(("fast", "explicit", "low-memory"))
        styles = self.pictures[1 : self.dice.randint(2, 3)]
        minicnn.run("style", content=self.pictures[0], style=styles, scales=1, **how)

    def texture(self):
        """Make textures of some shape."""
        width, height = (self.dice.choice((32, 48, 64)) for _ in range(2))
        shape = {"width": width, "height": height, "source_size": 64}
        seamless = self.dice.random() < 0.5
        minicnn.run("texture", sources=[self.pictures[1]], iterations=3, seamless=seamless, **shape)

    def invert(self):
        """Invert a layer."""
        layer, preset = (
            self.dice.choice(("relu1_2", "relu3_3")),
            self.dice.choice(("lbfgs", "ijcv16")),
        )
        how = {"layers": [layer], "preset": preset, "iterations": 3, "restarts": 2}
        minicnn.run("invert", image=self.pictures[2], **how)

    def look(self):
        """Look at a picture in some way."""
        name = self.dice.choice(
            ("saliency", "occlusion", "attribute", "fool", "deconv", "class-model")
        )
        more = {
            "deconv": {"layer": "relu3_3", "unit": "max:3"},
            "occlusion": {"step": 24},
            "attribute": {"method": self.dice.choice(("integrated", "grad-cam"))},
            "class-model": {"wanted_class": "7", "iterations": 3},
        }.get(name, {})
        image = {} if name == "class-model" else {"image": self.dice.choice(self.pictures)}
        minicnn.run(name, **image, **more)

    def files(self):
        """Write and read pictures and a network."""
        net = minicnn.load("minizfnet")
        minicnn.save(net, self.folder / "net.h5")
        minicnn.load(str(self.folder / "net.h5"))
        for suffix in (".png", ".jpg", ".webp", ".tif"):
            save_image(self.folder / f"out{suffix}", self.pictures[0], force=True)
            load_image(self.folder / f"out{suffix}")

    def verb(self):
        """Run a verb with a checkpoint after every iteration; half of the time it is refused."""
        words = f"style {self.file} {self.file} --size 48 --scales 1 --iterations 3 --force --quiet"
        words += f" -o {self.folder}/made.png --checkpoint-every 0"
        refused = self.dice.random() < 0.5
        if refused:
            words += f" --init {self.folder}/not-there.png"
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            code = minicnn.cli.main(words.split())
        assert code == refused, f"exit code {code}: minicnn {words}"

    def walk(self):
        """Go up and down a network as a script would."""
        net = minicnn.load("minivgg", pool="average")
        x = np.zeros((2, 3, 64, 64), np.float32)
        for _ in range(3):
            acts = net.forward(x, ["relu2_2"])
            net.backward({"relu2_2": acts["relu2_2"]})


def told(rows):
    """Return what has grown from the third quarter of the rows to the last, "" for nothing."""
    quarter = len(rows) // 4
    before, after = rows[-2 * quarter : -quarter], rows[-quarter:]
    was, now = (statistics.median(row.memory for row in part) for part in (before, after))
    found = [f"memory {was:.0f} -> {now:.0f} MB"] if now > was * (1 + GROWTH) else []
    for what in ("threads", "files"):
        was, now = (max(getattr(row, what) for row in part) for part in (before, after))
        found += [f"{what} {was} -> {now}"] * (now > was)
    return ", ".join(found)


def summary(rows, done):
    """Print what was done and what has grown; return the exit code."""
    print(", ".join(f"{name} {count}" for name, count in done.items()))
    if len(rows) < 8:
        print("too short to compare; give more --minutes")
        return 1
    half = rows[len(rows) // 2 :]
    line = statistics.linear_regression([row.minutes for row in half], [row.memory for row in half])
    print(f"memory of the second half: {60 * line.slope:+.1f} MB an hour")
    grown = told(rows)
    print(f"grown: {grown or 'nothing'}")
    return bool(grown)


def main():
    """Work; print a row every minute, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began, rows, done = time.monotonic(), [], Counter()
    said = 0.0
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), random.Random(args.seed))
        kinds = [work.style, work.texture, work.invert, work.look, work.files, work.verb, work.walk]
        while not rows or rows[-1].minutes < args.minutes:
            for one in kinds:
                one()
                done[one.__name__] += 1
            rows.append(row := Row.now(began))
            if row.minutes >= said + 1:
                said = row.minutes
                print(
                    f"{said:6.1f} min  {row.memory:6.1f} MB  {row.threads} threads  "
                    f"{row.files} files",
                    flush=True,
                )
    return summary(rows, done)


if __name__ == "__main__":
    sys.exit(main())
