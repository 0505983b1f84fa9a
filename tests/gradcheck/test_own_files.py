"""`minicnn gradcheck FILE.py`: files as readers write them, right and wrong."""

import json
import re
import textwrap
from pathlib import Path

import pytest

import minicnn.gradcheck
from minicnn.cli import main

CONV = """
    import numpy as np

    def forward(x, w, b, stride=1, padding=0):
        u, v = (stride, stride) if np.isscalar(stride) else stride
        x_pad = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        R, S = w.shape[2:]
        P, Q = (x_pad.shape[2] - R) // u + 1, (x_pad.shape[3] - S) // v + 1
        y = np.empty((len(x), len(w), P, Q))
        for p in range(P):
            for q in range(Q):
                window = x_pad[:, :, p * u : p * u + R, q * v : q * v + S]
                y[:, :, p, q] = np.tensordot(window, w, ([1, 2, 3], [1, 2, 3])) + b
        return y, (x.shape, x_pad, w)

    def backward(dy, cache, stride=1, padding=0):
        (N, C, H, W), x_pad, w = cache
        u, v = (stride, stride) if np.isscalar(stride) else stride
        R, S = w.shape[2:]
        dx, dw = np.zeros(x_pad.shape), np.zeros(w.shape)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                at = (slice(None), slice(None), slice(p * u, p * u + R), slice(q * v, q * v + S))
                dx[at] += np.tensordot(dy[:, :, p, q], w, 1)
                dw += np.tensordot(dy[:, :, p, q], x_pad[at], (0, 0))
        return dx[:, :, padding : padding + H, padding : padding + W], dw, dy.sum((0, 2, 3))
"""
POOL = """
    import numpy as np

    def forward(x, kernel, stride=None, padding=0):
        stride = stride or kernel
        frame = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        x_pad = np.pad(x, frame, constant_values=-np.inf)
        N, C, H, W = x_pad.shape
        P, Q = (H - kernel) // stride + 1, (W - kernel) // stride + 1
        y, places = np.empty((N, C, P, Q)), np.empty((N, C, P, Q), int)
        for n, c, p, q in np.ndindex(N, C, P, Q):
            i, j = p * stride, q * stride
            window = x_pad[n, c, i : i + kernel, j : j + kernel]
            r, s = divmod(int(window.argmax()), kernel)
            y[n, c, p, q], places[n, c, p, q] = window[r, s], (i + r) * W + j + s
        return y, (places, x_pad.shape, x.shape, padding)

    def backward(dy, cache):
        places, padded, (N, C, H, W), padding = cache
        dx = np.zeros((N, C, padded[2] * padded[3]))
        for n, c, p, q in np.ndindex(*dy.shape):
            dx[n, c, places[n, c, p, q]] += dy[n, c, p, q]
        dx = dx.reshape(padded)
        return dx[:, :, padding : padding + H, padding : padding + W]
"""
TV = """
    import numpy as np

    def tv(x):
        down, right = x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]
        dx = np.zeros_like(x)
        dx[:, :, 1:] += 2 * down
        dx[:, :, :-1] -= 2 * down
        dx[:, :, :, 1:] += 2 * right
        dx[:, :, :, :-1] -= 2 * right
        return (down**2).sum() + (right**2).sum(), dx
"""
BATCH = """
    import numpy as np

    def forward(x, gamma, beta, eps=1e-5):
        mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        h = 1 / np.sqrt(var + eps)
        z = (x - mean) * h
        return z * gamma[:, None, None] + beta[:, None, None], (z, h, gamma)

    def backward(dy, cache):
        z, h, gamma = cache
        mean = lambda a: a.mean((0, 2, 3), keepdims=True)
        dx = gamma[:, None, None] * h * (dy - mean(dy) - z * mean(dy * z))
        return dx, (dy * z).sum((0, 2, 3)), dy.sum((0, 2, 3))
"""
SOFTMAX = """
    import numpy as np

    def forward(x):
        p = np.exp(x - x.max(1, keepdims=True))
        p = p / p.sum(1, keepdims=True)
        return p, p

    def backward(dy, p):
        return p * (dy - (dy * p).sum(1, keepdims=True))
"""
GRAM = """
    def forward(f):
        F = f.reshape(*f.shape[:2], -1)
        return F @ F.swapaxes(1, 2), F

    def backward(dG, F, f_shape):
        return ((dG + dG.swapaxes(1, 2)) @ F).reshape(f_shape)
"""
RELU = """
    import numpy as np

    def forward(x):
        return np.maximum(x, 0), x > 0

    def backward(dy, positive):
        return dy * positive
"""
LINEAR = """
    def forward(x, w, b):
        return x @ w.T + b, None

    def backward_data(dy, w):
        return dy @ w

    def backward_params(dy, x):
        return dy.T @ x, dy.sum(0)
"""
FILES = {
    "conv2d": CONV, "maxpool2d": POOL, "tv": TV, "batchnorm": BATCH, "softmax": SOFTMAX,
    "gram": GRAM, "relu": RELU, "linear": LINEAR,
}  # fmt: skip
PLANTED = [
    ("conv2d", "dy[:, :, p, q], w, 1)", "dy[:, :, p, q], w[..., ::-1, ::-1], 1)", "dx",
     "kernel not flipped"),
    ("conv2d", "dx[at] +=", "dx[at] =", "dx", "overwritten where windows overlap"),
    ("conv2d", "dx[:, :, padding : padding + H, padding : padding + W]", "dx", "dx",
     "padding's gradient kept"),
    ("conv2d", "dx[:, :, padding : padding + H, padding : padding + W]", "dx[:, :, :H, :W]", "dx",
     "padding cut off at the wrong sides"),
    ("conv2d", "(slice(None), slice(None), slice(p * u, p * u + R), slice(q * v, q * v + S))",
     "(slice(None), slice(None), slice(p, p + R), slice(q, q + S))", "dx", "stride forgotten"),
    ("conv2d", "dy.sum((0, 2, 3))", "dy.sum((0, 1, 2))", "db", "bias summed over the wrong axes"),
    ("conv2d", "dy.sum((0, 2, 3))", "dy.mean((0, 2, 3))", "db", "bias averaged"),
    ("conv2d", "x_pad[at], (0, 0))", "x_pad[at][..., ::-1, ::-1], (0, 0))", "dw",
     "gradient of the flipped kernel"),
    ("conv2d", "dw += np.tensordot", "dw += 1 / N * np.tensordot", "dw", "mean over the pictures"),
    ("conv2d", "dw += np", "dw = np", "dw", "the last window alone"),
    ("conv2d", "slice(q * v, q * v + S))", "slice(q * u, q * u + S))", "dx",
     "one stride for both axes"),
    ("conv2d", ", dw, dy.sum((0, 2, 3))", ", dy.sum((0, 2, 3)), dw", "dw", "another input's"),
    ("maxpool2d", "]] += dy", "]] = dy", "dx", "overwritten unpooling"),
    ("maxpool2d", "dy[n, c, p, q]\\n        dx", "2.0\\n        dx", "dx", "dy forgotten"),
    ("tv", "2 * ", "", "dx", "factor 2 missing"),
    ("tv", "        dx[:, :, :-1] -= 2 * down\\n        dx[:, :, :, 1:] += 2 * right\\n"
     "        dx[:, :, :, :-1] -= 2 * right", "        dx[:, :, :, 1:] += 2 * right", "dx",
     "one pixel of each difference"),
    ("batchnorm", "dy - mean(dy) - z", "dy - z", "dx", "mean treated as a constant"),
    ("batchnorm", "(dy - mean(dy) - z * mean(dy * z))", "dy", "dx",
     "mean and variance treated as constants"),
    ("batchnorm", "gamma[:, None, None] * h", "h", "dx", "gamma forgotten"),
    ("softmax", "p * (dy - (dy * p).sum(1, keepdims=True))", "dy * p * (1 - p)", "dx",
     "off-diagonal of the Jacobian missing"),
    ("gram", "(dG + dG.swapaxes(1, 2))", "2 * dG", "df", "dG taken for symmetric"),
    ("gram", "(dG + dG.swapaxes(1, 2))", "dG.swapaxes(1, 2)", "df", "transposed Gram"),
    ("relu", "x > 0", "x >= 0", "dx", "mask by >= 0"),
    ("relu", "dy * positive", "np.maximum(dy, 0)", "dx", "deconvnet rule"),
    ("relu", "dy * positive", "np.maximum(dy, 0) * positive", "dx", "guided rule"),
    ("linear", "dy.T @ x", "x.T @ dy", "dw", "dw transposed"),
    # patterns of any operation
    ("relu", "dy * positive", "-dy * positive", "dx", "wrong sign"),
    ("relu", "dy * positive", "3 * dy * positive", "dx", "a constant factor"),
    ("relu", "dy * positive", "dy.size * dy * positive", "dx", "a constant factor"),
    ("relu", "dy * positive", "dy * positive / 0.0", "dx", "not finite"),
    ("relu", "dy * positive", "0 * dy", "dx", "zero"),
    ("relu", "dy * positive", "(dy * positive)[:, :, ::-1]", "dx", "reversed"),
    ("relu", "dy * positive", "(dy * positive).swapaxes(2, 3)", "dx", "transposed"),
    ("relu", "dy * positive", "(dy * positive)[0]", "dx", "wrong shape"),
    ("relu", "dy * positive", "np.roll(dy * positive, 1, 2)", "dx", "moved by a pixel"),
    ("relu", "dy * positive", "(dy * positive)[:, [1, 2, 0]]", "dx",
     "the right numbers in wrong places"),
    ("relu", "dy * positive", "(dy * positive).astype('float32')", "dx", "float precision"),
    ("relu", "dy * positive", "dy * positive + 0.1 * np.eye(5)[0]", "dx", "not recognised"),
    ("maxpool2d", "]] += dy", "]] += 1 / H / W * dy", "dx", "a factor too small"),
    ("linear", "dy.T @ x", "dy[:, :, None] * x[:, None]", "dw", "not summed over the pictures"),
    ("relu", "np.maximum(x, 0), x > 0", "np.maximum(x, 0, out=x), x > 0", "forward",
     "input overwritten"),
    ("relu", "return dy * positive", "dy *= positive; return dy", "backward", "dy overwritten"),
    ("softmax", "return p * (dy - (dy * p).sum(1, keepdims=True))",
     "dx = p * (dy - (dy * p).sum(1, keepdims=True)); p[...] = 0; return dx", "backward",
     "cache overwritten"),
    ("relu", "return np.maximum(x, 0), x > 0", "global KEPT; KEPT = x > 0; return np.maximum(x, 0)",
     "backward", "cache shared between calls"),
    ("relu", "np.maximum(x, 0), x", "np.abs(x), x", "y", "another forward"),
]  # fmt: skip


@pytest.fixture
def check(tmp_path, capfd, monkeypatch):
    """Run `minicnn gradcheck` on a source; return (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(source, *options, name="mine.py"):
        (tmp_path / name).write_text(textwrap.dedent(source))
        code = main(["gradcheck", name, *options])
        return (code, *capfd.readouterr())

    return run


@pytest.mark.smoke
@pytest.mark.parametrize("op", FILES)
def test_a_right_file_is_right(check, op):
    code, stdout, stderr = check(FILES[op], "--op", op)
    assert (code, stderr) == (0, "")
    assert stdout.startswith(f"{op}: ")
    assert ", 0 failed" in stdout
    assert "Yours: " not in stdout  # no diagnosis


@pytest.mark.parametrize(
    ("op", "right", "wrong", "of", "name"), PLANTED, ids=[f"{p[0]}-{p[4]}" for p in PLANTED]
)
def test_a_planted_mistake_is_named(check, op, right, wrong, of, name):
    right, wrong = right.replace("\\n", "\n"), wrong.replace("\\n", "\n")
    assert right in FILES[op]
    source = FILES[op].replace(right, wrong)
    source = source.replace("dy * positive", "dy * KEPT") if "KEPT" in wrong else source
    source = source.replace("backward(dy, positive)", "backward(dy)") if "KEPT" in wrong else source
    code, stdout, _ = check(source, "--op", op)
    assert code == 1
    assert f"\n{of}: {name}. " in stdout, stdout


def test_what_is_not_recognised_is_located(check):
    source = RELU.replace("dy * positive", "dy * positive + np.arange(5) // 4")
    _, stdout, _ = check(source, "--op", "relu")
    said = " ".join(stdout.split())
    assert "dx: not recognised. It differs most at [" in said
    assert "24 of 120 values are wrong, all of them at the border." in said
    assert said.endswith("Yours: backward, from line 7.")
    source = RELU.replace("dy * positive", "dy * positive + np.arange(3)[:, None, None] // 2")
    assert "all of them in channels 2." in " ".join(check(source, "--op", "relu")[1].split())


def test_a_forward_without_pairs_gets_numbers(check):
    """As students write it: one stride, one padding, a loop over everything."""
    assert "(stride, stride)" in CONV
    source = CONV.replace("(stride, stride) if np.isscalar(stride) else stride", "stride, stride")
    for wrong, code in (("q * v, q * v + S)", 0), ("q, q + S)", 1)):
        text = source.replace("slice(q * v, q * v + S)", f"slice({wrong}")
        got, stdout, _ = check(text, "--op", "conv2d")
        assert got == code
        assert "as ours              4 of 4" in stdout
        assert "stride, padding: one number for both axes; forward takes no pairs" in stdout
    assert "stride 2, padding 1" in stdout  # where it is wrong
    assert "padding: one number for both axes" in check(CONV, "--op", "conv2d")[1]
    assert "both axes" not in check(RELU, "--op", "relu")[1]


def test_an_error_with_numbers_is_told(check):
    code, _, stderr = check(CONV.replace("P, Q = ", "P, Q = 'a' + "), "--op", "conv2d")
    assert code == 1
    assert "mine.py, line 8: TypeError" in stderr


def test_axes_of_weights_are_no_pictures(check):
    source = CONV.replace(", dw, dy", ", dw * np.arange(len(dw))[:, None, None, None], dy")
    said = " ".join(check(source, "--op", "conv2d")[1].split())
    assert "dw: not recognised." in said
    assert "pictures" not in said


def test_the_operation_is_guessed_from_names(check):
    assert check(RELU, name="my_relu.py")[1].startswith("relu: ")
    assert check(LINEAR, name="linear_layer.py")[1].startswith("linear: ")
    both = RELU.replace("forward", "relu_forward").replace("backward", "relu_backward")
    code, stdout, _ = check(both + TV, name="several.py")
    assert code == 0
    assert "relu: " in stdout
    assert "tv: " in stdout


def test_a_loss_may_have_another_constant(check):
    mean = TV.replace("(right**2).sum(), dx", "(right**2).sum(), dx").replace(
        "return (down**2).sum() + (right**2).sum(), dx",
        "return ((down**2).sum() + (right**2).sum()) / x.size, dx / x.size",
    )
    assert check(mean)[0] == 0
    code, stdout, _ = check(mean.replace("dx / x.size", "dx"))
    assert code == 1
    assert "120 times what it should be, all values of the input: a factor" in " ".join(
        stdout.split()
    )


def test_what_is_none_of_ours_is_checked_by_shapes(check):
    source = """
        import numpy as np

        def forward(a, b):
            return np.sin(a) @ b

        def backward(dy, a, b):
            return np.cos(a) * (dy @ b.T), np.sin(a).T @ dy
        """
    assert check(source, "--shapes", "3,4", "4,2")[0] == 0
    code, stdout, _ = check(
        source.replace("np.cos(a) *", "2 * np.cos(a) *"), "--shapes", "3,4", "4,2"
    )
    assert code == 1
    assert "da: a constant factor. It is 2 times what it should be" in stdout


def test_json(check):
    code, stdout, stderr = check(
        "print('hello')\n" + textwrap.dedent(RELU.replace("dy * positive", "-dy * positive")),
        "--op", "relu", "--json",
    )  # fmt: skip
    rows = [json.loads(line) for line in stdout.splitlines()]
    assert {row["event"] for row in rows} == {"check", "diagnosis", "verdict"}
    assert rows[-2]["name"] == "wrong sign"
    verdict = {"event": "verdict", "op": "relu", "ok": False, "one_number_for_pairs": []}
    assert rows[-1] == verdict
    assert (code, stderr) == (1, "hello\n")


BAD = [
    ("def forward(x:\n    pass\n", (), "line 1: SyntaxError: "),
    ("import numpy as np\n\nnp.nothing()\n", (), "line 3: AttributeError: "),
    ("import nothing_of_this_name\n", (), "line 1: ModuleNotFoundError: "),
    ("import sys\nsys.exit(3)\n", (), "line 2: it ends the program"),
    ("x = 1\n", (), "has no forward and backward; define both"),
    ("def forward(x):\n    return x\n", (), "has no forward and backward"),
    ("def forward(x):\n    return x\n\n\ndef backward(dy):\n    return dy\n", (), "say it by --op"),
    ("def forward(x):\n    return x\n\n\ndef backward(dy):\n    return dy\n", ("--op", "fft"),
     "no operation 'fft' to compare with; there is conv2d, "),
    ("def forward(q):\n    return q\n\n\ndef backward(dy):\n    return dy\n", ("--op", "conv2d"),
     "forward asks for q; what it can have is x, w, b, stride, "),
    ("def forward(x):\n    return x\n\n\ndef backward(dy, c):\n    return dy\n", ("--op", "relu"),
     "backward asks for c; what it can have is x, x_shape; forward returns y alone"),
    ("def forward(x):\n    return 'y'\n\n\ndef backward(dy):\n    return dy\n", ("--op", "relu"),
     "forward returns str; it should return an array"),
    ("def forward(x):\n    return x\n\n\ndef backward(dy):\n    pass\n", ("--op", "relu"),
     "backward returns no gradient; it should return that of x"),
    ("def forward(x):\n    return x\n\n\ndef backward(dy):\n    raise KeyError(3)\n",
     ("--op", "relu"),
     "mine.py, line 6: KeyError: 3"),
    ("def forward(x, w):\n    return x @ w\n\n\ndef backward(dy, w):\n    return dy @ w.T\n",
     ("--op", "linear"), "mine.py, line 2: ValueError: matmul"),
    ("import time\nwhile True:\n    time.sleep(0.02)\n", ("--seconds", "0.5"),
     "still running after 0.5 s; does a loop never end?"),
    (textwrap.dedent(RELU), ("--op", "relu", "--shapes", "3,4"), "not both"),
    (textwrap.dedent(RELU), ("--shapes", "3,4", "4,2"), "give 1 shapes, not 2"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "options", "said"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_what_cannot_be_checked_is_one_line(check, source, options, said):
    code, stdout, stderr = check(source, *options)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("minicnn: error: ")
    assert stderr.count("\n") == 1
    assert said in stderr


def test_the_example_of_the_chapter(tmp_path, capfd, monkeypatch):
    chapter = Path(minicnn.gradcheck.__file__).parent / "README.md"
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", chapter.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(blocks[0][1], {})
    assert main(["gradcheck", "relu.py"]) == 1
    assert blocks[1][1] in capfd.readouterr().out


def test_files_that_are_none(check, tmp_path, capfd):
    for name, said in (("away.py", "No such file"), (".", "is no file of Python")):
        assert main(["gradcheck", name]) == 1
        assert said in capfd.readouterr().err
