"""Rows on a Dask cluster: the same bytes, and a killed worker loses its row alone."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main

distributed = pytest.importorskip("distributed")

# what Dask warns of is not ours
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
COMMON = {"content": "a.png", "style": "b.png", "size": 32, "iterations": 200, "threads": 1}


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with two pictures and a manifest of six rows, one of them wrong."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(name)
    jobs = [{**COMMON, "style-weight": w, "output": f"{w}.png"} for w in range(1, 6)]
    jobs.append({**COMMON, "content": "absent.png", "output": "6.png"})
    Path("jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    return tmp_path


def test_a_killed_worker_loses_its_row_alone(folder, capfd):
    assert main(["batch", "jobs.jsonl", "-o", "alone"]) == 1
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster) as client:
            client.wait_for_workers(2)
            first, *_ = client.run(os.getpid).values()
        address = cluster.scheduler_address
        when = first, Path("made", "1.png").absolute()
        threading.Thread(target=kill_when, args=when, daemon=True).start()
        capfd.readouterr()
        assert main(["batch", "jobs.jsonl", "-o", "made", "--scheduler", address, "--json"]) == 1
        *records, summary = map(json.loads, capfd.readouterr().out.splitlines())
        with distributed.Client(cluster) as client:
            assert first not in client.run(os.getpid).values()
    assert [r["row"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert [r["status"] for r in records[:5]] == ["made"] * 5
    assert "no file 'absent.png'" in records[5]["message"]
    assert (summary["made"], summary["failed"]) == (5, 1)
    for number in range(1, 6):
        one, other = (Path(where, f"{number}.png") for where in ("alone", "made"))
        assert one.read_bytes() == other.read_bytes()


def kill_when(process, file):
    """Kill a process once a file is there: it makes another one then."""
    while not file.exists():
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
