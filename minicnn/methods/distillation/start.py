"""A start for the student: the teacher itself, with fewer filters and a few components between.

The student's layer pc has a 1x1 convolution in the place where the teacher has an activation a
(C channels). Its target is t = P a, with P (d, C) the first d principal components of a:

    M = mean of a aᵀ over many positions = U diag(λ) Uᵀ, λ falling        P = (d / C) U[:, :d]ᵀ

Not centred, since a Gram matrix is not. Of all projections to d numbers this one keeps most of
|a|², and of the Gram matrix. The factor makes style losses of the kind "mean", which divide by C⁴
and d⁴, as large as the teacher's.

Then stage by stage, from the picture up, with z what the student has below:

    choose  of the teacher's C filters those from whose activations t can be guessed best
    fit     their weights w, by least squares: w * z + b is to be the teacher's output there
    fit     the 1x1 convolution, by least squares: B relu(w * z + b) + c is to be t

Every stage sees what the ones before have made, with their errors (Zhang et al. 2015, arXiv
1505.06798, "asymmetric").
"""

from typing import NamedTuple

import numpy as np

from minicnn.network.nodes import INPUT
from minicnn.ops.im2col import im2col

RIDGE = 1e-5  # of the mean of the squares, so that the equations have one solution


class Stage(NamedTuple):
    """A convolution of the student, what lies below it, and what comes out."""

    source: str  # the layer below, or "input"
    conv: str
    tap: str  # the activation or its pooling: of the student what `pc` reads, of the teacher a
    pc: str


def stages(student):
    """Return the `Stage`s of a student, from the picture up."""
    found, conv = [], None
    for node in student.nodes:
        if node.name.startswith("conv"):
            conv = node
        elif node.name.startswith("pc"):
            found.append(Stage(conv.inputs[0], conv.name, node.inputs[0], node.name))
    return found


def second_moments(net, taps, pictures, convolution):
    """Return {tap: mean of a aᵀ over positions and pictures, float64 (C, C)}."""
    sums, positions = dict.fromkeys(taps, 0.0), dict.fromkeys(taps, 0)
    for x in pictures:
        for tap, a in net.forward(x, taps, keep=False, convolution=convolution).items():
            A = a.transpose(1, 0, 2, 3).reshape(a.shape[1], -1)
            sums[tap] = sums[tap] + (A @ A.T).astype(np.float64)
            positions[tap] += A.shape[1]
    return {tap: sums[tap] / positions[tap] for tap in taps}


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


def fit(pairs):
    """Return (W, b) that make the sum of |W X + b - Y|² smallest.

    Parameters
    ----------
    pairs : iterable of (X (N, n, M), Y (N, k, M))

    Returns
    -------
    W : float32 (k, n)
    b : float32 (k,)
    """
    XX, YX, count = 0.0, 0.0, 0
    for X, Y in pairs:
        ones = np.ones((len(X), 1, X.shape[2]), X.dtype)
        X = np.concatenate([X, ones], axis=1)
        XX = XX + (X @ X.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64)
        YX = YX + (Y @ X.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64)
        count += X.shape[0] * X.shape[2]
    ridge = RIDGE * np.append(np.full(len(XX) - 1, XX.trace() / len(XX)), 0)
    W = np.linalg.solve(XX + np.diag(ridge), YX.T).T.astype(np.float32)
    return np.ascontiguousarray(W[:, :-1]), np.ascontiguousarray(W[:, -1])


def begin(student, teacher, pictures, convolution, report=lambda stage, error: None):
    """Set the student's parameters, and return {pc: P}.

    Parameters
    ----------
    student, teacher : Network
        The teacher has the layers `conv` and `tap` of every stage.
    pictures : list of arrays (N, 3, H, W), preprocessed
    convolution : such as `engine.cpu.conv2d.FastConvolution`
    report : callable, report(stage, error), optional
        Told after each stage: the share of |t|² that the student misses.
    """
    path = stages(student)
    moments = second_moments(teacher, [stage.tap for stage in path], pictures, convolution)
    projections = {}
    for stage in path:
        moment = moments[stage.tap]
        P = components(moment, len(student.params[f"{stage.pc}.weight"]))
        projections[stage.pc] = P
        kept = chosen(moment, P, len(student.params[f"{stage.conv}.weight"]))
        below, outputs, targets = [], [], []
        for x in pictures:
            theirs = teacher.forward(x, stage[1:3], keep=False, convolution=convolution)
            outputs.append(flat(theirs[stage.conv][:, kept]))
            targets.append(P @ flat(theirs[stage.tap]))
            below.append(output(student, stage.source, x, convolution))
        w, b = fit(zip(map(_windows, below), outputs, strict=True))
        _set(student, stage.conv, w, b)
        mine = [flat(output(student, stage.tap, x, convolution)) for x in pictures]
        B, c = fit(zip(mine, targets, strict=True))
        _set(student, stage.pc, B, c)
        missed = sum(
            float(np.square(B @ X + c[:, None] - t).sum())
            for X, t in zip(mine, targets, strict=True)
        )
        report(stage, missed / sum(float(np.square(t).sum()) for t in targets))
    return projections


def projected(path, projections, acts):
    """Return the targets {pc: P a, (N, d, H, W)} from the teacher's activations {tap: a}."""
    targets = {}
    for stage in path:
        a = acts[stage.tap]
        t = projections[stage.pc] @ flat(a)
        targets[stage.pc] = t.reshape(a.shape[0], -1, *a.shape[2:])
    return targets


def output(net, name, x, convolution):
    """Return the activation of one layer, or the picture for "input"."""
    if name == INPUT:
        return x
    return net.forward(x, [name], keep=False, convolution=convolution)[name]


def flat(a):
    """Return (N, C, H, W) as (N, C, H W)."""
    return a.reshape(*a.shape[:2], -1)


def _windows(x):
    """Return the 3x3 windows of x (N, C, H, W) as (N, 9 C, H W)."""
    N, C, H, W = x.shape
    return im2col(x, 3, padding=1).reshape(N, C * 9, H * W)


def _set(net, layer, w, b):
    weight = net.params[f"{layer}.weight"]
    net.params[f"{layer}.weight"] = np.ascontiguousarray(w.reshape(weight.shape))
    net.params[f"{layer}.bias"] = np.ascontiguousarray(b)
