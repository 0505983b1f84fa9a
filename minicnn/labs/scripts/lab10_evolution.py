"""Lab 10: how features come about during training.

Snapshots of one training run, after 1, 2, 5, 10, 20, 30, 40 and 64 epochs. When has a layer become
what it is in the end? Lecture notes, section 1.3 and figure 6; Zeiler & Fergus 2014, arXiv
1311.2901, figure 4. Our own: minicnn/methods/evolution/.
"""

# %%
from itertools import pairwise

import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.methods.deconvnet.projection import project
from minicnn.methods.evolution.snapshots import embedded
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.sheets import column, grid, labelled, signed_to_uint8

lab = Lab(10)
LAYERS = ["relu1", "relu2", "relu4"]
nets = [minicnn.load(path) for path in embedded("minizfnet")]
epochs = [1, 2, 5, 10, 20, 30, 40, 64]
tiles = lab.tiles(64)[::6]
x = np.concatenate([preprocess(tile, nets[0].attrs["preprocess"]) for tile in tiles])
answers = [net.forward(x, LAYERS, keep=False) for net in nets]  # [{layer: (N, K, P, Q)}]

# %% [markdown]
# ## The strongest picture of each unit
# At each snapshot: in which picture of the data set does a unit answer most?

# %%


@lab.blank((answers[0]["relu2"],), (answers[-1]["relu4"],))
def strongest(y):
    """Return for each unit of y (N, K, P, Q) the number of its strongest picture, (K,)."""
    # BLANK: the largest over the positions, then argmax over the pictures
    return y.max(axis=(2, 3)).argmax(axis=0)
    # END


# %% [markdown]
# ## Hard changes
# The projection of a unit can jump from one snapshot to the next because its strongest answer now
# comes from another picture. Count how many units that happens to.


# %%
@lab.blank((np.array([1, 2, 3, 4]), np.array([1, 5, 3, 9])))
def changed(before, after):
    """Return the share of units whose strongest picture is another one."""
    # BLANK: a mean of what differs
    return (before != after).mean()
    # END


# %% [markdown]
# ## How far are the filters from their end?
#
#     |w - v| / |v|        w the filters of a layer at a snapshot, v those at the end
#
# Expected: it falls to 0; the first layer is nearer to its end than the last from early on.


# %%
@lab.blank((np.arange(6.0).reshape(2, 3), np.ones((2, 3))))
def distance(w, v):
    """Return the relative distance of w from v."""
    # BLANK: Euclidean norms over all entries
    return np.linalg.norm(w - v) / np.linalg.norm(v)
    # END


# %% [markdown]
# But filters can turn without a change of what they say. Better compare the answers: the
# correlation of a unit's answers at a snapshot with those at the end, over all pictures and
# positions.


# %%
@lab.blank((answers[0]["relu1"], answers[-1]["relu1"]))
def alike(y, z):
    """Return the mean over the units of the correlation of y with z, both (N, K, P, Q)."""
    rows = [
        a.swapaxes(0, 1).reshape(a.shape[1], -1).astype("float64") for a in (y, z)
    ]  # (K, N P Q)
    # BLANK: subtract the mean of each row, then Σ a b / sqrt(Σ a² Σ b²) of each; units whose row is
    # constant count as 0
    a, b = (row - row.mean(axis=1, keepdims=True) for row in rows)
    below = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return ((a * b).sum(axis=1) / np.where(below > 0, below, 1)).mean()
    # END


# %%
last = nets[-1]
for layer in LAYERS:
    name = layer.replace("relu", "conv") + ".weight"
    numbers = [strongest(one[layer]) for one in answers]
    print(layer)
    print(
        "  filters, distance  ",
        *(f"{distance(n.params[name], last.params[name]):.2f}" for n in nets),
    )
    print(
        "  answers, alike     ",
        *(f"{alike(one[layer], answers[-1][layer]):.2f}" for one in answers),
    )
    jumps = (changed(a, b) for a, b in pairwise(numbers))
    print("  strongest changed       ", *(f"{jump:.2f}" for jump in jumps))

# %% [markdown]
# ## The picture
# Above, sixteen first filters at each snapshot, on one scale. Below, one unit of each layer: the
# projection of its strongest answer at each snapshot.

# %%
scale = 127 / abs(last.params["conv1.weight"]).max()
filters = [
    labelled(
        grid(
            [enlarged(signed_to_uint8(w.transpose(1, 2, 0), scale)[0], 30)
             for w in net.params["conv1.weight"][:16]], 4, gap=2),
        f"epoch {epoch}",
    )
    for net, epoch in zip(nets, epochs, strict=True)
]  # fmt: skip
rows = [grid(filters, len(nets))]
for layer in LAYERS:
    unit = int(answers[-1][layer].max(axis=(0, 2, 3)).argsort()[-3])
    cells = []
    for net, one in zip(nets, answers, strict=True):
        best = strongest(one[layer])[unit]
        dx = project(net, x[best : best + 1], layer, np.array([unit])).dx
        cell = signed_to_uint8(as_pixels(dx, net))[0]
        cells.append(labelled(enlarged(cell, 128), f"{layer}, picture {best}"))
    rows.append(grid(cells, len(nets)))
lab.save(column(rows, gap=8))
lab.end()

# %% [markdown]
# ## Questions
# 1. The notes say that low layers converge soon and high ones late. Do your numbers agree?
# > The answers of relu1 are close to their end earlier than those of relu4: read off the rows
# > "alike".
#
# 2. The notes explain hard changes by lower layers that "may change their feature correspondence".
#    Which simpler reason does the paper give, and how do you tell the two apart?
# > The strongest answer comes from another picture. Compare the picture's number: if it stays and
# > the projection jumps, it is the unit that has changed.
#
# 3. Why can the distance of filters be large while the answers are alike?
# > A filter may grow in length, or change in directions that natural pictures hardly have.
