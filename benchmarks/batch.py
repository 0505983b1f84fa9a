"""What a picture of a batch takes, beside the evaluations of its loss alone, and other ways.

    python benchmarks/batch.py --size 256 --iterations 50 --pictures 7

A folder of photographs of one size is painted like one picture, at one size, without total
variation and with zeros beyond the edges, so that the PyTorch script is short. For each photograph,
one after the other, in an order that turns:

    batch         a row of `minicnn batch`, in a process that goes on
    evaluations   as many calls of the compiled loss as that row has made, and nothing else
    verb          `minicnn style`, a process for each picture, as a loop of the shell has it
    pytorch       a script that keeps its model and the style's targets: the same loss by autograd,
                  driven by the same SciPy routine

What is compared are the two times of one photograph; the table has medians. Seconds are of the
processor, of all threads and processes, since those of the clock are also other programs'.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

DEMO = ROOT / "minicnn" / "demo"
COMMON = {"scales": 1, "tv_weight": 0.0, "padding": "zero", "gram": "gatys", "content_loss": "mean",
          "optimizer": "lbfgs"}  # fmt: skip


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("size", 256), ("iterations", 50), ("pictures", 7), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["MINICNN_THREADS"] = str(options.threads)
    if options.torch:
        return serve_torch(options)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        photographs(options)
        table(measured(options), options)


def photographs(options):
    """Draw the folder: the demo's content, mirrored and moved, all of one size; and the style."""
    with Image.open(DEMO / "content.jpg") as image:
        whole = np.asarray(image.convert("RGB"))
    side = min(whole.shape[:2]) // 2
    for i in range(options.pictures):
        top = i * (whole.shape[0] - side) // max(1, options.pictures)
        part = whole[top : top + side, 3 * i : 3 * i + side][:, :: 1 - 2 * (i % 2)]
        Image.fromarray(np.ascontiguousarray(part)).resize((options.size,) * 2).save(f"{i}.png")
    with Image.open(DEMO / "style.jpg") as image:
        image.convert("RGB").resize((options.size,) * 2).save("style.png")


def settings(options, i):
    """Return the settings of a photograph."""
    from minicnn.methods.style.settings import StyleSettings

    how = {"size": options.size, "iterations": options.iterations, **COMMON}
    return StyleSettings(content=f"{i}.png", style=["style.png"], **how)


def measured(options):
    """Return {way: [seconds of each photograph]}."""
    from pairs import Process

    from minicnn.cli.register import verb_of
    from minicnn.engine.cpu.threads import one_blas_thread
    from minicnn.methods.style.verb import STYLE, StyleOutputs
    from minicnn.runs.batch import rows, work

    words = [str(value) for value in (options.size, options.iterations, options.threads)]
    program = (sys.executable, __file__, "--torch", "--size", words[0], "--iterations", words[1])
    torch = Process("--threads", words[2], program=program)
    job = STYLE.open_job(settings(options, 0))
    with one_blas_thread():
        fun = job.function()
        first, _ = fun(job.start)
    facts = torch.answer(600)
    if abs(facts["value"] / first - 1) > 1e-3:
        raise SystemExit(f"PyTorch's loss is {facts['value']}, ours {first}")

    def batch(i):
        outputs = StyleOutputs(output=f"batch{i}.png", force=True, quiet=True)
        Path(outputs.output).unlink(missing_ok=True)  # else the row is finished
        record = work.do(rows.BatchRow(i + 1, "", "style", settings(options, i), outputs), verb_of)
        evaluations[i] = record["evaluations"]

    def alone(i):
        with one_blas_thread():
            for _ in range(evaluations[i]):
                fun(job.start)

    def verb(i):
        command = [sys.executable, "-m", "minicnn", "style", f"{i}.png", "style.png", "--quiet"]
        command += ["--size", words[0], "--iterations", words[1]]
        command += [w for k, v in COMMON.items() for w in (f"--{k.replace('_', '-')}", str(v))]
        command += ["-o", f"verb{i}.png"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        if Path(f"verb{i}.png").read_bytes() != Path(f"batch{i}.png").read_bytes():
            raise SystemExit("the verb writes other bytes than the batch")

    def pytorch(i):
        return torch.ask(i)["seconds"]

    ways, evaluations = {"evaluations": alone, "verb": verb, "pytorch": pytorch}, {}
    found = {name: [] for name in ("batch", *ways)}
    batch(0)  # what is kept from row to row is there
    for i in range(options.pictures):
        found["batch"].append(timed(batch, i))
        names = list(ways)
        for name in names[i % 3 :] + names[: i % 3]:
            found[name].append(timed(ways[name], i))
        print(f"photograph {i + 1} of {options.pictures}", file=sys.stderr)
    torch.end()
    return found


def timed(way, i):
    """Return the processor seconds that a way says, or that we and our children have taken."""
    before = os.times()
    told = way(i)
    if told is not None:
        return told
    after = os.times()
    return sum(b - a for a, b in zip(before[:4], after[:4], strict=True))


def table(found, options):
    """Print the medians, and of each pair of times of a photograph."""
    print(f"{options.size} px, {options.iterations} iterations, {options.threads} threads")
    for name, seconds in found.items():
        ratios = [other / own for own, other in zip(found["batch"], seconds, strict=True)]
        least, middle, most = min(ratios), statistics.median(ratios), max(ratios)
        print(
            f"{name:12} {statistics.median(seconds):8.2f} s a picture, {middle:5.2f} "
            f"({least:.2f} to {most:.2f}) times a row of the batch"
        )
    pairs = zip(found["batch"], found["evaluations"], strict=True)
    print(f"a row takes {statistics.median(a / b for a, b in pairs):.3f} times its evaluations")


def serve_torch(options):
    """Paint the photographs whose numbers come, and say how long each has taken."""
    import torch
    import torch.nn.functional as F
    from peers._torch import Walk
    from scipy.optimize import minimize

    from minicnn.methods.style.verb import STYLE

    torch.set_num_threads(options.threads)
    job = STYLE.open_job(settings(options, 0))
    s, mean = job.settings, job.net.attrs["preprocess"]
    taps = [*s.content_layers, *s.style_layers]
    walk = Walk(_cut(job.net, taps), taps, torch.contiguous_format)

    def gram(f):
        rows = f.reshape(f.shape[1], -1)
        return rows @ rows.t() / rows.shape[1]

    with torch.no_grad():
        acts = walk(torch.from_numpy(np.ascontiguousarray(job.styles[0])))
        targets = {name: gram(acts[name]) for name in s.style_layers}

    def loss_of(start):
        with torch.no_grad():
            acts = walk(torch.from_numpy(start))
            content = {name: acts[name].clone() for name in s.content_layers}

        def loss(flat):
            x = torch.from_numpy(flat.astype(np.float32).reshape(start.shape)).requires_grad_()
            acts, total = walk(x), 0.0
            for name, weight in s.content_layers.items():
                total = total + s.content_weight * weight * F.mse_loss(acts[name], content[name])
            for name, weight in s.style_layers.items():
                distance = (gram(acts[name]) - targets[name]).square().sum()
                factor = s.style_weight * weight / (4 * len(targets[name]) ** 2)
                total = total + factor * distance
            (gradient,) = torch.autograd.grad(total, x)
            return total.item(), gradient.numpy().ravel().astype(np.float64)

        return loss

    start = np.ascontiguousarray(job.start)
    print(json.dumps({"value": loss_of(start)(start.ravel())[0]}), flush=True)
    std, scale = np.float32(mean["std"]), np.float32(mean["scale"])
    for line in sys.stdin:
        began = time.process_time()
        with Image.open(f"{int(line)}.png") as image:
            rgb = np.float32(image.convert("RGB"))
        start = ((rgb * scale - np.float32(mean["mean"])) / std).transpose(2, 0, 1)[None]
        start = np.ascontiguousarray(start)
        how = {"maxiter": options.iterations, "maxcor": 10, "ftol": 0.0, "gtol": 0.0}
        found = minimize(loss_of(start), start.ravel(), jac=True, method="L-BFGS-B", options=how)
        x = found.x.reshape(start.shape)[0].transpose(1, 2, 0)
        rgb = ((x * std + np.float32(mean["mean"])) / scale).round().clip(0, 255)
        Image.fromarray(rgb.astype(np.uint8)).save(f"torch{int(line)}.png")
        print(json.dumps({"seconds": time.process_time() - began}), flush=True)


def _cut(net, taps):
    from minicnn.network.network import Network

    nodes = [tuple(node) for node in net.nodes_until(taps)]
    return Network(nodes, net.params, net.input_shape, net.attrs)


if __name__ == "__main__":
    sys.exit(main())
