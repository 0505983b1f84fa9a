"""Lab 11: comparing two architectures.

Zeiler & Fergus looked at AlexNet's first two layers, saw dead filters and aliasing, and built a
network with smaller filters and a smaller stride. Were they right? Lecture notes, section 1.4,
figures 7 and 8; arXiv 1311.2901, section 4.1. Our own: minicnn/methods/comparison/.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.labs.lab import enlarged
from minicnn.pictures import preprocess
from minicnn.pictures.sheets import column, grid, labelled, signed_to_uint8

lab = Lab(11)
names = ["minialexnet", "minizfnet"]  # first layers 11 x 11, stride 4, and 7 x 7, stride 2
nets = {name: minicnn.load(name) for name in names}
tiles = lab.tiles(64)[::2]
x = np.concatenate([preprocess(tile, nets[names[0]].attrs["preprocess"]) for tile in tiles])
answers = {name: net.forward(x, ["relu1", "relu2"], keep=False) for name, net in nets.items()}

# %% [markdown]
# ## Dead units
# A unit is dead if it answers to no picture, anywhere.

# %%
EXAMPLE = np.maximum(np.random.default_rng(0).standard_normal((3, 4, 2, 2)), 0)
EXAMPLE[:, 2] = 0


@lab.blank((EXAMPLE,), (answers["minialexnet"]["relu2"],))
def dead(y):
    """Return how many units of y (N, K, P, Q) are never positive."""
    # BLANK: the largest of each unit
    return int((y.max(axis=(0, 2, 3)) <= 0).sum())
    # END


# %% [markdown]
# ## An interval
# k of n units are dead. How sure is the share? Wilson's interval, with z = 1.96 for 95 %:
#
#     (k + z²/2 ± z sqrt(k (n - k) / n + z²/4)) / (n + z²)
#
# Expected: 0 of 48 gives 0 to 0.074, not 0 to 0.


# %%
@lab.blank((0, 48), (3, 64), (64, 64))
def wilson(k, n):
    """Return the lower and upper bound of the share."""
    z = 1.96
    # BLANK: the formula
    half = z * np.sqrt(k * (n - k) / n + z**2 / 4)
    return (k + z**2 / 2 - half) / (n + z**2), (k + z**2 / 2 + half) / (n + z**2)
    # END


for name in names:
    for layer in ("relu1", "relu2"):
        y = answers[name][layer]
        low, high = wilson(dead(y), y.shape[1])
        print(f"{name} {layer}: {dead(y)} of {y.shape[1]} dead, {low:.0%} to {high:.0%}")

# %% [markdown]
# ## Low, mid and high frequencies
# "A mix of extremely high and low frequency information, with little coverage of the mid
# frequencies", says the paper of AlexNet's first filters. Measure it: the share of |W(f)|², the
# squared Fourier transform of a filter, in three bands of |f| (cycles a pixel): below 1/8, below
# 1/4, and above.
#
# Expected: the shares add up to 1. For noise they are about 0.05, 0.15 and 0.80.


# %%
@lab.blank(
    (np.random.default_rng(1).standard_normal((4, 3, 7, 7)),),
    (nets["minizfnet"].params["conv1.weight"],),
)
def bands(w):
    """Return the mean shares (3,) of filters w (K, 3, R, S) in the bands low, mid, high."""
    f = np.fft.fftfreq(64)
    radius = np.hypot(f[:, np.newaxis], f)  # |f|, (64, 64)
    # BLANK: np.fft.fft2(w, (64, 64)), squared and summed over the colours; for each filter the
    # share in each band; the mean over the filters
    power = (abs(np.fft.fft2(w, (64, 64))) ** 2).sum(axis=1)  # (K, 64, 64)
    masks = [radius < 1 / 8, (radius >= 1 / 8) & (radius < 1 / 4), radius >= 1 / 4]
    shares = [power[:, mask].sum(axis=1) / power.sum(axis=(1, 2)) for mask in masks]
    return np.mean(shares, axis=1)
    # END


for name, net in nets.items():
    low, mid, high = bands(net.params["conv1.weight"])
    print(f"{name} conv1: low {low:.0%}, mid {mid:.0%}, high {high:.0%}")

# %% [markdown]
# ## Aliasing
# A layer with stride u answers at each pixel and keeps every u-th answer. A wave of frequency f
# then looks like one of lower frequency: samples u pixels apart cannot tell f from f - k/u. Which
# one does it look like?
#
# Expected: f = 0.3 and stride 4 gives 0.05; with stride 2 it gives 0.2.


# %%
@lab.blank((0.3, 4), (0.3, 2), (0.1, 4), (0.45, 4), (0.5, 2))
def alias(f, u):
    """Return the frequency, 0 to 1 / (2 u), that a wave of frequency f (0 to 1/2) is taken for."""
    # BLANK: the distance of f from the nearest multiple of 1 / u
    return abs(f - round(f * u) / u)
    # END


print("largest frequency that survives: stride 4:", 1 / 8, " stride 2:", 1 / 4)

# %% [markdown]
# ## The picture
# All first filters, on one scale for both; and an oblique wave, f = 0.3 downwards, as strides of 1,
# 2 and 4 see it.

# %%
drawn = []
scale = 127 / max(abs(net.params["conv1.weight"]).max() for net in nets.values())
for name, net in nets.items():
    w = net.params["conv1.weight"].transpose(0, 2, 3, 1)
    cells = [enlarged(signed_to_uint8(one, scale)[0], 44) for one in w]
    drawn.append(labelled(grid(cells, 8, gap=2), name, size=14))
i, j = np.indices((64, 64))
wave = np.sin(2 * np.pi * 0.3 * (i + 0.3 * j))
waves = [labelled(enlarged(wave[::u, ::u], 192), f"stride {u}", size=14) for u in (1, 2, 4)]
lab.save(column([grid(drawn, 2, gap=16), grid(waves, 3, gap=16)], gap=16))
lab.end()

# %% [markdown]
# ## Questions
# 1. Are there more dead units in the network with large filters? Can you be sure?
# > Compare the intervals: where they overlap widely, these units do not say.
#
# 2. Which frequencies of the first layer's answers can be told apart behind a stride of 4?
# > Those below 1/8; all others fold onto them.
#
# 3. Both networks were trained on the same pictures in the same order. What else would you keep
#    equal to blame the filters for a difference?
# > The number of filters, the layers behind, the seeds; and several seeds, as one run of each may
# > differ by chance.
