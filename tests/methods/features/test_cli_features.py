import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from features_testing import encoded, equal, write_set

import minicnn
from minicnn.cli import main
from minicnn.engine.cpu.workers import WorkerKilledError
from minicnn.methods.features import results_file, scan
from minicnn.pictures.writer import read_metadata
from minicnn.runs import dask_client


@pytest.fixture(scope="module", autouse=True)
def small_groups():
    """Groups so small that a few pictures are several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "GROUP", 4)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a data set and a network."""
    home = tmp_path_factory.mktemp("home")
    write_set(home / "set.h5", np.random.default_rng(1), 20, broken=(3,))
    minicnn.save(minicnn.build("minivgg", seed=0, classes=3), home / "weights.h5")
    return home


@pytest.fixture
def features(home, monkeypatch, capfd):
    """Run `minicnn features` in the folder; return (code, stdout, stderr)."""
    monkeypatch.chdir(home)

    def run(*arguments, layers="relu1_1"):
        command = ["features", *arguments, "--weights", "weights.h5", "--patch", "16"]
        if arguments[0] != "merge":
            command += ["--size", "64", "--layers", layers, "--top", "2"]
        code = main(list(map(str, command)))
        return (code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def done(home):
    """The folder of a finished scan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        command = "features set.h5 -o done --weights weights.h5 --patch 16 --size 64 --top 2"
        assert main([*command.split(), "--layers", "relu1_1", "--quiet"]) == 0
    return home / "done"


def test_it_writes_numbers_sheets_and_a_page(features, home):
    code, stdout, stderr = features("set.h5", "-o", "one")
    assert code == 0
    assert stdout.startswith("one/features.h5: 19 pictures, 1 skipped, 32 units, ")
    assert stdout.endswith("look at one/index.html\n")
    assert "skipped picture 3: cannot read 'set.h5:val, picture 3': not a picture" in stderr
    assert " left" in stderr
    assert sorted(p.name for p in (home / "one").iterdir()) == [
        "features.h5",
        "index.html",
        "report",
        "sheets",
    ]
    found = results_file.load(home / "one" / "features.h5")
    assert found.complete
    assert found.names[0] == "val/0 cat"
    assert found.settings.pool is None  # as published, whatever is better for painting


def test_how_it_projects_goes_into_the_sheets(features, home, done):
    options = ["--rule", "guided", "--overlap", "max", "--contrast", "picture"]
    code, _, _ = features("merge", "done/features.h5", "-o", "guided", *options)
    assert code == 0
    told = read_metadata(home / "guided" / "sheets" / "relu1_1-01.png")
    assert (told["policy"]["rule"], told["policy"]["overlap"]) == ("guided", "max")
    assert told["contrast"] == "picture"
    assert read_metadata(done / "sheets" / "relu1_1-01.png")["policy"]["rule"] == "deconvnet"


def test_the_old_name_of_patch_works_with_a_note(home, done, monkeypatch, capfd):
    monkeypatch.chdir(home)
    command = "features merge done/features.h5 -o old --weights weights.h5 --tile 20"
    assert main(command.split()) == 0
    assert "--tile is called --patch now" in capfd.readouterr().err
    told = [read_metadata(path / "sheets" / "relu1_1-01.png") for path in (done, home / "old")]
    assert [metadata["side"] for metadata in told] == [16, 20]


def test_json(features):
    code, stdout, _ = features("set.h5", "-o", "two", "--no-sheets", "--json")
    events = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0
    assert events[0]["event"] == "progress"
    assert (events[-1]["event"], events[-1]["pictures"], events[-1]["units"]) == ("result", 19, 32)
    assert list(events[-1]["skipped"]) == ["3"]
    assert events[-1]["page"] is None


def test_shards_merge_into_the_whole(features, home, done):
    for i in (2, 3, 1):
        assert features("set.h5", "-o", "parts", "--shard", f"{i}/3")[0] == 0
    files = [f"parts/features-{i}-of-3.h5" for i in (1, 2, 3)]
    code, _, stderr = features("merge", *files[:2], "-o", "some")
    assert code == 0
    assert "about 4 of 20 pictures are not scanned yet: those of --shard 3/3" in stderr
    code, stdout, _ = features("merge", "some/features.h5", files[2], "-o", "all")
    assert (code, "look at all/index.html" in stdout) == (0, True)
    merged = results_file.load(home / "all" / "features.h5")
    assert equal(merged, results_file.load(done / "features.h5"))
    for path in done.rglob("*.*"):
        assert path.read_bytes() == (home / "all" / path.relative_to(done)).read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_byte_of_sheets_and_page(features, home, done, threads):
    folder = home / f"threads{threads}"
    assert features("set.h5", "-o", folder.name, "--threads", threads)[0] == 0
    for path in done.rglob("*.*"):
        assert path.read_bytes() == (folder / path.relative_to(done)).read_bytes()


def test_a_signal_to_the_workers_too_is_an_interruption(features, home, monkeypatch):
    def killed(*_, **__):
        signal.raise_signal(signal.SIGTERM)
        raise WorkerKilledError("by the same signal")
        yield

    monkeypatch.setattr(scan.picture_walk, "looked_at", killed)
    code, _, stderr = features("set.h5", "-o", "group")
    assert code == 143
    assert "nothing was done yet" in stderr


def test_a_signal_while_the_numbers_are_written_lets_it_finish(features, home, monkeypatch):
    real = results_file.save

    def save(found, path):
        real(found, path)
        if found.names:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(results_file, "save", save)
    code, _, stderr = features("set.h5", "-o", "last")
    assert code == 143
    assert "go on with --resume" in stderr
    assert results_file.load(home / "last" / "features.h5").complete


def test_an_interrupted_scan_goes_on(features, home, done, monkeypatch):
    real, calls = scan.strongest.note, []

    def note(*arguments):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(scan.strongest, "note", note)
    code, _, stderr = features("set.h5", "-o", "broken")
    assert code == 130
    assert "go on with --resume" in stderr
    assert results_file.load(home / "broken" / "features.h5").seen == 7
    assert "exists already; go on with --resume" in features("set.h5", "-o", "broken")[2]
    code, _, stderr = features("set.h5", "-o", "broken", "--resume")
    assert code == 0
    assert "7 of 20 pictures are done" in stderr
    for path in done.rglob("*.*"):
        assert path.read_bytes() == (home / "broken" / path.relative_to(done)).read_bytes()


def test_a_folder_of_pictures(features, home, rng):
    (home / "pictures").mkdir()
    for i in range(3):
        (home / "pictures" / f"{i}.png").write_bytes(encoded(rng))
    (home / "pictures" / "9.jpg").write_bytes(b"")
    code, stdout, stderr = features("pictures", "-o", "three", "--no-sheets")
    assert code == 0
    assert "3 pictures, 1 skipped" in stdout
    assert "skipped picture 3: cannot read" in stderr
    assert "empty (0 bytes)" in stderr
    code, _, stderr = features("pictures", "-o", "pictures/results")
    assert code == 1
    assert "the folder 'pictures/results' lies among the pictures of 'pictures'" in stderr
    assert not (home / "pictures" / "results").exists()
    code, _, stderr = features("pictures", "-o", "four", "--strict")
    assert code == 1
    assert "(--strict stops here)" in stderr


def foreign_name(name):
    """A file or folder name of Latin-1, as Python has it where names are UTF-8."""
    return os.fsdecode(name.encode("latin-1"))


def test_names_that_are_not_utf8(features, home, rng):
    folder = home / foreign_name("Gemälde")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("all names are UTF-8 here")
    (folder / foreign_name("grün.png")).write_bytes(encoded(rng))
    (folder / foreign_name("leer-ü.png")).write_bytes(b"")
    for options in ((), ("--single-file", "--force")):
        code, stdout, _ = features(folder.name, "-o", foreign_name("schön"), *options)
        assert code == 0
        assert "1 pictures, 1 skipped" in stdout
    found = results_file.load(home / foreign_name("schön") / "features.h5")
    assert found.names == {0: foreign_name("grün.png")}
    told = read_metadata(home / foreign_name("schön") / "sheets" / "relu1_1-01.png")
    assert told["data"] == folder.name
    command = ["--data", folder.name, "--layers", "relu1_1", "--units", "1", "-o", "compared"]
    assert main(["compare", "weights.h5", "random:minivgg", *command, "--quiet"]) == 0
    assert "On 2 pictures of Gem?lde." in (home / "compared" / "index.html").read_text("utf-8")


def write_damaged(done, home):
    """An empty folder, results that are cut short, and some with fewer units than the network."""
    for name in ("empty", "cut", "other"):
        (home / name).mkdir(exist_ok=True)
    (home / "cut" / "features.h5").write_bytes((done / "features.h5").read_bytes()[:-2000])
    fewer = results_file.load(done / "features.h5")
    for key, array in vars(fewer.layers["relu1_1"]).items():
        setattr(fewer.layers["relu1_1"], key, array[:7])
    results_file.save(fewer, home / "other" / "features.h5")


@pytest.mark.parametrize(
    ("arguments", "layers", "code", "message"),
    [
        (["absent", "-o", "x"], "relu1_1", 1, "no data set at 'absent'"),
        (["set.h5", "-o", "x", "--split", "test"], "relu1_1", 1, "no split 'test'; it has val"),
        (["set.h5", "-o", "x"], "relu9_9", 1, "no layer 'relu9_9' in minivgg; its layers are"),
        (["set.h5", "-o", "x"], "relu1_1,", 2, "is not names with commas between them"),
        (["set.h5", "-o", "x", "--shard", "4/3"], "relu1_1", 2, "is not a part; write 2/8"),
        (["set.h5", "set.h5", "-o", "x"], "relu1_1", 1, "one data set at a time"),
        (["set.h5", "-o", "done"], "relu1_1", 1, "exists already"),
        (["set.h5", "-o", "done", "--resume"], "relu1_2", 1, "layers differ"),
        (["set.h5", "-o", "set.h5"], "relu1_1", 1, "cannot make the folder 'set.h5'"),
        (["empty", "-o", "x"], "relu1_1", 1, "no pictures in 'empty'; give a folder or a data set"),
        (
            ["set.h5", "-o", "cut", "--resume"],
            "relu1_1",
            1,
            "cut/features.h5 is truncated or damaged",
        ),
        (["set.h5", "-o", "other", "--resume"], "relu1_1", 1, "is damaged: layer relu1_1 is"),
        (["set.h5", "-o", "x", "--data", "set.h5"], "relu1_1", 1, "is for merge"),
        (["merge", "done/features.h5", "-o", "x", "--limit", "3"], None, 1, "takes no --limit"),
        (["merge", "-o", "x"], None, 1, "name the files to merge"),
        (["merge", "weights.h5", "-o", "x"], None, 1, "holds no features"),
        (["merge", "absent.h5", "-o", "x"], None, 1, "cannot read absent.h5"),
        (["merge", "done/features.h5", "done/features.h5", "-o", "x"], None, 1, "each shard once"),
    ],
)
def test_bad_input_ends_in_one_line(features, done, home, arguments, layers, code, message):
    write_damaged(done, home)
    found, stdout, stderr = features(*arguments, layers=layers)
    assert (found, stdout) == (code, "")
    assert message in stderr
    assert stderr.count("\n") == 1
    shutil.rmtree(home / "x", ignore_errors=True)


def test_a_scan_that_cannot_begin_leaves_no_results(features, home, done, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_client, "TIMEOUT", 1)
    before = (done / "features.h5").read_bytes()
    nobody = ["--scheduler", "tcp://127.0.0.1:9"]
    for options in (["-o", "nothing"], ["-o", "done", "--force"]):
        code, _, stderr = features("set.h5", *options, *nobody)
        assert code == 1
        assert "no Dask scheduler at 'tcp://127.0.0.1:9'" in stderr
    assert list((home / "nothing").iterdir()) == []
    assert (done / "features.h5").read_bytes() == before


def test_what_would_fail_after_the_scan_is_said_before(home, monkeypatch, capfd):
    monkeypatch.chdir(home)
    command = ["features", "set.h5", "-o", "x", "--weights", "weights.h5"]
    assert main([*command, "--patch", "5000"]) == 2
    assert "'5000' is not a whole number from 1 to 1024" in capfd.readouterr().err
    if not Path("/proc/self").exists():
        pytest.skip("no folder in which nobody can write")
    command[command.index("x")] = "/proc"
    assert main(command) == 1
    assert "cannot write '/proc/features.h5': " in capfd.readouterr().err


def test_other_weights_or_pictures_than_those_of_the_scan(features, home, done, capfd):
    minicnn.save(minicnn.build("minivgg", seed=1, classes=3), home / "other.h5")
    command = "features merge done/features.h5 -o new --weights other.h5"
    assert main(command.split()) == 1
    assert "the weights are not those of the scan" in capfd.readouterr().err
    write_set(home / "moved.h5", np.random.default_rng(2), 20)
    code, _, stderr = features("merge", "done/features.h5", "-o", "newer", "--data", "moved.h5")
    assert code == 1
    assert "the pictures of moved.h5 are not those of the scan" in stderr
