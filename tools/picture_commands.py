"""Small commands over all verbs of minicnn, and the pictures, data sets and weights they read.

All is drawn from one seed. A command reads from the folder `in` and writes into its own.
"""

import io
import json
import struct

import h5py
import numpy as np
from PIL import Image

STYLE = "style in/content.png in/style.png -o out.png --size 72 --iterations 3"
TEXTURE = "texture in/style.png -o out.png --size 64 --source-size 64 --iterations 3"
INVERT = "invert in/content.png -o out.png --iterations 4 --layer"
COMMANDS = {
    "style": f"{STYLE} --sheet sheet.png --plot loss.png",
    "style-scales": f"{STYLE} --size 96 --scales 2 --iterations 5 --style-size 64",
    "style-blend": "style in/content.png in/style.png in/style2.png -o out.png --size 72 "
    "--iterations 3 --blend 3,1",
    "style-masks": "style in/content.png in/style.png in/style2.png -o out.png --size 72 "
    "--iterations 3 --content-mask in/mask.png in/mask2.png --style-mask in/mask3.png in/mask4.png",
    "style-labels": "style in/content.png in/style.png in/style2.png -o out.png --size 72 "
    "--iterations 3 --content-mask in/labels.png",
    "style-gatys": f"{STYLE} --preset gatys --seed 3",
    "style-neural-style": f"{STYLE} --preset neural-style --optimizer adam",
    "style-seed": f"{STYLE} --preset seed --optimizer lbfgs",
    "style-luminance": f"{STYLE} --preserve-color luminance",
    "style-histogram": f"{STYLE} --preserve-color histogram --tv absolute",
    "style-match": f"{STYLE} --match-color mean-cov",
    "style-cholesky": f"{STYLE} --match-color cholesky --tv neural-style",
    "style-tile": f"{STYLE} --size 96 --tile 48",
    "style-low-memory": f"{STYLE} --low-memory",
    "style-replicate": f"{STYLE} --padding replicate",
    "style-mix": f"{STYLE} --init mix --noise-ratio 0.3 --seed 7 --bits 16",
    "style-adam": f"{STYLE} --optimizer adam --iterations 6 --gif out.gif --every 2",
    "style-lbfgs": f"{STYLE} --optimizer lbfgs --size 96 --scales 2 --iterations 5 --save-every 2",
    "style-momentum": f"{STYLE} --optimizer momentum --frames frames --every 1",
    "style-sweep": f"{STYLE} --iterations 2 --sweep style-weight=1,100",
    "style-pool": f"{STYLE} --network minizfnet --pool average --style-layers relu1,relu2=0.5 "
    "--content-layers relu2",
    "style-explicit": f"{STYLE} --size 48 --iterations 2 --engine explicit "
    "--gram gatys --content-loss relative",
    "texture": f"{TEXTURE} --sheet sheet.png",
    "texture-seamless": f"{TEXTURE} --seamless --histogram",
    "texture-channels": f"{TEXTURE} --size 80x64 --normalize channels --layers relu1_1,pool1=0.5 "
    "--bounds none --optimizer adam",
    "texture-sweep": f"{TEXTURE} --sweep --iterations 2 --layers relu1_1,relu2_1",
    "invert-layers": f"{INVERT} relu1_2,relu3_3 --sheet sheet.png",
    "invert-restarts": f"{INVERT} relu2_2 --restarts 2 --optimizer lbfgs",
    "invert-cvpr15": f"{INVERT} relu3 --preset cvpr15 --network minialexnet --gif out.gif",
    "invert-ijcv16": f"{INVERT} relu3 --preset ijcv16 --network minizfnet --seed 2",
    "deconv": "deconv in/content.png --layer relu3_3 --unit max:9 -o out.png "
    "--overlay overlay.png --sheet sheet.png --npz out.npz",
    "deconv-guided": "deconv in/content.png --network minizfnet --layer relu2 --unit 3 "
    "--position all --rule guided --overlap max --lrn gradient -o out.png --npz out.npz",
    "features": "features in/pictures --layers relu1_2,relu2_2 --top 3 --tile 32 -o made",
    "features-data": "features in/set.h5 --split train --network minialexnet --layers relu2 "
    "--top 2 --limit 6 --no-sheets -o made",
    "saliency": "saliency in/content.png -o out.png --overlay overlay.png --sheet sheet.png "
    "--npz out.npz",
    "saliency-noise": "saliency in/content.png --class 5 --signed --average noise --samples 4 "
    "--seed 1 -o out.png --npz out.npz",
    "saliency-shifts": "saliency in/content.png --rule guided --average shifts --samples 4 "
    "--network minizfnet -o out.png --npz out.npz",
    "class-model": "class-model --class 7 -o out.png --sheet sheet.png --npz out.npz "
    "--iterations 8 --tv-weight 0.1 --blur 0.5 --noise 5 --jitter 2 --seed 4",
    "occlusion": "occlusion in/content.png -o out.png --overlay overlay.png --sheet sheet.png "
    "--npz out.npz --step 12",
    "attribute": "attribute in/content.png --method integrated --steps 8 -o out.png --npz out.npz",
    "attribute-cam": "attribute in/content.png --method guided-grad-cam --maps relu3_3 -o out.png "
    "--npz out.npz",
    "fool": "fool in/content.png -o out.png --npz out.npz",
    "train": "train in/set -o made --network minizfnet --epochs 2 --batch 8 --group 4 "
    "--crop 64 --border 4 --dropout 0.2 --snapshots 1,2 --rate 0.02\n"
    "curves made -o curves.png\n"
    "evolution made/epoch-001.h5 made/epoch-002.h5 --data in/set --sample 2 "
    "--layers relu1,relu5 -o evolution",
    "train-norms": "train in/set.h5 -o made --epochs 1 --batch 8 --group 4 --limit 16 --crop 32\n"
    "weights fold made/last.h5 -o folded.h5",
    "evolution": "evolution minizfnet --data in/pictures --limit 3 --sample 3 --units 3 "
    "--layers relu1,relu5 -o made",
    "compare": "compare minizfnet random:minialexnet --data in/set --limit 4 --units 4 -o made",
    "curves": "curves minivgg -o out.png",
    "convert-npz": "weights convert in/weights.npz --network minizfnet -o out.h5",
    "convert-fold": "weights convert in/norms.safetensors --network minivgg --fold "
    "--dtype float16 -o out.h5",
    "convert-until": "weights convert minivgg --network minivgg --until pool2 -o out.h5",
    "weights-normalize": "weights normalize minivgg in/pictures --limit 3 --size 64 -o out.h5",
    "weights-info": "weights info minivgg\nweights verify minizfnet",
    "classify": "classify in/content.png in/style.png --top 3",
    "models": "models\nmodels vgg19 --size 96",
    "gradcheck": "gradcheck",
    "batch": "batch --contents in/pictures --styles in/pictures -o made --name {row}.png "
    "--set size=64 --set iterations=3",
    "lab": "lab\nlab 1 -o made\nlab 1 -o made --solutions",
    "derive": "derive\nderive conv2d\nderive style",
    "data": "data shapes -o made --count 2\ndata digits -o digits --count 2 --seed 3",
    "figures": "figures -o made --only 2,3,9,10,13 --picture in/content.png --style in/style.png "
    "--size 64 --iterations 3",
    "rerun": f"{STYLE} --seed 5 --init noise\nrerun out.png -o again.png",
    "video": f"{STYLE} --frames way --every 2\nvideo way in/style.png -o made --size 64 "
    "--iterations 3",
    "demo": "demo -o made --size 64 --iterations 2",
}
THREADED = "style texture invert deconv saliency class-model occlusion attribute fool features demo"
THREADED = {*THREADED.split(), "classify", "train", "evolution", "compare", "figures"}
QUIET = THREADED - {"classify"} | {"rerun", "data", "batch"}


def command_lines(name) -> list:
    """Return the arguments of the commands of a name, one list each."""
    lines = []
    for line in COMMANDS[name].splitlines():
        words = [*line.split(), "--json"]
        words += ["--threads", "2"] * (words[0] in THREADED) + ["--quiet"] * (words[0] in QUIET)
        lines.append(words)
    return lines


def draw_inputs(folder) -> None:
    """Write all that the commands read."""
    rng = np.random.default_rng(20)
    folder.mkdir()
    for name, size, waves in (("content", (96, 72), 3), ("style", (80, 80), 12)):
        _picture(rng, size, waves).save(folder / f"{name}.png")
    _picture(rng, (88, 64), 25).save(folder / "style2.png")
    ramp = np.linspace(-1, 2, 96).clip(0, 1) * np.ones((72, 1))
    masks = {"mask": ramp, "mask2": 1 - ramp, "labels": ramp > 0.5}  # the content's size
    masks |= {"mask3": np.eye(80) < 1, "mask4": np.tri(64, 88)}  # each as its style
    for name, mask in masks.items():
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "pictures").mkdir()
    for i in range(5):
        _picture(rng, (64 + 8 * i, 72), 2 + 3 * i).save(folder / "pictures" / f"{i}.png")
    _data_set(rng, folder)
    _weights(rng, folder)


def _picture(rng, size, waves):
    """Return a picture of so many plane waves and an ellipse."""
    x, y = np.meshgrid(*(np.linspace(0, 1, n) for n in size))
    level = np.zeros((*x.shape, 3))
    for _ in range(waves):
        a, b = rng.normal(0, 2 * waves**0.5, 2)
        wave = np.cos(2 * np.pi * (a * x + b * y) + rng.uniform(0, 6))
        level += wave[..., None] * rng.uniform(-1, 1, 3)
    level /= np.abs(level).max()
    u, v = rng.uniform(0.3, 0.7, 2)
    inside = ((x - u) / 0.2) ** 2 + ((y - v) / 0.3) ** 2 < 1
    level[inside] = 0.3 * level[inside] + 0.7 * rng.uniform(-1, 1, 3)
    return Image.fromarray((127.5 + 120 * level).astype(np.uint8))


def _data_set(rng, folder):
    """Write two classes, of few and of many waves, as folders and as one HDF5 file."""
    with h5py.File(folder / "set.h5", "w") as file:
        # more names than classes, of a letter each: so records of older versions go on to compare
        file.attrs["class_names"] = list('json:["calm", "wild"]')
        for split, count in (("train", 12), ("val", 4)):
            data, labels = [], []
            for label, name in enumerate(("calm", "wild")):
                own = folder / "set" / split / name
                own.mkdir(parents=True)
                for i in range(count):
                    stream = io.BytesIO()
                    _picture(rng, (64, 64), 2 + 20 * label).save(stream, "png")
                    (own / f"{i:02}.png").write_bytes(stream.getvalue())
                    data.append(stream.getvalue())
                    labels.append(label)
            group = file.create_group(split)
            group["bytes"] = np.frombuffer(b"".join(data), np.uint8)
            group["offset"] = np.cumsum([0, *map(len, data)])
            group["label"] = np.array(labels)


def _weights(rng, folder):
    """Write minizfnet as an .npz of our own names, minivgg-bn as safetensors of PyTorch's."""
    shapes = [(48, 3, 7, 7), (64, 48, 5, 5), (80, 64, 3, 3), (80, 80, 3, 3), (64, 80, 3, 3)]
    shapes += [(160, 256), (160, 160), (200, 160)]
    arrays = {}
    for i, shape in enumerate(shapes, start=1):
        name = f"conv{i}" if len(shape) == 4 else f"fc{i}"
        arrays[f"{name}.weight"] = rng.normal(0, 0.05, shape).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    np.savez(folder / "weights.npz", **arrays)
    arrays, before = {}, 3
    for name, size in zip(
        ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3"),
        (32, 32, 64, 64, 128, 128, 128, 256, 256, 256),
        strict=True,
    ):
        arrays[f"conv{name}.weight"] = rng.normal(0, 0.05, (size, before, 3, 3))
        for part, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
            arrays[f"bn{name}.{part}"] = rng.uniform(low, 1.5, size)
        arrays[f"bn{name}.running_var"] = rng.uniform(0.5, 1.5, size)
        before = size
    arrays["fc5.weight"], arrays["fc5.bias"] = rng.normal(0, 0.05, (200, 256)), np.zeros(200)
    header, body = {}, b""
    for name, array in arrays.items():
        raw = array.astype("<f4").tobytes()
        at = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": at}
        body += raw
    text = json.dumps(header).encode()
    (folder / "norms.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
