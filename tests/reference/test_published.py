"""Numbers that others have printed, met by ours; README.md lists them with their sources.

Networks are those that `minicnn weights fetch` has brought into the cache of whoever runs this.
"""

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.methods.network_defaults import texture_layers
from minicnn.methods.style.inputs import as_programmed
from minicnn.methods.style.loss import style_objective
from minicnn.methods.style.presets import PRESETS
from minicnn.methods.texture.loss import texture_objective
from minicnn.objectives.total_variation import tv
from minicnn.pictures import load_image, preprocess
from minicnn.pictures.arrays import resize
from minicnn.weights import locations

FETCHED = locations.cached()  # read at collection: the tests themselves have an empty cache


def fetched(name, **options):
    """Return a network out of the real cache."""
    if name not in FETCHED:
        pytest.skip(f"no {name} in the cache; get it by `minicnn weights fetch {name}`")
    return minicnn.load(FETCHED[name], **options)


def test_total_variation_is_that_of_cs231n(shared_data):
    with Image.open(shared_data / "style_inputs" / "tubingen.jpg") as image:
        small = np.asarray(image.resize((256, 192), Image.Resampling.BILINEAR), np.float64)
    x = (small / 255 / [0.229, 0.224, 0.225]).transpose(2, 0, 1)[None]  # a mean changes nothing
    published = np.load(shared_data / "published" / "cs231n_style-transfer-checks.npz")["tv_out"]
    # the course prints float32
    assert 2e-2 * tv(x, "sum")[0] == pytest.approx(float(published), rel=1e-6)


# the first of conv1_1's filters, RGB, and the first four biases
VGG19_FILTER = [
    [0.39416704, 0.37740308, -0.04594866, 0.2671299, 0.09986369, -0.34100872, -0.07573577,
     -0.28034249, -0.41602272],
    [0.46418372, 0.41810837, -0.04806903, 0.30511212, 0.10385381, -0.37314063, -0.07646758,
     -0.31070709, -0.46453714],
    [0.34119523, 0.33999205, -0.04484424, 0.23215917, 0.08978214, -0.30331427, -0.07260918,
     -0.246675, -0.33683276],
]  # fmt: skip
VGG19_BIASES = [0.73017758, 0.06493629, 0.03428847, 0.8260386]
HALF = 2**-11  # of a float16, relative: what the cache holds


def test_vgg19_has_the_printed_weights():
    net = fetched("vgg19")
    np.testing.assert_allclose(net.params["conv1_1.bias"][:4], VGG19_BIASES, rtol=HALF)
    found = net.params["conv1_1.weight"][0, ::-1].reshape(3, 9)
    # VGG-16's conv1_1 rounded to 256 values by k-means differs by 0.7 % in this measure
    error = np.linalg.norm(found - VGG19_FILTER) / np.linalg.norm(VGG19_FILTER)
    assert error < 0.01


# of each convolution, the first weight (of the red channel in conv1_1) and the first bias
VGG16_FIRST = {
    "conv1_1": (0.4800154, 0.73429835), "conv1_2": (0.16621928, -0.30912212),
    "conv2_1": (-0.008902963, -0.04577766), "conv2_2": (-0.0023012366, -0.06418542),
    "conv3_1": (0.002486315, -0.074358866), "conv3_2": (-0.0103266295, 0.019675018),
    "conv3_3": (0.0024918285, 0.035415243), "conv4_1": (-0.012453815, 0.013485669),
    "conv4_2": (0.007116542, 0.023680462), "conv4_3": (-0.0041355654, 0.03757768),
    "conv5_1": (-0.0006068934, 0.09722325), "conv5_2": (-0.0011261065, 0.21327873),
}  # fmt: skip


def test_vgg16_has_the_printed_weights():
    net = fetched("vgg16")
    for name, printed in VGG16_FIRST.items():
        channel = 2 if name == "conv1_1" else 0
        found = net.params[f"{name}.weight"][0, channel, 0, 0], net.params[f"{name}.bias"][0]
        np.testing.assert_allclose(found, printed, rtol=HALF, err_msg=name)


# found 0.0062 and 0.0022; shrunk to 192 pixels 0.29 and 0.19; the Shipwreck by average pooling
# 0.023, with red and blue exchanged 0.0059
STORED = [("scream", "the_scream", 0.01), ("shipwreck", "shipwreck", 0.004)]


@pytest.mark.slow
@pytest.mark.parametrize(("stored", "painting", "most"), STORED)
def test_pictures_of_neural_style_have_the_gram_matrices_of_their_paintings(
    stored, painting, most, shared_data
):
    """By its preset, as a share of the style loss of the photograph."""
    preset = PRESETS["neural-style"]
    net = as_programmed(fetched("vgg19", pool=preset.loss.pool), preset)

    def seen(*parts):
        pixels = load_image(shared_data.joinpath(*parts)).pixels
        return preprocess(preset.fitted(pixels, preset.size), net.attrs["preprocess"])

    photograph = seen("style_inputs", "tubingen.jpg")
    fun = style_objective(
        net,
        photograph,
        seen("style_inputs", f"{painting}.jpg"),
        content_layers=preset.loss.content_layers,
        style_layers=preset.loss.style_layers,
        content_weight=0,
        style_weight=1,
        tv_weight=0,
        gram=preset.loss.gram,
    )
    painted, _ = fun(seen("peer_outputs", "neural-style", f"tubingen_{stored}.png"))
    assert painted < most * fun(photograph)[0]


def test_the_pebbles_of_deeptextures_have_the_gram_matrices_of_the_pebbles(shared_data):
    """Inside the axes of its plot, 222 pixels wide; the source is shrunk as much."""
    net = fetched("vgg19", pool="average")

    def seen(pixels):
        return preprocess(pixels, net.attrs["preprocess"])

    source = load_image(shared_data / "textures" / "pebbles.jpg").pixels
    source = resize(source, (222, 222), bilinear=True)
    plots = shared_data / "peer_outputs" / "gatys_notebooks"
    plot = load_image(plots / "pebbles_synthesised_histmatched_263x256.png").pixels
    fun = texture_objective(net, seen(source), layers=texture_layers("vgg19"), relative=True)
    made, moved = (
        fun(seen(picture))[0] for picture in (plot[13:235, 30:252], np.roll(source, 111, axis=1))
    )
    # found 0.056 and 0.036, which a texture can hardly be below; another texture has 22
    assert made < 2 * moved
