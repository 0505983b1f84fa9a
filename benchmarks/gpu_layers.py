"""The convolutions of VGG-19 one by one on a GPU: with columns, without, and PyTorch's.

Called by gpu.py. For each layer up to conv5_1 the time of the forward pass with bias and ReLU, and
of the gradient of the data behind a ReLU; and how far each is from float64, in norm. A layer that
cannot go without columns has the same figure everywhere. The errors are those of the precision
alone: no switch of a pooling or a ReLU takes part in them.
"""

import math

import gpu_model
import numpy as np

PRECISIONS = ("tf32", "fp16", "fp32")


def measure(clock, net, side, device):
    """Return [{"layer", "direction", "shape", "torch tf32": {"ms", "error"}, ...}].

    Parameters
    ----------
    clock : gpu.Clock
    net : Network, VGG-19 with its convolutions' parameters on the device
    side : int, pixels of the picture
    """
    rows, size = [], (3, side, side)
    for node in net.nodes:
        out = node.layer.out_shape(size)
        if node.name.startswith("conv"):
            for direction in ("forward", "backward"):
                if clock.left < 5:
                    return rows
                row = {"layer": node.name, "direction": direction, "shape": [*size, out[0]]}
                rows.append(row | _layer(clock, net, node, size, out, direction, device))
        size = out
        if node.name == "conv5_1":
            return rows
    return rows


def table(rows):
    """Return lines: milliseconds and errors of every layer."""
    if not rows:
        return "no time left for single layers"
    names = [name for name in rows[0] if name not in ("layer", "direction", "shape", "model ms")]
    lines = [f"{'':<18}" + "".join(f"{name:>24}" for name in names) + "   model (H200), tf32"]
    for row in rows:
        cells = [row[name] for name in names]
        shown = [f"{c['ms']:.4f} ms {c['error']:.0e}" if "ms" in c else "failed" for c in cells]
        shown = "".join(f"{c:>24}" for c in shown)
        lines.append(f"{row['layer']:<9}{row['direction']:<9}{shown}{row['model ms']:>14.4f} ms")
    totals = [sum(row[name].get("ms", math.nan) for row in rows) for name in names]
    modelled = sum(row["model ms"] for row in rows)
    shown = "".join(f"{total:>21.3f} ms" for total in totals)
    lines.append(f"{'together':<18}{shown}{modelled:>14.4f} ms")
    return "\n".join(lines)


def _layer(clock, net, node, size, out, direction, device):
    rng = np.random.default_rng(0)
    shape = size if direction == "forward" else out
    x = (rng.standard_normal(shape) * np.exp(rng.standard_normal((shape[0], 1, 1)))).astype("f4")
    active = rng.standard_normal(out).astype("f4")
    exact, torchs = _torch(net, node, x, active, direction, device)
    from minicnn.engine.gpu.ways import COLUMNS, WAYS

    found = {}
    for name, work in torchs.items():
        found[name] = _timed(clock, work, lambda y: y[0].cpu().numpy(), exact)
    for precision in PRECISIONS:
        for way in WAYS if precision != "fp32" else (COLUMNS,):
            name = f"{precision} {way}"
            try:
                work = ours(net, node, size, x, active, direction, precision, way)
            except Exception as error:  # one that fails must not take the others along
                found[name] = {"failed": " ".join(str(error).split())}
                continue
            found[name] = _timed(clock, work, lambda y: y.get().transpose(2, 0, 1), exact)
    return found | {"model ms": gpu_model.roof(node.layer, size, out, "tf32")}


def _timed(clock, work, host, exact):
    try:
        y = host(work())[: len(exact)].astype(np.float64)
        error = math.sqrt(((y - exact) ** 2).sum() / (exact**2).sum())
        return {"ms": clock.milliseconds(work), "error": error}
    except Exception as error:
        return {"failed": " ".join(str(error).split())}


def ours(net, node, size, x, active, direction, precision, way, machine=None):
    """Return work(): our step of the layer, whose result is (P, Q, K) on the device."""
    from minicnn.engine.gpu.buffers import Buffers
    from minicnn.engine.gpu.convolution_step import Convolution
    from minicnn.engine.gpu.cuda import Cuda
    from minicnn.engine.gpu.steps import StepTools
    from minicnn.engine.gpu.trunk import CHANNELS, form_of
    from minicnn.kernels import strips

    machine = machine or Cuda(precision, (way,))
    buffers, form = Buffers(machine.xp), form_of(machine, strips.LARGEST)
    w, b = (net.params[f"{node.name}.{name}"] for name in ("weight", "bias"))
    channels = max(CHANNELS, size[0])
    step = Convolution(buffers, (*size[1:], channels), node.layer, w, b, form)
    columns = buffers.new(step.column_size, np.float16 if form.half else np.float32)
    run = StepTools(machine.kernels, machine.products(buffers), columns)
    last = np.zeros((*x.shape[1:], channels if direction == "forward" else len(x)), np.float32)
    last[..., : len(x)] = x.transpose(1, 2, 0)
    x = buffers.filled(last)
    if direction == "forward":
        return lambda: (step.forward(run, x), step.y)[1]
    step.y[...] = machine.xp.asarray(np.ascontiguousarray(active.transpose(1, 2, 0)))
    step._positive = None  # no forward pass has left bits: y says what is let through
    dx = buffers.new((*size[1:], channels))
    return lambda: (step.backward(run, x, dx), dx)[1]


def _torch(net, node, x, active, direction, device):
    """Return (the result in float64, {name: work})."""
    import torch
    import torch.nn.functional as F

    from minicnn.backend import to_host

    w, b = (
        torch.tensor(to_host(net.params[f"{node.name}.{name}"]), device=device)
        for name in ("weight", "bias")
    )
    x, mask = (torch.tensor(array, device=device)[None] for array in (x, active > 0))

    def compute(x, w, b):
        if direction == "forward":
            return F.relu(F.conv2d(x, w, b, padding=1))
        return F.conv_transpose2d(x * mask, w, padding=1)

    exact = compute(x.double(), w.double(), b.double())[0].cpu().numpy()

    def work(tf32, layout):
        given = [a.contiguous(memory_format=layout) if a.ndim == 4 else a for a in (x, w, b)]

        def run():
            torch.backends.cudnn.allow_tf32 = tf32
            return compute(*given)

        return run

    return exact, {
        "torch tf32": work(True, torch.contiguous_format),
        "torch tf32 last": work(True, torch.channels_last),
        "torch fp32": work(False, torch.contiguous_format),
    }
