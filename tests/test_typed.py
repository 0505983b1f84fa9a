"""The public names are typed, for people and for type checkers."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

ROOT = Path(minicnn.__file__).resolve().parents[1]
FUNCTIONS = [name for name in minicnn._HOMES if inspect.isfunction(getattr(minicnn, name))]
SCRIPT = """
from typing import Any

import numpy as np

import minicnn
from minicnn.data import drawn
from minicnn.gradcheck import check_adjoint, check_vjp
from minicnn.network import Network
from minicnn.network.layer import Layer, Mode, Rule
from minicnn.network.layers import Add, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from minicnn.objectives import ClassScore, ContentLoss, GramStyleLoss, ImageFunction, WeightedSum
from minicnn.objectives.gram import style_targets
from minicnn.objectives.priors import alpha_norm, tv, tv_beta
from minicnn.optimizers import minimize
from minicnn.pictures import deprocess, load_image, preprocess, save_image
from minicnn.pictures.arrays import centre, fit, resize, to_uint8
from minicnn.pictures.sheets import grid, labelled, side_by_side
from minicnn.terminal.report import Report


class Twice(Layer):
    def forward(self, x: Any, params: dict[str, Any], mode: Mode) -> tuple[Any, None]:
        return 2 * x, None

    def backward(self, dy: Any, cache: None, params: dict[str, Any], rule: Rule) -> Any:
        return 2 * dy


own = Network([("conv1", Conv2d(4, 3, padding=1)), ("twice1", Twice())], {}, (3, 8, 8))
own.initialise(seed=0)
pictures, labels = drawn.labelled("digits", "val", 2)
pixels = {"channel_order": "RGB", "mean": [0.0] * 3, "std": [1.0] * 3, "scale": 1.0}
x = preprocess(fit(centre(pictures[0], 8), 8), pixels)
own_acts = own.forward(x, ["twice1"])
terms = {
    "content": (1.0, ContentLoss({"twice1": own_acts["twice1"]}, normalisation="sum")),
    "style": (2.0, GramStyleLoss(style_targets(own_acts))),
    "unit": (1.0, ClassScore("twice1", 0)),
}
picture_function = ImageFunction(WeightedSum(terms, {"tv": (1.0, tv)}), own.forward, own.backward)
with Report().progress(3) as bar:
    result = minimize(
        "lbfgs", picture_function, x, iterations=3,
        callback=lambda i, x, value, info: bar.update(i, {}),
    )
save_image("made.png", grid([labelled(to_uint8(deprocess(result.x, pixels)), "made")], 1))
again = load_image("made.png").pixels
print(side_by_side([again, resize(again, (8, 8))]).shape, tv_beta(x)[0], alpha_norm(x)[0], labels)
layers: list[str] = [row.layer for row in own.trace(x, np.ones_like(own_acts["twice1"])).rows]
error: float = check_vjp(lambda x: x**2, lambda dy, x: 2 * x * dy, x, np.random.default_rng(0))
error += check_adjoint(lambda x: 2 * x, lambda y: 2 * y, (3,), np.random.default_rng(0))

net = minicnn.build("minivgg", seed=1, pool="average")
content = np.zeros((1, 3, 32, 32), np.float32)
acts = net.forward(content, taps=["relu1_1"])
dx = net.backward({"relu1_1": acts["relu1_1"]})
fun = minicnn.style_objective(
    net, content, [content], content_layers=["relu3_2"], style_layers={"relu1_1": 1.0},
    content_weight=1, style_weight=1000, tv_weight=0.1,
)
value, gradient = fun(content)
total: float = value + sum(fun.terms.values())
minicnn.save(net, "net.h5")
try:
    print(total, net.layers, minicnn.load("net.h5").dtype, minicnn.__version__)
except minicnn.MinicnnError as error:
    print(error)
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_and_result_of_a_public_function_has_a_type(name):
    signature = inspect.signature(getattr(minicnn, name))
    annotations = {key: one.annotation for key, one in signature.parameters.items()}
    annotations["return"] = signature.return_annotation
    assert [key for key, kind in annotations.items() if kind is inspect.Signature.empty] == []


def test_a_type_checker_finds_the_names_where_they_are():
    tree = ast.parse(Path(minicnn.__file__).read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    assert {name.name: node.module for node in block.body for name in node.names} == minicnn._HOMES
    assert {*minicnn._HOMES, "__version__"} == set(minicnn.__all__)
    assert (ROOT / "minicnn" / "py.typed").is_file()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "minicnn" / "ops").glob("*.py")), ids=lambda p: p.stem
)
def test_every_pass_of_an_operation_has_a_type(path):
    """One is enough: then a strict checker lets typed scripts call it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("forward", "backward")):
            arguments = node.args
            every = [*arguments.args, *arguments.kwonlyargs]
            assert node.returns or any(one.annotation for one in every), node.name


def test_the_script_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(SCRIPT, "script", "exec"), {"__name__": "script"})


@pytest.mark.slow
def test_mypy_accepts_a_script_and_sees_its_mistakes(tmp_path):
    pytest.importorskip("mypy")
    wrong = SCRIPT.replace("seed=1", "seed='one'").replace("total: float", "total: str")
    for name, text in (("right", SCRIPT), ("wrong", wrong)):
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    env = {**os.environ, "MYPYPATH": str(ROOT)}

    def check(name):
        files = [f"{name}.py", "--cache-dir", os.devnull]
        return subprocess.run(
            [*command, *files], cwd=tmp_path, env=env, capture_output=True, text=True
        )

    done = check("right")
    assert done.returncode == 0, done.stdout
    done = check("wrong")
    assert done.returncode == 1
    assert done.stdout.count("error:") == 2, done.stdout
