"""Kill long runs at random moments and go on with `--resume`: the same bytes must come out.

    python tools/kill_runs.py                  # 20 kills
    python tools/kill_runs.py --kills 200 --seed 1

Each command of `COMMANDS` is run once undisturbed. Then it is started again and again, killed (by
SIGKILL) up to eight times on the way to its end, and gone on with. After each kill the files must
be missing or whole, what is kept must be readable and lack no more than the last step that was
told; at the end all files must have the bytes of the undisturbed run, with none beside them.
The runs are forks of this process, which has loaded all that they need. Their clocks stand still
where seconds go into a file, and what is kept is written after every step.
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
from types import SimpleNamespace

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork has none of the threads of this process


ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import minicnn.cli  # noqa: E402 - of this checkout
from minicnn.methods.features import scan  # noqa: E402
from minicnn.methods.features import verb as features_verb  # noqa: E402
from minicnn.methods.training import training  # noqa: E402
from tools.long_commands import COMMANDS, draw  # noqa: E402

MOST = 8  # kills of one picture


def started(name, folder, resume):
    """Start a command in a folder; return its process id, and the file of what it tells."""
    command = COMMANDS[name]
    words = f"{command.words} {command.more} --json {command.resume * resume}".split()
    told, tell = os.pipe()
    if pid := os.fork():
        os.close(tell)
        return pid, os.fdopen(told)
    code = 1
    try:
        os.chdir(folder)
        sys.stdout = os.fdopen(tell, "w")
        sys.stderr = open(f"{folder}.log", "a")
        training.time = SimpleNamespace(perf_counter=lambda: 0.0)
        scan.SAVE_SECONDS = features_verb.EVENT_SECONDS = -1.0
        code = minicnn.cli.main(words)
    finally:
        os._exit(code)


def ended(pid):
    """Wait for a process; return its exit code, negative where a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files(folder):
    """Return {name: bytes} of all that is in a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def killed(pid, told, lines, pause, step):
    """Kill a run a while after so many lines; return whether, and the last `step` it told."""
    first = [told.readline() for _ in range(lines)]
    time.sleep(pause)
    os.kill(pid, signal.SIGKILL)
    events = [json.loads(line) for line in [*first, *told] if line.endswith("\n")]
    told.close()
    return ended(pid) < 0, [0, *(event[step] for event in events if step in event)][-1]


def check(command, folder, expected, last):
    """Return what is wrong after a kill: a broken file, a step lost; "" if nothing is."""
    there = files(folder)
    whole = (there.keys() & expected.keys()) - set(command.growing)
    if broken := [name for name in whole if there[name] != expected[name]]:
        return f"{broken[0]} has other bytes"
    lost = last - command.kept(folder)
    return f"{lost} of {command.step} lost" if lost > command.lost else ""


def one_picture(name, folder, expected, dice, most):
    """Make a picture, killed up to `most` times.

    Returns
    -------
    kills, kills that left something : int
    faults : list of str
    """
    draw(folder)
    command = COMMANDS[name]
    kills, with_something, faults = 0, 0, []
    for _ in range(most):
        run = started(name, folder, resume=kills > 0)
        when = dice.randint(0, command.lines), dice.uniform(0, command.pause)
        was, last = killed(*run, *when, command.step)
        if not was:
            break
        kills += 1
        with_something += command.kept(folder) > 0
        if fault := check(command, folder, expected, last):
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
    return kills, with_something, faults


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
            said = "; ".join(one[2]) or "the same bytes"
            print(f"{time.monotonic() - began:6.0f} s  {name}: {one[0]} kills, {said}", flush=True)
            faults += one[2]
    for name, (pictures, own, kept) in counts.items():
        print(
            f"{name}: {pictures} pictures, {own} kills, {kept} of them left something to go on from"
        )
    seconds = time.monotonic() - began
    print(f"{kills} kills, {len(faults)} faults, {seconds:.0f} s")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
