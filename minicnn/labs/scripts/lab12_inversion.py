"""Lab 12: inversion, or what a layer keeps of a picture.

Look for another picture with the same activations, starting from noise. What the two have in
common, the layer has kept. Lecture notes, section 2, equations 1 to 3; Mahendran & Vedaldi 2014,
arXiv 1412.0035. Our own: minicnn/methods/inversion/, minicnn/objectives/priors.py.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.optimizers import minimize
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import picture as as_picture
from minicnn.pictures.sheets import side_by_side

lab = Lab(12)
net = minicnn.load("minivgg")
picture = lab.picture("content", 64)
x0 = preprocess(picture, net.attrs["preprocess"])  # (1, 3, H, W), about -2 to 2
RANDOM = np.random.default_rng(0)

# %% [markdown]
# ## The distance (equation 2)
#
#     J_C = Σ (F - P)²        F the activation of the picture searched for, P that of the given
#
# Derive dJ_C/dF.

# %%


@lab.operation("content")
def content_gradient(dy, f, target):
    """Return dJ_C/dF times dy, shape of f."""
    # BLANK: of a sum of squares
    return dy * 2 * (f - target)
    # END


# %% [markdown]
# ## The alpha norm
# R = Σ |x|^α keeps the pixels within a range. Derive dR/dx, with d|x| = sign(x) dx.


# %%
@lab.operation("alpha_norm")
def alpha_gradient(dy, x, alpha):
    """Return dR/dx times dy."""
    # BLANK: the power, and the sign
    return dy * alpha * abs(x) ** (alpha - 1) * np.sign(x)
    # END


# %% [markdown]
# ## The total variation (equation 3)
#
#     down[i, j] = x[i+1, j] - x[i, j]      right[i, j] = x[i, j+1] - x[i, j]      0 at the far edge
#     v = down² + right²                    R = Σ v^(β/2)
#
# Equation 3 of the notes takes one of the two pixels from the content picture; in the paper both
# belong to the picture that is searched for, and so do ours.
#
# Derive: dR/ddown = β v^(β/2 - 1) down, and the same for right. Then each difference hands its
# derivative to two pixels: plus to the later one, minus to this one.


# %%
def differences(x):
    """Return down and right, both in the shape of x."""
    down, right = np.zeros_like(x), np.zeros_like(x)
    down[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    right[:, :, :, :-1] = x[:, :, :, 1:] - x[:, :, :, :-1]
    return down, right


@lab.operation("tv_beta")
def tv_gradient(dy, x, beta):
    """Return dR/dx times dy."""
    down, right = differences(x)
    v = down**2 + right**2
    slope = beta * np.where(v > 0, v, 1) ** (beta / 2 - 1)  # where v is 0, so are the differences
    dx = np.zeros_like(x)
    # BLANK: slope * down goes to two pixels, slope * right to two others; add (+=, -=)
    a, b = slope * down, slope * right
    dx[:, :, 1:] += a[:, :, :-1]
    dx[:, :, :-1] -= a[:, :, :-1]
    dx[:, :, :, 1:] += b[:, :, :, :-1]
    dx[:, :, :, :-1] -= b[:, :, :, :-1]
    # END
    return dy * dx


# %% [markdown]
# ## The function to minimise (equation 1)
#
#     E(x) = Σ (F - P)² / Σ P²  +  a Σ |x|^6  +  t Σ v^(β/2)
#
# The first term goes down through the network by the chain rule.


# %%
def values(x, beta):
    """Return Σ |x|^6 and Σ v^(β/2)."""
    down, right = differences(x)
    return float((abs(x) ** 6).sum()), float(((down**2 + right**2) ** (beta / 2)).sum())


noise = RANDOM.standard_normal(x0.shape).astype("float32")


@lab.blank((noise, "relu2_2", net.forward(x0, ["relu2_2"])["relu2_2"], 1e-6, 1e-4, 2.0))
def energy(x, layer, target, a, t, beta):
    """Return E(x) and dE/dx."""
    f = net.forward(x, [layer])[layer]
    whole = float((target**2).sum())
    alpha, tv = values(x, beta)
    value = float(((f - target) ** 2).sum()) / whole + a * alpha + t * tv
    # BLANK: net.backward({layer: ...}) with the gradient of the first term, plus those of the
    # priors: the three functions above with dy = 1
    dx = net.backward({layer: content_gradient(1.0, f, target) / whole})
    dx = dx + a * alpha_gradient(1.0, x, 6.0) + t * tv_gradient(1.0, x, beta)
    # END
    return value, dx


# %% [markdown]
# ## The search
# From noise, 30 iterations of L-BFGS for each layer. Expected: the relative distance falls to a
# few per cent or less; deeper layers keep less of the picture.

# %%
drawn, labels = [picture], ["picture"]
for layer, t in (("relu1_2", 1e-5), ("relu2_2", 1e-5), ("relu3_3", 1e-5), ("relu3_3", 1e-3)):
    target = net.forward(x0, [layer])[layer]
    start = 0.3 * noise
    how = (layer, target, 1e-7, t, 2.0)
    found = minimize("lbfgs", lambda x, how=how: energy(x, *how), start, iterations=30).x
    f = net.forward(found, [layer])[layer]
    error = float(((f - target) ** 2).sum() / (target**2).sum())
    print(f"{layer}, t = {t}: relative distance {error:.3f}")
    drawn.append(as_picture(found, net))
    labels.append(f"{layer}, t = {t:.0e}")

# %% [markdown]
# ## The picture

# %%
lab.save(side_by_side(drawn, labels, height=168))
lab.end()

# %% [markdown]
# ## Questions
# 1. Start from other noise. What do the answers have in common, and what does that say?
# > What the layer has kept. Where they differ, the layer does not decide.
#
# 2. Why divide by Σ P²?
# > The activations of different layers have different sizes; so one weight t serves all layers.
#
# 3. What does β = 1 favour against β = 2?
# > With 2 one large step costs more than many small ones: edges are blurred. With 1 they cost the
# > same: edges stay sharp.
