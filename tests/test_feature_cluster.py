import os
import signal

import numpy as np
import pytest
from features_testing import LAYERS, equal, small_network, write_set

from minicnn.errors import MinicnnError
from minicnn.tasks import feature_cluster, feature_scan
from minicnn.tasks.picture_set import PictureSet

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
    settings = feature_scan.settings_for(net, pictures, LAYERS, top=4, group=4)
    return feature_scan.begin(net, settings)


def test_a_killed_worker_changes_no_bit(net, pictures, cluster):
    wanted = begun(net, pictures)
    feature_scan.scan(wanted, net, pictures)
    with distributed.Client(cluster) as client:
        processes = list(client.run(os.getpid).values())
    told, saved = [], []

    def kill_one(done, total, skipped):
        told.append((done, total))
        if len(told) == 1:
            os.kill(processes[0], signal.SIGKILL)

    found = feature_cluster.scan(
        begun(net, pictures),
        net,
        cluster.scheduler_address,
        blocks_a_part=1,
        progress=kill_one,
        save=saved.append,
    )
    with distributed.Client(cluster) as client:
        assert processes[0] not in client.run(os.getpid).values()
    assert equal(found, wanted)
    assert told[-1] == (60, 60)
    assert saved[-1] is found


def test_strict_stops_there_too(net, pictures, cluster):
    with pytest.raises(MinicnnError, match="picture 4 cannot be read"):
        feature_cluster.scan(begun(net, pictures), net, cluster.scheduler_address, strict=True)


def test_no_scheduler(net, pictures, monkeypatch):
    monkeypatch.setattr(feature_cluster, "TIMEOUT", 1)
    with pytest.raises(MinicnnError, match="no Dask scheduler at 'tcp:"):
        feature_cluster.scan(begun(net, pictures), net, "tcp://127.0.0.1:9")
