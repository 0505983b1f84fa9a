"""A picture as a network sees it: the numbers are those of the methods, whoever looks meanwhile."""

import numpy as np
import pytest
from explore_testing import tiny, wide

from minicnn.errors import MinicnnError
from minicnn.methods.attribution.grad_cam import grad_cam
from minicnn.methods.attribution.target import Target
from minicnn.methods.deconvnet.projection import Policy, project
from minicnn.methods.explore.mosaic import mosaic
from minicnn.methods.explore.seen import RULES, Explored
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.overlays import heat
from minicnn.pictures.sheets import signed_to_uint8


@pytest.fixture
def explored():
    return Explored(tiny(), threads=1)


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (12, 12, 3), np.uint8)


def test_a_unit_is_where_it_is_largest_unless_told(explored, rgb):
    seen = explored.look(rgb)
    y = seen.net.forward(seen.x, ["relu2"])["relu2"][0]
    unit = seen.unit("relu2", 4)
    assert unit.at == unit.peak == np.unravel_index(y[4].argmax(), y[4].shape)
    assert unit.value == pytest.approx(y[4].max(), rel=1e-5)
    assert unit.box == seen.net.receptive_fields()["relu2"].box(*unit.at)
    other = seen.unit("relu2", 4, (0, 1))
    assert (other.at, other.peak) == ((0, 1), unit.peak)
    assert other.value == pytest.approx(y[4, 0, 1], rel=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_view_is_what_deconv_projects(explored, rgb, rule):
    seen = explored.look(rgb)
    at = seen.unit("relu2", 3).at
    how = {"policy": Policy(rule=rule), "start": "one"}
    dx = project(tiny(), seen.x, "relu2", [3], np.array([at]), **how).dx
    picture, most = seen.view("relu2", 3, at, rule)
    assert most > 0
    wanted = signed_to_uint8(as_pixels(dx, seen.net), 127 / most)[0]
    assert np.abs(picture.astype(int) - wanted).max() <= 1  # another order of sums


def test_grad_cam_is_that_of_attribute(explored, rgb):
    seen = explored.look(rgb)
    L = grad_cam(tiny(), seen.x, Target("fc3", np.array([2])), "relu2")
    told, overlay = seen.cam("2")
    assert (told["class"], told["name"], told["maps"]) == (2, "shark", "relu2")
    assert told["most"] == pytest.approx(L.max(), rel=0.5)  # enlarged between the middles
    assert overlay.shape == seen.picture.shape


def test_two_pictures_in_turn_do_not_mix(explored, rng):
    """The evaluator has the caches of one of them; the other goes forward again."""
    pictures = rng.integers(0, 256, (2, 12, 12, 3), np.uint8)
    alone = []
    for rgb in pictures:
        seen = Explored(tiny(), threads=1).look(rgb)
        alone.append((seen.acts["relu2"], seen.view("relu2", 3, (1, 1), "guided")[0]))
    both = [explored.look(rgb) for rgb in pictures]
    for _ in range(2):
        for seen, (acts, view) in zip(both, alone, strict=True):
            np.testing.assert_array_equal(seen.view("relu2", 3, (1, 1), "guided")[0], view)
            np.testing.assert_array_equal(seen.acts["relu2"], acts)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda seen: seen.unit("relu9", 0), "no layer named 'relu9'"),
        (lambda seen: seen.unit("relu2", 6), "no unit 6 in layer relu2; use 0 to 5"),
        (lambda seen: seen.unit("relu2", 0, (6, 0)), "its maps are 6 x 6"),
        (lambda seen: seen.cam("whale"), "no class is called 'whale'"),
        (lambda seen: seen.cam("1", "fc3"), "has no maps"),
    ],
    ids=["layer", "unit", "position", "class", "maps"],
)
def test_what_there_is_not_is_one_line(explored, rgb, ask, said):
    with pytest.raises(MinicnnError, match=said):
        ask(explored.look(rgb))


def test_activations_that_are_not_finite_are_told(rgb):
    net = tiny()
    net.params["conv2.weight"][0] = np.inf
    said = pytest.raises(MinicnnError, match="activations of layer conv2")
    with said, np.errstate(invalid="ignore"):
        Explored(net, threads=1).look(rgb)


def test_a_mosaic_keeps_what_fires(rng):
    maps = np.zeros((3, 9, 9), np.float32)
    maps[0, 8, 8] = maps[1, 0, 4] = 2.0
    small = mosaic(maps, 2, 5, 0.0, 2.0)
    assert small.shape == (10, 10, 3)  # two rows of two tiles, one empty
    bright = heat(np.ones((1, 1)))[0, 0]
    np.testing.assert_array_equal(small[4, 4], bright)
    np.testing.assert_array_equal(small[0, 5 + 2], bright)
    assert (small.reshape(-1, 3) == bright).all(axis=1).sum() == 2


def test_units_of_scores_have_the_names_of_classes():
    explored = Explored(wide(), threads=1)
    assert explored.names("relu2") is None
    assert explored.names("prob") == explored.names("fc3") == list(wide().attrs["classes"])
    assert Explored(tiny(names=None), threads=1).names("fc3") is None


def test_in_a_notebook_a_unit_is_its_pictures(explored, rgb):
    html = explored.look(rgb).unit("relu2", 4)._repr_html_()
    assert html.count("<img") == 2 + len(RULES)
    assert "relu2 unit 4" in html
