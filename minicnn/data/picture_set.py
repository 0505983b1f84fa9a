"""Numbered pictures to scan: below a folder, in tar files, or one split of an HDF5 file."""

import hashlib
import os
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from minicnn.data import packed, tars
from minicnn.data.datasets import Dataset, open_dataset, spread
from minicnn.data.walk import left_out, pictures_below
from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import centre, fit, preprocess

BATCH = 16


class PictureSet:
    """Pictures by number, the same ones whenever the set is opened again.

    Parameters
    ----------
    path : path
        A folder, which is searched with all its folders (pictures in the order of their relative
        names), tar files (see `tars`; those below a folder without pictures too), or an HDF5
        file in the layout of `datasets`.
    split : str, optional
        A folder in the folder, or a split of the file. By default the whole folder; the split
        "val" of a file, or the only one it has.
    limit : int, optional
        At most so many, spread evenly over all.

    Attributes
    ----------
    left_out : str
        What else lies in the folder, in a line; "" if nothing.

    Raises
    ------
    MinicnnError
        If there is nothing there, the split is missing, or it holds no pictures.
    """

    def __init__(self, path, split=None, limit=None):
        self.path, self.split = Path(path), split
        self._names = self._sizes = None
        if self.path.is_dir():
            self._names, self._data, self._sizes = _open_folder(self.path, split)
        elif self.path.suffix == ".tar":
            self._names, self._data, self._sizes = _open_tars(str(path), tars.shards(str(path)))
        else:
            self.split = split or _only_split(self.path)
            self._data = open_dataset(self.path, self.split)
        self.left_out = self._data.left_out
        if not len(self._data):
            raise MinicnnError(
                f"no pictures in {str(path)!r}; give a folder or a data set with some"
                + (f" ({self.left_out})" if self.left_out else "")
            )
        self._chosen = spread(len(self._data), limit).tolist()

    def __len__(self):
        return len(self._chosen)

    def name(self, i):
        """Return what picture `i` is called: its path in the folder, or split, number and class."""
        at = self._chosen[i]
        if self._names is not None:
            return self._names[at]
        label, classes = int(self._data.labels[at]), self._data.class_names
        known = 0 <= label < len(classes)
        return f"{self.split}/{at} {classes[label] if known else label}"

    def picture(self, i, size=None):
        """Return picture `i`, uint8 (H, W, 3), or the centre (size, size, 3) of it.

        Raises
        ------
        MinicnnError
            If it cannot be read.
        """
        rgb = self._data.picture(self._chosen[i])
        return rgb if size is None else centre(rgb, size)

    def batches(self, preprocessing, size):
        """Yield all as float32 (N, 3, H, W), neighbours of one size together.

        A picture whose long side is longer than `size` is made smaller.
        """
        pictures = (_at_most(self.picture(i), size) for i in range(len(self)))
        for _, same in groupby(pictures, key=lambda rgb: rgb.shape):
            while batch := list(islice(same, BATCH)):
                yield np.concatenate([preprocess(rgb, preprocessing) for rgb in batch])

    def fingerprint(self):
        """Return a hash that changes when pictures come, go or are replaced by larger ones."""
        if self._names is None:
            return self._data.thinned(len(self)).fingerprint()
        digest = hashlib.sha256()
        for at in self._chosen:
            digest.update(os.fsencode(self._names[at]) + f" {self._sizes(at)}\n".encode())
        return digest.hexdigest()


def _open_folder(path, split):
    """Return (names, `Dataset` without labels, bytes of picture i) of all below a folder."""
    root = path / (split or "")
    if not root.is_dir():
        found = ", ".join(sorted(p.name for p in path.iterdir() if p.is_dir())) or "none"
        raise MinicnnError(f"{str(path)!r} has no folder {split!r}; its folders: {found}")
    names, others = pictures_below(root)
    if not names and others[".tar"]:
        return _open_tars(root, sorted(root.rglob("*.tar")))
    files, labels = [root / name for name in names], np.zeros(len(names), np.int64)
    data = Dataset(labels, [], None, str(root), files, left_out(root, others))
    return names, data, lambda i: files[i].stat().st_size


def _open_tars(path, files):
    """Return the same of tar files; a picture is called by that of its file and its own name."""
    members, others = tars.pictures_in(files)
    names = [f"{Path(member.file).name}/{member.name}" for member in members]
    labels, told = np.zeros(len(members), np.int64), left_out(path, others)
    data = Dataset(labels, [], lambda i: members[i].read(), str(path), None, told)
    return names, data, lambda i: members[i].size


def _at_most(rgb, size):
    return fit(rgb, size) if max(rgb.shape[:2]) > size else rgb


def _only_split(path):
    """Return the split of an HDF5 file that is meant where none is named."""
    if not path.is_file():
        raise MinicnnError(
            f"no data set at {str(path)!r}; give a folder, tar files or an HDF5 file"
        )
    found = packed.splits(path)
    return "val" if "val" in found or len(found) != 1 else found[0]
