"""PyTorch files: `torch.save` of a state dict, without PyTorch.

    zip      (1.6 and later)  NAME/data.pkl        the pickle of the dictionary
                              NAME/data/KEY        the bytes of one storage
                              NAME/byteorder       "little" or "big"; little where missing
    legacy                    five pickles: a magic number, 1001, system information, the
                              dictionary, the keys of the storages; then for each key the number
                              of its values (int64) and their bytes

A tensor is a view of a storage: offset, shape and strides in values. The device that a storage was
on plays no part. bfloat16 becomes float32, all else keeps its type.

Source: `torch/serialization.py` and `torch/_utils.py` of PyTorch 2.
"""

import io

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Budget, widen_bfloat16
from minicnn.weights.formats.numpy_pickles import allowed as numpy_calls
from minicnn.weights.formats.pickles import Built, Global, flatten, loads
from minicnn.weights.formats.zips import open_zip, read_member

MAGIC = 0x1950A86A20F9469CFC6C
SIGNATURE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
BFLOAT16 = "bfloat16"
STORAGES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": BFLOAT16,
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}
ADVICE = (
    "only tensors are read. A whole pickled module cannot be read without running its code: where "
    "it was made, save the numbers alone with torch.save(net.state_dict(), 'weights.pth')"
)


def read_zip(data: bytes) -> dict:
    """Return {name: array} of a file in the zip layout."""
    archive, budget = open_zip(data), Budget(len(data))
    pickled = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
    if len(pickled) != 1:
        raise MinicnnError("a zip archive without a data.pkl; this is no file of torch.save")
    folder = pickled[0].removesuffix("data.pkl")
    try:
        order = read_member(archive, f"{folder}byteorder", budget).decode()
    except KeyError:
        order = "little"
    if order not in ("little", "big"):
        raise MinicnnError(f"the byte order {order[:20]!r}; little and big are known")
    storages = {}

    def storage(pid):
        dtype, key, count = _storage(pid)
        if key not in storages:
            raw = read_member(archive, f"{folder}data/{key}", budget)
            storages[key] = _values(raw, dtype, count, order)
        return Built(_of_type(storages[key], dtype, key))

    pickle = io.BytesIO(read_member(archive, pickled[0], budget))
    return flatten(_load(pickle, storage, budget), budget)


def read_legacy(data: bytes) -> dict:
    """Return {name: array} of a file in the layout of PyTorch before 1.6."""
    file, budget = io.BytesIO(data), Budget(len(data))
    magic, version, system = (loads(file, {}) for _ in range(3))
    if magic != MAGIC or version != 1001 or not isinstance(system, dict):
        raise MinicnnError(f"a PyTorch file of the unknown version {str(version)[:20]}")
    order = "little" if system.get("little_endian", True) else "big"
    wanted = {}

    def storage(pid):
        dtype, key, count = _storage(pid)
        slot = wanted.setdefault(key, (dtype, count, Built()))
        if slot[:2] != (dtype, count):
            raise MinicnnError(f"the storage {key} has two types")
        if len(pid) > 5 and pid[5] is not None:
            raise MinicnnError(f"the storage {key} is a view of another, as before PyTorch 0.4")
        return slot[2]

    tensors = []
    tree = _load(file, storage, budget, tensors)
    keys = loads(file, {})
    for key in keys if isinstance(keys, list) else ():
        if key not in wanted:
            raise MinicnnError(f"the storage {str(key)[:60]} belongs to no tensor")
        dtype, count, slot = wanted[key]
        size = int.from_bytes(file.read(8), order)
        if size != count:
            raise MinicnnError(f"the storage {key} has {size} values, its tensors want {count}")
        slot.value = _values(file.read(size * _itemsize(dtype)), dtype, count, order)
    for tensor in tensors:
        tensor.cut(budget)
    return flatten(tree, budget)


def _load(file, storage, budget, later=None):
    """Run the pickle of a dictionary; with a list `later`, tensors are put there to be cut."""

    def tensor(base, offset, shape, stride, *_):
        view = _View(base, offset, shape, stride)
        if later is None:
            view.cut(budget)
        else:
            later.append(view)
        return view

    def typed_tensor(base, offset, shape, stride, grad, hooks, dtype, *_):
        raise MinicnnError(f"a tensor of the type {dtype}, which is not read")

    calls = {
        **numpy_calls(budget),
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_tensor_v3"): typed_tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
        ("torch", "Size"): lambda sizes=(): sizes,
        ("collections", "OrderedDict"): lambda *_: {},
    }
    return loads(file, calls, storage, ADVICE)


class _View(Built):
    """A tensor: the part of a storage that its offset, shape and strides name."""

    def __init__(self, base, offset, shape, stride):
        super().__init__()
        sizes = (offset, *shape, *stride)
        if len(shape) != len(stride) or not all(type(v) is int and v >= 0 for v in sizes):
            raise MinicnnError("a tensor whose shape and strides are no sizes")
        if not isinstance(base, Built) or isinstance(base, _View) or len(shape) > 8:
            raise MinicnnError("a tensor without a storage")
        self.base, self.offset, self.shape, self.stride = base, offset, shape, stride

    def cut(self, budget):
        """Copy the values out of the storage, which must be there."""
        values = self.base.value
        if values is None:
            raise MinicnnError("a storage is missing")
        count = budget.take(self.shape, values.itemsize)
        steps = zip(self.shape, self.stride, strict=True)
        end = self.offset + 1 + sum((size - 1) * step for size, step in steps)
        if count and end > values.size:
            raise MinicnnError(f"a tensor {self.shape} reaches beyond its storage")
        strides = [step * values.itemsize for step in self.stride]
        view = values[self.offset :] if count else values[:0]
        strided = np.lib.stride_tricks.as_strided
        # C order for what NumPy hands on; copies, since storages may be shared and read-only
        self.value = (
            strided(view, self.shape, strides, writeable=False).copy()
            if count
            else np.zeros(self.shape, values.dtype)
        )
        self.base = None


def _storage(pid):
    """Return (dtype, key, number of values) of a persistent id."""
    if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
        raise MinicnnError(f"the pickle holds the code of {str(pid[1])[:60]}; {ADVICE}")
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise MinicnnError("the pickle refers to something that is no storage")
    kind, key, count = pid[1], pid[2], pid[4]
    name = kind.name.removesuffix("Storage") if isinstance(kind, Global) else ""
    if name not in STORAGES:
        raise MinicnnError(f"a storage of the type {str(kind)[:60]}, which is not read")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise MinicnnError("a storage without a name and a size")
    return STORAGES[name], key, count


def _itemsize(dtype):
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def _values(raw, dtype, count, order):
    """Return the values of a storage, flat and in the byte order of this machine."""
    if len(raw) != count * _itemsize(dtype):
        raise MinicnnError(f"{len(raw)} bytes in a storage of {count} values")
    stored = np.dtype("u2" if dtype == BFLOAT16 else dtype).newbyteorder(order[0])
    values = np.frombuffer(raw, stored)
    values = values.astype(stored.newbyteorder("="), copy=False)
    return widen_bfloat16(values) if dtype == BFLOAT16 else values


def _of_type(values, dtype, key):
    wanted = np.dtype("f4" if dtype == BFLOAT16 else dtype)
    if values.dtype != wanted:
        raise MinicnnError(f"the storage {key} has two types")
    return values


def is_zip(names) -> bool:
    """Tell from the names of its members whether a zip archive is a file of `torch.save`."""
    return any(name.rpartition("/")[2] == "data.pkl" for name in names)
