"""Labelled pictures: a folder of class folders, or one HDF5 file.

Folder          DATA/train/CLASS/*.jpg and DATA/val/CLASS/*.jpg; any picture format. A folder
                without train/ and val/ serves as the split "all".

HDF5 file       one group a split (train, val), each with
                    bytes   (B,) uint8      the encoded pictures (JPEG, PNG), one after another
                    offset  (N + 1,) int64  picture i is bytes[offset[i] : offset[i + 1]]
                    label   (N,) int        its class, 0 .. classes - 1
                root attribute class_names  (classes,) strings
                `tools/pack_pictures.py` writes it.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicnn.data import packed
from minicnn.errors import MinicnnError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}


@dataclass
class Dataset:
    """One split: labels, class names, and a way to the encoded bytes of each picture.

    Attributes
    ----------
    labels : int array (N,)
    class_names : list of str
    read : callable
        read(i) returns the encoded bytes of picture i.
    name : str
        Where it comes from, for messages.
    files : list of Path, optional
        Where picture i is a file.
    """

    labels: np.ndarray
    class_names: list
    read: object
    name: str
    files: list | None = None

    def __len__(self):
        return len(self.labels)

    def picture(self, i):
        """Return picture `i` as uint8 (H, W, 3), RGB.

        Raises
        ------
        MinicnnError
            If its bytes are no readable picture.
        """
        from PIL import Image, UnidentifiedImageError

        which = f"{self.name}: picture {i}" if self.files is None else str(self.files[i])
        try:
            with Image.open(io.BytesIO(self.read(i))) as image:
                return np.asarray(image.convert("RGB"))
        except UnidentifiedImageError:
            raise MinicnnError(f"{which} cannot be read (no picture)") from None
        except Exception as error:  # decoders of damaged files raise almost anything
            raise MinicnnError(f"{which} cannot be read ({error})") from None

    def pictures(self, size, *, progress=iter):
        """Return all as uint8 (N, size, size, 3): shorter side to `size`, the centre cut out."""
        out = np.empty((len(self), size, size, 3), np.uint8)
        for i in progress(range(len(self))):
            out[i] = centre(self.picture(i), size)
        return out

    def fingerprint(self):
        """Return a hash of the labels and of the bytes of every picture."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        for i in range(len(self)):
            digest.update(self.read(i))
        return digest.hexdigest()


def centre(rgb, size):
    """Return the centre (size, size, 3) of a picture scaled to that shorter side."""
    from PIL import Image

    H, W = rgb.shape[:2]
    if min(H, W) != size:
        scale = size / min(H, W)
        box = max(size, round(W * scale)), max(size, round(H * scale))
        rgb = np.asarray(Image.fromarray(rgb).resize(box, Image.Resampling.BICUBIC))
        H, W = rgb.shape[:2]
    top, left = (H - size) // 2, (W - size) // 2
    return rgb[top : top + size, left : left + size]


def open_dataset(path, split):
    """Open one split of the data at `path`, a folder or an HDF5 file.

    Raises
    ------
    MinicnnError
        If there is nothing there, the layout is another one, or the split is missing or empty.
    """
    path = Path(path)
    if path.is_dir():
        data = _open_folder(path, split)
    elif path.is_file():
        data = Dataset(*packed.read_split(path, split), f"{path}:{split}")
    else:
        raise MinicnnError(f"no data set at {path}; give a folder of class folders or an HDF5 file")
    if not len(data):
        raise MinicnnError(f"the data set {data.name} holds no pictures")
    return data


def _open_folder(path, split):
    root = path / split if (path / split).is_dir() else path
    if root is path and (split != "all" or (path / "train").is_dir()):
        raise MinicnnError(f"{path} has no folder {split!r}; put class folders into {path / split}")
    classes = sorted(p.name for p in root.iterdir() if p.is_dir())
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(p for p in (root / name).iterdir() if p.suffix.lower() in SUFFIXES)
        files += found
        labels += [label] * len(found)
    return Dataset(
        np.array(labels, dtype=np.int64), classes, lambda i: files[i].read_bytes(), str(root), files
    )
