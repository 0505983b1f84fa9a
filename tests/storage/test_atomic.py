"""Files are whole or not there, whatever becomes of the disk, the run and its rivals."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.storage.atomic import write_whole
from minicnn.storage.hdf5 import load_arrays, save_arrays
from minicnn.storage.npz import save_npz

WRITERS = {
    "bytes": lambda path: write_whole(path, bytes(200_000)),
    "hdf5": lambda path: save_arrays(path, {"a": np.arange(50_000.0)}, compression=False),
    "npz": lambda path: save_npz(path, {"a": np.random.default_rng(0).random(50_000)}, force=True),
}
FULL = """
import resource, sys
sys.path[:0] = {path!r}
from test_atomic import WRITERS
from minicnn.errors import MinicnnError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    WRITERS[{name!r}]("a.npz")
except MinicnnError as error:
    print(error)
"""


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("there", [b"", b"old"])
def test_a_disk_that_is_full_is_one_line_and_keeps_the_old_file(name, there, tmp_path):
    """In a process of its own: libhdf5 used to crash, at the latest when the process ended."""
    if there:
        (tmp_path / "a.npz").write_bytes(there)
    script = FULL.format(name=name, path=[os.path.dirname(__file__), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("cannot write 'a.npz': File too large")
    assert run.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == (["a.npz"] if there else [])
    assert not there or (tmp_path / "a.npz").read_bytes() == there


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from minicnn.storage.atomic import write_whole
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_whole("a", b"half")
"""


def test_what_a_killed_run_has_left_goes_with_the_next(tmp_path):
    script = [sys.executable, "-c", KILLED.format(path=sys.path)]
    assert subprocess.run(script, cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 1
    write_whole(tmp_path / "b", b"of another name")
    assert len(os.listdir(tmp_path)) == 2
    write_whole(tmp_path / "a", b"whole")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_many_writers_leave_one_whole_file(tmp_path):
    jobs = [
        threading.Thread(target=write_whole, args=(tmp_path / "a", bytes([i]) * 300_000))
        for i in range(8)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert os.listdir(tmp_path) == ["a"]
    data = (tmp_path / "a").read_bytes()
    assert data == data[:1] * 300_000


def test_a_temporary_that_is_a_link_is_not_followed(tmp_path):
    write_whole(tmp_path / "victim", b"mine")
    names = []
    real = os.replace

    def spy(source, target):
        names.append(source)
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", spy)
        write_whole(tmp_path / "a", b"1")
    os.symlink(tmp_path / "victim", names[0])
    with pytest.raises(MinicnnError, match="cannot write"):
        write_whole(tmp_path / "a", b"2")
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_the_bytes_of_a_file_depend_on_its_content_alone(tmp_path):
    arrays, attrs = {"a": np.arange(5000.0), "b/c": np.eye(3)}, {"x": [1.0, 2.0], "y": {"z": None}}
    for name in ("one.h5", "another.h5"):
        save_arrays(tmp_path / name, arrays, attrs)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "another.h5").read_bytes()
    found, told = load_arrays(tmp_path / "one.h5")
    assert json.dumps(told) == json.dumps(attrs)
    assert all((found[name] == array).all() for name, array in arrays.items())
