"""Files that are not read: what they are, told by their first bytes, and the way out.

Sources: the formats' own descriptions; the first bytes are theirs.
"""

import re

from minicnn.errors import MinicnnError

SAVE_ARRAYS = "where it was made, save the arrays with numpy.savez(file, **{name: array, ...})"
UNPACK = "unpack it and give the file inside"
STARTS = {  # {first bytes: (what it is, way out)}
    b"version https://git-lfs": (
        "a pointer of Git LFS in the place of the file",
        "fetch the file itself with git lfs pull",
    ),
    b"\x1f\x8b": ("a file packed with gzip", UNPACK),
    b"BZh": ("a file packed with bzip2", UNPACK),
    b"\xfd7zXZ": ("a file packed with xz", UNPACK),
    b"7z\xbc\xaf": ("an archive of 7-Zip", UNPACK),
    b"Rar!": ("an archive of RAR", UNPACK),
    b"7767517": (
        "the text of an ncnn network, without its weights",
        "take the file that the .bin was converted from",
    ),
    b"\xdd\x85\x76\0": (
        "an ncnn network, without its weights",
        "take the file that the .bin was converted from",
    ),
    b"GGUF": ("a GGUF file of a language model", "no network of pictures comes so"),
    b"<?xml": (
        "XML, as OpenVINO describes a network",
        "take the ONNX or PyTorch file that it was converted from",
    ),
}
PADDLE = bytes(16)  # versions and levels, before the size of a message and its first field, a type
SUFFIXES = {
    ".pb": (
        "a graph or SavedModel of TensorFlow",
        "give the checkpoint, variables/variables.index beside saved_model.pb; of a frozen graph, "
        + SAVE_ARRAYS,
    ),
    ".mlmodel": ("a file of Core ML", "take the file that it was converted from"),
    ".prototxt": (
        "the text of a Caffe network, without its weights",
        "they are in the .caffemodel beside it",
    ),
    ".cfg": (
        "the text of a darknet network, without its weights",
        "give the .weights file; the .cfg is found beside it",
    ),
    ".msgpack": ("a file of Flax", SAVE_ARRAYS),
}


def check_path(path) -> None:
    """Refuse a folder or the start of names that stands for a network, with the file to give."""
    index = path.with_name(f"{path.name}.index")
    if path.name and not path.exists() and index.is_file():
        raise MinicnnError(f"{path} is the prefix of a checkpoint of TensorFlow; give {index}")
    if re.fullmatch(r"\.data-\d+-of-\d+|\.meta", path.suffix):
        raise MinicnnError(f"{path} is a part of a checkpoint of TensorFlow; give its .index file")
    if (path / "saved_model.pb").is_file():
        raise MinicnnError(
            f"{path} is a SavedModel of TensorFlow; give its checkpoint, "
            f"{path / 'variables' / 'variables.index'}"
        )
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            raise MinicnnError(f"{path} is a folder; give the file {path / name}")


def check(data: bytes, suffix: str) -> None:
    """Refuse a file that is known and not read."""
    told = next((told for start, told in STARTS.items() if data.startswith(start)), None)
    head = bytes(data[:2048])
    if re.match(rb"\s*(<!doctype html|<html)", head, re.I):
        told = ("a web page in the place of the file", "the download failed: fetch it once more")
    elif data[4:8] == b"TFL3":
        told = ("a file of TensorFlow Lite", SAVE_ARRAYS)
    elif data[257:262] == b"ustar":
        told = ("an archive of tar", UNPACK)
    elif data[:1] == b"\x80" and b"joblib" in head:
        told = ("a file of joblib", "load it with joblib; " + SAVE_ARRAYS)
    elif data[:16] == PADDLE and data[20:21] == b"\x08":
        told = (
            "parameters of PaddlePaddle for inference",
            "where they were made, paddle.save(net.state_dict(), 'weights.pdparams')",
        )
    told = told or SUFFIXES.get(suffix)
    if told:
        raise MinicnnError(f"it is {told[0]}, which is not read; {told[1]}")


def check_zip(names) -> None:
    """Refuse a zip archive that holds a program, or files that are to be given by themselves."""
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise MinicnnError(
            "it is a TorchScript program, which is not read; load it with torch.jit.load and save "
            "torch.save(net.state_dict(), 'weights.pth')"
        )
    if "serialized_exported_program.json" in ends:
        raise MinicnnError(
            "it is a program of torch.export, which is not read; load it with torch.export.load "
            "and save torch.save(program.state_dict, 'weights.pth')"
        )
    if "coremldata.bin" in ends or any(name.endswith(".mlmodel") for name in names):
        raise MinicnnError("it is a package of Core ML; take the file that it was converted from")
