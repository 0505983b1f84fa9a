"""Small files that ask for much: time and memory stay in proportion to the size of the file."""

import io
import pickle
import resource
import struct
import time
import zipfile
import zlib

import foreign_files as write
import h5py
import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.weights import formats
from minicnn.weights.formats import pth

SECONDS, BYTES = 10.0, 400 << 20  # of the processor; more than any file here may cost


def shared_tuples(levels):
    """A pickled tuple of two that are one tuple of two, and so on: 2**levels leaves."""
    pairs = b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(levels))
    return b"K\x01q\x00" + pairs


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def archive(member, data):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(member, data)
    return packed.getvalue()


def torch_zip(pickled):
    return archive("m/data.pkl", pickled)


def torch_legacy(pickled):
    start = [pickle.dumps(value, 2) for value in (pth.MAGIC, 1001, {"little_endian": True})]
    return b"".join(start) + pickled


def npy(shape, values=b"", kind=b"<f4"):
    header = b"{'descr': '" + kind + b"', 'fortran_order': False, 'shape': (" + shape + b"), }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def object_npy(pickled):
    return npy(b"", pickled, b"|O")


def blobs(name, count):
    one = write.field(5, b"1234") + b"".join(write.field(i, 1) for i in range(1, 5))
    return write.field(100, write.field(1, name) + write.field(7, one) * count)


ARRAY = pickle.dumps(np.zeros(1, "f4"), 2)[2:-1] + b"q\xff"  # in the memo as 255
STORAGE = b"(" + text(b"storage") + b"%sX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
ASKING = (  # name, bytes, what the line says
    ("redos.npy", npy(b"1" * 60 + b"!"), "does not describe an array"),
    ("redos.npz", archive("w.npy", npy(b"1" * 5000 + b"!")), "does not describe an array"),
    ("kind.pth", torch_zip(b"\x80\x02" + STORAGE % shared_tuples(60) + b"."), "of the type tuple"),
    (
        "module.pth",
        torch_zip(b"\x80\x02(" + text(b"module") + shared_tuples(60) + text(b"0") + b"tQ."),
        "the code of tuple",
    ),
    ("global.pth", torch_zip(b"\x80\x04" + shared_tuples(60) + text(b"a") + b"\x93."), "no text"),
    ("key.pth", torch_zip(b"\x80\x02}" + shared_tuples(60) + b"Ns."), "neither text nor a number"),
    ("tree.pth", torch_zip(b"\x80\x02}" + text(b"a") + shared_tuples(60) + b"s."), "nested"),
    (
        "version.pt",
        pickle.dumps(pth.MAGIC, 2) + (b"\x80\x02" + shared_tuples(60) + b".") * 2,
        "unknown version, tuple",
    ),
    (
        "storage-key.pt",
        torch_legacy(b"\x80\x02}.\x80\x02](" + shared_tuples(60) + b"e."),
        "tuple belongs to no tensor",
    ),
    ("lists.pth", torch_zip(b"\x80\x02](" + b"]" * 3_000_000 + b"e."), "more entries than"),
    ("marks.pth", torch_zip(b"\x80\x02" + b"(" * 3_000_000 + b"."), "more entries than"),
    (
        "prefix.npy",
        object_npy(
            b"\x80\x02}" + text(b"k" * 1_000_000) + b"](" + ARRAY + b"h\xff" * 2000 + b"es."
        ),
        "the names of its arrays is more than",
    ),
    (
        "encoded.npy",  # one text of a megabyte, turned into bytes again and again
        object_npy(
            b"\x80\x02](c_codecs\nencode\nq\x01" + text(b"k" * 1_000_000)
            + b"\x85q\x02R" + b"h\x01h\x02R" * 2000 + b"e."
        ),
        "more than a file of this size",
    ),
    ("bomb.npz", archive("w.npy", npy(b"50_000_000", bytes(200_000_000))), "more than a file"),
    (
        "names.caffemodel",
        blobs(b"n" * 500_000, 2000),
        "the names of its arrays is more than",
    ),
    (
        "sizes.caffemodel",
        write.field(100, write.field(7, write.field(7, write.field(1, b"\x01" * 3_000_000)))),
        "more entries than",
    ),
    ("fields.caffemodel", b"\x08\x00" * 1_500_000, "more entries than"),
    ("floats.caffemodel", (b"\x0d1234" b"\x15" b"1234") * 500_000, "more entries than"),
    (
        "json.safetensors",
        struct.pack("<Q", 9_000_005) + b'{"a":' + b"[]," * 3_000_000,
        "more entries than",
    ),
    (
        "inflated.mat",
        b"MATLAB 5.0".ljust(124) + b"\0\1IM"
        + struct.pack("<2I", 15, len(zlib.compress(bytes(400_000_000), 9)))
        + zlib.compress(bytes(400_000_000), 9),
        "damaged or too large",
    ),
)  # fmt: skip


def refused(path, match):
    """Read a file: one line, within the bounds."""
    begun, before = time.process_time(), most_memory()
    with pytest.raises(MinicnnError, match=match) as caught:
        formats.read(path)
    assert time.process_time() - begun < SECONDS
    assert most_memory() - before < BYTES
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def most_memory():
    """Return the most memory so far of this process, in bytes, that of libraries included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.parametrize(("name", "data", "message"), ASKING, ids=[c[0] for c in ASKING])
def test_what_a_file_asks_for_is_bounded_by_its_size(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, message)


def chunk(file, raw, filters, size):
    """Write a data set of one value whose only chunk is `raw`, of `size` values."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((size,))
    for _ in range(filters):
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
    space = h5py.h5s.create_simple((1,), (h5py.h5s.UNLIMITED,))
    group = file.create_group("data/conv1")
    data = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, properties)
    data.write_direct_chunk((0,), raw)


def outsized_chunk(file):
    chunk(file, zlib.compress(bytes(400_000_000), 9), 1, 100_000_000)


def chunk_that_inflates_further(file):
    chunk(file, zlib.compress(bytes(400_000_000), 9), 1, 100)


def inflated_twice(file):
    chunk(file, zlib.compress(zlib.compress(bytes(400_000_000), 9), 9), 2, 100)


def many_links_to_one_group(file):
    group = file.create_group("data/a")
    for i in range(10):
        group[f"to{i}"] = group


def long_texts(file):
    """4000 texts of the length of the longest, which is one and the same."""
    file.attrs["keras_version"] = "2"
    file["conv1/kernel:0"] = np.ones((3, 3, 2, 4))
    file.attrs["layer_names"] = ["x" * 60_000] + ["y"] * 3000


def cells_of_cells(file):
    inner = file.create_dataset("x", data=np.ones((1, 1)))
    inner.attrs["MATLAB_class"] = np.bytes_("double")
    for i in range(10):
        cell = file.create_dataset(f"c{i}", (1, 4), dtype=h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        cell[:] = inner.ref
        inner = cell


def copies_of_one_array(file):
    """A thousand references to one array of a megabyte, each of which would be turned."""
    array = file.create_dataset("#refs#/a", data=np.ones((1, 1, 512, 512), "f4"))
    array.attrs["MATLAB_class"] = np.bytes_("single")
    cell = file.create_dataset("net", (1000, 1), dtype=h5py.ref_dtype)
    cell.attrs["MATLAB_class"] = np.bytes_("cell")
    cell[:] = array.ref


HDF5 = {
    outsized_chunk: "a chunk of .* is more than a file of this size",
    chunk_that_inflates_further: "a chunk that inflates to more than it holds",
    inflated_twice: "compressed by filter 1",
    many_links_to_one_group: "more entries than|nested",
    long_texts: "more than a file of this size",
    cells_of_cells: "more entries than",
    copies_of_one_array: "more than a file of this size",
}


@pytest.mark.parametrize(("make", "message"), HDF5.items(), ids=[f.__name__ for f in HDF5])
def test_hdf5_that_asks_for_much(make, message, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    refused(tmp_path / "a.h5", message)


LINKS = {
    "external": h5py.ExternalLink("target.h5", "/g"),
    "dangling": h5py.SoftLink("/nope"),
    "circle": h5py.SoftLink("/model_weights"),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("name", ["model_weights", "data", "layers", "net"])
def test_links_are_refused_wherever_a_format_is_told_by_its_names(name, link, tmp_path):
    with h5py.File(tmp_path / "target.h5", "w") as file:
        file["g/conv1/kernel:0"] = np.ones((2, 2))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["other"] = np.ones(3)
        file[name] = link
    refused(tmp_path / "a.h5", f"{name} is a link; links are not followed")


def test_a_chunk_that_could_not_be_compressed_is_read(tmp_path):
    """libhdf5 stores it as it is, and says so in the mask of the chunk."""
    array = np.random.default_rng(0).integers(0, 256, 100_000).astype("u1")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("w", data=array, compression="gzip", chunks=(100_000,))
        file.create_dataset(
            "v", data=np.arange(9.0), compression="gzip", shuffle=True, fletcher32=True
        )
    found = formats.read(tmp_path / "a.h5").arrays
    np.testing.assert_array_equal(found["w"], array)
    assert found["v"].tolist() == list(range(9))
