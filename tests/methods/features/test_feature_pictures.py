from dataclasses import replace

import numpy as np
import pytest
from features_testing import LAYERS, SIZE, small_network, write_set

from minicnn.data.picture_set import PictureSet
from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import Policy, project
from minicnn.methods.features import reconstructions, scan
from minicnn.network.receptive_fields import Field
from minicnn.pictures import overlays, unit_sheets
from minicnn.pictures.arrays import preprocess


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.h5"
    return PictureSet(write_set(path, np.random.default_rng(1), 12))


@pytest.fixture(scope="module")
def features(net, pictures):
    found = scan.begin(net, scan.settings_for(net, pictures, LAYERS, top=4))
    scan.scan(found, net, pictures)
    return found


def tiles_of(net, features, pictures, layer, **options):
    units = range(len(features.layers[layer].dead))
    return reconstructions.projections(net, features, pictures, layer, units, **options)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rule", ["deconvnet", "gradient"])
def test_a_tile_is_the_projection_of_the_whole_picture_cut_out(
    net, features, pictures, layer, rule
):
    policy = Policy(rule=rule)
    found = tiles_of(net, features, pictures, layer, policy=policy, patch=SIZE, energy=None)
    records, count = features.layers[layer], 0
    for unit, tiles in found.items():
        assert [t.picture for t in tiles] == [n for n in records.picture[unit] if n >= 0]
        for slot, tile in enumerate(tiles):
            rgb = pictures.picture(tile.picture, SIZE)
            x = preprocess(rgb, net.attrs["preprocess"])
            at = np.array([[tile.row, tile.column]])
            whole = project(net, x, layer, [unit], at, policy=policy)
            np.testing.assert_allclose(whole.values[0], records.value[unit, slot], rtol=1e-4)
            pixels = whole.dx[0, ::-1].transpose(1, 2, 0) * 50.0
            cut = overlays.cut(pixels, tile.box, 0)
            wanted = reconstructions.scaled(cut, SIZE)
            size = abs(wanted).max() + 1e-12
            np.testing.assert_allclose(tile.projection / size, wanted / size, rtol=0, atol=1e-4)
            # all of it lies in the box: nothing of the projection is lost
            top, left, bottom, right = tile.box
            pixels[max(0, top) : bottom, max(0, left) : right] = 0
            assert not pixels.any()
            count += 1
    assert count > 10


def test_the_windows_of_many_units_go_as_one_batch(net, features, pictures):
    class Counting(FastEvaluator):
        up, down = [], []

        def forward(self, x, *rest, **options):
            self.up.append(len(x))
            return super().forward(x, *rest, **options)

        def backward(self, dys, *rest, **options):
            self.down.append(len(dys["relu1"]))
            return super().backward(dys, *rest, **options)

    evaluator = Counting(net, 1)
    tiles = tiles_of(net, features, pictures, "relu1", evaluator=evaluator)
    count = sum(map(len, tiles.values()))
    assert count > 15
    assert len(evaluator.up) == 1
    assert len(evaluator.down) <= 3  # once more for each further unit that shares a window
    assert sum(evaluator.down) >= count


def test_patches_come_from_the_same_box(net, features, pictures):
    for tiles in tiles_of(net, features, pictures, "relu1", patch=5, energy=None).values():
        for tile in tiles:
            rgb = np.pad(
                pictures.picture(tile.picture, SIZE), ((1, 1), (1, 1), (0, 0)), constant_values=128
            )
            top, left = 2 * tile.row, 2 * tile.column  # stride 2, padding 1
            assert np.array_equal(tile.patch, rgb[top : top + 5, left : left + 5])


@pytest.mark.smoke
@pytest.mark.parametrize("length", [29, 32, 64])
@pytest.mark.parametrize("layer", ["relu1", "relu2", "both"])
def test_windows_hold_every_field(net, layer, length):
    field = net.receptive_fields()[layer]
    side = reconstructions.window_side(field, 0, length)
    for at in range(net.shapes((3, 29, 29))[layer][1]):
        first = reconstructions.window_origin(field, 0, at, length, side)
        start = field.offset[0] + at * field.stride[0]
        assert first % field.stride[0] == 0
        assert 0 <= first <= length - side
        assert first <= max(start, 0)
        assert min(start + field.size[0], length) <= first + side


def test_windows_are_small_where_fields_are():
    assert reconstructions.window_side(Field((7, 7), (2, 2), (-1, -1)), 0, 224) == 8
    assert reconstructions.window_side(Field((7, 7), (2, 2), (-1, -1)), 0, 227) == 9
    assert reconstructions.window_side(Field(None, (0, 0), (0, 0)), 0, 227) == 227


def test_the_effective_field_holds_the_energy_of_all_tiles_and_no_more(net, features, pictures):
    layer = "both"
    whole = tiles_of(net, features, pictures, layer, patch=64, energy=None)
    part = tiles_of(net, features, pictures, layer, patch=64, energy=0.9)
    narrower = 0
    for unit, tiles in part.items():
        held = total = 0.0
        for tile, around in zip(tiles, whole[unit], strict=True):
            rgb = pictures.picture(tile.picture, SIZE)
            patch = reconstructions.scaled(overlays.cut(rgb, tile.box, 128), 64)
            assert np.array_equal(tile.patch, patch)
            policy = Policy()
            x, at = preprocess(rgb, net.attrs["preprocess"]), np.array([[tile.row, tile.column]])
            dx = project(net, x, layer, [unit], at, policy=policy).dx[0].transpose(1, 2, 0)
            total += (dx**2).sum()
            held += (overlays.cut(dx, tile.box, 0) ** 2).sum()
            narrower += tile.box[2] - tile.box[0] < around.box[2] - around.box[0]
        assert held >= (0.9 - 1e-5) * total
    assert narrower


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_no_smaller_square_holds_as_much(rng, share):
    energy = rng.random((17, 17)) ** 8
    top, left, bottom, right = overlays.least_square(energy, share)
    side = bottom - top
    assert right - left == side
    assert energy[top:bottom, left:right].sum() >= share * energy.sum() * (1 - 1e-12)
    smaller = [
        energy[i : i + side - 1, j : j + side - 1].sum() for i in range(18) for j in range(18)
    ]
    assert max(smaller) < share * energy.sum()


def test_where_nothing_comes_down_all_of_the_field_is_shown():
    assert overlays.least_square(np.zeros((9, 9)), 0.95) == (0, 0, 9, 9)


def test_a_field_larger_than_the_picture_shows_the_picture():
    assert reconstructions.theoretical((-30, -14, 20, 36), (40, 40)) == (0, 0, 40, 40)
    assert reconstructions.theoretical((-2, 6, 3, 11), (40, 40)) == (-2, 6, 3, 11)


def test_other_pictures_or_weights_are_noticed(features, pictures):
    with pytest.raises(MinicnnError, match=r"layer relu2, unit .* are others now"):
        tiles_of(small_network(1), features, pictures, "relu2")


def test_zero_is_grey_and_the_contrast_is_shared(net, features, pictures):
    tiles = tiles_of(net, features, pictures, "relu1")[0]
    weak = replace_projection(tiles[1], tiles[1].projection * 0.5)
    block, scales = unit_sheets.block([tiles[0], weak], 4)
    assert scales[0] == scales[1]
    _, own = unit_sheets.block([tiles[0], weak], 4, shared=False)
    assert own[1] > 1.5 * own[0]
    silent = replace_projection(tiles[0], tiles[0].projection * 0)
    block, _ = unit_sheets.block([silent], 4)
    height, width = silent.patch.shape[:2]
    assert (block[:height, :width] == 128).all()
    assert (block[height + 2 :, :width] == 255).all()  # empty slots stay empty


def replace_projection(tile, projection):
    return tile._replace(projection=projection)


def test_dead_units_keep_their_place_in_a_sheet():
    """Unit 1 is dead; below its words there is nothing."""
    block = np.zeros((20, 160, 3), np.uint8)
    labels = {0: "0", 1: "1 DEAD", 2: "2"}
    sheet = unit_sheets.sheet({0: block, 2: block}, labels, "relu1", columns=3)
    width, gap, margin = 160, 14, 18
    sheet = sheet[:-margin, margin:]
    shown = [sheet[-20:, i * (width + gap) : i * (width + gap) + width] for i in range(3)]
    assert [part.max() == 0 for part in shown] == [True, False, True]
    assert (shown[1] == 255).all()
    label = sheet[-45:-20, width + gap : 2 * width + gap]
    assert (label < 128).sum() > (sheet[-45:-20, :width] < 128).sum()  # "1 DEAD", not "1"


def test_tiles_have_the_side_and_repeat_pixels():
    rgb = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert reconstructions.scaled(rgb, 64).shape == (64, 64, 3)
    assert (reconstructions.scaled(rgb, 64)[:22, 22:43] == rgb[0, 1]).all()
    assert reconstructions.scaled(np.zeros((50, 50, 3), np.float32), 64).shape == (64, 64, 3)


def test_a_broken_picture_among_the_strongest(net, features, pictures, tmp_path, rng):
    numbers = set(features.layers["relu1"].picture.ravel().tolist())
    path = write_set(tmp_path / "d.h5", rng, 12, broken=numbers)
    with pytest.raises(MinicnnError, match="cannot read"):
        tiles_of(net, replace(features), PictureSet(path), "relu1")
