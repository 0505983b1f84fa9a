"""`weights export`: what others read, by readers of their own."""

import json

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.weights import formats
from minicnn.weights.conversion import convert_file
from minicnn.weights.export import export


@pytest.fixture(scope="module")
def net():
    return minicnn.build("minivgg-bn", classes=3)


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_the_arrays_come_back(suffix, dtype, net, tmp_path):
    path = tmp_path / f"a{suffix}"
    export(net, path, dtype)
    arrays = formats.read(path).arrays
    assert list(arrays) == list(net.params)
    for key, array in net.params.items():
        np.testing.assert_array_equal(arrays[key], array.astype(dtype))
        assert arrays[key].dtype == dtype


def test_numpy_reads_it(net, tmp_path):
    export(net, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["conv1_1.weight"], net.params["conv1_1.weight"])


def test_the_layout_of_safetensors(net, tmp_path):
    """Read by hand: a length, a header padded to 8 bytes, then the values without gaps."""
    export(net, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + length]), data[8 + length :]
    assert length % 8 == 0
    ends = [0] + [entry["data_offsets"][1] for entry in header.values()]
    assert [entry["data_offsets"][0] for entry in header.values()] == ends[:-1]
    assert ends[-1] == len(values)
    start, end = header["fc5.bias"]["data_offsets"]
    np.testing.assert_array_equal(np.frombuffer(values[start:end], "<f4"), net.params["fc5.bias"])


def test_by_the_command_and_back(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["weights", "export", "minivgg", "-o", "a.safetensors"]
    assert main(command) == 0
    found, embedded = convert_file("a.safetensors", "minivgg"), minicnn.load("minivgg")
    for key, array in embedded.params.items():
        np.testing.assert_array_equal(found.params[key], array)
    capfd.readouterr()
    assert main(command) != 0
    assert "exists" in capfd.readouterr().err
    assert main([*command[:-1], "a.pth"]) != 0
    assert ".safetensors" in capfd.readouterr().err


def test_what_has_no_place_is_refused(net, tmp_path):
    large = minicnn.build("minivgg", classes=2)
    large.params["fc5.bias"][0] = 1e6
    with pytest.raises(MinicnnError, match=r"fc5\.bias has values that are NaN or infinite in"):
        export(large, tmp_path / "a.npz", "float16")
    with pytest.raises(MinicnnError, match=r"use \.safetensors or \.npz"):
        export(net, tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []
