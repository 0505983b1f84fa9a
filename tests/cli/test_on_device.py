"""Every verb that computes on a device: on the second of two that are played, and on the CPU."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image
from played_gpu import gpus as gpus
from tiny_network import tiny as tiny

from minicnn.cli import main
from minicnn.cli.register import VERBS, verb_of
from minicnn.network import architectures
from minicnn.network.build import random_params, skeleton
from minicnn.weights import checkpoint

SEARCH = "-o OUT.png --iterations 2 --network tiny --weights random"
LOOK = "-o OUT.png --network tiny --weights random"
LAYERS = "--content-layers relu2_1 --style-layers relu1_1"
STYLE = f"style a.png b.png {SEARCH} --size 24 {LAYERS}"
TEXTURE = f"texture b.png {SEARCH} --size 24 --source-size 24 --layers relu1_1,pool1"
# what verbs are told -> how far pixels or numbers may be from the CPU's
COMMANDS = {
    f"{STYLE} --optimizer lbfgs-device --precision fp32": 1,
    f"{STYLE} --optimizer lbfgs --content-mask a.png --style-mask b.png": 1,
    f"{STYLE} --optimizer lbfgs-device --precision fp16 --init mix": 2,
    f"{TEXTURE} --seamless --histogram": 1,
    f"{TEXTURE} --tile 16 --optimizer momentum": 1,
    f"invert a.png {SEARCH} --layer relu2_1 --preset cvpr15 --engine low-memory": 1,
    f"deconv a.png {LOOK} --layer relu2_1 --unit max:2 --npz OUT.npz": 1e-3,
    f"saliency a.png {LOOK} --average noise --samples 2": 1,
    f"class-model {SEARCH} --class 2 --blur 0.5 --jitter 2": 1,
    f"occlusion a.png {LOOK} --window 16 --step 16": 1,
    f"attribute a.png {LOOK} --method guided-grad-cam --maps relu2_1": 1,
    f"fool a.png {LOOK}": 1,
    "classify a.png --network tiny --weights random": 1e-3,
    "features data/val -o OUT --layers relu1_1 --top 1 --network tiny --weights random": 1,
    "train data -o OUT --network tiny --epochs 1 --batch 4 --group 2 --size 16 --crop 16": 1e-3,
    "distill data/val --teacher teacher.h5 -o OUT --steps 2 --batch 2 --sizes 8 --fit 4": 1e-3,
    f"video frames b.png -o OUT {SEARCH[11:]} --size 24 {LAYERS} --precision fp32": 1,
    "batch jobs.csv -o OUT": 1,  # in a process of its own
    "demo -o OUT --iterations 2 --size 48 --network minivgg --precision fp32": 1,
}


@pytest.fixture(autouse=True)
def student(tiny, monkeypatch):
    """A student of a few filters; the network `tiny` is there too."""
    monkeypatch.setattr(architectures, "SLIM", (((8, 3), (8, 3)), ((8, 3),)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what the commands read."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(1)
    splits = [f"data/{split}/{kind}" for split in ("train", "val") for kind in "ab"]
    for name in (*splits, "frames"):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            _picture(rng, 16 if "data" in name else 32).save(folder / name / f"{i}.png")
    for name in "ab":
        _picture(rng, 32).save(folder / f"{name}.png")
    row = "verb,image,network,weights,output\nsaliency,a.png,tiny,random,row.png\n"
    (folder / "jobs.csv").write_text(row)
    teacher = skeleton("vgg19", last="relu2_1", pool="average")
    teacher.params = random_params(teacher.param_shapes(), 1)
    checkpoint.save(teacher, folder / "teacher.h5")
    return folder


def _picture(rng, side):
    blobs = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return blobs.resize((side, side), Image.Resampling.BICUBIC)


def takes_device(name):
    parser = argparse.ArgumentParser()
    verb_of(name).add(parser)
    return any("--device" in action.option_strings for action in parser._actions)


def test_all_verbs_with_devices_are_tried():
    assert {command.split()[0] for command in COMMANDS} == {*filter(takes_device, VERBS)}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_a_verb_gives_on_a_device_what_it_gives_on_the_cpu(
    command, folder, gpus, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    found = []
    for device in ("cuda:1", "cpu"):
        out = tmp_path / device.replace(":", "")
        out.mkdir()
        words = command.replace("OUT", str(out / "out") if "OUT." in command else str(out))
        if device == "cpu":
            words = words.replace("--precision fp16", "")
        launched = len(gpus.LAUNCHED)
        assert main([*words.split(), "--device", device, "--json"]) == 0, capsys.readouterr()
        if not words.startswith("batch"):
            assert (len(gpus.LAUNCHED) > launched) == (device != "cpu")
        found.append(results(out, capsys.readouterr().out))
    there, here = found
    assert there.keys() == here.keys()
    for name, numbers in here.items():
        assert abs(there[name] - numbers).max() <= COMMANDS[command], name


def results(folder, said):
    """Return {name: numbers} of pictures and weights in a folder; of none of what was said."""
    found = {}
    for path in sorted(folder.rglob("*.*")):
        if path.suffix == ".npz":  # the picture has numbers written into it
            return {"npz": np.load(path)["reconstruction"]}
        if path.suffix == ".png":
            found[path.name] = np.asarray(Image.open(path), np.float32)
        elif path.name == "last.h5":
            net = checkpoint.load(path)
            found |= net.params
    if not found:
        lines = [json.loads(line) for line in said.splitlines()]
        found["said"] = np.array([c["probability"] for row in lines for c in row["classes"]])
    return found
