"""Whole commands: seconds until `minicnn style` has the loss that a PyTorch program ends with.

    python benchmarks/end_to_end.py [--size 512] [--steps 500] [--network vgg19] [--weights FILE]

A peer (`painters`) is a process of its own, which reads the same pictures and weights and minimises
the same loss, without total variation, at full size for --steps steps. Then `minicnn style` paints:
at its smaller sizes as if --steps were those of all sizes, at the full one at most --steps. At the
first step there whose loss is as low it is interrupted, and writes its picture. Times are of whole
processes, from the first import to the file of the result; in brackets of the processors, which a
busy machine disturbs less (but threads that wait spin). MB are those of the process at its peak. A
peer's loss is checked against ours, at the start and at its end.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from options import Parser
from painters import PEERS, ROUNDING, installed, paint
from table import markdown

from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError
from minicnn.methods.style.inputs import open_job
from minicnn.methods.style.settings import StyleSettings
from minicnn.optimizers import WITHOUT_RATE

OURS = {
    "scales": {"type": int},
    "optimizer": {"choices": WITHOUT_RATE},
    "pairs": {"type": int},
}
SHARED = ("size", "network", "weights", "style_weight", "threads")  # with the peers
DEMO = Path(__file__).resolve().parents[1] / "minicnn" / "demo"


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
    add("--style-weight", type=float, help="of all; the network's own")
    add("--peers", nargs="+", choices=PEERS, help="those that are installed")
    add("--rounds", type=int, default=1, help="pairs, 1")
    add("--threads", help="for each; as many as there are processors")
    for name, how in OURS.items():
        add(f"--{name}", **how, help="of ours, as `minicnn style` has it")
    add("--only-peer", nargs=2, metavar=("NAME", "OUT"), help="be the script of a peer")
    args = parser.parse_args(argv)
    try:
        args.threads = thread_count(args.threads)
        here = installed(args.network)
        args.peers = args.peers or here
        if missing := set(args.peers) - set(here):
            known = ", ".join(here) or "none"
            parser.error(f"no peer {missing.pop()} of {args.network} is here; there are: {known}")
        if min(args.steps, args.rounds) < 1:
            parser.error("--steps and --rounds are whole numbers from 1")
    except MinicnnError as error:
        parser.error(str(error))
    return args


def main(argv=None):
    args = parse(argv)
    rows = []
    try:
        if args.only_peer:
            name, out = args.only_peer
            paint(job_of(args, scales=1, iterations=1), name, args.steps, out)
            return 0
        if not args.peers:
            raise RuntimeError("no peer is here; `pip install torch==2.13.0`")
        for name in args.peers * args.rounds:
            rows.append(row(args, name))
            print(*rows[-1], sep=", ", file=sys.stderr, flush=True)
    except (MinicnnError, RuntimeError) as error:
        sys.exit(f"end_to_end: {error}")
    head = ["seconds (of processors), MB", "its", "its loss", "ours", "ours / its", "at our step"]
    print(markdown([head, *rows]))
    return 0


def job_of(args, **more):
    """Return the `StyleJob` that all share."""
    how = {name: getattr(args, name) for name in SHARED} | {"tv_weight": 0.0, **more}
    return open_job(StyleSettings(str(args.content), str(args.style), **how))


def row(args, name):
    """Time a peer, then ours until its loss; return the cells of a line."""
    own = {name: getattr(args, name) for name in OURS if getattr(args, name) is not None}
    coarse = job_of(args, iterations=args.steps, **own).counts[:-1]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "theirs.npz"
        its = theirs(args, name, found)
        with np.load(found) as kept:
            loss = checked(args, kept, ROUNDING[name])
        own, step, last = ours(args, coarse, Path(folder) / "ours.png", loss)
    ratios = f"{own.seconds / its.seconds:.2f} ({own.used / its.used:.2f})" if step else "-"
    return [PEERS[name], str(its), f"{loss:.5g}", str(own), ratios, step or f"never: {last:.5g}"]


def _options(args, names):
    """Return the words that give a command the values of these names, where they are given."""
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


class _Process(subprocess.Popen):
    """A process whose text is read; afterwards its seconds, those of processors, and its MB."""

    def __init__(self, words, **more):
        self.seconds = -perf_counter()
        text = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        super().__init__(words, **text, **more)

    def end(self):
        """Wait until it ends, and keep what it took."""
        _, status, used = os.wait4(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self.seconds += perf_counter()
        self.used, self.peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3

    def __str__(self):
        return f"{self.seconds:.1f} ({self.used:.1f}), {self.peak:.0f}"


def theirs(args, name, found):
    """Run a peer, which leaves its x and its losses in the file `found`; return its process."""
    words = _options(args, ("content", "style", "steps", *SHARED))
    words = [sys.executable, __file__, *words, "--only-peer", name, str(found)]
    with _Process(words) as process:
        said = process.stdout.read()
        process.end()
    if process.returncode:
        raise RuntimeError(f"{PEERS[name]} failed: {said}")
    return process


def checked(args, found, rounding):
    """Return our loss of a peer's picture; it must be the peer's, as at the start."""
    job = job_of(args, scales=1, iterations=1)
    fun = job.function()
    losses = [float(fun(x)[0]) for x in (job.start, found["x"])]
    for mine, its in zip(losses, found["losses"], strict=True):
        if not abs(mine - its) <= rounding * mine:
            raise RuntimeError(f"the peer minimises another loss: {its:g} where ours is {mine:g}")
    return losses[1]


def ours(args, coarse, path, loss):
    """Paint until the loss at full size is reached; return the process, the step, the last loss.

    The step is "" where it is never reached.
    """
    words = [sys.executable, "-m", "minicnn", "style", str(args.content), str(args.style)]
    words += ["-o", str(path), "--tv-weight", "0", "--json", *_options(args, (*SHARED, *OURS))]
    words += ["--iterations", ",".join(map(str, [*coarse, args.steps]))]
    step, said, last = "", "", None
    with _Process(words) as process:
        for line in process.stdout:
            said = json.loads(line) if line.startswith("{") else {"error": line}
            here, last = said.get("iteration", 0), said.get("losses", {}).get("total", last)
            if not step and here > sum(coarse) and last <= loss:
                step = f"{here} ({here - sum(coarse)} at full size)"
                process.send_signal(signal.SIGTERM)  # it writes its picture
        process.end()
    if not path.exists():
        raise RuntimeError(f"minicnn style failed: {said}")
    return process, step, last


if __name__ == "__main__":
    sys.exit(main())
