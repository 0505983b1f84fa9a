"""Where the time of an evaluation goes, kernel by kernel: CUDA events around every launch.

    python benchmarks/gpu_kernels.py [--side 512] [--precisions tf32 fp16] [--json FILE]

The steps are launched one by one, so their sum is more than the evaluation as a graph takes. Beside
each figure stands what `gpu_model` has for it, a model of an H200.
"""

import argparse
import json
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed


class Launches:
    """Times what is launched; event() has `record`, elapsed(start, end) milliseconds."""

    def __init__(self, event, elapsed):
        self._event, self._elapsed, self._found = event, elapsed, []

    def around(self, name, work):
        """Do work(), a launch of something with this name."""
        start, end = self._event(), self._event()
        start.record()
        work()
        end.record()
        self._found.append((name, start, end))

    def together(self):
        """Return {name: (launches, milliseconds)} since the last call; the device must be done."""
        found = defaultdict(lambda: (0, 0.0))
        for name, start, end in self._found:
            count, milliseconds = found[name]
            found[name] = (count + 1, milliseconds + self._elapsed(start, end))
        self._found = []
        return dict(found)


class TimedKernels:
    """Kernels, see `kernels.loader.Module`, with `Launches` around each."""

    def __init__(self, kernels, launches):
        self._kernels, self._launches = kernels, launches

    def __getattr__(self, how):
        run = getattr(self._kernels, how)
        return lambda name, *given, **options: self._launches.around(
            name, partial(run, name, *given, **options)
        )


def measure(fun, x, launches, wait):
    """Return what `Launches.together` finds in one call of a `CompiledObjective`."""
    for _ in range(2):  # compiled, algorithms chosen
        fun(x)
    run, fun._graph = fun._run, None
    fun._run = run._replace(
        kernels=TimedKernels(run.kernels, launches),
        product=lambda *given, **options: launches.around(
            "product", partial(run.product, *given, **options)
        ),
    )
    try:
        for _ in range(2):
            launches.together()
            fun(x)
            wait()
        return launches.together()
    finally:
        fun._run = run


def table(found, modelled):
    """Return lines: milliseconds, launches, and the model's milliseconds."""
    lines = [f"{'':<24}{'ms':>9}{'launches':>10}{'model (H200)':>14}"]
    for name, (count, ms) in sorted(found.items(), key=lambda item: -item[1][1]):
        own = f"{modelled[name]:.3f}" if name in modelled else "-"
        lines.append(f"{name:<24}{ms:>9.3f}{count:>10}{own:>14}")
    total = sum(ms for _, ms in found.values())
    return "\n".join(
        [*lines, f"{'together':<24}{total:>9.3f}{'':>10}{sum(modelled.values()):>14.3f}"]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--precisions", nargs="+", default=["tf32", "fp16", "fp32"])
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    from minicnn.backend import resolve_device
    from minicnn.errors import MinicnnError

    try:
        resolve_device("cuda")
    except MinicnnError as error:
        sys.exit(f"no benchmark without a GPU: {error}")
    import cupy
    import gpu
    import gpu_model

    net, found = gpu.network(), {}
    for precision in args.precisions:
        launches = Launches(cupy.cuda.Event, cupy.cuda.get_elapsed_time)
        fun, x = gpu.function_of(net, args.side, precision=precision)
        wait = cupy.cuda.runtime.deviceSynchronize
        times = measure(fun, x, launches, wait)
        modelled = gpu_model.vgg19(args.side, precision, gpu.STYLE)
        ways = [step.ways for step in fun._arrays.trunk.steps if hasattr(step, "ways")]
        found[precision] = {"measured": times, "model": modelled, "refusal": fun.refusal}
        found[precision]["ways"] = ways
        print(f"\n{precision}, {args.side} px\n{table(times, modelled)}", flush=True)
        print("ways of the convolutions:", "; ".join(", ".join(pair) for pair in ways))
        print(f"not captured: {fun.refusal}" if fun.refusal else "captured as a graph")
        if args.json:
            Path(args.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
