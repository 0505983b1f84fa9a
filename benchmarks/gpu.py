"""Value and image gradient of the VGG-19 style objective on a GPU, ours against PyTorch's.

    python benchmarks/gpu.py [--sizes 256 512 1024] [--seconds 2] [--budget 300] [--json F]

Random weights: the time does not depend on them. Style at conv1_1 .. conv5_1, content at conv4_2,
max pooling; the gradient is compared with PyTorch's in float64, by the norm of the difference and
by its cosine. Times are medians of evaluations whose value is read by the host, as an optimizer
does. First come the ceilings of the card: copies and rates of matrix products. Then single layers
(`gpu_layers`), iterations of L-BFGS (`gpu_iterations`), training and scans (`gpu_training`), and
what large pictures take. `--only` chooses. Where there is no GPU it ends with one line.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_model

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT = ("relu4_2",)
WEIGHTS = {"content_weight": 1.0, "style_weight": 100.0, "tv_weight": 0.0}
GEMM = 8192
DEVICE = "cuda"


class Clock:
    """What may still be spent, and how a function is timed."""

    def __init__(self, seconds, budget, wait):
        self.seconds, self.wait = seconds, wait
        self.end = time.perf_counter() + budget

    @property
    def left(self):
        return self.end - time.perf_counter()

    def milliseconds(self, work):
        """Return the median of as many runs of work() as fit, after three that are not counted."""
        for _ in range(3):
            work()
        self.wait()
        times, end = [], time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(times) < 3:
            started = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - started)
        return 1e3 * statistics.median(times)


def network():
    from minicnn.backend import to_device
    from minicnn.network import build

    net = build.build("vgg19", seed=0, pool="max")
    net.params = {
        name: to_device(value, DEVICE)
        for name, value in net.params.items()
        if name.startswith("conv")
    }
    return net


def pictures(side):
    rng = np.random.default_rng(side)
    return [50 * rng.standard_normal((1, 3, side, side), dtype=np.float32) for _ in range(3)]


def function_of(net, side, ways=None, **options):
    """Return our objective, and the picture at which it is evaluated."""
    from minicnn.backend import to_device
    from minicnn.engine.gpu import cuda
    from minicnn.engine.gpu.ways import WAYS
    from minicnn.methods.style.loss import style_objective

    x, content, style = (to_device(picture, DEVICE) for picture in pictures(side))
    layers = {"content_layers": CONTENT, "style_layers": STYLE}
    cuda.ALLOWED = ways or WAYS
    return style_objective(net, content, style, **layers, **WEIGHTS, **options), x


def ours(net, side, **options):
    """Return (work, gradient): an evaluation of ours, and what gives its gradient."""
    from minicnn.backend import to_host

    fun, x = function_of(net, side, **options)
    for _ in range(2):  # from the second call on it is a graph
        fun(x)
    if refusal := getattr(fun, "refusal", ""):
        print(f"not captured, run step by step: {refusal}", file=sys.stderr)
    return (lambda: fun(x)[0]), lambda: to_host(fun(x)[1])


def torchs(net, side, **options):
    """Return (work, gradient) of PyTorch's."""
    import gpu_torch

    given = (net, pictures(side), CONTENT[0], STYLE, WEIGHTS, DEVICE)
    return gpu_torch.evaluation(*given, **options)


OURS = {
    "minicnn tf32": {"precision": "auto"},
    "minicnn fp16": {"precision": "fp16"},
    "minicnn fp32": {"precision": "fp32"},
    "minicnn tf32 columns": {"precision": "auto", "ways": ("columns",)},
    "minicnn fp16 columns": {"precision": "fp16", "ways": ("columns",)},
    "minicnn explicit": {"engine": "explicit"},
}
TORCH = {
    "torch eager": {},
    "torch TF32 off": {"tf32": False},
    "torch all TF32": {"matmul_tf32": True},
    "torch channels_last": {"channels_last": True},
    "torch CUDA graph": {"graph": True},
    "torch CUDA graph channels_last": {"graph": True, "channels_last": True, "matmul_tf32": True},
    "torch compile": {"compiled": True, "channels_last": True},
}
BASELINE = "torch eager"
COMPILED = 512  # pixels at which torch.compile is timed, if there are several sizes
LAYERS = 512  # and those of single layers
LARGE = (2048, 3072, 4096)  # pixels of the pictures whose memory is told
MODEL = "model (H200)"  # what stands beside a figure, see `gpu_model`
PARTS = ("ceilings", "evaluations", "layers", "iterations", "training", "memory")


def measure(clock, sizes):
    """Return {name: {side: {"ms", "error", "cosine"} or {"failed"}}}."""
    net, found = network(), {name: {} for name in (*TORCH, *OURS)}
    for side in sizes:
        exact = _exact(net, side)
        for name in found:
            if name == "torch compile" and side != COMPILED and len(sizes) > 1:
                found[name][side] = {"failed": f"compiled at {COMPILED} px alone, it takes long"}
                continue
            if clock.left < 10 + 40 * (name == "torch compile"):
                found[name][side] = {"failed": "no time left"}
                continue
            make, options = (torchs, TORCH) if name in TORCH else (ours, OURS)
            try:
                work, gradient = make(net, side, **options[name])
                dx = gradient().astype(np.float64)
                found[name][side] = {"ms": clock.milliseconds(work), **_compare(dx, exact)}
            except Exception as error:  # one that fails must not take the others along
                found[name][side] = {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
            work = gradient = None
            _release()
            print(
                f"{name:<32}{side:>6} px  {_cell(found[name][side])}", file=sys.stderr, flush=True
            )
    return found


def _exact(net, side):
    """Return PyTorch's gradient in float64, None where there is no memory for it."""
    try:
        return torchs(net, side, double=True)[1]()
    except Exception as error:
        print(f"no gradient in float64 at {side} px: {error}"[:200], file=sys.stderr)
        return None
    finally:
        _release()


def large(clock):
    """Return {side: {"bytes", "pool", "ms"}}: what the plan, and all of it, takes of the device."""
    import cupy

    net, found = network(), {}
    for side in LARGE:
        if clock.left < 15:
            found[side] = {"failed": "no time left"}
            continue
        _release()
        try:
            fun, x = function_of(net, side, precision="auto")
            milliseconds = clock.milliseconds(lambda: fun(x)[0])  # noqa: B023
            pool = cupy.get_default_memory_pool().total_bytes()
            found[side] = {"bytes": fun.bytes, "pool": pool, "ms": milliseconds}
        except Exception as error:
            found[side] = {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
        fun = x = None
    return found


def iterations(clock, sizes):
    """Return {side: what `gpu_iterations.measure` finds}."""
    from functools import partial

    import gpu_iterations

    net, found = network(), {}
    for side in sizes:
        fun, x = function_of(net, side)
        runs = {
            f"minicnn {name}": partial(gpu_iterations.minicnn, name, fun, x)
            for name in ("lbfgs-device", "lbfgs")
        }
        runs["torch.optim.LBFGS"] = torchs(net, side, iterate=True)
        found[side] = gpu_iterations.measure(clock, runs)
        fun = x = runs = None
        _release()
    return found


def _compare(dx, exact):
    if exact is None:
        return {}
    norm = math.sqrt((exact**2).sum())
    cosine = (dx * exact).sum() / (norm * math.sqrt((dx**2).sum()))
    return {"error": math.sqrt(((dx - exact) ** 2).sum()) / norm, "cosine": float(cosine)}


def _release():
    import cupy
    import torch

    cupy.get_default_memory_pool().free_all_blocks()
    torch.cuda.empty_cache()


def ceilings(clock):
    """Return what the card can do: {"copy TB/s", "fp32 TFLOP/s", ...}, by PyTorch's calls."""
    import torch

    found = {}
    x = torch.ones(1 << 28, device=DEVICE)
    y = torch.empty_like(x)
    found["copy TB/s"] = 2 * x.nbytes / clock.milliseconds(lambda: y.copy_(x)) / 1e9
    host = torch.ones(1 << 26, pin_memory=True)
    there = x[: 1 << 26]
    found["to host TB/s"] = host.nbytes / clock.milliseconds(lambda: host.copy_(there)) / 1e9
    found["to device TB/s"] = host.nbytes / clock.milliseconds(lambda: there.copy_(host)) / 1e9
    x = y = there = None
    rates = {"fp32": (torch.float32, False), "tf32": (torch.float32, True)}
    rates |= {"fp16": (torch.float16, False), "bf16": (torch.bfloat16, False)}
    for name, (dtype, tf32) in rates.items():
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(GEMM, GEMM, device=DEVICE).to(dtype) for _ in range(2))
        milliseconds = clock.milliseconds(lambda: a @ b)  # noqa: B023
        found[f"{name} TFLOP/s"] = 2 * GEMM**3 / milliseconds / 1e9
    torch.cuda.empty_cache()
    return found


def table(found, sizes):
    """Return lines: milliseconds of each at each size, and their ratio to PyTorch's default."""
    lines = [f"{'':<32}" + "".join(f"{side:>7} px     ratio  error" for side in sizes)]
    for name, row in found.items():
        cells = [_cell(row[side], found[BASELINE][side]) for side in sizes]
        lines.append(f"{name:<32}" + "".join(f"{cell:>25}" for cell in cells))
    return "\n".join(lines)


def _cell(result, baseline=None):
    if "ms" not in result:
        return "failed" if baseline else result["failed"][:100]
    ratio = f"{result['ms'] / baseline['ms']:.2f}" if baseline and "ms" in baseline else ""
    return f"{result['ms']:.3f} ms {ratio:>5} {result.get('error', math.nan):.0e}"


def environment():
    """Return device and versions."""
    import cupy
    import torch

    from minicnn import __version__, backend

    return {
        "device": backend.devices()[0],
        "minicnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cupy": cupy.__version__,
        "cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
    }


def check():
    """End the program with one line where this cannot run."""
    from minicnn.backend import resolve_device
    from minicnn.errors import MinicnnError

    try:
        resolve_device("cuda")
        import torch
    except MinicnnError as error:
        sys.exit(f"no benchmark without a GPU: {error}")
    except ImportError:
        sys.exit("no benchmark without PyTorch for CUDA: pip install torch")
    if not torch.cuda.is_available():
        sys.exit(f"no benchmark: PyTorch {torch.__version__} does not see the GPU")
    return torch


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds for all of it")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    torch = check()
    clock = Clock(args.seconds, args.budget, torch.cuda.synchronize)
    found = {"environment": environment()}
    print(json.dumps(found["environment"], indent=1))
    for part in args.only:
        started = time.perf_counter()
        try:
            found[part], shown = WAYS[part](clock, args.sizes)
        except Exception as error:  # a part that fails must not take the others along
            found[part] = {"failed": f"{type(error).__name__}: {error}"}
            shown = found[part]["failed"]
        print(f"\n{part}, {time.perf_counter() - started:.0f} s\n{shown}", flush=True)
        if args.json:  # what there is, should the next part be cut short
            with open(args.json, "w") as file:
                json.dump(found, file, indent=1)


def _ceilings(clock, sizes):
    found = ceilings(clock)
    assumed = {f"{name} TFLOP/s": rate / 1e12 for name, rate in gpu_model.RATES.items()}
    assumed["copy TB/s"] = gpu_model.MEMORY / 1e12
    return found, "\n".join(
        f"{name:<16}{rate:10.3f}"
        + (f"   the model has {assumed[name]:.1f}" if name in assumed else "")
        for name, rate in found.items()
    )


def _evaluations(clock, sizes):
    found = measure(clock, sizes)
    for precision in gpu_model.RATES:
        found[f"model (H200) {precision}"] = {
            side: {"ms": gpu_model.evaluation(side, precision, STYLE)} for side in sizes
        }
    return found, table(found, sizes)


def _layers(clock, sizes):
    import gpu_layers

    short = Clock(min(0.1, clock.seconds), clock.left, clock.wait)
    found = gpu_layers.measure(short, network(), LAYERS, DEVICE)
    return found, gpu_layers.table(found)


def _iterations(clock, sizes):
    import gpu_iterations

    found = iterations(clock, sizes)
    for side, rows in found.items():
        beside = gpu_model.lbfgs(side, gpu_iterations.PAIRS)
        rows[MODEL] = {"ms": gpu_model.evaluation(side, "tf32", STYLE) + beside}
    return found, "\n".join(
        f"{side:>5} px  {name:<24} {row.get('ms', math.nan):9.3f} ms an iteration"
        for side, rows in found.items()
        for name, row in rows.items()
    )


def _training(clock, sizes):
    import gpu_training

    found = gpu_training.measure(clock, DEVICE)
    for kind, milliseconds in gpu_training.modelled().items():
        found[kind][MODEL] = {"ms": milliseconds}
    return found, gpu_training.table(found)


def _memory(clock, sizes):
    found = large(clock)
    lines = [
        f"{side:>5} px  {row['bytes'] / 2**30:6.2f} GiB of buffers, {row['pool'] / 2**30:6.2f} GiB "
        f"with targets, {row['ms']:9.1f} ms; {MODEL} "
        f"{gpu_model.evaluation(side, 'tf32', STYLE):.1f} ms"
        if "ms" in row
        else f"{side:>5} px  {row['failed'][:100]}"
        for side, row in found.items()
    ]
    return found, "\n".join(lines)


WAYS = {
    "ceilings": _ceilings,
    "evaluations": _evaluations,
    "layers": _layers,
    "iterations": _iterations,
    "training": _training,
    "memory": _memory,
}

if __name__ == "__main__":
    main()
