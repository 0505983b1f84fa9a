import importlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import checkpoint, models
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.fields import Field
from minicnn.gradcheck import check_vjp
from minicnn.images import load_image, preprocess, read_metadata
from minicnn.layers import Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, Softmax
from minicnn.network import Network
from minicnn.npz_writer import save_npz
from minicnn.overlays import (
    COLOURS,
    boxed,
    cut,
    enlarged,
    heat,
    magnified,
    over,
    regions,
    unit_range,
)
from minicnn.tasks import (
    blur_and_jitter,
    class_model,
    classes,
    gradient_averages,
    looks,
    occlusion_maps,
    poolings,
    saliency,
)

PREPROCESS = {"channel_order": "BGR", "mean": [10.0, 20, 30], "std": [2.0, 4, 5], "scale": 0.5}


def classifier(*layers, dtype="float64", names=("goldfish", "great white shark", "shark")):
    layers = layers or (
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2, 2)),
        ("conv2", Conv2d(6, 3, padding=1)),
        ("relu2", ReLU()),
        ("fc3", Linear(3)),
        ("prob", Softmax()),
    )
    attrs = {"name": "tiny", "preprocess": PREPROCESS, "classes": list(names) if names else None}
    net = Network(list(layers), {}, (3, 12, 12), attrs)
    net.params = models.random_params(net.param_shapes(), 3, dtype)
    return net


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "minivgg.h5"
    net = minicnn.build("minivgg", seed=0)
    net.attrs["classes"] = [f"thing {i}" for i in range(200)]
    minicnn.save(net, path)
    return path


@pytest.fixture
def command(tmp_path, rng, monkeypatch, weights, capfd):
    """Run a verb on picture.png; return (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8)).save("picture.png")

    def run(verb, *options):
        name = () if verb == "class-model" else ("picture.png",)
        where = () if verb == "rerun" else ("--weights", str(weights), "--threads", "1")
        code = main([verb, *name, *map(str, options), *where])
        return (code, *capfd.readouterr())

    return run


DECONV = ("--layer", "relu3_3", "-o", "out.png")
QUICK = ("--window", "32", "--step", "32", "-o", "out.png")
MODEL = ("--class", "7", "--noise", "9", "--iterations", "2", "-o", "out.png")
VERBS = {
    "deconv": DECONV,
    "saliency": ("-o", "out.png"),
    "occlusion": QUICK,
    "class-model": MODEL,
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_works_with_the_embedded_network(verb, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    example = importlib.import_module(f"minicnn.cli.{verb.replace('-', '_')}").EXAMPLE
    for line in example.strip().splitlines():
        words = line.split()
        if "--iterations" in words:
            words[words.index("--iterations") + 1] = "1"
        if words[1] == "demo":
            words += ["--coarse-iterations", "1"]
        assert main(words[1:]) == 0
    told = read_metadata(words[words.index("-o") + 1])
    assert told["weights"]["sha256"] == checkpoint.weights_hash(minicnn.load("minivgg"))


def test_deconv_writes_a_picture_whose_zero_is_128_and_says_how_it_was_made(command):
    code, stdout, _ = command("deconv", *DECONV, "--overlay", "o.png", "--npz", "a.npz", "--json")
    found = json.loads(stdout)
    assert code == 0
    assert (found["event"], found["width"], found["height"]) == ("result", 64, 64)
    pixels, raw = load_image("out.png").pixels, np.load("a.npz")
    metadata = read_metadata("out.png")["result"]
    assert metadata["policy"] == {
        "rule": "deconvnet",
        "overlap": "sum",
        "order": "unpool-rectify",
        "zero_windows": "first",
        "lrn": "identity",
    }
    assert set(metadata["poolings"]["pool1"]) == {"zero_windows", "shared_winners"}
    dx, scale = raw["reconstruction"][0], metadata["scale"]
    np.testing.assert_array_equal(pixels[dx == 0], 128)
    expected = np.clip(np.floor(128.5 + dx.astype(float) * scale), 0, 255)
    assert abs(pixels - expected).max() <= 1  # float32 on the edge of two levels
    (unit,) = metadata["units"]
    top, left, bottom, right = unit["box"]
    outside = np.ones((64, 64), bool)
    outside[max(0, top) : bottom, max(0, left) : right] = False
    assert not dx[outside].any()
    assert dx.any()
    peak = np.unravel_index(raw["activation"][0].argmax(), raw["activation"][0].shape)
    assert unit["position"] == list(peak)
    assert json.loads(str(raw["metadata"]))["verb"] == "deconv"
    assert load_image("o.png").pixels.shape == (64, 64, 3)


def test_deconv_of_a_place_of_everywhere_and_of_many_units(command):
    options = ("deconv", "--layer", "relu3_3", "-o", "out.png", "--force", "--json", "--npz")
    code, stdout, _ = command(*options, "a.npz", "--unit", "5", "--position", "2,7")
    assert (code, json.loads(stdout)["units"][0]["position"]) == (0, [2, 7])
    code, stdout, _ = command(*options, "a.npz", "--unit", "5", "--position", "all")
    assert json.loads(stdout)["units"][0]["box"] is None
    code, stdout, _ = command(*options, "a.npz", "--unit", "max:3", "--sheet", "s.png")
    units = json.loads(stdout)["units"]
    values = [one["activation"] for one in units]
    assert len(units) == 3
    assert values == sorted(values, reverse=True)
    assert np.load("a.npz")["reconstruction"].shape == (3, 64, 64, 3)


@pytest.mark.parametrize("verb", VERBS)
def test_rerun_gives_the_same_bytes(command, verb, tmp_path):
    assert command(verb, *VERBS[verb])[0] == 0
    (tmp_path / "picture.png").rename(tmp_path / "moved.png")
    shutil.copy(tmp_path / "moved.png", tmp_path / "picture.png")
    (tmp_path / "first.png").write_bytes((tmp_path / "out.png").read_bytes())
    code = main(["rerun", "first.png", "-o", "again.png"])
    assert code == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "first.png").read_bytes()


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_overwritten_unasked(command, verb, tmp_path):
    (tmp_path / "out.png").write_text("mine")
    code, _, stderr = command(verb, *VERBS[verb])
    assert code == 1
    assert "'out.png' exists already" in stderr
    (tmp_path / "a.npz").write_text("mine")
    code, _, stderr = command(verb, *VERBS[verb][:-1], "new.png", "--npz", "a.npz")
    assert (code, (tmp_path / "a.npz").read_text()) == (1, "mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("deconv", *DECONV, "--unit", "200"), "no unit 200 in layer relu3_3; use 0 to 127"),
        (("deconv", *DECONV, "--unit", "-1"), "no unit -1 in layer relu3_3"),
        (("deconv", *DECONV, "--unit", "best"), "no unit 'best'; use max, max:9, a number"),
        (("deconv", *DECONV, "--unit", "max:0"), "no unit 'max:0'"),
        (("deconv", *DECONV, "--position", "1"), "no position '1'; use max, all, or row,column"),
        (("deconv", *DECONV, "--position", "16,0"), "no row 16 in layer relu3_3; use 0 to 15"),
        (("deconv", "--layer", "relu9", "-o", "out.png"), "no layer named 'relu9'; the layers are"),
        (("deconv", *DECONV, "--clip", "1"), "clip = 1.0; use a share from 0"),
        (("deconv", *DECONV, "--npz", "a.npy"), "raw arrays need a name that ends in .npz"),
        (("deconv", *DECONV, "--npz", "no/a.npz"), "there is no folder 'no'"),
        (("deconv", *DECONV, "--overlay", "out.png"), "already to be written by this run"),
        (("deconv", "--layer", "relu1_1", "-o", "picture.png"), "it is an input of this run"),
        (("saliency", "-o", "out.png", "--class", "200"), "no class 200; use 0 to 199"),
        (("saliency", "-o", "out.png", "--class", "thing"), "200 classes have 'thing' in their"),
        (("saliency", "-o", "out.png", "--class", "dog"), "no class is called 'dog'"),
        (("saliency", "-o", "out.png", "--size", "9999"), "size = 9999; use a whole number from"),
        (("occlusion", "-o", "out.png", "--window", "65"), "window = 65; use 1 to 64 pixels"),
        (("occlusion", "-o", "out.png", "--unit", "x"), "no unit 'x'; use max or a number"),
        (("occlusion", "-o", "out.png", "--grey", "256"), "grey = 256; use a level from 0 to 255"),
        (("class-model", *MODEL, "--optimizer", "lbfgs", "--jitter", "2"), "use adam"),
        (("class-model", "--class", "x", "-o", "out.png"), "no class is called 'x'"),
        (("class-model", *MODEL, "--size", "4"), "pooling|window|fit"),
    ],
)
def test_bad_input_ends_in_one_line_and_writes_nothing(command, options, message, tmp_path):
    code, stdout, stderr = command(*options)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert any(part in stderr for part in message.split("|")), stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("verb", ["saliency", "occlusion", "class-model"])
def test_a_network_without_classes(command, verb, tmp_path, capfd):
    cut = "weights convert minivgg --network minivgg --until relu1_2 -o cut.h5"
    assert main(cut.split()) == 0
    capfd.readouterr()
    picture = [] if verb == "class-model" else ["picture.png"]
    assert main([verb, *picture, *VERBS[verb], "--weights", "cut.h5"]) == 1
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert "this minivgg ends at relu1_2" in stderr
    assert "it has no classes" in stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "options",
    [("deconv", "-o", "x.png"), ("deconv", *DECONV, "--rule", "x"), ("class-model", "-o", "x.png")],
)
def test_wrong_usage_exits_with_2(command, options):
    assert command(*options)[0] == 2


def test_a_unit_that_does_not_fire_is_said(command):
    options = ("deconv", "--layer", "relu1_1", "-o", "out.png", "--position", "0,0", "--unit")
    for unit in range(32):
        _, _, stderr = command(*options, unit, "--force")
        if stderr:
            assert f"unit {unit} does not fire in this picture" in stderr
            np.testing.assert_array_equal(load_image("out.png").pixels, 128)
            return
    pytest.fail("every unit fires")


@pytest.mark.smoke
def test_saliency_is_the_weight_row_of_a_linear_model(rng):
    net = classifier(("fc1", Linear(3)), ("prob", Softmax()))
    x = rng.standard_normal((1, 3, 12, 12))
    w = saliency.class_gradient(net, x, "fc1", 2)
    np.testing.assert_allclose(w[0].ravel(), net.params["fc1.weight"][2], rtol=1e-12)
    m = saliency.magnitude(w[0].transpose(1, 2, 0))
    np.testing.assert_allclose(m, np.abs(w[0]).max(axis=0))


def test_saliency_per_grey_level_is_the_derivative_of_the_score_by_the_picture(rng):
    net = classifier()
    rgb = rng.uniform(0, 255, (12, 12, 3))

    def score(rgb):
        x = (rgb[..., ::-1] * 0.5 - PREPROCESS["mean"]) / PREPROCESS["std"]
        return net.forward(x.transpose(2, 0, 1)[np.newaxis], ["fc3"])["fc3"][0, 1, 0, 0]

    x = preprocess(rgb, PREPROCESS).astype("float64")
    w = looks.per_pixel(saliency.class_gradient(net, x, "fc3", 1), net)
    v = rng.standard_normal(rgb.shape)
    expected = (score(rgb + 1e-4 * v) - score(rgb - 1e-4 * v)) / 2e-4
    assert (w * v).sum() == pytest.approx(expected, rel=1e-5)


def test_a_change_of_the_input_as_a_change_of_the_picture(rng):
    net = classifier()
    a, b = rng.uniform(0, 255, (2, 12, 12, 3))
    dx = preprocess(a, PREPROCESS).astype("float64") - preprocess(b, PREPROCESS)
    np.testing.assert_allclose(looks.as_pixels(dx, net), a - b, atol=1e-3)
    assert not looks.as_pixels(0 * dx, net).any()


@pytest.mark.parametrize("step", [(0, 0), (2, -3), (-1, 5), (12, -12)])
def test_moving_back_undoes_moving_where_nothing_was_lost(rng, step):
    x = rng.standard_normal((1, 3, 12, 14))
    back = gradient_averages.moved_back(gradient_averages.moved(x, step), step)
    rows, cols = (slice(max(0, -s), n - max(0, s)) for s, n in zip(step, (12, 14), strict=True))
    np.testing.assert_array_equal(back[:, :, rows, cols], x[:, :, rows, cols])
    back[:, :, rows, cols] = 0
    assert not back.any()


def test_averages_of_a_linear_model_are_its_gradient(rng):
    w = rng.standard_normal((1, 3, 12, 12))
    options = dict(samples=11, shift=0, noise=3.0, magnitude=lambda w: abs(w[0]).max(axis=0))
    for average in gradient_averages.AVERAGES:
        mean, m = gradient_averages.averaged(
            lambda x: np.repeat(w, len(x), axis=0),
            np.zeros_like(w),
            average,
            rng=np.random.default_rng(0),
            **options,
        )
        np.testing.assert_allclose(mean, w, rtol=1e-12)
        np.testing.assert_allclose(m, abs(w[0]).max(axis=0), rtol=1e-12)


@pytest.mark.parametrize("average", ["shifts", "noise"])
def test_the_seed_decides_the_average(command, average):
    sums = []
    for seed in (0, 0, 1):
        options = ("--average", average, "--samples", 3, "--seed", seed, "--npz", "a.npz")
        assert command("saliency", "-o", "out.png", "--force", *options)[0] == 0
        sums.append(np.load("a.npz")["map"].sum())
    assert sums[0] == sums[1] != sums[2]


def test_saliency_signed_and_by_name(command):
    code, stdout, _ = command(
        "saliency", "-o", "out.png", "--signed", "--class", "thing 7", "--npz", "a.npz", "--json"
    )
    found, raw = json.loads(stdout), np.load("a.npz")
    assert (code, found["class"], found["name"]) == (0, 7, "thing 7")
    np.testing.assert_allclose(raw["map"], np.abs(raw["gradient"]).max(axis=2))
    assert found["score"] == pytest.approx(raw["scores"][7])
    peak = np.unravel_index(np.abs(raw["gradient"]).argmax(), raw["gradient"].shape)
    assert load_image("out.png").pixels[peak] == (255 if raw["gradient"][peak] > 0 else 0)


@pytest.mark.smoke
def test_occlusion_equals_covering_by_hand(rng):
    net = classifier()
    x, cover = rng.standard_normal((1, 3, 12, 12)), np.full((1, 3, 1, 1), 0.5)
    activation, probability, label = occlusion_maps.occlude(
        net, x, cover, 5, 4, "relu2", 3, "fc3", 1
    )
    assert label.shape == (3, 3)
    for (i, j), top, left in (((0, 0), 0, 0), ((1, 2), 4, 8)):
        copy = x.copy()
        copy[:, :, top : 4 * i + 5, left : 4 * j + 5] = 0.5
        acts = net.forward(copy, ["relu2", "prob"])
        assert activation[i, j] == pytest.approx(acts["relu2"][0, 3].sum())
        assert probability[i, j] == pytest.approx(acts["prob"][0, 1, 0, 0])
        assert label[i, j] == acts["prob"].argmax()


def test_occlusion_finds_what_the_score_hangs_on():
    net = classifier(("fc1", Linear(3)), ("prob", Softmax()))
    net.params["fc1.weight"] = np.zeros((3, 3, 12, 12))
    net.params["fc1.weight"][1, :, 8:, :4] = 1
    net.params["fc1.weight"] = net.params["fc1.weight"].reshape(3, -1)
    x = np.ones((1, 3, 12, 12))
    _, p, label = occlusion_maps.occlude(net, x, 0 * x[:, :, :1, :1], 4, 4, "fc1", 1, "fc1", 1)
    assert np.unravel_index(p.argmin(), p.shape) == (2, 0)
    assert (p[2, 0], label[2, 0], label[0, 0]) == (pytest.approx(1 / 3), 0, 1)


def test_occlusion_writes_the_three_maps(command):
    code, stdout, _ = command("occlusion", *QUICK, "--npz", "a.npz", "--json", "--sheet", "s.png")
    found, raw = json.loads(stdout.splitlines()[-1]), np.load("a.npz")
    assert code == 0
    assert (found["rows"], found["columns"], found["layer"]) == (2, 2, "relu4_3")
    for name in ("activation", "probability", "label"):
        assert raw[name].shape == (2, 2)
    np.testing.assert_array_equal(raw["rows"], [16, 48])
    assert sum(found["labels"].values()) == pytest.approx(1)


@pytest.mark.smoke
def test_the_gradient_of_the_class_model_is_that_of_its_value(rng):
    net = classifier(
        ("conv1", Conv2d(4, 3)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(3, 1)),
        ("pool2", GlobalAvgPool2d()),
    )
    settings = class_model.ClassModelSettings(
        wanted_class="1", l2_weight=0.7, tv_weight=300.0, blur=1.3
    )
    x = rng.uniform(-3, 3, (1, 3, 12, 12))
    job = class_model.ClassModelJob(settings, net, net, "pool2", 1, x)
    fun = job.function()
    error = check_vjp(lambda x: fun(x)[0], lambda dy, x: dy * fun(x)[1], x, rng)
    assert error < 1e-6
    fun(x)
    pixels = looks.as_pixels(blur_and_jitter.blurred(x, 1.3), net) / 255
    assert fun.terms["l2"] == pytest.approx(0.7 * (pixels**2).sum())
    assert fun.terms["minus-score"] == pytest.approx(
        -net.forward(blur_and_jitter.blurred(x, 1.3), ["pool2"])["pool2"][0, 1, 0, 0]
    )


def test_blurring_is_its_own_adjoint(rng):
    x, y = rng.standard_normal((2, 1, 3, 9, 14))
    x, y = x[np.newaxis][0], y[np.newaxis][0]
    left = (blur_and_jitter.blurred(x, 2.0) * y).sum()
    assert left == pytest.approx((x * blur_and_jitter.blurred(y, 2.0)).sum(), rel=1e-12)
    np.testing.assert_allclose(blur_and_jitter.blurred(np.ones_like(x), 2.0), 1)


def test_jitter_does_not_drift(rng):
    """A linear network sees the rolled picture; its gradient comes back to where it belongs."""
    net = classifier(("fc1", Linear(3)))
    x = rng.standard_normal((1, 3, 12, 12))
    rolled = blur_and_jitter.Rolled(net, 3, np.random.default_rng(5))
    y = rolled.forward(x, ["fc1"])["fc1"][0, 0, 0, 0]
    seed = np.zeros((1, 3, 1, 1))
    seed[0, 0] = 1
    assert (rolled.backward({"fc1": seed}) * x).sum() == pytest.approx(
        y - net.params["fc1.bias"][0]
    )
    assert rolled.step != (0, 0)


def test_the_class_model_scores_higher_than_grey(command):
    code, stdout, _ = command(
        "class-model",
        "--class",
        "7",
        "--iterations",
        8,
        "-o",
        "out.png",
        "--json",
        "--blur",
        1,
        "--noise",
        9,
        "--npz",
        "a.npz",
    )
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0
    assert lines[-1]["score"] > -lines[0]["losses"]["minus-score"]
    assert np.load("a.npz")["x"].shape == (1, 3, 64, 64)
    assert read_metadata("out.png")["result"]["name"] == "thing 7"


def test_the_class_model_says_where_no_pixel_matters(command):
    code, stdout, _ = command("class-model", "--class", "7", "-o", "out.png")
    assert code == 0
    assert "thing 7 (7): score 0" in stdout
    assert "try --noise 30" in stdout


def test_classes_are_found_by_number_name_and_part():
    net = classifier()
    assert classes.scores_layer(net) == "fc3"
    found = [classes.find_class(net, text, 3) for text in ("2", 0, "Shark", "gold", " white ")]
    assert found == [2, 0, 2, 0, 1]
    assert classes.class_name(net, 1) == "great white shark"
    assert classes.class_name(classifier(names=None), 1) == "class 1"
    (first, *_) = classes.ranking(net, np.array([1.0, 3, 2]))
    assert (first["class"], first["score"]) == (1, 3.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: classes.scores_layer(classifier(("conv1", Conv2d(4, 3)), ("relu1", ReLU()))),
            r"tiny has no classes: it ends in the map relu1 \(4, 10, 10\)",
        ),
        (lambda: classes.find_class(classifier(names=None), "dog", 3), "knows no class names"),
        (lambda: classes.find_class(classifier(), "-1", 3), "no class -1; use 0 to 2"),
        (lambda: classes.find_class(classifier(), "", 3), "no class is called ''"),
        (
            lambda: occlusion_maps.last_map_layer(
                classifier(("fc1", Linear(3))), "fc1", (3, 12, 12)
            ),
            "no",
        ),
        (lambda: saliency.class_gradient(classifier(), np.ones((1, 3, 12, 12)), "fc3", 3), "class"),
        (lambda: looks.peak(np.ones(3), -0.1), "clip = -0.1"),
        (lambda: heat(np.ones(3)), "a map is an array"),
        (lambda: heat(np.full((2, 2), np.nan)), "NaN"),
        (lambda: over(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2))), "does not lie on"),
        (lambda: save_npz("a.txt", {}), "ends in .npz"),
    ],
)
def test_bad_calls_end_in_one_line(call, message):
    with pytest.raises(MinicnnError, match=message):
        call()


def test_the_last_layer_of_maps_is_not_the_classes_own():
    nets = {
        "minivgg": "relu4_3",
        "squeezenet": "fire9/concat",
        "alexnet": "pool5",
        "vgg16": "pool5",
    }
    for name, layer in nets.items():
        net = models.skeleton(name)
        at = classes.scores_layer(net)
        assert occlusion_maps.last_map_layer(net, at, net.input_shape) == layer


def test_fields_as_boxes():
    field = Field((7, 5), (2, 4), (-1, 0))
    assert field.box(0, 3) == [-1, 12, 6, 17]
    assert Field(None, (0, 0), (0, 0)).box(0, 0) is None


def test_overlays(rng):
    rgb = rng.integers(0, 256, (8, 9, 3), np.uint8)
    assert heat(np.array([[0.0, 1.0]])).tolist() == [[[0, 0, 4], [252, 255, 164]]]
    assert over(rgb, np.zeros((8, 9))).max() <= 0.7 * 255 + 1
    np.testing.assert_array_equal(unit_range(np.array([[2.0, 4, 3]])), [[0, 1, 0.5]])
    assert not unit_range(np.ones((2, 2))).any()
    frame = boxed(rgb, (-2, 3, 4, 6))
    assert (frame[3, 3:6] == (255, 255, 0)).all()
    assert (frame[0:4, 3] == (255, 255, 0)).all()
    np.testing.assert_array_equal(frame[0, 4], rgb[0, 4])
    part = cut(rgb, (-1, 7, 2, 12), 128)
    np.testing.assert_array_equal(part[1:, :2], rgb[:2, 7:])
    assert (part[0] == 128).all()
    assert (part[:, 2:] == 128).all()
    assert (cut(rgb, (20, 20, 22, 22), 1) == 1).all()
    assert enlarged(np.array([[1, 2]]), (3, 3), (3, 5)).tolist() == [[1, 1, 1, 2, 2]] * 3
    assert magnified(rgb, 20).shape == (24, 27, 3)
    np.testing.assert_array_equal(magnified(rgb, 20)[::3, ::3], rgb)
    assert magnified(rgb, 9).shape == rgb.shape
    assert regions(np.array([[4]]), {4: COLOURS["blue"]}).tolist() == [[list(COLOURS["blue"])]]


def test_pool_shares_count_zero_windows_and_shared_winners():
    x = np.zeros((1, 1, 3, 5))
    x[0, 0, 1, 1] = 1  # the winner of four windows; the other four are 0, each with its own first
    net = Network([("pool", MaxPool2d(2, 1))], {}, (1, 3, 5))
    acts = net.forward(x, ["pool"])
    found = poolings.pool_shares(acts, net.switches())["pool"]
    assert found == {"zero_windows": 0.5, "shared_winners": 0.5}


def test_reconstructions_of_squeezenet_lie_where_the_cause_is(shared_data):
    """Real weights: the unit that a bright patch excites most is projected onto that patch."""
    h5py = pytest.importorskip("h5py")
    from minicnn.engine.walk import FastWalk
    from minicnn.tasks.deconvnet import project, strongest

    ours = {"conv1x1_1": "squeeze1x1", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}
    net = models.skeleton("squeezenet")
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_float32.h5") as file:
        for name in file.attrs["layer_names"]:
            fire, _, conv = name.rpartition("/")
            at = f"{fire}/{ours[conv]}" if fire else name.replace("conv_final", "conv10")
            for kind in ("weight", "bias"):
                net.params[f"{at}.{kind}"] = file[name][kind][:]
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        rgb = file["input_rgb_uint8"][0]
    x = preprocess(rgb, net.attrs["preprocess"])
    walk, layer = FastWalk(net, 1), "fire5/concat"
    y = walk.forward(x, [layer], keep=False)[layer]
    unit = strongest(y)[0]
    found, fast = (project(w, x, layer, [unit]) for w in (net, walk))
    np.testing.assert_allclose(fast.dx, found.dx, rtol=0, atol=1e-5 * abs(found.dx).max())
    top, left, bottom, right = net.receptive_fields()[layer].box(*map(int, found.positions[0]))
    inside = np.zeros((227, 227), bool)
    inside[max(0, top) : bottom, max(0, left) : right] = True
    assert found.dx.any()
    assert not found.dx[0][:, ~inside].any()
    # grey out all that is outside: the activation stays; grey out the inside: it goes
    kept, lost = (
        walk.forward(x * m, [layer], keep=False)[layer][0, unit] for m in (inside, ~inside)
    )
    at = tuple(found.positions[0])
    assert kept[at] == pytest.approx(found.values[0], rel=1e-3)
    assert lost[at] < 0.5 * found.values[0]
