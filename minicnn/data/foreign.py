"""Data sets in the layout of those who give them away, told by a file of theirs."""

from minicnn.errors import MinicnnError

FOLDERS = {  # a file in the folder, or in the folder of a split
    "val/val_annotations.txt": "Tiny ImageNet as it is unpacked",
    "val_annotations.txt": "a part of Tiny ImageNet as it is unpacked",
    "batches.meta": "CIFAR-10 in pickles",
    "meta": "CIFAR-100 in pickles",
    "train-images-idx3-ubyte*": "MNIST, or a set in its format",
}
FILES = {  # how the file begins
    b"\x80": "a pickle, as those of CIFAR",
    b"\x00\x00\x08": "a file of MNIST, or in its format",
    b"\x1f\x8b": "a packed file",
    b"PK": "a packed file",
}
PACKER = (
    "`python tools/pack_pictures.py SOURCE data.h5`, in a clone of minicnn, turns such a data set "
    "into a file for minicnn"
)


def refuse_foreign(path) -> None:
    """Raise `MinicnnError` with the way to convert it if a file or folder is in such a layout."""
    if path.is_dir():
        told = next((what for name, what in FOLDERS.items() if any(path.glob(name))), "")
    else:
        with open(path, "rb") as file:
            head = file.read(4)
        told = next((what for start, what in FILES.items() if head.startswith(start)), "")
    if told:
        unpacked = "; unpack it first" if "packed file" in told else ""
        raise MinicnnError(f"{path} is {told}; {PACKER}{unpacked}")
