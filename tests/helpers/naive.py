"""Every operation as plain loops over scalars, straight from its formula: slow and easy to check.

No function of minicnn is used here and no array expression, except to make the result. Values
outside a picture come from `at`. All results are float64.
"""

import math
from itertools import product

import numpy as np


def ranges(*sizes):
    """Every tuple of indices below `sizes`, in row-major order."""
    return product(*map(range, sizes))


def at(x, n, c, h, w, outside=0.0):
    """x[n,c,h,w], or `outside` beyond the edges."""
    inside = 0 <= h < x.shape[2] and 0 <= w < x.shape[3]
    return float(x[n, c, h, w]) if inside else outside


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def window_count(size, kernel, stride, padding, dilation=1, ceil=False):
    """Count windows by trying every start, without a formula."""
    span = dilation * (kernel - 1) + 1
    start, count = -padding, 0
    while start + span <= size + padding:
        start, count = start + stride, count + 1
    # the first window beyond: it may hang over the edge where the one before it (or, if there is
    # none, a window one stride further out) leaves pixels over, but not start behind the picture
    if ceil and start - stride + span < size + padding and start < size:
        count += 1
    return count


def conv2d(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
    (u, v), (pad_h, pad_w), (d, e) = pair(stride), pair(padding), pair(dilation)
    N, _, H, W = x.shape
    K, C, R, S = w.shape  # C channels a group
    P, Q = window_count(H, R, u, pad_h, d), window_count(W, S, v, pad_w, e)
    y = np.zeros((N, K, P, Q))
    for n, k, p, q in ranges(N, K, P, Q):
        first = k // (K // groups) * C
        total = 0.0 if b is None else float(b[k])
        for c, r, s in ranges(C, R, S):
            total += float(w[k, c, r, s]) * at(
                x, n, first + c, p * u + r * d - pad_h, q * v + s * e - pad_w
            )
        y[n, k, p, q] = total
    return y


def conv2d_backward_data(dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
    (u, v), (pad_h, pad_w), (d, e) = pair(stride), pair(padding), pair(dilation)
    N, K, P, Q = dy.shape
    _, C, R, S = w.shape
    dx = np.zeros(x_shape)
    for n, k, p, q, c, r, s in ranges(N, K, P, Q, C, R, S):
        i, j = p * u + r * d - pad_h, q * v + s * e - pad_w
        if 0 <= i < x_shape[2] and 0 <= j < x_shape[3]:
            dx[n, k // (K // groups) * C + c, i, j] += float(w[k, c, r, s]) * float(dy[n, k, p, q])
    return dx


def conv2d_backward_params(dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
    (u, v), (pad_h, pad_w), (d, e) = pair(stride), pair(padding), pair(dilation)
    N, K, P, Q = dy.shape
    _, C, R, S = w_shape
    dw, db = np.zeros(w_shape), np.zeros(K)
    for n, k, p, q in ranges(N, K, P, Q):
        db[k] += float(dy[n, k, p, q])
        for c, r, s in ranges(C, R, S):
            dw[k, c, r, s] += float(dy[n, k, p, q]) * at(
                x, n, k // (K // groups) * C + c, p * u + r * d - pad_h, q * v + s * e - pad_w
            )
    return dw, db


def conv_transpose2d(x, w, b, y_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Every pixel of x stamps its kernel on y."""
    (u, v), (pad_h, pad_w), (d, e) = pair(stride), pair(padding), pair(dilation)
    N, C, H, W = x.shape
    _, K, R, S = w.shape  # K channels a group
    y = np.zeros(y_shape)
    for n, k, i, j in ranges(*y_shape):
        y[n, k, i, j] = 0.0 if b is None else float(b[k])
    for n, c, p, q, k, r, s in ranges(N, C, H, W, K, R, S):
        i, j = p * u + r * d - pad_h, q * v + s * e - pad_w
        if 0 <= i < y_shape[2] and 0 <= j < y_shape[3]:
            y[n, c // (C // groups) * K + k, i, j] += float(x[n, c, p, q]) * float(w[c, k, r, s])
    return y


def im2col(x, kernel, *, stride=1, padding=0, dilation=1):
    (R, S), (u, v), (pad_h, pad_w), (d, e) = map(pair, (kernel, stride, padding, dilation))
    N, C, H, W = x.shape
    P, Q = window_count(H, R, u, pad_h, d), window_count(W, S, v, pad_w, e)
    cols = np.zeros((N, C, R, S, P, Q))
    for n, c, r, s, p, q in ranges(*cols.shape):
        cols[n, c, r, s, p, q] = at(x, n, c, p * u + r * d - pad_h, q * v + s * e - pad_w)
    return cols


def col2im(cols, x_shape, *, stride=1, padding=0, dilation=1):
    (u, v), (pad_h, pad_w), (d, e) = pair(stride), pair(padding), pair(dilation)
    dx = np.zeros(x_shape)
    for n, c, r, s, p, q in ranges(*cols.shape):
        i, j = p * u + r * d - pad_h, q * v + s * e - pad_w
        if 0 <= i < x_shape[2] and 0 <= j < x_shape[3]:
            dx[n, c, i, j] += float(cols[n, c, r, s, p, q])
    return dx


def maxpool2d(x, kernel, *, stride=None, padding=0, ceil=False):
    """Return y and the switches."""
    (R, S), (pad_h, pad_w) = pair(kernel), pair(padding)
    u, v = (R, S) if stride is None else pair(stride)
    N, C, H, W = x.shape
    P = window_count(H, R, u, pad_h, ceil=ceil)
    Q = window_count(W, S, v, pad_w, ceil=ceil)
    y, switches = np.zeros((N, C, P, Q)), np.zeros((N, C, P, Q), int)
    for n, c, p, q in ranges(N, C, P, Q):
        best = -math.inf
        for r, s in ranges(R, S):
            value = at(x, n, c, p * u + r - pad_h, q * v + s - pad_w, outside=-math.inf)
            if value > best:
                best, switches[n, c, p, q] = value, r * S + s
        y[n, c, p, q] = best
    return y, switches


def unpool(y, switches, x_shape, kernel, *, stride=None, padding=0, overlap="sum"):
    (R, S), (pad_h, pad_w) = pair(kernel), pair(padding)
    u, v = (R, S) if stride is None else pair(stride)
    x = np.zeros(x_shape)
    for n, c, p, q in ranges(*y.shape):
        r, s = divmod(int(switches[n, c, p, q]), S)
        i, j = p * u + r - pad_h, q * v + s - pad_w
        value = float(y[n, c, p, q])
        if overlap == "sum":
            x[n, c, i, j] += value
        elif overlap == "overwrite" or abs(value) > abs(x[n, c, i, j]):
            x[n, c, i, j] = value
    return x


def avgpool2d(x, kernel, *, stride=None, padding=0, ceil=False, count_padding=True):
    """Return y and the weights (P, Q, H, W) with which each pixel enters each window."""
    (R, S), (pad_h, pad_w) = pair(kernel), pair(padding)
    u, v = (R, S) if stride is None else pair(stride)
    N, C, H, W = x.shape
    P = window_count(H, R, u, pad_h, ceil=ceil)
    Q = window_count(W, S, v, pad_w, ceil=ceil)
    y, weights = np.zeros((N, C, P, Q)), np.zeros((P, Q, H, W))
    for p, q in ranges(P, Q):
        members, count = [], 0
        for r, s in ranges(R, S):
            i, j = p * u + r - pad_h, q * v + s - pad_w
            real = 0 <= i < H and 0 <= j < W
            padded = -pad_h <= i < H + pad_h and -pad_w <= j < W + pad_w
            count += padded if count_padding else real
            if real:
                members.append((i, j))
        for i, j in members:
            weights[p, q, i, j] = 1 / count
            for n, c in ranges(N, C):
                y[n, c, p, q] += float(x[n, c, i, j]) / count
    return y, weights


def avgpool2d_backward(dy, weights):
    dx = np.zeros((*dy.shape[:2], *weights.shape[2:]))
    for n, c, p, q in ranges(*dy.shape):
        for i, j in ranges(*weights.shape[2:]):
            dx[n, c, i, j] += float(dy[n, c, p, q]) * weights[p, q, i, j]
    return dx


def relu(x):
    y = np.zeros(x.shape)
    for index in ranges(*x.shape):
        y[index] = float(x[index]) if x[index] > 0 else 0.0
    return y


def relu_backward(dy, x, rule):
    dx = np.zeros(x.shape)
    for index in ranges(*x.shape):
        passes = {
            "gradient": x[index] > 0,
            "deconvnet": dy[index] > 0,
            "guided": x[index] > 0 and dy[index] > 0,
        }[rule]
        dx[index] = float(dy[index]) if passes else 0.0
    return dx


def prelu(x, a):
    y = np.zeros(x.shape)
    for n, c, h, w in ranges(*x.shape):
        value = float(x[n, c, h, w])
        y[n, c, h, w] = value if value > 0 else float(a[c]) * value
    return y


def prelu_backward(dy, x, a):
    dx, da = np.zeros(x.shape), np.zeros(a.shape)
    for n, c, h, w in ranges(*x.shape):
        negative = x[n, c, h, w] <= 0
        dx[n, c, h, w] = float(dy[n, c, h, w]) * (float(a[c]) if negative else 1.0)
        if negative:
            da[c] += float(dy[n, c, h, w]) * float(x[n, c, h, w])
    return dx, da


def linear(x, w, b=None):
    y = np.zeros((len(x), len(w)))
    for n, k in ranges(*y.shape):
        y[n, k] = 0.0 if b is None else float(b[k])
        for d in range(x.shape[1]):
            y[n, k] += float(w[k, d]) * float(x[n, d])
    return y


def linear_backward(dy, x, w):
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(len(w))
    for n, k in ranges(*dy.shape):
        db[k] += float(dy[n, k])
        for d in range(x.shape[1]):
            dx[n, d] += float(dy[n, k]) * float(w[k, d])
            dw[k, d] += float(dy[n, k]) * float(x[n, d])
    return dx, dw, db


def lrn(x, *, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """Return y and a."""
    N, C, H, W = x.shape
    y, a = np.zeros(x.shape), np.zeros(x.shape)
    for n, c, i, j in ranges(N, C, H, W):
        total = 0.0
        for m in range(size):
            channel = c - size // 2 + m
            if 0 <= channel < C:
                total += float(x[n, channel, i, j]) ** 2
        a[n, c, i, j] = k + alpha / size * total
        y[n, c, i, j] = float(x[n, c, i, j]) * a[n, c, i, j] ** -beta
    return y, a


def lrn_backward(dy, x, *, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """Sum dy over every entry of the Jacobian."""
    _, a = lrn(x, size=size, alpha=alpha, beta=beta, k=k)
    N, C, H, W = x.shape
    dx = np.zeros(x.shape)
    for n, out, i, j in ranges(N, C, H, W):
        scale, seen = a[n, out, i, j], float(x[n, out, i, j])
        for m in range(size):
            c = out - size // 2 + m
            if 0 <= c < C:
                slope = (
                    -2 * alpha * beta / size * seen * scale ** (-beta - 1) * float(x[n, c, i, j])
                )
                slope += scale**-beta if c == out else 0.0
                dx[n, c, i, j] += float(dy[n, out, i, j]) * slope
    return dx


def batch_statistics(x):
    """Return the mean of each channel, and its variances: divided by M, and by M - 1."""
    N, C, H, W = x.shape
    M, mean, var = N * H * W, np.zeros(C), np.zeros(C)
    for n, c, i, j in ranges(N, C, H, W):
        mean[c] += float(x[n, c, i, j]) / M
    for n, c, i, j in ranges(N, C, H, W):
        var[c] += (float(x[n, c, i, j]) - mean[c]) ** 2 / M
    return mean, var, var * M / (M - 1)


def batchnorm(x, gamma, beta, mean, var, *, eps=1e-5):
    y = np.zeros(x.shape)
    for n, c, i, j in ranges(*x.shape):
        z = (float(x[n, c, i, j]) - float(mean[c])) / math.sqrt(float(var[c]) + eps)
        y[n, c, i, j] = float(gamma[c]) * z + float(beta[c])
    return y


def softmax(x):
    p = np.zeros(x.shape)
    for n in range(len(x)):
        top = max(float(value) for value in x[n])
        total = sum(math.exp(float(value) - top) for value in x[n])
        for k in range(x.shape[1]):
            p[n, k] = math.exp(float(x[n, k]) - top) / total
    return p


def softmax_backward(dy, p):
    dx = np.zeros(p.shape)
    for n, k in ranges(*p.shape):
        for j in range(p.shape[1]):
            slope = p[n, j] * ((1.0 if j == k else 0.0) - p[n, k])
            dx[n, k] += float(dy[n, j]) * slope
    return dx


def cross_entropy(logits, labels, *, smoothing=0.0):
    p, (N, K) = softmax(logits), logits.shape
    loss = 0.0
    for n, k in ranges(N, K):
        target = (1 - smoothing) * (labels[n] == k) + smoothing / K
        loss -= target * math.log(p[n, k]) / N
    return loss


def dropout(x, mask):
    y = np.zeros(x.shape)
    for index in ranges(*x.shape):
        y[index] = float(x[index]) * float(mask[index])
    return y


def concat(xs):
    N, _, H, W = xs[0].shape
    y = np.zeros((N, sum(x.shape[1] for x in xs), H, W))
    first = 0
    for x in xs:
        for n, c, i, j in ranges(*x.shape):
            y[n, first + c, i, j] = float(x[n, c, i, j])
        first += x.shape[1]
    return y


def add(xs):
    y = np.zeros(xs[0].shape)
    for where in ranges(*y.shape):
        y[where] = sum(float(x[where]) for x in xs)
    return y


def clip(x, low, high):
    y = np.zeros(x.shape)
    for where in ranges(*x.shape):
        y[where] = low if x[where] < low else high if x[where] > high else x[where]
    return y


def clip_backward(dy, x, low, high):
    dx = np.zeros(x.shape)
    for where in ranges(*x.shape):
        dx[where] = dy[where] if low < x[where] < high else 0
    return dx


def replicate(x, padding):
    pad, pad2 = pair(padding)
    N, C, H, W = x.shape
    y = np.zeros((N, C, H + 2 * pad, W + 2 * pad2))
    for n, c, i, j in ranges(*y.shape):
        y[n, c, i, j] = float(x[n, c, min(max(i - pad, 0), H - 1), min(max(j - pad2, 0), W - 1)])
    return y


def replicate_backward(dy, x_shape, padding):
    pad, pad2 = pair(padding)
    _, _, H, W = x_shape
    dx = np.zeros(x_shape)
    for n, c, i, j in ranges(*dy.shape):
        h, w = min(max(i - pad, 0), H - 1), min(max(j - pad2, 0), W - 1)
        dx[n, c, h, w] += float(dy[n, c, i, j])
    return dx
