"""Standard and group convolution: the patches of one output row gathered into a matrix, then the pointwise products.

::

    for each output row (b, k):
        cols[l, g, (i, j, m)] = x[b, s k + d i - p, s l + d j - p, g M + m]      one row of output pixels, 0 outside
        out[b, k, l, n]       = sum over (i, j, m) of cols[l, group of n, (i, j, m)] w[(i, j, m), n]

The matrix of one row is small (28 pixels of 3 x 3 x 64 values: 64 KB), so it is still in the cache when the product
reads it; a matrix of the whole image would go through memory. The gradient by x multiplies first and then adds each
row's patches back where they came from; it owns whole images, since the patches of neighbouring rows overlap. The
gradient by the weight is summed in a fixed number of chunks of rows, added in order.
"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import chunks, run
from npnets.kernels import pointwise
from npnets.kernels.pointwise import product, product_weight


@jit
def _gather(x: Array, b: int, k: int, cols: Array, KH: int, KW: int, s: Ints, p: Ints, d: Ints) -> None:
    """Fill cols (W', g, KH KW, M) with what output row k of image b sees."""
    _, H, W, _ = x.shape
    columns, groups, _, M = cols.shape
    for l in range(columns):
        for i in range(KH):
            r = s[0] * k + d[0] * i - p[0]
            for j in range(KW):
                c = s[1] * l + d[1] * j - p[1]
                inside = 0 <= r < H and 0 <= c < W
                for g in range(groups):
                    patch = cols[l, g, i * KW + j]
                    if inside:
                        pixel = x[b, r, c, g * M : (g + 1) * M]
                        for m in range(M):
                            patch[m] = pixel[m]
                    else:
                        for m in range(M):
                            patch[m] = 0.0


@jit
def _scatter(cols: Array, dx: Array, b: int, k: int, KH: int, KW: int, s: Ints, p: Ints, d: Ints) -> None:
    """Add cols (W', g, KH KW, M) to what output row k of image b sees: `_gather` transposed."""
    _, H, W, _ = dx.shape
    columns, groups, _, M = cols.shape
    for l in range(columns):
        for i in range(KH):
            r = s[0] * k + d[0] * i - p[0]
            for j in range(KW):
                c = s[1] * l + d[1] * j - p[1]
                if 0 <= r < H and 0 <= c < W:
                    for g in range(groups):
                        patch, pixel = cols[l, g, i * KW + j], dx[b, r, c, g * M : (g + 1) * M]
                        for m in range(M):
                            pixel[m] += patch[m]


@jit
def _forward(start: int, stop: int, x: Array, w: Array, out: Array, KH: int, KW: int, s: Ints, p: Ints, d: Ints,
             groups: int) -> None:  # fmt: skip
    rows, columns = out.shape[1:3]
    taps = KH * KW
    cols = np.empty((columns, groups, taps, w.shape[0] // taps), x.dtype)
    for row in range(start, stop):
        b, k = row // rows, row % rows
        _gather(x, b, k, cols, KH, KW, s, p, d)
        product(0, columns, cols.reshape(columns, groups * w.shape[0]), w, out[b, k], groups)


@jit
def _backward_x(start: int, stop: int, dout: Array, wt: Array, dx: Array, KH: int, KW: int, s: Ints, p: Ints, d: Ints,
                groups: int) -> None:  # fmt: skip
    rows, columns = dout.shape[1:3]
    cols = np.empty((columns, wt.shape[1]), dx.dtype)
    for b in range(start, stop):
        for k in range(rows):
            cols[:] = 0.0
            product(0, columns, dout[b, k], wt, cols, groups)
            patches = cols.reshape(columns, groups, KH * KW, dx.shape[3] // groups)
            _scatter(patches, dx, b, k, KH, KW, s, p, d)


@jit
def _backward_weight(start: int, stop: int, dout: Array, x: Array, partial: Array, KH: int, KW: int, s: Ints, p: Ints,
                     d: Ints, groups: int) -> None:  # fmt: skip
    rows, columns = dout.shape[1:3]
    taps, depth = KH * KW, partial.shape[1]
    cols = np.empty((columns, groups, taps, depth // taps), x.dtype)
    total = dout.shape[0] * rows
    for chunk in range(start, stop):
        for row in range(total * chunk // len(partial), total * (chunk + 1) // len(partial)):
            b, k = row // rows, row % rows
            _gather(x, b, k, cols, KH, KW, s, p, d)
            product_weight(0, depth, cols.reshape(columns, groups * depth), dout[b, k], partial[chunk], groups)


def _is_pointwise(K: Array, s: Ints, x: Array, out: Array) -> bool:
    """Whether the convolution is a plain matrix product: one tap, and every pixel of x met once."""
    return K.shape[:2] == (1, 1) and s == (1, 1) and x.shape[:3] == out.shape[:3]


def forward(x: Array, K: Array, out: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill out, given as zeros."""
    KH, KW, _, N = K.shape
    w = K.reshape(-1, N)
    if _is_pointwise(K, s, x, out):
        return pointwise.forward(x.reshape(-1, x.shape[3]), w, out.reshape(-1, N), groups)
    pixels = out.size // N
    run(_forward, len(x) * out.shape[1], pixels * w.size, x, w, out, KH, KW, s, p, d, groups)
    return None


def backward_x(dout: Array, K: Array, dx: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill dx, given as zeros."""
    KH, KW, _, N = K.shape
    w = K.reshape(-1, N)
    if _is_pointwise(K, s, dx, dout):
        return pointwise.backward_x(dout.reshape(-1, N), w, dx.reshape(-1, dx.shape[3]), groups)
    wt = pointwise.transposed(w, groups)
    run(_backward_x, len(dx), dout.size // N * w.size, dout, wt, dx, KH, KW, s, p, d, groups)
    return None


def backward_weight(dout: Array, x: Array, dK: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill dK, given as zeros."""
    KH, KW, M, N = dK.shape
    if _is_pointwise(dK, s, x, dout):
        return pointwise.backward_weight(dout.reshape(-1, N), x.reshape(-1, x.shape[3]), dK.reshape(-1, N), groups)
    partial = np.zeros((chunks(len(dout) * dout.shape[1]), KH * KW * M, N), dK.dtype)
    run(_backward_weight, len(partial), dout.size * KH * KW * M, dout, x, partial, KH, KW, s, p, d, groups)
    dK[...] = partial.sum(0).reshape(dK.shape)
    return None
