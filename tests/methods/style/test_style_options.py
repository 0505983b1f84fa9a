"""Several styles, regions, colours, starts, padding: what `minicnn style` prepares of them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.engine.gram_targets import blended
from minicnn.errors import MinicnnError
from minicnn.methods.style.loss import style_objective
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.objectives.gram import style_targets
from minicnn.objectives.guidance import GuidedStyleLoss
from minicnn.pictures.colours import luminance
from minicnn.pictures.writer import read_metadata

SHALLOW = {"content_layers": {"relu1_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0}}
SHAPE = (40, 60)


def save(path, array):
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def files(tmp_path, rng, monkeypatch):
    """The current folder: three pictures, masks of them, and a label picture."""
    monkeypatch.chdir(tmp_path)
    save("c.png", rng.integers(0, 256, (*SHAPE, 3)) // [1, 2, 4] + [0, 100, 30])
    save("s.png", rng.integers(0, 256, (50, 44, 3)) // [3, 1, 2])
    save("t.png", rng.integers(0, 256, (44, 56, 3)) // [2, 3, 1])
    left = np.zeros(SHAPE)
    left[:, :20] = 255
    save("left.png", left)
    save("right.png", 255 - left)
    save("labels.png", np.where(left, 200, 10))
    mask = np.zeros((50, 44))
    mask[:, 10:] = 255
    save("s-mask.png", mask)
    save("t-mask.png", np.full((44, 56), 255))
    return tmp_path


def settings(**changes):
    fixed = {"weights": "random", "size": 48, "scales": 1, "threads": 1, "engine": "explicit"}
    fixed |= SHALLOW
    return StyleSettings(**{"content": "c.png", "style": "s.png", **fixed, **changes})


TWO = {"style": ["s.png", "t.png"]}
MASKS = {**TWO, "content_masks": ["left.png", "right.png"]}


def test_a_blend_is_the_weighted_mean_of_the_gram_matrices(files):
    job = STYLE.open_job(settings(**TWO, blend=[2.0, 1.0]))
    layers = list(SHALLOW["style_layers"])
    targets = [style_targets(job.net.forward(x, layers)) for x in job.styles]
    loss = job.function().fun.objective.objectives["style"][1]
    for name, target in blended(targets, [2, 1]).items():
        np.testing.assert_allclose(loss.targets[name], target, rtol=1e-3)
        expected = (2 * targets[0][name] + targets[1][name]) / 3
        np.testing.assert_allclose(target, expected, rtol=1e-5)


def value(**changes):
    job = STYLE.open_job(settings(**changes))
    return job.function()(job.start)[0]


def test_a_style_of_weight_0_says_nothing_and_equal_weights_are_the_default(files):
    assert value(**TWO, blend=[1.0, 0.0]) == pytest.approx(value(), rel=1e-5)
    assert value(**TWO) == pytest.approx(value(**TWO, blend=[0.5, 0.5]), rel=1e-5)
    assert value(**TWO) != pytest.approx(value(), rel=1e-3)


def test_each_style_has_its_region(files):
    job = STYLE.open_job(settings(**MASKS))
    loss = job.function().fun.objective.objectives["style"][1]
    assert isinstance(loss, GuidedStyleLoss)
    guides = loss.guides["relu1_1"]
    assert guides.shape == (2, 32, 48)
    np.testing.assert_allclose(guides.sum(axis=0), 1, atol=0.02)
    assert guides[0, :, :15].min() > 0.99
    assert guides[0, :, 17:].max() < 0.01
    # the gradient of the style alone, in the deep inside of a region, knows nothing of the other
    alone = {"content_weight": 0.0, "tv_weight": 0.0}
    one = STYLE.open_job(settings(**MASKS, **alone))
    other = replace(one, styles=[one.styles[0], one.styles[1][:, :, ::2]])
    gradients = [job.function()(one.start)[1] for job in (one, other)]
    most = np.abs(gradients[0]).max()
    np.testing.assert_allclose(gradients[0][..., :8], gradients[1][..., :8], atol=1e-6 * most)
    assert not np.allclose(gradients[0][..., 24:], gradients[1][..., 24:], atol=1e-2 * most)


def test_a_label_picture_stands_for_its_masks(files):
    masks = STYLE.open_job(settings(**MASKS)).content_masks
    # the dark label comes first: the right side
    labels = STYLE.open_job(settings(**TWO, content_masks=["labels.png"])).content_masks
    np.testing.assert_allclose(labels[0], masks[1], atol=0.01)
    np.testing.assert_allclose(labels[1], masks[0], atol=0.01)


def test_a_mask_on_the_style_alone(files):
    masked = value(style_masks=["s-mask.png"])
    Image.open("s.png").crop((10, 0, 44, 50)).save("cut.png")
    assert masked != pytest.approx(value(), rel=1e-4)
    job = STYLE.open_job(settings(style_masks=["s-mask.png"]))
    everywhere = [np.ones_like(job.style_masks[0])]
    whole = replace(job, style_masks=everywhere).function()(job.start)[0]
    assert whole == pytest.approx(value(), rel=1e-4)


def test_the_alpha_of_a_mask_is_the_mask(files):
    """White everywhere, as drawn on a transparent layer: where it is opaque it is meant."""
    grey = Image.open("s-mask.png").convert("L")
    white = Image.new("L", grey.size, 255)
    Image.merge("LA", (white, grey)).save("alpha.png")
    Image.merge("LA", (grey, white)).save("opaque.png")
    job = STYLE.open_job(settings(style_masks=["alpha.png"]))
    plain = STYLE.open_job(settings(style_masks=["s-mask.png"]))
    np.testing.assert_array_equal(job.style_masks[0], plain.style_masks[0])
    assert "alpha.png: its alpha channel is the mask" in job.notes
    opaque = STYLE.open_job(settings(style_masks=["opaque.png"]))
    np.testing.assert_array_equal(opaque.style_masks[0], plain.style_masks[0])
    assert not any("opaque.png" in note for note in opaque.notes)


def test_masks_at_every_size(files):
    masks = {**MASKS, "style_masks": ["s-mask.png", "t-mask.png"]}
    job = STYLE.open_job(settings(**masks, scales=2, iterations=2))
    _, small = job.stages()[0]
    assert [mask.shape for mask in small.content_masks] == [(16, 24)] * 2
    assert [m.shape for m in small.style_masks] == [x.shape[2:] for x in small.styles]
    assert job.run().picture.shape == (32, 48, 3)


def test_the_style_is_given_the_colours_of_the_content(files):
    for how in ("mean-cov", "cholesky", "histogram"):
        job = STYLE.open_job(settings(match_color=how))
        content, seen = job.pictures["content"], job.pictures["style"]
        assert np.abs(seen.mean((0, 1)) - content.mean((0, 1))).max() < 3
        assert np.abs(seen.std((0, 1)) - content.std((0, 1))).max() < 4
        assert np.abs(job.originals["style"].mean((0, 1)) - content.mean((0, 1))).max() > 20


def test_luminance_is_painted_in_grey_and_gets_the_colours_back(files):
    job = STYLE.open_job(settings(preserve_color="luminance", iterations=3))
    for rgb in job.pictures.values():
        np.testing.assert_array_equal(rgb, np.repeat(rgb[..., :1], 3, axis=2))
    y = luminance(job.pictures["content"])
    painted = luminance(job.pictures["style"])
    assert (painted.mean(), painted.std()) == pytest.approx((y.mean(), y.std()), rel=0.02)
    # nothing painted: the content itself, colours and all
    shown = job.snapshot(job.start).astype(int)
    assert np.abs(shown - job.originals["content"]).max() <= 2
    result = job.run().picture.astype(float)
    chroma = [rgb - luminance(rgb)[..., None] for rgb in (result, job.originals["content"])]
    inside = (result > 0).all(axis=2) & (result < 255).all(axis=2)  # not clipped
    assert inside.mean() > 0.5
    assert np.abs(chroma[0] - chroma[1])[inside].max() <= 1.5


def test_the_result_is_given_the_histogram_of_the_content(files):
    job = STYLE.open_job(settings(preserve_color="histogram", init="noise", iterations=2))
    result, content = job.run().picture, job.originals["content"]
    for c in range(3):
        quantiles = np.linspace(0, 100, 21)
        ours, theirs = (np.percentile(rgb[..., c], quantiles) for rgb in (result, content))
        np.testing.assert_allclose(ours, theirs, atol=3)


def test_a_start_of_content_and_noise(files):
    content = STYLE.open_job(settings()).start
    noise = STYLE.open_job(settings(init="noise", seed=3)).start
    for ratio, filled in ((None, 0.5), (0.25, 0.25)):
        job = STYLE.open_job(settings(init="mix", seed=3, noise_ratio=ratio))
        assert job.settings.noise_ratio == filled
        np.testing.assert_allclose(job.start, (1 - filled) * content + filled * noise, atol=1e-5)


def test_replicate_padding(files):
    """The default of slimvgg."""
    jobs = [STYLE.open_job(settings(padding=how)) for how in ("replicate", "zero")]
    assert [job.net.layers[0] for job in jobs] == ["replicate", "conv1_1"]
    again, zeros = (job.function()(job.start)[0] for job in jobs)
    assert again == value() != pytest.approx(zeros, rel=1e-4)


def test_the_library_takes_lists(files):
    job = STYLE.open_job(settings(**TWO))
    fixed = {"content_weight": 1, "style_weight": 1, "tv_weight": 0, "threads": 1, **SHALLOW}
    fun = style_objective(job.net, job.content, job.styles, **fixed)
    single = style_objective(job.net, job.content, job.styles[0], **fixed)
    assert fun(job.start)[0] != single(job.start)[0]
    masks = [np.ones((32, 48), np.float32)]
    guided = style_objective(job.net, job.content, job.styles[0], content_masks=masks, **fixed)
    for ours, theirs in zip(guided(job.start), single(job.start), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max())


def small(name, shape, value=255):
    save(name, np.full(shape, value))
    return name


BAD = {
    "more-weights": ({**TWO, "blend": [1.0, 1, 1]}, "3 blend weights for 2 style pictures"),
    "fewer-weights": ({**TWO, "blend": [1.0]}, "1 blend weights for 2 style pictures"),
    "negative": ({**TWO, "blend": [1.0, -1.0]}, r"blend = \[1.0, -1.0\]; use a finite number"),
    "all-0": ({**TWO, "blend": [0.0, 0.0]}, "blend weights are all 0"),
    "blend-and-masks": ({**MASKS, "blend": [1.0, 1]}, "leave out one of them"),
    "masks": ({"content_masks": ["left.png", "right.png"]}, "2 content masks for 1 style"),
    "style-masks": ({**TWO, "style_masks": ["s-mask.png"]}, "1 style masks for 2 style pictures"),
    "mask-size": ({"content_masks": ["s-mask.png"]}, "44 x 50 pixels, its picture 'c.png' 60 x 40"),
    "mask-empty": ({"content_masks": ["black.png"]}, "'black.png' is black all over"),
    "mask-dot": (
        {"content_masks": ["dot.png"]},
        r"'dot.png' covers 0\.\d+ positions of layer relu1_1",
    ),
    "labels": ({**TWO, "content_masks": ["c.png"]}, "label picture of 2 flat colours; 'c.png' has"),
    "flat-style": ({"style": "flat.png"}, "'flat.png' is one flat colour, there is no style in it"),
    "flat-content": (
        {"content": "flat.png", "match_color": "cholesky"},
        "'flat.png' is one flat colour, there is no range of colours in it",
    ),
    "flat-colours": (
        {"content": "flat.png", "preserve_color": "histogram"},
        "'flat.png' is one flat colour, there is no range of colours in it",
    ),
    "no-style": ({"style": []}, "no style picture"),
    "sizes": ({"style_size": [40, 41]}, "2 style sizes for 1 styles"),
    "ratio": ({"noise_ratio": 0.5}, "use --init mix"),
    "ratio-large": ({"noise_ratio": 1.5, "init": "mix"}, "noise_ratio = 1.5"),
    "colours": ({"match_color": "lab"}, "no match color 'lab'; use mean-cov, cholesky"),
    "both": ({"match_color": "cholesky", "preserve_color": "luminance"}, "no colours to match"),
    "padding": ({"padding": "mirror"}, "no padding 'mirror'; use zero, replicate"),
    "tv": ({"tv": "huber"}, "no tv 'huber'; use mean, neural-style, absolute"),
    "content-loss": ({"content_loss": "max"}, "no content loss 'max'; use mean, sum"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_bad_settings(files, changes, words):
    save("flat.png", np.full((50, 50, 3), [9, 99, 199]))
    save("black.png", np.zeros(SHAPE))
    dot = np.zeros(SHAPE)
    dot[20, 30] = 255
    save("dot.png", dot)
    with pytest.raises(MinicnnError, match=words) as caught:
        STYLE.open_job(settings(**changes))
    assert "\n" not in str(caught.value)


COMMAND = ["style", "c.png", "s.png", "t.png", "-o", "out.png", "--weights", "random", "--quiet"]
COMMAND += ["--size", "48", "--iterations", "2", "--scales", "1"]


def test_the_command_and_its_rerun(files, capfd):
    layers = ["--content-layers", "relu1_2", "--style-layers", "relu1_1=1,relu2_1:0.5"]
    regions = ["--content-mask", "left.png", "right.png", "--style-mask", "s-mask.png"]
    regions += ["--style-mask", "t-mask.png", "--style-size", "48,40"]
    more = ["--padding", "replicate", "--preserve-color", "histogram", "--init", "mix"]
    assert main([*COMMAND, *layers, *regions, *more]) == 0
    metadata = read_metadata("out.png")
    found = metadata["settings"]
    assert found["style_layers"] == {"relu1_1": 1.0, "relu2_1": 0.5}
    assert found["content_masks"] == ["left.png", "right.png"]
    assert found["style_size"] == [48, 40]
    assert set(metadata["inputs"]) == {
        "content", "style", "style1", "content_mask", "content_mask1", "style_mask", "style_mask1",
    }  # fmt: skip
    assert main(["rerun", "out.png", "-o", "again.png", "--quiet"]) == 0
    assert (files / "again.png").read_bytes() == (files / "out.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            ["--blend", "2,1,1"],
            1,
            "3 blend weights for 2 style pictures; give one for each of them",
        ),
        (["--blend", "2,x"], 2, "argument --blend: '2,x' is not a finite number"),
        (["--preset", "gatys", "--gram", "lecture"], 1, "the preset gatys has gram mean, not"),
        (["--preset", "van-gogh"], 2, "invalid choice: 'van-gogh'"),
        (["--content-mask", "left.png", "none.png"], 1, "none.png"),
        (["--noise-ratio", "2"], 2, "'2' is not a number from 0 to 1"),
        (["--style-size", "40,0"], 2, "'40,0' is not a whole number"),
    ],
    ids=["blend", "weight", "preset", "name", "mask", "ratio", "size"],
)
def test_bad_options_are_one_line(files, capfd, options, code, words):
    assert main([*COMMAND, *options]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not (files / "out.png").exists()
