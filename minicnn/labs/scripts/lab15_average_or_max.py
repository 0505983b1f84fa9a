"""Lab 15: average or max pooling.

Gatys et al. replace max by average pooling, since "it improves the gradient flow", as the notes
say at the end of section 4. What does that mean, and can it be measured? arXiv 1508.06576. Our
own: minicnn/ops/avgpool2d.py, minicnn/ops/maxpool2d.py.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.objectives import GramStyleLoss, ImageFunction, WeightedSum
from minicnn.objectives.gram import style_targets
from minicnn.optimizers import minimize
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import picture as as_picture
from minicnn.pictures.sheets import column, side_by_side, signed_to_uint8

lab = Lab(15)
RANDOM = np.random.default_rng(0)

# %% [markdown]
# ## Forward and backward
#
#     y[p, q] = 1/R² Σ_rs x[p u + r, q u + s]
#
# Every pixel of a window has the same part in its mean. Derive dx, for windows that may overlap.

# %%


@lab.blank(
    (RANDOM.standard_normal((2, 3, 6, 7)), 3, 2), (RANDOM.standard_normal((1, 1, 4, 4)), 2, 2)
)
def avgpool(x, kernel, stride):
    """Return y (N, C, P, Q) of x (N, C, H, W)."""
    stride = stride or kernel
    P, Q = ((side - kernel) // stride + 1 for side in x.shape[2:])
    y = np.zeros((*x.shape[:2], P, Q))
    for r in range(kernel):
        for s in range(kernel):
            # BLANK: add element (r, s) of all windows, over the number of pixels of a window
            y += x[:, :, r : r + stride * P : stride, s : s + stride * Q : stride] / kernel**2
            # END
    return y


def forward(x, kernel, stride=None):
    """Pool; the cache is what the way back needs."""
    return avgpool(x, kernel, stride), (x.shape, kernel, stride or kernel)


@lab.operation("avgpool2d", forward=forward)
def backward(dy, cache):
    """Return dx (N, C, H, W) for dy (N, C, P, Q)."""
    x_shape, kernel, stride = cache
    P, Q = dy.shape[2:]
    dx = np.zeros(x_shape, dy.dtype)
    # BLANK: the loops of avgpool, the other way round
    for r in range(kernel):
        for s in range(kernel):
            dx[:, :, r : r + stride * P : stride, s : s + stride * Q : stride] += dy / kernel**2
    # END
    return dx


# %% [markdown]
# ## How many pixels are reached?
# A gradient comes down through n poolings of 2 x 2. By max pooling one pixel of each window gets
# it, by average pooling all of them get a quarter. Derive the share of pixels with a gradient, and
# what becomes of the sum of squares of dy if all its entries have the same size.
#
# Expected: behind one pooling 1/4 and 1 for max; 1 and 1/4 for average.


# %%
@lab.blank((1, "max"), (1, "average"), (3, "max"), (3, "average"))
def flow(n, pool):
    """Return (share of pixels reached, sum of squares that comes down over that which went in)."""
    # BLANK: two cases
    return (0.25**n, 1.0) if pool == "max" else (1.0, 0.25**n)
    # END


# %% [markdown]
# ## In a network
# Measure it: random numbers at a pooling of the embedded network, whose convolutions mix the
# pixels again. How unequal is the gradient at the picture? The share of the pixels that have half
# of its sum of squares.


# %%
@lab.blank((RANDOM.standard_normal((1, 3, 8, 8)),), (np.eye(4)[None, None],))
def half_share(dx):
    """Return the least share of entries that have half of Σ dx²."""
    # BLANK: sort the squares, the largest first; count until their sum has half of all
    squares = np.sort(dx.ravel() ** 2)[::-1]
    count = np.searchsorted(np.cumsum(squares), squares.sum() / 2) + 1
    return count / dx.size
    # END


# %% [markdown]
# And how much does the gradient change when each value of the picture changes by about two grey
# levels? Expected: the shares hardly differ, as the convolutions mix the pixels again; but by max
# pooling the gradient changes more, as switches jump.

# %%
picture = lab.picture("content", 96)
gradients, random = {}, np.random.default_rng(1)
for pool in ("max", "average"):
    net = minicnn.load("minivgg", pool=pool)
    x = preprocess(picture, net.attrs["preprocess"])
    moved = x + 0.03 * random.standard_normal(x.shape).astype("float32")
    for layer in ("pool1", "pool2", "pool3"):
        y = net.forward(x, [layer])[layer]
        dy = random.standard_normal(y.shape).astype("float32")
        dx = net.backward({layer: dy})
        net.forward(moved, [layer])
        change = np.linalg.norm(net.backward({layer: dy}) - dx) / np.linalg.norm(dx)
        print(f"{pool}, from {layer}: half of it in {half_share(dx):.1%}, changes by {change:.0%}")
    gradients[pool] = dx

# %% [markdown]
# ## The picture
# The gradient from pool3 by both, and the texture of a picture from noise, 25 iterations each. The
# losses of the two are of two networks: compare how far each falls, not the numbers.

# %%
style_picture = lab.picture("style", 72)
layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
textures = []
for pool in ("max", "average"):
    net = minicnn.load("minivgg", pool=pool)
    x = preprocess(style_picture, net.attrs["preprocess"])
    loss = GramStyleLoss(style_targets(net.forward(x, layers)))
    fun = ImageFunction(WeightedSum({"style": (1.0, loss)}), net.forward, net.backward)
    start = 0.5 * np.random.default_rng(2).standard_normal(x.shape).astype("float32")
    found = minimize("lbfgs", fun, start, iterations=25)
    print(f"{pool}: the loss falls to {found.value / fun(start)[0]:.1e} of what it was")
    textures.append(as_picture(found.x, net))
maps = [enlarged(signed_to_uint8(dx[0].sum(axis=0))[0], 1) for dx in gradients.values()]
lab.save(
    column(
        [
            side_by_side(maps, ["gradient, max", "gradient, average"], height=180),
            side_by_side([style_picture, *textures], ["source", "max", "average"], height=180),
        ],
        gap=12,
    )
)
lab.end()

# %% [markdown]
# ## Questions
# 1. Max pooling loses no strength on its way down, average pooling a quarter of the squares each
#    time. Why is the second still said to have the better flow?
# > It reaches every pixel, and the gradient changes smoothly with the picture: no switch jumps.
#
# 2. L-BFGS remembers how the gradient has changed along the last steps. What do switches do to
#    that?
# > Where a winner changes, the gradient jumps, and what was remembered holds no longer.
#
# 3. The network was trained with max pooling. Why may one exchange it at all?
# > The filters stay, and the mean of a window is large where the maximum is. But the activations
# > get smaller, so targets must come from the same network.
