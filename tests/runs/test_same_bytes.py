"""The same settings give the same bytes, however a process was started and whatever ran before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.pictures.writer import read_metadata

ROOT = Path(__file__).resolve().parents[2]
# 3 * 64 * 64 numbers: BLAS sums as many on several threads, where it may
SMALL = {"content": "content.png", "style": "style.png", "size": 64, "scales": 1}
LONG = int(os.environ.get("MINICNN_ITERATIONS", "0"))
RUNS = [(LONG, threads) for threads in (1, 2, 3)] if LONG else [(25, 2)]  # iterations, ours
LIBRARY = """
import json, sys
import minicnn
from minicnn.optimizers import minimize
from minicnn.pictures import save_image
import numpy as np

minimize("lbfgs", lambda x: (float(x @ x), 2 * x), np.ones(3), iterations=2)
outcome = minicnn.run("style", **json.loads(sys.argv[1]))
save_image("library.png", outcome.picture)
print(json.dumps(outcome.losses))
"""


def python(folder, blas, *words):
    """Return what a fresh process prints, whose BLAS may use so many threads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": str(blas)}
    command = [sys.executable, *words]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=RUNS, ids="{0[0]}-{0[1]}".format)
def run(request, tmp_path_factory):
    """A folder with out.png, which a process with one BLAS thread has made, and its settings."""
    iterations, threads = request.param
    settings = {**SMALL, "iterations": iterations, "threads": threads}
    folder, rng = tmp_path_factory.mktemp("bytes"), np.random.default_rng(0)
    for name in ("content.png", "style.png"):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / name)
    style(folder, settings, 1, "out.png")
    return folder, settings


def style(folder, settings, blas, output, *more):
    """Paint by the verb in a fresh process."""
    words = [f"--{name}={value}" for name, value in settings.items() if name not in SMALL]
    words += ["content.png", "style.png", "--size=64", "--scales=1", "--quiet", "-o", output]
    python(folder, blas, "-m", "minicnn", "style", *words, *more)


@pytest.mark.parametrize("blas", [2, 3])
def test_the_threads_of_the_environment_decide_nothing(run, blas):
    folder, settings = run
    style(folder, settings, blas, f"out{blas}.png")
    assert (folder / f"out{blas}.png").read_bytes() == (folder / "out.png").read_bytes()


def test_a_rerun_is_the_same(run):
    folder, _ = run
    python(folder, 2, "-m", "minicnn", "rerun", "out.png", "-o", "again.png", "--check", "--quiet")
    assert (folder / "again.png").read_bytes() == (folder / "out.png").read_bytes()


def test_a_picture_of_a_sweep_is_the_same(run):
    """The second of them, after another in the same process."""
    folder, settings = run
    weight = read_metadata(folder / "out.png")["settings"]["style_weight"]
    style(folder, settings, 3, "sweep.png", "--sweep", f"style-weight=1,{weight}")
    made = folder / f"sweep-style-weight-{weight}.png"
    assert made.read_bytes() == (folder / "out.png").read_bytes()


def test_a_row_of_a_batch_is_the_same(run):
    """The second of them, in another process than the first."""
    folder, settings = run
    rows = [{**settings, "iterations": 1, "output": "1.png"}, {**settings, "output": "2.png"}]
    (folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    python(folder, 2, "-m", "minicnn", "batch", "jobs.jsonl", "-o", "made", "--jobs=2", "--quiet")
    assert (folder / "made" / "2.png").read_bytes() == (folder / "out.png").read_bytes()


def test_the_library_does_the_same(run):
    folder, settings = run
    losses = json.loads(python(folder, 3, "-c", LIBRARY, json.dumps(settings)))
    assert losses == read_metadata(folder / "out.png")["result"]["losses"]
    one, other = (Image.open(folder / name).tobytes() for name in ("library.png", "out.png"))
    assert one == other
