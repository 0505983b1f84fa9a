"""Whole commands: seconds until `minicnn style` has the loss that a PyTorch script ends with.

    python benchmarks/end_to_end.py [--size 512] [--steps 500] [--network vgg19] [--weights FILE]

A peer is a script of its own process, which reads the same pictures and weights and minimises the
same loss, without total variation, at full size for --steps steps: by `torch.optim.LBFGS`, or by
SciPy's L-BFGS-B with PyTorch's gradient. Then `minicnn style` paints: at its smaller sizes as if
--steps were those of all sizes, at the full one at most --steps. At the first step there whose loss
is as low it is interrupted, and writes its picture. Times are of whole processes, from the first
import to the file of the result; in brackets of the processors, which a busy machine disturbs less
(but threads that wait spin). A peer's loss is checked against ours, at the start and at its end.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from options import Parser
from table import markdown

from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError
from minicnn.methods.style.inputs import open_job
from minicnn.methods.style.settings import StyleSettings
from minicnn.objectives.gram import STYLE

DEMO = Path(__file__).resolve().parents[1] / "minicnn" / "demo"
PEERS = {"torch": "torch.optim.LBFGS", "scipy": "PyTorch and SciPy's L-BFGS-B"}
PAIRS = 10  # that all remember
ROUNDING = 1e-3  # of a loss


def parse(argv=None):
    parser = Parser(
        description=__doc__.partition("\n\n")[0],
        epilog="example: python benchmarks/end_to_end.py --size 256 --steps 50 --peers torch",
    )
    add = parser.add_argument
    add("--content", type=Path, default=DEMO / "content.jpg", help="that of the demo, 4:3")
    add("--style", type=Path, default=DEMO / "style.jpg", help="that of the demo")
    add("--size", type=int, default=512, help="long side, 512")
    add("--steps", type=int, default=500, help="of the peer, and of ours at full size at most; 500")
    add("--network", default="vgg19", help="vgg19")
    add("--weights", help="file; the network's own")
    add("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="both")
    add("--rounds", type=int, default=1, help="pairs, 1")
    add("--threads", help="for each; as many as there are processors")
    add("--only-peer", nargs=2, metavar=("NAME", "OUT"), help="be the script of a peer")
    args = parser.parse_args(argv)
    try:
        args.threads = thread_count(args.threads)
        if min(args.steps, args.rounds) < 1:
            parser.error("--steps and --rounds are whole numbers from 1")
    except MinicnnError as error:
        parser.error(str(error))
    return args


def main(argv=None):
    args = parse(argv)
    try:
        if args.only_peer:
            return paint(args, *args.only_peer)
        rows = [row(args, name) for _ in range(args.rounds) for name in args.peers]
    except (MinicnnError, RuntimeError) as error:
        sys.exit(f"end_to_end: {error}")
    head = ["seconds (of processors)", "its", "its loss", "ours", "ours / its", "at our step"]
    print(markdown([head, *rows]))
    return 0


def job_of(args, **more):
    """Return the `StyleJob` that all share."""
    how = {"size": args.size, "network": args.network, "weights": args.weights, "tv_weight": 0.0}
    how |= {"threads": args.threads, **more}
    return open_job(StyleSettings(str(args.content), str(args.style), **how))


def row(args, name):
    """Time a peer, then ours until its loss; return the cells of a line."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / "theirs.npz"
        again = [f"--{key}={getattr(args, key)}" for key in ("content", "style", "size", "steps")]
        again += [f"--network={args.network}", f"--threads={args.threads}"]
        again += [f"--weights={args.weights}"] if args.weights else []
        words = [sys.executable, __file__, *again, "--only-peer", name, str(theirs)]
        its = _Clock()
        if subprocess.run(words, check=False).returncode:
            raise RuntimeError(f"{PEERS[name]} failed")
        its.stop()
        with np.load(theirs) as found:
            loss = _checked(args, found)
        clock = _Clock()
        step = ours(args, Path(folder) / "ours.png", loss)
        clock.stop()
    ratios = f"{clock.seconds / its.seconds:.2f} ({clock.used / its.used:.2f})" if step else "-"
    return [PEERS[name], its.text, f"{loss:.5g}", clock.text, ratios, step or "never"]


class _Clock:
    """Seconds of the wall, and of the processors for what was started and has ended."""

    def __init__(self):
        self.seconds, self.used = -perf_counter(), -self._children()

    def stop(self):
        self.seconds, self.used = self.seconds + perf_counter(), self.used + self._children()
        self.text = f"{self.seconds:.1f} ({self.used:.1f})"

    @staticmethod
    def _children():
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime


def _checked(args, found):
    """Return our loss of a peer's picture; it must be the peer's, as at the start."""
    job = job_of(args, scales=1, iterations=1)
    fun = job.function()
    losses = [float(fun(x)[0]) for x in (job.start, found["x"])]
    for mine, theirs in zip(losses, found["losses"], strict=True):
        if not abs(mine - theirs) <= ROUNDING * mine:
            raise RuntimeError(
                f"the peer minimises another loss: {theirs:g} where ours is {mine:g}"
            )
    return losses[1]


def ours(args, path, loss):
    """Paint until the loss at full size is reached; return the step as text, "" if never."""
    coarse = job_of(args, iterations=args.steps).counts[:-1]
    words = [sys.executable, "-m", "minicnn", "style", str(args.content), str(args.style)]
    words += ["-o", str(path), "--size", str(args.size), "--network", args.network]
    words += ["--tv-weight", "0", "--threads", str(args.threads), "--json"]
    words += ["--iterations", ",".join(map(str, [*coarse, args.steps]))]
    words += ["--weights", args.weights] if args.weights else []
    step = ""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        said = ""
        for line in run.stdout:
            said = json.loads(line) if line.startswith("{") else {"error": line}
            here = said.get("iteration", 0)
            if not step and here > sum(coarse) and said["losses"]["total"] <= loss:
                step = f"{here} ({here - sum(coarse)} at full size)"
                run.send_signal(signal.SIGINT)  # it writes its picture
    if not path.exists():
        raise RuntimeError(f"minicnn style failed: {said}")
    return step


def paint(args, name, out):
    """Be a peer: minimise the style loss with PyTorch; save x, first and last loss."""
    import torch
    from peers._torch import Walk, _gram

    torch.set_num_threads(args.threads)
    job = job_of(args, scales=1, iterations=1)
    s = job.settings
    walk = Walk(job.net, [*s.style_layers, *s.content_layers], torch.channels_last)
    with torch.no_grad():
        acts, styled = (walk(_laid(torch.from_numpy(a))) for a in (job.content, job.styles[0]))
        contents = {layer: acts[layer] for layer in s.content_layers}
        grams = {layer: _gram(styled[layer]) for layer in s.style_layers}

    def loss(x):
        acts, total = walk(_laid(x)), 0.0
        for layer, weight in s.content_layers.items():
            distance = (acts[layer] - contents[layer]).square().mean()
            total = total + s.content_weight * weight * distance
        for layer, weight in s.style_layers.items():
            distance = (_gram(acts[layer]) - grams[layer]).square().sum()
            total = total + s.style_weight * weight * STYLE[s.gram](len(grams[layer])) * distance
        return total

    x = torch.from_numpy(job.start)
    with torch.no_grad():
        first = float(loss(x))
    x = (_with_torch if name == "torch" else _with_scipy)(loss, x, args.steps)
    with torch.no_grad():
        np.savez(out, x=x.numpy(), losses=[first, float(loss(x))])


def _laid(x):
    import torch

    return x.contiguous(memory_format=torch.channels_last)


def _with_torch(loss, x, steps):
    import torch

    x = x.clone().requires_grad_()
    how = {"max_eval": 2 * steps, "history_size": PAIRS, "tolerance_grad": 0, "tolerance_change": 0}
    search = torch.optim.LBFGS([x], max_iter=steps, line_search_fn="strong_wolfe", **how)

    def closure():
        search.zero_grad()
        value = loss(x)
        value.backward()
        return value

    search.step(closure)
    return x.detach()


def _with_scipy(loss, x, steps):
    import torch
    from scipy.optimize import minimize

    def fun(z):
        picture = torch.from_numpy(z.astype(np.float32).reshape(x.shape)).requires_grad_()
        value = loss(picture)
        (gradient,) = torch.autograd.grad(value, picture)
        return value.item(), gradient.numpy().astype(np.float64).ravel()

    how = {"maxiter": steps, "maxcor": PAIRS, "ftol": 0, "gtol": 0}
    found = minimize(fun, x.numpy().ravel(), jac=True, method="L-BFGS-B", options=how)
    return torch.from_numpy(found.x.astype(np.float32).reshape(x.shape))


if __name__ == "__main__":
    sys.exit(main())
