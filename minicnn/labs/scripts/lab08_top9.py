"""Lab 8: the nine strongest answers of a unit.

One picture shows what a unit answers to there. To learn what it looks for, take its nine strongest
answers in many pictures, and show each beside its projection. Lecture notes, section 1.2, figures 4
and 5; Zeiler & Fergus 2014, arXiv 1311.2901, figure 2. Our own: minicnn/methods/features/.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.methods.deconvnet.projection import project
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.sheets import grid, labelled, side_by_side, signed_to_uint8

lab = Lab(8)
LAYER = "relu2"
net = minicnn.load("minizfnet")
tiles = lab.tiles(64)  # the demo's two pictures, cut into squares: our data set
inputs = np.concatenate([preprocess(tile, net.attrs["preprocess"]) for tile in tiles])
y = np.concatenate([net.forward(x[None], [LAYER], keep=False)[LAYER] for x in inputs])
print(len(tiles), "pictures;", LAYER, y.shape)

# %% [markdown]
# ## Each picture once
# A picture counts by its largest answer, and where that is. Else nine places of one picture could
# fill the nine slots.

# %%
RANDOM = np.random.default_rng(0)


@lab.blank((RANDOM.standard_normal((5, 4, 3)),), (y[:, 7],))
def peaks(maps):
    """Return the largest values (N,) of maps (N, P, Q), and their rows and columns (N, 2)."""
    # BLANK: argmax over the flat maps; rows and columns by divmod with Q
    flat = maps.reshape(len(maps), -1)
    best = flat.argmax(axis=1)
    return flat.max(axis=1), np.stack(np.divmod(best, maps.shape[2]), axis=1)
    # END


# %% [markdown]
# ## The nine
# Sorted by the value, the largest first; among equals the picture with the lower number. Then
# nothing depends on the order in which pictures come.


# %%
@lab.blank((np.array([3.0, 1, 3, 2, 0, 5]), 4), (y[:, 7].max(axis=(1, 2)), 9))
def strongest(values, count):
    """Return the numbers of the `count` pictures with the largest values."""
    # BLANK: np.argsort of the negative values, kind="stable"
    return np.argsort(-values, kind="stable")[:count]
    # END


# %% [markdown]
# ## What a unit sees
# Entry (i, j) of a layer sees the pixels offset + i stride ... offset + i stride + size - 1. A
# layer with kernel R, stride u and padding pad makes of the size, stride and offset of its input
#
#     size' = size + (R - 1) stride        stride' = stride u        offset' = offset - pad stride
#
# Derive this. Expected for relu2 of this network: size 27, stride 8, offset -11.


# %%
@lab.blank(([(3, 1, 1), (3, 1, 1), (2, 2, 0), (3, 1, 1)],), ([(7, 2, 1), (3, 2, 0)],))
def field(layers):
    """Return (size, stride, offset) behind layers [(R, u, pad), ...]."""
    size, stride, offset = 1, 1, 0
    for R, u, pad in layers:
        # BLANK: the three equations; mind that the new size and offset need the old stride
        size, offset = size + (R - 1) * stride, offset - pad * stride
        stride = stride * u
        # END
    return size, stride, offset


# %%
shapes = [
    (node.layer.kernel, node.layer.stride, node.layer.padding)
    for node in net.nodes[: net.layers.index(LAYER) + 1]
]
size, stride, offset = field(shapes)
print("a unit of", LAYER, "sees", size, "pixels, every", stride, "from", offset)

# %% [markdown]
# ## The picture
# Four units: the projections of the nine strongest answers by the deconvnet (lab 7), and the
# patches that caused them. Grey is outside of the picture.


# %%
def patch(image, row, column):
    """Return what the unit at (row, column) sees of an image; grey is outside."""
    framed = np.full((64 + 2 * size, 64 + 2 * size, 3), 128, "uint8")
    framed[size : size + 64, size : size + 64] = image
    top, left = (offset + stride * place + size for place in (row, column))
    return framed[top : top + size, left : left + size].repeat(2, axis=0).repeat(2, axis=1)


blocks = []
units = np.argsort(-np.sort(y.max(axis=(2, 3)), axis=0)[-9])[:4]  # whose ninth answer is strong
for unit in units:
    values, places = peaks(y[:, unit])
    best = strongest(values, 9)
    found = project(net, inputs[best], LAYER, np.full(9, unit))
    projections = [signed_to_uint8(as_pixels(dx[None], net))[0] for dx in found.dx]
    nines = [
        grid([patch(image, *places[n]) for n, image in zip(best, images, strict=True)], 3, gap=2)
        for images in (projections, tiles[best])
    ]
    blocks.append(
        labelled(
            side_by_side(nines, gap=4), f"unit {unit}, answers of {values[best[0]]:.1f} and less"
        )
    )
lab.save(grid(blocks, 2, gap=16))
lab.end()

# %% [markdown]
# ## Questions
# 1. Why do the patches of one unit look alike, though nobody told the network what to look for?
# > A unit is a filter of filters: it answers to one arrangement of edges and colours. Training has
# > made those filters that help to tell the classes apart.
#
# 2. A unit's largest answer is 0 or less in all pictures. What should be shown?
# > Nothing: it is dead on this data set. Nine arbitrary patches would say something false.
#
# 3. Two computers look at half of the pictures each. How do you get the nine of all?
# > Each keeps its nine; the nine of the eighteen are those of all, as the order has no ties.
