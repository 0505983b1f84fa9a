import numpy as np

from minicnn.pictures import diagrams, lettering, sheets


def test_heat_is_white_at_zero_blue_above_red_below():
    rgb = diagrams.heat(np.array([[0.0, 2, -2, 1]]), side=8)
    assert rgb.shape == (2, 8, 3)
    zero, above, below, half = (rgb[0, 2 * i].astype(int) for i in range(4))
    assert zero.tolist() == [255, 255, 255]
    assert above.tolist() == diagrams.BLUE.tolist()
    assert below.tolist() == diagrams.RED.tolist()
    assert abs(half - (255 + above) / 2).max() <= 1


def test_heat_shrinks_large_maps_and_leaves_what_is_all_zero_white():
    assert diagrams.heat(np.zeros((300, 100)), side=60).shape == (60, 20, 3)
    assert (diagrams.heat(np.zeros((3, 3)), side=30) == 255).all()


def test_numbers_have_a_square_each_with_tints_and_frames():
    marked = np.array([[True, False]])
    rgb = diagrams.numbers(np.array([[7, 8]]), tints=np.array([[0, -1]]), marked=marked, side=40)
    assert rgb.shape == (43, 83, 3)
    assert tuple(rgb[6, 6]) == diagrams.TINTS[0]
    assert tuple(rgb[6, 46]) == (255, 255, 255)
    assert tuple(rgb[3, 20]) == lettering.LIGHT.ink, "the frame"


def test_a_board_places_pictures_and_draws_arrows_between():
    board = diagrams.Board(60, 100)
    board.centred(np.zeros((10, 10, 3), np.uint8), (30, 20))
    board.arrow((30, 30), (30, 90))
    rgb = board.picture()
    assert (rgb[25:35, 15:25] == 0).all()
    assert (rgb[30, 35:85] < 128).all()
    assert (rgb[10] == 255).all()


def test_a_figure_has_its_title_above_and_its_caption_below():
    picture = np.full((30, 50, 3), 9, np.uint8)
    rgb = sheets.figure(picture, "Title", "word " * 200, width=300, margin=10)
    assert rgb.shape[1] == 320
    rows = np.flatnonzero((rgb == 9).all(axis=2).sum(axis=1) >= 50)
    assert len(rows) == 30
    ink = (rgb.min(axis=2) < 100).any(axis=1)
    assert ink[: rows[0]].any()
    assert ink[rows[-1] + 1 :].sum() > 60, "the caption takes several lines"
    assert (rgb[:, :10] == 255).all(), "the margin"
