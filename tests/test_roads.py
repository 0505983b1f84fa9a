"""A run of a verb enters few files: the road from its arguments to the mathematics is short."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BOUNDS = {
    "style": 12,
    "texture": 11,
    "invert": 11,
    "features": 11,
    "deconv": 8,
    "saliency": 9,
    "class-model": 11,
    "occlusion": 10,
    "train": 10,
}
PACKAGE = {
    "cli/main.py": """
        from house.methods import loss, start
        def parse_args(): start.declare()
        def main():
            parse_args()
            return start.run()
        """,
    "methods/start.py": """
        from house.methods import loss
        from house import mathematics
        def declare(): pass
        def run():
            settings = loss.Settings()
            total = sum(x for x in loss.numbers())
            mathematics.minimize(loss.value)
            from house.methods import late
            return total, late.NUMBER, loss.value(), settings.double()
        """,
    "methods/loss.py": """
        class Settings:
            number = 3
            def double(self): return 2 * self.number
        def numbers():
            yield from (1, 2, 3)
        def value(): return 0
        """,
    "methods/late.py": """
        def table(): return 7
        NUMBER = table()
        """,
    "mathematics.py": """
        def minimize(function): return function()
        """,
}


@pytest.fixture(scope="module")
def roads():
    spec = importlib.util.spec_from_file_location("roads", ROOT / "tools" / "roads.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("verb", BOUNDS)
def test_a_run_enters_few_files_of_the_road(roads, verb):
    found = roads.road(verb)
    listed = "\n".join(f"{file}  {function}" for file, function in found["entered"])
    assert found["road"] <= BOUNDS[verb], f"the road of {verb}:\n{listed}"
    assert found["road"] == len(found["entered"]) <= found["files"] <= found["functions"]
    assert len({file for file, _ in found["entered"]}) == found["road"]
    assert found["entered"][0][1] == "main"


def test_every_verb_with_a_road_has_a_bound(roads):
    assert set(roads.RUNS) == set(BOUNDS)


@pytest.mark.smoke
def test_the_hook_counts(roads, tmp_path, monkeypatch):
    for name, text in PACKAGE.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line[8:] for line in text.split("\n")))
    monkeypatch.syspath_prepend(str(tmp_path))
    main = importlib.import_module("house.cli.main").main
    hook = roads.Hook(tmp_path / "house")
    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        assert main() == (6, 7, 0, 6)
    finally:
        sys.setprofile(before)
    assert hook.counts(needs_step=True) == {
        "files": 4,
        "road": 3,
        "functions": 6,  # main, run, numbers, minimize, value, double; table is called by an import
        "moves": 2,  # main -> run -> numbers; what follows the step does not count
        "arguments": 2,  # parse_args, declare
        "entered": [
            ["cli/main.py", "main"],
            ["methods/start.py", "run"],
            ["methods/loss.py", "numbers"],
        ],
    }


def test_a_run_that_cannot_be_followed_is_told(roads):
    with pytest.raises(SystemExit, match="where are the arguments read"):
        roads.Hook().counts(needs_step=False)
    hook = roads.Hook()
    hook.reading = False
    with pytest.raises(SystemExit, match="what is a first step now"):
        hook.counts(needs_step=True)


def test_a_run_that_fails_is_told(roads, monkeypatch):
    monkeypatch.setattr(roads, "ROOT", ROOT / "nowhere")
    with pytest.raises(RuntimeError, match=r"deconv could not be followed:\n(.|\n)*roads"):
        roads.road("deconv")


def test_an_unknown_verb_is_told(roads, capsys):
    with pytest.raises(SystemExit):
        roads.main(["paint"])
    assert "no road for paint; choose from style, texture" in capsys.readouterr().err
