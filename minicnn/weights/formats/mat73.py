"""MATLAB files of version 7.3: HDF5 in which cells and structs point at their parts.

Values become what `mat5` makes of them: arrays with MATLAB's axes (h5py shows them reversed),
text, lists, dictionaries. References are followed inside the file alone, to a depth that a circle
comes to soon.

Source: the files themselves; the attributes MATLAB_class, MATLAB_empty and MATLAB_int_decode.
"""

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.hdf5_reading import OBJECT, is_plain
from minicnn.storage.limits import MAX_DEPTH

INNER = ("#refs#", "#subsystem#")
NUMBERS = ("double", "single", "logical", "int", "uint")


def is_mat73(top: dict) -> bool:
    """Tell from the members of a file whether it comes from MATLAB: they say of which class."""
    return any("MATLAB_class" in top[name].attrs for name in top if name not in INNER)


def read_tree(source, top: dict) -> dict:
    """Return {name of a variable: value} of an open file with the members `top`."""
    return {
        name: _value(source, member, MAX_DEPTH) for name, member in top.items() if name not in INNER
    }


def _value(source, member, depth):
    source.budget.step(OBJECT)
    if depth < 0:
        raise MinicnnError(f"cells that are nested too deeply, or in a circle, at {member.name}")
    if isinstance(member, h5py.Group):
        return _struct(source, member, depth)
    kind = str(source.attribute(member, "MATLAB_class", ""))
    if source.attribute(member, "MATLAB_empty", 0):
        return [] if kind in ("cell", "struct") else "" if kind == "char" else np.zeros((0, 0))
    if h5py.check_ref_dtype(member.dtype) is h5py.Reference:
        return [_value(source, part, depth - 1) for part in _parts(source, member)]
    if not is_plain(member):
        return None
    array = source.values(member).T
    if kind == "char":
        return "".join(map(chr, array.ravel().tolist())) if array.size < 10_000 else ""
    return array if not kind or kind.startswith(NUMBERS) else None


def _parts(source, member):
    """Yield what the references in a data set point at, in MATLAB's order."""
    source.check(member)
    for reference in np.ravel(member[()]):
        if not reference:
            raise MinicnnError(f"{member.name} has an empty reference")
        yield source.file[reference]


def _struct(source, group, depth):
    """A dictionary; a list of them where every field has a reference for each."""
    fields = {name: _value(source, member, depth - 1) for name, member in source.members(group)}
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
