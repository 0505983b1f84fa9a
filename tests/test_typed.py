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
import numpy as np

import minicnn

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
