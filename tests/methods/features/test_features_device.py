"""A scan on devices that `stand_in` plays finds what the CPU finds, on one or on several."""

import numpy as np
import pytest
from features_testing import LAYERS, small_network, write_set
from played_gpu import gpus as gpus

from minicnn import backend, cli
from minicnn.data.picture_set import PictureSet
from minicnn.engine.gpu.cuda import Cuda
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.methods.features import scan, strongest


def scanned(path, device):
    net, pictures = small_network(), PictureSet(path)
    settings = scan.settings_for(net, pictures, LAYERS, top=4)
    features = scan.begin(net, settings)
    scan.scan(features, net, pictures, device=device)
    return features


def test_the_same_places_as_on_the_cpu(gpus, tmp_path, rng):
    path = write_set(tmp_path / "set.h5", rng, count=30, broken=(3, 17))
    here, there = (scanned(path, name) for name in ("cpu", "cuda:1"))
    assert there.skipped.keys() == here.skipped.keys() == {3, 17}
    assert there.pools.keys() == here.pools.keys()
    for name, records in here.layers.items():
        found = there.layers[name]
        np.testing.assert_allclose(found.value, records.value, rtol=1e-4, atol=1e-6)
        for key in ("picture", "row", "column", "fired", "histogram"):
            np.testing.assert_array_equal(getattr(found, key), getattr(records, key))
        np.testing.assert_allclose(found.positive, records.positive, atol=2)
    shapes = {len(shape) for shape in gpus.COPIES}
    assert shapes <= {0, 1, 2}, "no map is copied to the host"


def test_several_devices_find_the_same_numbers_as_one(gpus, tmp_path, rng):
    path = write_set(tmp_path / "set.h5", rng, count=40)
    found = []
    for device in ("cuda:1", "cuda,cuda:1"):
        gpus.LAUNCHED.clear()
        found.append(scanned(path, device).layers)
        assert {number for _, number in gpus.LAUNCHED} == ({1} if device == "cuda:1" else {0, 1})
    for name, one in found[0].items():
        for key, numbers in vars(one).items():
            np.testing.assert_array_equal(numbers, getattr(found[1][name], key))


def test_ties_and_thresholds_of_a_sight(gpus, rng):
    maps = rng.integers(0, 3, (4, 5, 3, 4)).astype(np.float32)
    maps[1, 2] = 0
    last = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    least = np.array([0, 1, 2, 3, 0], np.float32)
    expected = strongest.sight(maps, least)
    for layout in (maps, last):
        for one, other in zip(
            strongest.sight(backend.to_device(layout, "cuda"), least), expected, strict=True
        ):
            np.testing.assert_array_equal(one, other)
            assert getattr(one, "dtype", int) == getattr(other, "dtype", int)


def test_memory_that_is_short_is_answered_by_strips(gpus, tmp_path, rng, monkeypatch):
    products, seen = Cuda.products, []

    def short(machine, buffers):
        product = products(machine, buffers)

        def first_too_large(*args, **options):
            seen.append(strips.strip_bytes())
            if strips.strip_bytes() > strips.SMALLEST:
                raise gpus.cuda.OutOfMemoryError
            return product(*args, **options)

        return first_too_large

    monkeypatch.setattr(Cuda, "products", short)
    scanned(write_set(tmp_path / "set.h5", rng, count=4), "cuda")
    assert strips.SMALLEST in seen
    assert strips.strip_bytes() == strips.LARGEST


def test_what_features_refuses(tmp_path, rng, capsys):
    path = str(write_set(tmp_path / "set.h5", rng, count=4))
    command = ["features", path, "-o", str(tmp_path / "out"), "--device", "cuda"]
    assert cli.main([*command, "--scheduler", "tcp://nowhere:1"]) == 1
    assert "a cluster scans on its processors" in capsys.readouterr().err
    try:
        backend.resolve_device("cuda")
    except MinicnnError as error:
        reason = str(error)
    else:
        pytest.skip("there is a GPU")
    assert cli.main(command) == 1
    assert capsys.readouterr().err == f"minicnn: error: {reason}\n"
