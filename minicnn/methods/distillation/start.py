"""A start for the student: the teacher itself, with fewer filters and a few components between.

The student's layer pc has a 1x1 convolution in the place where the teacher has an activation a
(C channels). Its target is t = P a, with P (d, C) the first d principal components of a:

    M = mean of a aᵀ over many positions = U diag(λ) Uᵀ, λ falling        P = (d / C) U[:, :d]ᵀ

Not centred, since a Gram matrix is not. Of all projections to d numbers this one keeps most of
|a|², and of the Gram matrix. The factor makes style losses of the kind "mean", which divide by C⁴
and d⁴, as large as the teacher's.

Then stage by stage, from the picture up, with z what the student has below and y the output of the
teacher's convolution:

    choose  of the teacher's C filters those from whose activations t can be guessed best
    fit     their weights w, by least squares: w * z + b is to be y
    refit   them, as only relu(y) matters: again and again add to w what brings w * z + b nearer
            to y where y > 0, and to 0 where it is positive though y is not
    fit     the 1x1 convolution, by least squares: B relu(w * z + b) + c is to be t

Every stage sees what the ones before have made, with their errors (Zhang et al. 2015, arXiv
1505.06798, "asymmetric").
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from minicnn.methods.distillation.loss import scales
from minicnn.network.network import Network
from minicnn.ops.im2col import im2col

RIDGE = 1e-5  # of the mean of the squares, so that the equations have one solution
REFITS, RELAXATION = 4, 1.7  # how often, and how much further than the least squares say
ENOUGH = 400_000  # positions for a stage; a first layer has them in few pictures


class Stage(NamedTuple):
    """A convolution of the student, and what follows up to the next."""

    conv: str
    tap: str  # the activation or its pooling: of the student what `pc` reads, of the teacher a
    pc: str
    between: Network  # from the convolution's output to the tap: ReLU, pooling


def stages(student):
    """Return the `Stage`s of a student, from the picture up."""
    found, nodes = [], []
    for node in student.nodes:
        if node.name.startswith("pc"):
            between = Network([(name, layer) for name, layer, _ in nodes[1:]], {}, (1, 1, 1))
            found.append(Stage(nodes[0].name, nodes[-1].name, node.name, between))
            nodes = []
        else:
            nodes.append(node)
    return found


def second_moment(activations):
    """Return the mean of a aᵀ over the positions of arrays (N, C, H, W), float64 (C, C)."""
    total, positions = 0.0, 0
    for a in activations:
        A = a.transpose(1, 0, 2, 3).reshape(a.shape[1], -1)
        total = total + (A @ A.T).astype(np.float64)
        positions += A.shape[1]
    return total / positions


def components(moment, count):
    """Return P, float32 (count, C); see the top of the file."""
    _, vectors = np.linalg.eigh(moment)
    P = vectors[:, ::-1][:, :count].T * (count / len(moment))
    return P.astype(np.float32)


def chosen(moment, P, count):
    """Return the indices of the channels from which P a can be guessed best, in rising order.

    One after the other: each is the one that explains most of what is left to explain.
    """
    if count >= len(moment):
        return np.arange(len(moment))
    left, cross = moment.copy(), P @ moment  # of a, and of P a with a
    found = []
    for _ in range(count):
        variance = left.diagonal().clip(1e-9 * moment.trace())
        gain = np.square(cross).sum(axis=0) / variance
        gain[found] = -1
        k = int(gain.argmax())
        found.append(k)
        row = left[k] / variance[k]
        cross = cross - np.outer(cross[:, k], row)
        left = left - np.outer(left[:, k], row)
    return np.sort(found)


class LeastSquares:
    """The W that makes the sum of |W X - Y|² smallest; the last row of X is 1.

    Parameters
    ----------
    inputs : callable, () -> iterator of X (N, n, M)
    """

    def __init__(self, inputs):
        self.inputs = inputs
        XX = sum((X @ X.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64) for X in inputs())
        ridge = np.full(len(XX), RIDGE * XX.trace() / len(XX))
        ridge[-1] = 0
        self.factor = cho_factor(XX + np.diag(ridge))

    def solve(self, wanted):
        """Return W (k, n), float32.

        Parameters
        ----------
        wanted : callable, (i, X) -> Y (N, k, M) for the i-th X
        """
        YX = sum(
            (wanted(i, X) @ X.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64)
            for i, X in enumerate(self.inputs())
        )
        return cho_solve(self.factor, YX.T).T.astype(np.float32)


def fit_filters(below, outputs):
    """Return W (k, 9 C + 1) for which relu(W X) is near relu(Y); see `refit` above.

    Parameters
    ----------
    below : list of arrays (N, C, H, W), whose windows are X
    outputs : list of Y (N, k, H W)
    """
    problem = LeastSquares(lambda: (with_ones(_windows(z)) for z in below))
    W = problem.solve(lambda i, X: outputs[i])

    def lacking(i, X):
        y, mine = outputs[i], W @ X
        return np.where(y > 0, y - mine, np.minimum(-mine, 0))

    for _ in range(REFITS):
        W = W + np.float32(RELAXATION) * problem.solve(lacking)
    return W


def begin(student, teacher, pictures, convolution, report=lambda stage, missed: None):
    """Set the student's parameters, and return ({pc: P}, {pc: (E, F)}), see `loss` for E and F.

    Parameters
    ----------
    student, teacher : Network
        The teacher has the layers `conv` of every stage.
    pictures : list of arrays (N, 3, H, W), preprocessed
    convolution : such as `engine.cpu.conv2d.FastConvolution`
    report : callable, report(stage, missed), optional
        Told after each stage: the share of |t|² that the student misses.
    """
    below, projections, sizes = list(pictures), {}, {}
    found = _teachers_outputs(teacher, stages(student), pictures, convolution)
    for stage in stages(student):
        outputs = [y.astype(np.float32) for y in found.pop(stage.conv)]
        below, P, targets = _fit_stage(student, stage, below, outputs, convolution)
        projections[stage.pc], sizes[stage.pc] = P, scales(targets)
        lost = [np.square(z - t).sum(axis=1).mean() for z, t in zip(below, targets, strict=False)]
        report(stage, float(np.mean(lost)) / sizes[stage.pc][0])
    return projections, sizes


def _fit_stage(student, stage, below, outputs, convolution):
    """Set the parameters of a stage; return ([z of its pc], P, [t]).

    `below` has what the student has below it for all pictures, `outputs` y for the first of them.
    """
    theirs = [_run(stage.between, y, stage.tap) for y in outputs]
    moment = second_moment(theirs)
    P = components(moment, len(student.params[f"{stage.pc}.weight"]))
    kept = chosen(moment, P, len(student.params[f"{stage.conv}.weight"]))
    used = slice(len(outputs))
    _set(student, stage.conv, fit_filters(below[used], [flat(y[:, kept]) for y in outputs]))
    mine = []
    for z in below:
        w, b = (student.params[f"{stage.conv}.{kind}"] for kind in ("weight", "bias"))
        y = convolution.forward(z, w, b, padding=1)[0]
        mine.append(_run(stage.between, y, stage.tap))
    targets = [P @ flat(a) for a in theirs]
    problem = LeastSquares(lambda: (with_ones(flat(a)) for a in mine[used]))
    B = problem.solve(lambda i, _: targets[i])
    _set(student, stage.pc, B)
    z = [(B @ with_ones(flat(a))).reshape(len(a), -1, *a.shape[2:]) for a in mine]
    return z, P, [t.reshape(to.shape) for t, to in zip(targets, z[used], strict=True)]


def _teachers_outputs(teacher, path, pictures, convolution):
    """Return {conv: [y (N, C, H, W), float16]} of the first pictures, with `ENOUGH` positions."""
    found = {stage.conv: [] for stage in path}
    counts = dict.fromkeys(found, 0)
    for x in pictures:
        wanted = [conv for conv in found if counts[conv] < ENOUGH]
        if not wanted:
            break
        acts = teacher.forward(x, wanted, keep=False, convolution=convolution)
        for conv, y in acts.items():
            found[conv].append(np.clip(y, -6e4, 6e4).astype(np.float16))
            counts[conv] += y[:, 0].size
    return found


def _run(net, x, tap):
    return net.forward(x, [tap], keep=False)[tap]


def projected(path, projections, acts):
    """Return the targets {pc: P a, (N, d, H, W)} from the teacher's activations {tap: a}."""
    targets = {}
    for stage in path:
        a = acts[stage.tap]
        t = projections[stage.pc] @ flat(a)
        targets[stage.pc] = t.reshape(a.shape[0], -1, *a.shape[2:])
    return targets


def flat(a):
    """Return (N, C, H, W) as (N, C, H W)."""
    return a.reshape(*a.shape[:2], -1)


def with_ones(X):
    """Return X (N, n, M) with a row of ones below: (N, n + 1, M)."""
    return np.concatenate([X, np.ones((len(X), 1, X.shape[2]), X.dtype)], axis=1)


def _windows(x):
    """Return the 3x3 windows of x (N, C, H, W) as (N, 9 C, H W)."""
    N, C, H, W = x.shape
    return im2col(x, 3, padding=1).reshape(N, C * 9, H * W)


def _set(net, layer, W):
    """Set a convolution's parameters; the last column of W is its bias."""
    weight = net.params[f"{layer}.weight"]
    net.params[f"{layer}.weight"] = np.ascontiguousarray(W[:, :-1].reshape(weight.shape))
    net.params[f"{layer}.bias"] = np.ascontiguousarray(W[:, -1])
