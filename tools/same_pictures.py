"""Tell whether minicnn still makes the same: run small commands over all verbs, compare results.

    python tools/same_pictures.py --record before.json            # before a change
    python tools/same_pictures.py before.json                     # after: `same`, or what differs
    python tools/same_pictures.py --record before.json --arrays   # and keep the arrays: before.npz
    python tools/same_pictures.py before.json --tolerance 1e-5    # compare these, not hashes

The commands run `python -m minicnn` of the checkout that this tool is in, each in a folder of its
own. What counts of a result says `reduced_results.py`; the commands are in `picture_commands.py`.
The hashes hold for one machine and one set of versions: BLAS and NumPy decide the last bits.
Exit status: 0 the same, 1 something differs, 2 nothing could be compared.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from picture_commands import COMMANDS, command_lines, draw_inputs
from reduced_results import difference, digest, printed, reduced

ROOT = Path(__file__).resolve().parents[1]
FAILED = "exit status"


def run(name, inputs, folder) -> dict:
    """Run the commands of `name` in `folder`; return {file: arrays}, and what they printed."""
    folder.mkdir(parents=True)
    shutil.copytree(inputs, folder / "in")
    made = {}
    for i, words in enumerate(command_lines(name), start=1):
        result = subprocess.run(
            [sys.executable, "-m", "minicnn", *words],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        made[f"printed by command {i}"] = printed(result.stdout)
        if result.returncode:
            said = (result.stderr.strip() or "nothing said").splitlines()[-1]
            print(f"{name}: exit status {result.returncode}: {said}", file=sys.stderr)
            made[FAILED] = {"code": np.array([result.returncode])}
            break
    shutil.rmtree(folder / "in")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            made[path.relative_to(folder).as_posix()] = reduced(path)
    return made


def environment() -> dict:
    """Return the variables of a command: this checkout, one thread of BLAS, no own settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MINICNN_")}
    blas = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **blas, "PYTHONPATH": str(ROOT), "MINICNN_THREADS": "2"}


def run_all(names, keep, jobs) -> dict:
    """Return {name: {file: arrays}}; the outputs stay in the folder `keep`, if one is named."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(keep or scratch)
        inputs = Path(scratch) / "inputs"
        draw_inputs(inputs)

        def timed(name):
            start = time.perf_counter()
            made = run(name, inputs, folder / name)
            print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
            return made

        with ThreadPoolExecutor(jobs) as pool:
            return dict(zip(names, pool.map(timed, names), strict=True))


def flat(made) -> dict:
    """Return {"command|file|array": array} of {command: {file: {array name: array}}}."""
    return {
        "|".join((name, file, part)): array
        for name, files in made.items()
        for file, arrays in files.items()
        for part, array in arrays.items()
    }


def record(made, path, arrays) -> None:
    """Write the hashes as JSON to `path`, and with `arrays` the arrays beside it."""
    hashes = {
        name: {file: digest(parts) for file, parts in files.items()} for name, files in made.items()
    }
    path.write_text(json.dumps(hashes, indent=1) + "\n")
    if arrays:
        np.savez_compressed(path.with_suffix(".npz"), **flat(made))


def compared(hashes, made, arrays=None, tolerance=None) -> list:
    """Return a line for each result that differs from the record, is missing, or is new.

    Parameters
    ----------
    hashes : dict
        {command: {file: hash}}, as recorded.
    made : dict
        {command: {file: {name: array}}}.
    arrays : dict, optional
        As `flat` makes it, as recorded; with it a line says how far apart the results are.
    tolerance : float, optional
        Largest difference allowed, as a share of the largest value of an array; needs `arrays`.
    """
    lines = []
    for name, files in made.items():
        expected = hashes.get(name, {})
        lines += [f"{name}: {file}: missing" for file in expected if file not in files]
        for file, parts in files.items():
            if file not in expected:
                lines.append(f"{name}: {file}: new")
            elif expected[file] != digest(parts):
                prefix = f"{name}|{file}|"
                known = {k: arrays[k] for k in arrays or () if k.startswith(prefix)}
                found = {prefix + part: array for part, array in parts.items()}
                apart = [
                    (difference(known[k], found[k]) if k in known and k in found else np.inf, k)
                    for k in known | found
                ]
                worst = max(apart, default=(np.inf, ""))
                if tolerance is None or not worst[0] <= tolerance:
                    how = f", {worst[1][len(prefix) :]} by {worst[0]:.2g}" if arrays else ""
                    lines.append(f"{name}: {file}: differs{how}")
    return lines


def main(argv=None) -> int:
    """Record or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="record to compare with")
    parser.add_argument("--record", metavar="FILE", type=Path, help="write a record")
    parser.add_argument("--arrays", action="store_true", help="with --record: keep the arrays")
    parser.add_argument("--tolerance", metavar="T", type=float, help="largest relative difference")
    parser.add_argument("--only", metavar="NAME", nargs="+", help="these commands alone")
    parser.add_argument("--keep", metavar="FOLDER", help="new folder for what the commands make")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="at once (default: 1)")
    args = parser.parse_args(argv)
    if (args.file is None) == (args.record is None):
        parser.error("name one record to compare with, or --record FILE")
    if unknown := set(args.only or ()) - set(COMMANDS):
        parser.error(f"no command {', '.join(sorted(unknown))}; there are {', '.join(COMMANDS)}")
    if args.keep and Path(args.keep).exists():
        parser.error(f"{args.keep} exists; name a new folder")
    hashes = arrays = None
    if args.file:
        try:
            hashes = json.loads(args.file.read_text())
            if args.file.with_suffix(".npz").exists():
                with np.load(args.file.with_suffix(".npz")) as file:
                    arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            parser.error(f"{args.file} is no record ({error}); make one with --record")
        if args.tolerance is not None and arrays is None:
            parser.error("--tolerance needs the arrays; record with --arrays")
    made = run_all(args.only or list(COMMANDS), args.keep, args.jobs)
    if args.record:
        record(made, args.record, args.arrays)
        return 2 if any(FAILED in files for files in made.values()) else 0
    lines = compared(hashes, made, arrays, args.tolerance)
    print("\n".join(lines) or "same")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
