import json
import os
import shutil
import signal
import tracemalloc
from dataclasses import replace
from functools import reduce
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from features_testing import LAYERS, SIZE, encoded, equal, small_network, write_set

import minicnn
from minicnn.data.picture_set import PictureSet
from minicnn.engine import picture_walk
from minicnn.engine.cpu.scratch import Scratch
from minicnn.engine.cpu.workers import can_fork
from minicnn.errors import MinicnnError
from minicnn.methods.features import results_file, scan, strongest
from minicnn.network.chosen_layers import choose_layers
from minicnn.pictures.arrays import preprocess


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.h5"
    return write_set(path, np.random.default_rng(1), broken=(4, 17))


def begun(net, pictures, **options):
    settings = scan.settings_for(net, pictures, LAYERS, **{"top": 4, "group": 4, **options})
    return scan.begin(net, settings)


def scanned(net, pictures, shard=(1, 1), **options):
    features = begun(net, pictures)
    blocks = scan.shard_blocks(features.settings, shard)
    scan.scan(features, net, pictures, blocks=blocks, **options)
    return features


@pytest.fixture(scope="module")
def whole(net, data):
    return scanned(net, PictureSet(data))


@pytest.mark.smoke
def test_it_finds_what_a_plain_loop_finds(net, data, whole):
    pictures, peaks = PictureSet(data), {name: {} for name in LAYERS}
    for i in range(len(pictures)):
        if i in (4, 17):
            continue
        x = preprocess(pictures.picture(i, SIZE), net.attrs["preprocess"])
        for name, y in net.forward(x, LAYERS, keep=False).items():
            peaks[name][i] = y[0].max(axis=(1, 2))
    for name, records in whole.layers.items():
        ids = np.array(list(peaks[name]))
        values = np.stack(list(peaks[name].values()))  # (pictures, units)
        for unit in range(values.shape[1]):
            order = [n for n in np.argsort(-values[:, unit], kind="stable") if values[n, unit] > 0]
            wanted = ids[order][:4].tolist()
            assert records.picture[unit].tolist() == wanted + [-1] * (4 - len(wanted))
            found = records.value[unit][: len(wanted)]
            np.testing.assert_allclose(found, values[order[:4], unit], rtol=1e-4)


def test_dead_units_and_broken_pictures_are_counted(whole):
    assert whole.layers["relu2"].dead[3]
    assert (whole.layers["relu2"].value[3] == 0).all()
    assert list(whole.skipped) == [4, 17]
    assert "picture 4': not a picture" in whole.skipped[4]
    assert whole.seen == 28
    for records in whole.layers.values():
        assert not np.isin(records.picture, (4, 17)).any()
        assert (records.histogram.sum(axis=1) == 28).all()


def test_windows_of_zeros_are_counted(net, data, whole):
    pictures, zeros = PictureSet(data), 0
    for i in set(range(30)) - {4, 17}:
        x = preprocess(pictures.picture(i, SIZE), net.attrs["preprocess"])
        zeros += (net.forward(x, ["pool1"], keep=False)["pool1"] == 0).sum()
    assert whole.pools["pool1"].tolist() == [zeros, 28 * 6 * 7 * 7]


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_shards_in_any_order_give_the_same_bits(net, data, whole, shards, tmp_path, rng):
    pictures, files = PictureSet(data), []
    for i in rng.permutation(shards):
        files.append(tmp_path / f"{i}.h5")
        results_file.save(scanned(net, pictures, (i + 1, shards)), files[-1])
    merged = reduce(results_file.merge, [results_file.load(path) for path in files])
    assert merged.complete
    assert equal(merged, whole)


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("threads", [1, 3])
def test_neither_batch_nor_threads_change_a_bit(net, data, whole, batch, threads):
    assert equal(scanned(net, PictureSet(data), batch=batch, threads=threads), whole)


def test_threads_and_processes_give_the_same_bits(net, data, whole, monkeypatch):
    monkeypatch.setattr(picture_walk, "can_fork", lambda: False)
    assert equal(scanned(net, PictureSet(data), threads=3), whole)


@pytest.mark.skipif(not can_fork(), reason="workers are threads here")
def test_what_is_found_is_saved_when_a_worker_is_killed(net, data, whole, tmp_path, monkeypatch):
    read, path = picture_walk.read_or_black, tmp_path / "f.h5"

    def deadly(pictures, number, size):
        if number == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(pictures, number, size)

    monkeypatch.setattr(picture_walk, "read_or_black", deadly)
    pictures = PictureSet(data)
    how = {"threads": 2, "batch": 8, "save": lambda f: results_file.save(f, path)}
    with pytest.raises(MinicnnError, match="a worker process was killed"):
        scan.scan(begun(net, pictures), net, pictures, **how)
    monkeypatch.undo()
    resumed = results_file.load(path)
    assert 0 < resumed.seen < 28
    scan.scan(resumed, net, pictures)
    assert equal(resumed, whole)


def test_shards_with_other_batches_give_the_same_bits(net, data, whole):
    parts = [scanned(net, PictureSet(data), (i + 1, 2), batch=b) for i, b in enumerate((1, 16))]
    assert equal(results_file.merge(*parts), whole)


def test_a_set_cut_short_gives_each_picture_the_same_bits(net, data, whole, tmp_path):
    """The last group is filled up, so 10 pictures are 4 + 4 + 2 as 30 are."""
    shutil.copy(data, tmp_path / "short.h5")
    with h5py.File(tmp_path / "short.h5", "r+") as file:
        for name, count in (("offset", 11), ("label", 10)):
            first = file["val"][name][:count]
            del file["val"][name]
            file["val"][name] = first
    short = scanned(net, PictureSet(tmp_path / "short.h5"), batch=16)
    for name, records in short.layers.items():
        long = whole.layers[name]
        known = {
            (unit, n): value
            for unit, row in enumerate(long.picture)
            for n, value in zip(row, long.value[unit], strict=True)
        }
        shared = [
            (known[unit, n], value)
            for unit, row in enumerate(records.picture)
            for n, value in zip(row, records.value[unit], strict=True)
            if n >= 0 and (unit, n) in known
        ]
        assert shared
        assert all(ours == theirs for ours, theirs in shared)


def test_what_a_picture_is_grouped_with_changes_rounding_at_most(net, data, whole):
    pictures = PictureSet(data)
    other = begun(net, pictures, group=7)
    scan.scan(other, net, pictures)
    for name, records in whole.layers.items():
        assert np.array_equal(records.picture, other.layers[name].picture)
        np.testing.assert_allclose(records.value, other.layers[name].value, rtol=1e-5)


def test_groups_follow_from_the_size_of_pictures():
    sizes = [scan.group_size(side) for side in (8, 32, 64, 227, 1024)]
    assert sizes == [16, 16, 16, 3, 1]


def test_an_interrupted_scan_resumes(net, data, whole, tmp_path):
    pictures, path = PictureSet(data), tmp_path / "f.h5"
    features = begun(net, pictures)

    def once(done, total, skipped):
        if done >= 16:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        scan.scan(features, net, pictures, save=lambda f: results_file.save(f, path), progress=once)
    resumed, told = results_file.load(path), []
    assert 0 < resumed.seen < 28
    scan.scan(resumed, net, pictures, progress=lambda *now: told.append(now))
    assert equal(resumed, whole)
    assert told[-1][:2] == (14, 14)


def test_it_saves_once_a_minute(net, data, monkeypatch):
    times, saved = iter(range(0, 10**6, 20)), []
    monkeypatch.setattr(scan, "time", SimpleNamespace(monotonic=times.__next__))
    scan.scan(
        begun(net, PictureSet(data)), net, PictureSet(data), save=lambda f: saved.append(f.seen)
    )
    assert len(saved) == 3
    assert saved[-1] == 28


def test_strict_stops_at_a_broken_picture(net, data):
    with pytest.raises(MinicnnError, match=r"cannot read .*picture 4'.*--strict"):
        scan.scan(begun(net, PictureSet(data)), net, PictureSet(data), strict=True)


def test_only_broken_pictures(net, tmp_path, rng):
    pictures = PictureSet(write_set(tmp_path / "d.h5", rng, 3, broken=(0, 1, 2)))
    with pytest.raises(MinicnnError, match="none of the 3 pictures can be read"):
        scan.scan(begun(net, pictures), net, pictures)


def test_weights_that_give_no_numbers(net, data):
    broken = small_network()
    broken.params["conv2.weight"][5] = np.nan
    with pytest.raises(MinicnnError, match="layer relu2: unit 5 is nan on picture 0"):
        scan.scan(begun(broken, PictureSet(data)), broken, PictureSet(data))


def test_memory_is_bounded_and_stated(tmp_path, rng, monkeypatch):
    part, ends = Scratch.part, {}

    def noted(scratch, first, size):
        ends[scratch] = max(ends.get(scratch, 0), first + size)
        return part(scratch, first, size)

    monkeypatch.setattr(Scratch, "part", noted)
    net, peaks = minicnn.build("minivgg"), []
    for count in (8, 24):
        pictures = PictureSet(write_set(tmp_path / f"{count}.h5", rng, count))
        settings = scan.settings_for(net, pictures, choose_layers(net))
        features = scan.begin(net, settings)
        tracemalloc.start()
        scan.scan(features, net, pictures, threads=1, batch=8)
        # the end of a block is not written, so it has no memory; it is counted all the same
        unwritten = sum(len(scratch._block) - end for scratch, end in ends.items())
        peaks.append(tracemalloc.get_traced_memory()[1] - unwritten)
        tracemalloc.stop()
        ends.clear()
    assert peaks[1] < 1.1 * peaks[0]
    stated = scan.memory(net, features, threads=1, batch=8)
    assert 0.8 < stated / peaks[0] < 1.5


def test_pictures_of_another_size_than_a_layer_takes(net, data):
    with pytest.raises(MinicnnError, match="use --size 29"):
        begun(net, PictureSet(data), size=40)


def test_results_of_another_scan_or_twice_the_same_are_not_merged(whole):
    with pytest.raises(MinicnnError, match=r"pictures from 0 on; give each shard once"):
        results_file.merge(whole, whole)
    other = replace(whole, settings=replace(whole.settings, weights="0" * 64))
    with pytest.raises(MinicnnError, match=r"weights differ .*; use the same options"):
        results_file.merge(whole, other)


@pytest.mark.smoke
def test_files_keep_everything(whole, tmp_path):
    named = replace(whole, names={3: "ä"})
    results_file.save(named, tmp_path / "f.h5")
    loaded = results_file.load(tmp_path / "f.h5")
    assert equal(loaded, whole)
    assert (loaded.names, loaded.maps, loaded.settings) == ({3: "ä"}, whole.maps, whole.settings)


def damage_picture(file):
    file["layers/relu2/picture"][0, 0] = 10**6


def damage_shape(file):
    del file["layers/relu2/value"]
    file["layers/relu2/value"] = np.zeros((2, 4), np.float32)


def damage_missing(file):
    del file["layers/both/row"]


def damage_done(file):
    del file["done"]
    file["done"] = np.ones(99, np.uint8)


def damage_text(file):
    file["skipped"][0] = 255


def damage_settings(file):
    file.attrs["settings"] = "json:{}"


def damage_skipped(file):
    rewrite(file, "skipped", json.dumps({"30": "outside"}))


def damage_unseen(file):
    file["done"][2] = 0


def damage_order(file):
    file["layers/relu2/value"][0] = file["layers/relu2/value"][0][::-1]


def damage_empty_slot(file):
    file["layers/relu2/row"][3, 1] = 2  # of a dead unit


def damage_broken(file):
    file["layers/relu2/picture"][0, 0] = 4  # could not be read


def damage_histogram(file):
    file["layers/both/histogram"][1, 0] += 1


def damage_fired(file):
    file["layers/both/fired"][1] += 1


def damage_pools(file):
    rewrite(file, "pools/pool1", "no counts")


def rewrite(file, name, text):
    del file[name]
    file[name] = np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_picture, "relu2/picture has entries outside 0 to 29"),
        (damage_shape, r"relu2/value is float32 \(2, 4\)|relu2/"),
        (damage_missing, "KeyError: 'layers/both/row'"),
        (damage_done, "blocks, 8 wanted"),
        (damage_text, "UnicodeDecodeError"),
        (damage_settings, "TypeError"),
        (damage_skipped, "skipped pictures or names are outside 0 to 29"),
        (damage_unseen, "relu1/"),
        (damage_order, "relu2/value does not descend"),
        (damage_empty_slot, "relu2/row has entries in empty slots"),
        (damage_broken, "relu2/picture has pictures that have not been scanned"),
        (damage_histogram, "both/histogram does not count the 28 scanned pictures"),
        (damage_fired, "both/fired or positive do not fit"),
        (damage_pools, "pools/pool1 holds no two counts"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_corrupt_results_file_ends_in_one_line(whole, tmp_path, damage, reason):
    path = tmp_path / "f.h5"
    results_file.save(whole, path)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(MinicnnError, match=rf"f.h5 is damaged.*({reason})") as error:
        results_file.load(path)
    assert "\n" not in str(error.value)


def test_results_that_fit_each_other_but_no_network(net, data):
    one, other = begun(net, PictureSet(data)), begun(net, PictureSet(data))
    other.layers["relu2"] = strongest.empty(5, 4)
    with pytest.raises(
        MinicnnError, match=r"damaged: layer relu2 is \(9, 7, 7\) in one, \(5, 7, 7"
    ):
        results_file.merge(one, other)
    with pytest.raises(MinicnnError, match="poolings differ"):
        results_file.merge(one, replace(one, pools={}))


def test_truncated_and_foreign_files(whole, tmp_path):
    path = tmp_path / "f.h5"
    results_file.save(whole, path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(MinicnnError, match="damaged"):
        results_file.load(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(MinicnnError, match="holds no features"):
        results_file.load(path)


def test_a_folder_of_pictures(tmp_path, rng):
    for name in ("b/2.png", "a.png", "b/c/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(rng))
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = PictureSet(tmp_path)
    assert [pictures.name(i) for i in range(3)] == ["a.png", "b/2.png", "b/c/1.png"]
    assert pictures.picture(1, 20).shape == (20, 20, 3)
    assert len(PictureSet(tmp_path, "b")) == 2
    with pytest.raises(MinicnnError, match="has no folder 'a'; its folders: b"):
        PictureSet(tmp_path, "a")
    assert len(PictureSet(tmp_path, limit=2)) == 2
    before = pictures.fingerprint()
    (tmp_path / "a.png").write_bytes(encoded(rng) + b"more")
    assert PictureSet(tmp_path).fingerprint() != before


def test_splits(tmp_path, rng):
    path = write_set(tmp_path / "d.h5", rng, 2)
    assert PictureSet(path).name(1) == "val/1 <b>dog</b>"
    with h5py.File(path, "r+") as file:
        file.move("val", "everything")
    assert PictureSet(path).split == "everything"
    with pytest.raises(MinicnnError, match="no split 'test'; it has everything"):
        PictureSet(path, "test")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "absent", "no data set at"),
        (lambda root: root, "no pictures in"),
    ],
)
def test_nothing_to_scan(tmp_path, make, message):
    with pytest.raises(MinicnnError, match=message):
        PictureSet(make(tmp_path))
