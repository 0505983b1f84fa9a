import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from features_testing import LAYERS, encoded, equal, small_network, write_set

from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.features import cluster as features_cluster
from minicnn.methods.features import scan
from minicnn.runs import dask_client

distributed = pytest.importorskip("distributed")

# what Dask warns of is not ours
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.h5"
    return PictureSet(write_set(path, np.random.default_rng(1), 60, broken=(4,)))


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


def begun(net, pictures):
    settings = scan.settings_for(net, pictures, LAYERS, top=4, group=4)
    return scan.begin(net, settings)


@pytest.mark.parametrize("killed", [1, 2])
def test_killed_workers_change_no_bit(net, pictures, cluster, killed):
    """Also where all are killed, and the network with them."""
    wanted = begun(net, pictures)
    scan.scan(wanted, net, pictures)
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2)
        processes = list(client.run(os.getpid).values())[:killed]
    told, saved = [], []

    def kill(done, total, skipped):
        told.append((done, total))
        if len(told) == 1:
            for process in processes:
                os.kill(process, signal.SIGKILL)

    found = features_cluster.scan(
        begun(net, pictures),
        net,
        cluster.scheduler_address,
        blocks_a_part=1,
        progress=kill,
        save=saved.append,
    )
    with distributed.Client(cluster) as client:
        assert not set(processes) & set(client.run(os.getpid).values())
    assert equal(found, wanted)
    assert told[-1] == (60, 60)
    assert saved[-1] is found


@pytest.mark.parametrize("named", [".", "set", "./../folder/set", "set.h5"])
def test_records_name_pictures_as_a_scan_on_this_machine_does(
    net, cluster, tmp_path, rng, monkeypatch, named
):
    home = tmp_path / "folder"
    (home / "set" / "a").mkdir(parents=True)
    (home / "set" / "a" / "1.png").write_bytes(encoded(rng))
    (home / "set" / "2.png").write_bytes(b"no picture")
    write_set(home / "set.h5", rng, 3, broken=(1,))
    monkeypatch.chdir(home)
    if named == ".":
        monkeypatch.chdir(home / "set")
    pictures = PictureSet(named)
    wanted = begun(net, pictures)
    scan.scan(wanted, net, pictures)
    found = features_cluster.scan(begun(net, pictures), net, cluster.scheduler_address)
    assert found.skipped == wanted.skipped
    assert found.settings.data == wanted.settings.data
    assert str(home) not in str(found.skipped)
    assert len(found.skipped) == 1


def test_what_a_worker_raises_is_one_line(net, pictures, cluster, monkeypatch):
    def fail(*_):
        raise RuntimeError("of two\nlines")

    monkeypatch.setattr(features_cluster, "scan_part", fail)
    features, saved = begun(net, pictures), []
    with pytest.raises(MinicnnError, match="did not finish: RuntimeError: of two lines; see"):
        features_cluster.scan(features, net, cluster.scheduler_address, save=saved.append)
    assert saved == [features]


def test_a_data_set_that_workers_do_not_find(net, pictures, cluster):
    features = begun(net, pictures)
    moved = replace(features, settings=replace(features.settings, data="/absent.h5"))
    with pytest.raises(MinicnnError, match="all workers need the data set under this path"):
        features_cluster.scan(moved, net, cluster.scheduler_address)


def test_strict_stops_there_too(net, pictures, cluster):
    with pytest.raises(MinicnnError, match=r"set.h5:val, picture 4': not a picture"):
        features_cluster.scan(begun(net, pictures), net, cluster.scheduler_address, strict=True)


def test_no_scheduler(net, pictures, monkeypatch):
    monkeypatch.setattr(dask_client, "TIMEOUT", 1)
    with pytest.raises(MinicnnError, match="no Dask scheduler at 'tcp:"):
        features_cluster.scan(begun(net, pictures), net, "tcp://127.0.0.1:9")
