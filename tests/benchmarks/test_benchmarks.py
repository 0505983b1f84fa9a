import importlib
import itertools
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ABOUT = {"title": "a peer", "group": "", "versions": {}}


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks by name, and forget them all afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def case(module):
    def make(kind="conv-forward", network="vgg19", size=16, layer="conv1_1", **more):
        return module("cases").Case(kind, network, size, threads=1, layer=layer, **more)

    return make


@pytest.fixture
def fakes(module, monkeypatch, tmp_path):
    """Write peers that do what is wanted of a test; they are found by processes too."""
    monkeypatch.setenv("MINICNN_PEERS", str(tmp_path))

    def write(**bodies):
        for name, body in bodies.items():
            text = f'"""{name}."""\nimport os\nKINDS = ("conv-forward",)\nPACKAGES = ()\n'
            (tmp_path / f"{name}.py").write_text(text + textwrap.dedent(body))
        return {name: {**ABOUT, "group": name} for name in bodies}

    return write


GOOD = """
    def prepare(case):
        return lambda: {"y": case.size * 2.0}
"""


def outcome(others, **seconds):
    peers = {
        name: {"seconds": times, "failed": "", "group": name.partition("_")[0]}
        for name, times in seconds.items()
    }
    return {"others": others, "peers": peers}


def test_summary_is_of_undisturbed_rounds_and_of_ratios_within_a_round(module):
    found = module("summary").summarize(
        outcome(
            [0.0, 0.9, 0.25, 0.1],
            ours=[1.0, 50.0, 2.0, 3.0],
            torch_a=[2.0, 1.0, 2.0, 12.0],
            torch_b=[4.0, 1.0, 4.0, 2.0],
        ),
        limit=0.25,
    )
    assert (found["kept"], found["dropped"], found["disturbed"]) == (3, 1, False)
    assert found["peers"]["ours"]["ms"] == 2000
    # the ratios of torch_a are 1/2, 1, 1/4: not the ratio of the medians, which is 1
    assert found["peers"]["torch_a"]["ratio"] == 0.5
    assert found["peers"]["torch_a"]["low"] == 0.375
    assert found["peers"]["torch_a"]["high"] == 0.75
    assert found["best"] == {"ours": "ours", "torch": "torch_a"}  # medians 2 and 4


def test_summary_where_every_round_was_disturbed_says_so(module):
    found = module("summary").summarize(outcome([1.0], ours=[1.0], torch=[4.0]))
    assert (found["kept"], found["dropped"], found["disturbed"]) == (0, 1, True)
    assert found["peers"]["torch"]["ratio"] == 0.25


def test_summary_leaves_out_peers_without_times(module):
    rounds = outcome([0.0], ours=[1.0], torch=[])
    assert list(module("summary").summarize(rounds)["peers"]) == ["ours"]
    assert module("summary").summarize(outcome([], ours=[]))["peers"] == {}


RIGHT = {"value": 2.0, "gradient": np.arange(6.0).reshape(2, 3)}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"value": 2.0}, "other things: gradient"),
        ({**RIGHT, "more": 1.0}, "other things: more"),
        ({**RIGHT, "gradient": RIGHT["gradient"].reshape(3, 2)}, r"is \(3, 2\), ours \(2, 3\)"),
        ({**RIGHT, "gradient": RIGHT["gradient"] * 1.01}, "gradient differs by 0.01 from ours"),
        ({**RIGHT, "gradient": RIGHT["gradient"][:, ::-1]}, "gradient differs"),
        ({**RIGHT, "value": np.nan}, "value is not finite"),
    ],
)
def test_a_peer_that_computes_something_else_is_refused(module, tmp_path, result, reason):
    checks = module("checks")
    checks.write_samples(tmp_path / "ours.npz", RIGHT)
    checks.write_samples(tmp_path / "theirs.npz", result)
    with pytest.raises(ValueError, match=reason):
        checks.differences(tmp_path / "ours.npz", tmp_path / "theirs.npz")


def test_results_are_compared_whatever_their_layout_and_size(module, tmp_path, monkeypatch):
    checks = module("checks")
    monkeypatch.setattr(checks, "SAMPLES", 7)
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype("f")
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for name, y in (("a", x), ("b", last * np.float32(1 + 2e-5))):
        checks.write_samples(tmp_path / f"{name}.npz", {"y": y, "seconds": 3.0})
    found = checks.differences(tmp_path / "a.npz", tmp_path / "b.npz")
    assert list(found) == ["y"]
    assert found["y"] == pytest.approx(2e-5, rel=0.01)


def test_all_zero_is_no_result(module, tmp_path):
    checks = module("checks")
    checks.write_samples(tmp_path / "a.npz", {"y": np.zeros(3)})
    with pytest.raises(ValueError, match="0 everywhere"):
        checks.differences(tmp_path / "a.npz", tmp_path / "a.npz")


def test_peers_are_timed_in_turn_and_failures_have_reasons(module, case, fakes):
    peers = fakes(
        first=GOOD,
        same=GOOD,
        wrong=GOOD.replace("2.0", "3.0"),
        raises=GOOD.replace("return", "raise OSError('no such\\ndevice')\n        return"),
        dies="""
            def prepare(case):
                calls = []
                def run():
                    calls.append(1)
                    if len(calls) > 3:
                        os.write(2, b"out of luck\\n")
                        os._exit(3)
                    return {"y": case.size * 2.0}
                return run
        """,
    )
    found = module("pairs").run(case(), peers, rounds=2, most_rounds=2, limit=99, unit=1e-9)
    reasons = {name: peer.failed for name, peer in found.peers.items() if peer.failed}
    assert reasons == {
        "wrong": "checked against first, its y differs by 0.5 from ours",
        "raises": "OSError: no such device",
        "dies": "its process ended with code 3: out of luck",
    }
    assert [len(found.peers[name].seconds) for name in peers] == [2, 2, 0, 0, 0]
    assert found.peers["same"].differences == {"y": 0.0}
    assert found.peers["same"].peak_mb >= found.peers["same"].imports_mb > 5
    assert len(found.others) == 2


def test_disturbed_rounds_are_repeated_up_to_a_limit(module, case, fakes, monkeypatch):
    pairs = module("pairs")
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr(pairs, "busy_of_others", lambda _: next(clock))  # 10 s in every turn
    found = pairs.run(case(), fakes(first=GOOD), rounds=1, most_rounds=3, limit=0.25, unit=1e-9)
    assert len(found.others) == 3
    assert min(found.others) > 0.25


def test_without_the_first_peer_nothing_is_timed(module, case, fakes):
    peers = fakes(first=GOOD.replace("return", "raise OSError\n        return"), same=GOOD)
    found = module("pairs").run(case(), peers, rounds=1, most_rounds=1, limit=99)
    assert found.peers["first"].failed == "OSError: "
    assert not found.peers["same"].seconds


def test_a_peer_says_that_it_cannot_take_part(module, fakes):
    fakes(missing="import no_such_framework\n")
    assert "no_such_framework" in module("pairs").about("missing")["why_not"]


def test_memory_is_that_of_the_process_and_not_of_its_parent():
    ballast = np.ones(30 << 20)  # 240 MB here
    command = [sys.executable, "-c", "import serve; print(serve.peak_mb())"]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert ballast.size
    assert 5 < float(done.stdout) < 100


def test_the_file_keeps_what_was_done_before_a_run_was_cut_off(module, tmp_path):
    record, path = module("record"), tmp_path / "results.jsonl"
    assert record.read(path) == []
    record.append(path, {"name": "a", "value": 1})
    with path.open("a") as file:
        file.write('{"name": "b", "va')
    assert record.read(path) == [{"name": "a", "value": 1}]
    record.append(path, {"name": "a", "value": 2})
    record.append(path, {"name": "c", "value": 3})
    assert record.read(path) == [{"name": "a", "value": 2}, {"name": "c", "value": 3}]


def test_a_file_of_something_else_is_refused(module, tmp_path):
    record, path = module("record"), tmp_path / "notes.txt"
    for text in ("hello\nworld\n", "[1, 2]", '{"case": 3}\n'):
        path.write_text(text)
        with pytest.raises(record.Unusable, match="line 1, is no result"):
            record.read(path)


def test_what_was_timed_in_the_same_way_is_not_timed_again(module, case):
    record = module("record")
    here = {key: "x" for key in record.SAME}
    abouts = {"ours": {"versions": {"numpy": "2"}}}
    old = {"case": case()._asdict(), "machine": here, "summary": {"kept": 9}}
    old["peers"] = {"ours": {"versions": {"numpy": "2"}}}
    assert record.done([old], case(), abouts, 9, here) is old
    assert record.done([old], case(), abouts, 10, here) is None
    assert record.done([old], case(size=17), abouts, 9, here) is None
    assert record.done([old], case(), abouts, 9, {**here, "source": "y"}) is None
    assert record.done([old], case(), {"ours": {"versions": {"numpy": "3"}}}, 9, here) is None
    assert record.done([old], case(), {**abouts, "torch": {"versions": {}}}, 9, here) is None


def test_the_whole_run_is_what_the_page_says(module):
    plan = module("plan")
    cases = plan.cases(plan.KINDS, list(module("cases").OBJECTIVES), [256, 512, 1024], 2)
    assert len({case.name for case in cases}) == len(cases)
    page = (BENCHMARKS / "README.md").read_text()
    said = re.search(r"whole run is (\d+) cases of (\d+) rounds", page)
    assert [int(number) for number in said.groups()] == [len(cases), module("all").ROUNDS]
    # conv1_2 of VGG-19 at 256 px: 64 x 64 x 9 products and sums in each of 256 x 256 pixels
    (layer,) = (c for c in cases if (c.kind, c.layer, c.size) == ("conv-forward", "conv1_2", 256))
    assert plan.flop(layer) == 2 * 64 * 64 * 9 * 256 * 256
    assert plan.seconds(layer, {"ours": 0}, 9, 0.3) < plan.seconds(layer, {"ours": 0}, 18, 0.3)


def test_a_pixel_of_another_shape_is_compared_with_one_of_the_square(module):
    Case, records = module("cases").Case, []
    for shape, ms in (("4:3", 90.0), ("", 100.0)):
        case = Case("gradient", "vgg19", 64, 1, shape=shape)
        peers = {"ours": {"ms": ms, "ratio": 1.0, "low": 1.0, "high": 1.0}}
        summary = {"peers": peers, "best": {}, "kept": 1, "dropped": 0, "disturbed": False}
        peer = {"title": "ours", "group": "", "failed": "", "peak_mb": None, "imports_mb": 0}
        about = {"case": case._asdict(), "summary": summary, "peers": {"ours": peer}}
        records.append({"name": case.name, **about})
    assert Case("gradient", "vgg19", 256, 1, shape="3:2").sides == (171, 256)
    assert Case("gradient", "vgg19", 64, 1, shape="3:4").sides == (64, 48)
    text = module("table").tables(records)
    assert "| vgg19 64 px 4:3 " in text
    assert "| 1.20 " in text  # 90 / (48 · 64) over 100 / (64 · 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kinds", "speed"], "no kind 'speed'; use gradient"),
        (["--networks", "vgg"], "no network 'vgg'; use vgg19"),
        (["--peers", "caffe"], "no peer 'caffe'; use ours"),
        (["--sizes", "8"], "--sizes 8: use pixels from 32"),
        (["--sizes", "large"], "invalid int value: 'large'"),
        (["--shapes", "4-3"], "--shapes 4-3: use width:height, as 4:3"),
        (["--rounds", "0"], "--rounds 0: use a number from 1"),
        (["--limit", "nan"], "--limit nan: use a number above 0"),
        (["--threads", "0"], "threads must be a number from 1 to 256, not '0'"),
        (["--fast"], "unrecognized arguments: --fast"),
        (["--json", f"{__file__}/results.jsonl"], "no folder for it: File exists"),
        (["--json", str(BENCHMARKS)], "use a file that can be written"),
    ],
)
def test_bad_options_are_one_line(module, capsys, options, words):
    with pytest.raises(SystemExit) as stopped:
        module("all").parse(options)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_two_real_peers_from_the_command_to_the_table(module, capsys, tmp_path):
    command, path = module("all").main, tmp_path / "runs" / "results.jsonl"
    options = [
        "--quick",
        "--kinds",
        "gradient",
        "--networks",
        "minivgg",
        "--peers",
        "ours_explicit",
    ]
    options += ["--threads", "1", "--rounds", "1", "--limit", "99", "--json", str(path)]
    assert command(options) == 0
    table = capsys.readouterr().out
    row = next(line for line in table.split("\n") if line.startswith("| minivgg 64 px"))
    assert re.fullmatch(r"\| minivgg 64 px \| [\d.]+ +\| [\d.]+ \([\d.]+\) +\| 1 \+ 0 +\|", row)

    (found,) = (json.loads(line) for line in path.read_text().split("\n") if line)
    assert found["case"]["threads"] == 1
    assert found["machine"]["processors"] >= 1
    assert found["peers"]["ours"]["versions"]["numpy"] == np.__version__
    assert max(found["peers"]["ours_explicit"]["differences"].values()) < 1e-4
    assert found["peers"]["ours"]["peak_mb"] > found["peers"]["ours"]["imports_mb"] > 5

    assert command([*options, "--plan"]) == 0
    told = capsys.readouterr()
    assert "cases: 0, and 1 from the file" in told.err
    assert told.out == ""
    assert command(["--show", "--json", str(path)]) == 0
    assert row in capsys.readouterr().out


def peer_cases(module):
    make = module("cases").Case
    return {
        "minivgg": make("gradient", "minivgg", 32, 1),
        "squeezenet": make("gradient", "squeezenet", 45, 1),
        "forward": make("forward", "squeezenet", 40, 1),
        "average": make("forward", "minivgg", 40, 1, pool="average"),
        "conv-forward": make("conv-forward", "vgg19", 16, 1, layer="conv2_1"),
        "conv-backward": make("conv-backward", "vgg19", 16, 1, layer="conv2_1"),
        "train": make("train", "minivgg-bn", 8, 1, batch=64),
        "scan": make("scan", "squeezenet", 48, 1, batch=1),
        "records": make("records", "minivgg", 64, 1, batch=120),
    }


PEERS = {
    "torch_eager": ["torch"],
    "torch_eager_channels_last": ["torch"],
    "onnx_runtime": ["onnxruntime", "onnx"],
}


@pytest.mark.parametrize("name", PEERS)
def test_the_peers_compute_what_we_compute(module, tmp_path, name):
    for package in PEERS[name]:
        pytest.importorskip(package)
    checks, ours = module("checks"), module("peers.ours")
    peer = module(f"peers.{name}")
    for title, case in peer_cases(module).items():
        if case.kind not in peer.KINDS:
            continue
        for which in (ours, peer):
            run = which.prepare(case)
            checks.write_samples(tmp_path / f"{which.__name__}.npz", getattr(run, "check", run)())
            if title in ("train", "scan", "records"):
                run()  # the work itself may be another function than the check
        checks.differences(tmp_path / "peers.ours.npz", tmp_path / f"{peer.__name__}.npz")


def test_the_optimizers_are_timed_without_the_function(module, case, monkeypatch):
    lbfgs = module("peers._lbfgs")
    ticks = itertools.count()
    monkeypatch.setattr(lbfgs, "perf_counter", lambda: next(ticks))
    result = lbfgs.prepare(case("lbfgs", "", 8, ""))()
    # twice in each evaluation, of which the ticks between do not count, and once around all
    evaluations = (next(ticks) - 2) / 2
    assert result["seconds"] * lbfgs.ITERATIONS == evaluations + 1
    assert evaluations > lbfgs.ITERATIONS
    assert result["value"] > 0


def test_the_peer_of_the_page_works(module, case, tmp_path):
    page = (BENCHMARKS / "README.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    peer = {}
    exec(source, peer)
    checks = module("checks")
    checks.write_samples(tmp_path / "ours.npz", module("peers.ours").prepare(case())())
    checks.write_samples(tmp_path / "theirs.npz", peer["prepare"](case())())
    assert checks.differences(tmp_path / "ours.npz", tmp_path / "theirs.npz")["y"] < 1e-5


def test_profile_knows_operations_parts_and_products(module):
    from minicnn.ops import conv2d, relu

    profiler = module("profiler")
    profile, matmul = profiler.Profile(), np.matmul
    x, w = np.ones((1, 3, 8, 8), "f"), np.ones((4, 3, 3, 3), "f")

    def work():
        y, _ = conv2d.forward(x, w, padding=1)
        relu.forward(relu.forward(y)[0])

    with profile.watching_numpy():
        found = profile.of(work)
    assert np.matmul is matmul
    operations = dict(profiler.by_operation(found))
    assert operations["ops.relu.forward"].calls == 2
    assert operations["ops.conv2d.forward"].flop == 2 * 4 * 27 * 64
    parts = profiler.by_part(found)
    assert dict(parts)["ops.relu.forward  np.maximum"].calls == 2
    for rows in (operations.items(), parts):
        assert sum(row.ms for _, row in rows) == pytest.approx(found.ms)
    outside = dict(profiler.by_operation(found, through=("ops.",)))
    assert list(outside) == ["walking the network"]


@pytest.mark.parametrize(
    ("engine", "layers"),
    [
        ("explicit", {"conv3_2 forward", "relu1_1 backward", "pool2 forward"}),
        ("fast", {"relu3_1 forward", "relu4_1 backward"}),
    ],
)
def test_profile_of_an_evaluation_has_operations_layers_and_functions(engine, layers):
    command = [sys.executable, str(BENCHMARKS / "profile_evaluation.py"), "--network", "minivgg"]
    command += ["--size", "32", "--repeats", "1", "--engine", engine, "--layers"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = re.findall(r"^(\S.*?) {2,}([\d.]+) +([\d.]+) +(\d+)", done.stdout, re.MULTILINE)
    rows = {name: (float(share), int(calls)) for name, _, share, calls in lines}
    assert layers < set(rows)
    assert all(rows[layer][1] == 1 for layer in layers)
    if engine == "explicit":
        assert rows["ops.conv2d.forward"][1] == rows["ops.conv2d.backward_data"][1] == 8
    else:
        back = "engine.cpu.convolution_units.Convolution.backward"  # as an operation, and as a part
        assert max(float(share) for name, _, share, _ in lines if name == back) > 10


def test_shapes_are_timed_in_one_process(module):
    command = [sys.executable, str(BENCHMARKS / "shapes.py"), "--network", "minivgg"]
    done = subprocess.run(
        [*command, "--sizes", "32", "48", "--rounds", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    head, _, *rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()]
    assert [cell.strip() for cell in head[2:]] == list(module("plan").SHAPES)
    assert [row[0].strip() for row in rows] == ["32 px", "48 px"]
    assert all(float(cell) > 0 for row in rows for cell in row[1:])
    for options, code, words in (
        (["--rounds", "0"], 2, "--sizes and --rounds are whole numbers from 1"),
        (["--sizes", "2"], 1, "use a larger picture"),
    ):
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1)
        assert words in done.stderr


def test_bad_options_of_the_profile_are_one_line():
    command = [sys.executable, str(BENCHMARKS / "profile_evaluation.py"), "--network", "minivgg"]
    for options, code, words in (
        (["--size", "0"], 2, "--size and --repeats are whole numbers from 1"),
        (["--engine", "quick"], 2, "invalid choice: 'quick'"),
        (["--size", "2"], 1, "use a larger picture"),
    ):
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
