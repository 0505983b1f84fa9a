"""A student of a few filters learns from the first layers of a random VGG-19."""

import signal

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.methods.distillation import loss, pictures, run, start, state
from minicnn.methods.distillation.settings import DistillSettings
from minicnn.methods.training.training import Interrupted
from minicnn.network import architectures
from minicnn.network.build import build, random_params, skeleton
from minicnn.ops import conv2d
from minicnn.weights import checkpoint


@pytest.fixture(autouse=True)
def tiny_student(monkeypatch):
    """The student ends at conv2_1, with three components of eight filters."""
    monkeypatch.setattr(architectures, "SLIM", (((8, 3), (8, 3)), ((8, 3),)))


@pytest.fixture
def teacher():
    net = skeleton("vgg19", last="relu2_1", pool="average")
    net.params = random_params(net.param_shapes(), 1)
    return net


@pytest.fixture
def folder(tmp_path, teacher):
    """Return a folder of four pictures and the teacher's weights."""
    teacher.attrs["licence"] = "free"
    checkpoint.save(teacher, tmp_path / "teacher.h5")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "run").mkdir()
    rng = np.random.default_rng(3)
    for i in range(4):
        coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((30, 24)).save(tmp_path / "pictures" / f"{i}.png")
    return tmp_path


def settings(folder, output="run", **changes):
    (folder / output).mkdir(exist_ok=True)
    few = {"steps": 6, "batch": 2, "sizes": [8, 16], "fit": 4, "save_every": 4, "log_every": 2}
    here = {"data": [str(folder / "pictures")], "output": str(folder / output)}
    here |= {"teacher": str(folder / "teacher.h5"), "device": "cpu"}
    return DistillSettings(**{**few, **here, **changes})


def same(one, other):
    return all(np.array_equal(one.params[name], other.params[name]) for name in one.params)


def test_the_gradient_of_the_distance(rng):
    z, t = rng.standard_normal((2, 2, 3, 4, 5))

    def distance(z):
        return loss.distance(z, t, (1.7, 0.6), 0.8)

    error = check_vjp(lambda z: distance(z)[0], lambda dy, z: dy * distance(z)[2], z, rng)
    assert error < 1e-6


def test_a_layer_that_answers_0_costs_1_and_the_weight_of_the_gram(rng):
    t = rng.standard_normal((2, 3, 4, 5))
    value, gram, _ = loss.distance(np.zeros_like(t), t, loss.scales([t]), 0.5)
    assert value == pytest.approx(1.5)
    assert gram == pytest.approx(0.5)


def test_the_components_keep_most_of_the_energy(rng):
    a = rng.standard_normal((5, 400)) * np.array([[5], [4], [3], [0.1], [0.1]])
    P = start.components(a @ a.T / 400, 3)
    assert np.allclose(P @ P.T, np.eye(3) * 0.6**2, atol=1e-6)
    assert np.square(P @ a).sum() > 0.999 * 0.6**2 * np.square(a).sum()


def test_filters_are_chosen_that_tell_about_the_others(rng):
    a = rng.standard_normal((6, 400))
    a[3:] = 3 * a[:3]  # a copy of each, louder
    a[5] += a[0]
    moment = a @ a.T / 400
    kept = start.chosen(moment, start.components(moment, 3), 3)
    assert sorted(kept % 3) == [0, 1, 2]
    assert list(start.chosen(moment, np.eye(6), 6)) == list(range(6))


def test_least_squares_find_a_linear_map(rng):
    W = rng.standard_normal((2, 5))
    inputs = [start.with_ones(X[None]) for X in rng.standard_normal((3, 4, 50))]
    found = start.LeastSquares(lambda: iter(inputs)).solve(lambda i, X: W @ X)
    assert np.allclose(found, W, atol=1e-4)


def test_filters_are_fitted_where_the_teacher_is_positive(rng):
    """A quadratic teacher is no linear map; where it is negative, nobody asks."""
    z = rng.standard_normal((2, 1, 12, 12))
    y = 2 * z + 1 - np.square(z + 0.5) * (2 * z + 1 < 0)
    W = start.fit_filters([z], [start.flat(y)])
    X = start.with_ones(start._windows(z))
    plain = start.LeastSquares(lambda: iter([X])).solve(lambda i, X: start.flat(y))
    positive = start.flat(y).clip(0)
    refitted, fitted = (np.square((V @ X).clip(0) - positive).sum() for V in (W, plain))
    assert refitted < 0.3 * fitted


def test_a_student_with_all_filters_and_components_starts_as_the_teacher(monkeypatch, teacher, rng):
    monkeypatch.setattr(architectures, "SLIM", (((64, 64), (64, 64)), ((128, 128),)))
    student = build("slimvgg")
    x = [rng.normal(0, 50, (2, 3, 32, 32)).astype(np.float32) for _ in range(3)]
    missed = {}
    start.begin(student, teacher, x, conv2d, lambda stage, share: missed.update({stage.pc: share}))
    assert list(missed) == ["pc1_1", "pc1_2", "pc2_1"]
    assert max(missed.values()) < 1e-3


def test_it_learns(folder):
    records = []
    chosen = settings(folder, steps=40, batch=4, rate=0.005, log_every=20)
    student = run.run(chosen, log=records.append)
    assert [r["start"] for r in records[:3]] == ["pc1_1", "pc1_2", "pc2_1"]
    assert [r["step"] for r in records[3:]] == [20, 40]
    rows = (folder / "run" / "log.csv").read_text().splitlines()
    assert rows[0] == "step,rate,loss,pc1_1,pc1_2,pc2_1,seconds"
    assert len(rows) == 3
    found = {path.name for path in (folder / "run").glob("*.h5")}
    assert {"start.h5", "step-000004.h5", "state.h5", "last.h5"} < found

    said = checkpoint.info(folder / "run" / "last.h5")["distillation"]
    assert said["teacher"]["licence"] == "free"
    assert said["settings"]["steps"] == 40

    same_run = run.Distillation(chosen, records.append)
    state.restore(same_run)
    same_run.settle()
    x = same_run._pieces(np.random.default_rng(9), 16, 16)
    before, after = (
        same_run.loss_and_gradients(net, x)[0]
        for net in (checkpoint.load(folder / "run" / "start.h5"), student)
    )
    assert after < 0.9 * before


def test_neither_threads_nor_an_interruption_change_a_bit(folder, monkeypatch):
    straight = run.run(settings(folder, "straight", threads=1))
    assert same(straight, run.run(settings(folder, "threads", threads=2)))
    one_step = run.Distillation.one_step

    def interrupted_once(self, pool):
        one_step(self, pool)
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(run.Distillation, "one_step", interrupted_once)
    with pytest.raises(Interrupted):
        run.run(settings(folder))
    monkeypatch.setattr(run.Distillation, "one_step", one_step)
    assert same(straight, run.run(settings(folder), resume=True))
    rows = [
        [row.rpartition(",")[0] for row in (folder / name / "log.csv").read_text().splitlines()]
        for name in ("straight", "run")
    ]
    assert rows[0] == rows[1]


class Killed(BaseException):
    """As by SIGKILL: nothing more is written, and nothing is put in order."""


@pytest.mark.parametrize("writes", range(6))
def test_a_kill_between_two_files_loses_none_of_them(folder, monkeypatch, writes):
    done = []

    def counted(write):
        def until_killed(*args):
            if len(done) == writes:
                raise Killed
            done.append(write)
            return write(*args)

        return until_killed

    with monkeypatch.context() as patch:
        patch.setattr(run.Distillation, "save_student", counted(run.Distillation.save_student))
        patch.setattr(state, "save", counted(state.save))
        with pytest.raises(Killed):
            run.run(settings(folder))
    run.run(settings(folder), resume=True)
    found = {path.name for path in (folder / "run").glob("*.h5")}
    assert found == {"start.h5", "step-000004.h5", "state.h5", "last.h5"}


@pytest.mark.parametrize("kind", range(8))
def test_pieces_have_the_size_asked_for(folder, kind):
    from minicnn.data.picture_set import PictureSet

    attrs = skeleton("vgg19").attrs["preprocess"]
    sets = [PictureSet(folder / "pictures")]
    for size in (7, 16, 40):  # 40: larger than the pictures
        one, again = (
            pictures.batch(np.random.default_rng([kind, size]), sets, size, 2, attrs)
            for _ in range(2)
        )
        assert one.shape == (2, 3, size, size)
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        assert np.array_equal(one, again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "minivgg"}, "minivgg has no layers pc to be taught; use --network slimvgg"),
        ({"teacher": "minizfnet"}, "the teacher minizfnet has no layer conv1_1"),
        ({"teacher": "nowhere.h5"}, "no weights 'nowhere.h5'"),
        ({"sizes": [0]}, "sizes = .0.; use a whole number from 1"),
        ({"rate": 1e9}, "diverged: the loss is \\w+ at step \\d; .* smaller --rate"),
    ],
)
def test_what_cannot_work_is_told_in_a_line(folder, changes, message):
    with pytest.raises(MinicnnError, match=message):
        run.run(settings(folder, **changes))


def test_a_run_is_neither_replaced_nor_resumed_with_other_settings(folder):
    run.run(settings(folder), resume=True)  # there is nothing to go on from
    with pytest.raises(MinicnnError, match="holds a run already"):
        run.run(settings(folder))
    with pytest.raises(MinicnnError, match="other settings for batch"):
        run.run(settings(folder, batch=1), resume=True)
    assert run.run(settings(folder, steps=7, rate=1e-4), resume=True)  # these may change
    Image.new("RGB", (9, 9)).save(folder / "pictures" / "more.png")
    with pytest.raises(MinicnnError, match="the pictures have changed"):
        run.run(settings(folder), resume=True)


@pytest.mark.parametrize("where", ["step", "scales", "sums", "history", "average/pc1_1.bias"])
def test_a_damaged_state_is_refused(folder, where):
    run.run(settings(folder, steps=1))
    arrays, attrs = checkpoint.load_arrays(folder / "run" / "state.h5")
    if where in attrs:
        attrs[where] = -1
    else:
        del arrays[where]
    checkpoint.save_arrays(folder / "run" / "state.h5", arrays, attrs)
    with pytest.raises(MinicnnError, match="damaged, or not the state of such a run"):
        run.run(settings(folder), resume=True)


def test_the_verb(folder, capsys):
    argv = ["distill", str(folder / "pictures"), "-o", str(folder / "new")]
    argv += ["--teacher", str(folder / "teacher.h5"), "--fit", "2", "--batch", "1", "--quiet"]
    assert main([*argv, "--steps", "1", "--sizes", "8"]) == 0
    assert (folder / "new" / "last.h5").exists()
    assert main([*argv, "--steps", "1", "--sizes", "8"]) == 1
    assert "--resume" in capsys.readouterr().err
