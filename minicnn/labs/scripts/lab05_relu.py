"""Lab 5: three rules for the way back through a ReLU.

One of them is the gradient. The other two make clearer pictures and are none. Lecture notes,
section 1.1; Zeiler & Fergus 2014, arXiv 1311.2901; Springenberg et al. 2014, arXiv 1412.6806. Our
own: minicnn/ops/relu.py.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.sheets import side_by_side, signed_to_uint8

lab = Lab(5)
SIGNS = (np.array([3.0, 3, -3, -3, 0]), np.array([2.0, -2, 2, -2, 2]))  # x, dy

# %% [markdown]
# ## The gradient
# y = max(x, 0). Derive ∂y/∂x for x > 0 and for x < 0. At x = 0 there is none; by convention it is
# 0.


# %%
@lab.operation("relu")
def gradient(dy, x):
    """Return dx, shape of x."""
    # BLANK: dy where x > 0, else 0
    return dy * (x > 0)
    # END


# %% [markdown]
# ## The deconvnet's rule
# On its way down the deconvnet rectifies what comes down, whatever the way up has seen: "to obtain
# a valid reconstructed signal".


# %%
@lab.blank(SIGNS[::-1])
def deconvnet(dy, x):
    """Return what the deconvnet passes on."""
    # BLANK: the positive part of dy
    return np.maximum(dy, 0)
    # END


# %% [markdown]
# ## The guided rule
# Both conditions together.


# %%
@lab.blank(SIGNS[::-1])
def guided(dy, x):
    """Return what guided backpropagation passes on."""
    # BLANK: the positive part of dy, where x > 0
    return np.maximum(dy, 0) * (x > 0)
    # END


# %% [markdown]
# Expected: a row for each rule, for x = 3 3 -3 -3 0 and dy = 2 -2 2 -2 2:
#
#     gradient   2 -2  0  0  0
#     deconvnet  2  0  2  0  2
#     guided     2  0  0  0  0

# %%
x, dy = SIGNS
for rule in (gradient, deconvnet, guided):
    print(f"{rule.__name__:10}", rule(dy, x))

# %% [markdown]
# ## Which of them are gradients?
# Let the checker try all three. It must refuse two of them.

# %%
for rule in (gradient, deconvnet, guided):
    lab.verdict(rule, "relu")

# %% [markdown]
# ## The picture
# The strongest unit of relu3_2, taken down by each rule: gradients of both signs fight each other,
# what is rectified agrees with itself.

# %%
net = minicnn.load("minivgg")
picture = lab.picture("content", 96)
x = preprocess(picture, net.attrs["preprocess"])
y = net.forward(x, ["relu3_2"])["relu3_2"]
seed = np.zeros_like(y)
place = np.unravel_index(y.argmax(), y.shape)
seed[place] = y[place]
projections = [
    as_pixels(net.backward({"relu3_2": seed}, rule), net)
    for rule in ("gradient", "deconvnet", "guided")
]
rows, columns = (np.flatnonzero(projections[0].any(axis=(1 - i, 2))) for i in (0, 1))
part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # what the unit sees
drawn = [
    enlarged(one, 200)
    for one in (picture[part], *(signed_to_uint8(p[part])[0] for p in projections))
]
lab.save(side_by_side(drawn, ["what it sees", "gradient", "deconvnet", "guided"]))
lab.end()

# %% [markdown]
# ## Questions
# 1. When do all three rules agree?
# > Where x > 0 and dy > 0. If every dy that comes down is positive and every x as well.
#
# 2. A network has no ReLU. What are the three pictures?
# > The same: the filters and the unpooling are common to all of them.
#
# 3. With the deconvnet's rule, why can signal land where the picture's ReLU was closed?
# > Its mask is that of dy alone. x < 0 does not stop a positive dy.
