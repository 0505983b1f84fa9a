"""Count the files that a run of a verb enters, and its moves between them.

    python tools/roads.py                  a table of all verbs
    python tools/roads.py style --list     the road of one, in the order of entry

A reader who follows a run goes from file to file. The *road* of a verb is the part of it in the
folders `cli`, `terminal`, `runs` and `methods`: what lies between the
arguments and the mathematics. A run is small (96 pixels, few iterations, on the demo's pictures)
and takes place in a process of its own, where a profile hook sees every call of a function. It is
followed from the end of the reading of the arguments to its end, on all threads. The code of
modules and classes, which runs when they are imported, does not count, nor does what it calls.

| figure | counts |
|---|---|
| files | files of the package with a function that was called |
| road | those of them on the road |
| functions | functions and methods that were called |
| moves | calls from one file of the road into another before the first step of an optimizer |
| arguments | files of the road entered earlier, while the arguments were read |
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from inspect import CO_GENERATOR, CO_OPTIMIZED
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minicnn"
DEMO = PACKAGE / "demo"
ROAD = ("cli", "terminal", "runs", "methods")
STEPS = ("minimize", "sgd_step")  # what a first step is: of an optimizer, of training
INLINE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")  # part of the function around them
CONTENT, STYLE = str(DEMO / "content.jpg"), str(DEMO / "style.jpg")
SMALL = ["--network", "minivgg", "--size", "96", "--device", "cpu", "--threads", "1"]
LEARN = "--network minivgg-bn --size 16 --crop 16 --epochs 1 --batch 4 --group 2"
RUNS = {
    "style": [CONTENT, STYLE, "-o", "style.png", "--iterations", "2", *SMALL],
    "texture": [STYLE, "-o", "texture.png", "--iterations", "2", *SMALL],
    "invert": [CONTENT, "--layer", "relu3_1", "-o", "invert.png", "--iterations", "2", *SMALL],
    "features": ["pictures", "-o", "features", "--layers", "relu1_2", "--top", "2", *SMALL],
    "deconv": [CONTENT, "--layer", "relu3_1", "-o", "deconv.png", *SMALL],
    "saliency": [CONTENT, "-o", "saliency.png", *SMALL],
    "class-model": ["--class", "1", "-o", "class.png", "--iterations", "2", *SMALL],
    "occlusion": [CONTENT, "-o", "occlusion.png", "--window", "32", "--step", "32", *SMALL],
    "train": ["labelled", "-o", "run", "--device", "cpu", "--threads", "1", *LEARN.split()],
}
WITH_STEPS = ("style", "texture", "invert", "class-model", "train")


def road(verb: str) -> dict:
    """Run a verb in a process of its own and count.

    Parameters
    ----------
    verb : str
        A key of `RUNS`.

    Returns
    -------
    dict
        verb, files, road, functions, arguments: as in the table above; moves: None for a verb
        that has no optimizer; entered: list of [file, function], the files of the road in the
        order in which they are entered first.

    Raises
    ------
    RuntimeError
        If the run fails or cannot be followed; the message holds what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder))
        script = f"import sys; sys.path[:0] = {[str(ROOT / 'tools'), str(ROOT)]!r}; import roads; "
        done = subprocess.run(
            [sys.executable, "-c", f"{script}roads.follow({verb!r}, 'road.json')"],
            cwd=folder,
            env={**os.environ, "MINICNN_CACHE": str(Path(folder) / "cache")},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{verb} could not be followed:\n{done.stdout}{done.stderr}")
        return {"verb": verb, **json.loads((Path(folder) / "road.json").read_text())}


def draw_pictures(folder: Path) -> None:
    """Draw two small data sets into a folder: `pictures`, and `labelled` for training."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    labelled = [f"labelled/{split}/{kind}" for split in ("train", "val") for kind in "ab"]
    for name, side in (("pictures", 96), *((name, 16) for name in labelled)):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            blobs = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            blobs.resize((side, side), Image.Resampling.BICUBIC).save(folder / name / f"{i}.png")


def follow(verb: str, output: str) -> None:
    """Run a verb in this process, in the folder that is current, and write the counts as JSON."""
    from minicnn.cli import main

    hook = Hook()
    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        code = main([verb, *RUNS[verb], "--quiet"])
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    if code:
        sys.exit(f"exit code {code}")
    Path(output).write_text(json.dumps(hook.counts(needs_step=verb in WITH_STEPS)))


class Hook:
    """A profile hook that keeps which functions of the package are called, and from where."""

    def __init__(self, package: Path = PACKAGE):
        self.prefix = f"{package}{os.sep}"
        self.files = {}  # file name of a code object -> file within the package, or None
        self.functions = {}  # code object -> [file, function], in the order of the first calls
        self.parsed = {}  # the same, before the arguments are read
        self.generators = set()  # frames of those that have begun
        self.moves = 0
        self.reading, self.stepped = True, False

    def __call__(self, frame, event, _):
        """Take note of a call."""
        if event == "call":
            self._called(frame)
        elif event == "return" and self.reading and frame.f_code.co_name == "parse_args":
            self._begin(frame.f_back)

    def _begin(self, frame):
        """Begin to count; the functions that are being executed belong to the road."""
        self.reading = False
        running = []
        while frame:
            if self._counts(frame):
                running.append(frame)
            frame = frame.f_back
        for frame in reversed(running):
            self._keep(self.functions, frame)

    def _called(self, frame):
        if not self._counts(frame):
            return
        if self.reading:
            self._keep(self.parsed, frame)
            return
        self._keep(self.functions, frame)
        if frame.f_code.co_name in STEPS:
            self.stepped = True
        elif not self.stepped and on_road(self._file(frame)):
            caller = self._caller(frame)
            self.moves += on_road(caller) and caller != self._file(frame)

    def _counts(self, frame):
        """Return whether a frame is a call of a function of the package, not made by an import."""
        code = frame.f_code
        if self._file(frame) is None or not code.co_flags & CO_OPTIMIZED or code.co_name in INLINE:
            return False
        if code.co_flags & CO_GENERATOR:  # the hook is called whenever one goes on
            if frame in self.generators:
                return False
            self.generators.add(frame)
        if code in self.functions:
            return True
        while frame := frame.f_back:
            if frame.f_code.co_name == "<module>" and self._file(frame):
                return False
        return True

    def _keep(self, table, frame):
        code = frame.f_code
        if code not in table:
            table[code] = [self._file(frame), getattr(code, "co_qualname", code.co_name)]

    def _file(self, frame):
        name = frame.f_code.co_filename
        if name not in self.files:
            inside = name.startswith(self.prefix)
            self.files[name] = name[len(self.prefix) :].replace(os.sep, "/") if inside else None
        return self.files[name]

    def _caller(self, frame):
        """Return the file of the package nearest below a frame on the stack."""
        while frame := frame.f_back:
            if self._file(frame):
                return self._file(frame)
        return None

    def counts(self, needs_step: bool) -> dict:
        """Return the figures; see `road`."""
        if self.reading:
            sys.exit("no function parse_args has returned: where are the arguments read now?")
        if needs_step and not self.stepped:
            sys.exit(f"none of {', '.join(STEPS)} was called: what is a first step now?")
        entered = {}
        for file, function in self.functions.values():
            entered.setdefault(file, function)
        along = [[file, function] for file, function in entered.items() if on_road(file)]
        return {
            "files": len(entered),
            "road": len(along),
            "functions": len(self.functions),
            "moves": self.moves if needs_step else None,
            "arguments": len({file for file, _ in self.parsed.values() if on_road(file)}),
            "entered": along,
        }


def on_road(file: str | None) -> bool:
    """Return whether a file of the package, such as "cli/style.py", lies on the road."""
    return file is not None and file.partition("/")[0] in ROAD


def main(argv=None):
    """Print the roads of verbs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("verbs", metavar="VERB", nargs="*", help=f"of {', '.join(RUNS)}")
    parser.add_argument("--list", action="store_true", help="also the files of the road in order")
    parser.add_argument("--json", action="store_true", help="a JSON line for each verb")
    args = parser.parse_args(argv)
    if unknown := [verb for verb in args.verbs if verb not in RUNS]:
        parser.error(f"no road for {', '.join(unknown)}; choose from {', '.join(RUNS)}")
    columns = ("verb", "files", "road", "functions", "moves", "arguments")
    if not args.json:
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for verb in args.verbs or RUNS:
        found = road(verb)
        if args.json:
            print(json.dumps(found), flush=True)
            continue
        shown = ("" if found[name] is None else found[name] for name in columns)
        print(f"| {' | '.join(map(str, shown))} |", flush=True)
        if args.list:
            for i, (file, function) in enumerate(found["entered"], 1):
                print(f"{i:4}  {file}  {function}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"roads: error: {error}")
