"""Lab 1: windows and im2col.

A convolution looks at a picture through a small window. If every window is copied into a column
of a matrix, a convolution becomes a product of two matrices. Lecture notes, section 1.1; Dumoulin &
Visin 2016, arXiv 1603.07285, chapter 2. Our own: minicnn/ops/im2col.py, minicnn/ops/shapes.py.

Shapes: x (N, C, H, W), a window of R x S pixels, stride u, P x Q windows.
"""

# %%
import numpy as np

from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.pictures.sheets import side_by_side

lab = Lab(1)

# %% [markdown]
# ## How many windows fit
# The picture has H rows and `pad` rows of zeros on each side. The first window starts at row 0 of
# the padded picture, the next u rows below. The last one must end inside.
#
# Derive P, the number of windows. Expected: H = 7, R = 3, u = 2, pad = 0 gives 3; with pad = 1 it
# gives 4; H = 224, R = 7, u = 2, pad = 1 gives 110.


# %%
@lab.blank((7, 3, 2, 0), (7, 3, 2, 1), (224, 7, 2, 1), (5, 5, 1, 0), (8, 3, 4, 0))
def out_size(H, R, u, pad):
    """Return the number of windows along one axis."""
    # BLANK: the last window starts at row (P - 1) u of the padded picture, and ends R rows below
    return (H + 2 * pad - R) // u + 1
    # END


# %% [markdown]
# ## Windows as columns
# Element (r, s) of window (p, q) is pixel (p u + r, q u + s):
#
#     cols[n, c, r, s, p, q] = x[n, c, p u + r, q u + s]
#
# A loop over all windows is slow. Fix (r, s) and take all windows at once: which rows of x does
# element r of all windows see? It is a slice with a step.


# %%
@lab.blank(
    (np.arange(9.0).reshape(1, 1, 3, 3), 2, 2, 1),
    (np.random.default_rng(0).standard_normal((2, 3, 9, 6)), 3, 2, 2),
)
def im2col(x, R, S, u):
    """Return the columns (N, C, R, S, P, Q) of x (N, C, H, W)."""
    N, C, H, W = x.shape
    P, Q = out_size(H, R, u, 0), out_size(W, S, u, 0)
    cols = np.empty((N, C, R, S, P, Q), x.dtype)
    # BLANK: for each (r, s), assign cols[:, :, r, s]: a slice of x with a step, (N, C, P, Q)
    for r in range(R):
        for s in range(S):
            cols[:, :, r, s] = x[:, :, r : r + u * P : u, s : s + u * Q : u]
    # END
    return cols


# %% [markdown]
# Expected: the windows of 2 x 2 on the picture 0 1 2 / 3 4 5 / 6 7 8, a row for each (r, s), a
# column for each window.

# %%
print(im2col(np.arange(9).reshape(1, 1, 3, 3), 2, 2, 1).reshape(4, 4))

# %% [markdown]
# ## A convolution is a product
# With X the columns as a matrix (C R S, P Q) and w as a matrix (K, C R S):
#
#     y[n, k, p, q] = Σ_crs w[k, c, r, s] cols[n, c, r, s, p, q]        y = w X


# %%
@lab.blank(
    (
        np.random.default_rng(1).standard_normal((2, 3, 6, 4)),
        np.random.default_rng(2).standard_normal((4, 3, 3, 2)),
        1,
    )
)
def convolve(x, w, u):
    """Return y (N, K, P, Q) for x (N, C, H, W) and w (K, C, R, S)."""
    K, C, R, S = w.shape
    cols = im2col(x, R, S, u)
    N, P, Q = len(x), *cols.shape[4:]
    # BLANK: reshape w to (K, C R S) and cols to (N, C R S, P Q), multiply, reshape to (N, K, P, Q)
    X = cols.reshape(N, C * R * S, P * Q)
    y = w.reshape(K, C * R * S) @ X
    return y.reshape(N, K, P, Q)
    # END


# %% [markdown]
# ## The way back
# im2col copies pixels. Each copy hands its derivative back to its pixel, and a pixel that was
# copied several times gets the sum:
#
#     dx[n, c, i, j] = Σ dcols[n, c, r, s, p, q]  over all with p u + r = i and q u + s = j
#
# Derive it from <im2col(x), c> = <x, col2im(c)>: write both sides as sums, and collect what
# multiplies x[i, j].


# %%
@lab.operation("im2col")
def col2im(dy, x_shape, stride):
    """Return dx (N, C, H, W) for dy (N, C, R, S, P, Q)."""
    u, v = (stride, stride) if np.isscalar(stride) else stride
    dx = np.zeros(x_shape, dy.dtype)
    R, S, P, Q = dy.shape[2:]
    # BLANK: the loops of im2col, but now the slice of dx gets dy[:, :, r, s]; u is the stride of
    # the rows, v that of the columns
    for r in range(R):
        for s in range(S):
            dx[:, :, r : r + u * P : u, s : s + v * Q : v] += dy[:, :, r, s]
    # END
    return dx


# %%
rng = np.random.default_rng(3)
x = rng.standard_normal((1, 2, 6, 7))
c = rng.standard_normal(im2col(x, 3, 3, 1).shape)
print("<im2col(x), c> =", (im2col(x, 3, 3, 1) * c).sum())
print("<x, col2im(c)> =", (x * col2im(c, x.shape, 1)).sum())

# %% [markdown]
# ## The picture
# A picture by three convolutions of yours: differences to the right and down, and a mean of 5 x 5.
# The last: in how many windows of 3 x 3, stride 2, a pixel lies (white: four).

# %%
grey = lab.picture("content", 160).mean(axis=2)[np.newaxis, np.newaxis] - 128.0  # (1, 1, H, W)
right = np.array([[[[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]]])
pictures = [
    grey,
    convolve(grey, right, 1),
    convolve(grey, right.swapaxes(2, 3), 1),
    convolve(grey, np.full((1, 1, 5, 5), 1 / 25), 1),
]
ones = np.ones((1, 1, 3, 3, 5, 7))
count = col2im(ones, (1, 1, 11, 15), 2)[0, 0]
labels = ["picture", "right", "down", "mean of 5 x 5", "windows a pixel is in"]
lab.save(
    side_by_side(
        [
            *(enlarged(one[0, 0], 1) for one in pictures),
            enlarged((count * 63).astype("uint8"), 120),
        ],
        labels,
        height=120,
    )
)
lab.end()

# %% [markdown]
# ## Questions
# 1. How much more memory do the columns of 3 x 3 windows with stride 1 take than the picture?
# > About R S = 9 times: each pixel is copied into each window that it lies in. That is why
# > minicnn/ops/column_strips.py makes the columns of some output rows at a time.
#
# 2. col2im(im2col(x)) is not x. What is it?
# > x times the number of windows that each pixel lies in, the last picture. col2im is the transpose
# > of im2col, not its inverse.
#
# 3. With u = 2, H = 8 and R = 3, which row of x is in no window, and what is its derivative?
# > Row 7: the windows start at 0, 2, 4 and end at row 6. Nothing depends on it: 0.
