"""Numbered pictures to scan: all those below a folder, or one split of an HDF5 file."""

import copy
import hashlib
import os
from pathlib import Path

from minicnn.data import packed
from minicnn.data.datasets import SUFFIXES, centre, open_dataset
from minicnn.errors import MinicnnError
from minicnn.pictures.reader import load_image


class PictureSet:
    """Pictures by number, the same ones whenever the set is opened again.

    Parameters
    ----------
    path : path
        A folder, which is searched with all its folders (pictures in the order of their relative
        names), or an HDF5 file in the layout of `datasets`.
    split : str, optional
        A folder in the folder, or a split of the file. By default the whole folder; the split
        "val" of a file, or the only one it has.
    limit : int, optional
        Take the first so many only.

    Raises
    ------
    MinicnnError
        If there is nothing there, the split is missing, or it holds no pictures.
    """

    def __init__(self, path, split=None, limit=None):
        self.path = Path(path)
        if self.path.is_dir():
            self.split = split
            self._open_folder(split)
        else:
            self.split = split or _only_split(self.path)
            self._data = open_dataset(self.path, self.split)
            self._count = len(self._data)
        if not self._count:
            raise MinicnnError(f"no pictures in {str(path)!r}; give a folder or a data set of some")
        self._count = min(self._count, limit or self._count)

    def __len__(self):
        return self._count

    def name(self, i):
        """Return what picture `i` is called: its path in the folder, or split, number and class."""
        if self._data is None:
            return self._files[i]
        label, classes = int(self._data.labels[i]), self._data.class_names
        known = 0 <= label < len(classes)
        return f"{self.split}/{i} {classes[label] if known else label}"

    def picture(self, i, size=None):
        """Return picture `i`, uint8 (H, W, 3), or the centre (size, size, 3) of it.

        Raises
        ------
        MinicnnError
            If it cannot be read.
        """
        if self._data is None:
            rgb = load_image(self._root / self._files[i]).pixels
        else:
            rgb = self._data.picture(i)
        return rgb if size is None else centre(rgb, size)

    def reopened(self):
        """Return the same pictures with files of their own, for another process.

        Two processes that read one open file move its place for each other.
        """
        twin = copy.copy(self)
        if self._data is not None:
            twin._data = open_dataset(self.path, self.split)
        return twin

    def fingerprint(self):
        """Return a hash that changes when pictures come, go or are replaced by larger ones."""
        if self._data is not None:
            return self._data.fingerprint()
        digest = hashlib.sha256()
        for name in self._files[: self._count]:
            digest.update(os.fsencode(name))  # of any bytes
            digest.update(f" {(self._root / name).stat().st_size}\n".encode())
        return digest.hexdigest()

    def _open_folder(self, split):
        self._data, self._root = None, self.path / (split or "")
        if not self._root.is_dir():
            found = ", ".join(sorted(p.name for p in self.path.iterdir() if p.is_dir())) or "none"
            raise MinicnnError(f"{str(self.path)!r} has no folder {split!r}; its folders: {found}")
        self._files = sorted(
            found.relative_to(self._root).as_posix()
            for found in self._root.rglob("*")
            if found.suffix.lower() in SUFFIXES and found.is_file()
        )
        self._count = len(self._files)


def _only_split(path):
    """Return the split of an HDF5 file that is meant where none is named."""
    if not path.is_file():
        raise MinicnnError(f"no data set at {str(path)!r}; give a folder or an HDF5 file")
    found = packed.splits(path)
    return "val" if "val" in found or len(found) != 1 else found[0]
