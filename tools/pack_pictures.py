"""Turn a pack of JPEG scans with shared headers into the HDF5 layout of `minicnn.data.datasets`.

    python tools/pack_pictures.py tiny_imagenet.h5 packed.h5

Reads the layouts of the Tiny ImageNet pack (headers/K, header_id, scan, offset, label a split),
of the CIFAR-10 pack (one jpeg_header) and of plain packs without a split (bytes, offset).
"""

import argparse

import h5py
import numpy as np


def encoded_pictures(file, group):
    """Yield the complete JPEG file of every picture of a split."""
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


def write_split(out, name, pictures, labels):
    """Write one split in the layout of `minicnn.data.datasets`."""
    pictures = list(pictures)
    group = out.create_group(name)
    offset = np.concatenate([[0], np.cumsum([len(p) for p in pictures])])
    group["bytes"] = np.frombuffer(b"".join(pictures), np.uint8)
    group["offset"] = offset.astype(np.int64)
    group["label"] = np.asarray(labels, np.int64)
    print(f"{name}: {len(pictures)} pictures, {offset[-1] / 1e6:.1f} MB")


def class_names(file):
    """Return the class names that a pack states, if any."""
    for key in ("label_text", "class_names"):
        if key in file:
            return [str(name) for name in file[key].asstr()[:]]
    return list(file.attrs.get("class_names", []))


def main():
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("target")
    args = parser.parse_args()
    with h5py.File(args.source, "r") as file, h5py.File(args.target, "x") as out:
        splits = {"train": "train", "test": "val", "val": "val"}
        found = [name for name in splits if name in file]
        for name in found:
            labels = file[name]["label"][:]
            write_split(out, splits[name], encoded_pictures(file, file[name]), labels)
        if not found:
            count = len(file["offset"]) - 1
            write_split(out, "val", encoded_pictures(file, file), np.arange(count))
        out.attrs["class_names"] = class_names(file)


if __name__ == "__main__":
    main()
