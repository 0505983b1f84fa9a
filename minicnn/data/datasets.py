"""Labelled pictures: a folder of class folders, or one HDF5 file.

Folder          DATA/train/CLASS/*.jpg and DATA/val/CLASS/*.jpg; any picture format, also in
                folders further below. A folder without train/ and val/ serves as the split "all".

HDF5 file       one group a split (train, val), each with
                    bytes   (B,) uint8      the encoded pictures (JPEG, PNG), one after another
                    offset  (N + 1,) int64  picture i is bytes[offset[i] : offset[i + 1]]
                    label   (N,) int        its class, 0 .. classes - 1
                root attribute class_names  (classes,) strings
                `tools/pack_pictures.py` writes it, out of Tiny ImageNet, CIFAR and MNIST too.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minicnn.data import packed
from minicnn.data.foreign import refuse_foreign
from minicnn.data.walk import left_out, pictures_below
from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import centre
from minicnn.pictures.reader import load_image


@dataclass
class Dataset:
    """One split: labels, class names, and a way to each picture.

    Attributes
    ----------
    labels : int array (N,)
    class_names : list of str
    read : callable, read(i) -> bytes of the encoded picture i; None where all are files
    name : str
        Where it comes from, for messages.
    files : list of Path, optional
    left_out : str
        What else was found there, in a line; "" if nothing.
    """

    labels: np.ndarray
    class_names: list
    read: object
    name: str
    files: list | None = None
    left_out: str = ""

    def __len__(self):
        return len(self.labels)

    def picture(self, i):
        """Return picture `i` as uint8 (H, W, 3), RGB.

        Raises
        ------
        MinicnnError
            If its bytes are no readable picture.
        """
        if self.files is not None:
            return load_image(self.files[i]).pixels
        return load_image(f"{self.name}, picture {i}", encoded=self.read(i)).pixels

    def thinned(self, limit):
        """Return the set of at most `limit` of the pictures, spread evenly over all."""
        chosen = spread(len(self), limit)
        labels, files = self.labels[chosen], self.files and [self.files[i] for i in chosen]
        return replace(self, labels=labels, read=lambda i: self.read(chosen[i]), files=files)

    def labels_as_in(self, other):
        """Return the labels by the numbers that the classes have in another set.

        Raises
        ------
        MinicnnError
            If there is a class that it has not.
        """
        if self.class_names == other.class_names:
            return self.labels
        unknown = [name for name in self.class_names if name not in other.class_names]
        if unknown:
            raise MinicnnError(
                f"{self.name} has a class {unknown[0]!r} that {other.name} has not; give both the "
                "same"
            )
        return np.array([other.class_names.index(name) for name in self.class_names])[self.labels]

    def pictures(self, size):
        """Return all as uint8 (N, size, size, 3): shorter side to `size`, the centre cut out."""
        out = np.empty((len(self), size, size, 3), np.uint8)
        for i in range(len(self)):
            out[i] = centre(self.picture(i), size)
        return out

    def fingerprint(self):
        """Return a hash of the labels and of the bytes of every picture."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        for i in range(len(self)):
            digest.update(self.read(i) if self.files is None else self.files[i].read_bytes())
        return digest.hexdigest()


def spread(total, limit=None):
    """Return at most `limit` of the numbers below `total`, spread evenly: int array."""
    return np.unique(np.linspace(0, total - 1, min(limit or total, total)).round().astype(int))


def open_dataset(path, split):
    """Open one split of the data at `path`, a folder or an HDF5 file.

    Raises
    ------
    MinicnnError
        If there is nothing there, the layout is another one, or the split is missing or empty.
    """
    path = Path(path)
    if path.is_dir() or path.is_file():
        refuse_foreign(path)
    if path.is_dir():
        data = _open_folder(path, split)
    elif path.is_file():
        data = Dataset(*packed.read_split(path, split), f"{path}:{split}")
    else:
        raise MinicnnError(
            f"no data set at {path}; give a folder of class folders or an HDF5 file, or let "
            f"`minicnn data shapes -o {path}` draw one"
        )
    if not len(data):
        raise MinicnnError(f"the data set {data.name} holds no pictures")
    return data


def _open_folder(path, split):
    root = path / split if (path / split).is_dir() else path
    if root is path and (split != "all" or (path / "train").is_dir()):
        raise MinicnnError(f"{path} has no folder {split!r}; put class folders into {path / split}")
    found, others = pictures_below(root)
    names = [name for name in found if "/" in name]
    if len(names) < len(found):
        others["picture in no class folder"] = len(found) - len(names)
    labels = [name.partition("/")[0] for name in names]
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if names and (empty := set(classes).difference(labels)):
        raise MinicnnError(
            f"the class folder {str(root / min(empty))!r} holds no pictures; put some there, or "
            "take it away"
        )
    numbers = np.array([classes.index(label) for label in labels], np.int64)
    files = [root / name for name in names]
    return Dataset(numbers, classes, None, str(root), files, left_out(root, others))
