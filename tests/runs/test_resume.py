"""A search goes on from its checkpoint to the bytes of a run that was never stopped."""

import importlib.util
import json
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn.cli
from minicnn.errors import MinicnnError
from minicnn.optimizers import resumable, setulb
from minicnn.pictures.writer import read_metadata
from minicnn.storage.npz import load_large, save_large

ROOT = Path(__file__).resolve().parents[2]
SMALL = "style in/a.png in/b.png --size 48 --scales 1 --threads 1 --quiet"
SHORT = {
    "style": "style in/a.png in/b.png --size 96 --scales 2 --iterations 6 --sheet sheet.png",
    "lbfgs": f"{SMALL} --iterations 5 --optimizer lbfgs --frames way --every 2",
    "adam": f"{SMALL} --iterations 5 --optimizer adam --gif way.gif --every 2 --save-every 2",
    "momentum": f"{SMALL} --iterations 5 --optimizer momentum",
    "gradient-descent": f"{SMALL} --iterations 5 --optimizer gradient-descent",
    "sweep": f"{SMALL} --iterations 3 --sweep style-weight=1,40",
    "texture": "texture in/b.png --size 48 --iterations 3 --sweep --layers relu1_1,relu2_1",
    "invert": "invert in/a.png --layer relu1_2,relu2_2 --restarts 2 --iterations 3",
    "cvpr15": "invert in/a.png --layer relu2_2 --preset cvpr15 --iterations 5",
    "ijcv16": "invert in/a.png --layer relu2_2 --preset ijcv16 --restarts 2 --iterations 7",
    "class-model": "class-model --class 7 --iterations 6 --jitter 3 --noise 5 --optimizer adam",
}


class Killed(BaseException):
    """The end of a program that nobody is told of."""


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("kill_runs", ROOT / "tools" / "kill_runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tool, tmp_path, monkeypatch):
    """A working folder with the two pictures."""
    tool.draw(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


def run(command, *more, output="out.png"):
    """The exit code of a command with a checkpoint after every iteration."""
    return minicnn.cli.main([*command.split(), "-o", output, "--checkpoint-every", "0", *more])


def killed_at(monkeypatch, write, command, *more):
    """Run a command that is killed behind its so many-th checkpoint; return whether it was."""
    count = 0

    def save(*args):
        nonlocal count
        save_large(*args)
        count += 1
        if count == write:
            raise Killed

    monkeypatch.setattr(resumable, "save_large", save)
    try:
        assert run(command, *more) == 0
        return False
    except Killed:
        return True
    finally:
        monkeypatch.setattr(resumable, "save_large", save_large)


@pytest.mark.parametrize("name", SHORT)
def test_a_killed_run_goes_on_to_the_same_bytes(name, tool, folder, tmp_path, monkeypatch):
    assert run(SHORT[name]) == 0
    expected = tool.files(folder)
    shutil.move(folder, tmp_path / "undisturbed")
    tool.draw(folder)
    monkeypatch.chdir(folder)
    more = []
    while killed_at(monkeypatch, 2, SHORT[name], *more):  # every second iteration again
        more = ["--resume"]
    assert more, "never killed"
    assert tool.files(folder) == expected


def test_runs_killed_by_the_system(tool, tmp_path):
    dice = random.Random(3)
    for name in ("style-adam", "invert"):
        expected = tool.undisturbed(name, tmp_path / name)
        for i in range(20):  # where the processor is fast a run may be over before
            kills, _, faults = tool.one_picture(name, tmp_path / f"{name}-{i}", expected, dice, 3)
            if kills or faults:
                break
        assert (kills > 0, faults) == (True, [])


def test_ctrl_c_saves_the_picture_and_keeps_the_checkpoint(folder, monkeypatch, capsys):
    command = f"{SMALL.replace(' --quiet', '')} --iterations 6"
    assert run(command, output="whole.png") == 0
    count = 0

    def save(*args):
        nonlocal count
        save_large(*args)
        count += 1
        if count == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(resumable, "save_large", save)
    assert run(command) == 130
    assert read_metadata("out.png")["result"]["status"] == "interrupted"
    assert "with --resume goes on from iteration 2" in capsys.readouterr().err
    assert run(command, "--resume") == 0
    assert (folder / "out.png").read_bytes() == (folder / "whole.png").read_bytes()
    assert not (folder / "out.png.checkpoint").exists()


def test_what_is_made_is_not_made_again(folder, capsys):
    command = f"{SMALL} --iterations 2"
    assert run(command, "--resume") == 0  # from the beginning
    before = (folder / "out.png").stat()
    assert run(command, "--resume", "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["event"], told["made"]) == ("result", "before")
    assert (folder / "out.png").stat().st_mtime_ns == before.st_mtime_ns
    assert run(f"{SMALL} --iterations 3", "--resume") == 1  # another picture
    assert "exists already" in capsys.readouterr().err


def test_a_short_run_writes_no_checkpoint(folder, monkeypatch):
    monkeypatch.setattr(resumable, "save_large", None)
    assert minicnn.cli.main([*SMALL.split(), "-o", "out.png", "--iterations", "2"]) == 0


def test_a_checkpoint_that_cannot_be_written_costs_no_picture(folder, monkeypatch, capsys):
    def full(*_):
        raise MinicnnError("No space left on device")

    monkeypatch.setattr(resumable, "save_large", full)
    assert run(SMALL.replace(" --quiet", ""), "--iterations", "3") == 0
    assert capsys.readouterr().err.count("goes on without a checkpoint") == 1


@pytest.fixture
def half(folder, monkeypatch):
    """The checkpoint of a run of 4 iterations, killed behind the second."""
    assert killed_at(monkeypatch, 2, SMALL, "--iterations", "4")
    return folder / "out.png.checkpoint"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--iterations 5", "iterations = 4, now 5"),
        ("--iterations 4 --seed 3", "seed = 0, now 3"),
        ("--iterations 4 --weights random", "the weights"),
    ],
)
def test_other_settings_are_named(half, capsys, more, said):
    assert run(SMALL, "--resume", *more.split()) == 1
    error = capsys.readouterr().err
    assert "of another run" in error
    assert said in error


def test_another_picture_is_named(half, folder, capsys):
    shutil.copy("in/b.png", "in/a.png")
    assert run(SMALL, "--resume", "--iterations", "4") == 1
    assert "the picture content" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "bit", "zip", "folder", "pickle"])
def test_a_damaged_or_foreign_checkpoint_is_one_line(half, capsys, damage):
    data = bytearray(half.read_bytes())
    half.unlink()
    if damage == "bit":
        data[len(data) // 2] ^= 1
    if damage == "folder":
        half.mkdir()
    elif damage == "zip":
        with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.npy", bytes(1 << 20))
    elif damage == "pickle":
        with open(half, "wb") as file:
            np.savez(file, metadata=np.array({}, object))
    else:
        content = {"cut": data[:-300], "empty": b"", "text": b"hello", "bit": data}
        half.write_bytes(content[damage])
    assert run(SMALL, "--resume", "--iterations", "4") == 1
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert "out.png.checkpoint" in error


def test_a_checkpoint_with_parts_missing_or_others_is_one_line(half, capsys):
    arrays, told = load_large(half)
    faults = [(arrays, {k: v for k, v in told.items() if k != key}) for key in told]
    faults += [(arrays, {**told, key: 7}) for key in told]
    faults += [({k: v for k, v in arrays.items() if k != key}, told) for key in arrays]
    faults += [({**arrays, key: arrays[key][:1]}, told) for key in arrays if len(arrays[key]) > 1]
    for fault in faults:
        save_large(half, *fault)
        assert run(SMALL, "--resume", "--iterations", "4") == 1
        (error,) = capsys.readouterr().err.strip().splitlines()
        assert "Traceback" not in error


def test_other_versions_are_noted(half, capsys):
    arrays, told = load_large(half)
    told["about"]["versions"]["numpy"] = "1.0"
    save_large(half, arrays, told)
    assert run(SMALL.replace(" --quiet", ""), "--resume", "--iterations", "4") == 0
    assert "was 1.0: other bytes may come out" in capsys.readouterr().err


def test_a_name_of_its_own(folder, monkeypatch, capsys):
    assert run(SMALL, "--iterations", "2", "--checkpoint", "in/a.png") == 1
    assert "use one of .checkpoint" in capsys.readouterr().err
    more = ["--iterations", "4", "--checkpoint", "here.checkpoint"]
    assert killed_at(monkeypatch, 2, SMALL, *more)
    assert (folder / "here.checkpoint").exists()
    assert run(SMALL, *more, "--resume") == 0
    assert not (folder / "here.checkpoint").exists()


def test_where_scipys_routine_is_unknown_a_checkpoint_is_refused(folder, monkeypatch, capsys):
    monkeypatch.setattr(setulb, "available", lambda: False)
    scipys = "--optimizer", "lbfgs", "--iterations", "2"
    assert run(SMALL, *scipys) == 0
    assert run(SMALL, *scipys, "--checkpoint", "a.checkpoint", output="b.png") == 1
    assert "lbfgs-device" in capsys.readouterr().err
