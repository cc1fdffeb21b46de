"""Depthwise convolution: one long loop for each kernel entry and row, wherever a row can be walked in one go.

::

    for b, k, i, j, l, m:  out[b, k, l, m]          += w[i, j, m] x[b, s k + d i - p, s l + d j - p, m]
    for b, r, i, j, l, m:  dx[b, r, s l + d j - p, m] += w[i, j, m] dout[b, (r + p - d i)/s, l, m]
    for b, k, i, j, l, m:  dw[i, j, m]              += dout[b, k, l, m] x[b, s k + d i - p, s l + d j - p, m]

With stride 1 the pixels that entry (i, j) meets lie side by side, channels and all, and so do those of the output: l
and m are one loop over W' M values, shifted against each other, with the entry's weights repeated for each pixel
(`wide`)::

    out row   [ l=0: m m m m | l=1: m m m m | ... ]
              +=  wide[i, j]  [ m m m m | m m m m | ... ]
              *   x row, d j - p pixels to the right

A loop over the M channels of one pixel after the other spends more time on starting than on multiplying: 64 images of
28 x 28 x 16 in float32 took 18.6 ms on one core of a 2.8 GHz Ice Lake, where the long loop takes 2.7. With another
stride that is what remains to be done, and no weight is repeated.

Each thread owns rows of the output, or of dx; dw is summed in a fixed number of chunks of rows, with stride 1 for each
column of the output apart, and all of that is added at the end in a fixed order.
"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run

# The sums of dw may take so many values, in so many chunks: a function of the shape, never of the threads.
MOST_SUMS, MOST_CHUNKS = 2**20, 8


@jit
def _add_products(into: Array, a: Array, b: Array) -> None:
    for e in range(len(into)):
        into[e] += a[e] * b[e]


@jit
def _forward_row(x: Array, w: Array, out: Array, M: int, s: int, shift: int) -> None:
    """Add to a row of the output what one kernel entry gives: out[l] += w x[s l + shift], pixels of M values.

    With stride 1, w holds the entry's weights for each column of the output, otherwise once.
    """
    columns, W = len(out) // M, len(x) // M
    if s == 1:
        first, last = max(0, -shift), min(columns, W - shift)
        if first < last:
            _add_products(
                out[first * M : last * M], w[first * M : last * M], x[(first + shift) * M : (last + shift) * M]
            )
        return
    for l in range(columns):
        c = s * l + shift
        if 0 <= c < W:
            _add_products(out[l * M : (l + 1) * M], w, x[c * M : (c + 1) * M])


@jit
def _backward_row(dout: Array, w: Array, dx: Array, M: int, s: int, shift: int) -> None:
    """Add to a row of dx what one kernel entry gives: dx[s l + shift] += w dout[l]."""
    columns, W = len(dout) // M, len(dx) // M
    if s == 1:
        first, last = max(0, -shift), min(columns, W - shift)
        if first < last:
            _add_products(
                dx[(first + shift) * M : (last + shift) * M], w[first * M : last * M], dout[first * M : last * M]
            )
        return
    for l in range(columns):
        c = s * l + shift
        if 0 <= c < W:
            _add_products(dx[c * M : (c + 1) * M], w, dout[l * M : (l + 1) * M])


@jit
def _weight_row(x: Array, dout: Array, dw: Array, M: int, s: int, shift: int) -> None:
    """Add to the sums of one kernel entry what a row gives: dw += dout[l] x[s l + shift], laid out as w above."""
    columns, W = len(dout) // M, len(x) // M
    if s == 1:
        first, last = max(0, -shift), min(columns, W - shift)
        if first < last:
            _add_products(
                dw[first * M : last * M], dout[first * M : last * M], x[(first + shift) * M : (last + shift) * M]
            )
        return
    for l in range(columns):
        c = s * l + shift
        if 0 <= c < W:
            _add_products(dw, dout[l * M : (l + 1) * M], x[c * M : (c + 1) * M])


@jit
def _forward(start: int, stop: int, x: Array, wide: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    _, H, W, M = x.shape
    KH, KW, _ = wide.shape
    rows, columns = out.shape[1:3]
    for row in range(start, stop):
        b, k = row // rows, row % rows
        out_row = out[b, k].reshape(columns * M)
        for i in range(KH):
            r = s[0] * k + d[0] * i - p[0]
            if 0 <= r < H:
                x_row = x[b, r].reshape(W * M)
                for j in range(KW):
                    _forward_row(x_row, wide[i, j], out_row, M, s[1], d[1] * j - p[1])


@jit
def _backward_x(start: int, stop: int, dout: Array, wide: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    _, H, W, M = dx.shape
    KH, KW, _ = wide.shape
    rows, columns = dout.shape[1:3]
    for row in range(start, stop):
        b, r = row // H, row % H
        dx_row = dx[b, r].reshape(W * M)
        for i in range(KH):
            k = (r + p[0] - d[0] * i) // s[0]
            if 0 <= k < rows and s[0] * k + d[0] * i - p[0] == r:
                dout_row = dout[b, k].reshape(columns * M)
                for j in range(KW):
                    _backward_row(dout_row, wide[i, j], dx_row, M, s[1], d[1] * j - p[1])


@jit
def _backward_weight(start: int, stop: int, dout: Array, x: Array, partial: Array, s: Ints, p: Ints, d: Ints) -> None:
    _, H, W, M = x.shape
    total, KH, KW, _ = partial.shape
    B, rows, columns, _ = dout.shape
    for chunk in range(start, stop):
        for row in range(B * rows * chunk // total, B * rows * (chunk + 1) // total):
            b, k = row // rows, row % rows
            dout_row = dout[b, k].reshape(columns * M)
            for i in range(KH):
                r = s[0] * k + d[0] * i - p[0]
                if 0 <= r < H:
                    x_row = x[b, r].reshape(W * M)
                    for j in range(KW):
                        _weight_row(x_row, dout_row, partial[chunk, i, j], M, s[1], d[1] * j - p[1])


def _wide(w: Array, columns: int, s: Ints) -> Array:
    """Return w (KH, KW, M), with stride 1 repeated for each column of the output: (KH, KW, columns M)."""
    return np.tile(w, (1, 1, columns)) if s[1] == 1 else w


def forward(x: Array, w: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill out, given as zeros."""
    work = out.size * w[..., 0].size
    run(_forward, len(x) * out.shape[1], work, x, _wide(w, out.shape[2], s), out, s, p, d)


def backward_x(dout: Array, w: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dx, given as zeros."""
    work = dout.size * w[..., 0].size
    run(_backward_x, len(dx) * dx.shape[1], work, dout, _wide(w, dout.shape[2], s), dx, s, p, d)


def backward_weight(dout: Array, x: Array, dw: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dw, given as zeros."""
    KH, KW, M = dw.shape
    B, rows, columns, _ = dout.shape
    apart = columns if s[1] == 1 else 1
    chunks = max(1, min(B * rows, MOST_CHUNKS, MOST_SUMS // (dw.size * apart)))
    partial = np.zeros((chunks, KH, KW, apart * M), dw.dtype)
    run(_backward_weight, chunks, dout.size * KH * KW, dout, x, partial, s, p, d)
    partial.reshape(chunks, KH, KW, apart, M).sum((0, 3), out=dw)
