"""The verb `deconv`."""

import json

import numpy as np
import pytest

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import project, strongest
from minicnn.methods.deconvnet.run import pool_shares
from minicnn.methods.deconvnet.settings import DeconvSettings
from minicnn.network import build
from minicnn.network.layers import MaxPool2d
from minicnn.network.network import Network
from minicnn.pictures.arrays import preprocess
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata

DECONV = ("--layer", "relu3_3", "-o", "out.png")


def test_deconv_writes_a_picture_whose_zero_is_128_and_says_how_it_was_made(command):
    code, stdout, _ = command("deconv", *DECONV, "--overlay", "o.png", "--npz", "a.npz", "--json")
    found = json.loads(stdout)
    assert code == 0
    assert (found["event"], found["width"], found["height"]) == ("result", 256, 256)
    enlarged, raw = load_image("out.png").pixels, np.load("a.npz")
    pixels = enlarged[::4, ::4]
    np.testing.assert_array_equal(enlarged, pixels.repeat(4, axis=0).repeat(4, axis=1))
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
    assert load_image("o.png").pixels.shape == (256, 256, 3)


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


def test_a_unit_that_does_not_fire_is_said(command):
    options = ("deconv", "--layer", "relu1_1", "-o", "out.png", "--position", "0,0", "--unit")
    for unit in range(32):
        _, _, stderr = command(*options, unit, "--force")
        if stderr:
            assert f"unit {unit} does not fire in this picture" in stderr
            np.testing.assert_array_equal(load_image("out.png").pixels, 128)
            return
    pytest.fail("every unit fires")


def test_reconstructions_of_squeezenet_lie_where_the_cause_is(shared_data):
    """Real weights: the unit that a bright patch excites most is projected onto that patch."""
    h5py = pytest.importorskip("h5py")

    ours = {"conv1x1_1": "squeeze1x1", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}
    net = build.skeleton("squeezenet")
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_float32.h5") as file:
        for name in file.attrs["layer_names"]:
            fire, _, conv = name.rpartition("/")
            at = f"{fire}/{ours[conv]}" if fire else name.replace("conv_final", "conv10")
            for kind in ("weight", "bias"):
                net.params[f"{at}.{kind}"] = file[name][kind][:]
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        rgb = file["input_rgb_uint8"][0]
    x = preprocess(rgb, net.attrs["preprocess"])
    walk, layer = FastEvaluator(net, 1), "fire5/concat"
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": "x"}, "no rule 'x'; use gradient, deconvnet, guided"),
        ({"zero_windows": "x"}, "no zero windows 'x'; use first, drop"),
        ({"start": "x"}, "no start 'x'; use activation, one"),
        ({"unit": "max:0"}, "unit = max:0; use max, max:9, a number"),
        ({"unit": "3:2"}, "unit = 3:2"),
        ({"position": "3"}, "position = 3; use max, all, or row,column"),
        ({"clip": 1.0}, "clip = 1.0; use a share from 0 to below 1"),
        ({"clip": float("nan")}, "clip = nan"),
    ],
)
def test_settings_that_mean_nothing(values, message):
    with pytest.raises(MinicnnError, match=message):
        DeconvSettings("a.png", layer="relu3_3", **values).check()


def test_pool_shares_count_zero_windows_and_shared_winners():
    x = np.zeros((1, 1, 3, 5))
    x[0, 0, 1, 1] = 1  # the winner of four windows; the other four are 0, each with its own first
    net = Network([("pool", MaxPool2d(2, 1))], {}, (1, 3, 5))
    acts = net.forward(x, ["pool"])
    found = pool_shares(acts, net.switches())["pool"]
    assert found == {"zero_windows": 0.5, "shared_winners": 0.5}
