"""PyTorch files: `torch.save` of a state dict, without PyTorch.

    zip      (1.6 and later)  NAME/data.pkl        the pickle of the dictionary
                              NAME/data/KEY        the bytes of one storage
                              NAME/byteorder       "little" or "big"; little where missing
    legacy                    five pickles: a magic number, 1001, system information, the
                              dictionary, the keys of the storages; then for each key the number
                              of its values (int64) and their bytes

A tensor is a view of a storage: offset, shape and strides in values. The device that a storage was
on plays no part. bfloat16 becomes float32; codes of one byte become (code - zero) * scale, the two
for the whole tensor or along an axis; all else keeps its type.

Source: `torch/serialization.py` and `torch/_utils.py` of PyTorch 2.
"""

import io

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.weights.formats.numpy_pickles import allowed as numpy_calls
from minicnn.weights.formats.pickles import Built, Global, flatten, loads, shown
from minicnn.weights.formats.storages import KINDS, Storage, Tensor
from minicnn.weights.formats.zips import read_member

MAGIC = 0x1950A86A20F9469CFC6C
SIGNATURE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
ADVICE = (
    "only tensors are read. A whole pickled module cannot be read without running its code: where "
    "it was made, save the numbers alone with torch.save(net.state_dict(), 'weights.pth')"
)


def read_zip(archive, budget) -> dict:
    """Return {name: array} of a file in the zip layout."""
    pickled = [name for name in archive.namelist() if _is_pickle(name)]
    if len(pickled) != 1:
        raise MinicnnError("a zip archive with two of data.pkl; this is no file of torch.save")
    folder = pickled[0].removesuffix("data.pkl")
    order = "little"
    if f"{folder}byteorder" in archive.namelist():
        order = read_member(archive, f"{folder}byteorder", budget).decode()
    if order not in ("little", "big"):
        raise MinicnnError(f"the byte order {order[:20]!r}; little and big are known")
    content = _Content(io.BytesIO(read_member(archive, pickled[0], budget)), budget)
    for key, storage in content.storages.items():
        storage.fill(read_member(archive, f"{folder}data/{key}", budget), order)
    return content.arrays()


def read_legacy(data: bytes, budget) -> dict:
    """Return {name: array} of a file in the layout of PyTorch before 1.6."""
    file = io.BytesIO(data)
    magic, version, system = (loads(file, {}, budget) for _ in range(3))
    if magic != MAGIC or version != 1001 or not isinstance(system, dict):
        raise MinicnnError(f"a PyTorch file of an unknown version, {shown(version)}")
    order = "little" if system.get("little_endian", True) else "big"
    content, keys = _Content(file, budget), loads(file, {}, budget)
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in content.storages:
            raise MinicnnError(f"the storage {shown(key)} belongs to no tensor")
        storage = content.storages[key]
        size = int.from_bytes(file.read(8), order)
        if size != storage.count:
            raise MinicnnError(f"{size} values in a storage where tensors want {storage.count}")
        storage.fill(file.read(size * storage.itemsize), order)
    return content.arrays()


class _Content:
    """What the pickle of a dictionary holds: its tensors are cut when all storages are filled."""

    def __init__(self, file, budget):
        self.budget, self.storages, self.tensors = budget, {}, []
        calls = {
            **numpy_calls(budget),
            ("torch._utils", "_rebuild_tensor"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self.typed_tensor,
            ("torch._utils", "_rebuild_qtensor"): self.quantised,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
            ("torch", "Size"): lambda sizes=(): sizes,
        }
        self.tree = loads(file, calls, budget, self.storage, ADVICE)

    def arrays(self):
        for tensor in self.tensors:
            tensor.cut(self.budget)
        return flatten(self.tree, self.budget)

    def storage(self, pid):
        """Return the storage of a persistent id."""
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            raise MinicnnError(f"the pickle holds the code of {shown(pid[1])}; {ADVICE}")
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise MinicnnError("the pickle refers to something that is no storage")
        kind, key, count = pid[1], pid[2], pid[4]
        name = kind.name.removesuffix("Storage") if isinstance(kind, Global) else ""
        if name not in KINDS:
            raise MinicnnError(f"a storage of the type {shown(kind)}, which is not read")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise MinicnnError("a storage without a name and a size")
        if len(pid) > 5 and pid[5] is not None:
            raise MinicnnError(f"the storage {key} is a view of another, as before PyTorch 0.4")
        storage = self.storages.setdefault(key, Storage(KINDS[name], count))
        if (storage.kind, storage.count) != (KINDS[name], count):
            raise MinicnnError(f"the storage {key} has two types")
        return storage

    def tensor(self, base, offset, shape, stride, *_):
        self.tensors.append(Tensor(base, offset, shape, stride))
        return self.tensors[-1]

    def quantised(self, base, offset, shape, stride, scheme, *_):
        self.tensors.append(_Quantised(base, offset, shape, stride, scheme))
        return self.tensors[-1]

    def typed_tensor(self, base, offset, shape, stride, grad, hooks, dtype, *_):
        raise MinicnnError(f"a tensor of the type {shown(dtype)}, which is not read")


class _Quantised(Tensor):
    """Codes with (kind, scale, zero), numbers or, along an axis, tensors that were cut before."""

    def __init__(self, base, offset, shape, stride, scheme):
        super().__init__(base, offset, shape, stride)
        kind = shown(scheme[0]) if isinstance(scheme, tuple) and scheme else ""
        if kind not in ("torch.per_tensor_affine", "torch.per_channel_affine"):
            raise MinicnnError(f"codes with the scheme {kind}, which is not read")
        self.scheme = scheme[1:]

    def cut(self, budget):
        super().cut(budget)
        scale, zero = (part.value if isinstance(part, Built) else part for part in self.scheme[:2])
        if len(self.scheme) > 2:
            axis = self.scheme[2]
            shape = [1] * len(self.shape)
            shape[axis] = self.shape[axis]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        budget.array(self.shape, 12)  # what is worked out, and the result
        self.value = ((self.value - np.float64(zero)) * scale).astype(np.float32)


def is_zip(names) -> bool:
    """Tell from the names of its members whether a zip archive is a file of `torch.save`."""
    return any(map(_is_pickle, names))


def _is_pickle(name):
    return name.rpartition("/")[2] == "data.pkl"
