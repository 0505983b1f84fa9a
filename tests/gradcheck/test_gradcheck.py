import json
import re
from pathlib import Path

import numpy as np
import pytest

import minicnn.objectives
import minicnn.ops
from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.gradcheck import objectives as gradcheck_objectives
from minicnn.gradcheck import ops as gradcheck_ops
from minicnn.objectives import content, gram, guidance, priors
from minicnn.ops import (
    avgpool2d,
    batchnorm,
    concat,
    conv2d,
    conv_transpose2d,
    dropout,
    im2col,
    linear,
    lrn,
    maxpool2d,
    prelu,
    relu,
    replicate,
    softmax,
)

PLANTED = 1.001  # an error of 0.1 %


@pytest.mark.smoke
@pytest.mark.parametrize("op", checks.CASES)
def test_every_gradient_is_right(op):
    results = checks.run(op)
    assert results
    assert all(result.ok for result in results), checks.format_table(results)


def test_every_operation_and_objective_has_cases():
    ops = {path.stem for path in Path(minicnn.ops.__file__).parent.glob("*.py")}
    # no gradients of their own: parts of convolution and of pooling
    without = {"__init__", "shapes", "pad", "column_strips", "unpool"}
    assert ops - without == set(gradcheck_ops.CASES)
    assert {result.case for result in checks.run("content")} == set(content.CONTENT)
    assert {result.case for result in checks.run("style")} == set(gram.STYLE)


def test_the_readme_lists_every_operation_and_its_test():
    folder = Path(minicnn.ops.__file__).parent
    text = (folder / "README.md").read_text()
    for path in folder.glob("*.py"):
        if path.stem != "__init__":
            assert f"]({path.name})" in text
    for link in re.findall(r"\]\((.*?)\)", text):
        assert (folder / link).exists(), link


def scaled(function):
    """The same function with a result 0.1 % too large."""

    def wrong(*args, **options):
        return PLANTED * function(*args, **options)

    return wrong


def scaled_part(function, part):
    """The same function with one of its results 0.1 % too large."""

    def wrong(*args, **options):
        results = list(function(*args, **options))
        results[part] = PLANTED * results[part]
        return results

    return wrong


PLACES = [
    (conv2d, "backward_data", None, "x"),
    (conv2d, "backward_params", 0, "weight"),
    (conv2d, "backward_params", 1, "bias"),
    (conv_transpose2d, "backward_data", None, "x"),
    (conv_transpose2d, "backward_params", 0, "weight"),
    (conv_transpose2d, "backward_params", 1, "bias"),
    (im2col, "col2im", None, "x"),
    (maxpool2d, "backward", None, "x"),
    (avgpool2d, "backward", None, "x"),
    (relu, "backward", None, "x"),
    (prelu, "backward_data", None, "x"),
    (prelu, "backward_params", None, "weight"),
    (linear, "backward_data", None, "x"),
    (linear, "backward_params", 0, "weight"),
    (linear, "backward_params", 1, "bias"),
    (lrn, "backward", None, "x"),
    (batchnorm, "backward", 0, "x"),
    (batchnorm, "backward", 1, "gamma"),
    (batchnorm, "backward", 2, "beta"),
    (batchnorm, "backward_eval", None, "x"),
    (dropout, "backward", None, "x"),
    (softmax, "backward", None, "x"),
    (softmax, "cross_entropy_backward", None, "x"),
    (concat, "backward", 1, "x"),
    (replicate, "backward", None, "x"),
]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("module", "name", "part", "of"),
    PLACES,
    ids=[f"{p[0].__name__.split('.')[-1]}-{p[1]}-{p[3]}" for p in PLACES],
)
def test_a_planted_error_is_caught(monkeypatch, module, name, part, of):
    op = module.__name__.split(".")[-1]
    function = getattr(module, name)
    wrong = scaled(function) if part is None else scaled_part(function, part)
    monkeypatch.setattr(module, name, wrong)
    caught = [result for result in checks.run(op) if not result.ok]
    assert caught
    assert {result.check.split()[1] for result in caught} == {of}
    if op != "concat":  # there, only a part of dx is wrong
        assert [result.error for result in caught] == pytest.approx([1e-3] * len(caught), rel=0.01)


def test_a_planted_error_in_one_term_is_caught(monkeypatch):
    """The sum over the window of LRN, which a small alpha would hide."""
    right = lrn._window_sum
    monkeypatch.setattr(lrn, "backward", with_patch(lrn, "_window_sum", scaled(right)))
    assert any(not result.ok for result in checks.run("lrn"))


def with_patch(module, name, replacement):
    """Return `module.backward` as it is while `module.name` is replaced."""
    backward = module.backward

    def patched(dy, cache):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, replacement)
            return backward(dy, cache)

    return patched


@pytest.mark.parametrize("loss", ["ContentLoss", "GramStyleLoss", "ClassScore"])
def test_a_planted_error_in_an_objective_is_caught(monkeypatch, loss):
    kind = getattr(minicnn.objectives, loss)
    call = kind.__call__

    def wrong(self, *args):
        value, gradients = call(self, *args)
        return value, {name: PLANTED * gradient for name, gradient in gradients.items()}

    monkeypatch.setattr(kind, "__call__", wrong)
    op = {"ContentLoss": "content", "GramStyleLoss": "style", "ClassScore": "class_score"}[loss]
    assert not any(result.ok for result in checks.run(op))


def test_a_planted_error_in_guided_style_is_caught(monkeypatch):
    wrong = scaled_part(guidance.guided_style, 1)
    monkeypatch.setattr(guidance, "guided_style", wrong)
    assert not any(result.ok for result in checks.run("guided_style"))


@pytest.mark.parametrize("name", ["tv", "tv_beta", "tv_neural_style", "tv_absolute", "alpha_norm"])
def test_a_planted_error_in_a_prior_is_caught(monkeypatch, name):
    wrong = scaled_part(getattr(priors, name), 1)
    monkeypatch.setitem(checks.CASES, name, gradcheck_objectives.prior_cases(wrong, {}))
    (result,) = checks.run(name)
    assert not result.ok


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_rules_that_are_no_gradients_are_refused(monkeypatch, rule):
    backward = relu.backward
    monkeypatch.setattr(relu, "backward", lambda dy, cache: backward(dy, cache, rule))
    (result,) = checks.run("relu")
    assert not result.ok
    assert result.error > 1e-2


def test_a_transposed_gradient_is_caught_though_ones_would_not_see_it(rng):
    w = rng.standard_normal((4, 3, 1, 1))
    x = rng.standard_normal((2, 3, 5, 5))

    def right(dy):
        return conv2d.backward_data(dy, w, x.shape)

    def wrong(dy):
        return conv2d.backward_data(dy.swapaxes(2, 3), w, x.shape)

    ones = np.ones((2, 4, 5, 5))
    np.testing.assert_allclose(right(ones), wrong(ones))
    function = lambda x: conv2d.forward(x, w)[0]  # noqa: E731
    assert checks.check_vjp(function, lambda dy, x: right(dy), x, rng) < 1e-6
    assert checks.check_vjp(function, lambda dy, x: wrong(dy), x, rng) > 1e-2
    assert checks.check_adjoint(function, right, x.shape, rng) < 1e-12
    assert checks.check_adjoint(function, wrong, x.shape, rng) > 1e-2


def test_a_flipped_kernel_is_caught(rng):
    w, x = rng.standard_normal((2, 3, 3, 3)), rng.standard_normal((1, 3, 6, 5))
    error = checks.check_vjp(
        lambda x: conv2d.forward(x, w, padding=1)[0],
        lambda dy, x: conv2d.backward_data(dy, w[:, :, ::-1, ::-1], x.shape, padding=1),
        x,
        rng,
    )
    assert error > 1e-2


def test_parameters_are_checked_one_by_one(rng):
    x = rng.standard_normal((4, 3))
    errors = checks.check_params(
        lambda p: x @ p["w"] + p["b"],
        lambda dy, p: {"w": x.T @ dy, "b": PLANTED * dy.sum(0)},
        {"w": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)},
        rng,
    )
    assert errors["w"] < 1e-6
    assert errors["b"] == pytest.approx(1e-3, rel=0.01)


def test_a_gradient_that_is_nan_fails(rng):
    error = checks.check_vjp(lambda x: x**2, lambda dy, x: x * np.nan, np.ones(3), rng)
    assert error == checks.WORST


def test_a_gradient_of_the_wrong_shape_is_named(rng):
    with pytest.raises(MinicnnError, match=r"shape \(3, 2\), its input \(2, 3\)"):
        checks.check_vjp(lambda x: x, lambda dy, x: dy.T, np.ones((2, 3)), rng)


def test_the_results_are_the_same_every_time_and_for_one_operation_alone():
    everything = checks.run()
    assert everything == checks.run()
    assert [result for result in everything if result.op == "lrn"] == checks.run("lrn")


def test_results_are_plain_values():
    rows = [result._asdict() for result in checks.run()]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_table():
    good = checks.Result("conv2d", "3x3", "vjp x", 1.2e-9, 1e-6, True)
    bad = checks.Result("lrn", "5 wide", "vjp x", 1e-3, 1e-6, False)
    lines = checks.format_table([good, bad]).splitlines()
    assert lines[0].split("  ")[0] == "op"
    assert [word for word in lines[0].split("  ") if word.strip()] == [
        "op", "case", "check", "relative error", "tolerance", "ok",
    ]  # fmt: skip
    assert lines[2].split() == ["conv2d", "3x3", "vjp", "x", "1.2e-09", "1e-06", "yes"]
    assert lines[3].split()[-1] == "NO"
    assert lines[-1] == "2 checks, 1 failed"


def test_unknown_operation():
    with pytest.raises(MinicnnError, match="no gradient check for 'conv3d'; there is conv2d, "):
        checks.run("conv3d")


def test_distinct_values_keep_away_from_each_other_and_from_zero(rng):
    values = np.sort(gradcheck_ops.distinct(rng, (4, 5)).ravel())
    assert np.abs(values).min() >= 1 / 20 - 1e-12
    assert np.diff(values).min() >= 1 / 20 - 1e-12
    assert np.abs(values).max() <= 1
