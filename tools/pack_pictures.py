"""Turn data sets as others give them away into the HDF5 layout of `minicnn.data.datasets`.

    python tools/pack_pictures.py tiny-imagenet-200 tiny_imagenet.h5    a folder or a file, then the
    python tools/pack_pictures.py cifar-10-batches-py cifar10.h5        file to write
    python tools/pack_pictures.py mnist mnist.h5
    python tools/pack_pictures.py pack.h5 packed.h5

Tiny ImageNet   the folder in tiny-imagenet-200.zip: train/WORDNET/images/*.JPEG, val/images/*.JPEG
                with val/val_annotations.txt, words.txt
CIFAR-10, -100  the folder in cifar-10-python.tar.gz or cifar-100-python.tar.gz: pickles
MNIST           a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-*, .gz or not
packs           HDF5 files with shared JPEG headers: headers/K, header_id, scan, offset, label a
                split; or one jpeg_header; or plain bytes and offset without a split

Pictures that are JPEG stay as they are; others become PNG. Nothing of a pickle but arrays, texts
and numbers is made.
"""

import argparse
import codecs
import gzip
import io
import pickle
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

_RECONSTRUCT = np.empty(0).__reduce__()[0]
PICKLED = {  # all that CIFAR's pickles name
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
    "_codecs encode": codecs.encode,  # bytes, where Python 3 wrote them
    "numpy ndarray": np.ndarray,
    "numpy dtype": np.dtype,
}
MNIST = {"train": "train", "val": "t10k"}


def encoded_pictures(file, group):
    """Yield the complete JPEG file of every picture of a split of a pack."""
    offset = group["offset"][:].astype(np.int64)
    data = group["scan" if "scan" in group else "bytes"][:].tobytes()
    if "headers" in file:
        headers = {int(k): file["headers"][k][:].tobytes() for k in file["headers"]}
        which = group["header_id"][:]
    elif "jpeg_header" in file:
        headers, which = {0: file["jpeg_header"][:].tobytes()}, np.zeros(len(offset), int)
    else:
        headers, which = {0: b""}, np.zeros(len(offset), int)
    for i in range(len(offset) - 1):
        yield headers[int(which[i])] + data[offset[i] : offset[i + 1]]


def png(pixels):
    """Return the bytes of a PNG file of uint8 (H, W) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class ArraysOnly(pickle.Unpickler):
    """A reader of pickles that makes arrays and plain values, and nothing else."""

    def find_class(self, module, name):
        """Refuse all but what an array is made of."""
        if f"{module} {name}" not in PICKLED:
            raise SystemExit(f"the pickle asks for {module}.{name}; CIFAR's do not")
        return PICKLED[f"{module} {name}"]


def read_pack(path):
    """Yield (split, pictures, labels) of a pack, then the class names."""
    with h5py.File(path, "r") as file:
        splits = {"train": "train", "test": "val", "val": "val"}
        found = [name for name in splits if name in file]
        for name in found:
            yield splits[name], encoded_pictures(file, file[name]), file[name]["label"][:]
        if not found:
            yield "val", encoded_pictures(file, file), np.arange(len(file["offset"]) - 1)
        for key in ("label_text", "class_names"):
            if key in file:
                yield [str(name) for name in file[key].asstr()[:]]
                return
        yield list(file.attrs.get("class_names", []))


def read_tiny_imagenet(folder):
    """Yield the same of Tiny ImageNet; a class is called by its first word."""
    ids = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    files = [
        (path, label)
        for label, name in enumerate(ids)
        for path in sorted(folder.glob(f"train/{name}/images/*"))
    ]
    yield "train", (path.read_bytes() for path, _ in files), [label for _, label in files]
    lines = [line.split() for line in (folder / "val/val_annotations.txt").read_text().splitlines()]
    labels = [ids.index(line[1]) for line in lines]
    yield "val", ((folder / "val" / "images" / line[0]).read_bytes() for line in lines), labels
    words = folder / "words.txt"
    text = words.read_text("utf-8").splitlines() if words.exists() else []
    known = dict(line.split("\t") for line in text)
    yield [known.get(name, name).split(",")[0] for name in ids]


def read_cifar(folder):
    """Yield the same of CIFAR-10 or CIFAR-100 (by its fine classes)."""

    def load(name):
        with open(folder / name, "rb") as file:
            found = ArraysOnly(file, encoding="bytes").load()
        return {key.decode(): value for key, value in found.items()}

    ten = (folder / "batches.meta").exists()
    train = [f"data_batch_{i}" for i in range(1, 6)] if ten else ["train"]
    for split, names in (("train", train), ("val", ["test_batch" if ten else "test"])):
        parts = [load(name) for name in names]
        labels = np.concatenate([part["labels" if ten else "fine_labels"] for part in parts])
        pixels = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
        yield split, map(png, pixels.transpose(0, 2, 3, 1).copy()), labels
    named = load("batches.meta")["label_names"] if ten else load("meta")["fine_label_names"]
    yield [name.decode() for name in named]


def read_mnist(folder):
    """Yield the same of MNIST, or of a set in its format."""

    def load(name, header):
        path = folder / name
        packed = folder / f"{name}.gz"
        data = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
        return np.frombuffer(data, np.uint8, offset=header)

    for split, start in MNIST.items():
        labels = load(f"{start}-labels-idx1-ubyte", 8)
        pixels = load(f"{start}-images-idx3-ubyte", 16).reshape(len(labels), 28, 28)
        yield split, map(png, pixels), labels
    yield [str(digit) for digit in range(10)]


def reader_of(path):
    """Return the reader for what lies at a path."""
    if path.is_file():
        return read_pack
    marks = {
        "val/val_annotations.txt": read_tiny_imagenet,
        "batches.meta": read_cifar,
        "meta": read_cifar,
        "train-labels-idx1-ubyte*": read_mnist,
    }
    for mark, reader in marks.items():
        if any(path.glob(mark)):
            return reader
    raise SystemExit(f"{path} has none of {', '.join(marks)}; give the folder that holds them")


def write_split(out, name, pictures, labels):
    """Write one split in the layout of `minicnn.data.datasets`."""
    pictures = list(pictures)
    group = out.create_group(name)
    offset = np.concatenate([[0], np.cumsum([len(p) for p in pictures])])
    group["bytes"] = np.frombuffer(b"".join(pictures), np.uint8)
    group["offset"] = offset.astype(np.int64)
    group["label"] = np.asarray(labels, np.int64)
    print(f"{name}: {len(pictures)} pictures, {offset[-1] / 1e6:.1f} MB")


def main():
    """Convert one data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target")
    args = parser.parse_args()
    reader = reader_of(args.source)
    with h5py.File(args.target, "x") as out:
        for part in reader(args.source):
            if isinstance(part, list):
                out.attrs["class_names"] = part
            else:
                write_split(out, *part)


if __name__ == "__main__":
    main()
