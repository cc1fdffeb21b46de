"""Batch normalisation: walks over x (n, C), the channels innermost.

::

    train:           mu[m] = sum_e x[e, m] / n,  v[m] = sum_e (x[e, m] - mu[m])^2 / n,  then as evaluate
    evaluate:        y[e, m] = gamma[m] ((x[e, m] - mu[m]) r[m]) + beta[m]
    train_backward:  dbeta[m] = sum_e dy[e, m],  dgamma[m] = sum_e dy[e, m] h[e, m],  then
                     dx[e, m] = gamma[m] r[m] (dy[e, m] - dbeta[m] / n - h[e, m] dgamma[m] / n)

Two walks forward and two back; memory is the limit. The sums are taken in float64, which costs nothing here and keeps
the variance of many values good in float32, in a fixed number of chunks of rows that are added in order. Mean and
variance take one walk: E[x^2] - mu^2 would lose all digits where the mean is large, so a block of rows is read twice
while it is in the cache, first for its mean b, then for its distances from that. After p rows of mean a, its q rows
also add p q / (p + q) (b - a)^2 (Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
sample variances").
"""

import numpy as np

from npnets._check import Array
from npnets._jit import jit
from npnets._parallel import chunks, run

BLOCK = 16  # rows: with 1024 channels 64 kB


@jit
def _moments(start: int, stop: int, x: Array, bounds: Array, moments: Array) -> None:
    """Fill moments (chunks, 2, C): the sums of a chunk's rows, and of their squared distances from their mean."""
    mean = np.empty(x.shape[1])
    for chunk in range(start, stop):
        total, squares = moments[chunk, 0], moments[chunk, 1]
        total[:] = 0
        squares[:] = 0
        for first in range(bounds[chunk], bounds[chunk + 1], BLOCK):
            last = min(first + BLOCK, bounds[chunk + 1])
            before, rows = first - bounds[chunk], last - first
            mean[:] = 0
            for e in range(first, last):
                row = x[e]
                for m in range(len(mean)):
                    mean[m] += row[m]
            weight = before * rows / (before + rows)
            for m in range(len(mean)):
                distance = mean[m] / rows - total[m] / max(before, 1)
                squares[m] += weight * distance * distance
                total[m] += mean[m]
                mean[m] /= rows
            for e in range(first, last):
                row = x[e]
                for m in range(len(mean)):
                    centred = row[m] - mean[m]
                    squares[m] += centred * centred


@jit
def _backward_sums(start: int, stop: int, dy: Array, x: Array, mean: Array, inv_std: Array, partial: Array) -> None:
    n, total = len(x), len(partial)
    for chunk in range(start, stop):
        dgamma, dbeta = partial[chunk, 0], partial[chunk, 1]
        for e in range(n * chunk // total, n * (chunk + 1) // total):
            row, upstream = x[e], dy[e]
            for m in range(len(dgamma)):
                dgamma[m] += upstream[m] * ((row[m] - mean[m]) * inv_std[m])
                dbeta[m] += upstream[m]


@jit
def _normalise(
    start: int, stop: int, x: Array, gamma: Array, beta: Array, mean: Array, inv_std: Array, y: Array
) -> None:
    for e in range(start, stop):
        row, out = x[e], y[e]
        for m in range(len(gamma)):
            out[m] = gamma[m] * ((row[m] - mean[m]) * inv_std[m]) + beta[m]


@jit
def _closed_form(start: int, stop: int, dy: Array, x: Array, scale: Array, mean: Array, inv_std: Array, dbeta_n: Array,
                 dgamma_n: Array, dx: Array) -> None:  # fmt: skip
    for e in range(start, stop):
        row, upstream, out = x[e], dy[e], dx[e]
        for m in range(len(scale)):
            h = (row[m] - mean[m]) * inv_std[m]
            out[m] = scale[m] * (upstream[m] - dbeta_n[m] - h * dgamma_n[m])


@jit
def _scale(start: int, stop: int, dy: Array, scale: Array, dx: Array) -> None:
    for e in range(start, stop):
        upstream, out = dy[e], dx[e]
        for m in range(len(scale)):
            out[m] = scale[m] * upstream[m]


def train(x: Array, gamma: Array, beta: Array, eps: float, y: Array, mean: Array, inv_std: Array) -> None:
    """Fill y (n, C), mean and inv_std (C,)."""
    n = len(x)
    bounds = np.array([n * chunk // chunks(n) for chunk in range(chunks(n) + 1)])
    moments = np.empty((chunks(n), 2, x.shape[1]))
    run(_moments, len(moments), x.size, x, bounds, moments)
    rows, total, squares = np.diff(bounds)[:, None], moments[:, 0], moments[:, 1]
    middle = total.sum(0) / n
    variance = (squares + rows * (total / rows - middle) ** 2).sum(0) / n
    mean[:], inv_std[:] = middle, 1 / np.sqrt(variance + eps)
    evaluate(x, gamma, beta, mean, inv_std, y)


def evaluate(x: Array, gamma: Array, beta: Array, mean: Array, inv_std: Array, y: Array) -> None:
    """Fill y (n, C)."""
    run(_normalise, len(x), x.size, x, gamma, beta, mean, inv_std, y)


def train_backward(dy: Array, x: Array, gamma: Array, mean: Array, inv_std: Array, dx: Array, dgamma: Array,
                   dbeta: Array) -> None:  # fmt: skip
    """Fill dx (n, C), dgamma and dbeta (C,)."""
    n = len(x)
    dgamma[:], dbeta[:] = sums = _gradient_sums(dy, x, mean, inv_std)
    dgamma_n, dbeta_n = (sums / n).astype(x.dtype)
    run(_closed_form, n, x.size, dy, x, gamma * inv_std, mean, inv_std, dbeta_n, dgamma_n, dx)


def evaluate_backward(dy: Array, x: Array, gamma: Array, mean: Array, inv_std: Array, dx: Array, dgamma: Array,
                      dbeta: Array) -> None:  # fmt: skip
    """Fill dx (n, C), dgamma and dbeta (C,)."""
    dgamma[:], dbeta[:] = _gradient_sums(dy, x, mean, inv_std)
    run(_scale, len(x), x.size, dy, gamma * inv_std, dx)


def _gradient_sums(dy: Array, x: Array, mean: Array, inv_std: Array) -> Array:
    """Return (2, C) in float64: the sums of dy h and of dy."""
    partial = np.zeros((chunks(len(x)), 2, x.shape[1]))
    run(_backward_sums, len(partial), x.size, dy, x, mean, inv_std, partial)
    total: Array = partial.sum(0)
    return total
