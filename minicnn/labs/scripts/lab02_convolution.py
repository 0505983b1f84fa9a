"""Lab 2: convolution and its three products.

y = w X + b, and three derivatives: by the picture, by the weights, by the bias. Each is one product
of matrices. Lecture notes, section 1.1. Our own: minicnn/ops/conv2d.py.

Shapes: x (N, C, H, W), w (K, C, R, S), b (K,), y (N, K, P, Q). X = im2col(x) is (N, C R S, P Q).
"""

# %%
import numpy as np

from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.ops.im2col import col2im, im2col
from minicnn.pictures.sheets import side_by_side

lab = Lab(2)

# %% [markdown]
# ## Forward
# As matrices, for each picture: y = w X + b, with w as (K, C R S) and y as (K, P Q).

# %%
rng = np.random.default_rng(0)
example = [rng.standard_normal(shape) for shape in ((2, 3, 6, 4), (4, 3, 3, 2), 4)]


@lab.blank((*example, 1, 0), (*example, 2, 1))
def forward(x, w, b, stride, padding):
    """Return y (N, K, P, Q)."""
    K, C, R, S = w.shape
    cols = im2col(x, (R, S), stride=stride, padding=padding)  # (N, C, R, S, P, Q)
    N, (P, Q) = len(x), cols.shape[4:]
    # BLANK: y = w X + b, reshaped to (N, K, P, Q)
    X = cols.reshape(N, C * R * S, P * Q)
    y = w.reshape(K, C * R * S) @ X + b[:, None]
    return y.reshape(N, K, P, Q)
    # END


# %% [markdown]
# ## Backward, by the picture
# J is the final number, dy its derivative by y. Write the change of J for a small change of X:
#
#     δJ = Σ dy · (w δX) = Σ (?) · δX
#
# What stands for the question mark is dX. The pixels follow by col2im.
#
# Expected: the checker compares dx with central differences, with the adjoint and with ours, at
# strides, paddings and sizes that differ in all axes. If it is wrong, it says how.


# %%
@lab.operation("conv2d", of="x")
def backward_data(dy, w, x_shape, stride, padding):
    """Return dx (N, C, H, W) for dy (N, K, P, Q)."""
    K, C, R, S = w.shape
    N, _, P, Q = dy.shape
    # BLANK: dX = wᵀ dy as matrices, (N, C R S, P Q); reshape it to (N, C, R, S, P, Q), then
    # col2im(dX, x_shape, stride=stride, padding=padding)
    dX = w.reshape(K, C * R * S).T @ dy.reshape(N, K, P * Q)
    dX = dX.reshape(N, C, R, S, P, Q)
    return col2im(dX, x_shape, stride=stride, padding=padding)
    # END


# %% [markdown]
# ## Backward, by the weights and the bias
#
#     δJ = Σ dy · (δw X) = Σ (?) · δw            δJ = Σ dy · δb = Σ_k (?) δb[k]
#
# All pictures have the same weights: their parts are added.


# %%
@lab.operation("conv2d", of="w")
def backward_weight(dy, x, w_shape, stride, padding):
    """Return dw (K, C, R, S)."""
    K, C, R, S = w_shape
    cols = im2col(x, (R, S), stride=stride, padding=padding)
    N, (P, Q) = len(x), cols.shape[4:]
    # BLANK: dw = dy Xᵀ as matrices, summed over the pictures
    X = cols.reshape(N, C * R * S, P * Q)
    dw = dy.reshape(N, K, P * Q) @ X.swapaxes(1, 2)
    return dw.sum(axis=0).reshape(w_shape)
    # END


@lab.operation("conv2d", of="b")
def backward_bias(dy):
    """Return db (K,)."""
    # BLANK: over which axes is b[k] shared?
    return dy.sum(axis=(0, 2, 3))
    # END


# %% [markdown]
# ## The flipped kernel
# The notes say that the filters have to be flipped. With stride 1, dx is a convolution of dy,
# padded by R - 1, with the kernel turned by 180 degrees and input and output channels exchanged.
# Show it by collecting, for one pixel, the windows that it lies in.


# %%
@lab.blank((example[1], rng.standard_normal((2, 4, 4, 3))))
def by_flipped(w, dy):
    """Return dx of a convolution of stride 1 without padding, written as a convolution of dy."""
    _, C, R, S = w.shape
    padded = np.pad(dy, ((0, 0), (0, 0), (R - 1, R - 1), (S - 1, S - 1)))
    # BLANK: forward(padded, ..., np.zeros(C), 1, 0) with the turned kernel, (C, K, R, S)
    turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    return forward(padded, turned, np.zeros(C), 1, 0)
    # END


# %%
x, w, b = example
dy = rng.standard_normal((2, 4, 4, 3))
print("largest difference:", abs(by_flipped(w, dy) - backward_data(dy, w, x.shape, 1, 0)).max())

# %% [markdown]
# ## The picture: a filter found by its gradient
# A hidden filter has made y from x. Start with another, and follow -dw of J, half the mean of
# (w X - y)².

# %%
grey = lab.picture("content", 96).mean(axis=2)[np.newaxis, np.newaxis] / 128.0 - 1
hidden = np.array([[[[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]]])
target = forward(grey, hidden, np.zeros(1), 1, 1)
w, velocity, drawn = 0.5 * rng.standard_normal((1, 1, 3, 3)), 0.0, []
for step in range(301):
    dy = (forward(grey, w, np.zeros(1), 1, 1) - target) / target.size
    if step in (0, 20, 80, 300):
        drawn.append(w[0, 0].copy())
        print(f"step {step}: J = {(dy**2).sum() * target.size / 2:.2e}")
    velocity = 0.9 * velocity - 0.1 * backward_weight(dy, grey, w.shape, 1, 1)
    w = w + velocity
labels = ["start", "step 20", "step 80", "step 300", "hidden", "what it has made"]
pictures = [enlarged(one, 96) for one in (*drawn, hidden[0, 0], target[0, 0])]
lab.save(side_by_side(pictures, labels, height=96))
lab.end()

# %% [markdown]
# ## Questions
# 1. A convolution layer in the middle of a network needs all three products. Which one does style
#    transfer leave out, and why?
# > dw and db: the weights stay as they are, only the picture changes. `net.backward` never computes
# > them.
#
# 2. The gradient of the transposed convolution is a convolution. Which line here says so?
# > dX = wᵀ dy. The transposed convolution is backward_data itself, so its own backward has wᵀ
# > transposed: w.
#
# 3. Why must the checker draw dy at random, and not take ones?
# > With ones, many wrong gradients give the right sums: dy transposed or reversed is the same dy.
