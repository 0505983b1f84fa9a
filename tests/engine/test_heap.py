import platform
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.engine import heap

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")
RESIDENT = """
import numpy as np
from minicnn.engine import heap, memory

def resident():
    return memory._field("/proc/self/status", "VmRSS")
"""


@glibc
def test_after_a_release_a_large_array_goes_back_to_the_system_at_once():
    source = (
        RESIDENT
        + """
np.ones(2 << 20)  # freed, 16 MB: glibc would keep what comes next
heap.release()
large, above = np.ones(2 << 20), [bytes(100_000) for _ in range(8)]
before = resident()
del large
print(before - resident())
"""
    )
    given_back = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    assert int(given_back.stdout) > 15e6


@glibc
def test_what_steps_have_used_is_given_back_behind_them():
    source = (
        RESIDENT
        + """
with heap.reused():
    large, above = np.ones(2 << 20), [bytes(100_000) for _ in range(8)]
    before = resident()
    del large
    print(before - resident())
print(before - resident())
"""
    )
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    meanwhile, behind = map(int, found.stdout.split())
    assert meanwhile < 1e6
    assert behind > 15e6


ALIKE = """
import resource
import numpy as np
from minicnn.engine import heap
from minicnn.engine.cpu.workers import step_pool

def cleared():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def four_times(step):
    for times in range(4):
        before = cleared()
        step()
        print(cleared() - before)
"""
RELEASED = """
heap.release()
four_times(lambda: [np.ones(1 << 18) for _ in range(8)])  # of 2 MB
"""
REUSED = """
with heap.reused():
    four_times(lambda: [np.ones(2 << 20), np.ones(1 << 18)])
"""
TRAINING = """
with step_pool(2) as pool:
    four_times(lambda: list(pool.map(lambda _: [np.ones(10 << 20), np.ones(10 << 20)], "ab")))
"""


@glibc
@pytest.mark.parametrize("steps", [RELEASED, REUSED, TRAINING], ids=["small", "all", "training"])
def test_steps_that_are_alike_use_the_same_memory_again(steps):
    source = ALIKE + steps
    pages = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    first, *_, last = map(int, pages.stdout.split())
    assert last < first / 10


@glibc
@pytest.mark.parametrize("engine", ["explicit", "fast"])
def test_a_run_of_the_library_leaves_nothing_behind(engine):
    source = (
        RESIDENT
        + f"""
from minicnn import run

a = np.random.default_rng(0).integers(0, 256, (192, 256, 3), np.uint8)
settings = dict(content=a, style=a, size=256, scales=1, iterations=2, engine="{engine}")
made = run("style", **settings)
before = resident()
heap.restore()
print(before - resident())
"""
    )
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    assert int(found.stdout) < 2e6


@pytest.mark.parametrize(("engine", "times"), [("explicit", 1), ("fast", 0)])
def test_a_search_that_owns_no_memory_uses_it_again(tmp_path, rng, monkeypatch, engine, times):
    contexts = []
    monkeypatch.setattr(heap, "reused", lambda: contexts.append("") or nullcontext())
    path, out = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    words = ["--engine", engine, "--size", "64", "--scales", "1", "--iterations", "1"]
    assert main(["style", path, path, "-o", out, *words]) == 0
    assert len(contexts) == times
