import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import command_parser, main
from minicnn.cli.register import VERBS as REGISTER
from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import Result
from minicnn.methods import network_defaults
from minicnn.methods.style import demo
from minicnn.methods.style import run as style_run
from minicnn.network import build
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata, save_image
from minicnn.runs import search
from minicnn.runs.settings import LAYERS
from minicnn.terminal import report
from minicnn.weights import locations

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "minivgg.h5"
    net = minicnn.build("minivgg", seed=0)
    net.attrs["classes"] = ["goldfish", *(f"thing {i}" for i in range(1, 200))]
    minicnn.save(net, path)
    return path


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "slimvgg.h5"
    minicnn.save(minicnn.build("slimvgg", seed=0), path)
    return path


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with content.png and style.png."""
    monkeypatch.chdir(tmp_path)
    for name, shape in (("content.png", (40, 48, 3)), ("style.png", (44, 40, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(name)
    return tmp_path


@pytest.fixture
def paint(folder, weights, capfd):
    """Run `minicnn style` for two iterations on small pictures; return (code, stdout, stderr)."""

    def run(*options, verb=("style", "content.png", "style.png", "-o", "out.png")):
        command = [*verb, "--size", "40", "--iterations", "2", "--weights", weights, *options]
        code = main(list(map(str, command)))
        return (code, *capfd.readouterr())

    return run


@pytest.mark.smoke
def test_style_writes_a_picture_with_its_settings(paint, folder):
    code, stdout, stderr = paint()
    assert code == 0
    assert stdout.startswith("out.png: 40 x 33, 2 iterations in ")
    assert stdout.endswith("all 2 iterations are done\n")
    first, second, *_ = stderr.splitlines()
    assert first == "style by minivgg, 40 x 33: 2 iterations"
    assert second.startswith("iteration 1/2  total ")
    for word in ("content ", "style ", "tv ", " left"):
        assert word in second
    assert load_image("out.png").pixels.shape == (33, 40, 3)
    found = read_metadata("out.png")
    assert found["settings"]["content_layers"] == network_defaults.STYLE["minivgg"].content_layers
    assert found["settings"]["seed"] == 0
    assert found["inputs"]["style"]["path"] == "style.png"
    assert len(found["weights"]["sha256"]) == 64
    assert {"minicnn", "numpy", "python", "blas"} <= set(found["versions"])
    assert found["result"]["status"] == "budget"
    assert {"total", "content", "style", "tv", "style.relu1_1"} <= set(found["result"]["losses"])


def test_quiet_says_the_result_alone(paint):
    assert paint("--quiet")[2] == ""
    code, stdout, stderr = paint("--quiet", "--json", "--force")
    assert (code, stderr) == (0, "")
    assert [json.loads(line)["event"] for line in stdout.splitlines()] == ["result"]


def test_json_gives_a_line_for_every_iteration_and_the_result(paint):
    code, stdout, _ = paint("--json", "--save-every", 1, "--sheet", "sheet.png")
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0
    assert [line["event"] for line in lines] == ["progress", "snapshot", "progress", "result"]
    assert [line["iteration"] for line in lines[:3]] == [1, 1, 2]
    assert lines[3]["output"] == "out.png"
    assert lines[3]["losses"] == pytest.approx(lines[2]["losses"])
    assert lines[3]["status"] == "budget"
    assert lines[1]["output"] == "out-0001.png"
    assert load_image("sheet.png").pixels.shape[1] > 3 * 30


def test_what_was_done_to_a_picture_is_said(paint, folder):
    with Image.open(folder / "style.png") as opaque:
        opaque.putalpha(99)
        opaque.save(folder / "style.png")
    _, stdout, stderr = paint("--json")
    assert "style.png: " in stderr
    assert "white" in stderr
    assert "white" in json.loads(stdout.splitlines()[-1])["notes"][0]


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(paint, folder):
    for name, options in (("a", ()), ("b", ()), ("c", ("--seed", 1))):
        verb = ("style", "content.png", "style.png", "-o", f"{name}.png", "--init", "noise")
        assert paint(*options, verb=verb)[0] == 0
    a, b, c = ((folder / f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


OPTIONS = {
    "every-option": "--init style.png --seed 3 --style-scale 1.1 --content-weight 2 --tv-weight 0 "
    "--style-weight 9 --content-layers relu2_1 --style-layers relu1_1:0.5,relu3_1 --pool max "
    "--gram gatys --network minivgg --threads 1 --device cpu --engine explicit",
    "adam": "--optimizer adam --learning-rate 2 --init noise",
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_rerun_gives_the_same_bytes(paint, folder, capfd, options):
    assert paint(*options.split(), "--quiet")[0] == 0
    assert main(["rerun", "out.png", "--quiet"]) == 0
    assert (folder / "out-rerun.png").read_bytes() == (folder / "out.png").read_bytes()
    assert main(["rerun", "out.png"]) == 1
    assert "exists already" in capfd.readouterr().err


def test_rerun_finds_the_pictures_beside_the_result_and_says_so(paint, folder, capfd, monkeypatch):
    paint("--save-every", 1, "--quiet")
    other = folder / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    assert main(["rerun", "../out.png", "-o", "new.png"]) == 0
    assert "new.png has the same bytes as ../out.png" in capfd.readouterr().out
    assert main(["rerun", "../out-0001.png", "-o", "one.png", "--quiet"]) == 0
    assert Path("one.png").read_bytes() == (folder / "out-0001.png").read_bytes()


def test_rerun_says_what_differs_and_can_check_it(paint, folder, capfd):
    paint("--init", "noise", "--quiet")

    def rerun(*options):
        code = main(["rerun", "out.png", "-o", "new.png", "--force", "--json", *options])
        stdout, stderr = capfd.readouterr()
        return code, stdout and json.loads(stdout.splitlines()[-1]), stderr

    code, found, _ = rerun("--check", "--set", "threads=1")
    kept = read_metadata("out.png")["settings"]["threads"]
    assert (code, found["same_bytes"]) == (1, False)  # the number of threads is in the picture
    assert found["differs"]["threads"] == [kept, 1]
    code, found, _ = rerun("--check")
    assert (code, found["same_bytes"], found["differs"]) == (0, True, {})
    code, found, _ = rerun("--set", "seed=5", "--set", "style-layers=relu1_1", "--set", "init=mix")
    assert (code, found["same_bytes"]) == (0, False)
    assert found["differs"]["style_layers"][1] == {"relu1_1": 1.0}
    made = read_metadata("new.png")["settings"]
    assert (made["seed"], made["init"]) == (5, "mix")
    for change, words in (("seed=x", "seed = 'x'; use a whole"), ("sed=1", "sed=1 sets nothing")):
        assert rerun("--set", change)[0] == 1
        assert words in rerun("--set", change)[2]


def test_rerun_of_a_picture_that_is_older_than_some_settings(paint, folder, capfd):
    paint("--scales", 1, "--style-scale", 1.1, "--quiet")
    metadata = read_metadata("out.png")
    assert (metadata["settings"]["style_size"], metadata["settings"]["style_scale"]) == (44, None)
    metadata["settings"]["style_scale"] = 1.1  # once both were kept
    for name in ("scales", "coarse_iterations", "seed"):
        del metadata["settings"][name]
    save_image("old.png", load_image("out.png").pixels, metadata=metadata)
    assert main(["rerun", "old.png", "-o", "new.png"]) == 0
    said = capfd.readouterr().err
    assert "old.png is older than some settings, which are as they were then: " in said
    for part in ("scales = 1", "coarse_iterations = its default", "seed = 0"):
        assert part in said
    assert (load_image("new.png").pixels == load_image("out.png").pixels).all()


def test_rerun_of_a_picture_whose_iterations_were_those_of_the_full_size(paint, folder, capfd):
    paint("--size", 96, "--scales", 2, "--iterations", "3,2", "--quiet")
    metadata = read_metadata("out.png")
    assert (metadata["settings"]["iterations"], metadata["result"]["iterations"]) == ([3, 2], 5)
    metadata["settings"] |= {"iterations": 2, "coarse_iterations": 3}
    save_image("old.png", load_image("out.png").pixels, metadata=metadata)
    assert main(["rerun", "old.png", "-o", "new.png", "--quiet"]) == 0
    assert Path("new.png").read_bytes() == Path("out.png").read_bytes()


def test_rerun_refuses_other_inputs(paint, folder, weights, capfd, monkeypatch):
    own = folder / "own.h5"
    own.write_bytes(weights.read_bytes())
    paint("--weights", own, "--quiet")
    minicnn.save(minicnn.build("minivgg", seed=1), own)
    assert main(["rerun", "out.png", "-o", "new.png"]) == 1
    assert "the weights of minivgg are others now" in capfd.readouterr().err
    Image.new("RGB", (40, 40)).save("style.png")
    assert main(["rerun", "out.png", "-o", "new.png"]) == 1
    assert "'style.png' is not the file that 'out.png' was made from" in capfd.readouterr().err
    Path("style.png").unlink()
    assert main(["rerun", "out.png", "-o", "new.png"]) == 1
    assert "no file 'style.png'" in capfd.readouterr().err
    assert not Path("new.png").exists()


SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_save_the_best_picture(folder, weights, name):
    if not hasattr(signal, name):
        pytest.skip(f"there is no {name} on this system")
    command = [sys.executable, "-m", "minicnn", "style", "content.png", "style.png"]
    command += ["-o", "out.png", "--weights", weights, "--iterations", "100000", "--json"]
    with subprocess.Popen(
        [*command, "--size", "40", "--optimizer", "adam"],  # which never stalls
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # a shell has the programs that it starts in the background ignore Ctrl-C
        preexec_fn=lambda: signal.signal(getattr(signal, name), signal.SIG_DFL),
    ) as process:
        first = json.loads(process.stdout.readline())
        for _ in range(2):  # to the process, and to its group
            process.send_signal(getattr(signal, name))
        stdout, stderr = process.communicate(timeout=30)
    last = json.loads(stdout.splitlines()[-1])
    assert process.returncode == SIGNALS[name]
    assert (last["event"], last["status"]) == ("result", "interrupted")
    assert last["losses"]["total"] <= first["losses"]["total"]
    assert "the best picture so far is saved" in stderr
    assert "Traceback" not in stderr
    assert read_metadata("out.png")["result"]["status"] == "interrupted"


@pytest.mark.parametrize(
    ("where", "status"),
    [("detail", "interrupted"), ("style_objective", "interrupted"), ("summary", "budget")],
)
def test_a_signal_between_evaluations_loses_nothing(paint, monkeypatch, where, status):
    """Between two sizes, and after the last."""
    module = search if where == "summary" else style_run
    usual, calls = getattr(module, where), []

    def signalled(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1 + (where == "style_objective"):  # that of the second size
            signal.raise_signal(signal.SIGTERM)
        return usual(*arguments, **options)

    monkeypatch.setattr(module, where, signalled)
    layers = ("--content-layers", "relu1_2", "--style-layers", "relu1_1")
    code, stdout, _ = paint("--scales", "2", "--iterations", "2,3", *layers)
    assert code == 143
    assert stdout.startswith("out.png: 40 x 33, ")
    found = read_metadata("out.png")["result"]
    assert (found["status"], found["iterations"]) == (status, 2 if status == "interrupted" else 5)


@pytest.mark.parametrize("name", ["out.png", "sheet.png"])
def test_a_signal_during_the_last_writing_lets_it_finish(paint, folder, monkeypatch, name):
    def interrupted(path, *arguments, **options):
        save_image(path, *arguments, **options)
        if path == name:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("minicnn.runs.picture_run.save_image", interrupted)
    code, stdout, stderr = paint("--sheet", "sheet.png")
    assert code == 143
    assert stdout.endswith("all 2 iterations are done\n")
    assert "nothing" not in stderr
    assert read_metadata("sheet.png") == read_metadata("out.png")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so(paint, folder, monkeypatch):
    def hung_up(*arguments, **options):
        signal.raise_signal(signal.SIGHUP)  # under nohup
        save_image(*arguments, **options)

    monkeypatch.setattr("minicnn.runs.picture_run.save_image", hung_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert paint()[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_as_early_as_can_be_is_one_line():
    script = (
        "import importlib.util, signal\n"
        "importlib.util.find_spec = lambda *_: signal.raise_signal(signal.SIGINT)\n"
        "from minicnn.cli.launcher import main\n"
        "raise SystemExit(main())"
    )
    command = [sys.executable, "-c", script]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stderr) == (130, "minicnn: error: interrupted\n")


def test_ctrl_c_before_the_run_saves_nothing(paint, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minicnn.runs.inputs.load_network", interrupted)
    code, stdout, stderr = paint()
    assert (code, stdout) == (130, "")
    assert stderr == "minicnn: error: interrupted; nothing was saved\n"
    assert not Path("out.png").exists()


def test_a_run_that_breaks_saves_the_best_picture_and_fails(paint):
    code, _, stderr = paint("--optimizer", "adam", "--learning-rate", "1e30")
    assert code == 1
    assert "the best picture before that is saved" in stderr
    assert load_image("out.png").pixels.shape == (33, 40, 3)


def test_other_failures_are_one_line(paint, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "out.png")

    monkeypatch.setattr("minicnn.methods.style.run.StyleJob.run", full)
    assert paint("--quiet")[::2] == (1, "minicnn: error: No space left on device: out.png\n")

    def large(*_, **__):
        raise MemoryError

    def unknown(*_, **__):
        raise MinicnnError("no short run was possible")

    monkeypatch.setattr("minicnn.methods.style.run.StyleJob.run", large)
    monkeypatch.setattr("minicnn.runs.estimate.sample_run.measured", unknown)
    line = "minicnn: error: out of memory (no more could be had); use a smaller size\n"
    assert paint("--quiet")[::2] == (1, line)


SHORT = ["--size", "48", "--iterations", "2"]


def test_demo(folder, weights, capfd):
    command = ["demo", "-o", "shown/here", "--weights", str(weights), "--quiet", *SHORT]
    assert main(command) == 0
    names = {path.name for path in Path("shown/here").iterdir()}
    assert names == {"content.jpg", "style.jpg", "result.png", "sheet.png"}
    assert "result.png: 48 x 36, 2 iterations" in capfd.readouterr().out
    assert main(command) == 1
    assert "exists already" in capfd.readouterr().err
    assert main([*command, "--force"]) == 0


@pytest.mark.parametrize("network", ["slimvgg", "minivgg"])
def test_the_content_weight_of_the_demo_is_for_the_network_that_paints_it(
    folder, weights, painter, network, monkeypatch
):
    monkeypatch.setattr(locations, "embedded", lambda: {"minivgg": weights, "slimvgg": painter})
    assert main(["demo", "-o", "shown", "--network", network, "--quiet", *SHORT]) == 0
    found = read_metadata("shown/result.png")["settings"]["content_weight"]
    own = network_defaults.STYLE[network].content_weight
    assert found == (demo.CONTENT_WEIGHT if network == "slimvgg" else own)


@pytest.mark.smoke
def test_models_lists_the_networks(capfd):
    assert main(["models"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == build.names()
    assert "143,667,240" in next(line for line in lines if line.startswith("vgg19"))


def test_models_shows_the_layers_of_one(capfd):
    assert main(["models", "vgg19", "--size", "320x256"]) == 0
    out = capfd.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("conv3_1"))
    assert row.split() == "conv3_1 Conv2d 256 x 64 x 80 295,168 24 x 24 4 -10".split()
    assert "left out, as they need another picture size: fc6" in out
    assert main(["models", "vgg19", "--json"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert events[-1] == {
        "event": "total",
        "name": "vgg19",
        "parameters": 143667240,
        "left_out": [],
    }
    assert events[0]["field_size"] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["models", "vgg99"], 1, "no network named 'vgg99'"),
        (["models", "--size", "64"], 1, "minicnn models NAME --size N"),
        (["models", "vgg19", "--size", "4by4"], 2, "'4by4' is not a size; write 512 or 640x480"),
        (["models", "vgg19", "--size", "4"], 1, "pool3"),
        (["gradcheck", "--op", "fft"], 1, "no gradient check for 'fft'"),
        (["weights", "info", "nothing.h5"], 1, "there is no such file"),
        (["weights", "verify", "content.png"], 1, "content.png"),
        (["weights", "fold", "content.png", "-o", "new.png"], 1, "use one of .h5"),
        (["weights", "normalize", "x.h5", ".", "-o", "no/new.h5"], 1, "there is no folder 'no'"),
    ],
)
def test_bad_arguments_of_other_verbs(folder, capfd, arguments, code, words):
    assert main(arguments) == code
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert words in stderr


def test_gradcheck_fails_when_a_gradient_is_wrong(capfd, monkeypatch):
    assert main(["gradcheck", "--op", "relu"]) == 0
    assert "0 failed" in capfd.readouterr().out
    wrong = Result("relu", "planted", "vjp x", 1e-3, 1e-6, False)
    monkeypatch.setattr("minicnn.gradcheck.checks.run", lambda *_: [wrong])
    assert main(["gradcheck"]) == 1
    assert "1 failed" in capfd.readouterr().out
    assert main(["gradcheck", "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["ok"] is False


def test_weights_fold_and_normalize(folder, capfd):
    bn = minicnn.build("minivgg-bn", seed=0)
    minicnn.save(bn, "bn.h5")
    assert main(["weights", "fold", "bn.h5", "-o", "folded.h5"]) == 0
    assert main(["weights", "normalize", "folded.h5", ".", "-o", "n.h5", "--dtype", "float16"]) == 0
    capfd.readouterr()
    assert main(["weights", "verify", "n.h5", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["architecture"] == "minivgg"
    assert found["normalized"]["pictures"] == 2
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype("float32")
    outputs = [net.forward(x, ["fc5"])["fc5"] for net in (bn, minicnn.load("n.h5"))]
    np.testing.assert_allclose(*outputs, atol=0.02 * np.abs(outputs[0]).max())
    assert main(["weights", "fold", "bn.h5", "-o", "folded.h5"]) == 1
    assert "exists already" in capfd.readouterr().err


def test_info(capfd):
    assert main(["info", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["minicnn"] == minicnn.__version__
    assert found["numpy"] == np.__version__
    assert found["devices"].startswith("cpu")


@pytest.mark.smoke
def test_version(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"minicnn {minicnn.__version__}\n"


def test_the_help_of_demo_has_its_own_defaults(capfd):
    assert main(["demo", "--help"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert f"(default: {demo.SIZE})" in out
    assert f"{demo.ITERATIONS} at the full size, {demo.COARSE_ITERATIONS} at each before" in out
    assert "--blend" not in out


def test_an_unknown_option_is_answered_with_the_nearest_one(paint):
    code, stdout, stderr = paint("--styl-weight", "3")
    assert (code, stdout) == (2, "")
    assert stderr == (
        "minicnn style: error: no option --styl-weight; did you mean --style-weight?; "
        "minicnn style --help lists the options\n"
    )


def verbs(declared=None, names=()):
    """Yield (names, parser) of every verb that does something."""
    if declared is None:
        for name in REGISTER:
            (action,) = command_parser([name])._subparsers._group_actions
            yield from verbs(action.choices[name], (name,))
        return
    below = [a for a in declared._actions if isinstance(a, argparse._SubParsersAction)]
    for action in below:
        for name, verb in action.choices.items():
            yield from verbs(verb, (*names, name))
    if not below:
        yield names, declared


VERBS = dict(verbs())


def example(verb):
    """Return the commands that the help of a verb ends with."""
    text = verb.format_help()
    assert "\nExample:\n" in text
    return text.rpartition("\nExample:\n")[2].strip().splitlines()


@pytest.mark.parametrize("names", VERBS, ids=" ".join)
def test_help_ends_with_an_example_of_the_verb(names, capfd):
    assert main([*names, "--help"]) == 0
    assert capfd.readouterr().out == VERBS[names].format_help()
    assert any(line.split()[1 : 1 + len(names)] == list(names) for line in example(VERBS[names]))


# the history of an embedded network; a file from the network; a server until it is stopped
NOT_HERE = {("curves",), ("distill",), ("explore",), ("weights", "fetch")}


@pytest.mark.parametrize("names", [n for n in VERBS if n not in NOT_HERE], ids=" ".join)
def test_the_example_works_as_written(names, tmp_path, weights, painter, monkeypatch):
    """With small pictures and few iterations, and the weights of a test for the embedded ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locations, "embedded", lambda: {"minivgg": weights, "slimvgg": painter})
    monkeypatch.setattr("minicnn.methods.style.inputs.SIZE", 48)
    for line in example(VERBS[names]):
        program, *arguments = shlex.split(line)
        assert program == "minicnn"
        if arguments[0] == "demo":
            arguments = ["demo", *SHORT, *arguments[1:]]
        if "--iterations" in arguments:
            arguments[arguments.index("--iterations") + 1] = "2"
        assert main(arguments) == 0, line


def test_running_the_package_is_the_command():
    command = [sys.executable, "-m", "minicnn", "--version"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert minicnn.__version__ in subprocess.check_output(command, text=True, env=env)


CLOSED = {
    "lines": "models vgg19 --json | head -n 1",
    "table": "models | head -n 1",
    "help": "style --help | head -n 1",
    "errors": "style none.png none.png -o out.png 2>&1 | true",
}


@pytest.mark.parametrize("pipe", CLOSED)
def test_a_closed_pipe_is_no_traceback(pipe, tmp_path):
    command = f"{shlex.quote(sys.executable)} -m minicnn {CLOSED[pipe]}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, shell=True, env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize("pipe", ["--json | head -n 1", "2>&1 | head -n 1"])
def test_a_picture_is_made_although_nobody_listens_any_more(pipe, folder, weights):
    command = (
        f"set -o pipefail; {shlex.quote(sys.executable)} -m minicnn style content.png style.png "
        f"-o out.png --size 40 --iterations 3 --weights {shlex.quote(str(weights))} {pipe}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert read_metadata("out.png")["result"]["iterations"] == 3


@pytest.mark.smoke
def test_layers_are_read_with_their_weights():
    assert LAYERS.read("relu1_1, relu2_1:0.5") == {"relu1_1": 1.0, "relu2_1": 0.5}


def test_progress_lines_come_at_tenths_and_after_a_pause(capfd):
    now = [0.0]
    progress = report.Lines(200, "step", clock=lambda: now[0])
    for done in range(1, 201):
        now[0] += 1 if done < 100 else 20
        progress.update(done, {"total": 1.0})
    said = [int(line.split()[1].split("/")[0]) for line in capfd.readouterr().err.splitlines()]
    assert said[:4] == [1, 16, 20, 35]
    assert said[-101:] == list(range(100, 201))


def test_the_bar_shows_losses_and_time_left(capfd):
    with report.Bar(3, "step") as progress:
        for done in (1, 2, 3):
            progress.update(done, {"total": 0.25})
    assert "total 0.25" in capfd.readouterr().err
