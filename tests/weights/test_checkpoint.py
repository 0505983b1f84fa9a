import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

import minicnn
from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.layers import AvgPool2d, MaxPool2d
from minicnn.network.network import Network
from minicnn.storage import hdf5
from minicnn.weights import checkpoint, locations

NAME = "squeezenet1_1"


@pytest.fixture(scope="module")
def net():
    net = build.build(NAME, classes=4, seed=1)
    net.attrs["classes"] = ["goldfish", "tench", "Straße", "a, b\nc"]
    net.attrs["source"] = "https://example.org/weights"
    net.attrs["training"] = {"accuracy": 0.5, "epochs": 3, "command": ["train", "--seed", "1"]}
    net.attrs["note"] = None
    return net


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    """A good file; tests that damage one take a copy."""
    path = tmp_path_factory.mktemp("weights") / "good.h5"
    checkpoint.save(net, path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    path = tmp_path / "copy.h5"
    path.write_bytes(saved.read_bytes())
    return path


def refused(call, *parts):
    """Assert that `call` raises one clear line with these parts in it."""
    with pytest.raises(MinicnnError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


# Round trips


def test_what_was_saved_is_loaded(net, saved):
    found = checkpoint.load(saved)
    assert found.attrs == net.attrs
    assert found.nodes == net.nodes
    assert found.input_shape == net.input_shape
    assert list(found.params) == list(net.params)
    for key, array in net.params.items():
        np.testing.assert_array_equal(found.params[key], array)
        assert found.params[key].dtype == np.float32
        assert found.params[key].flags.writeable


@pytest.mark.parametrize("name", ["minivgg", "minivgg-bn"])
def test_networks_of_several_kinds_come_back(name, tmp_path, rng):
    net = build.build(name, classes=3)
    for array in net.params.values():
        array += rng.uniform(0, 0.1, array.shape).astype("float32")
    checkpoint.save(net, tmp_path / "a.h5")
    found = checkpoint.load(tmp_path / "a.h5")
    x = rng.standard_normal((1, 3, 64, 64), dtype="float32")
    top = net.layers[-1]
    assert (found.forward(x, [top])[top] == net.forward(x, [top])[top]).all()


def test_float16_halves_the_file_and_keeps_three_digits(net, saved, tmp_path):
    path = tmp_path / "half.h5"
    checkpoint.save(net, path, dtype="float16")
    assert path.stat().st_size < 0.6 * saved.stat().st_size
    found = checkpoint.load(path)
    for key, array in net.params.items():
        np.testing.assert_allclose(found.params[key], array, rtol=1e-3, atol=1e-7)
        assert found.params[key].dtype == np.float32
    assert checkpoint.verify(path)["dtype"] == "float16"


def test_a_float64_network_is_saved_as_float32(tmp_path):
    net = build.build("minivgg", dtype="float64", classes=2)
    checkpoint.save(net, tmp_path / "a.h5")
    assert checkpoint.verify(tmp_path / "a.h5")["dtype"] == "float32"


def test_compression_can_be_left_out(net, saved, tmp_path):
    checkpoint.save(net, tmp_path / "a.h5", compression=False)
    assert (tmp_path / "a.h5").stat().st_size > saved.stat().st_size
    assert checkpoint.weights_hash(checkpoint.load(tmp_path / "a.h5")) == checkpoint.weights_hash(
        net
    )


def test_the_same_network_gives_the_same_bytes(net, saved, tmp_path):
    noise = [np.full(5000, i) for i in range(20)]  # so that the heap differs
    checkpoint.save(net, tmp_path / "again.h5")
    del noise
    assert (tmp_path / "again.h5").read_bytes() == saved.read_bytes()


def test_the_pooling_is_remembered_and_can_be_replaced(tmp_path):
    net = build.build("minivgg", pool="average", classes=2)
    checkpoint.save(net, tmp_path / "a.h5")
    remembered = checkpoint.load(tmp_path / "a.h5")
    assert remembered.layer("pool1") == AvgPool2d()
    assert remembered.attrs["pool"] == "average"
    replaced = checkpoint.load(tmp_path / "a.h5", pool="max")
    assert replaced.layer("pool1") == MaxPool2d()
    assert replaced.attrs["pool"] == "max"


def test_a_changed_dropout_is_no_other_architecture(net, tmp_path):
    changed = build.build("minivgg", classes=2)
    changed.nodes = [
        node._replace(layer=type(node.layer)(0.1)) if node.name == "drop4" else node
        for node in changed.nodes
    ]
    checkpoint.save(changed, tmp_path / "a.h5")
    assert checkpoint.load(tmp_path / "a.h5").layer("drop4").p == 0.5


def test_anyone_can_read_the_file(net, saved):
    with h5py.File(saved) as file:
        assert file["fire2/squeeze1x1/weight"].shape == (16, 64, 1, 1)
        np.testing.assert_array_equal(file["conv1/bias"][:], net.params["conv1.bias"])
        attrs = dict(file.attrs)
    assert attrs["architecture"] == NAME
    assert attrs["format_version"] == 1
    assert attrs["channel_order"] == "BGR"
    assert attrs["mean"].tolist() == [104.0, 117.0, 123.0]
    assert attrs["source"] == "https://example.org/weights"
    assert json.loads(attrs["training"].removeprefix("json:")) == net.attrs["training"]


# The weight hash


def test_the_hash_depends_on_names_and_values_and_nothing_else(net):
    known = checkpoint.weights_hash(net)
    assert len(known) == 64
    other = net.replica()
    other.params = {key: net.params[key].copy() for key in reversed(net.params)}
    other.attrs = {}
    assert checkpoint.weights_hash(other) == known
    other.params["conv1.bias"][0] += 1
    assert checkpoint.weights_hash(other) != known
    other.params = {k.replace("conv1.", "conv0."): v for k, v in net.params.items()}
    assert checkpoint.weights_hash(other) != known


# Writing


def test_a_file_is_replaced_and_nothing_else_stays(net, tmp_path):
    (tmp_path / "a.h5").write_text("old")
    checkpoint.save(net, tmp_path / "a.h5")
    assert os.listdir(tmp_path) == ["a.h5"]
    checkpoint.verify(tmp_path / "a.h5")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    hdf5.save_arrays(path, {"a": np.arange(3.0)})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    refused(lambda: hdf5.save_arrays(path, {"b": np.zeros(3)}), "cannot write", "No space left")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.h5"]
    assert hdf5.load_arrays(path)[0]["a"].tolist() == [0, 1, 2]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    hdf5.save_arrays(path, {"a": np.arange(3.0)})

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.File, "create_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hdf5.save_arrays(path, {"b": np.zeros(3)})
    assert os.listdir(tmp_path) == ["a.h5"]


def test_two_writers_leave_one_whole_file(net, tmp_path):
    jobs = [
        threading.Thread(target=checkpoint.save, args=(net, tmp_path / "a.h5")) for _ in range(3)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert os.listdir(tmp_path) == ["a.h5"]
    checkpoint.verify(tmp_path / "a.h5")


def altered(net, **changes):
    twin = Network(net.nodes, dict(net.params), net.input_shape, dict(net.attrs))
    for name, value in changes.items():
        setattr(twin, name, value)
    return twin


UNSAVED = {
    "half-of-overflow": (
        lambda net: {"params": {**net.params, "conv1.bias": np.full(64, 7e4, "f4")}},
        "layer conv1: bias has 64 values that are NaN or infinite in float16",
    ),
    "nan": (
        lambda net: {"params": {**net.params, "conv1.bias": np.full(64, np.nan, "f4")}},
        "layer conv1: bias has 64 values that are NaN",
    ),
    "shape": (
        lambda net: {"params": {**net.params, "conv1.bias": np.zeros(63, "f4")}},
        "layer conv1: its bias (63,) does not fit",
    ),
    "integers": (
        lambda net: {"params": {**net.params, "conv1.bias": np.zeros(64, int)}},
        "layer conv1: bias is of type int64",
    ),
    "missing": (
        lambda net: {"params": {k: v for k, v in net.params.items() if k != "conv1.bias"}},
        "layer conv1: bias is missing; squeezenet1_1 wants (64,)",
    ),
    "extra": (
        lambda net: {"params": {**net.params, "conv11.bias": np.zeros(3, "f4")}},
        "conv11.bias is no parameter of squeezenet1_1",
    ),
    "unnamed": (lambda net: {"attrs": {}}, "preprocessing needs channel_order RGB or BGR"),
    "other-layers": (
        lambda net: {"attrs": {**net.attrs, "name": "squeezenet"}},
        "the layers are not those of squeezenet; nothing was saved",
    ),
    "class-names": (
        lambda net: {"attrs": {**net.attrs, "classes": ["a"]}},
        "the class names are not a list of 4",
    ),
    "no-preprocessing": (
        lambda net: {"attrs": {k: v for k, v in net.attrs.items() if k != "preprocess"}},
        "preprocessing needs channel_order RGB or BGR",
    ),
    "zero-std": (
        lambda net: {
            "attrs": {**net.attrs, "preprocess": {**net.attrs["preprocess"], "std": [1, 0, 1]}}
        },
        "three std and a scale that are not 0",
    ),
    "reserved": (
        lambda net: {"attrs": {**net.attrs, "mean": 3}},
        "attribute 'mean' has another meaning in a weight file; rename it",
    ),
    "no-json": (
        lambda net: {"attrs": {**net.attrs, "x": object()}},
        "attribute 'x' cannot be stored",
    ),
}


@pytest.mark.parametrize(("change", "message"), UNSAVED.values(), ids=UNSAVED)
def test_what_could_not_be_read_back_is_not_saved(change, message, net, tmp_path):
    bad = altered(net, **change(net))
    dtype = "float16" if "float16" in message else "float32"
    refused(lambda: checkpoint.save(bad, tmp_path / "a.h5", dtype=dtype), message)
    assert os.listdir(tmp_path) == []


def test_places_where_nothing_can_be_written(net, tmp_path):
    (tmp_path / "folder").mkdir()
    refused(lambda: checkpoint.save(net, tmp_path / "folder"), "cannot write", "it is a folder")
    refused(lambda: checkpoint.save(net, tmp_path / "no" / "a.h5"), "there is no folder")
    refused(lambda: checkpoint.save(net, tmp_path / "a.h5", dtype="int8"), "no dtype 'int8'")


# Reading what is no good file


@pytest.mark.smoke
def test_files_that_are_no_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.h5").touch()
    Path("text.h5").write_text("not HDF5 at all\n" * 100)
    Path("folder.h5").mkdir()
    with h5py.File("other.h5", "w") as file:
        file["model_weights/dense/kernel"] = np.zeros(3)
    refused(lambda: checkpoint.load("gone.h5"), "no weights 'gone.h5': there is no such file")
    refused(lambda: checkpoint.load("vgg19"), "no weights 'vgg19'", "the networks at hand are")
    refused(lambda: checkpoint.load("empty.h5"), "empty.h5 is empty")
    refused(lambda: checkpoint.load("text.h5"), "text.h5 is not an HDF5 file; if ")
    refused(lambda: checkpoint.load("folder.h5"), "folder.h5 is a folder")
    refused(lambda: checkpoint.load("other.h5"), "other.h5: not a weight file of minicnn; make")
    refused(lambda: checkpoint.info("other.h5"), "other.h5: not a weight file of minicnn")
    with h5py.File("other.h5", "a") as file:  # as Keras does
        file.attrs["layer_names"] = np.bytes_(["dense"])
    refused(lambda: checkpoint.load("other.h5"), "no file of minicnn; ", "minicnn weights convert")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(copy):
    copy.chmod(0)
    refused(lambda: checkpoint.load(copy), "cannot read", "Permission denied")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated_files(copy, share):
    whole = copy.read_bytes()
    copy.write_bytes(whole[: int(len(whole) * share)])
    message = refused(lambda: checkpoint.load(copy), str(copy))
    assert "truncated" in message or "not an HDF5 file" in message
    refused(lambda: checkpoint.info(copy), str(copy))


def test_random_damage_never_gets_through(copy, net, rng):
    whole = copy.read_bytes()
    expected = checkpoint.weights_hash(net)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        copy.write_bytes(damaged)
        found = None
        with contextlib.suppress(MinicnnError):
            checkpoint.verify(copy)
            found = checkpoint.weights_hash(checkpoint.load(copy))
        assert found in (None, expected)  # some bytes do not count: those between the parts


READERS = {
    "weights": "from minicnn.weights import checkpoint; checkpoint.load({path!r})",
    "any-arrays": "from minicnn.storage import hdf5; hdf5.load_arrays({path!r})",
    "attributes": "from minicnn.weights import checkpoint; checkpoint.info({path!r})",
    "data-set": "from minicnn.data.datasets import open_dataset; open_dataset({path!r}, 'val')",
}


def test_a_text_of_a_type_on_which_libhdf5_crashes(net, tmp_path):
    """One damaged byte: a text became a sequence of a kind that there is not."""
    path = tmp_path / "net.h5"
    checkpoint.save(net, path)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"architecture\0")
    at = whole.index(bytes.fromhex("190101"), at) + 1
    whole[at] = 5
    path.write_bytes(whole)
    run = [sys.executable, "-c", "import minicnn, sys; minicnn.load(sys.argv[1])", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "attribute 'architecture' has a type that is not read" in done.stderr


@pytest.mark.parametrize("reader", READERS)
def test_a_heap_of_texts_on_which_libhdf5_hangs(reader, copy):
    """In a process of its own: what fails here never comes back, and hears no signal."""
    damaged = bytearray(copy.read_bytes())
    at = damaged.index(b"GCOL") + 16
    damaged[at : at + 16] = bytes(16)  # an object of no size: the next one is where it is
    copy.write_bytes(damaged)
    script = READERS[reader].format(path=str(copy))
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert "truncated or damaged: a heap of texts with objects of impossible sizes" in done.stderr
    assert str(copy) in done.stderr


def test_a_file_cannot_claim_more_than_one_of_its_size_can_hold(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:  # never written: no bytes in the file, 32 GB in memory
        file.create_dataset("a", (1 << 16, 1 << 16), "f8", chunks=(256, 256))
    refused(lambda: hdf5.load_arrays(path), str(path), "more than a file of this size can hold")


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replace_array(where, array):
    def change(file):
        del file[where]
        file[where] = array

    return change


def delete(where):
    def change(file):
        del file[where]

    return change


def set_attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def delete_attribute(name):
    def change(file):
        del file.attrs[name]

    return change


def put(where, thing):
    def change(file):
        if where in file:
            del file[where]
        file[where] = thing

    return change


def virtual(file):
    layout = h5py.VirtualLayout((64,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (64,))
    del file["conv1/bias"]
    file.create_virtual_dataset("conv1/bias", layout)


def external(file):
    del file["conv1/bias"]
    file.create_dataset("conv1/bias", (64,), "f4", external=[("/etc/hostname", 0, 256)])


def loop(file):
    file["conv1/again"] = file["conv1"]


def null(file):
    del file["conv1/bias"]
    file["conv1/bias"] = h5py.Empty("f4")


def compound(file):
    del file["conv1/bias"]
    file["conv1/bias"] = np.zeros(64, [("a", "f4"), ("b", "i4")])


def huge(file):
    del file["conv1/bias"]
    file.create_dataset("conv1/bias", (1 << 44,), "f4", chunks=(1 << 16,), compression="gzip")


SPOILT = {
    "wrong-shape": (
        replace_array("conv1/weight", np.zeros((64, 3, 5, 5), "f4")),
        "layer conv1: weight is (64, 3, 5, 5), squeezenet1_1 wants (64, 3, 3, 3)",
    ),
    "nested-shape": (
        replace_array("fire2/squeeze1x1/bias", np.zeros(3, "f4")),
        "layer fire2/squeeze1x1: bias is (3,), squeezenet1_1 wants (16,)",
    ),
    "missing": (delete("fire3/expand1x1/bias"), "layer fire3/expand1x1: bias is missing"),
    "missing-layer": (delete("conv10"), "layer conv10: weight is missing"),
    "extra": (put("conv11/weight", np.zeros(3)), "conv11.weight is no parameter of squeezenet1_1"),
    "extra-at-the-root": (put("weight", np.zeros(3)), "weight is no parameter of"),
    "nan": (
        replace_array("conv1/bias", np.full(64, np.nan, "f4")),
        "layer conv1: bias has 64 values that are NaN or infinite",
    ),
    "beyond-float32": (
        replace_array("conv1/bias", np.full(64, 1e300)),
        "layer conv1: bias has 64 values that are NaN or infinite",
    ),
    "integers": (
        replace_array("conv1/bias", np.zeros(64, "i4")),
        "layer conv1: bias is of type int32, not floating point",
    ),
    "text": (put("conv1/bias", "hello"), "conv1/bias is not an array of numbers"),
    "compound": (compound, "conv1/bias is not an array of numbers"),
    "no-values": (null, "conv1/bias is not an array of numbers"),
    "named-type": (put("conv1/type", np.dtype("f4")), "conv1/type is a Datatype"),
    "soft-link": (put("conv1/bias", h5py.SoftLink("/conv10/bias")), "conv1/bias is a link"),
    "external-link": (
        put("conv1/bias", h5py.ExternalLink("/etc/passwd", "/x")),
        "conv1/bias is a link; links are not followed",
    ),
    "linked-group": (put("conv11", h5py.SoftLink("/conv1")), "conv11 is a link"),
    "external-values": (external, "conv1/bias keeps its values in another file"),
    "virtual-values": (virtual, "conv1/bias keeps its values in another file"),
    "loop": (loop, "deeply nested"),
    "huge": (huge, "layer conv1: bias is (17592186044416,), squeezenet1_1 wants (64,)"),
    "format": (set_attribute("format", "other"), "not a weight file of minicnn"),
    "version": (set_attribute("format_version", 2), "format version 2, but this minicnn reads 1"),
    "architecture": (set_attribute("architecture", "resnet"), "no architecture 'resnet'"),
    "wrong-network": (set_attribute("architecture", "squeezenet"), "layer conv1: weight is"),
    "another-net": (set_attribute("architecture", "vgg16"), "vgg16"),
    "no-architecture": (delete_attribute("architecture"), "the attribute architecture is missing"),
    "no-mean": (delete_attribute("mean"), "the attribute mean is missing"),
    "mean": (set_attribute("mean", [1.0, 2.0]), "three finite numbers mean"),
    "scale": (set_attribute("scale", np.nan), "preprocessing needs"),
    "order": (set_attribute("channel_order", "GBR"), "channel_order RGB or BGR"),
    "outputs": (set_attribute("outputs", 5), "the class names are not a list of 5"),
    "odd-outputs": (set_attribute("outputs", "many"), "at least 1, not 'many'"),
    "input": (set_attribute("input_shape", [3, 9, 9]), "input [3, 9, 9] does not suit squeezenet"),
    "oblong": (
        set_attribute("input_shape", [3, 64, 96]),
        "it must be [3, N, N]",
    ),
    "vast": (set_attribute("input_shape", [3, 9999, 9999]), "N at most 4096"),
    "odd-input": (set_attribute("input_shape", "64"), "input 64; it must be"),
    "pool": (set_attribute("pool", "sum"), "no pooling 'sum'; use max or average"),
    "classes": (set_attribute("class_names", 'json:["a"]'), "class names are not a list of 4"),
    "bad-json": (set_attribute("training", "json:{"), "truncated or damaged"),
    "reference": (
        lambda file: file.attrs.create("training", file["conv1"].ref),
        "attribute 'training' has a type that is not read",
    ),
}


@pytest.mark.parametrize(("change", "message"), SPOILT.values(), ids=SPOILT)
def test_spoilt_files_are_refused_in_one_line(change, message, copy):
    edit(copy, change)
    refused(lambda: checkpoint.load(copy), str(copy), message)
    refused(lambda: checkpoint.verify(copy), str(copy))


def test_a_negative_variance_is_refused(tmp_path):
    net = build.build("minivgg-bn", classes=2)
    checkpoint.save(net, tmp_path / "a.h5")
    edit(tmp_path / "a.h5", replace_array("bn1_1/var", np.full(32, -1, "f4")))
    refused(lambda: checkpoint.load(tmp_path / "a.h5"), "layer bn1_1: the variance is negative")


def test_verify_sees_a_change_that_load_cannot(copy):
    edit(copy, replace_array("conv1/bias", np.ones(64, "f4")))
    checkpoint.load(copy)
    refused(lambda: checkpoint.verify(copy), "it was changed after it was written")


def test_other_byte_orders_and_precisions_are_read(copy, net):
    edit(copy, replace_array("conv1/weight", net.params["conv1.weight"].astype(">f8")))
    found = checkpoint.load(copy).params["conv1.weight"]
    assert found.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(found, net.params["conv1.weight"])


# Describing


def test_info_and_verify_describe_the_file(net, saved):
    found = checkpoint.info(saved)
    assert found == checkpoint.verify(saved)
    assert found["architecture"] == NAME
    assert found["parameters"] == sum(array.size for array in net.params.values())
    assert found["weights_sha256"] == checkpoint.weights_hash(net)
    assert found["class_names"] == net.attrs["classes"]
    assert found["training"]["accuracy"] == 0.5
    assert found["bytes"] == saved.stat().st_size
    json.dumps(found)


# Embedded networks


def test_embedded_names_come_before_paths(net, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(locations, "embedded", lambda: {"mine": saved})
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("a file of the same name")
    assert checkpoint.load("mine").attrs == net.attrs
    assert checkpoint.info("mine")["path"] == str(saved)
    refused(lambda: checkpoint.load("./mine"), "mine is not an HDF5 file")
    refused(lambda: checkpoint.load("yours"), "the networks at hand are mine")


def test_embedded_networks_are_whole():
    for name, path in locations.embedded().items():
        found = checkpoint.verify(name)
        assert found["architecture"] in build.names()
        assert found["path"] == str(path)


def test_a_checkout_finds_its_folder_of_weights_from_anywhere(net, tmp_path):
    root = tmp_path / "checkout"
    (root / "weights").mkdir(parents=True)
    (root / "setup.py").touch()
    installed_too = shutil.ignore_patterns("_weights", "__pycache__")
    shutil.copytree(Path(minicnn.__file__).parent, root / "minicnn", ignore=installed_too)
    checkpoint.save(net, root / "weights" / "mine.h5")
    script = (
        "from minicnn.weights import checkpoint, locations\n"
        "print(list(locations.embedded()), checkpoint.load('mine').attrs['name'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["['mine']", NAME]


# Arrays without a network, as snapshots of training use them


@pytest.mark.smoke
def test_arrays_and_attributes_come_back(tmp_path, rng):
    arrays = {
        "param/conv1.weight": rng.standard_normal((40, 3, 5, 5), dtype="float32"),
        "velocity": rng.standard_normal(5),
        "order": rng.permutation(3000),
        "mask": np.array([True, False]),
        "scalar": np.float32(3),
        "none": np.zeros((0, 4)),
    }
    attrs = {
        "rng": np.random.default_rng(3).bit_generator.state,
        "step": 7,
        "rate": 0.1,
        "flag": True,
        "text": "several\nlines",
        "json": "json:not really",
        "nul": "a\0b",
        "long": "x" * 100_000,
        "nothing": None,
        "losses": [1.0, 0.5],
        "mixed": [1, 0.5, "a"],
    }
    hdf5.save_arrays(tmp_path / "a.h5", arrays, attrs)
    found, found_attrs = hdf5.load_arrays(tmp_path / "a.h5")
    assert found_attrs == attrs
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    shapes, _ = hdf5.inspect(tmp_path / "a.h5")
    assert shapes["velocity"] == ((5,), np.dtype("f8"))


def test_numpy_values_in_attributes_become_plain_ones(tmp_path):
    hdf5.save_arrays(tmp_path / "a.h5", {}, {"a": np.float32(0.5), "b": np.arange(3), "c": (1, 2)})
    assert hdf5.load_arrays(tmp_path / "a.h5")[1] == {"a": 0.5, "b": [0, 1, 2], "c": [1, 2]}


# The package


def test_importing_minicnn_loads_no_library():
    script = (
        "import sys, minicnn\n"
        "print({'numpy', 'scipy', 'h5py', 'PIL', 'tqdm'} & set(sys.modules))\n"
        "from minicnn import MinicnnError, build\n"
        "print({'scipy', 'h5py', 'PIL', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(minicnn.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["set()", "set()"]


def test_the_public_names():
    assert minicnn.build is build.build
    assert (minicnn.load, minicnn.save) == (checkpoint.load, checkpoint.save)
    assert minicnn.MinicnnError is MinicnnError
    assert callable(minicnn.style_objective)
    assert set(minicnn.__all__) <= set(dir(minicnn))
    assert minicnn.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'biuld'"):
        _ = minicnn.biuld
