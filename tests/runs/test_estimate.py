"""--estimate against what runs take; memory limits of machines, containers and processes."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.engine.tiled import TiledWalk
from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults as style_presets
from minicnn.methods.inversion.settings import InvertSettings
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.training.settings import TrainSettings
from minicnn.network import build
from minicnn.runs.estimate import estimate, host_memory, option, sample_run, sample_sizes


@pytest.fixture
def pictures(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for name in ("content", "style"):
        pixels = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((12, 12, 1)))
        paths.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


def settings(pictures, **changes):
    base = {"size": 96, "scales": 1, "iterations": 5, "threads": 1}
    return StyleSettings(*pictures, **{**base, **changes})


def linear(
    verb,
    settings,
    iterations,
    base=100e6,
    bytes_a_pixel=2000.0,
    seconds_a_pixel=1e-6,
    patience=None,
):
    """A machine on which everything is a straight line."""
    pixels = settings.size * settings.size * 3 // 4
    return {
        "pixels": pixels,
        "shape": (settings.size * 3 // 4, settings.size),
        "seconds": 1e-3 + seconds_a_pixel * pixels,
        "setup": 0.5,
        "iterations": iterations,
        "peak": base + bytes_a_pixel * pixels,
    }


# what the short runs become


def test_straight_lines_are_followed(pictures, monkeypatch):
    asked = []

    def watched(verb, s, iterations, patience=None):
        asked.append((s.size, s.style_size, s.scales, iterations))
        return linear(verb, s, iterations)

    monkeypatch.setattr(sample_run, "sample", watched)
    wanted = settings(pictures, size=2048, scales=3, iterations=100, coarse_iterations=10)
    found = estimate.picture(wanted)
    areas = [2048 * 1536 // 16**k for k in (2, 1, 0)]
    areas = [(2048 >> k) * (1536 >> k) for k in (2, 1, 0)]
    per = estimate.PER_ITERATION["lbfgs"]
    counts = (10, 10, 100)
    seconds = 0.5 + sum(
        (1 + n * per) * (1e-3 + 1e-6 * a) for n, a in zip(counts, areas, strict=True)
    )
    assert found.seconds == pytest.approx(seconds, rel=0.01)
    assert found.peak == pytest.approx(100e6 + 2000 * 2048 * 1536, rel=0.01)
    assert 2 <= len(asked) <= len(sample_sizes.PIXELS)
    assert all(side == style and scales == 1 for side, style, scales, _ in asked)
    assert max(side for side, *_ in asked) < 1000


def test_a_small_picture_is_measured_itself(pictures, monkeypatch):
    asked = []
    monkeypatch.setattr(
        sample_run,
        "sample",
        lambda v, s, iterations, patience: asked.append(s) or linear(v, s, iterations),
    )
    estimate.picture(settings(pictures, size=100))
    assert [s.size for s in asked] == [100]


def test_pairs_not_yet_remembered_are_counted(pictures, monkeypatch):
    def slow(verb, s, iterations, patience=None):
        return {**linear(verb, s, iterations), "seconds": 100.0, "iterations": 3}

    monkeypatch.setattr(sample_run, "sample", slow)
    plain = 100e6 + 2000 * 1024 * 768
    for optimizer, each in (("lbfgs", 16), ("lbfgs-device", 8), ("adam", 0)):
        wanted = settings(pictures, size=1024, iterations=50, optimizer=optimizer)
        found = estimate.picture(wanted)
        assert found.peak == pytest.approx(plain + 7 * each * 3 * 1024 * 768, rel=0.01)


def test_evaluations_are_the_budget_where_they_are_given(pictures, monkeypatch):
    monkeypatch.setattr(sample_run, "sample", linear)
    few, many = (estimate.picture(settings(pictures, size=512, evaluations=n)) for n in (10, 20))
    each = 1e-3 + 1e-6 * 512 * 384
    assert few.seconds == pytest.approx(0.5 + (1 + 5 * 1.04) * each)  # 5 iterations end it before
    assert many.seconds == few.seconds
    free = estimate.picture(settings(pictures, size=512, evaluations=20, iterations=None))
    assert free.seconds == pytest.approx(0.5 + 20 * each)


def test_each_restart_has_its_evaluations(pictures, monkeypatch):
    def sample(verb, s, **request):
        shape = (s.height, s.width)
        return {**linear(verb, settings(pictures), 3), "pixels": 64 * 64, "shape": shape}

    monkeypatch.setattr(sample_run, "sample", sample)
    wanted = InvertSettings(pictures[0], layers=["relu2_1"], restarts=3, evaluations=20)
    each = linear(None, settings(pictures), 3)
    assert estimate.picture(wanted).seconds == pytest.approx(0.5 + 3 * 20 * each["seconds"])


def test_no_term_of_a_line_is_negative():
    line = estimate._line([1, 2, 4], [1.0, 2.2, 4.8])  # would start below 0
    assert line(0) >= 0
    assert estimate._line([10], [5.0])(20) == 10


def test_what_does_not_fit_gets_a_size_that_does(pictures, monkeypatch):
    monkeypatch.setattr(sample_run, "sample", linear)
    monkeypatch.setattr(host_memory, "available", lambda: 4_000_000_000)
    found = estimate.picture(settings(pictures, size=2048))
    assert found.fits is False
    side = int(found.advice.split()[1])
    assert found.advice == f"--size {side} or --tile 512 would fit"
    assert 100e6 + 2000 * side * side * 3 / 4 <= 3.6e9 < 100e6 + 2000 * (side + 2) ** 2 * 3 / 4
    monkeypatch.setattr(host_memory, "available", lambda: 50_000_000)
    assert estimate.picture(settings(pictures, size=2048)).advice == "no size would fit"
    monkeypatch.setattr(host_memory, "available", lambda: None)
    assert estimate.picture(settings(pictures, size=2048)).fits is None


def test_tiles_take_longer_by_their_halos(pictures, monkeypatch):
    monkeypatch.setattr(sample_run, "sample", tiled)
    wanted = settings(pictures, size=1024, tile=128, iterations=100)
    found = estimate.picture(wanted)
    seconds = 0.5 + (1 + 100 * 1.04) * tiled(None, wanted, 3)["seconds"]
    assert found.seconds == pytest.approx(seconds, rel=0.01)


def tiled(verb, s, iterations, patience=None):
    """A machine that takes its time for the pixels of the crops."""
    shape = (s.size * 3 // 4, s.size)
    layers = style_presets.STYLE["minivgg"]
    names = [*layers.content_layers, *layers.style_layers]
    cut = TiledWalk(build.skeleton("minivgg"), None, s.tile).tiles(names, (1, 3, *shape))
    worked = sum(np.prod([b - a for a, b in tile.crop]) for tile in cut)
    assert worked > 1.2 * np.prod(shape)
    return {**linear(verb, s, iterations), "seconds": 1e-3 + 1e-6 * worked}


def test_runs_of_equal_cost_are_measured_once(pictures, monkeypatch):
    asked = []

    def watched(verb, s, iterations, patience=None):
        asked.append(s)
        return linear(verb, s, iterations)

    monkeypatch.setattr(sample_run, "sample", watched)
    small, large = (settings(pictures, size=size, iterations=20) for size in (48, 100))
    many = [replace(s, style_weight=w) for s in (small, large) for w in (1.0, 10.0)]
    found = estimate.pictures(many)
    assert len(asked) == 2
    alone = [estimate.picture(s) for s in (small, large)]
    assert found.seconds == pytest.approx(2 * sum(e.seconds for e in alone))
    assert found.peak == max(e.peak for e in alone)
    asked.clear()  # without a content term the layers for it are not computed
    estimate.pictures([small, replace(small, content_weight=0.0)])
    assert len(asked) == 2


def test_shares_of_sizes_stay(pictures):
    half = sample_sizes.resized(settings(pictures, size=400, style_size=[200, 100], scales=2), 0.5)
    assert (half.size, half.style_size, half.scales) == (200, [100, 50], 1)


# real short runs


def test_a_real_estimate_holds_for_memory(pictures):
    wanted = settings(pictures, size=144, iterations=4)
    took = sample_run.sample("style", wanted.prepare().settings, iterations=4)
    assert took["pixels"] == 144 * 108
    assert took["iterations"] == 4
    assert took["seconds"] > 0
    samples = [took]
    for size in (72, 100):
        smaller = replace(wanted, size=size, style_size=size)
        samples.append(sample_run.sample("style", smaller, iterations=4))
    small = samples[1:]
    line = estimate._line([s["pixels"] for s in small], [s["peak"] for s in small])
    assert line(took["pixels"]) == pytest.approx(took["peak"], rel=0.15)


def test_the_command_says_it_and_writes_nothing(pictures, tmp_path, capsys):
    out = tmp_path / "out.png"
    arguments = ["style", *pictures, "-o", str(out), "--size", "72", "--iterations", "3"]
    assert main([*arguments, "--scales", "1", "--estimate", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["peak"] > 30e6
    assert event["seconds"] > 0
    assert event["fits"] is True
    assert not out.exists()
    assert main([*arguments, "--estimate"]) == 0
    assert capsys.readouterr().out.startswith("memory: ")


def test_bad_settings_fail_before_anything_is_measured(pictures, monkeypatch, capsys):
    monkeypatch.setattr(sample_run, "sample", None)
    assert main(["style", *pictures, "-o", "x.png", "--size", "8", "--estimate"]) == 1
    assert "too small" in capsys.readouterr().err


def test_an_error_of_the_short_run_is_one_line(pictures):
    with pytest.raises(MinicnnError, match="there is no file"):
        sample_run.sample("style", settings([pictures[0], "nowhere.png"]), iterations=3)
    with pytest.raises(MinicnnError, match="cannot estimate, the short run failed"):
        sample_run.sample("style", {"no": "settings"}, iterations=3)


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(5)
    for split, count in (("train", 16), ("val", 4)):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "data"


def test_a_training_is_estimated_from_its_first_steps(data, tmp_path, capsys):
    numbers = {"epochs": 3, "batch": 8, "group": 8, "size": 12, "crop": 10, "threads": 1}
    s = TrainSettings(data=str(data), output=str(tmp_path / "never"), **numbers)
    took = sample_run.sample("train", s)
    assert took["steps"] == 3 * 4
    found = estimate.repeated("train", s)
    assert found.peak > 30e6
    assert found.seconds > 0
    options = [part for name, n in numbers.items() for part in (f"--{name}", str(n))]
    folder = tmp_path / "run"
    assert main(["train", str(data), "-o", str(folder), "--estimate", *options]) == 0
    assert "time: " in capsys.readouterr().out
    assert not folder.exists()


def test_a_scan_is_estimated_from_its_first_groups(data, tmp_path, capsys):
    folder = tmp_path / "features"
    arguments = ["features", str(data), "--split", "train", "-o", str(folder), "--estimate"]
    assert main([*arguments, "--layers", "relu1_1", "--threads", "1", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["fits"] is True
    assert event["peak"] > 30e6
    assert event["measured"] == ["32 pictures of 32; drawing the sheets comes on top"]
    assert not folder.exists()


# out of memory


def test_out_of_memory_says_what_was_wanted_and_what_fits(pictures, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sample_run, "sample", linear)
    monkeypatch.setattr(host_memory, "available", lambda: 2**30)

    def fail(self, callback=None):
        raise np._core._exceptions._ArrayMemoryError((3, 1024, 1024, 1024), np.dtype("f4"))

    monkeypatch.setattr("minicnn.methods.style.job.Job.run", fail)
    arguments = ["style", *pictures, "-o", str(tmp_path / "x.png"), "--size", "2048"]
    assert main(arguments) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("minicnn: error: out of memory (wanted 12.0 GiB): the run needs about")
    assert "and there are 1.0 GiB; --size " in line
    assert line.endswith("would fit")


def test_out_of_memory_when_nothing_can_be_estimated(pictures, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(estimate, "picture", full)
    error = option.out_of_memory(settings(pictures), None, "")
    assert str(error) == "out of memory (no more could be had); use a smaller size"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit holds on Linux alone")
def test_a_real_limit_ends_in_one_line(pictures, tmp_path):
    code = (
        "import resource, sys; from minicnn.cli import main; "
        "import minicnn.methods.style.settings; "
        "from minicnn.runs.estimate import host_memory as m; "
        "size = m._status('VmSize') + 700 * 2**20; "
        "resource.setrlimit(resource.RLIMIT_AS, (size, size)); sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["style", *pictures, "-o", str(tmp_path / "x.png"), "--size", "1500"]
    arguments += ["--scales", "1", "--iterations", "1", "--threads", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("minicnn: error: out of memory (")


# how much memory there is


def machine(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


GIB = 2**30
MEMINFO = {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {8 * GIB // 1024} kB\n"}
V2 = {
    "proc/self/cgroup": "0::/box/inner\n",
    "sys/fs/cgroup/box/memory.max": f"{3 * GIB}\n",
    "sys/fs/cgroup/box/memory.current": f"{2 * GIB}\n",
    "sys/fs/cgroup/box/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
    "sys/fs/cgroup/box/inner/memory.max": "max\n",
    "sys/fs/cgroup/box/inner/memory.current": "7\n",
}
V1 = {
    "proc/self/cgroup": "3:cpu:/other\n5:memory:/box\n0::/\n",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{GIB}\n",
    "sys/fs/cgroup/memory/box/memory.stat": "cache 3\ntotal_inactive_file 0\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (MEMINFO, 8 * GIB),
        ({**MEMINFO, **V2}, 1.5 * GIB),  # the limit of the group above holds
        ({**MEMINFO, **V1}, GIB),
        ({**MEMINFO, "proc/self/cgroup": "0::/gone\n", "sys/fs/cgroup/memory.max": "5"}, 8 * GIB),
        ({"proc/self/cgroup": "nonsense"}, None),
        ({}, None),
    ],
)
def test_available_is_the_least_of_all_limits(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(host_memory, "_rlimit", lambda: None)
    assert host_memory.available(machine(tmp_path, files)) == expected


def test_peak_grows_with_what_is_held():
    before = host_memory.peak()
    held = np.ones(20 << 20, np.uint8)
    assert host_memory.peak() >= max(before, held.nbytes)


def test_a_watch_sees_what_processes_hold_together():
    if host_memory.peak() is None or not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the system does not tell")
    program = (
        "import time; held = bytearray(b'x' * (60 << 20)); print(1, flush=True); time.sleep(9)"
    )
    with host_memory.watched() as most:
        before = most()
        children = [
            subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for child in children:
            child.stdout.readline()
        time.sleep(0.3)
        after = most()
        for child in children:
            child.kill()
            child.communicate()
    resident = host_memory._proportional(os.getpid())
    assert after >= max(before, resident + (120 << 20))
