"""Hostile and damaged weight files: one clear line, nothing run, nothing outside read."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import foreign_files as write
import h5py
import numpy as np
import pytest
from mutations import read_copies

import minicnn
from minicnn.errors import MinicnnError
from minicnn.weights import formats
from minicnn.weights.formats import pth

COPIES = int(os.environ.get("MINICNN_MUTATIONS", "4"))  # of each file


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def refused(path, match):
    with pytest.raises(MinicnnError, match=match) as caught:
        formats.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def torch_zip(path, pickled, members=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in members:
            archive.writestr(name, data)
    return path


def object_npy(path, pickled):
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickled)
    return path


def legacy(path, pickled):
    start = [pickle.dumps(value, 2) for value in (pth.MAGIC, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(start) + pickled)
    return path


CONTAINERS = {
    "zip": lambda folder, data: torch_zip(folder / "a.pth", data),
    "legacy": lambda folder, data: legacy(folder / "a.pt", data),
    "npy": lambda folder, data: object_npy(folder / "a.npy", data),
}
containers = pytest.mark.parametrize("container", CONTAINERS)


@pytest.mark.smoke
@containers
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_that_calls_the_system_runs_nothing(container, protocol, tmp_path):
    data = pickle.dumps({"weight": Evil(tmp_path / "touched")}, protocol)
    refused(CONTAINERS[container](tmp_path, data), r"wants to call (posix|os)\.system|uses ")
    assert not (tmp_path / "touched").exists()


@containers
@pytest.mark.parametrize(
    "call",
    [
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        b"c__builtin__\nexec\n(X\x01\x00\x00\x001tR.",
        b"(X\x02\x00\x00\x00idios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x02\x00\x00\x00ido.",  # OBJ
        b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R.",
        b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # an extension
        b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01a\x85R.",
    ],
    ids=["eval", "exec", "inst", "obj", "load", "newobj", "extension", "load-from-bytes"],
)
def test_other_ways_to_call(container, call, tmp_path):
    refused(CONTAINERS[container](tmp_path, call), "the pickle (wants to call|uses)")


@containers
@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a huge place in the memo
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a huge text
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.",  # huge bytes
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",  # a dictionary in itself
        b"\x80\x02]q\x00" + b"(h\x00h\x00e" * 5 + b".",  # a list in itself, many times
        b"\x80\x02" + b")" + b"\x85" * 100_000 + b".",  # deep tuples
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.",  # as a key
        b"\x80\x02h\x05.",  # nothing in the memo
        b"\x80\x02.",
        b"\x80\x02}",
        b"",
        b"\x80\x02t.",
        b"I" + b"9" * 10_000 + b"\n.",
    ],
    ids=["memo", "text", "bytes", "dict-circle", "list-circle", "deep", "deep-key", "no-memo",
         "nothing", "no-end", "empty", "no-mark", "digits"],
)  # fmt: skip
def test_pickles_that_ask_for_too_much(container, data, tmp_path):
    refused(CONTAINERS[container](tmp_path, data), "pickle|arrays|nested|damaged|wants")


def test_the_laughs_of_a_billion_lists(tmp_path):
    data = b"\x80\x02]q\x00" + b"".join(
        b"](" + bytes([ord("h"), i]) * 10 + b"eq" + bytes([i + 1]) for i in range(40)
    )
    refused(object_npy(tmp_path / "a.npy", data + b"."), "entries|nested|middle")


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ((0, (4,), (1,)), None),
        ((1, (4,), (1,)), "reaches beyond its storage"),
        ((0, (2, 3), (3, 1)), "reaches beyond"),
        ((-1, (2,), (1,)), "no sizes"),
        ((0, (2,), (-1,)), "no sizes"),
        ((0, (1 << 40,), (0,)), "more than a file of this size"),
        ((0, (4,), (1, 1)), "a tensor without"),
        ((0, (True,), (1,)), "no sizes"),
    ],
)
def test_tensors_that_reach_beyond_their_storage(view, message, tmp_path):
    offset, shape, stride = view

    def number(value):
        return b"\x88" if value is True else b"\x8a\x08" + struct.pack("<q", value)

    def row(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
               b"X\x03\x00\x00\x00cpuK\x04tQ")  # fmt: skip
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + row(shape)
    data = b"\x80\x02}X\x01\x00\x00\x00w" + tensor + row(stride) + b"\x89NtRs."
    path = torch_zip(tmp_path / "a.pth", data, [("a/data/0", np.arange(4, dtype="<f4").tobytes())])
    if message is None:
        assert formats.read(path).arrays["w"].tolist() == [0, 1, 2, 3]
    else:
        refused(path, message)


def test_doubled_members_bombs_and_wrong_checksums(tmp_path):
    path, empty = tmp_path / "a.npz", io.BytesIO()
    np.save(empty, np.zeros(3))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", empty.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("w.npy", empty.getvalue())
    refused(path, "two members named w.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", empty.getvalue())
    data = bytearray(path.read_bytes())
    data[data.index(b"\x00" * 24) + 3] = 1
    path.write_bytes(data)
    refused(path, "Bad CRC")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "x")
    refused(path, "no file of numpy.savez")
    np.savez_compressed(path, w=np.zeros(1 << 20))
    data = path.read_bytes().replace(struct.pack("<I", (1 << 23) + 128), b"\xff\xff\xff\x7f")
    path.write_bytes(data)
    refused(path, "more than a file of this size|truncated or damaged")


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]}}, "12 bytes for an array"),
        ({"w": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 16]}}, "more than"),
        ({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 16]}}, "shape"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 99]}}, "offsets"),
        ({"w": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}, "type F8_E4M3"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [8, 4]}}, "offsets"),
        ({"w": {"dtype": "F32"}}, "damaged"),
        ([1, 2], "not a weight file"),
        ({"v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
          "w": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, "share"),
    ],
)  # fmt: skip
def test_headers_of_safetensors(header, message, tmp_path):
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    refused(path, message)


def test_a_header_with_a_name_twice_or_of_huge_size(tmp_path):
    entry = b'"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
    text, path = b"{" + entry + b"," + entry + b"}", tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    refused(path, "a name twice")
    path.write_bytes(struct.pack("<Q", 1 << 62) + text)
    refused(path, "4611686018427387904 bytes are due")
    deep = b'{"a":' * 100_000
    path.write_bytes(struct.pack("<Q", len(deep)) + deep)
    refused(path, "damaged")


# --- HDF5


def link_soft(file, outside):
    file["data/conv1/0"] = h5py.SoftLink("/data/elsewhere")


def link_external(file, outside):
    file["data/conv1/0"] = h5py.ExternalLink(outside, "secret")


def external_storage(file, outside):
    file.create_group("data/conv1").create_dataset(
        "0", (4,), "f4", external=[(outside, 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file, outside):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(outside, "secret", (4,))
    file.create_group("data/conv1").create_virtual_dataset("0", layout)


def huge(file, outside):
    file.create_dataset("data/conv1/0", (1 << 20, 1 << 20), "f4", chunks=(64, 64))


def loop(file, outside):
    group = file.create_group("data/conv1")
    group["again"] = file["data"]
    group["0"] = np.zeros(3)


def plug_in(file, outside):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(32123, h5py.h5z.FLAG_OPTIONAL)
    space, group = h5py.h5s.create_simple((4,)), file.create_group("data/conv1")
    h5py.h5d.create(group.id, b"0", h5py.h5t.NATIVE_FLOAT, space, properties)


def nothing(file, outside):
    file.create_group("data")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link_soft, "is a link; links are not followed"),
        (link_external, "is a link; links are not followed"),
        (external_storage, "in another file, which is not read"),
        (virtual, "in another file, which is not read"),
        (huge, "more than a file of this size can hold"),
        (loop, "too deeply nested|two arrays are named"),
        (plug_in, "compressed by filter 32123, which is not read"),
        (nothing, "holds no arrays"),
    ],
)
@pytest.mark.parametrize("kind", ["caffe", "keras", "plain"])
def test_hdf5_reads_nothing_outside_and_nothing_huge(make, message, kind, tmp_path, monkeypatch):
    outside = str(tmp_path / "outside.h5")
    with h5py.File(outside, "w") as file:
        file["secret"] = np.ones(4, "f4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file, outside)
        if kind == "keras":
            file.attrs["keras_version"] = "2.2.4"
        if kind != "caffe":
            file.create_group("other")
    refused(tmp_path / "a.h5", message)


def test_object_references_in_a_circle(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        cell = file.create_dataset("net", (2,), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_(b"cell")
        cell[0] = cell[1] = cell.ref
    refused(path, "in a circle")
    with h5py.File(path, "w") as file:
        cell = file.create_dataset("net", (2,), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_(b"cell")
    refused(path, "an empty reference")


def test_kernels_of_theano_are_not_turned_on_a_guess(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.0.8", "theano"
        file["conv1/kernel:0"] = np.zeros((3, 3, 2, 4), "f4")
    refused(tmp_path / "a.h5", "may be turned by 180 degrees, .*give --order theano")
    with pytest.raises(MinicnnError, match="comes from Keras on theano; leave out --order"):
        formats.read(tmp_path / "a.h5", "tensorflow")
    with pytest.raises(MinicnnError, match="no order 'torch'; use theano, tensorflow"):
        formats.read(tmp_path / "a.h5", "torch")
    np.savez(tmp_path / "a.npz", w=np.zeros(3))
    with pytest.raises(MinicnnError, match="no file of Keras; leave out --order"):
        formats.read(tmp_path / "a.npz", "theano")


def test_a_heap_of_texts_on_which_libhdf5_hangs(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.2.4"
        file["conv1/kernel:0"] = np.zeros((3, 3, 2, 4), "f4")
    formats.read(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"GCOL") + 16
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    refused(path, "a heap of texts with objects of impossible sizes")


# --- Caffe, MATLAB, Deep Compression, and no file at all


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\xff\xff\xff\xff\x0f", "4294967295 bytes are due where 0 are left"),
        (b"\x0a" + b"\xff" * 12, "a number without an end"),
        (b"\x0b", "wire type 3"),
        (b"\xa2\x06\x80", "a number without an end"),
        (write.field(100, write.field(1, "x")), "no layers with arrays"),
        (write.field(1, "x"), "no layers"),
        (
            write.field(100, write.field(1, "x") + write.field(7, write.field(5, bytes(12)))),
            "12 bytes for an array",
        ),
        (
            write.field(100, write.field(7, write.field(7, write.field(1, b"\xff" * 9 + b"\x01")))),
            "more than a file",
        ),
        (write.field(100, write.field(1, b"\xff\xfe")), "damaged"),
    ],
)
def test_caffemodels(data, message, tmp_path):
    (tmp_path / "a.caffemodel").write_bytes(data)
    refused(tmp_path / "a.caffemodel", message)


def onnx_array(*fields):
    return write.field(7, write.field(5, b"".join(fields)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (onnx_array(write.field(2, 7), write.field(9, bytes(8))), "holds no arrays"),
        (onnx_array(write.field(1, 3), write.field(2, 1), write.field(9, bytes(8))), "8 bytes for"),
        (onnx_array(write.field(1, 3), write.field(2, 1)), "0 bytes for an array"),
        (onnx_array(write.field(8, "w"), write.field(13, "x")), "w keeps its values in another"),
        (onnx_array(write.field(2, 1), write.field(9, bytes(4))) * 2, "two arrays are named"),
        (onnx_array(write.field(1, 1 << 60), write.field(2, 1)), "more than a file"),
        (b"\x08\x08\x3a\x7f", "127 bytes are due where 0 are left"),
    ],
)
def test_onnx_files(data, message, tmp_path):
    (tmp_path / "a.onnx").write_bytes(data)
    refused(tmp_path / "a.onnx", message)


@pytest.mark.parametrize(
    ("codes", "table"),
    [
        (np.uint8([[0, 2]]), np.float32([0.5, 1.0])),
        (np.int8([[0, -1]]), np.float32([0.5, 1.0])),
        (np.uint8([[0, 1]]), np.float32([[0.5, 1.0]])),
    ],
)
def test_codes_that_are_not_in_their_table(codes, table, tmp_path):
    np.savez(tmp_path / "a.npz", conv_W_q=codes, conv_W_table=table)
    refused(tmp_path / "a.npz", "conv_W_q holds codes that are not in its table")


def element(kind, data, size=None):
    return (
        struct.pack("<2I", kind, len(data) if size is None else size)
        + data
        + b"\0" * (-len(data) % 8)
    )


def matrix(kind, dims, *parts):
    flags = element(6, struct.pack("<2I", kind, 0))
    return element(14, flags + element(5, struct.pack(f"<{len(dims)}i", *dims)) + element(1, b"a")
                   + b"".join(parts))  # fmt: skip


def nested(depth):
    inner = matrix(6, (1, 1), element(9, bytes(8)))
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner)
    return inner


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (element(14, b"", 1 << 31), "2147483648 bytes are due where 0"),
        (matrix(6, (1 << 30, 1 << 30), element(9, bytes(8))), "more than a file"),
        (matrix(6, (-1, 4), element(9, bytes(8))), "shape"),
        (matrix(1, (1 << 15, 1 << 15)), "more than a file"),
        (matrix(1, (3, 1), nested(0)), "4 bytes are due where 0 are left"),
        (
            matrix(2, (1 << 20, 1), element(5, struct.pack("<i", 8)), element(1, b"")),
            "entries|more",
        ),
        (
            matrix(2, (1, 1), element(5, struct.pack("<i", 1)), element(1, b"a" * (1 << 21))),
            "too many",
        ),
        (nested(40), "too deeply nested"),
        (element(15, b"no zlib"), "damaged"),
        (element(9, bytes(8)), "where a variable is expected"),
        (matrix(6, (1, 1), element(77, bytes(8))), "unknown type 77"),
        (b"\x00" * 5, "4 bytes are due where 1 are left"),
    ],
)
def test_matlab_files(body, message, tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + body)
    refused(path, message)


def test_files_that_are_no_weights(tmp_path):
    refused(tmp_path / "missing.pth", "cannot read .*No such file")
    refused(tmp_path, "is a folder or a device, not a file")
    refused(Path("/dev/zero"), "is a folder or a device, not a file")
    for name, data, message in (
        ("empty.pth", b"", "is empty"),
        ("text.pth", b"hello, this is text", "known format; these are PyTorch"),
        ("old.mat", b"MATLAB 4".ljust(200), "known format"),
        ("short.net", b"\1\2\3", "104 bytes are due"),
        ("zeros.net", bytes(2000), "truncated or damaged"),
        ("a.zip", b"PK\x03\x04rest", "not a zip file"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, message)


STRANGERS = {
    "pointer.h5": (b"version https://git-lfs.github.com/spec/v1\n", "pointer.* git lfs pull"),
    "page.pth": (b"\n<!DOCTYPE html>\n<html>", "a web page .*fetch it once more"),
    "a.caffemodel.gz": (b"\x1f\x8b\x08\0", "gzip.*unpack it"),
    "a.tar": (b"a".ljust(257, b"\0") + b"ustar\0", "archive of tar.*unpack it"),
    "a.tflite": (b"\x1c\0\0\0TFL3", "TensorFlow Lite.*numpy.savez"),
    "a.joblib": (b"\x80\x04\x95\x9c\0\0\0\0\0\0\0\x8c\x12joblib.numpy", "joblib.*numpy.savez"),
    "a.pdiparams": (bytes(20) + b"\x08\x05", "PaddlePaddle.*pdparams"),
    "a.param": (b"7767517\n3 3\n", "ncnn network, without its weights"),
    "net.pb": (b"\x0a\x20\x0a\x05input", "TensorFlow.*variables.index"),
    "deploy.prototxt": (b'name: "VGG"', "without its weights.*the .caffemodel beside"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_others_are_called_by_their_names(name, tmp_path):
    data, message = STRANGERS[name]
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, message)


def test_programs_and_folders_are_called_by_their_names(tmp_path):
    torch_zip(tmp_path / "a.pt", b"", [("a/constants.pkl", b""), ("a/code/__torch__.py", b"")])
    refused(tmp_path / "a.pt", "a TorchScript program.*torch.jit.load")
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    refused(tmp_path, r"a SavedModel of TensorFlow; give its checkpoint, .*variables.index")


# --- damaged copies of real files


FILES = [
    "weights/npz/weights_plain.npz",
    "weights/npz/model_object_arrays.npz",
    "weights/safetensors/mnist_cnn.safetensors",
    "weights/npy/mtcnn_det1.npy",
    "weights/caffemodel/mtcnn_det1.caffemodel",
    "weights/caffemodel/cifar10_full_v1.caffemodel",
    "weights/caffemodel/lenet_v2.caffemodel",
    "weights/torch/mtcnn_pnet.legacy.pt",
    "weights/torch/cifar_net_zip.pth",
    "weights/torch/cifar_net_whole_module_pickle_zip.pth",
    "weights/keras/mnist_cnn_keras3.weights.h5",
    "weights/keras/cifar10_keras224_full_model.h5",
    "weights/keras/dncnn_sigma25_keras222_weights.h5",
    "weights/keras/squeezenet_notop_keras2.h5",
    "weights/keras/sr_2x_keras1_theano.h5",
    "weights/caffemodel_h5/cifar10_quick_iter_5000.caffemodel.h5",
    "weights/mat/digits_lenet_v5.mat",
    "weights/mat/dncnn_sigma25_simplenn_v73.mat",
    "weights/mxnet/mtcnn_det1-0001.params",
    "weights/onnx/opt-mnist.onnx",
    "weights/pickle/deep_convnet_params.pkl",
    "weights/t7/model.t7",
    "squeezenet/compressed_SqueezeNet.net",
]


def test_damaged_copies_are_read_or_refused_in_one_line(shared_data, tmp_path):
    """With MINICNN_MUTATIONS=2000 it takes an hour on a busy core."""
    own = Path(minicnn.__file__).parents[1] / "weights" / "minivgg.h5"
    files = [*(shared_data / name for name in FILES), own]
    reports, end = read_copies(files, COPIES, 1, tmp_path)
    assert end == ""
    assert len(reports) == len(files)
    for path, report in reports.items():
        assert report["read"] + report["refused"] == COPIES
        assert report["opened"] == [], path
        assert report["megabytes"] < 600, path
