"""Every wrong gradient of the zoo is told from the right one and from all others, by its name."""

import re
from pathlib import Path

import numpy as np
import pytest

import minicnn.gradcheck
from minicnn.gradcheck import checks
from minicnn.gradcheck.judge import judge
from minicnn.gradcheck.own import usable
from minicnn.gradcheck.zoo import EXERCISES

MISTAKES = [(op, mistake) for op, one in EXERCISES.items() for mistake in one.mistakes]
# no gradients: `engine` is checked as a whole; guided style and weighted sum are made of others
WITHOUT = {"guided_style", "weighted_sum", "tv_neural_style"}


class WithMistake:
    """Our operation, with one wrong gradient."""

    def __init__(self, exercise, mistake=None):
        self.exercise, self.mistake = exercise, mistake

    def forward(self, point):
        return self.exercise.forward(**point.inputs, **point.options), None

    def backward(self, dy, point, cache):
        found = self.exercise.backward(dy, point)
        if self.mistake:
            wrong = self.mistake.wrong(dy, point)
            if wrong is not None:
                found[self.mistake.of] = wrong
        return found


def points(exercise):
    return list(exercise.points(np.random.default_rng(1)))


@pytest.mark.parametrize(
    ("op", "mistake"), MISTAKES, ids=[f"{op}-d{m.of}-{m.name}" for op, m in MISTAKES]
)
def test_a_mistake_is_recognised_by_its_name(op, mistake):
    exercise = EXERCISES[op]
    verdict = judge(WithMistake(exercise, mistake), points(exercise), exercise)
    (found,) = verdict.diagnoses
    assert (found.of, found.name, found.says) == (mistake.of, mistake.name, mistake.says)
    assert {one.of for one in verdict.checks if not one.ok} == {mistake.of}


@pytest.mark.smoke
@pytest.mark.parametrize("op", EXERCISES)
def test_what_is_right_is_right(op):
    exercise = EXERCISES[op]
    verdict = judge(WithMistake(exercise), points(exercise), exercise)
    assert verdict.ok, verdict
    assert {one.of for one in verdict.checks} == {"y", *points(exercise)[0].inputs}


def test_every_operation_and_objective_has_mistakes():
    assert len({(op, mistake.name) for op, mistake in MISTAKES}) >= 100
    assert set(checks.CASES) - WITHOUT <= set(EXERCISES)
    assert all(exercise.mistakes for exercise in EXERCISES.values())


class Takes(WithMistake):
    """Our operation for one who takes some options alone."""

    def __init__(self, exercise, names):
        super().__init__(exercise)
        self.names = names

    def takes(self, options):
        return [*points(self.exercise)[0].inputs, *self.names]


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d", "im2col", "maxpool2d", "batchnorm"])
def test_an_option_is_tried_where_it_is_the_only_one(op):
    exercise = EXERCISES[op]
    must = [name for name in points(exercise)[0].options if name not in exercise.defaults]
    if op == "maxpool2d":
        must += ["kernel", "stride"]
    for name in exercise.defaults:
        found, numbers = usable(Takes(exercise, [*must, name]), exercise)
        assert any(point.options[name] != exercise.defaults[name] for point in found), name
        assert numbers == []


@pytest.mark.parametrize("op", EXERCISES)
def test_rows_and_columns_are_told_apart(op):
    """A mistake that exchanges them would not be seen at points of squares alone."""
    for point in points(EXERCISES[op]):
        y = np.asarray(EXERCISES[op].forward(**point.inputs, **point.options))
        shapes = [one.shape[-2:] for one in (y, point.inputs.get("x", y)) if one.ndim >= 4]
        assert all(rows != columns for rows, columns in shapes), (point.name, shapes)


def test_what_is_said_names_a_file_that_is_there():
    package = Path(minicnn.gradcheck.__file__).parents[1]
    for _, mistake in MISTAKES:
        named = re.findall(r"[\w/]+\.py", mistake.says)
        assert named, mistake.says
        assert all((package / name).is_file() for name in named), mistake.says


def test_the_chapter_lists_every_mistake():
    text = (Path(minicnn.gradcheck.__file__).parent / "README.md").read_text()
    rows = dict(line.split(" | ", 1) for line in text.splitlines() if line.startswith("| `"))
    for op, mistake in MISTAKES:
        assert mistake.name in rows[f"| `{op}`"], (op, mistake.name)
