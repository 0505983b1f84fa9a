"""Everything that needs a GPU, in eight minutes: what must be known first comes first.

    python benchmarks/on_gpu.py [-o FOLDER] [--seconds 480] [--only STAGE ...]

Each stage is a program of its own with a limit of its own; a stage that fails takes no other along.
FOLDER gets what each says (STAGE.txt) and its figures (STAGE.json) while it runs, and summary.json.
A checkout need not be installed. Where there is no GPU it ends with one line.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed
TESTS = [
    "tests/kernels/test_kernels_gpu.py",
    "tests/ops/test_ops_gpu.py",
    "tests/engine/gpu/test_device_gpu.py",
    "tests/optimizers/test_optimizers.py",
]
PLAN, KERNELS = TESTS[2], TESTS[0]
PROCESSES = 8  # of the tests, where pytest-xdist is there
LEAST = 5.0  # seconds, below which a stage is not begun


def stages():
    """Return {stage: (seconds, command, whether it writes figures)}, what matters most first."""
    python, script = sys.executable, ["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    tests = [python, *script]
    many = ["-n", str(PROCESSES)] if importlib.util.find_spec("xdist") else []
    sanitizer = shutil.which("compute-sanitizer") or "compute-sanitizer"

    def figures(seconds, *options):
        budget = ["--budget", f"{seconds - 5:g}", "--seconds", "0.3"]
        return seconds, [python, "benchmarks/gpu.py", *budget, "--only", *options], True

    return {
        "smoke": (20, [*tests, KERNELS, "-k", "bias_and_relu or addresses"], False),
        "plan": (30, [*tests, PLAN, "-k", "capture or plan_equals or same_bits"], False),
        "kernels": (30, [python, "benchmarks/gpu_kernels.py"], True),
        "512px": figures(45, "ceilings", "evaluations", "--sizes", "512"),
        "layers": figures(50, "layers"),
        "tests": (60, [*tests, *many, *TESTS], False),
        "iterations": figures(25, "iterations", "--sizes", "512"),
        "sizes": figures(45, "evaluations", "--sizes", "256", "1024"),
        "training": figures(45, "training"),
        "memory": figures(25, "memory"),
        "sanitizer": (40, [sanitizer, "--error-exitcode", "1", *tests, KERNELS], False),
    }


def main():
    every = stages()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", metavar="FOLDER", default="gpu-figures")
    parser.add_argument("--seconds", type=float, default=480.0, help="for all of it")
    parser.add_argument("--only", nargs="+", choices=every, default=list(every))
    args = parser.parse_args()
    _check()
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    found = run_all({name: every[name] for name in args.only}, folder.resolve(), args.seconds)
    print(
        "\n".join(
            f"{name:<12}{row['ended']:<12}{row['seconds']:6.1f} s" for name, row in found.items()
        )
    )
    print(f"see {folder}")
    return int(any(row["ended"] != "well" for row in found.values()))


def run_all(chosen, folder, seconds):
    """Run stages until the seconds are over; return {stage: {"ended", "seconds"}}, also written."""
    found, end = {}, time.monotonic() + seconds
    for name, (limit, command, writes) in chosen.items():
        started, left = time.monotonic(), end - time.monotonic()
        if writes:
            command = [*command, "--json", str(folder / f"{name}.json")]
        ended = "no time"
        if left >= LEAST:
            ended = run(command, folder / f"{name}.txt", min(limit, left))
        found[name] = {"ended": ended, "seconds": round(time.monotonic() - started, 1)}
        (folder / "summary.json").write_text(json.dumps(found, indent=1))
    return found


def run(command, log, seconds):
    """Run a command, show and keep what it says; return how it ended, in a word or two."""
    print("\n$", *command, flush=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with open(log, "w") as file:
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own processes end with it
            )
        except OSError as error:
            file.write(f"cannot be run: {error}\n")
            ended = "not there"
        else:
            try:
                status = process.wait(seconds)
                ended = "well" if status == 0 else f"status {status}"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                file.write(f"\nstopped after {seconds:.0f} s\n")
                ended = "stopped"
    print(Path(log).read_text(), flush=True)
    return ended


def _check():
    """End the program with one line where there is no GPU."""
    from minicnn.backend import devices
    from minicnn.errors import MinicnnError

    try:
        print(devices()[0])
    except MinicnnError as error:
        sys.exit(f"nothing to run without a GPU: {error}")


if __name__ == "__main__":
    sys.exit(main())
