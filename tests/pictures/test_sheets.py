import numpy as np
import pytest
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.pictures import arrays, reader, sheets, writer
from minicnn.pictures.lettering import DARK, LIGHT, Scale


def flat(rows, cols, value):
    return np.full((rows, cols, 3), value, np.uint8)


def ink(strip):
    """Return whether each column of a white strip has something dark in it."""
    return (strip.min(axis=2) < 100).any(axis=0)


@pytest.mark.smoke
def test_grid_centres_pictures_in_equal_cells():
    sheet = sheets.grid([flat(4, 6, 10), flat(2, 2, 20), flat(4, 4, 30)], 2, gap=1)
    assert sheet.shape == (9, 13, 3)
    assert sheet.dtype == np.uint8
    expected = np.full((9, 13), 255)
    expected[0:4, 0:6] = 10
    expected[1:3, 9:11] = 20
    expected[5:9, 1:5] = 30
    np.testing.assert_array_equal(sheet, np.repeat(expected[..., None], 3, axis=2))


def test_grid_keeps_empty_cells_and_drops_empty_columns():
    sheet = sheets.grid([None, flat(2, 3, 7), None], 2, gap=0)
    assert sheet.shape == (4, 6, 3)
    assert (sheet[:2, 3:] == 7).all()
    assert (sheet[2:] == 255).all()
    assert sheets.grid([flat(2, 3, 7)], 5).shape == (2, 3, 3)


def test_grid_of_one_column_and_of_grey_pictures(rng):
    grey = rng.integers(0, 256, (5, 4), dtype=np.uint8)
    sheet = sheets.grid([grey, grey], 1, gap=2)
    assert sheet.shape == (12, 4, 3)
    np.testing.assert_array_equal(sheet[7:], np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 2), "at least one picture"),
        (([None], 2), "at least one picture"),
        (([flat(2, 2, 0)], 0), "columns >= 1"),
        (([np.zeros((2, 2, 3))], 1), "uint8 pictures"),
        (([np.zeros((2, 2, 4), np.uint8)], 1), r"\(2, 2, 4\)"),
        (([np.zeros((0, 2, 3), np.uint8)], 1), "no pixels"),
    ],
)
def test_grids_that_cannot_be(arguments, message):
    with pytest.raises(MinicnnError, match=message):
        sheets.grid(*arguments)


def test_label_stands_above_the_unchanged_picture(rng):
    picture = rng.integers(0, 256, (50, 200, 3), dtype=np.uint8)
    sheet = sheets.labelled(picture, "conv4_2 unit 17")
    strip = sheet[:-50]
    np.testing.assert_array_equal(sheet[-50:], picture)
    assert 12 <= len(strip) <= 30
    columns = np.flatnonzero(ink(strip))
    assert 60 < columns[-1] - columns[0] < 180  # about 15 letters of 12 pixels
    assert abs((columns[0] + columns[-1]) / 2 - 100) < 4
    # space on all sides
    assert not ink(strip.transpose(1, 0, 2))[[0, -1]].any()


def test_labels_differ_and_larger_letters_take_more_room():
    picture = flat(20, 120, 0)
    one, two = (sheets.labelled(picture, text) for text in ("unit 1", "unit 2"))
    assert one.shape == two.shape
    assert (one != two).any()
    assert len(sheets.labelled(picture, "unit 1", size=30)) > len(one) + 15


def test_default_letters_grow_with_the_picture():
    short, tall = (sheets.labelled(flat(n, n, 0), "a").shape[0] - n for n in (100, 960))
    assert 12 <= short <= 24
    assert 40 <= tall <= 72


def test_long_labels_are_wrapped_and_never_cut():
    picture = flat(30, 100, 0)
    one_line = len(sheets.labelled(picture, "conv")) - 30
    wrapped = sheets.labelled(picture, "the strongest of all units in layer conv")
    assert wrapped.shape[1] == 100
    assert len(wrapped) - 30 >= one_line * 1.8
    assert not ink(wrapped[:-30])[[0, -1]].any()
    # a word that does not fit makes the sheet wider, with the picture in the middle
    wide = sheets.labelled(flat(30, 20, 0), "unbreakable")
    assert wide.shape[1] > 50
    assert not ink(wide[:-30])[[0, -1]].any()
    columns = np.flatnonzero(ink(wide[-30:]))
    assert len(columns) == 20
    assert abs(columns[0] - (wide.shape[1] - 1 - columns[-1])) <= 1


def test_line_breaks_are_kept_and_empty_text_keeps_the_strip():
    picture = flat(10, 200, 0)
    one, two, none = (sheets.labelled(picture, text) for text in ("a", "a\nb", ""))
    assert len(two) > len(one)
    assert none.shape == one.shape
    assert not ink(none[:-10]).any()


def test_letters_that_the_font_lacks_are_replaced_by_readable_ones():
    picture = flat(10, 300, 0)
    for text, shown in (("Zürich 3×3 – é", "Zurich 3x3 - e"), ("αβ", "??"), ("Straße", "Strasse")):
        np.testing.assert_array_equal(
            sheets.labelled(picture, text), sheets.labelled(picture, shown)
        )


def test_side_by_side_scales_to_the_first_height():
    row = sheets.side_by_side([flat(20, 30, 10), flat(40, 20, 200), flat(10, 10, 90)], gap=5)
    assert row.shape == (20, 30 + 5 + 10 + 5 + 20, 3)
    assert (row[:, :30] == 10).all()
    assert (row[:, 30:35] == 255).all()
    assert (row[:, 35:45] == 200).all()
    assert (row[:, 50:] == 90).all()
    assert sheets.side_by_side([flat(20, 30, 10)], height=10).shape == (10, 15, 3)
    assert sheets.side_by_side([flat(2, 3, 0), flat(900, 2, 0)], gap=0).shape == (2, 4, 3)


def test_side_by_side_lines_the_pictures_up_under_labels():
    pictures = [flat(40, 90, 50), flat(80, 160, 60)]
    row = sheets.side_by_side(pictures, ["content", "style, in many more words than fit"])
    assert row.shape[1] == 90 + 8 + 80
    assert (row[-40:, :90] == 50).all()
    assert (row[-40:, 98:] == 60).all()
    above = row[:-40]
    assert ink(above[:, :90]).any()
    assert ink(above[:, 98:]).any()
    # the short label stands on the last line, next to its picture
    half = len(above) // 2
    assert not ink(above[:half, :90]).any()


def test_a_map_has_a_bar_of_its_colours_with_both_ends():
    def colours(values):
        return np.stack([255 * values, 0 * values, 255 - 255 * values], axis=-1).astype(np.uint8)

    scale = Scale(colours, -0.5, 12.25)
    row = sheets.side_by_side([flat(60, 90, 50)] * 2, ["a", "b"], scales=[None, scale], gap=8)
    height = len(sheets.side_by_side([flat(60, 90, 50)] * 2, ["a", "b"]))
    left, right = row[height:, :90], row[height:, 98:]
    assert (left == 255).all()
    bar = right[len(right) // 4]
    assert bar[0].tolist() == [0, 0, 255]
    assert bar[-1].tolist() == [255, 0, 0]
    numbers = right[len(right) // 2 :] < 128
    assert numbers[:, :30].any()
    assert numbers[:, -30:].any()
    assert not numbers[:, 35:55].any()


def test_side_by_side_refuses_what_does_not_match():
    with pytest.raises(MinicnnError, match="1 labels for 2 pictures"):
        sheets.side_by_side([flat(2, 2, 0)] * 2, ["one"])
    with pytest.raises(MinicnnError, match="at least one picture"):
        sheets.side_by_side([])
    with pytest.raises(MinicnnError, match="gap"):
        sheets.side_by_side([flat(2, 2, 0)], gap=-1)


def test_inputs_are_left_alone(rng):
    picture = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    before = picture.copy()
    picture.flags.writeable = False
    sheets.side_by_side([picture, picture], ["a", "b"])
    sheets.grid([sheets.labelled(picture, "a")], 1)[:] = 0
    np.testing.assert_array_equal(picture, before)


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_is_exactly_128(rng, dtype):
    x = rng.standard_normal((3, 7, 5)).astype(dtype)
    x[0, 0] = 0
    x[1, 0, 0], x[2, 0, 0] = 9, -9
    y, scale = sheets.signed_to_uint8(x)
    assert y.dtype == np.uint8
    assert y.shape == x.shape
    assert (y[0, 0] == 128).all()
    assert (y.max(), y.min()) == (255, 1)
    assert scale == pytest.approx(127 / 9)
    np.testing.assert_allclose((y.astype(float) - 128) / scale, x, atol=0.5 / scale + 1e-6)


def test_signed_pictures_with_a_common_scale():
    y, scale = sheets.signed_to_uint8(np.array([-100.0, -1.0, 0.0, 0.25, 100.0]), 10)
    assert y.tolist() == [0, 118, 128, 131, 255]
    assert scale == 10.0


@pytest.mark.parametrize("value", [0.0, 1e-310])
def test_nothing_to_see(value):
    y, scale = sheets.signed_to_uint8(np.full((2, 2), value))
    assert (y == 128).all()
    assert scale == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_signed_pictures_must_be_finite(value):
    with pytest.raises(MinicnnError, match="1 of 3 values are NaN"):
        sheets.signed_to_uint8(np.array([0.0, value, 2.0]))


def test_real_pictures_make_a_sheet(tmp_path, shared_data):
    folder = shared_data / "style_inputs"
    content, style = (
        arrays.fit(reader.load_image(folder / name).pixels, 120)
        for name in ("tubingen.jpg", "starry_night.jpg")
    )
    row = sheets.side_by_side([content, style], ["content", "style"])
    writer.save_image(tmp_path / "sheet.png", row)
    with Image.open(tmp_path / "sheet.png") as written:
        assert written.size == (row.shape[1], row.shape[0])
    np.testing.assert_array_equal(row[-content.shape[0] :, :120], content)


def test_a_table_lines_up_whatever_is_written_above(rng):
    pictures = rng.integers(0, 200, (5, 20, 90, 3), np.uint8)
    sheet = sheets.table(list(pictures), ["one", "two"], ["a", "b b b b b b b b b b b b b", ""])
    width, tops = (sheet.shape[1] - 8) // 3, []
    for j, picture in enumerate(pictures[:3]):
        x = j * (width + 4) + (width - 90) // 2
        column = sheet[:, x : x + 90]
        tops += [i for i in range(len(sheet) - 19) if (column[i : i + 20] == picture).all()]
        below = pictures[3 + j] if j < 2 else np.full_like(picture, 255)
        np.testing.assert_array_equal(column[-20:], below)
    assert len(tops) == 3
    assert len(set(tops)) == 1
    plain = sheets.table(list(pictures[:2]), [""], ["", ""], gap=0)
    np.testing.assert_array_equal(plain, np.concatenate(pictures[:2], axis=1))
    with pytest.raises(MinicnnError, match="5 pictures for a table of 2 x 2 cells"):
        sheets.table(list(pictures), ["", ""], ["", ""])


def test_a_long_row_goes_on_below_in_rows_of_like_length():
    pictures = [flat(60, 250, 10 * i) for i in range(8)]
    sheet = sheets.side_by_side(pictures, gap=10)
    assert sheet.shape == (60 + 20 + 60, 4 * 250 + 3 * 10, 3)
    assert (sheet[-60:, :250] == 40).all()
    # three pictures stay in a row, however large
    assert len(sheets.side_by_side([flat(60, 1200, 0)] * 3)) == 60


def test_a_dark_sheet_is_a_light_one_with_other_paper_and_ink():
    picture, scale = flat(60, 90, 128), Scale(lambda values: flat(*values.shape, 128), 0, 1)
    for draw in (
        lambda **how: sheets.grid([picture, None, picture], 2, **how),
        lambda **how: sheets.column([picture, picture[:, :40]], **how),
        lambda **how: sheets.labelled(picture, "a long label in many words", **how),
        lambda **how: sheets.side_by_side([picture] * 2, ["a", "b"], scales=[None, scale], **how),
        lambda **how: sheets.table([picture] * 3, ["row", "row"], ["one", "two"], **how),
        lambda **how: sheets.figure(picture, "title", "caption", **how),
    ):
        light, dark = draw(paper=LIGHT), draw(paper=DARK)
        ground = (light == 255).all(axis=2)
        assert ground.any()
        assert (dark[ground] == DARK.ground).all()
        assert (dark[(light == 0).all(axis=2)] == DARK.ink).all()
        pictures = (light == 128).all(axis=2)
        assert pictures.sum() >= 60 * 90
        assert abs(dark[pictures].astype(int) - 128).max() <= 2  # edges of letters too
