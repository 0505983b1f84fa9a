"""Lab 9: saliency, and what it has to do with the deconvnet.

The derivative of a class score by the pixels says which of them matter. Simonyan et al. 2013, arXiv
1312.6034, show that the deconvnet computes almost the same thing. Lecture notes, section 1.1,
reference 6. Our own: minicnn/methods/classes/saliency.py.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.pictures import preprocess
from minicnn.pictures.overlays import heat
from minicnn.pictures.sheets import side_by_side

lab = Lab(9)
net = minicnn.load("minivgg")
picture = lab.picture("content", 96)
x = preprocess(picture, net.attrs["preprocess"])
SCORES = "fc5"  # before the softmax
scores = net.forward(x, [SCORES])[SCORES]  # (1, K, 1, 1)
top = int(scores[0, :, 0, 0].argmax())
print("strongest class:", net.attrs["classes"][top])

# %% [markdown]
# ## The score as a function of the pixels
# Near x0 the score is almost linear: S(x) = S(x0) + <w, x - x0>. Derive w = dS/dx: which dy do you
# feed in at the scores, so that what comes down is the gradient of one score?


# %%
@lab.blank((scores, 3), (scores, top))
def seed_of(scores, index):
    """Return dS/dscores for S = scores[0, index], an array like scores."""
    seed = np.zeros_like(scores)
    # BLANK: one entry
    seed[0, index] = 1
    # END
    return seed


w = net.backward({SCORES: seed_of(scores, top)})  # (1, 3, H, W)

# %% [markdown]
# Is it a derivative? Central differences along a random direction v, in float64. Expected: they
# agree to about seven digits.

# %%
exact = minicnn.load("minivgg")
exact.params = {name: value.astype("float64") for name, value in exact.params.items()}
v = np.random.default_rng(0).standard_normal(x.shape)


def score(x):
    """Return S(x)."""
    return exact.forward(x, [SCORES])[SCORES][0, top, 0, 0]


h = 1e-8  # a larger step crosses the kinks of some of the half million ReLUs
exact.forward(x.astype("float64"), [SCORES])
print("<w, v> =", (exact.backward({SCORES: seed_of(scores, top)}) * v).sum())
print("by differences", (score(x + h * v) - score(x - h * v)) / (2 * h))

# %% [markdown]
# ## The map
# A pixel has three channels. Its saliency is the largest of their absolute derivatives.


# %%
@lab.blank((w,))
def saliency(w):
    """Return the map (H, W) of w (1, 3, H, W)."""
    # BLANK: absolute values, then the largest over the channels
    return abs(w[0]).max(axis=0)
    # END


# %% [markdown]
# ## Beside the deconvnet
# Simonyan et al., section 4: at a convolution and a max pooling the two go down alike; at a ReLU
# the gradient has the mask x > 0, the deconvnet dy > 0. Measure how much alike two results are by
# the cosine of the angle between them.


# %%
@lab.blank((w, w), (w, -w), (w, np.random.default_rng(1).standard_normal(w.shape)))
def cosine(a, b):
    """Return the cosine of the angle between two arrays, as vectors."""
    # BLANK: <a, b> over the product of the lengths; sum in float64
    a, b = a.ravel().astype("float64"), b.ravel().astype("float64")
    return a @ b / np.sqrt((a @ a) * (b @ b))
    # END


# %%
maps = {}
for layer in ("relu1_2", "relu2_2", "relu3_3", SCORES):
    y = net.forward(x, [layer])[layer]
    unit = int(y[0].max(axis=(1, 2)).argmax())
    seed = np.zeros_like(y)
    place = np.unravel_index(y[0, unit].argmax(), y.shape[2:])
    seed[0, unit][place] = 1
    found = {
        rule: net.backward({layer: seed}, rule) for rule in ("gradient", "deconvnet", "guided")
    }
    maps[layer] = found
    print(
        f"{layer}: gradient and deconvnet {cosine(found['gradient'], found['deconvnet']):.2f}, "
        f"gradient and guided {cosine(found['gradient'], found['guided']):.2f}"
    )


# %% [markdown]
# ## The picture
# The saliency map of the strongest class, and the same by the other two rules.


# %%
def drawn(values):
    """Return a map as colours, its strongest hundredth cut off."""
    return heat((values / np.quantile(values, 0.99)).clip(0, 1))


rules = maps[SCORES]
pictures = [picture, *(drawn(saliency(rules[rule])) for rule in rules)]
lab.save(side_by_side(pictures, ["picture", *rules], height=180))
lab.end()

# %% [markdown]
# ## Questions
# 1. Why the score before the softmax, and not the probability?
# > p can grow because other scores fall. And where p is near 1, its gradient is nearly 0.
#
# 2. Up to the first ReLU all three rules agree almost everywhere. Why do they part above?
# > The seed is positive, and at the first ReLU from above x > 0 holds where the unit fires. Below,
# > dy has both signs: each ReLU on the way treats them in its own way.
#
# 3. Is a bright pixel of the saliency map important for the class?
# > It says that a small change there changes the score much. It does not say that the score comes
# > from there: a large constant part has no gradient.
