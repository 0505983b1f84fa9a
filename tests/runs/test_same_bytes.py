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
SMALL = "--size 64 --scales 1 --iterations 25 --threads 2 --quiet".split()
STYLE = ["style", "content.png", "style.png", *SMALL, "-o"]
LIBRARY = """
import json
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.optimizers import minimize
import numpy as np

minimize("lbfgs", lambda x: (float(x @ x), 2 * x), np.ones(3), iterations=2)
settings = dict(content="content.png", style="style.png", size=64, scales=1, threads=2)
outcome = STYLE.open_job(StyleSettings(**settings, iterations=25)).run()
print(json.dumps(outcome.losses))
"""


def python(folder, blas, *words):
    """Return what a fresh process prints, whose BLAS may use so many threads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": str(blas)}
    command = [sys.executable, *words]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two pictures, and out.png, which a process with one BLAS thread has made."""
    folder, rng = tmp_path_factory.mktemp("bytes"), np.random.default_rng(0)
    for name, shape in (("content.png", (64, 64, 3)), ("style.png", (64, 64, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    python(folder, 1, "-m", "minicnn", *STYLE, "out.png")
    return folder


@pytest.mark.parametrize("blas", [2, 3])
def test_the_threads_of_the_environment_decide_nothing(folder, blas):
    python(folder, blas, "-m", "minicnn", *STYLE, f"out{blas}.png")
    assert (folder / f"out{blas}.png").read_bytes() == (folder / "out.png").read_bytes()


def test_a_rerun_is_the_same(folder):
    python(folder, 2, "-m", "minicnn", "rerun", "out.png", "-o", "again.png", "--check", "--quiet")
    assert (folder / "again.png").read_bytes() == (folder / "out.png").read_bytes()


def test_a_picture_of_a_sweep_is_the_same(folder):
    """The second of them, after another in the same process."""
    weight = read_metadata(folder / "out.png")["settings"]["style_weight"]
    sweep = ["--sweep", f"style-weight=1,{weight}"]
    python(folder, 2, "-m", "minicnn", *STYLE, "sweep.png", *sweep)
    made = folder / f"sweep-style-weight-{weight}.png"
    assert made.read_bytes() == (folder / "out.png").read_bytes()


def test_the_library_does_the_same(folder):
    losses = json.loads(python(folder, 2, "-c", LIBRARY))
    assert losses == read_metadata(folder / "out.png")["result"]["losses"]
