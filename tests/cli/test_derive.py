"""Derivations: of everything that is checked, each step with its line, each example computed."""

import json

import pytest

from minicnn.cli import main
from minicnn.cli.verbs import derive
from minicnn.errors import MinicnnError
from minicnn.gradcheck import objectives, ops

FOUND = derive.derivations()


def test_everything_that_is_checked_is_derived():
    assert set(FOUND) == {*ops.CASES, *objectives.CASES, "cross_entropy", "gram"}


@pytest.mark.parametrize("name", FOUND)
def test_steps_have_lines_and_examples_run(name):
    one = FOUND[name]
    assert len(one.steps) >= 2
    for step in one.steps:
        file, line, code = derive.place(step)
        assert step.code in code
        source = derive.resources.files("minicnn").joinpath(file.removeprefix("minicnn/"))
        assert source.read_text("utf-8").splitlines()[line - 1].strip() == code
    assert derive.formula(one)
    assert any(value for _, value in derive.session(one.example))


def test_a_step_whose_code_is_gone_is_refused():
    step = FOUND["conv2d"].steps[0]
    with pytest.raises(MinicnnError, match=r"0 lines of ops\.conv2d\.forward"):
        derive.place(step._replace(code="xp.matmul(X, wg)"))
    with pytest.raises(MinicnnError, match=r"lines of ops\.conv2d\.forward hold 'y'"):
        derive.place(step._replace(code="y"))


def test_the_example_of_a_convolution_is_what_one_gets_by_hand(capsys):
    assert main(["derive", "conv2d", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    values = [part["value"] for part in told["example"] if part["value"]]
    assert values[0] == "[[0. 2.]\n [6. 8.]]"  # 1 + 2 2 - 5 = 0, 2 + 2 3 - 6 = 2, ...
    assert values[2] == "[[51. 62.]\n [84. 95.]]\n[11.]"  # 1 + 10 5, 2 + 10 6, ...
    assert told["steps"][3]["file"] == "minicnn/ops/conv2d.py"


def test_names_are_listed_and_others_refused(capsys):
    assert main(["derive"]) == 0
    assert capsys.readouterr().out.split() == list(FOUND)
    assert main(["derive", "conv3d"]) == 1
    assert "nothing called 'conv3d'" in capsys.readouterr().err
