"""Every lab runs as it stands, and every solution is right."""

import re
import textwrap

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.labs import Lab, copies

QUICK = range(1, 7)  # the others walk through networks
LABS = [
    pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow, id=f"lab{n:02}")
    for n in copies.sources()
]


def blanks(number):
    """Return the names of the functions of a lab that have a blank."""
    source = copies.source_of(number).read_text()
    return re.findall(r"^@lab\..*?^def (\w+)", source, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Copy a lab by the command line and run it as a script; return what it says."""
    monkeypatch.chdir(tmp_path)

    def run(number, change=lambda text: text, solution=False):
        (tmp_path / "labs").mkdir(exist_ok=True)
        kind = ["--solutions"] if solution else []
        assert main(["lab", str(number), "-o", "labs", "--force", *kind]) == 0
        stem = copies.source_of(number).stem
        path = tmp_path / "labs" / f"{stem}{'_solution' if solution else ''}.py"
        text = change(path.read_text())
        capfd.readouterr()
        exec(compile(text, str(path), "exec"), {"__name__": "__main__"})
        return " ".join(capfd.readouterr().out.split())

    return run


def seen(number):
    """Assert that the picture of a lab is there and shows something."""
    pixels = np.asarray(Image.open(f"lab{number:02}.png"))
    assert pixels.shape[2] == 3
    assert pixels.std() > 10


@pytest.mark.parametrize("number", LABS)
def test_a_lab_runs_with_its_blanks_open(run, number):
    said = run(number)
    names = blanks(number)
    assert len(names) >= 2
    for name in names:
        assert f"lab {number}: {name}: open, at line " in said
    assert f"lab {number}: 0 of {len(names)} blanks are right; " in said
    seen(number)


@pytest.mark.parametrize("number", LABS)
def test_a_solution_is_right(run, number):
    said = run(number, solution=True)
    for name in blanks(number):
        assert f"lab {number}: {name}: right" in said
    count = len(blanks(number))
    assert f"lab {number}: {count} of {count} blanks are right: well done" in said
    seen(number)


@pytest.mark.parametrize("number", copies.sources())
def test_the_source_is_whole(number):
    source = copies.source_of(number).read_text()
    assert source.startswith(f'"""Lab {number}: ')
    assert source.count("# BLANK: ") == source.count("# END\n") >= len(blanks(number))
    blank, solution = copies.blank(source), copies.solution(source)
    for text in (blank, solution):
        assert text.startswith(f"# %% [markdown]\n{source.partition('# %%')[0]}")
        assert text.rpartition("# %% [markdown]")[0].endswith("\nlab.end()\n\n")
        compile(text, "lab", "exec")
        assert "# BLANK" not in text
        assert "# END" not in text
    assert blank.count(copies.OPEN) == source.count("# BLANK: ")
    assert copies.OPEN not in solution
    questions = re.findall(r"^# \d+\. .*?\?$", source, re.MULTILINE | re.DOTALL)
    assert len(questions) >= 3
    assert all(question in blank for question in questions)
    assert "\n# > " in solution
    assert "# >" not in blank
    for filled in re.findall(r"# BLANK: .*?\n(.*?)^ *# END", source, re.MULTILINE | re.DOTALL):
        code = [line for line in filled.splitlines() if not line.strip().startswith("#")]
        assert "\n".join(code) not in blank
    assert re.search(r"equation|figure|section|arXiv", source)


def test_a_blank_is_filled_by_hand(run):
    """What a student writes for lab 2, right and with three mistakes."""
    filled = {
        "# over which axes is b[k] shared?": "return dy.sum(axis=(0, 2, 3))",
        "# y = w X + b, reshaped to (N, K, P, Q)": (
            "return np.einsum('kcrs,ncrspq->nkpq', w, cols) + b[:, None, None]"
        ),
        "# dw = dy Xᵀ as matrices, summed over the pictures": (
            "return np.einsum('nkpq,ncrspq->kcrs', dy, cols)"
        ),
    }

    def fill(text, **changes):
        for asked, written in filled.items():
            pattern = re.escape(f"    {asked}\n    {copies.OPEN}")
            assert re.search(pattern, text), asked
            written = changes.get(asked, written)
            text = re.sub(pattern, lambda _, w=written: f"    {w}", text)
        return text

    said = run(2, fill)
    for name in ("forward", "backward_weight", "backward_bias"):
        assert f"lab 2: {name}: right" in said
    wrong = dict(
        zip(
            filled,
            ("return dy.sum(axis=(0, 1, 2))", "return np.einsum('kcrs,ncrspq->nkpq', w, cols)",
             "return np.einsum('nkpq,ncrspq->kcrs', dy, cols) / len(x)"),
            strict=True,
        )
    )  # fmt: skip
    said = run(2, lambda text: fill(text, **wrong))
    assert "backward_bias: not yet. db: bias summed over the wrong axes." in said
    assert "backward_weight: not yet. dw: mean over the pictures." in said
    assert (
        "forward: not yet. forward(array (2, 3, 6, 4), array (4, 3, 3, 2), array (4,), 1, 0): "
        in said
    )


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("r : r + P, s : s + Q] += dy[:, :, r, s]", "stride forgotten"),
        ("r : r + u * P : u, s : s + u * Q : u] += dy[:, :, r, s]", "one stride for both axes"),
        ("r : r + u * P : u, s : s + v * Q : v] = dy[:, :, r, s]", "overwritten where windows"),
        ("r : r + u * P : u, s : s + v * Q : v] += dy[:, :, r, s]", None),
    ],
)
def test_a_stride_is_tried_in_the_first_lab(run, written, name):
    loops = f"for r, s in np.ndindex(R, S): dx[:, :, {written}"
    head, _, tail = copies.blank(copies.source_of(1).read_text()).rpartition(copies.OPEN)
    said = run(1, lambda text: f"{head}{loops}{tail}")
    assert f"col2im: {f'not yet. dx: {name}' if name else 'right'}" in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("return H", "out_size(7, 3, 2, 0): it is 7, expected 3"),
        ("return None", "out_size(7, 3, 2, 0): it returns nothing"),
        ("return 1 / 0", "line 34: ZeroDivisionError"),
        ("return nothing", "line 34: NameError"),
        ("return 'five'", "out_size(7, 3, 2, 0): it is 'five', expected 3"),
        ("...", "out_size(7, 3, 2, 0): it returns nothing"),
    ],
)
def test_what_is_wrong_is_said(run, written, said):
    got = run(1, lambda text: text.replace(copies.OPEN, written, 1))
    assert f"lab 1: out_size: not yet. {said}" in got
    assert "im2col: open" in got  # the script has gone on, with ours
    assert "0 of 4 blanks are right" in got


def test_arguments_that_are_overwritten_are_told():
    lab = Lab(4)
    function = {}
    source = """
        import numpy as np
        def maxpool(x, kernel, stride):
            x[...] = 0
            return np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2), int)
        """
    exec(textwrap.dedent(source), function)
    lab.blank((np.zeros((1, 1, 4, 4)) - 1e-300, 2, 2))(function["maxpool"])
    assert lab.outcomes == {"maxpool": "wrong"}


def test_what_a_lab_says_is_short_and_ends_once(run):
    written = "return maxpool2d.backward(dy, cache) / 2"
    blank = f"# maxpool2d.backward(dy, cache) places dy at the switches\n        {copies.OPEN}"
    said = run(7, lambda text: text.replace(blank, written))
    assert "down(pool1, array (1, 32, 48, 64), Cache): a constant factor. It is 0.5 times" in said
    assert "a mean for a sum? Ours stands in for it" in said


def test_the_end_shows_the_picture(run, tmp_path):
    run(1)
    lab = Lab(1)
    assert lab.end() is None
    lab.save(np.zeros((4, 6, 3), np.uint8), "small.png")
    assert lab.end()._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 13])
def test_a_lab_is_a_notebook(tmp_path, number):
    jupytext, nbclient = map(pytest.importorskip, ("jupytext", "nbclient"))
    pytest.importorskip("ipykernel")
    script = copies.solution(copies.source_of(number).read_text())
    notebook = jupytext.reads(script, fmt="py:percent")
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[:2] == ["markdown", "code"]
    assert notebook.cells[0].source.startswith(f"Lab {number}: ")
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    said = "".join(out.text for out in outputs if out.output_type == "stream")
    assert "blanks are right: well done" in said
    assert "image/png" in outputs[-1].data


def test_there_is_no_such_lab():
    with pytest.raises(MinicnnError, match=r"no lab 99; the labs are 1 to 15"):
        Lab(99)


# the verb


def test_labs_are_listed(capfd):
    assert main(["lab"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 1 + len(copies.sources()) == 16
    assert lines[1].split(maxsplit=1) == ["1", "windows and im2col"]


def test_copies_are_never_replaced_without_force(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "1", "2", "-o", "labs"]) == 0
    path = tmp_path / "labs" / "lab01_windows.py"
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "lab01_windows.py", "lab02_convolution.py",
    ]  # fmt: skip
    path.write_text("mine")
    assert main(["lab", "1", "-o", "labs"]) == 1
    assert "exists already; replace it with --force" in capfd.readouterr().err
    for options in ((), ("--force",)):  # solutions go beside what has been written
        assert main(["lab", "1", "-o", "labs", "--solutions", *options]) == 0
        assert path.read_text() == "mine"
        assert copies.OPEN not in (path.parent / "lab01_windows_solution.py").read_text()
    assert main(["lab", "1", "-o", "labs", "--force"]) == 0
    assert copies.OPEN in path.read_text()


def test_all_labs_are_copied(tmp_path):
    for count, kind in ((15, []), (30, ["--solutions"])):
        assert main(["lab", "all", "-o", str(tmp_path / "labs"), *kind]) == 0
        assert len(list((tmp_path / "labs").iterdir())) == count


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["1"], "give the folder to copy into: -o FOLDER"),
        (["-o", "labs"], "which lab?"),
        (["99", "-o", "labs"], "no lab 99; the labs are 1 to 15"),
        (["one", "-o", "labs"], "no lab 'one'; give numbers from 1 to 15, or all"),
        (["1", "-o", "file"], "cannot make the folder 'file'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capfd, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["lab", *options]) == 1
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
