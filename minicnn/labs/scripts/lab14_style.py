"""Lab 14: style transfer and L-BFGS.

The content of one picture in the style of another: two losses, one picture to be searched for. And
the optimizer that the notes name for it, written out. Lecture notes, section 4, equation 8,
figures 13 and 14; Gatys et al. 2015, arXiv 1508.06576; Nocedal & Wright, Numerical Optimization,
algorithm 7.4. Our own: minicnn/methods/style/loss.py, minicnn/optimizers/lbfgs.py.
"""

# %%
import numpy as np

import minicnn
from minicnn.labs import Lab
from minicnn.objectives.content import content
from minicnn.objectives.gram import mean_gram, style
from minicnn.objectives.total_variation import tv
from minicnn.pictures import preprocess
from minicnn.pictures.arrays import picture as as_picture
from minicnn.pictures.sheets import column, side_by_side

lab = Lab(14)
net = minicnn.load("minivgg", pool="average")
pictures = [lab.picture(name, 72) for name in ("content", "style")]
x_content, x_style = (preprocess(one, net.attrs["preprocess"]) for one in pictures)
CONTENT, STYLE = "relu4_1", ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
P = net.forward(x_content, [CONTENT])[CONTENT]
GRAMS = {name: mean_gram(f) for name, f in net.forward(x_style, STYLE).items()}

# %% [markdown]
# ## The function (equation 8)
#
#     J(x) = α J_C(x) + β J_S(x) + t TV(x)
#
# The three losses are given: content(f, P, factor), style(f, G, factor) and tv(x), each returns
# (value, gradient). Two of them end at layers, one at the picture itself. Where both losses sit on
# one layer, what is fed in there?

# %%
noise = np.random.default_rng(0).standard_normal(x_content.shape).astype("float32")


@lab.blank((x_content, 1.0, 100.0, 0.1), (0.5 * noise, 2.0, 50.0, 0.0))
def total(x, alpha, beta, t):
    """Return J and dJ/dx."""
    acts = net.forward(x, STYLE)  # CONTENT is one of them
    value, fed = 0.0, {name: np.zeros_like(f) for name, f in acts.items()}
    # BLANK: for each of STYLE add style(f, GRAMS[name], beta / C**4); for CONTENT add
    # content(f, P, alpha / P.size); then net.backward(fed), and t times the gradient of tv(x)
    for name, f in acts.items():
        part, df = style(f, GRAMS[name], beta / f.shape[1] ** 4)
        value, fed[name] = value + part, fed[name] + df
    part, df = content(acts[CONTENT], P, alpha / P.size)
    value, fed[CONTENT] = value + part, fed[CONTENT] + df
    part, dx = tv(x)
    value, dx = value + t * part, net.backward(fed) + t * dx
    # END
    return value, dx


# %% [markdown]
# Is it a gradient? Along its own direction, where float32 sees most. Expected: four digits.

# %%
_, g = total(0.5 * noise, 1.0, 100.0, 0.1)
v, h = 100 * g / np.linalg.norm(g), 1e-4
up, down = (total(0.5 * noise + s * v, 1.0, 100.0, 0.1)[0] for s in (h, -h))
print("<g, v> =", float((g * v).sum()), " by differences", (up - down) / (2 * h))

# %% [markdown]
# ## L-BFGS: the direction
# Newton's step is -H⁻¹ g. L-BFGS never makes the matrix H: it remembers the last few pairs of a
# step s and the change y of the gradient along it, with H s ≈ y, and goes through them twice:
#
#     q = g
#     for the pairs, the newest first:   a_i = <s_i, q> / <y_i, s_i>;   q = q - a_i y_i
#     q = q <s, y> / <y, y>              of the newest pair
#     for the pairs, the oldest first:   b = <y_i, q> / <y_i, s_i>;     q = q + (a_i - b) s_i
#     the direction is -q
#
# Expected: without pairs -g. For a quadratic function with as many independent pairs as
# dimensions, nearly Newton's step.

# %%
A = np.diag([1.0, 4.0, 9.0]) + 0.5
STEPS = [np.array(s) for s in ([1.0, 0, 0], [0, 1.0, 0.5], [0.2, 0, 1.0])]


@lab.blank((np.array([1.0, 2, 3]), []), (np.array([1.0, 2, 3]), [(s, A @ s) for s in STEPS]))
def direction(g, pairs):
    """Return the direction for a gradient g and pairs [(s, y), ...], the oldest first."""
    q, a = g.copy(), []
    # BLANK: the two loops; without pairs there is nothing to do
    for s, y in reversed(pairs):
        a.append((s * q).sum() / (y * s).sum())
        q = q - a[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s * y).sum() / (y * y).sum()
    for s, y in pairs:
        b = (y * q).sum() / (y * s).sum()
        q = q + (a.pop() - b) * s
    # END
    return -q


# %% [markdown]
# ## The length of a step
# Halve the step until the value has fallen by a ten-thousandth of what the slope promises (Armijo):
# J(x + t p) <= J(x) + 1e-4 t <g, p>.


# %%
def square(x):
    """Return Σ x² and its gradient."""
    return float((x**2).sum()), 2 * x


@lab.blank(
    (square, np.array([1.0, -2]), np.array([-2.0, 4]), 5.0, -20.0, 1.0),
    (square, np.array([1.0, -2]), np.array([-20.0, 40]), 5.0, -200.0, 8.0),
    # just enough, and just too little: the share of the slope that is asked for is small
    (square, np.array([1.0]), np.array([-3.999]), 1.0, -7.998, 0.5),
    (square, np.array([1.0]), np.array([-3.9998]), 1.0, -7.9996, 0.5),
)
def step_length(fun, x, p, value, slope, t):
    """Return the first of t, t/2, t/4, ... down to 2**-20 t that will do for the direction p."""
    least = t * 2.0**-20
    # BLANK: halve t while fun(x + t p)[0] is too large and t is larger than `least`
    while t > least and fun(x + t * p)[0] > value + 1e-4 * t * slope:
        t /= 2
    # END
    return t


# %%
def search(fun, x, iterations, memory):
    """Return the last picture and the values on the way; memory 0 is steepest descent."""
    pairs, (value, g), t = [], fun(x), 0.05 / 1e-4
    values = [value]
    for _ in range(iterations):
        p = direction(g.astype("float64"), pairs).astype("float32")
        first = 1.0 if pairs else 2 * t  # steepest descent starts from twice its last step
        t = step_length(fun, x, p, value, float((g * p).sum()), first)
        (value, g_new), s = fun(x + t * p), (t * p).astype("float64")
        y = (g_new - g).astype("float64")
        if memory and (y * s).sum() > 0:
            pairs = [*pairs, (s, y)][-memory:]
        x, g = x + t * p, g_new
        values.append(value)
    return x, values


# %% [markdown]
# ## The picture
# From the content picture, 20 iterations each. Expected: L-BFGS gets far lower than steepest
# descent with the same line search. Below, the two curves (each column an iteration, the height
# the logarithm of J).

# %%
results = {
    name: search(lambda x: total(x, 1.0, 100.0, 0.1), x_content, 20, m)
    for name, m in (("steepest descent", 0), ("L-BFGS", 10))
}
drawn, curves = [], []
for name, (x, values) in results.items():
    print(f"{name}: {values[0]:.3g} to {values[-1]:.3g}")
    drawn.append(as_picture(x, net))
    curve = np.full((100, 21 * 12), 230, "uint8")
    for i, value in enumerate(values):
        height = 100 * (1 + np.log10(value / values[0]) / 0.6)  # the lower edge is a quarter
        curve[100 - int(height.clip(1, 100)) :, 12 * i : 12 * i + 10] = 90
    curves.append(curve)
lab.save(
    column(
        [
            side_by_side([*pictures, *drawn], ["content", "style", *results], height=180),
            side_by_side(curves, [f"log J, {name}" for name in results]),
        ],
        gap=12,
    )
)
lab.end()

# %% [markdown]
# ## Questions
# 1. Where both losses sit on relu4_1, why may the gradients simply be added there?
# > J depends on that layer twice, and the derivative of a sum is the sum of the derivatives.
#
# 2. What does L-BFGS know that steepest descent does not?
# > How the gradient changes along the last steps: the curvature, so each direction gets a length
# > of its own.
#
# 3. Why must <s, y> be positive for a pair to be kept?
# > Else H would not be positive definite along s, and the direction might go uphill.
