"""Training on sixty-four little pictures of two kinds: light above, or light on the left."""

import signal
import threading

import h5py
import numpy as np
import pytest
from picture_files import write_folder

from minicnn import cli
from minicnn.errors import MinicnnError
from minicnn.methods.classes.classify import network_input
from minicnn.methods.comparison.accuracy import measure
from minicnn.methods.training import schedules, state, step, training
from minicnn.methods.training.settings import TrainSettings
from minicnn.network import folding
from minicnn.ops import softmax
from minicnn.weights import checkpoint

torch_missing = "PyTorch is the oracle"


@pytest.fixture
def data(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(5)
    ramp = np.linspace(40, 215, 12)[:, None] + np.zeros((1, 12))
    for split, count in (("train", 32), ("val", 8)):
        for name, picture in (("above", ramp), ("left", ramp.T)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                noisy = picture[..., None] + rng.normal(0, 20, (12, 12, 3))
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "data"


def settings(data, output, **changes):
    output.mkdir(exist_ok=True)
    base = {"epochs": 3, "batch": 16, "group": 8, "size": 12, "crop": 10, "rate": 0.02}
    base["device"] = "cpu"
    return TrainSettings(data=str(data), output=str(output), **{**base, **changes})


def test_it_learns(data, tmp_path):
    records = []
    training.run(settings(data, tmp_path / "run", flip=False, epochs=8), log=records.append)
    assert [r["epoch"] for r in records] == list(range(1, 9))
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[-1]["accuracy"] >= 0.95
    # not asked to be high: at this size the running statistics lag behind the batches
    assert 0 <= records[-1]["val_accuracy"] <= 1
    assert (tmp_path / "run" / "log.csv").read_text().count("\n") == 9


def test_a_run_that_is_timed_stops_after_some_steps(data, tmp_path):
    seen, given = [], {"epochs": 2}
    training.run(
        settings(data, tmp_path / "run", **given),
        progress=lambda done, total, losses: seen.append((done, total)),
        stop=lambda done: done == 3,
    )
    assert seen == [(1, 8), (2, 8), (3, 8)]
    assert not list((tmp_path / "run").iterdir())
    training.run(
        settings(data, tmp_path / "run", **given), stop=lambda done: done == 5
    )  # the second epoch's first
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"log.csv", "state.h5"}


def test_threads_do_not_change_the_weights(data, tmp_path):
    nets = [
        training.run(settings(data, tmp_path / f"run{n}", epochs=1, threads=n)) for n in (1, 2, 3)
    ]
    for net in nets[1:]:
        for name, array in nets[0].params.items():
            assert np.array_equal(array, net.params[name]), name


def test_resuming_gives_the_same_weights_bit_for_bit(data, tmp_path, monkeypatch):
    straight = training.run(settings(data, tmp_path / "straight", dropout=0.3))
    steps = 0
    one_step = training._Run._one_step

    def interrupted_once(self, *args):
        nonlocal steps
        one_step(self, *args)
        steps += 1
        if steps == 6:  # in the middle of the second epoch
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training._Run, "_one_step", interrupted_once)
    chosen = settings(data, tmp_path / "broken", dropout=0.3)
    with pytest.raises(training.Interrupted):
        training.run(chosen)
    resumed = training.run(chosen, resume=True)
    for name, array in straight.params.items():
        assert np.array_equal(array, resumed.params[name]), name
    logs = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("straight", "broken")]
    assert [row.split(",")[:4] for row in logs[0]] == [row.split(",")[:4] for row in logs[1]]


def test_resuming_refuses_other_settings_and_other_data(data, tmp_path, rng):
    training.run(settings(data, tmp_path / "run", epochs=1))
    with pytest.raises(MinicnnError, match="other settings for momentum"):
        training.run(settings(data, tmp_path / "run", momentum=0.1), resume=True)
    with pytest.raises(MinicnnError, match="holds a training run already"):
        training.run(settings(data, tmp_path / "run"))
    write_folder(data, rng, {"train": {"more": 1}})
    with pytest.raises(MinicnnError, match="have changed"):
        training.run(settings(data, tmp_path / "run"), resume=True)


def test_a_rate_that_is_far_too_high_ends_in_one_line(data, tmp_path):
    """For real, and without a warning of NumPy's, which the tests take for an error."""
    chosen = settings(data, tmp_path / "run", network="minizfnet", size=64, crop=64, rate=1e6)
    with pytest.raises(MinicnnError, match=r"diverged: the loss is \w+ at epoch 1, step \d"):
        training.run(chosen)


class Killed(BaseException):
    """As by SIGKILL: nothing more is written, and nothing is put in order."""


@pytest.mark.parametrize("writes", [0, 3, 4, 5, 6])
def test_a_kill_between_two_files_loses_none_of_them(data, tmp_path, monkeypatch, writes):
    """An epoch writes log, snapshot and state; the run is killed after so many files."""
    chosen, done = settings(data, tmp_path / "run", epochs=2, batch=32, snapshots=[1, 2]), []

    def counted(write):
        def until_killed(*args):
            if len(done) == writes:
                raise Killed
            write(*args)
            done.append(write)

        return until_killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_log", counted(training.write_log))
        patch.setattr(training._Run, "save_network", counted(training._Run.save_network))
        patch.setattr(state, "save", counted(state.save))
        with pytest.raises(Killed):
            training.run(chosen)
    training.run(chosen, resume=True)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"epoch-001.h5", "epoch-002.h5", "last.h5", "log.csv", "state.h5"}
    assert (tmp_path / "run" / "log.csv").read_text().count("\n") == 3
    last, kept = (checkpoint.load(tmp_path / "run" / name) for name in ("last.h5", "epoch-002.h5"))
    assert checkpoint.weights_hash(last) == checkpoint.weights_hash(kept)
    assert len(kept.attrs["training"]["history"]) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.clear(),
        lambda file: file.attrs.__delitem__("epoch"),
        lambda file: file.attrs.__setitem__("step", 99),
        lambda file: file.attrs.__setitem__("sums", 3.0),
        lambda file: file.attrs.__setitem__("history", "none"),
        lambda file: file.attrs.__setitem__("settings", 5),
        lambda file: file.__delitem__("velocity/fc5.weight"),
        lambda file: file["param/fc5.bias"].__setitem__(..., np.nan),
        lambda file: file.__setitem__("param/more", np.ones(3)),
    ],
)
def test_a_damaged_or_foreign_state_is_one_line(data, tmp_path, spoil):
    chosen = settings(data, tmp_path / "run", epochs=1, batch=32)
    begun = training._Run(chosen, training.open_dataset(data, "train"), None, None)
    state.save(begun)
    state.restore(begun)
    with h5py.File(begun.folder / "state.h5", "r+") as file:
        spoil(file)
    with pytest.raises(MinicnnError, match=r"state\.h5 is (truncated or )?damaged") as error:
        state.restore(begun)
    assert "\n" not in str(error.value)


def test_a_weight_file_is_no_state(data, tmp_path):
    chosen = settings(data, tmp_path / "run", epochs=1, batch=32)
    begun = training._Run(chosen, training.open_dataset(data, "train"), None, None)
    begun.save_network("state.h5")
    with pytest.raises(MinicnnError, match="not the state of such a run; start one in another"):
        state.restore(begun)


def test_the_file_says_the_size_of_the_pictures(data, tmp_path):
    """Every verb that reads the file takes its size from there."""
    net = training.run(settings(data, tmp_path / "run", epochs=1, batch=32))
    assert net.input_shape == (3, 12, 12)
    read = checkpoint.load(tmp_path / "run" / "last.h5")
    assert read.input_shape == (3, 12, 12)
    assert checkpoint.info(tmp_path / "run" / "last.h5")["input_shape"] == [3, 12, 12]
    assert read.shapes()[read.layers[-1]] == (2, 1, 1)
    assert network_input(training.open_dataset(data, "val").picture(0), read).shape[2:] == (12, 12)
    folded = folding.fold_batch_norm(read)
    checkpoint.save(folded, tmp_path / "folded.h5")
    assert checkpoint.load(tmp_path / "folded.h5").input_shape == (3, 12, 12)


def test_classify_is_right_about_what_training_was_right_about(data, tmp_path):
    """The accuracy in the log is that which `compare` measures of the file."""
    records = []
    training.run(settings(data, tmp_path / "run", epochs=2), log=records.append)
    net = checkpoint.load(tmp_path / "run" / "last.h5")
    found = measure(net, training.open_dataset(data, "val"), threads=1)
    assert found["top1"] == records[-1]["val_accuracy"]


@pytest.mark.parametrize("changes", [{"size": 32, "crop": 32}, {"size": 64, "crop": 48}])
def test_a_size_that_the_layers_do_not_take_is_refused(data, tmp_path, changes):
    with pytest.raises(MinicnnError, match=r"not suit minizfnet.* use --size 64 --crop 64"):
        training.run(settings(data, tmp_path / "run", network="minizfnet", **changes))


def test_a_limit_takes_of_every_class(data, tmp_path):
    chosen = settings(data, tmp_path / "run", limit=16)
    few = training.open_dataset(data, "train").thinned(chosen.limit)
    assert np.bincount(few.labels).tolist() == [8, 8]
    begun = training._Run(chosen, few, None, None)
    assert begun.steps == 1
    assert begun.labels is few.labels


def test_what_was_left_out_is_told(data, tmp_path):
    (data / "train" / "above" / "notes.txt").touch()
    notes = []
    training.run(settings(data, tmp_path / "run", epochs=1, batch=64), note=notes.append)
    assert notes == [f"{data / 'train'}: left out, as no pictures: 1 x .txt"]


def test_the_rate_may_be_lowered_by_hand(data, tmp_path):
    training.run(settings(data, tmp_path / "run", epochs=1, schedule="constant"))
    chosen = settings(data, tmp_path / "run", epochs=2, schedule="constant", rate=0.002)
    training.run(chosen, resume=True)
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["rate", "0.02", "0.002"]


def test_validation_pictures_keep_their_classes(data, tmp_path, rng):
    """A class that the validation pictures lack moves no label; one more is refused."""
    both, left = (tmp_path / name for name in ("both", "left"))
    training.run(settings(data, both, epochs=1))
    kept = training.open_dataset(data, "val")
    (data / "val" / "above").rename(tmp_path / "away")
    few = training.open_dataset(data, "val")
    named = few.labels_as_in(training.open_dataset(data, "train"))
    assert set(few.labels) == {0}
    assert set(named) == {kept.class_names.index("left")} == {1}
    write_folder(data, rng, {"val": {"middle": 1}})
    with pytest.raises(MinicnnError, match="has a class 'middle' that"):
        training.run(settings(data, left, epochs=1))


def test_snapshots_carry_their_provenance(data, tmp_path):
    training.run(settings(data, tmp_path / "run", epochs=2, snapshots=[1]))
    net = checkpoint.load(tmp_path / "run" / "epoch-001.h5")
    assert net.attrs["classes"] == ["above", "left"]
    assert net.attrs["training"]["settings"]["rate"] == 0.02
    assert len(net.attrs["training"]["history"]) == 1


def test_divergence_stops_with_step_and_reason(data, tmp_path, monkeypatch):
    monkeypatch.setattr(softmax, "cross_entropy", lambda *a, **k: (float("nan"), None))
    monkeypatch.setattr(softmax, "cross_entropy_backward", lambda cache: np.zeros((8, 2)))
    with pytest.raises(MinicnnError, match=r"diverged: the loss is nan at epoch 1, step 1.*again"):
        training.run(settings(data, tmp_path / "run"))


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs = 0; use a whole number of at least 1"),
        ({"rate": float("nan")}, "rate = nan; use a positive finite number"),
        ({"group": 7}, "multiple of the group"),
        ({"crop": 13}, "larger than the pictures"),
        ({"border": 12}, "border must be from 0 to 11"),
        ({"max_rms": 0.0}, "max_rms = 0.0; use a positive finite number"),
        ({"schedule": "up"}, "no schedule 'up'"),
        ({"batch": 128, "group": 64}, "64 pictures make no batch of 128"),
        ({"network": "nets"}, "no network named 'nets'"),
    ],
)
def test_bad_settings(data, tmp_path, change, message):
    with pytest.raises(MinicnnError, match=message):
        training.run(settings(data, tmp_path / "run", **change))


def test_sgd_step_is_that_of_torch(rng):
    torch = pytest.importorskip("torch", reason=torch_missing)
    for nesterov in (False, True):
        w = rng.standard_normal((3, 4))
        parameter = torch.nn.Parameter(torch.tensor(w))
        theirs = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, nesterov=nesterov)
        velocity = np.zeros_like(w)
        for _ in range(3):
            grad = rng.standard_normal(w.shape)
            parameter.grad = torch.tensor(grad)
            theirs.step()
            step.sgd_step(w, grad, velocity, 0.1, 0.9, nesterov)
        assert np.allclose(w, parameter.detach().numpy(), atol=1e-14)


@pytest.mark.smoke
def test_schedules():
    assert schedules.rate("one-cycle", 1.0, 0.3) == 1
    assert schedules.rate("one-cycle", 1.0, 0.0) == pytest.approx(0.04)
    assert schedules.rate("one-cycle", 1.0, 1.0) == pytest.approx(1e-4)
    assert schedules.rate("cosine", 2.0, 0.5) == pytest.approx(1)
    assert [schedules.rate("step", 1.0, t) for t in (0, 0.6, 0.9)] == [1, 0.1, 0.01]
    assert schedules.rate("constant", 0.5, 0.9) == 0.5


@pytest.mark.smoke
def test_augmentation_cuts_and_mirrors(rng):
    preprocess = {"channel_order": "BGR", "scale": 1.0, "mean": [1, 2, 3], "std": [1, 1, 2]}
    picture = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(1, 5, 5, 3)
    seen = set()
    for _ in range(60):
        x = step.augment(picture, 4, 0, True, rng, preprocess)[0]
        seen.add(x.tobytes())
        blue = x[0] + 1  # of RGB pixels 3 i, 3 i + 1, 3 i + 2
        assert abs(np.diff(blue, axis=1)).max() == abs(np.diff(blue, axis=1)).min() == 3
    assert len(seen) == 2 * 2 * 2
    x = step.normalise(picture, preprocess)
    assert x[0, :, 0, 0].tolist() == [2 - 1, 1 - 2, (0 - 3) / 2]


def test_a_border_is_mirrored_before_the_square_is_cut(rng):
    preprocess = {"channel_order": "RGB", "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]}
    picture = rng.integers(0, 255, (1, 6, 6, 3), dtype=np.uint8)
    mirrored = np.pad(picture[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    places = {mirrored[i : i + 8, j : j + 8].tobytes() for i in range(3) for j in range(3)}
    for _ in range(30):
        x = step.augment(picture, 8, 2, False, rng, preprocess)[0]
        assert x.transpose(1, 2, 0).astype(np.uint8).tobytes() in places


def test_only_filters_above_the_radius_are_scaled_down(rng):
    w = rng.standard_normal((3, 2, 3, 3)) * np.array([0.01, 1, 5])[:, None, None, None]
    limited = w.copy()
    step.limit_rms(limited, 0.1)
    assert np.array_equal(limited[0], w[0])
    assert np.allclose(np.sqrt((limited[1:] ** 2).mean(axis=(1, 2, 3))), 0.1)
    assert np.allclose(limited[2] / w[2], (limited[2] / w[2]).flat[0])  # the direction stays


def test_the_radius_and_the_last_layer_hold_in_a_run(data, tmp_path):
    net = training.run(settings(data, tmp_path / "run", epochs=1, max_rms=0.05, last_std=1e-3))
    filters = [w for w in net.params.values() if w.ndim == 4]
    rms = [np.sqrt((w**2).mean(axis=(1, 2, 3))).max() for w in filters]
    assert max(rms) == pytest.approx(0.05, rel=1e-5)
    assert net.params["fc5.weight"].std() < 0.02


def test_command_line(data, tmp_path, capsys):
    run = tmp_path / "new" / "run"
    options = [str(data), "-o", str(run), "--size", "12", "--crop", "10", "--batch", "16"]
    options += ["--group", "8", "--epochs", "1", "--json"]
    assert cli.main(["train", *options]) == 0
    out = capsys.readouterr().out
    assert '"event": "epoch"' in out
    assert "last.h5" in out
    assert cli.main(["train", *options]) == 1
    assert "--resume" in capsys.readouterr().err
    assert cli.main(["train", str(tmp_path / "nowhere"), "-o", str(run)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["train", *options, "--snapshots", "1,x"]) == 2


def test_a_signal_while_an_epoch_ends_loses_none_of_it(data, tmp_path, monkeypatch):
    evaluate, write_log = training.evaluate, training.write_log
    whole = training.run(settings(data, tmp_path / "whole", snapshots=(1, 2)))

    def interrupted(function, number):
        def wrapped(*arguments, **how):
            if number:
                signal.raise_signal(number.pop())
            return function(*arguments, **how)

        return wrapped

    s = settings(data, tmp_path / "run", snapshots=(1, 2))
    monkeypatch.setattr(training, "evaluate", interrupted(evaluate, [signal.SIGINT]))
    with pytest.raises(training.Interrupted):
        training.run(s)
    assert not (tmp_path / "run" / "log.csv").exists()  # the epoch is looked at again
    monkeypatch.setattr(training, "write_log", interrupted(write_log, [signal.SIGTERM]))
    with pytest.raises(training.Interrupted):
        training.run(s, resume=True)
    assert (tmp_path / "run" / "epoch-001.h5").exists()
    net = training.run(s, resume=True)
    for name, values in whole.params.items():
        assert np.array_equal(net.params[name], values)
    assert (tmp_path / "run" / "epoch-002.h5").exists()


def test_ctrl_c_at_the_command_line(data, tmp_path, capsys, monkeypatch):
    assert threading.current_thread() is threading.main_thread()
    one_step = training._Run._one_step

    def interrupted(self, *args):
        one_step(self, *args)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training._Run, "_one_step", interrupted)
    run = tmp_path / "run"
    code = cli.main(
        [
            "train",
            str(data),
            "-o",
            str(run),
            "--size",
            "12",
            "--crop",
            "10",
            "--batch",
            "16",
            "--group",
            "8",
        ]
    )
    assert code == 130
    assert "--resume" in capsys.readouterr().err
    assert (run / "state.h5").exists()
