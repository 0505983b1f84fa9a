"""Rows on a Dask cluster: the same bytes, and a killed worker loses its row alone."""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main

distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")  # Dask needs it

# what Dask warns of is not ours
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
COMMON = {"content": "a.png", "style": "b.png", "size": 32, "iterations": 80, "threads": 1}


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with two pictures and a manifest of five rows, one of them wrong."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(name)
    jobs = [{**COMMON, "style-weight": w, "output": f"{w}.png"} for w in range(1, 5)]
    jobs.append({**COMMON, "content": "absent.png", "output": "5.png"})
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
        address, before = cluster.scheduler_address, {}
        killer = threading.Thread(
            target=kill_when, args=(psutil.Process(first), folder / "made", before), daemon=True
        )
        killer.start()
        capfd.readouterr()
        assert main(["batch", "jobs.jsonl", "-o", "made", "--scheduler", address, "--json"]) == 1
        *records, summary = map(json.loads, capfd.readouterr().out.splitlines())
        killer.join(60)
        with distributed.Client(cluster) as client:
            assert first not in client.run(os.getpid).values()
    assert [r["row"] for r in records] == [1, 2, 3, 4, 5]
    assert "no file 'absent.png'" in records[4]["message"]
    assert (summary["made"] + summary["finished"], summary["failed"]) == (4, 1)
    assert len(before) < 4, "the worker was killed too late to lose a row"
    after = pictures(folder / "made")
    for number, record in enumerate(records[:4], 1):
        name = f"{number}.png"
        if name in before:  # perhaps the dead worker's, which wrote it and could not say so
            assert record["status"] in ("made", "finished")
            assert after[name] == before[name], "made twice"
        else:
            assert record["status"] == "made"
        assert (folder / "alone" / name).read_bytes() == (folder / "made" / name).read_bytes()


def pictures(folder):
    """Return {name: inode} of the pictures in a folder; one that is made again has another."""
    return {path.name: path.stat().st_ino for path in folder.glob("?.png")}


def kill_when(process, folder, there):
    """Kill a process once 1.png is there, as it makes another one; note what is there then."""
    while not (folder / "1.png").exists():
        time.sleep(0.05)
    process.kill()
    process.wait()
    there.update(pictures(folder))
