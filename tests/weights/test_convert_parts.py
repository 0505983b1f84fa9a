"""Weights in several files: what stands beside is read, nothing else; damage is one line."""

import json
import os

import foreign_files as write
import numpy as np
import pytest
from mutations import mutate

from minicnn.errors import MinicnnError
from minicnn.weights import formats, norm_folding

COPIES = max(40, int(os.environ.get("MINICNN_MUTATIONS", "0")))
ARRAYS = {
    "conv/kernel": np.arange(54, dtype="<f4").reshape(3, 3, 2, 3),
    "conv/bias": np.arange(3, dtype="<f4"),
    "fc/kernel": np.arange(12, dtype="<f4").reshape(4, 3),
}
LAYERS = {
    "conv": (np.ones((3, 3, 3, 3), "f4"), np.arange(3, dtype="f4")),
    "fc": (np.ones((4, 12), "f4"), np.arange(4, dtype="f4")),
}
NORMS = {"conv": np.arange(1, 13, dtype="f4").reshape(4, 3)}
WRITERS = {
    "model.json": write.tfjs,
    "a.ckpt.index": write.tensorflow_v2,
    "a.ckpt": write.tensorflow_v1,
    "a.weights": lambda path, arrays: write.darknet(path, LAYERS, ["conv"], 4, norms=NORMS),
}
TURNED = [name for name in WRITERS if name != "a.weights"]


@pytest.mark.parametrize("name", TURNED)
def test_axes_are_ours(name, tmp_path):
    WRITERS[name](tmp_path / name, ARRAYS)
    found = formats.read(tmp_path / name)
    assert found.flatten == "HWC"
    assert found.arrays.keys() == ARRAYS.keys()
    for key, array in found.arrays.items():
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
        np.testing.assert_array_equal(array, ARRAYS[key].transpose(order))


def test_the_normalisations_of_darknet_fold(tmp_path):
    WRITERS["a.weights"](tmp_path / "a.weights", ARRAYS)
    found, folded = norm_folding.fold(formats.read(tmp_path / "a.weights"))
    assert folded == {"0.norm": ("0", 1e-5)}
    gamma, beta, mean, var = NORMS["conv"]
    scale = gamma / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(found.arrays["0.weight"][:, 0, 0, 0], scale, rtol=1e-6)
    np.testing.assert_allclose(found.arrays["0.bias"], beta - mean * scale, rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("filters = 3", "filters = 4", "a.cfg does not fit|bytes are due"),
        ("filters = 3", "filters = x", "a .cfg with filters = x"),
        ("[maxpool]", "[lstm]", r"a layer \[lstm\], which is not read"),
        ("height=4", "height=999999999", "bytes are due|more than a file"),
    ],
)
def test_a_cfg_that_does_not_fit(old, new, message, tmp_path):
    WRITERS["a.weights"](tmp_path / "a.weights", ARRAYS)
    cfg = tmp_path / "a.cfg"
    cfg.write_text(cfg.read_text().replace(old, new))
    with pytest.raises(MinicnnError, match=message):
        formats.read(tmp_path / "a.weights")


def test_codes_of_tensorflow_js_are_multiplied_by_their_scales(tmp_path):
    write.tfjs(tmp_path / "model.json", ARRAYS, coded=True)
    found = formats.read(tmp_path / "model.json").arrays
    np.testing.assert_allclose(found["fc/kernel"], ARRAYS["fc/kernel"].T, atol=11 / 255)
    assert found["fc/kernel"].dtype == np.float32


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_copies_are_read_or_refused_in_one_line(name, tmp_path):
    WRITERS[name](tmp_path / name, ARRAYS)
    original, refused = (tmp_path / name).read_bytes(), []
    for i in range(COPIES):
        (tmp_path / name).write_bytes(mutate(original, np.random.default_rng([1, i])))
        try:
            formats.read(tmp_path / name)
        except MinicnnError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in line for line in refused)


@pytest.mark.parametrize("path", ["../secret.bin", "/etc/passwd", "..", "", "a/b", 3, "pipe"])
def test_no_file_elsewhere_is_read(path, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    entry = {"name": "w", "shape": [1], "dtype": "float32"}
    model = {"weightsManifest": [{"paths": [path], "weights": [entry]}]}
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(MinicnnError, match=r"is no name beside it|is a folder or a device"):
        formats.read(tmp_path / "model.json")


def test_the_same_file_is_not_read_many_times(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(400))
    model = {"weightsManifest": [{"paths": ["a.bin"] * 1000, "weights": []}]}
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(MinicnnError, match=r"wants the file a.bin twice"):
        formats.read(tmp_path / "model.json")


def test_a_part_of_a_checkpoint_tells_which_file_to_give(tmp_path):
    write.tensorflow_v2(tmp_path / "a.ckpt.index", ARRAYS)
    for given in ("a.ckpt", "a.ckpt.data-00000-of-00001"):
        with pytest.raises(MinicnnError, match=r"checkpoint of TensorFlow; give .*\.index"):
            formats.read(tmp_path / given)
    (tmp_path / "a.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(MinicnnError, match=r"cannot read .*data-00000-of-00001: No such file"):
        formats.read(tmp_path / "a.ckpt.index")
