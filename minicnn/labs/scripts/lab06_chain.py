"""Lab 6: the chain rule through a network.

Each operation knows its own way back. A network goes through them in the reverse order, and hands
dy on. Lecture notes, sections 1.1 and 2: "gradients are determined and backpropagated". Our own:
minicnn/network/network.py, minicnn/ops/TRAINING.md.
"""

# %%
import numpy as np

from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.ops import conv2d, linear, maxpool2d, relu, softmax
from minicnn.pictures.sheets import column, side_by_side

lab = Lab(6)
rng = np.random.default_rng(0)

# %% [markdown]
# ## A problem
# Stripes: class 0 is upright, class 1 lies, class 2 slopes. Pictures (N, 1, 12, 12).


# %%
def stripes(rng, N):
    """Return pictures (N, 1, 12, 12) and their classes (N,)."""
    labels = rng.integers(3, size=N)
    i, j = np.indices((12, 12))
    along = [j, i, (i + j) / np.sqrt(2)]
    waves = [np.sin(1.6 * along[k] + rng.uniform(0, 6)) for k in labels]
    return np.stack(waves)[:, np.newaxis] + rng.standard_normal((N, 1, 12, 12)), labels


# %% [markdown]
# ## The network
#
#     conv (6 maps, 5 x 5) -> ReLU -> max pooling 4 x 4 -> flat (N, 24) -> linear -> cross-entropy
#
# Every operation returns (y, cache). Write the way up; keep what the way down needs.


# %%
def initial(rng):
    """Return the parameters {name: array}, He's way."""
    return {
        "conv.w": rng.standard_normal((6, 1, 5, 5)) * np.sqrt(2 / 25),
        "conv.b": np.zeros(6),
        "fc.w": rng.standard_normal((3, 24)) * np.sqrt(1 / 24),
        "fc.b": np.zeros(3),
    }


example = (initial(rng), *stripes(rng, 4))


@lab.blank(example)
def forward(params, x, labels):
    """Return the loss, and the caches {name: cache} of all operations."""
    caches = {}
    # BLANK: conv2d.forward(x, w, b), relu.forward, maxpool2d.forward(a, 4), reshape to (N, 24),
    # linear.forward(a, w, b), softmax.cross_entropy(scores, labels); a cache under each name:
    # "conv", "relu", "pool", "fc", "loss"
    a, caches["conv"] = conv2d.forward(x, params["conv.w"], params["conv.b"])
    a, caches["relu"] = relu.forward(a)
    a, caches["pool"] = maxpool2d.forward(a, 4)
    scores, caches["fc"] = linear.forward(a.reshape(len(x), -1), params["fc.w"], params["fc.b"])
    loss, caches["loss"] = softmax.cross_entropy(scores, labels)
    # END
    return loss, caches


# %% [markdown]
# ## The way down
# From the loss: dJ/dscores, then each operation's backward with its own cache, to the parameters.
# The chain rule: what comes out of one is the dy of the next. Derive the shape of dy at each step.
#
# Expected: the gradient agrees with central differences to about 1e-8.


# %%
@lab.blank((example[0], forward(*example)[1]))
def backward(params, caches):
    """Return {name: gradient} of all parameters."""
    grads = {}
    dy = softmax.cross_entropy_backward(caches["loss"])  # (N, 3)
    # BLANK: linear.backward_params(dy, cache) and backward_data(dy, w); reshape to (N, 6, 2, 2);
    # maxpool2d.backward(dy, cache); relu.backward; conv2d.backward_params(dy, cache, w.shape)
    grads["fc.w"], grads["fc.b"] = linear.backward_params(dy, caches["fc"])
    dy = linear.backward_data(dy, params["fc.w"]).reshape(-1, 6, 2, 2)
    dy = maxpool2d.backward(dy, caches["pool"])
    dy = relu.backward(dy, caches["relu"])
    grads["conv.w"], grads["conv.b"] = conv2d.backward_params(
        dy, caches["conv"], params["conv.w"].shape
    )
    # END
    return grads


# %% [markdown]
# ## Is it right?
# Central differences along a random direction v test all entries of a parameter at once:
#
#     <g, v> = (J(w + h v) - J(w - h v)) / 2 h


# %%
@lab.blank((lambda w: (w**3).sum(), np.arange(3.0), np.array([1.0, -2.0, 3.0])))
def slope(J, w, v):
    """Return the derivative of J at w along v, by central differences with h = 1e-6."""
    # BLANK: two evaluations
    h = 1e-6
    return (J(w + h * v) - J(w - h * v)) / (2 * h)
    # END


params, x, labels = example
grads = backward(params, forward(*example)[1])
for name, w in params.items():
    v = rng.standard_normal(w.shape)
    by_difference = slope(lambda w, n=name: forward({**params, n: w}, x, labels)[0], w, v)
    print(f"{name}: {(grads[name] * v).sum():.8f}, by differences {by_difference:.8f}")

# %% [markdown]
# ## The picture: training
# Sixty steps of gradient descent with momentum, 32 pictures each: the six filters before and after,
# and the loss, a bar for each step.

# %%
params, velocity, losses = initial(np.random.default_rng(1)), {}, []
before = params["conv.w"].copy()
for _ in range(60):
    x, labels = stripes(rng, 32)
    loss, caches = forward(params, x, labels)
    losses.append(loss)
    for name, g in backward(params, caches).items():
        velocity[name] = 0.9 * velocity.get(name, 0) - 0.01 * g
        params[name] = params[name] + velocity[name]
x, labels = stripes(np.random.default_rng(9), 200)
right = (forward(params, x, labels)[1]["loss"].p.argmax(axis=1) == labels).mean()
print(f"loss {losses[0]:.2f} to {losses[-1]:.2f}; {right:.0%} of 200 new pictures are right")
bars = np.full((60, 240), 230, "uint8")
for i, loss in enumerate(losses):
    bars[60 - min(60, round(40 * loss)) :, 4 * i : 4 * i + 3] = 90
rows = [
    side_by_side([enlarged(f[0], 80) for f in w], [f"{k} {when}" for k in range(6)])
    for when, w in (("before", before), ("after", params["conv.w"]))
]
lab.save(column([*rows, side_by_side([enlarged(bars, 120)], ["loss"])], gap=12))
lab.end()

# %% [markdown]
# ## Questions
# 1. Which parts of the way down are left out when the picture, not the network, is searched for?
# > All backward_params; instead the convolution's backward_data goes on to the picture.
#
# 2. The ReLU's cache is a mask of bits, the pooling's are switches. Why not keep their inputs?
# > It is the least that backward needs: an eighth or less of the memory.
#
# 3. What is dy at the pooling's output where a filter's map is 0 everywhere?
# > Whatever came down from fc. It goes to the first pixel of each window, where the ReLU's mask is
# > 0: nothing comes through.
