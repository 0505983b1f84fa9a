"""Lab 3: the arithmetic of transposed convolutions.

The notes say "transposed convolution with care about padding and stride", and point to reference 5:
Dumoulin & Visin 2016, arXiv 1603.07285, chapters 2 to 4. Our own: minicnn/ops/conv_transpose2d.py,
minicnn/ops/shapes.py.

Sizes along one axis: the input has H pixels, the kernel R, the stride is u, the padding `pad`.
"""

# %%
import numpy as np
from PIL import Image, ImageDraw

from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.ops import conv2d
from minicnn.pictures.sheets import column, grid, labelled

lab = Lab(3)
CASES = {  # Dumoulin & Visin's: H, R, u, pad
    "no padding, stride 1": (4, 3, 1, 0),
    "padding 2": (5, 4, 1, 2),
    "half padding: P = H": (5, 3, 1, 1),
    "full padding: P = H + R - 1": (5, 3, 1, 2),
    "stride 2": (5, 3, 2, 0),
    "stride 2, padding 1": (5, 3, 2, 1),
    "stride 2, padding 1, a row left over": (6, 3, 2, 1),
}

# %% [markdown]
# ## There: from H to P
# Expected: 2, 6, 5, 7, 2, 3, 3 for the seven cases. The last two have the same P.


# %%
@lab.blank(*CASES.values())
def out_size(H, R, u, pad):
    """Return P."""
    # BLANK: relationship 6 of the paper
    return (H + 2 * pad - R) // u + 1
    # END


# %% [markdown]
# ## And back: from P to H
# The transposed convolution takes a map of P pixels to one of H. Two sizes H have the same P where
# the stride does not divide, so the number of rows left over, `extra`, must be given.
#
# Derive both from P = floor((H + 2 pad - R) / u) + 1.


# %%
@lab.blank(*CASES.values(), (9, 3, 5, 1))
def left_over(H, R, u, pad):
    """Return the rows of the padded input that no window reaches, 0 to u - 1."""
    # BLANK: what the floor throws away
    return (H + 2 * pad - R) % u
    # END


@lab.blank(*((out_size(*case), *case[1:], left_over(*case)) for case in CASES.values()))
def back_size(P, R, u, pad, extra):
    """Return H."""
    # BLANK: the equation of P, solved for H; relationship 14 of the paper
    return u * (P - 1) + R - 2 * pad + extra
    # END


for name, (H, R, u, pad) in CASES.items():
    P, extra = out_size(H, R, u, pad), left_over(H, R, u, pad)
    print(f"{name}: {H} -> {P} -> {back_size(P, R, u, pad, extra)}, extra {extra}")

# %% [markdown]
# ## A convolution is a matrix
# y = A x, with x and y as columns of numbers. Column i of A is what the convolution makes of a
# picture that is 1 at pixel i, 0 elsewhere. Its transpose takes maps of y's size to x's size, and
# that is all a transposed convolution is.

# %%
rng = np.random.default_rng(0)


@lab.blank((rng.standard_normal((3, 3)), 5, 2, 1), (rng.standard_normal((2, 2)), 4, 1, 0))
def matrix(w, H, u, pad):
    """Return A (P P, H H) of a convolution with w (R, R) of pictures H x H."""
    columns = []
    for i in range(H * H):
        # BLANK: the picture of 1 at pixel i, through conv2d.forward(x, w, stride=, padding=)[0]
        # x is (1, 1, H, H), w is (1, 1, R, R); append its y, flattened
        x = np.zeros((1, 1, H, H))
        x.flat[i] = 1
        y = conv2d.forward(x, w[None, None], stride=u, padding=pad)[0]
        columns.append(y.ravel())
        # END
    return np.stack(columns, axis=1)


# %% [markdown]
# ## Scatter
# Without a matrix: each entry of the input paints its kernel, w times itself, into the output, u
# pixels apart; what overlaps is added; the padding is cut off.


# %%
@lab.blank(
    (rng.standard_normal((2, 3)), rng.standard_normal((3, 2)), 1, 0),
    (rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), 2, 1),
)
def scatter(y, w, u, pad):
    """Return x (H, W) of the transposed convolution of y (P, Q) with w (R, S)."""
    (P, Q), (R, S) = y.shape, w.shape
    x = np.zeros((u * (P - 1) + R, u * (Q - 1) + S))
    # BLANK: for each (p, q), add y[p, q] w to its window of x
    for p in range(P):
        for q in range(Q):
            x[p * u : p * u + R, q * u : q * u + S] += y[p, q] * w
    # END
    return x[pad : x.shape[0] - pad, pad : x.shape[1] - pad]


# %%
w, y = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
by_matrix = (matrix(w, 5, 2, 1).T @ y.ravel()).reshape(5, 5)
print("matrix and scatter differ by", abs(by_matrix - scatter(y, w, 2, 1)).max())

# %% [markdown]
# ## The picture
# The seven cases. Blue is the input with its padding in pale, a red frame is the first window, a
# grey one the last; green is the output. On the right, the way back as the paper draws it: the
# output spread out by the stride, with R - 1 - pad rows of zeros around and those left over;
# windows of stride 1 give the input's size. Below, what a transposed convolution with a kernel of
# ones makes of a map of ones: 3 x 3 with stride 2, and 4 x 4 with stride 2.

# %%
SIDE = 14


def squares(size, colour, pad=0, frames=(), step=1, extra=0):
    """Draw a map of size x size pixels, `step` apart, zeros in white, and frames of windows."""
    whole = step * (size - 1) + 1 + 2 * pad + extra
    image = Image.new("RGB", (whole * SIDE + 1, whole * SIDE + 1), "white")
    draw = ImageDraw.Draw(image)
    for i, j in np.ndindex(whole, whole):
        inside = all(k in range(pad, pad + step * size, step) for k in (i, j))
        box = (j * SIDE, i * SIDE, (j + 1) * SIDE, (i + 1) * SIDE)
        draw.rectangle(box, colour if inside else "white", "grey" if inside else "lightgrey")
    for frame, (start, length) in frames:
        box = [start * SIDE + 1, start * SIDE + 1, (start + length) * SIDE - 1] * 2
        draw.rectangle(box[:2] + [box[2]] * 2, None, frame, 3)
    return np.array(image)


drawings = []
for name, (H, R, u, pad) in CASES.items():
    P = out_size(H, R, u, pad)
    windows = (("dimgrey", (u * (P - 1), R)), ("red", (0, R)))
    around, extra = R - 1 - pad, left_over(H, R, u, pad)
    three = [
        squares(H, (120, 170, 230), pad, windows),
        squares(P, (120, 200, 130)),
        squares(P, (120, 200, 130), around, (("red", (0, R)),), u, extra),
    ]
    drawings.append(labelled(grid(three, 3, gap=10), f"{name}: {H} to {P} and back", size=14))
boards = [scatter(np.ones((6, 6)), np.ones((R, R)), 2, 0) for R in (3, 4)]
boards = [
    labelled(enlarged((one * 255 / one.max()).astype("uint8"), 130), f"ones, {R} x {R}, stride 2")
    for one, R in zip(boards, (3, 4), strict=True)
]
lab.save(column([grid(drawings, 2, gap=24), grid(boards, 2, gap=12)], gap=16))
lab.end()

# %% [markdown]
# ## Questions
# 1. Cases 6 and 7 have the same P. What goes wrong in a network that guesses H from P?
# > It gets 5 where the picture had 6: the gradient has the wrong size. conv2d.backward_data stores
# > x_shape for that reason.
#
# 2. Where does the chequered pattern of the last pictures come from, and why has 4 x 4 none inside?
# > With 3 x 3 and stride 2 a pixel gets 1, 2 or 4 kernels; with 4 x 4 each inner pixel gets exactly
# > 4, as the stride divides the kernel. The deconvnet's pictures show such patterns, too.
#
# 3. Is the transposed convolution the inverse of the convolution?
# > No: Aᵀ A is not the identity. "Deconvolution" is an unfortunate name, as the notes say.
