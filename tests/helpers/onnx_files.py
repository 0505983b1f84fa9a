"""ONNX files for tests: what torch exports, and small graphs written field by field."""

import io
import struct
import warnings

import foreign_files as write
import numpy as np
import pytest


def exported(path, model, shape, **options):
    """Write what torch's exporter makes of a model for pictures of `shape`.

    It asks for the package `onnx` only to put functions of its own into the file; these have none.
    """
    torch = pytest.importorskip("torch")
    helpers = pytest.importorskip("torch.onnx._internal.torchscript_exporter.onnx_proto_utils")
    memory = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(helpers, "_add_onnxscript_fn", lambda model, functions: model)
        torch.onnx.export(model.eval(), torch.zeros(1, *shape), memory, dynamo=False, **options)
    path.write_bytes(memory.getvalue())


def attribute(name, value):
    """An attribute: a whole number, a float, text, whole numbers, or the bytes of a tensor."""
    body = write.field(1, name)
    if isinstance(value, int):
        body += write.field(3, value % (1 << 64))
    elif isinstance(value, float):
        body += b"\x15" + struct.pack("<f", value)
    elif isinstance(value, (list, tuple)):
        body += b"".join(write.field(8, n % (1 << 64)) for n in value)
    else:
        body += write.field(4 if isinstance(value, str) else 5, value)
    return write.field(5, body)


def node(kind, inputs, output, name="", domain="", **attributes):
    body = b"".join(write.field(1, name) for name in inputs) + write.field(2, output)
    body += write.field(3, name) + write.field(4, kind) + write.field(7, domain)
    return write.field(1, body + b"".join(attribute(*entry) for entry in attributes.items()))


def tensor(array, name="", *, typed=False):
    """A tensor; `typed` stands in the field of its type, else as it is in memory."""
    kind, number = {"<f4": (1, 4), "<f2": (10, 5), "<f8": (11, 10), "<i8": (7, 7), "<i4": (6, 5)}[
        array.dtype.str
    ]
    body = b"".join(write.field(1, int(n)) for n in array.shape) + write.field(2, kind)
    body += write.field(8, name)
    if not typed:
        return body + write.field(9, array.tobytes())
    if array.dtype.kind == "f" and array.itemsize > 2:
        return body + write.field(number, array.tobytes())
    whole = array.view("<u2") if array.itemsize == 2 else array
    return body + b"".join(write.field(number, int(n) % (1 << 64)) for n in whole.ravel())


def graph(path, nodes, arrays, *, shape=(1, 3, 8, 8), output="y", opset=17, typed=False):
    """Write a graph whose input is called x."""
    dims = b"".join(write.field(1, write.field(1, n) if n else write.field(2, "N")) for n in shape)
    body = b"".join(nodes)
    for name, array in arrays.items():
        body += write.field(5, tensor(np.asarray(array), name, typed=typed))
    body += write.field(
        11, write.field(1, "x") + write.field(2, write.field(1, write.field(2, dims)))
    )
    body += write.field(12, write.field(1, output))
    version = write.field(1, "") + write.field(2, opset)
    path.write_bytes(write.field(1, 8) + write.field(7, body) + write.field(8, version))
