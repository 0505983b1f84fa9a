"""Time several programs in turn, so that a drifting machine treats them alike.

Each program is a process of its own that says "ready", then does one unit of work for every line
it is sent and answers with {"seconds": ..., "peak_mb": ...}. A round asks each of them once, in an
order that turns. A round in which other processes took more than a quarter of a processor is
dropped and counted.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

DISTURBED = 0.25


def serve(work):
    """Be one of the programs: do `work()` whenever asked."""
    work()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


def compare(programs, *, rounds=9, environment=None):
    """Run programs {name: command} in turn.

    Returns
    -------
    dict
        {name: {"seconds": [...], "peak_mb": ...}} of the undisturbed rounds, and "dropped".
    """
    env = {**os.environ, **(environment or {})}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    running = {name: subprocess.Popen(command, **pipes) for name, command in programs.items()}
    for name, process in running.items():
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{name} did not start")
    found = {name: {"seconds": [], "peak_mb": 0.0} for name in programs}
    found["dropped"] = kept = 0
    while kept < rounds and found["dropped"] < 5 * rounds:
        names = list(running)
        turn = (kept + found["dropped"]) % len(names)
        before, started = _busy_of_others(running), time.perf_counter()
        answers = {name: _ask(running[name]) for name in names[turn:] + names[:turn]}
        share = (_busy_of_others(running) - before) / (time.perf_counter() - started)
        if share > DISTURBED:
            found["dropped"] += 1
            continue
        kept += 1
        for name, answer in answers.items():
            found[name]["seconds"].append(answer["seconds"])
            found[name]["peak_mb"] = answer["peak_mb"]
    for process in running.values():
        process.stdin.close()
        process.wait()
    return found


def table(found, baseline):
    """Return lines: each program's median seconds, its median ratio to `baseline`, its memory."""
    lines = [f"{'':<24}{'median s':>10}{'ratio':>8}{'peak MB':>9}"]
    for name, row in found.items():
        if name == "dropped":
            continue
        pairs = zip(row["seconds"], found[baseline]["seconds"], strict=True)
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        middle = statistics.median(row["seconds"])
        lines.append(f"{name:<24}{middle:>10.3f}{ratio:>8.2f}{row['peak_mb']:>9.0f}")
    rounds = len(found[baseline]["seconds"])
    lines.append(f"{rounds} rounds, {found['dropped']} dropped as disturbed by other processes")
    return "\n".join(lines)


def _ask(process):
    process.stdin.write("go\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def _busy_of_others(running):
    """Processor seconds since boot that neither we nor the programs have used (Linux; else 0)."""
    try:
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:]]
        own = sum(_own_ticks(process.pid) for process in running.values())
    except OSError:
        return 0.0
    return (sum(fields[:3]) + sum(fields[5:8]) - own) / os.sysconf("SC_CLK_TCK")


def _own_ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
