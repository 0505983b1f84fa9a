"""MATLAB files of version 7.3: HDF5 in which cells and structs point at their parts.

Values become what `mat5` makes of them: arrays with MATLAB's axes (h5py shows them reversed),
text, lists, dictionaries. References are followed inside the file alone, to a depth that a circle
comes to soon.

Source: the files themselves; the attributes MATLAB_class, MATLAB_empty and MATLAB_int_decode.
"""

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening
from minicnn.storage.limits import MAX_DEPTH
from minicnn.weights.formats import h5

INNER = ("#refs#", "#subsystem#")
NUMBERS = ("double", "single", "logical", "int", "uint")


def is_mat73(file) -> bool:
    """Tell whether an HDF5 file comes from MATLAB: its objects say of which class they are."""
    return any("MATLAB_class" in file[name].attrs for name in _plain_names(file))


def read_tree(file, budget) -> dict:
    """Return {name of a variable: value} of an open HDF5 file."""
    return {
        name: _value(file, member, budget, MAX_DEPTH)
        for name, member in h5.members(file, budget)
        if name not in INNER
    }


def _plain_names(file):
    for name in file:
        if name not in INNER and isinstance(file.get(name, getlink=True), h5py.HardLink):
            yield name


def _value(file, member, budget, depth):
    budget.count()
    if depth < 0:
        raise MinicnnError(f"cells that are nested too deeply, or in a circle, at {member.name}")
    if isinstance(member, h5py.Group):
        return _struct(file, member, budget, depth)
    kind = hdf5_screening.attribute(member.attrs, "MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if hdf5_screening.attribute(member.attrs, "MATLAB_empty", 0):
        return [] if kind in ("cell", "struct") else "" if kind == "char" else np.zeros((0, 0))
    if h5py.check_ref_dtype(member.dtype) is h5py.Reference:
        return [_value(file, at, budget, depth - 1) for at in _targets(file, member, budget)]
    if member.dtype.kind not in "fiub":
        return None
    array = h5.values(member, budget).T
    if kind == "char":
        return "".join(map(chr, array.ravel().tolist())) if array.size < 10_000 else ""
    return array if not kind or kind.startswith(NUMBERS) else None


def _targets(file, member, budget):
    """Yield what the references in a data set point at, in MATLAB's order."""
    budget.take(member.shape, 16)
    for reference in np.asarray(member[()]).ravel():
        if not reference:
            raise MinicnnError(f"{member.name} has an empty reference")
        yield file[reference]


def _struct(file, group, budget, depth):
    """A dictionary; a list of them where every field has a reference for each."""
    fields = {
        name: _value(file, member, budget, depth - 1) for name, member in h5.members(group, budget)
    }
    lists = [
        name
        for name, value in fields.items()
        if isinstance(value, list) and "MATLAB_class" not in group[name].attrs
    ]
    if not lists or len(lists) < len(fields):
        return fields
    sizes = {len(fields[name]) for name in lists}
    if len(sizes) > 1:
        raise MinicnnError(f"{group.name} has fields of different lengths")
    return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
