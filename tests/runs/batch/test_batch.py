"""Many rows by one command: the same bytes as the single verbs, nothing done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from played_gpu import gpus as gpus

from minicnn.cli import main
from minicnn.pictures.writer import read_metadata, save_image
from minicnn.runs.picture_run import Watch

ROOT = Path(__file__).resolve().parents[3]
SIZE = {"size": 32, "iterations": 3, "threads": 1}
STYLE = {"content": "photos/a.png", "style": "paintings/x.png", **SIZE}
ROWS = [
    {**STYLE, "output": "style.png", "sheet": "sheet.png"},
    {"verb": "texture", "sources": "paintings/x.png", **SIZE, "source-size": 32,
     "output": "texture.png"},
    {"verb": "invert", "image": "photos/a.png", "layer": "relu2_1", "iterations": 3,
     "output": "invert.png", "size": 32, "threads": 1},
    {"verb": "saliency", "image": "photos/b.png", "output": "saliency.png", "threads": 1},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with two photos and two paintings."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a", "photos/b", "paintings/x", "paintings/y"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return tmp_path


def manifest(rows, name="jobs.jsonl"):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def batch(capfd, *words):
    """Return (exit code, the records, the summary, what stderr says)."""
    code = main(["batch", *words, "--json"])
    told = capfd.readouterr()
    *records, summary = map(json.loads, told.out.splitlines())
    return code, records, summary, told.err


def words_of(row):
    """Return the command that a row stands for."""
    row = dict(row)
    words = [row.pop("verb", "style")]
    words += [row.pop(key) for key in ("content", "style", "sources", "image") if key in row]
    return words + [str(part) for key, value in row.items() for part in (f"--{key}", value)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_row_has_the_bytes_of_the_verb(folder, capfd, jobs):
    for row in ROWS:
        assert main([*words_of(row), "--quiet"]) == 0
    capfd.readouterr()
    code, records, summary, _ = batch(capfd, manifest(ROWS), "-o", "made", "--jobs", str(jobs))
    assert code == 0, records
    assert [(r["row"], r["status"]) for r in records] == [(n, "made") for n in (1, 2, 3, 4)]
    assert (summary["event"], summary["made"]) == ("result", 4)
    for name in ("style.png", "sheet.png", "texture.png", "invert.png", "saliency.png"):
        assert Path("made", name).read_bytes() == Path(name).read_bytes(), name


def test_devices_share_the_rows_and_change_none(gpus, folder, capfd):
    rows = [{**ROWS[3], "class": k, "output": f"{k}.png"} for k in range(4)]
    found = []
    for device in ("cuda:1", "cuda:0,cuda:1"):
        code, records, *_ = batch(capfd, manifest(rows), "-o", device, "--device", device)
        assert code == 0, records
        paths = [Path(device, f"{k}.png") for k in range(4)]
        used = {read_metadata(path)["versions"]["device"] for path in paths}
        assert used == set(device.split(","))
        found.append([np.asarray(Image.open(path)) for path in paths])
    np.testing.assert_array_equal(*found)
    code, records, *_ = batch(capfd, manifest(rows), "-o", "c", "--device", "cuda:0,cuda:2")
    said = {record.get("message", "").partition(";")[0] for record in records}
    assert (code, said) == (1, {"", "no device 'cuda:2'"})


def test_nothing_is_done_twice_and_the_rest_is_listed(folder, capfd):
    jobs = manifest([*ROWS[2:], {**STYLE, "content": "absent.png", "output": "c.png"}])
    code, records, _, _ = batch(capfd, jobs)
    assert code == 1
    assert [r["status"] for r in records] == ["made", "made", "failed"]
    assert "no file 'absent.png'" in records[2]["message"]
    times = os.stat("invert.png").st_mtime_ns
    code, records, summary, _ = batch(capfd, jobs)
    assert [r["status"] for r in records] == ["finished", "finished", "failed"]
    assert os.stat("invert.png").st_mtime_ns == times
    code, records, summary, _ = batch(capfd, jobs, "--missing")
    assert (code, summary["missing"]) == (1, 1)
    assert [(r["row"], r["status"]) for r in records] == [(3, "missing")]


@pytest.mark.parametrize("change", ["settings", "inputs", "interrupted", "sheet"])
def test_a_row_is_finished_by_what_it_was_made_from(folder, capfd, change):
    row = {**STYLE, "iterations": 2, "output": "a.png", "sheet": "s.png"}
    assert batch(capfd, manifest([row]))[0] == 0
    whole = Path("a.png").read_bytes()
    if change == "settings":
        row["style-weight"] = 3
    elif change == "inputs":
        Path("paintings/x.png").write_bytes(Path("paintings/y.png").read_bytes())
    elif change == "interrupted":
        record = read_metadata("a.png")
        record["result"]["status"] = "interrupted"
        save_image("a.png", np.zeros((32, 32, 3), np.uint8), metadata=record, force=True)
    else:
        Path("s.png").unlink()
    code, [record], _, _ = batch(capfd, manifest([row]))
    if change in ("interrupted", "sheet"):  # goes on without being asked
        assert (code, record["status"]) == (0, "made")
        assert Path("a.png").read_bytes() == whole
        return
    assert (code, record["status"]) == (1, "failed")
    words = "style_weight = 900.0, now 3.0" if change == "settings" else "the picture style"
    assert words in record["message"]
    assert Path("a.png").read_bytes() == whole
    code, [record], _, _ = batch(capfd, manifest([row]), "--force")
    assert (code, record["status"]) == (0, "made")
    assert Path("a.png").read_bytes() != whole


def test_every_content_with_every_style_in_shards(folder, capfd, monkeypatch):
    words = ["--contents", "photos", "--styles", "paintings", "--name", "{content}-{style}.png"]
    words += [*"--set size=32 --set iterations=2 -o made".split()]
    variables = {"ID": "7", "MIN": "5", "COUNT": "2", "STEP": "2"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert len(batch(capfd, *words, "--shard", "1/2")[1]) == 2
    _, records, _, _ = batch(capfd, *words, "--shard", "auto")
    assert [(r["row"], r["status"]) for r in records] == [(2, "made"), (4, "made")]
    assert {p.name for p in Path("made").iterdir()} == {
        f"{content}-{style}.png" for content in "ab" for style in "xy"
    }
    assert {r["status"] for r in batch(capfd, *words)[1]} == {"finished"}


def test_csv_and_defaults(folder, capfd):
    Path("jobs.csv").write_text(
        "content,style,style-layers,blend,seed\n"
        'photos/a.png,paintings/x.png;paintings/y.png,"relu1_1,relu2_1=0.5","1,3",\n'
        "\n"
        "photos/b.png,paintings/x.png,,,4\n"
    )
    words = ["jobs.csv", "--name", "{row:02d}-{seed}.png", "--set", "seed=2"]
    code, records, _, _ = batch(capfd, *words, "--set", "size=32", "--set", "iterations=1")
    assert code == 0, records
    assert [r["output"] for r in records] == ["01-2.png", "02-4.png"]
    settings = read_metadata("01-2.png")["settings"]
    assert settings["style"] == ["paintings/x.png", "paintings/y.png"]
    assert settings["style_layers"] == {"relu1_1": 1.0, "relu2_1": 0.5}
    assert settings["blend"] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('{"size": 0}', "line 1, column 2: size = 0; use a whole number from 1 to 10000"),
        ('{"a": "\\"siez\\": 1", "siez": 3}', "line 1, column 2: no option 'a' of style; there"),
        ('{"siez": 3}', "line 1, column 2: no option 'siez' of style; did you mean size?"),
        ('\n{"size": 3, "size": 4}', "line 2, column 2: the key 'size' stands there twice"),
        ('{"size": 3', "line 1, column 11: no JSON: Expecting ',' delimiter; write an object"),
        ("[1]", "line 1: no object; write"),
        ('{"size": true}', "size = True; use a whole number"),
        ('{"style": []}', "style = []; give at least one"),
        ('{"force": true}', "line 1, column 2: no option 'force' of style"),
        (
            '{"verb": "train"}',
            "line 1, column 2: no verb 'train' makes a picture; use style, texture",
        ),
        ('{"output": "a.png"}', "line 1: style needs content and style"),
        ('{"content": "a"}', "line 1: no output, and no --name TEMPLATE to make one of"),
        ('{"content": "a", "style": "b", "output": "a.xyz"}', "output = 'a.xyz'; use one of .png"),
        ('{"content": "a", "style": "b", "output": "c.png", "noise-ratio": 1}', "noise_ratio = 1"),
        (
            '{"content": "a", "style": "b", "output": "c.png"}\n' * 2,
            "line 2, column 32: 'c.png' is written by line 1 too",
        ),
        (
            '{"content": "a", "style": "b", "output": "c.png"}\n'
            '{"content": "c.png", "style": "b", "output": "d.png"}',
            "line 2: 'c.png' is written by line 1; read what is there before",
        ),
    ],
)
def test_a_wrong_row_is_told_before_anything_starts(folder, capfd, rows, said):
    Path("jobs.jsonl").write_text(json.dumps({**STYLE, "output": "first.png"}) + "\n" + rows)
    said = said.replace("line 2", "line 3").replace("line 1", "line 2")
    assert main(["batch", "jobs.jsonl"]) == 1
    told = capfd.readouterr()
    assert f"jobs.jsonl, {said}" in told.err or f": {said}" in told.err
    assert len(told.err.splitlines()) == 1
    assert not Path("first.png").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size,size\n", "line 1, column 2: a column is named 'size'"),
        ("size,seed\n1\n", "line 2: 1 cells, but the first line names 2"),
        ("size,seed\n1,\n\n4,x\n", "line 4, column 2: seed = 'x'; use a whole number"),
        ('size,seed\n1,"2\n', "no CSV: unexpected end of data"),
        ("", "there are no rows"),
    ],
)
def test_a_wrong_table(folder, capfd, text, said):
    Path("jobs.csv").write_text(text)
    words = [
        "--set",
        "content=photos/a.png",
        "--set",
        "style=paintings/x.png",
        "--name",
        "{row}.png",
    ]
    assert main(["batch", "jobs.csv", *words]) == 1
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a manifest, or --contents DIR and --styles DIR"),
        (["a.jsonl", "--contents", "photos", "--styles", "photos"], "one of them, not both"),
        (["--contents", "photos"], "--contents DIR and --styles DIR go together"),
        (["--contents", "photos", "--styles", "photos"], "--contents needs --name"),
        (["a.txt"], "'a.txt' is no manifest; use a file that ends in .jsonl, .csv"),
        (["absent.csv"], "cannot read the manifest 'absent.csv': No such file"),
        (["jobs.jsonl", "--name", "{nothing}.png"], "--name has {nothing}, and the row content"),
        (["jobs.jsonl", "--name", "{row.x}.png"], "--name has {row.x}"),
        (["jobs.jsonl", "--name", "{row"], "is no template"),
        (["jobs.jsonl", "--set", "seed"], "--set seed sets nothing"),
        (["jobs.jsonl", "--device", "cuda,cpu"], "no device 'cpu'; use auto, cpu, cuda"),
        (["jobs.jsonl", "--device", "cuda,cuda:0"], "a device is named twice in 'cuda,cuda:0'"),
    ],
)
def test_wrong_options(folder, capfd, words, said):
    manifest([STYLE])
    assert main(["batch", *words]) == 1
    assert said in capfd.readouterr().err


def test_a_shard_of_no_array(folder, capfd, monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    assert main(["batch", "a.jsonl", "--shard", "auto"]) == 2
    assert "is for a job array of Slurm" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="signals to another process")
@pytest.mark.parametrize(
    ("number", "code", "jobs"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)]
)
def test_a_signal_keeps_the_running_rows(folder, number, code, jobs):
    long = {**STYLE, "iterations": 3000, "scales": 1, "every": 10}
    rows = [{**long, "frames": f"{i}", "output": f"{i}.png"} for i in range(4)]
    command = [sys.executable, "-m", "minicnn", "batch", manifest(rows), "--jobs", str(jobs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while running.poll() is None and not all(any(Path(str(i)).glob("*")) for i in range(jobs)):
        time.sleep(0.1)
    running.send_signal(number)
    said, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    assert len([line for line in said.splitlines() if "is saved (jobs" in line]) == jobs
    assert f"{4 - jobs} not begun" in said
    assert "Traceback" not in errors
    assert sorted(p.name for p in Path().glob("*.png")) == [f"{i}.png" for i in range(jobs)]
    assert read_metadata("0.png")["result"]["status"] == "interrupted"


def test_an_interrupted_row_goes_on_from_its_checkpoint(folder, capfd, monkeypatch):
    row = {**STYLE, "iterations": 30, "scales": 1, "checkpoint-every": 0, "output": "a.png"}
    assert main([*words_of({**row, "output": "whole.png"}), "--quiet"]) == 0
    capfd.readouterr()
    update, counted = Watch.__call__, []

    def stop(self, iteration, *others):
        update(self, iteration, *others)
        counted.append(iteration)
        if len(counted) == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "__call__", stop)
    code, [record], _, _ = batch(capfd, manifest([row]))
    assert (code, record["status"], counted[-1]) == (130, "interrupted", 12)
    code, [record], _, _ = batch(capfd, manifest([row]))
    assert (code, record["status"]) == (0, "made")
    assert counted[12] > 10  # it has not begun again
    assert Path("a.png").read_bytes() == Path("whole.png").read_bytes()
    assert not list(Path().glob("*.checkpoint"))


@pytest.mark.skipif(sys.platform != "linux", reason="worker processes are found in /proc")
def test_a_killed_process_loses_its_row_alone(folder, capfd, monkeypatch):
    from minicnn.methods.style.verb import STYLE as verb

    parent, made = os.getpid(), verb.make

    def kill(settings, *others):
        if settings.seed == 1:
            assert os.getpid() != parent
            os.kill(os.getpid(), signal.SIGKILL)
        return made(settings, *others)

    monkeypatch.setattr(verb, "make", kill)
    rows = [{**STYLE, "iterations": 1, "seed": seed, "output": f"{seed}.png"} for seed in range(4)]
    for rows_left in (rows, rows[1:2]):  # with others to go on with, and alone
        code, records, _, _ = batch(
            capfd, manifest(rows_left), "--jobs", "2", "-o", str(len(rows_left))
        )
        assert code == 1
        told = {r["output"].partition("/")[2]: r["status"] for r in records}
        assert told.pop("1.png") == "failed"
        assert set(told.values()) <= {"made"}
        assert len(records) == len(rows_left)
