"""A training step of minivgg-bn, ours against PyTorch's: forward, backward, update.

    python benchmarks/train_step.py [--batch 128] [--crop 48] [--threads 2] [--rounds 9] [--json F]

Same network, batch and optimizer. Ours normalises over groups of 64 pictures, one group a
thread; PyTorch over the whole batch, in both of its memory layouts.
"""

import argparse
import json
import platform
import sys

import numpy as np
from pairs import compare, serve, table

STEPS = 3  # in a unit of work


def ours(batch, crop, threads):
    from concurrent.futures import ThreadPoolExecutor

    from minicnn import models
    from minicnn.engine.conv2d import FastConvolution
    from minicnn.engine.threads import one_blas_thread
    from minicnn.tasks import train_step

    net = models.build("minivgg-bn")
    net.convolution = FastConvolution()
    x, labels = draw(batch, crop)
    groups = [slice(i, i + 64) for i in range(0, batch, 64)]
    replicas = [net.replica() for _ in groups]
    velocity = {name: np.zeros_like(p) for name, p in net.params.items() if "bn" not in name}
    rng = np.random.default_rng(0)

    def gradients(i):
        return train_step.loss_and_gradients(
            replicas[i], x[groups[i]], labels[groups[i]], 0.1, rng
        )[2]

    def work():
        with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
            for _ in range(STEPS):
                results = list(pool.map(gradients, range(len(groups))))
                for name, v in velocity.items():
                    grad = sum(result[name] for result in results) / len(results)
                    train_step.sgd_step(net.params[name], grad, v, 0.01, 0.9, True)

    return work


def torchs(batch, crop, threads, channels_last):
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layers, channels = [], 3
    for i, (width, count) in enumerate(((32, 2), (64, 2), (128, 3), (256, 3))):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            layers.append(nn.ReLU(inplace=True))
            channels = width
        layers.append(nn.MaxPool2d(2) if i < 3 else nn.AdaptiveAvgPool2d(1))
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 200))
    x, labels = (torch.tensor(a) for a in draw(batch, crop))
    if channels_last:
        net, x = (a.to(memory_format=torch.channels_last) for a in (net, x))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def work():
        for _ in range(STEPS):
            sgd.zero_grad()
            loss(net(x), labels).backward()
            sgd.step()

    return work


def draw(batch, crop):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 3, crop, crop), dtype=np.float32)
    return x, rng.integers(0, 200, batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--be", choices=("ours", "torch", "torch channels_last"))
    args = parser.parse_args()
    sizes = (args.batch, args.crop, args.threads)
    if args.be == "ours":
        return serve(ours(*sizes))
    if args.be:
        return serve(torchs(*sizes, channels_last="channels" in args.be))
    command = [sys.executable, __file__, "--batch", str(sizes[0]), "--crop", str(sizes[1])]
    command += ["--threads", str(sizes[2]), "--be"]
    programs = {name: [*command, name] for name in ("ours", "torch", "torch channels_last")}
    found = compare(programs, rounds=args.rounds)
    print(f"minivgg-bn, batch {sizes[0]}, {sizes[1]} px, {sizes[2]} threads, {STEPS} steps a round")
    print(table(found, "torch"))
    if args.json:
        found |= {"settings": vars(args), "machine": platform.platform()}
        with open(args.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
