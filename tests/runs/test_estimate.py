"""--estimate against what runs take; memory limits of machines, containers and processes."""

import json
import math
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.engine import memory
from minicnn.engine.tiled import TiledEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.methods.classes.settings import ClassModelSettings
from minicnn.methods.classes.verbs import CLASS_MODEL
from minicnn.methods.inversion.settings import InvertSettings
from minicnn.methods.inversion.verb import INVERT
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.methods.texture.settings import TextureSettings
from minicnn.methods.texture.verb import TEXTURE
from minicnn.methods.training import estimate as training_estimate
from minicnn.methods.training.settings import TrainSettings
from minicnn.network import build
from minicnn.runs.estimate import estimate, option, sample_run


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


def linear(s, files, iterations, seconds_a_pixel=1e-6):
    """A machine on which everything is a straight line."""
    pixels = s.size * s.size * 3 // 4
    pairs = min(iterations, 10) * estimate.PAIR.get(s.optimizer, 0)
    return {
        "pixels": pixels,
        "shape": (s.size * 3 // 4, s.size),
        "seconds": 1e-3 + seconds_a_pixel * pixels,
        "setup": 0.5,
        "iterations": iterations,
        "runs": 1,
        "peak": 100e6 + (2000.0 + pairs) * pixels,
    }


@pytest.fixture
def machine(monkeypatch):
    """What takes the place of a short run; `asked` are the settings and iterations of each."""

    def there_is(run):
        asked = []

        def watched(verb, s, files, iterations):
            asked.append((s, iterations))
            return run(s, files, iterations)

        monkeypatch.setattr(sample_run, "picture", watched)
        return asked

    monkeypatch.setattr(
        sample_run, "measured", lambda work, *args, patience=None: list(work(*args))
    )
    there_is(linear)
    return there_is


def told(s, verb=STYLE):
    return estimate.pictures(verb, [s])


# what the short runs become


def test_straight_lines_are_followed(pictures, machine):
    asked = machine(linear)
    wanted = settings(pictures, size=2048, scales=3, iterations=120, coarse_iterations=10)
    found = told(wanted)
    areas = [(2048 >> k) * (1536 >> k) for k in (2, 1, 0)]
    per = estimate.PER_ITERATION
    counts = (10, 10, 100)
    seconds = 0.5 + sum(
        (1 + n * per) * (1e-3 + 1e-6 * a) for n, a in zip(counts, areas, strict=True)
    )
    assert found.seconds == pytest.approx(seconds, rel=0.01)
    assert found.peak == pytest.approx(100e6 + (2000 + 10 * 24) * 2048 * 1536, rel=0.01)
    assert [iterations for _, iterations in asked] == [13, 13]
    assert all(s.size == s.style_size and s.scales == 1 for s, _ in asked)
    areas = [s.size**2 * 3 / 4 for s, _ in asked]
    assert areas == pytest.approx(sample_run.PIXELS, rel=0.01)


def test_a_small_picture_is_measured_itself(pictures, machine):
    asked = machine(linear)
    told(settings(pictures, size=100))
    assert [s.size for s, _ in asked] == [100]


@pytest.mark.parametrize("least", [350, 5000])
def test_sizes_that_are_too_small_are_left_out(pictures, machine, least):
    def run(s, files, iterations):
        if s.size < least:
            raise MinicnnError(f"too small: {s.size}")
        return linear(s, files, iterations)

    asked = machine(run)
    wanted = settings(pictures, size=2000)
    if least < 2000:
        assert told(wanted).peak == pytest.approx(100e6 + (2000 + 5 * 24) * 2000 * 1500, rel=0.01)
        assert [s.size for s, _ in asked] == [314, 591, 2000]
    else:
        with pytest.raises(MinicnnError, match="too small: 2000"):
            told(wanted)


def test_pairs_not_yet_remembered_are_counted(pictures, machine):
    asked = machine(lambda *args: {**linear(*args), "seconds": 100.0})
    for optimizer, each in (("lbfgs", 48), ("lbfgs-device", 24), ("adam", 0)):
        found = told(settings(pictures, size=1024, iterations=50, optimizer=optimizer))
        assert found.peak == pytest.approx(100e6 + (2000 + 10 * each) * 1024 * 768, rel=0.01)
        assert [iterations for _, iterations in asked[-2:]] == [13, 3]


def test_evaluations_are_the_budget_where_they_are_given(pictures, machine):
    few, many = (told(settings(pictures, size=512, evaluations=n)) for n in (10, 20))
    each = 1e-3 + 1e-6 * 512 * 384
    assert few.seconds == pytest.approx(
        0.5 + (1 + 5 * 1.04) * each, rel=1e-3
    )  # 5 iterations end it before
    assert many.seconds == few.seconds
    free = told(settings(pictures, size=512, evaluations=20, iterations=None))
    assert free.seconds == pytest.approx(0.5 + 20 * each, rel=1e-3)


def test_each_restart_has_its_evaluations(pictures, machine):
    each = linear(settings(pictures), None, 3)
    machine(lambda s, *_: {**each, "pixels": 64 * 64, "shape": (s.height, s.width)})
    wanted = InvertSettings(pictures[0], layers=["relu2_1"], restarts=3, evaluations=20)
    assert told(wanted, INVERT).seconds == pytest.approx(0.5 + 3 * 20 * each["seconds"])


def test_no_term_of_a_line_is_negative():
    line = estimate.line_through([1, 4], [1.0, 4.8])  # would start below 0
    assert (line(0), line(4)) == (0, pytest.approx(4.8))
    falling = estimate.line_through([1, 4], [5.0, 4.0])
    assert falling(100) == 4.0
    assert estimate.line_through([10], [5.0])(20) == 10


def test_what_does_not_fit_gets_a_size_that_does(pictures, machine, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 4_000_000_000)
    wanted = settings(pictures, size=2048, optimizer="adam")
    found = told(wanted)
    assert found.fits is False
    side = int(found.advice.split()[1])
    assert found.advice == f"--size {side} or --tile 1024 would fit"
    assert 100e6 + 2000 * side * side * 3 / 4 <= 3.6e9 < 100e6 + 2000 * (side + 2) ** 2 * 3 / 4
    monkeypatch.setattr(memory, "available", lambda: 50_000_000)
    assert told(wanted).advice == "no size would fit"
    monkeypatch.setattr(memory, "available", lambda: None)
    assert told(wanted).fits is None


def test_tiles_take_longer_by_their_halos(pictures, machine):
    asked = machine(tiled)
    wanted = settings(pictures, size=1024, tile=128, iterations=100)
    found = told(wanted)
    seconds = 0.5 + (1 + 100 * 1.04) * tiled(wanted, None, 3)["seconds"]
    assert found.seconds == pytest.approx(seconds, rel=0.01)
    assert [s.size**2 * 3 / 4 for s, _ in asked] == pytest.approx([256**2, 384**2], rel=0.01)


def tiled(s, files, iterations):
    """A machine that takes its time for the pixels of the crops."""
    shape = (s.size * 3 // 4, s.size)
    layers = network_defaults.STYLE["minivgg"]
    names = [*layers.content_layers, *layers.style_layers]
    cut = TiledEvaluator(build.skeleton("minivgg"), None, s.tile).tiles(names, (1, 3, *shape))
    worked = sum(np.prod([b - a for a, b in tile.crop]) for tile in cut)
    assert worked > 1.2 * np.prod(shape)
    return {**linear(s, files, iterations), "seconds": 1e-3 + 1e-6 * worked}


def test_runs_of_equal_cost_are_measured_once(pictures, machine):
    asked = machine(linear)
    small, large = (settings(pictures, size=size, iterations=20) for size in (48, 100))
    many = [replace(s, style_weight=w) for s in (small, large) for w in (1.0, 10.0)]
    found = estimate.pictures(STYLE, many)
    assert len(asked) == 2
    alone = [told(s) for s in (small, large)]
    assert found.seconds == pytest.approx(2 * sum(e.seconds for e in alone))
    assert found.peak == max(e.peak for e in alone)
    asked.clear()  # without a content term the layers for it are not computed
    estimate.pictures(STYLE, [small, replace(small, content_weight=0.0)])
    assert len(asked) == 2


def test_shares_of_sizes_stay(pictures):
    half = sample_run.resized(settings(pictures, size=400, style_size=[200, 100], scales=2), 0.5)
    assert (half.size, half.style_size, half.scales) == (200, [100, 50], 1)


# real short runs


def measured(s, pixels):
    resolved = STYLE.open_job(s).settings
    return sample_run.measured(sample_run.pictures, STYLE, resolved, None, pixels, 5.0)


def test_a_real_estimate_holds_for_memory(pictures):
    samples = []
    for size in (100, 144, 216):
        samples += measured(settings(pictures, size=size), size * size * 3 // 4)
    took = samples.pop()
    assert took["shape"] == (162, 216)
    assert (took["pixels"], took["iterations"]) == (162 * 216, sample_run.ITERATIONS[-1])
    assert took["seconds"] > 0
    line = estimate.line_through([s["pixels"] for s in samples], [s["peak"] for s in samples])
    assert line(took["pixels"]) == pytest.approx(took["peak"], rel=0.15)


def test_the_second_run_of_a_process_takes_the_memory_that_it_takes_alone(pictures):
    wanted = settings(pictures, size=384)
    small, large = measured(wanted, 384 * 288)
    assert large["shape"] == (288, 384)
    assert small["pixels"] == pytest.approx(sample_run.PIXELS[0], rel=0.01)
    code = (
        "import pickle, sys; from minicnn.engine import memory; "
        "from minicnn.runs.estimate import sample_run; "
        "verb, settings, iterations = pickle.load(sys.stdin.buffer); "
        "sample_run.picture(verb, settings, None, iterations); "
        "print(memory.peak())"
    )
    alone_settings = replace(STYLE.open_job(wanted).settings, scales=1)
    request = pickle.dumps((STYLE, alone_settings, large["iterations"]))
    alone = subprocess.check_output([sys.executable, "-c", code], input=request)
    assert large["peak"] == pytest.approx(int(alone), rel=0.1)


def test_what_searches_several_times_is_measured_whole(pictures, monkeypatch):
    several, taken = sample_run.measured, []
    each = 1 + 4 * estimate.PER_ITERATION

    def kept(*args, **options):
        taken.extend(several(*args, **options))
        return taken[-1:]

    monkeypatch.setattr(sample_run, "measured", kept)
    layers = {"relu1_1": 1.0, "pool1": 1.0}
    textures = TextureSettings(
        sources=pictures, sweep=True, source_size=64, layers=layers, iterations=4
    )
    inversions = InvertSettings(
        pictures[0], layers=["relu1_1", "relu2_1"], width=64, height=64, iterations=4
    )
    best = ClassModelSettings(wanted_class="0", size=64, iterations=4)
    for verb, s, runs, evaluations in (
        (TEXTURE, textures, 4, each),
        (TEXTURE, replace(textures, sources=pictures[:1], sweep=False), 1, each),
        (INVERT, inversions, 2, each),
        (CLASS_MODEL, best, 1, 4),  # Adam looks once an iteration
    ):
        found, took = told(s, verb), taken[-1]
        assert took["runs"] == runs
        assert took["seconds"] > 0
        expected = took["setup"] + runs * evaluations * took["seconds"]
        assert found.seconds == pytest.approx(expected)
    assert len(taken) == 4


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
    monkeypatch.setattr(sample_run, "measured", None)
    assert main(["style", *pictures, "-o", "x.png", "--size", "8", "--estimate"]) == 1
    assert "too small" in capsys.readouterr().err


def test_an_error_of_the_short_run_is_one_line(pictures):
    bad = settings([pictures[0], "nowhere.png"])
    with pytest.raises(MinicnnError, match="there is no file"):
        sample_run.measured(sample_run.pictures, STYLE, bad, None, 9000, 1.0)
    with pytest.raises(MinicnnError, match="cannot estimate, the short run failed: TypeError"):
        sample_run.measured(sample_run.pictures, STYLE, None, None, 9000, 1.0)
    with pytest.raises(MinicnnError, match=r"cannot estimate, a short run did not end in 0\.01 s"):
        sample_run.measured(sample_run.pictures, STYLE, bad, None, 9000, 1.0, patience=0.01)
    with pytest.raises(MemoryError, match="Unable to allocate 1"):
        sample_run.measured(np.zeros, 1 << 57)


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(5)
    for split, count in (("train", 48), ("val", 4)):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "data"


def test_a_training_is_estimated_from_its_first_steps(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(estimate, "SECONDS", 0.0)
    numbers = {"epochs": 3, "batch": 8, "group": 8, "size": 12, "crop": 10, "threads": 1}
    s = TrainSettings(data=str(data), output=str(tmp_path / "never"), **numbers)
    found = estimate.repeated(training_estimate.measure, s, "smaller")
    assert found.measured == ["5 steps of 36"]
    assert found.peak > 30e6
    assert found.seconds > 0
    options = [part for name, n in numbers.items() for part in (f"--{name}", str(n))]
    folder = tmp_path / "run"
    assert main(["train", str(data), "-o", str(folder), "--estimate", *options]) == 0
    assert "time: " in capsys.readouterr().out
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    assert main(["train", str(data), "-o", str(folder), "--estimate", *options]) == 0
    told_so = "it does not fit: use a smaller --group and --batch\n"
    assert capsys.readouterr().out.endswith(told_so)
    assert not folder.exists()


@pytest.mark.parametrize(("threads", "seconds", "scanned"), [(1, 100.0, 96), (2, 0.0, 80)])
def test_a_scan_is_estimated_from_its_first_groups(
    data, tmp_path, capsys, monkeypatch, threads, seconds, scanned
):
    monkeypatch.setattr(estimate, "SECONDS", seconds)
    folder = tmp_path / "features"
    arguments = ["features", str(data), "--split", "train", "-o", str(folder), "--estimate"]
    assert main([*arguments, "--layers", "relu1_1", "--threads", str(threads), "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["fits"] is True
    assert event["peak"] > 30e6
    assert event["measured"] == [f"{scanned} pictures of 96; drawing the sheets comes on top"]
    assert not folder.exists()


def test_a_long_run_is_cut_short_and_goes_on_as_it_began(monkeypatch):
    clock = iter([10.0, *(12.0 + n for n in range(99))])  # 2 s before the first step's end
    monkeypatch.setattr(sample_run.time, "perf_counter", lambda: next(clock))

    def run(progress, stop):
        for done in range(8, 800, 8):
            progress(done, 800, None)
            if stop(done):
                break

    whole, done, total = sample_run.cut_short(run, 6.5)
    assert (done, total) == (64, 800)
    assert whole == pytest.approx(1.0 + 100)  # the second of the set-up, and a second a step


# out of memory


def test_out_of_memory_says_what_was_wanted_and_what_fits(
    pictures, machine, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(memory, "available", lambda: 2**30)
    monkeypatch.setattr("minicnn.runs.picture_run.LARGE", math.inf)  # nothing is measured first

    def fail(self, callback=None, minimize=None):
        raise np._core._exceptions._ArrayMemoryError((3, 1024, 1024, 1024), np.dtype("f4"))

    monkeypatch.setattr("minicnn.methods.style.run.StyleJob.run", fail)
    arguments = ["style", *pictures, "-o", str(tmp_path / "x.png"), "--size", "2048"]
    assert main(arguments) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("minicnn: error: out of memory (wanted 12.0 GiB): the run needs about")
    assert "and there are 1.0 GiB; --size " in line
    assert line.endswith("would fit")


def test_out_of_memory_when_nothing_can_be_estimated(pictures, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(estimate, "pictures", full)
    error = option.out_of_memory(STYLE, settings(pictures), None, "")
    assert str(error) == "out of memory (no more could be had); use a smaller size"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit holds on Linux alone")
def test_a_real_limit_ends_in_one_line(pictures, tmp_path):
    code = (
        "import resource, sys; from minicnn.cli import main; import minicnn.methods.style.inputs; "
        "from minicnn.engine import memory as m; "
        "size = m._field('/proc/self/status', 'VmSize') + 700 * 2**20; "
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
    assert lines[0].startswith("minicnn: error: the run needs about ")


# how much memory there is


def files_of(root, files):
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
    monkeypatch.setattr(memory, "_rlimit", lambda: None)
    assert memory.available(files_of(tmp_path, files)) == expected


def test_peak_grows_with_what_is_held():
    before = memory.peak()
    held = np.ones(20 << 20, np.uint8)
    assert memory.peak() >= max(before, held.nbytes)


def test_a_watch_sees_what_processes_hold_together():
    if memory.peak() is None or not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the system does not tell")
    program = (
        "import time; held = bytearray(b'x' * (60 << 20)); print(1, flush=True); time.sleep(9)"
    )
    with memory.watched() as most:
        before = most()
        children = [
            subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for child in children:
            child.stdout.readline()
        # 4 MB, for alone this process holds more of the libraries that it shares now
        wanted = memory._proportional(os.getpid()) + (124 << 20)
        end = time.monotonic() + 5
        while most() < wanted and time.monotonic() < end:
            time.sleep(0.05)
        after = most()
        for child in children:
            child.kill()
            child.communicate()
    resident = memory._proportional(os.getpid())
    assert after >= max(before, resident + (120 << 20))
