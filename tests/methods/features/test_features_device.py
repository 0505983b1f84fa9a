"""A scan where arrays are CuPy's, played by `pretended_cupy`, finds what the CPU finds."""

import numpy as np
import pretended_cupy
import pytest
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler
from features_testing import LAYERS, small_network, write_set
from pretended_cupy import COPIES, wrapped

from minicnn import backend, cli
from minicnn.data.picture_set import PictureSet
from minicnn.engine import picture_walk
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.methods.features import scan, strongest


@pytest.fixture
def device(monkeypatch):
    machine = HostMachine()
    machine.xp = pretended_cupy.install(monkeypatch)
    put = {"cuda": wrapped, "cpu": backend.to_host}
    monkeypatch.setattr(picture_walk, "to_device", lambda x, name: put[name](x))
    monkeypatch.setattr(picture_walk, "DEVICE_THREADS", 1)  # the shim has one of each index
    monkeypatch.setattr(picture_walk, "resolve_device", lambda name: name)
    monkeypatch.setattr(picture_walk, "Cuda", lambda precision: machine)
    monkeypatch.setattr(picture_walk.launch, "release", lambda: None)
    return machine


def scanned(path, device):
    net, pictures = small_network(), PictureSet(path)
    settings = scan.settings_for(net, pictures, LAYERS, top=4)
    features = scan.begin(net, settings)
    scan.scan(features, net, pictures, device=device)
    return features


@needs_compiler
def test_the_same_places_as_on_the_cpu(device, tmp_path, rng):
    path = write_set(tmp_path / "set.h5", rng, count=30, broken=(3, 17))
    here, there = (scanned(path, name) for name in ("cpu", "cuda"))
    assert there.skipped.keys() == here.skipped.keys() == {3, 17}
    assert there.pools.keys() == here.pools.keys()
    for name, records in here.layers.items():
        found = there.layers[name]
        np.testing.assert_allclose(found.value, records.value, rtol=1e-4, atol=1e-6)
        for key in ("picture", "row", "column", "fired", "histogram"):
            np.testing.assert_array_equal(getattr(found, key), getattr(records, key))
        np.testing.assert_allclose(found.positive, records.positive, atol=2)
    shapes = {len(shape) for shape in COPIES}
    assert shapes <= {0, 1, 2}, "no map is copied to the host"


def test_ties_and_thresholds_of_a_sight(device, rng):
    maps = rng.integers(0, 3, (4, 5, 3, 4)).astype(np.float32)
    maps[1, 2] = 0
    last = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    least = np.array([0, 1, 2, 3, 0], np.float32)
    expected = strongest.sight(maps, least)
    for layout in (maps, last):
        for one, other in zip(strongest.sight(wrapped(layout), least), expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert getattr(one, "dtype", int) == getattr(other, "dtype", int)


@needs_compiler
def test_memory_that_is_short_is_answered_by_strips(device, tmp_path, rng, monkeypatch):
    product, seen = device._product, []

    def short(*args, **options):
        seen.append(strips.strip_bytes())
        if strips.strip_bytes() > strips.SMALLEST:
            raise MemoryError
        return product(*args, **options)

    monkeypatch.setattr(device, "products", lambda buffers: short)
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
