"""Guided Gram matrices: by PyTorch, against the unguided ones, and what masks do at each layer."""

import numpy as np
import pytest
from op_testing import agree

from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.receptive_fields import Field
from minicnn.objectives.gram import mean_gram, style
from minicnn.objectives.guidance import GuidedStyleLoss, at_layer, guided_gram, guided_style


def draw(rng, regions=3, batch=2):
    f = rng.standard_normal((batch, 4, 5, 6))
    guides = rng.uniform(0, 1, (regions, 5, 6))
    return f, guides, guided_gram(rng.standard_normal((1, 4, 5, 6)), guides)[0]


def test_value_and_gradient_by_torch(rng):
    torch = pytest.importorskip("torch")
    f, guides, targets = draw(rng)
    x, t, a = torch.tensor(f, requires_grad=True), torch.tensor(guides), torch.tensor(targets)
    loss = 0
    for n in range(len(f)):
        for r in range(len(guides)):
            inside = x[n] * (t[r] / t[r].sum()).sqrt()  # the paper's guidance channel
            difference = torch.einsum("cij,dij->cd", inside, inside) - a[r]
            loss = loss + 0.3 * t[r].mean() * (difference**2).sum()
    loss.backward()
    value, gradient = guided_style(f, guides, targets, 0.3)
    assert value == pytest.approx(float(loss.detach()), rel=1e-12)
    agree(gradient, x.grad.numpy())


@pytest.mark.smoke
def test_one_region_that_is_everything_is_no_guidance(rng):
    f, _, _ = draw(rng)
    everywhere, target = np.ones((1, 5, 6)), rng.standard_normal((4, 4))
    agree(guided_gram(f, everywhere)[:, 0], mean_gram(f))
    value, gradient = guided_style(f, everywhere, target[None], 0.7)
    expected, slope = style(f, target, 0.7)
    assert value == pytest.approx(expected, rel=1e-12)
    agree(gradient, slope)


def test_a_region_sees_nothing_of_the_others(rng):
    f, _, targets = draw(rng, regions=2)
    guides = np.zeros((2, 5, 6))
    guides[0, :, :3], guides[1, 2:4, 4:] = 1, 1
    value, gradient = guided_style(f, guides, targets, 1.0)
    neither = ~guides.any(axis=0)
    assert neither.any()
    assert not gradient[:, :, neither].any()
    changed = f.copy()
    changed[:, :, neither] += 9
    assert guided_style(changed, guides, targets, 1.0)[0] == value
    left = gradient[:, :, :, :3].copy()
    changed[:, :, 2:4, 4:] *= 3
    np.testing.assert_array_equal(guided_style(changed, guides, targets, 1.0)[1][:, :, :, :3], left)


def test_an_empty_region_says_nothing(rng):
    f, guides, targets = draw(rng, regions=2)
    guides[1] = 0
    value, gradient = guided_style(f, guides, targets, 1.0)
    alone = guided_style(f, guides[:1], targets[:1], 1.0)
    assert value == alone[0]
    np.testing.assert_array_equal(gradient, alone[1])


def test_float32_stays(rng):
    f, guides, targets = (a.astype("float32") for a in draw(rng))
    f.flags.writeable = False
    assert guided_style(f, guides, targets, 1.0)[1].dtype == np.float32


def test_several_layers_and_their_parts(rng):
    f, guides, targets = draw(rng)
    loss = GuidedStyleLoss({"a": targets, "b": targets}, {"a": guides, "b": guides}, {"b": 0.5})
    parts = {}
    value, gradients = loss({"a": f, "b": f}, 2.0, parts)
    assert value == pytest.approx(parts["a"] + parts["b"])
    assert parts["a"] == pytest.approx(2 * parts["b"])
    agree(gradients["a"], 2 * gradients["b"])


def test_activations_of_another_size(rng):
    f, guides, targets = draw(rng)
    with pytest.raises(MinicnnError, match=r"activation \(2, 4, 5, 5\) against guides \(3, 5, 6\)"):
        GuidedStyleLoss({"a": targets}, {"a": guides})({"a": f[..., :5]})


@pytest.mark.parametrize("name", ["minivgg", "squeezenet", "zfnet", "alexnet"])
def test_masks_that_add_up_to_1_do_so_in_every_layer(name, rng):
    net = build.skeleton(name)
    shape = (3, 150, 131)
    first = rng.uniform(0, 1, shape[1:])
    fields, sizes = net.receptive_fields(), trunk_shapes(net, shape)
    for layer, (_, *size) in sizes.items():
        guide = at_layer(first, fields[layer], size)
        assert guide.shape == tuple(size)
        assert (guide >= 0).all()
        assert (guide <= 1).all()
        np.testing.assert_allclose(guide + at_layer(1 - first, fields[layer], size), 1, atol=1e-6)


def trunk_shapes(net, shape):
    """The layers that still have positions, and their shapes."""
    found = {}
    for name, field in net.receptive_fields().items():
        if field.size is None:
            break
        found[name] = None
    nodes = [tuple(node) for node in net.nodes[: len(found)]]
    return type(net)(nodes, {}, shape).shapes(shape)


def test_the_first_layers_of_a_vgg_have_the_mask_itself_and_its_poolings(rng):
    net, mask = build.skeleton("minivgg"), rng.uniform(0, 1, (16, 24))
    fields = net.receptive_fields()
    np.testing.assert_allclose(at_layer(mask, fields["relu1_2"], (16, 24)), mask, atol=1e-6)
    pooled = mask.reshape(8, 2, 12, 2).mean(axis=(1, 3))
    for layer in ("pool1", "relu2_2"):
        np.testing.assert_allclose(at_layer(mask, fields[layer], (8, 12)), pooled, atol=1e-6)


def test_a_cell_between_pixels_takes_its_shares():
    half = Field((3, 3), (2, 2), (0, 0))  # cells start at 0.5
    mask = np.arange(6.0)[None].repeat(3, 0)
    expected = [[(0.5 * 0 + 1 + 0.5 * 2) / 2, (0.5 * 2 + 3 + 0.5 * 4) / 2]]
    np.testing.assert_allclose(at_layer(mask, half, (1, 2)), expected)


def test_a_cell_behind_the_edge_takes_the_outermost_pixel():
    field = Field((2, 2), (2, 2), (0, 0))
    mask = np.array([[0.0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(at_layer(mask, field, (2, 3)), [[0, 1, 1], [0, 1, 1]])
