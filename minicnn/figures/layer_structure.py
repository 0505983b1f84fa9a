"""Figures 2 and 3: what a layer does on the way up, what the deconvnet does on the way down."""

import numpy as np

from minicnn.figures.material import Figure
from minicnn.network.layer import Rule
from minicnn.ops import maxpool2d
from minicnn.ops.unpool import unpool
from minicnn.pictures.arrays import as_pixels, centre, fit, preprocess
from minicnn.pictures.diagrams import Board, heat, numbers
from minicnn.pictures.sheets import signed_to_uint8

SIDE, STEP = 150, 205  # pixels of a map, and from one map to the next
LEFT, RIGHT = 250, 690  # the middles of the two columns
VISIBLE = 0.995  # share of the projection's values that are drawn in their own strength


def figure_2(material):
    """A unit's maps in the first layer of the network, up and down."""
    net, inside, names = material.net, material.settings.inside, material.first_layer(2)
    rgb = centre(material.content, 128)
    acts = net.forward(preprocess(rgb, net.attrs["preprocess"]), names)
    conv, rectified, pooled = (acts[name][0] for name in names)
    # one that much of the picture excites, and parts of it more than others
    unit = int(np.argmax(pooled.std(axis=(1, 2)) * (pooled > 0).mean(axis=(1, 2))))
    seed = np.zeros_like(acts[names[2]])
    seed[0, unit] = pooled[unit]
    down = {}

    def step(node, dy, cache):
        own, rule = net.own_params(node), Rule(relu="deconvnet")
        down[node.name] = node.layer.backward(dy, cache, own, rule)
        return down[node.name]

    net.walk_back({names[2]: seed}, step)
    unpooled, rectified_back = (down[name][0, unit] for name in names[:0:-1])
    pixels = as_pixels(down[names[0]], net)
    projection, scale = signed_to_uint8(pixels, 127 / np.quantile(np.abs(pixels), VISIBLE))
    most = float(np.abs(conv[unit]).max())
    up_column = [
        (rgb, f"the picture\n3 x {rgb.shape[0]} x {rgb.shape[1]}"),
        (heat(conv[unit], SIDE, most), _told(names[0], conv, unit)),
        (heat(rectified[unit], SIDE, most), _told(names[1], rectified, unit)),
        (heat(pooled[unit], SIDE, most), _told(names[2], pooled, unit)),
    ]
    down_column = [
        (projection, f"its reconstruction\n1 grey level is {1 / scale:.2g} of the picture's"),
        (heat(rectified_back, SIDE, most), "rectified, not below 0"),
        (heat(unpooled, SIDE, most), f"unpooled\n{_share(unpooled)} of the pixels"),
        (heat(seed[0, unit], SIDE, most), f"unit {unit} alone, others 0"),
    ]
    layer = net.layer(names[0])
    ups = [f"convolve\n{layer.kernel} x {layer.kernel}", "rectify", "max pool"]
    downs = ["filter by the\ntransposed\nkernel", "rectify", "unpool"]
    board = Board(3 * STEP + SIDE + 60, 980, material.settings.paper)
    board.text("deconvnet: downwards", (16, LEFT), size=19)
    board.text("convnet: upwards", (16, RIGHT), size=19)
    for number in range(4):
        row = 50 + SIDE / 2 + (3 - number) * STEP
        for column, (picture, text) in ((RIGHT, up_column[number]), (LEFT, down_column[number])):
            board.centred(fit(picture, SIDE), (row, column))
            board.box((row - SIDE / 2 - 1, column - SIDE / 2 - 1), (SIDE + 1, SIDE + 1))
            board.text(text, (row, column + SIDE / 2 + 10), anchor="lm")
        if number < 3:
            bottom, top = row - SIDE / 2 - 4, row - STEP + SIDE / 2 + 4
            board.arrow((bottom, RIGHT), (top, RIGHT), ups[number].replace("\n", " "))
            board.arrow((top, LEFT), (bottom, LEFT), downs[number].replace("\n", " "))
    between = 50 + SIDE / 2 + STEP / 2
    board.arrow((between, RIGHT - 30), (between, LEFT + 110), "switches: where the maxima were")
    return Figure(
        "Figure 2. A layer of the convnet, and of the deconvnet",
        board.picture(),
        f"The first layer of {inside}, real arrays. Right, from below: the picture, unit "
        f"{unit} of {len(conv)} after the convolution (blue above 0, red below, full colour "
        f"{most:.3g}), rectified, pooled. Left, from above: that unit alone goes down again; every "
        "value returns to where its maximum was, and the transposed kernel paints it into the "
        "picture (grey is 0).",
        f"minicnn deconv PICTURE {material.net_option} --layer {names[2]} --unit {unit} "
        "-o down.png",
    )


def _told(name, maps, unit):
    shape = " x ".join(map(str, maps.shape))
    return f"{name}, unit {unit}\nof {shape}\n{maps[unit].min():.2f} to {maps[unit].max():.2f}"


def _share(values):
    return f"{np.mean(values != 0):.0%}"


def figure_3(material):
    """One max pooling in numbers, with its switches, and the way back."""
    rng = np.random.default_rng(material.settings.seed)
    x = rng.permutation(16).reshape(1, 1, 4, 4).astype(float)
    y, cache = maxpool2d.forward(x, 2)
    dy = rng.permutation(np.arange(1.0, 5)).reshape(y.shape) * 10
    dx = unpool(dy, cache)
    windows = np.arange(4).reshape(2, 2)
    tints = windows.repeat(2, axis=0).repeat(2, axis=1)
    here = unpool(np.ones_like(y), cache)[0, 0] > 0
    board = Board(470, 900, material.settings.paper)
    top = [
        ("x (4, 4)", numbers(x[0, 0], tints=tints, marked=here), 110),
        ("switches: r S + s", numbers(cache.switches[0, 0], tints=windows), 450),
        ("y (2, 2)", numbers(y[0, 0], tints=windows), 780),
    ]
    low = [
        ("dx (4, 4)", numbers(dx[0, 0], tints=np.where(here, tints, -1), marked=here), 110),
        ("dy (2, 2)", numbers(dy[0, 0], tints=windows), 780),
    ]
    for (title, picture, middle), row in [*((t, 120) for t in top), *((t, 350) for t in low)]:
        board.centred(picture, (row, middle))
        board.text(title, (row - len(picture) / 2 - 14, middle))
    board.arrow((120, 215), (120, 390), "max pool 2 x 2")
    board.arrow((120, 510), (120, 720), "with the values")
    board.arrow((350, 720), (350, 215))
    board.arrow((178, 450), (346, 450), "where to")
    board.text("unpool", (334, 330), size=15)
    board.text("each to its window's maximum", (334, 600), size=15)
    return Figure(
        "Figure 3. Unpooling by switches",
        board.picture(),
        "A max pooling of 2 x 2 by ops.maxpool2d, computed, not typed in. Windows have a colour "
        "each; thick frames mark the maxima. A switch is the place of the maximum in its window, "
        "row by row: 0 1 / 2 3. On the way back each value of dy goes to that place, and 0 to all "
        "others: the derivative of a maximum.",
        "minicnn derive maxpool2d",
    )
