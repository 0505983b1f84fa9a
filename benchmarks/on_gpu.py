"""Everything that needs a GPU, in under nine minutes: the tests, then the benchmark.

    python benchmarks/on_gpu.py [-o FOLDER] [--minutes 9]

Leaves FOLDER/tests.txt and FOLDER/gpu.json. Where there is no GPU it ends with one line.
"""

import argparse
import os
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
SHARE_OF_TESTS = 0.35


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", metavar="FOLDER", default="gpu-figures")
    parser.add_argument("--minutes", type=float, default=9.0)
    args = parser.parse_args()
    started, seconds = time.monotonic(), 60 * args.minutes
    _check()
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", *TESTS]
    failed = _run(tests, folder / "tests.txt", SHARE_OF_TESTS * seconds)
    left = seconds - (time.monotonic() - started) - 20
    figures = [sys.executable, "benchmarks/gpu.py", "--json", str((folder / "gpu.json").resolve())]
    failed |= _run([*figures, "--budget", f"{left - 30:.0f}"], folder / "gpu.txt", left)
    print(f"{time.monotonic() - started:.0f} s; see {folder}")
    return int(failed)


def _check():
    """End the program with one line where there is no GPU."""
    from minicnn.backend import devices
    from minicnn.errors import MinicnnError

    try:
        print(devices()[0])
    except MinicnnError as error:
        sys.exit(f"nothing to run without a GPU: {error}")


def _run(command, log, seconds):
    """Run a command, show and keep what it says; return whether it failed."""
    print("$", *command, flush=True)
    with open(log, "w") as file:
        try:
            result = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                timeout=seconds,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            failed = result.returncode != 0
        except subprocess.TimeoutExpired:
            file.write(f"\nstopped after {seconds:.0f} s\n")
            failed = True
    print(Path(log).read_text(), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
