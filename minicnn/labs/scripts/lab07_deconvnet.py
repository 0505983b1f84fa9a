"""Lab 7: the deconvnet.

What in a picture excites a unit? Go up and record the switches; set all units but one to 0; go
down: unpool, rectify, filter with the transposed filters. Lecture notes, section 1.1, figures 2
and 3; Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1. Our own:
minicnn/methods/deconvnet/projection.py.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.network.layers import Conv2d, MaxPool2d, ReLU
from minicnn.ops import conv2d, maxpool2d, relu
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.overlays import boxed
from minicnn.pictures.sheets import column, grid, labelled, signed_to_uint8

lab = Lab(7)
net = minicnn.load("minivgg")  # trained on Tiny ImageNet: convolutions, ReLUs, max poolings
picture = lab.picture("content", 128)
x = preprocess(picture, net.attrs["preprocess"])  # (1, 3, H, W)
LAYERS = net.nodes[: net.layers.index("relu3_2") + 1]
print([node.name for node in LAYERS])


# %% [markdown]
# ## Up
# Go through the layers, and keep of each what the way down needs. This is done for you.


# %%
def up(x):
    """Return the activation of the last of LAYERS and {layer: cache}."""
    caches = {}
    for node in LAYERS:
        if isinstance(node.layer, Conv2d):
            caches[node.name] = x.shape
            w, b = net.params[f"{node.name}.weight"], net.params[f"{node.name}.bias"]
            x, _ = conv2d.forward(x, w, b, padding=node.layer.padding)
        elif isinstance(node.layer, ReLU):
            x, caches[node.name] = relu.forward(x)
        elif isinstance(node.layer, MaxPool2d):
            x, caches[node.name] = maxpool2d.forward(x, node.layer.kernel)  # with the switches
    return x, caches


y, caches = up(x)
print("relu3_2:", y.shape)

# %% [markdown]
# ## One unit
# "All other activation units in the given layer are set to zero." Of the unit's map, keep the
# largest activation, where it is.


# %%
@lab.blank((y, 5), (y, 17))
def seed_of(y, unit):
    """Return an array like y (1, K, P, Q) that is 0 but at the largest activation of a unit."""
    seed = np.zeros_like(y)
    # BLANK: find the place of the largest value of y[0, unit], and copy the value there
    place = np.unravel_index(y[0, unit].argmax(), y.shape[2:])
    seed[0, unit][place] = y[0, unit][place]
    # END
    return seed


# %% [markdown]
# ## Down, through one layer
# - pooling: unpool by the switches
# - ReLU: rectify what comes down, by the deconvnet's rule
# - convolution: the transposed filters. No bias on the way down.
#
# Which of the three is a gradient, and which is not?


# %%
EXAMPLES = {
    kind: next(n for n in LAYERS if isinstance(n.layer, kind)) for kind in (MaxPool2d, ReLU, Conv2d)
}
SIZES = {Conv2d: x.shape[2:], ReLU: x.shape[2:], MaxPool2d: [side // 2 for side in x.shape[2:]]}
RANDOM = np.random.default_rng(0)


@lab.blank(
    *(
        (node, RANDOM.standard_normal((1, 32, *SIZES[kind])).astype("float32"), caches[node.name])
        for kind, node in EXAMPLES.items()
    )
)
def down(node, dy, cache):
    """Return what a layer passes down of dy."""
    if isinstance(node.layer, MaxPool2d):
        # BLANK: maxpool2d.backward(dy, cache) places dy at the switches
        return maxpool2d.backward(dy, cache)
        # END
    if isinstance(node.layer, ReLU):
        # BLANK: rectify
        return np.maximum(dy, 0)
        # END
    w = net.params[f"{node.name}.weight"]
    # BLANK: the transposed convolution is conv2d.backward_data(dy, w, x_shape, padding=...); the
    # cache is x_shape, the padding is node.layer.padding
    return conv2d.backward_data(dy, w, cache, padding=node.layer.padding)
    # END


# %% [markdown]
# ## Down to the pixels
# Expected: the same as `net.backward({"relu3_2": seed}, "deconvnet")`.


# %%
@lab.blank((seed_of(y, 5),))
def project(seed):
    """Return the projection (1, 3, H, W) of a seed at the last of LAYERS."""
    dx = seed
    # BLANK: through LAYERS, from the last to the first
    for node in reversed(LAYERS):
        dx = down(node, dx, caches[node.name])
    # END
    return dx


# %%
net.forward(x, ["relu3_2"])
seed = seed_of(y, 5)
difference = abs(project(seed) - net.backward({"relu3_2": seed}, "deconvnet")).max()
print("largest difference from net.backward:", difference)

# %% [markdown]
# ## The picture
# The six strongest units: where they see (yellow), what they see, and their projections below.

# %%
units = y[0].max(axis=(1, 2)).argsort()[::-1][:6]
drawn, where = [], picture
for unit in units:
    dx = as_pixels(project(seed_of(y, unit)), net)
    rows, columns = (np.flatnonzero(dx.any(axis=(1 - i, 2))) for i in (0, 1))
    top, left, bottom, right = box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    where = boxed(where, box)
    part = np.s_[top:bottom, left:right]
    both = [picture[part], signed_to_uint8(dx)[0][part]]
    drawn.append(labelled(enlarged(np.concatenate(both), 200), f"unit {unit}"))
lab.save(column([enlarged(where, 300), grid(drawn, 6)], gap=12))
lab.end()

# %% [markdown]
# ## Questions
# 1. Of the three steps down, which are the chain rule?
# > Unpooling by switches is max pooling's gradient, and transposed filtering the convolution's.
# > Only the ReLU's rule is another: its gradient has the mask of x, not of dy. Lab 9 compares
# > them.
#
# 2. The notes speak of filters "flipped horizontally and vertically". Where are they here?
# > Inside conv2d.backward_data: it scatters with w, which is the same as a convolution with the
# > flipped filters (lab 2).
#
# 3. Two units have the same projection but for its strength. What can you conclude?
# > Little: both look at the same place of the picture. One needs their strongest answers in many
# > pictures: lab 8.
