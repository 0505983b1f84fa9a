"""Lab 4: pooling, switches and unpooling.

Max pooling keeps the largest value of each window and forgets the others. The switch remembers
where it was, and unpooling puts a value back there. Lecture notes, section 1.1 and figure 3;
Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1. Our own: minicnn/ops/maxpool2d.py,
minicnn/ops/unpool.py.
"""

# %%
import numpy as np

from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.pictures.sheets import column, side_by_side

lab = Lab(4)
EXAMPLE = np.array([[[[1.0, 2, 0, 1], [5, 4, 3, 2], [0, 7, 1, 1], [6, 2, 1, 1]]]])

# %% [markdown]
# ## Forward
#
#     y[p, q] = max over (r, s) of x[p u + r, q u + s]        switch[p, q] = r S + s of the winner
#
# Among equals the winner is the first in row-major order. Expected for the example: y = 5 3 / 7 1,
# switches 2 2 / 1 0.


# %%
@lab.blank((EXAMPLE, 2, 2), (np.random.default_rng(0).standard_normal((2, 3, 7, 5)), 3, 2))
def maxpool(x, kernel, stride):
    """Return y and the switches, both (N, C, P, Q), of x (N, C, H, W)."""
    stride = stride or kernel
    N, C, H, W = x.shape
    P, Q = (H - kernel) // stride + 1, (W - kernel) // stride + 1
    y, switches = np.empty((N, C, P, Q)), np.empty((N, C, P, Q), int)
    for p in range(P):
        for q in range(Q):
            i, j = p * stride, q * stride
            window = x[:, :, i : i + kernel, j : j + kernel].reshape(N, C, -1)
            # BLANK: the largest of each window and its place: axis 2
            y[:, :, p, q] = window.max(axis=2)
            switches[:, :, p, q] = window.argmax(axis=2)
            # END
    return y, switches


def forward(x, kernel, stride=None):
    """Pool; the cache is what the way back needs."""
    y, switches = maxpool(x, kernel, stride)
    return y, (switches, x.shape, kernel, stride or kernel)


# %% [markdown]
# ## Backward
# Only the winner moves the maximum: ∂y/∂x is 1 at the winner and 0 elsewhere. So dy goes to the
# place that the switch names. Where windows overlap, a pixel can win several: derive what it gets.


# %%
@lab.operation("maxpool2d", forward=forward)
def unpool(dy, cache):
    """Return dx (N, C, H, W) for dy (N, C, P, Q)."""
    switches, x_shape, kernel, stride = cache
    dx = np.zeros(x_shape, dy.dtype)
    for n, c, p, q in np.ndindex(*dy.shape):
        # BLANK: the row and column of the winner in its window, and what dx gets there
        r, s = divmod(switches[n, c, p, q], kernel)
        dx[n, c, p * stride + r, q * stride + s] += dy[n, c, p, q]
        # END
    return dx


# %%
y, cache = forward(EXAMPLE, 2)
print("unpooled:")
print(unpool(y, cache)[0, 0])

# %% [markdown]
# ## The picture
# First row: a picture, pooled by 4 and unpooled by the switches, and by switches that always point
# to the first pixel. Second row: a part of it, larger, with the switches as white points.

# %%
grey = lab.picture("content", 160).mean(axis=2)[np.newaxis, np.newaxis]
y, cache = forward(grey, 4)
back = unpool(y, cache)[0, 0]
without = unpool(y, (np.zeros_like(cache[0]), *cache[1:]))[0, 0]
kept = unpool(np.full_like(y, 255), cache)[0, 0]


def bytes_of(values):
    """Return a map as grey levels."""
    return values.round().clip(0, 255).astype("uint8")


whole = [bytes_of(one) for one in (grey[0, 0], y[0, 0], back, without)]
part = [bytes_of(one[40:64, 60:92]) for one in (grey[0, 0], kept, back, without)]
names = ["picture", "pooled by 4", "unpooled", "without switches"]
lab.save(
    column(
        [
            side_by_side(whole, names),
            side_by_side(
                [enlarged(one, 120) for one in part], ["a part", "switches", *names[2:]], height=120
            ),
        ],
        gap=12,
    )
)
lab.end()

# %% [markdown]
# ## Questions
# 1. What does unpool(maxpool(x)) keep of x, and what is lost?
# > The largest value of each window, where it was; the other 15 of 16 values are 0.
#
# 2. Two windows overlap and share their winner. What must backward do, and what else could a
#    deconvnet do there?
# > Add both: the pixel moves both maxima. The paper leaves it open; overwriting or taking the
# > larger are no gradients (minicnn/ops/unpool.py has all three).
#
# 3. All pixels of a window are 0, as often behind a ReLU. Where does the switch point?
# > To the first pixel, by convention. The gradient is stopped at the ReLU's mask anyway; the
# > deconvnet has no mask, so signal can appear there.
