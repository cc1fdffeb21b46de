"""Pooling: the channels innermost, where they lie side by side in memory.

::

    for b, k, l, i, j, m:  out[b, k, l, m] = max(out[b, k, l, m], x[b, s k + i - p, s l + j - p, m])
    for b, k, l, i, j, m:  out[b, k, l, m] += x[b, s k + i - p, s l + j - p, m],  then divided by n[k, l]

Each thread owns rows of the output on the way forward, and whole images on the way back, where neighbouring windows add
to the same pixels.
"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run


@jit
def _maximum(start: int, stop: int, x: Array, out: Array, size: Ints, s: Ints, p: Ints) -> None:
    _, H, W, M = x.shape
    rows = out.shape[1]
    for row in range(start, stop):
        b, k = row // rows, row % rows
        for l in range(out.shape[2]):
            pixel = out[b, k, l]
            pixel[:] = -np.inf
            for i in range(size[0]):
                for j in range(size[1]):
                    r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                    if 0 <= r < H and 0 <= c < W:
                        seen = x[b, r, c]
                        # "not <=", so that a NaN wins, and stays, since all comparisons with it fail
                        for m in range(M):
                            pixel[m] = pixel[m] if (seen[m] <= pixel[m]) | (pixel[m] != pixel[m]) else seen[m]


@jit
def _maximum_backward(start: int, stop: int, dout: Array, x: Array, dx: Array, size: Ints, s: Ints, p: Ints) -> None:
    _, H, W, M = x.shape
    largest, place = np.empty(M, x.dtype), np.empty(M, np.int64)
    for b in range(start, stop):
        for k in range(dout.shape[1]):
            for l in range(dout.shape[2]):
                place[:] = -1
                for i in range(size[0]):
                    for j in range(size[1]):
                        r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                        if 0 <= r < H and 0 <= c < W:
                            seen = x[b, r, c]
                            for m in range(M):
                                if place[m] < 0 or seen[m] > largest[m] or seen[m] != seen[m]:
                                    largest[m], place[m] = seen[m], r * W + c
                for m in range(M):
                    dx[b, place[m] // W, place[m] % W, m] += dout[b, k, l, m]


@jit
def _average(start: int, stop: int, x: Array, out: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    _, H, W, M = x.shape
    rows = out.shape[1]
    for row in range(start, stop):
        b, k = row // rows, row % rows
        for l in range(out.shape[2]):
            pixel, count = out[b, k, l], n[k, l]
            for i in range(size[0]):
                for j in range(size[1]):
                    r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                    if 0 <= r < H and 0 <= c < W:
                        seen = x[b, r, c]
                        for m in range(M):
                            pixel[m] += seen[m]
            for m in range(M):
                pixel[m] /= count


@jit
def _average_backward(start: int, stop: int, dout: Array, dx: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    _, H, W, M = dx.shape
    for b in range(start, stop):
        for k in range(dout.shape[1]):
            for l in range(dout.shape[2]):
                upstream, count = dout[b, k, l], n[k, l]
                for i in range(size[0]):
                    for j in range(size[1]):
                        r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                        if 0 <= r < H and 0 <= c < W:
                            pixel = dx[b, r, c]
                            for m in range(M):
                                pixel[m] += upstream[m] / count


@jit
def _global_average(start: int, stop: int, x: Array, out: Array) -> None:
    _, H, W, M = x.shape
    pixels = x.dtype.type(H * W)
    for b in range(start, stop):
        mean = out[b]
        for k in range(H):
            for l in range(W):
                seen = x[b, k, l]
                for m in range(M):
                    mean[m] += seen[m]
        for m in range(M):
            mean[m] /= pixels


@jit
def _global_average_backward(start: int, stop: int, dout: Array, dx: Array) -> None:
    _, H, W, M = dx.shape
    pixels = dx.dtype.type(H * W)
    share = np.empty(M, dx.dtype)
    for b in range(start, stop):
        for m in range(M):
            share[m] = dout[b, m] / pixels
        for k in range(H):
            for l in range(W):
                pixel = dx[b, k, l]
                for m in range(M):
                    pixel[m] = share[m]


def maximum(x: Array, out: Array, size: Ints, s: Ints, p: Ints) -> None:
    """Fill out."""
    run(_maximum, len(out) * out.shape[1], out.size * size[0] * size[1], x, out, size, s, p)


def maximum_backward(dout: Array, x: Array, dx: Array, size: Ints, s: Ints, p: Ints) -> None:
    """Fill dx, given as zeros."""
    run(_maximum_backward, len(dx), dout.size * size[0] * size[1], dout, x, dx, size, s, p)


def average(x: Array, out: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    """Fill out, given as zeros; n (H', W') is what each window's sum is divided by."""
    run(_average, len(out) * out.shape[1], out.size * size[0] * size[1], x, out, size, s, p, n)


def average_backward(dout: Array, dx: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    """Fill dx, given as zeros."""
    run(_average_backward, len(dx), dout.size * size[0] * size[1], dout, dx, size, s, p, n)


def global_average(x: Array, out: Array) -> None:
    """Fill out (B, M), given as zeros."""
    run(_global_average, len(x), x.size, x, out)


def global_average_backward(dout: Array, dx: Array) -> None:
    """Fill dx."""
    run(_global_average_backward, len(dx), dx.size, dout, dx)
