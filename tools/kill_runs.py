"""Kill long runs at random moments and go on with `--resume`: the same bytes must come out.

    python tools/kill_runs.py                  # 20 kills
    python tools/kill_runs.py --kills 200 --seed 1

Each command of `COMMANDS` is run once undisturbed. Then it is started again and again, killed (by
SIGKILL) up to eight times on the way to its end, and gone on with. After each kill the files must
be missing or whole, the checkpoint must be readable and lack no more than the last iteration that
was told; at the end all files must have the bytes of the undisturbed run, with none beside them.
The runs are forks of this process, which has loaded all that they need.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork has none of the threads of this process

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import minicnn.cli  # noqa: E402 - of this checkout
from minicnn.optimizers import resumable  # noqa: E402

COMMANDS = {
    "style": "style in/a.png in/b.png --size 96 --scales 2 --iterations 12 --sheet sheet.png",
    "style-adam": "style in/a.png in/b.png --size 48 --scales 1 --iterations 10 --optimizer adam "
    "--gif way.gif --every 2 --save-every 5",
    "style-device": "style in/a.png in/b.png --size 48 --scales 1 --iterations 10 "
    "--optimizer lbfgs-device --frames way --every 4",
    "style-sweep": "style in/a.png in/b.png --size 48 --scales 1 --iterations 4 "
    "--sweep style-weight=1,40",
    "texture": "texture in/b.png --size 48 --iterations 8",
    "texture-sweep": "texture in/b.png --size 48 --iterations 3 --sweep --layers relu1_1,relu2_1",
    "invert": "invert in/a.png --layer relu1_2,relu2_2 --restarts 2 --iterations 4",
    "invert-jitter": "invert in/a.png --layer relu3_3 --preset ijcv16 --restarts 2 --iterations 8",
    "class-model": "class-model --class 7 --iterations 8 --jitter 3 --noise 5 --optimizer adam "
    "--npz out.npz --save-every 5",
}
MOST = 8  # kills of one picture
STEPS = 6  # lines of progress until the next, at most
PAUSE = 0.2  # seconds behind them, at most


def draw(folder):
    """Make a folder with two pictures in it."""
    rng = np.random.default_rng(0)
    (folder / "in").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        small = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        small.resize((192, 192), Image.Resampling.BICUBIC).save(folder / "in" / name)


def started(name, folder, resume):
    """Start a command in a folder; return its process id, and the file of what it tells."""
    words = [*COMMANDS[name].split(), *"-o out.png --checkpoint-every 0 --threads 1 --json".split()]
    told, tell = os.pipe()
    if pid := os.fork():
        os.close(tell)
        return pid, os.fdopen(told)
    code = 1
    try:
        os.chdir(folder)
        sys.stdout = os.fdopen(tell, "w")
        sys.stderr = open(f"{folder}.log", "a")
        code = minicnn.cli.main(words + ["--resume"] * resume)
    finally:
        os._exit(code)


def ended(pid):
    """Wait for a process; return its exit code, negative where a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files(folder):
    """Return {name: bytes} of all that is in a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def progress(lines):
    """Return the progress that whole lines tell."""
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    return [one for one in told if one["event"] == "progress"]


def killed(pid, told, lines, pause):
    """Kill a run a while after so many lines; return whether, and the last iteration it told."""
    first = [told.readline() for _ in range(lines)]
    time.sleep(pause)
    os.kill(pid, signal.SIGKILL)
    steps = progress([*first, *told])
    told.close()
    return ended(pid) < 0, steps[-1]["iteration"] if steps else 0


def check(folder, expected, last):
    """Return what is wrong after a kill: a broken file, an iteration lost; "" if nothing is."""
    there = files(folder)
    broken = [name for name in there.keys() & expected.keys() if there[name] != expected[name]]
    if broken:
        return f"{broken[0]} has other bytes"
    kept = list(folder.glob("*.checkpoint"))
    if not kept:
        made = [name for name in there if name.startswith("out")]
        return "no checkpoint" if last > 1 and not made else ""
    stored = resumable.read(kept[0])
    has = sum(result.iterations for result in stored.done)
    has += stored.state.numbers["iterations"] if stored.state else 0
    return f"{last - has} iterations lost" if last - has > 1 else ""


def one_picture(name, folder, expected, dice, most):
    """Make a picture, killed up to `most` times.

    Returns
    -------
    kills, kills with a checkpoint : int
    faults : list of str
    """
    draw(folder)
    kills, with_checkpoint, faults = 0, 0, []
    for _ in range(most):
        run = started(name, folder, resume=kills > 0)
        was, last = killed(*run, dice.randint(0, STEPS), dice.uniform(0, PAUSE))
        if not was:
            break
        kills += 1
        with_checkpoint += any(folder.glob("*.checkpoint"))
        if fault := check(folder, expected, last):
            faults.append(f"{name}: {fault}")
    pid, told = started(name, folder, resume=True)
    told.read()
    told.close()
    if code := ended(pid):
        faults.append(f"{name}: exit code {code}: {Path(f'{folder}.log').read_text()}")
    made = files(folder)
    names = sorted(n for n in made.keys() | expected.keys() if made.get(n) != expected.get(n))
    if names:
        faults.append(f"{name}: other bytes at the end in {', '.join(names)}")
    return kills, with_checkpoint, faults


def undisturbed(name, folder):
    """Return the files that a run leaves."""
    draw(folder)
    pid, told = started(name, folder, resume=False)
    told.read()
    told.close()
    if ended(pid):
        raise SystemExit(f"{name} failed: {Path(f'{folder}.log').read_text()}")
    return files(folder)


def main():
    """Kill; print a row for each command, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    args = parser.parse_args()
    dice, began = random.Random(args.seed), time.monotonic()
    counts = {name: [0, 0, 0] for name in args.only}
    faults, kills = [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        expected = {name: undisturbed(name, folder / name) for name in args.only}
        for number, name in enumerate(cycle(args.only)):
            if kills >= args.kills:
                break
            most = min(MOST, args.kills - kills)
            one = one_picture(name, folder / f"{name}-{number}", expected[name], dice, most)
            kills += one[0]
            counts[name] = [a + b for a, b in zip(counts[name], (1, *one[:2]), strict=True)]
            for fault in one[2]:
                print(fault, flush=True)
            faults += one[2]
    for name, (pictures, own, kept) in counts.items():
        print(f"{name}: {pictures} pictures, {own} kills, {kept} of them with a checkpoint")
    seconds = time.monotonic() - began
    print(f"{kills} kills, {len(faults)} faults, {seconds:.0f} s")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
