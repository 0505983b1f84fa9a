"""Values in a row, and the tensors that are views of them, as PyTorch and Torch7 store both."""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import widen_bfloat16
from minicnn.weights.formats.pickles import Built

BFLOAT16 = "bfloat16"
KINDS = {
    "Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": BFLOAT16, "Long": "i8", "Int": "i4",
    "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?", "QInt8": "i1", "QUInt8": "u1",
    "QInt32": "i4",
}  # fmt: skip


class Storage(Built):
    """Values in a row, of one type."""

    def __init__(self, kind, count):
        super().__init__()
        self.kind, self.count = kind, count
        self.stored = np.dtype("u2" if kind == BFLOAT16 else kind)
        self.itemsize = self.stored.itemsize

    def fill(self, raw, order):
        """Take the bytes, in the byte order `order`."""
        if len(raw) != self.count * self.itemsize:
            raise MinicnnError(f"{len(raw)} bytes in a storage of {self.count} values")
        values = np.frombuffer(raw, self.stored.newbyteorder(order[0]))
        values = values.astype(self.stored, copy=False)
        self.value = widen_bfloat16(values) if self.kind == BFLOAT16 else values


class Tensor(Built):
    """The part of a storage that an offset, a shape and strides name."""

    def __init__(self, base, offset, shape, stride):
        super().__init__()
        if not isinstance(base, Storage) or not len(shape) == len(stride) <= 8:
            raise MinicnnError("a tensor without a storage, a shape and strides")
        if not all(type(v) is int and v >= 0 for v in (offset, *shape, *stride)):
            raise MinicnnError("a tensor whose shape and strides are no sizes")
        self.base, self.offset, self.shape, self.stride = base, offset, shape, stride

    def cut(self, budget):
        """Copy the values out of the storage, which may be shared and read-only."""
        values = self.base.value
        if values is None:
            raise MinicnnError("a storage is missing")
        if not budget.array(self.shape, values.itemsize):
            self.value = np.zeros(self.shape, values.dtype)
            return
        steps = zip(self.shape, self.stride, strict=True)
        if self.offset + sum((size - 1) * step for size, step in steps) >= values.size:
            raise MinicnnError(f"a tensor {self.shape} reaches beyond its storage")
        strides = [step * values.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(
            values[self.offset :], self.shape, strides, writeable=False
        )
        self.value = view.copy()  # in C order
