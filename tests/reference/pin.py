"""Fixed small runs, and the losses that they gave when they were pinned.

    python tests/reference/pin.py          makes losses.json again; look at what it says first

A change of numbers that no other test sees, such as another weight of a term or another start,
shows here. Runs are short, so that what BLAS libraries add up in different orders stays below the
tolerance; their pictures are made of whole numbers, the same on every machine. Make the file again
only for a change of numbers that is meant, and list it under *Numerics* in the changelog.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image

FILE = Path(__file__).with_name("losses.json")
SEED = 4  # of the pictures; with these, no unit lies so near 0 that rounding switches it
TOLERANCE = 1e-5  # relative; engines and BLAS kernels, old and new, differ by less than 3e-6
LIBRARIES = ("numpy", "scipy", "pillow")
SEARCH = "--iterations 2 --network minivgg"
STYLE = f"style content.png style.png -o out.png --size 96 {SEARCH}"
TEXTURE = f"texture style.png -o out.png --size 96x64 {SEARCH}"
RUNS = {
    "style": STYLE,
    "style with a preset": f"{STYLE} --preset gatys",
    "style with SciPy's L-BFGS": f"{STYLE} --optimizer lbfgs",
    # by seed 3 the second step, from 2.6 to 0.4, differs by 2e-5 with and without AVX-512
    "texture": f"{TEXTURE} --seed 1",
    "texture with SciPy's L-BFGS": f"{TEXTURE} --optimizer lbfgs",
    "invert": f"invert content.png -o out.png --layer relu3_1 {SEARCH}",
    "class-model": f"class-model --class 16 -o out.png --noise 20 {SEARCH}",
    "saliency": "saliency content.png -o out.png --npz out.npz --network minivgg",
    "train": "train labelled -o run --network minivgg-bn --epochs 1 --batch 16 --group 8 --size 32 "
    "--crop 24 --rate 0.001 --schedule constant",
}


def measure(name: str, folder: Path) -> dict:
    """Make a run in a folder of its own; return {figure: number or list of numbers}.

    A search gives its total loss at the start and after every iteration, `saliency` the sum of its
    map and the score of the class, `train` the mean loss of its epoch.
    """
    draw(folder)
    events = command(RUNS[name], folder)
    if name == "train":
        epoch = next(event for event in events if event["event"] == "epoch")
        return {"loss": epoch["loss"]}
    if name == "saliency":
        with np.load(folder / "out.npz") as arrays:
            total = arrays["map"].sum(dtype=np.float64)
        return {"map": float(total), "score": events[-1]["score"]}
    return {"total": events[-1]["trace"]["total"]}


def command(line: str, folder: Path) -> list:
    """Run a command in a folder, on the CPU; return the lines of JSON that it writes."""
    from minicnn.cli import main

    written, before = io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(written):
            code = main([*line.split(), "--device", "cpu", "--json"])
    finally:
        os.chdir(before)
    if code:
        raise RuntimeError(f"exit code {code} of: minicnn {line}")
    return [json.loads(line) for line in written.getvalue().splitlines()]


def draw(folder: Path) -> None:
    """Write the pictures of the runs into a folder: two, and a labelled data set."""
    rng = np.random.default_rng(SEED)
    save(folder / "content.png", blocks(rng, (72, 96), (24, 12, 1)))
    save(folder / "style.png", blocks(rng, (64, 96), (8, 4, 1)))
    for split, count in (("train", 16), ("val", 4)):
        for kind, sides in (("coarse", (16, 8, 1)), ("fine", (4, 2, 1))):
            for i in range(count):
                path = folder / "labelled" / split / kind / f"{i}.png"
                save(path, blocks(rng, (32, 32), sides))


def blocks(rng, shape, sides):
    """Return (H, W, 3) uint8: squares of random colours, of several sides, added up."""
    total = np.zeros((*shape, 3), np.int64)
    for side in sides:
        colours = rng.integers(0, 256, (shape[0] // side, shape[1] // side, 3))
        total += colours.repeat(side, axis=0).repeat(side, axis=1)
    return (total // len(sides)).astype(np.uint8)


def save(path: Path, picture) -> None:
    """Write a picture, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def pinned() -> dict:
    """Return what the file holds: {run: {"command", "losses"}}."""
    return json.loads(FILE.read_text())["runs"]


def difference(found, expected) -> float:
    """Return the largest relative difference of two results of `measure`; inf if unlike."""
    shapes = [{key: np.shape(value) for key, value in r.items()} for r in (found, expected)]
    if shapes[0] != shapes[1]:
        return np.inf
    return max(
        float(np.max(np.abs(np.subtract(found[key], expected[key])) / np.abs(expected[key])))
        for key in expected
    )


def main() -> None:
    """Measure all runs, say how far each is from what was pinned, and pin it."""
    before = pinned() if FILE.exists() else {}
    runs = {}
    for name, line in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            runs[name] = {"command": line, "losses": measure(name, Path(folder))}
        change = difference(runs[name]["losses"], before.get(name, {}).get("losses", {}))
        print(f"{name}: a relative change of {change:.1e}")
    libraries = {library: metadata.version(library) for library in LIBRARIES}
    made_by = {"script": "python tests/reference/pin.py", "libraries": libraries}
    FILE.write_text(json.dumps({"made_by": made_by, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
