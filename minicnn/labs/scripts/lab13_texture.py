"""Lab 13: Gram matrices and texture.

Which features occur together, wherever in the picture? A picture with the same answers to that has
the same texture. Lecture notes, section 3, equations 4 to 7, figures 10 to 12; Gatys et al. 2015,
arXiv 1505.07376. Our own: minicnn/objectives/gram.py, minicnn/methods/texture/.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.optimizers import minimize
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import picture as as_picture
from minicnn.pictures.sheets import column, side_by_side, signed_to_uint8

lab = Lab(13)
net = minicnn.load("minivgg", pool="average")
source = lab.picture("style", 72)
x0 = preprocess(source, net.attrs["preprocess"])
RANDOM = np.random.default_rng(0)

# %% [markdown]
# ## The Gram matrix (equations 4 and 5)
#
#     G[k, k'] = Σ_ij a[i, j, k] a[i, j, k']            G = A Aᵀ
#
# with a row of A for each channel, a column for each position. Expected: G is symmetric, and on its
# diagonal stand the sums of squares of the channels.


# %%
@lab.blank((RANDOM.standard_normal((1, 3, 4, 5)),), (RANDOM.standard_normal((2, 4, 2, 2)),))
def gram(f):
    """Return G (N, C, C) of f (N, C, H, W)."""
    # BLANK: reshape to (N, C, H W), times its transpose
    A = f.reshape(*f.shape[:2], -1)
    return A @ A.swapaxes(1, 2)
    # END


# %% [markdown]
# ## The derivative of the Gram matrix
# A small change δA changes G by δA Aᵀ + A δAᵀ. Derive from Σ dG · δG = Σ (?) · δA what df is, for
# any dG, symmetric or not.


# %%
@lab.operation("gram")
def gram_backward(dy, f):
    """Return df (N, C, H, W) for dy = dG (N, C, C)."""
    A = f.reshape(*f.shape[:2], -1)
    # BLANK: A stands in A Aᵀ twice
    return ((dy + dy.swapaxes(1, 2)) @ A).reshape(f.shape)
    # END


# %% [markdown]
# ## The loss of a layer (equation 6)
#
#     J = 1 / (4 (n_W n_H)²) Σ (G - G_S)²
#
# Derive dJ/dG, then df by the function above. Expected: df = (G - G_S) A / (n_W n_H)².


# %%
@lab.operation("style")
def style_gradient(dy, f, target):
    """Return df of the loss of a layer; target is G_S."""
    M = f.shape[2] * f.shape[3]
    # BLANK: gram_backward of dJ/dG
    return dy * gram_backward(2 * (gram(f) - target) / (4 * M**2), f)
    # END


# %% [markdown]
# ## The texture (equation 7)
# The layers' losses are added with weights λ, and the sum goes down through the network. A Gram
# matrix of C channels has C² entries: with λ = 1 / C⁴ no layer drowns the others (Gatys et al.
# have 1 / C²).

# %%
LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
noise = RANDOM.standard_normal(x0.shape).astype("float32")


@lab.blank((noise, {n: gram(f) for n, f in net.forward(x0, LAYERS).items()}))
def loss(x, targets):
    """Return J_S and dJ_S/dx at a picture x, for targets {layer: G_S}."""
    value, gradients = 0.0, {}
    acts = net.forward(x, list(targets))
    for name, f in acts.items():
        C, M = f.shape[1], f.shape[2] * f.shape[3]
        weight = 1e3 / C**4
        # BLANK: add the layer's value; gradients[name] is the array to feed in at this layer
        value += weight * float(((gram(f) - targets[name]) ** 2).sum()) / (4 * M**2)
        gradients[name] = style_gradient(weight, f, targets[name])
        # END
    return value, net.backward(gradients)


# %% [markdown]
# ## The picture: figure 12
# Textures from noise, 30 iterations of L-BFGS, with more and more layers; below, three Gram
# matrices of the source and what they become.

# %%
drawn, labels = [source], ["source"]
for count in (1, 2, 3, 4):
    targets = {n: gram(f) for n, f in net.forward(x0, LAYERS[:count]).items()}
    found = minimize("lbfgs", lambda x: loss(x, targets), 0.5 * noise, iterations=30)  # noqa: B023
    print(f"{count} layers: {loss(0.5 * noise, targets)[0]:.3g} to {found.value:.3g}")
    drawn.append(as_picture(found.x, net))
    labels.append(f"up to {LAYERS[count - 1]}")
grams = []
for x in (x0, 0.5 * noise, found.x):
    matrix = gram(net.forward(x, ["relu1_1"])["relu1_1"])[0]
    grams.append(enlarged(signed_to_uint8(np.sqrt(matrix))[0], 160))
lab.save(
    column(
        [
            side_by_side(drawn, labels, height=180),
            side_by_side(grams, ["Gram matrix of relu1_1: source", "noise", "texture"]),
        ],
        gap=12,
    )
)
lab.end()

# %% [markdown]
# ## Questions
# 1. Shuffle the positions of all activations of a layer in the same way. What happens to its Gram
#    matrix, and what does that say of textures?
# > Nothing happens: G is a sum over positions. It knows what occurs together, not where.
#
# 2. Equation 6 as printed leaves out a factor of the paper. Which, and what does it change?
# > 1 / C² (the paper's 1 / (4 N² M²)). Layers with many channels weigh more without it.
#
# 3. The remark in the notes says that G is no correlation. What would have to be subtracted?
# > The mean of each channel. As it is, G also says how strong each channel is.
