"""Pictures of a folder or of a data set as a network's inputs, a batch at a time."""

from itertools import groupby, islice
from pathlib import Path

import numpy as np

from minicnn.data.datasets import SUFFIXES, open_dataset
from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import fit, preprocess
from minicnn.pictures.reader import load_image

BATCH = 16


def picture_batches(path, net, *, split="val", limit=None, size=256):
    """Yield preprocessed batches, float32 (N, 3, H, W); neighbours of one size go together.

    Parameters
    ----------
    path : path
        A folder, searched with its folders for pictures, or an HDF5 file (see `datasets`).
    net : Network
        Whose preprocessing is wanted.
    split : str
        Of an HDF5 file.
    limit : int, optional
        At most so many pictures, spread evenly over all.
    size : int
        A picture whose long side is longer is made smaller.

    Raises
    ------
    MinicnnError
        If there are no pictures, or one cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        total, read = len(files), lambda i: load_image(files[i]).pixels
    else:
        data = open_dataset(path, split)
        total, read = len(data), data.picture
    if not total:
        raise MinicnnError(f"no pictures in {str(path)!r}; give a folder or a data set with some")
    chosen = np.unique(np.linspace(0, total - 1, min(limit or total, total)).round().astype(int))
    pictures = (_at_most(read(i), size) for i in chosen)
    for _, same in groupby(pictures, key=lambda rgb: rgb.shape):
        while batch := list(islice(same, BATCH)):
            yield np.concatenate([preprocess(rgb, net.attrs["preprocess"]) for rgb in batch])


def _at_most(rgb, size):
    return fit(rgb, size) if max(rgb.shape[:2]) > size else rgb
