"""Standard and group convolution as products of matrices: windows gathered block by block, then `product.multiply`.

::

    out[p, n] = sum over k of cols[p, k] w[k, n]           a pixel p of the output, a term k = (i, j, m)
    dx[p, m]  = sum over k of cols[p, k] w'[k, m]          a pixel p of the input,  a term k = (i, j, n)
    dw[k, n]  = sum over p of cols[p, k] dout[p, n]

where cols[p, k] is what entry (i, j) of the kernel meets from p, in channel m of x (n of dout), and 0 outside. Which
that is, is in the tables of `windows`. Those of the input make the gradient by x the same kernel as the forward pass,
with the weights transposed as they are packed; with a stride of 2 there are four kinds of pixels, each kind a product
of its own with only the entries that meet something, so that no zero is multiplied.

::

    task: 512 pixels, up to 128 columns of a group
        for k0 .. k1: up to 512 terms                        w[k0 .. k1, columns], packed
            for block of pixels:                               +-------+
                gather cols[block, k0 .. k1]                   | 74 KB |     3 x 3 x 64 to 64 channels in float32:
                out[block, columns] += product                 |       |     two times 288 terms, blocks of 170 pixels
                                     +------------------+      +-------+
                                     | cols: 192 KB     |      | out   |     both stay in the second-level cache
                                     +------------------+      +-------+

A matrix of all windows, nine times as large as x, would go through memory; a block of it does not leave the cache, and
serves all 128 columns. Where each pixel meets only itself (a pointwise convolution), x is multiplied as it stands.

::

    task: up to 256 terms of dw, up to 128 columns of a group
        for 128 pixels:                                        dout[pixels, columns], packed
            gather cols[pixels, terms]                         +---------+
            dw[terms, columns] += product    +-----------+     | 32 KB   |   the same convolution: 192 of 576 terms;
                                             | 96 KB,    |     +---------+   the sums are read and written once for 128
                                             | read by   |     | sums:   |   pixels, for which they stay in registers
                                             | columns   |     | 48 KB   |
                                             +-----------+     +---------+

A thread takes all its tasks through the same 512 pixels before it goes on to the next, as they share x and dout: that
took the group convolution below from 61 to 48 ms. Where the tasks would be few the pixels are cut into parts, whose
sums are added in order at the end.

On one core of a Zen 4 of 3.7 GHz, whose limit is 117 GF/s, in GF/s::

                                         forward   by x   by the weight
    3 x 3, 64 to 64 channels, 56 x 56        101     99        96
    3 x 3, 3 groups of 80, 56 x 56            95     95        94
    pointwise, 512 to 512, 14 x 14           108    110        97
    3 x 3, 3 to 32, stride 2, 224 x 224       48     13        48

The windows of the last one are gathered nine values at a time, and its gradient by x fills 3 of 16 lanes.

All blocks depend on the shapes alone, so that the bits are the same on any number of threads.
"""

from typing import TypeAlias

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run
from npnets.kernels.product import INFINITY, buffer, multiply, pack, pack_rows, panel_vectors, table
from npnets.kernels.simd import lanes, load, load_part, splat, store
from npnets.kernels.windows import (
    ADVANCE,
    COUNT,
    FIRST,
    KERNEL,
    OUT,
    OUT_SIDE,
    OUT_STEP,
    SIDE,
    STEP,
    TAP,
    TAP_STEP,
    TAPS,
    from_input,
    from_output,
    meets_itself,
)

# What a task computes, at most: pixels and columns. More columns would share what is gathered, but leave the cache.
PIXELS, WIDTH = 512, 128
# How many terms are summed at a time, and how many values are gathered at a time.
DEPTH, GATHERED = 512, 48 * 1024
# Of the gradient by the weight: the terms that a task computes, and how many pixels are summed at a time.
TERMS, SUMMED = 256, 128
# Where there are fewer tasks than TASKS the pixels are cut further, for the threads. Each part packs the weights again,
# which 18 pixels (three tiles) are worth; each part of a gradient by the weight has sums of its own: 512 pixels.
TASKS, FEW, FEW_SUMMED = 8, 18, 512

# Where in the weights the matrix is: how far apart are the kernel's entries, the terms of one, the columns, the groups.
Steps: TypeAlias = tuple[int, int, int, int]


@jit
def _place(p: int, rows: Array, columns: Array) -> tuple[int, int, int]:
    """Return pixel p's image, and its places on the two axes."""
    row = p // columns[COUNT]
    return row // rows[COUNT], row % rows[COUNT], p % columns[COUNT]


@jit
def _gather(x: Array, c0: int, C: int, M: int, rows: Array, columns: Array, first: int, last: int, k0: int, k1: int,
            cols: Array, pitch: int) -> None:  # fmt: skip
    """Fill cols (pixels first..last, pitch) with terms k0..k1 of their windows, in M of C channels, from c0 on.

    The entries of a row are one copy where they are neighbours in memory: all channels, undilated, within the image.
    """
    H, W, KW = rows[SIDE], columns[SIDE], columns[TAPS]
    row_step, column_step, advance = rows[STEP], columns[STEP], columns[ADVANCE]
    i0, j0, m0 = k0 // M // KW, k0 // M % KW, k0 % M
    p = first
    while p < last:
        b, t, u = _place(p, rows, columns)
        top, left = rows[FIRST] + t * rows[ADVANCE], columns[FIRST] + u * advance
        stop = min(last, p + columns[COUNT] - u)  # where this row of pixels ends
        for q in range(p, stop):
            joined = C == M and column_step == 1 and left >= 0 and left + KW <= W
            to, i, j, m, k = (q - first) * pitch, i0, j0, m0, k0
            while k < k1:
                r, c = top + i * row_step, left + j * column_step
                entries = KW - j if joined else 1
                count = min(entries * M - m, k1 - k)
                if 0 <= r < H and 0 <= c < W:
                    _copy(x, ((b * H + r) * W + c) * C + c0 + m, count, cols, to)
                else:
                    _clear(cols, to, count)
                to, j, m, k = to + count, j + entries, 0, k + count
                if j == KW:
                    i, j = i + 1, 0
            left += advance
        p = stop


@jit
def _copy(x: Array, at: int, count: int, out: Array, to: int) -> None:
    """Copy values in whole vectors: what is written too much the next entry overwrites, or it is between the pixels."""
    for k in range(0, count, lanes(x)):
        left = count - k
        store(out, to + k, load(x, at + k) if left >= lanes(x) else load_part(x, at + k, left))


@jit
def _clear(out: Array, to: int, count: int) -> None:
    """Write zeros in whole vectors."""
    for k in range(0, count, lanes(out)):
        store(out, to + k, splat(out, 0.0))


@jit
def _list_places(N: int, rows: Array, columns: Array, first: int, last: int, out_rows: Array) -> None:
    """List where in the output, which has N channels, the pixels first..last stand."""
    p = first
    while p < last:
        b, t, u = _place(p, rows, columns)
        row = b * rows[OUT_SIDE] + rows[OUT] + t * rows[OUT_STEP]
        place = row * columns[OUT_SIDE] + columns[OUT] + u * columns[OUT_STEP]
        stop = min(last, p + columns[COUNT] - u)
        for q in range(p, stop):
            out_rows[q - first] = (place + (q - p) * columns[OUT_STEP]) * N
        p = stop


@jit
def _pack(w: Array, w0: int, steps: Steps, M: int, N: int, rows: Array, columns: Array, k0: int, k1: int,
          b: Array) -> None:  # fmt: skip
    """Lay terms k0..k1 of N columns, those from w[w0] on, out as panels, in the order in which `_gather` has them."""
    entry_step, m_step, n_step, _ = steps
    L, n, at = lanes(b), 0, 0
    while n < N:
        width = panel_vectors((N - n + L - 1) // L) * L
        _clear(b, at, width)  # what the sums begin with
        at += width
        for entry in range(k0 // M, (k1 + M - 1) // M):
            row = rows[TAP] + entry // columns[TAPS] * rows[TAP_STEP]
            column = columns[TAP] + entry % columns[TAPS] * columns[TAP_STEP]
            k, stop = max(k0, entry * M), min(k1, (entry + 1) * M)
            first = w0 + (row * columns[KERNEL] + column) * entry_step + (k - entry * M) * m_step + n * n_step
            pack_rows(w, first, m_step, n_step, stop - k, min(width, N - n), width, b, at)
            at += (stop - k) * width
        n += width


@jit
def _part(part: int, parts: int, whole: int) -> tuple[int, int]:
    """Return where one of so many parts of range(whole) begins and ends."""
    return whole * part // parts, whole * (part + 1) // parts


@jit
def _columns(part: int, parts: int, N: int, lanes: int) -> tuple[int, int]:
    """Return where one of so many parts of N columns begins and ends: between whole vectors."""
    first, last = _part(part, parts, (N + lanes - 1) // lanes)
    return first * lanes, min(last * lanes, N)


@jit
def _product(start: int, stop: int, chunks: int, widths: int, pixels: int, x: Array, w: Array, steps: Steps, out: Array,
             groups: int, M: int, N: int, rows: Array, columns: Array) -> None:  # fmt: skip
    """Compute tasks start..stop of the chunks of pixels, the groups and the parts of their N columns, in that order."""
    L, K = lanes(x), rows[TAPS] * columns[TAPS] * M
    direct = meets_itself(rows) and meets_itself(columns)
    parts, most = (K + DEPTH - 1) // DEPTH, (pixels + chunks - 1) // chunks
    depth = (K + parts - 1) // parts
    block, pitch = min(most, GATHERED // depth), depth + L
    if direct:
        block, pitch = most, groups * M
    cols = x if direct else buffer(x, block * pitch)
    b = buffer(x, (depth + 1) * (WIDTH + L))
    cols_rows, out_rows, taps = table(block, 0, pitch), np.empty(block, np.int64), table(depth, 0, 1)
    for task in range(start, stop):
        first, last = _part(task // (groups * widths), chunks, pixels)
        g = task // widths % groups
        n0, n1 = _columns(task % widths, widths, N, L)
        for part in range(parts):
            k0, k1 = _part(part, parts, K)
            _pack(w, g * steps[3] + n0 * steps[2], steps, M, n1 - n0, rows, columns, k0, k1, b)
            for p in range(first, last, block):
                q = min(p + block, last)
                if not direct:
                    _gather(x, g * M, groups * M, M, rows, columns, p, q, k0, k1, cols, pitch)
                _list_places(groups * N, rows, columns, p, q, out_rows)
                multiply(cols, cols_rows, 0, q - p, p * pitch + g * M + k0 if direct else 0, taps, 0, k1 - k0, b, 0,
                         n1 - n0, out, out_rows, part > 0, out, out_rows, g * N + n0, -INFINITY, INFINITY, out, 0, 0,
                         0, 0)  # fmt: skip


@jit
def _product_weight(start: int, stop: int, chunks: int, parts: int, widths: int, pixels: int, x: Array, dout: Array,
                    sums: Array, groups: int, M: int, N: int, rows: Array, columns: Array) -> None:  # fmt: skip
    """Compute tasks start..stop of chunks, terms, groups, columns: sums (chunks, K, groups N) begin with zeros."""
    L, K, all_N = lanes(x), rows[TAPS] * columns[TAPS] * M, groups * N
    depth, most = (K + parts - 1) // parts, (pixels + chunks - 1) // chunks
    pitch = depth + L
    cols, b = buffer(x, SUMMED * pitch), buffer(x, (SUMMED + 1) * (WIDTH + L))
    terms, sums_rows, cols_pixels = table(depth, 0, 1), table(depth, 0, all_N), table(SUMMED, 0, pitch)
    for span in range(0, most, PIXELS):
        for task in range(start, stop):
            first, last = _part(task // (parts * groups * widths), chunks, pixels)
            k0, k1 = _part(task // (groups * widths) % parts, parts, K)
            g = task // widths % groups
            n0, n1 = _columns(task % widths, widths, N, L)
            to = (task // (parts * groups * widths) * K + k0) * all_N + g * N + n0
            last = min(first + span + PIXELS, last)
            for p in range(first + span, last, SUMMED):
                q = min(p + SUMMED, last)
                pack(dout[p * all_N + g * N + n0 :], all_N, 1, 0, q - p, n1 - n0, 1, dout[:0], b, 0)
                _gather(x, g * M, groups * M, M, rows, columns, p, q, k0, k1, cols, pitch)
                multiply(cols, terms, 0, k1 - k0, 0, cols_pixels, 0, q - p, b, 0, n1 - n0, sums, sums_rows, True, sums,
                         sums_rows, to, -INFINITY, INFINITY, sums, 0, 0, 0, 0)  # fmt: skip


def _products(x: Array, w: Array, steps: Steps, out: Array, groups: int, rows: Array, columns: Array) -> None:
    """Fill those places of the output (or of dx) that are in these rows and columns; w[steps] is the matrix."""
    pixels, M, N = len(x) * int(rows[COUNT] * columns[COUNT]), x.shape[3] // groups, out.shape[3] // groups
    if pixels == 0:
        return
    widths = _ceil(N, WIDTH)
    chunks = max(_ceil(pixels, PIXELS), min(_ceil(TASKS, groups * widths), pixels // FEW))
    work = pixels * int(rows[TAPS] * columns[TAPS]) * x.shape[3] * N
    run(_product, chunks * groups * widths, work, chunks, widths, pixels, x.reshape(-1), w.reshape(-1), steps,
        out.reshape(-1), groups, M, N, rows, columns)  # fmt: skip


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def forward(x: Array, K: Array, out: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill out."""
    _, _, M, N = K.shape
    rows, columns = from_output(x, out, K, s, p, d)
    _products(x, K, (M * N, N, 1, N // groups), out, groups, rows.table[0], columns.table[0])


def backward_x(dout: Array, K: Array, dx: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill dx, given as zeros."""
    _, _, M, N = K.shape
    all_rows, all_columns = from_input(dx, dout, K, s, p, d)
    for rows in all_rows.table:
        for columns in all_columns.table:
            _products(dout, K, (M * N, 1, N, N // groups), dx, groups, rows, columns)


def backward_weight(dout: Array, x: Array, dK: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill dK, given as zeros."""
    KH, KW, M, N = dK.shape
    rows, columns = from_output(x, dout, dK, s, p, d)
    pixels, parts, widths = dout.size // N, _ceil(KH * KW * M, TERMS), _ceil(N // groups, WIDTH)
    chunks = max(1, min(_ceil(TASKS, parts * groups * widths), pixels // FEW_SUMMED))
    sums = np.zeros((chunks, *dK.shape), dK.dtype) if chunks > 1 else dK
    run(_product_weight, chunks * parts * groups * widths, dout.size * KH * KW * M, chunks, parts, widths, pixels,
        x.reshape(-1), dout.reshape(-1), sums.reshape(-1), groups, M, N // groups, rows.table[0],
        columns.table[0])  # fmt: skip
    if chunks > 1:
        np.sum(sums, 0, out=dK)
