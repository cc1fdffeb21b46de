"""Depthwise convolution: the channels innermost, where they lie side by side in memory.

::

    for b, k, l, i, j, m:  out[b, k, l, m] += w[i, j, m] x[b, s k + d i - p, s l + d j - p, m]
    for b, r, c, i, j, m:  dx[b, r, c, m]  += w[i, j, m] dout[b, (r + p - d i)/s, (c + p - d j)/s, m]
    for b, k, l, i, j, m:  dw[i, j, m]     += dout[b, k, l, m] x[b, s k + d i - p, s l + d j - p, m]

Whether a tap falls inside the image is asked once for all channels, and the loop over m becomes vectors. Each thread
owns rows of the output (of dx, too: it gathers, so nothing overlaps); dw is summed in a fixed number of chunks of
output rows, which are then added in order.
"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import chunks, run


@jit
def _forward(start: int, stop: int, x: Array, w: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    _, H, W, M = x.shape
    KH, KW, _ = w.shape
    rows = out.shape[1]
    for row in range(start, stop):
        b, k = row // rows, row % rows
        for l in range(out.shape[2]):
            pixel = out[b, k, l]
            for i in range(KH):
                r = s[0] * k + d[0] * i - p[0]
                if 0 <= r < H:
                    for j in range(KW):
                        c = s[1] * l + d[1] * j - p[1]
                        if 0 <= c < W:
                            seen, tap = x[b, r, c], w[i, j]
                            for m in range(M):
                                pixel[m] += tap[m] * seen[m]


@jit
def _backward_x(start: int, stop: int, dout: Array, w: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    _, H, W, M = dx.shape
    KH, KW, _ = w.shape
    for row in range(start, stop):
        b, r = row // H, row % H
        for c in range(W):
            pixel = dx[b, r, c]
            for i in range(KH):
                k = (r + p[0] - d[0] * i) // s[0]
                if 0 <= k < dout.shape[1] and s[0] * k + d[0] * i - p[0] == r:
                    for j in range(KW):
                        l = (c + p[1] - d[1] * j) // s[1]
                        if 0 <= l < dout.shape[2] and s[1] * l + d[1] * j - p[1] == c:
                            upstream, tap = dout[b, k, l], w[i, j]
                            for m in range(M):
                                pixel[m] += tap[m] * upstream[m]


@jit
def _backward_weight(start: int, stop: int, dout: Array, x: Array, partial: Array, s: Ints, p: Ints, d: Ints) -> None:
    _, H, W, M = x.shape
    total, KH, KW, _ = partial.shape
    B, rows, columns, _ = dout.shape
    for chunk in range(start, stop):
        for row in range(B * rows * chunk // total, B * rows * (chunk + 1) // total):
            b, k = row // rows, row % rows
            for i in range(KH):
                r = s[0] * k + d[0] * i - p[0]
                if 0 <= r < H:
                    for l in range(columns):
                        upstream = dout[b, k, l]
                        for j in range(KW):
                            c = s[1] * l + d[1] * j - p[1]
                            if 0 <= c < W:
                                seen, tap = x[b, r, c], partial[chunk, i, j]
                                for m in range(M):
                                    tap[m] += upstream[m] * seen[m]


def forward(x: Array, w: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill out, given as zeros."""
    run(_forward, len(x) * out.shape[1], out.size * w[..., 0].size, x, w, out, s, p, d)


def backward_x(dout: Array, w: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dx, given as zeros."""
    run(_backward_x, len(dx) * dx.shape[1], dout.size * w[..., 0].size, dout, w, dx, s, p, d)


def backward_weight(dout: Array, x: Array, dw: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dw, given as zeros."""
    partial = np.zeros((chunks(len(dout) * dout.shape[1]), *dw.shape), dw.dtype)
    run(_backward_weight, len(partial), dout.size * dw[..., 0].size, dout, x, partial, s, p, d)
    partial.sum(0, out=dw)
