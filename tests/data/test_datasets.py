import h5py
import numpy as np
import pytest
from picture_files import write_folder, write_hdf5
from PIL import Image

from minicnn.data.datasets import open_dataset
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import centre


@pytest.mark.smoke
def test_folder(tmp_path, rng):
    root = write_folder(tmp_path, rng, {"train": {"b": 2, "a": 1}, "val": {"a": 1, "b": 1}})
    (root / "train" / "a" / "notes.txt").write_text("no picture")
    data = open_dataset(root, "train")
    assert data.class_names == ["a", "b"]
    assert data.labels.tolist() == [0, 1, 1]
    assert data.picture(0).shape == (8, 10, 3)
    assert data.pictures(6).shape == (3, 6, 6, 3)


@pytest.mark.smoke
def test_hdf5(tmp_path, rng):
    path = write_hdf5(tmp_path / "data.h5", rng, {"train": 3, "val": 2})
    data = open_dataset(path, "train")
    assert data.class_names == ["cat", "dog"]
    assert data.labels.tolist() == [0, 1, 0]
    assert np.array_equal(data.picture(2), open_dataset(path, "train").picture(2))
    assert open_dataset(path, "val").fingerprint() != data.fingerprint()


def test_a_limited_set_is_another_set(tmp_path, rng):
    """So a scan of the first few is not taken for one of as many that are spread."""
    path = write_hdf5(tmp_path / "data.h5", rng, {"val": 5})
    whole, few = PictureSet(path), PictureSet(path, limit=3)
    assert [few.name(i) for i in range(3)] == ["val/0 cat", "val/2 cat", "val/4 cat"]
    assert whole.fingerprint() == open_dataset(path, "val").fingerprint() != few.fingerprint()
    assert few.fingerprint() == open_dataset(path, "val").thinned(3).fingerprint()


def test_pictures_keep_their_order_and_colours(tmp_path):
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (9, 5), colour).save(tmp_path / "train" / name / "x.png")
    pictures = open_dataset(tmp_path, "train").pictures(4)
    assert pictures[0].reshape(-1, 3).tolist() == [[255, 0, 0]] * 16
    assert pictures[1].reshape(-1, 3).tolist() == [[0, 0, 255]] * 16


def test_centre_cuts_the_middle():
    rgb = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    assert np.array_equal(centre(rgb, 4), rgb[:, 2:6])


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root, rng: root / "absent", "no data set"),
        (lambda root, rng: write_folder(root, rng, {"val": {"a": 1}}), "no folder 'train'"),
        (lambda root, rng: write_folder(root, rng, {"train": {"a": 0}}), "holds no pictures"),
        (lambda root, rng: write_hdf5(root / "d.h5", rng, {"val": 1}), "no split 'train'"),
    ],
)
def test_bad_data_sets(tmp_path, rng, make, message):
    with pytest.raises(MinicnnError, match=message):
        open_dataset(make(tmp_path, rng), "train")


def test_damaged_files(tmp_path, rng):
    path = tmp_path / "d.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(MinicnnError, match="is not an HDF5 file"):
        open_dataset(path, "train")
    path = write_hdf5(tmp_path / "e.h5", rng, {"train": 2})
    with h5py.File(path, "r+") as file:
        file["train/offset"][1] = 10**9
    with pytest.raises(MinicnnError, match="offsets"):
        open_dataset(path, "train")
    path = write_hdf5(tmp_path / "f.h5", rng, {"train": 2})
    with h5py.File(path, "r+") as file:
        file["train/bytes"][:50] = 0
    with pytest.raises(MinicnnError, match=r"cannot read .*f\.h5:train, picture 0'"):
        open_dataset(path, "train").picture(0)


def test_a_real_pack_becomes_a_data_set(tmp_path, shared_data):
    import subprocess
    import sys
    from pathlib import Path

    tool = Path(__file__).parents[2] / "tools" / "pack_pictures.py"
    source = shared_data / "imagenet" / "imagenet_sample1000_256_q90.h5"
    target = tmp_path / "packed.h5"
    subprocess.run([sys.executable, tool, source, target], check=True, capture_output=True)
    data = open_dataset(target, "val")
    assert len(data) == len(data.class_names) == 1000
    assert data.picture(999).shape == (256, 256, 3)
