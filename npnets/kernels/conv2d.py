"""Standard and group convolution as products of matrices: windows gathered block by block, then `product.multiply`.

::

    out[p, n] = sum over k of cols[p, k] w[k, n]           a pixel p of the output, a term k = (i, j, m)
    dx[p, m]  = sum over k of cols[p, k] w'[k, m]          a pixel p of the input,  a term k = (i, j, n)
    dw[k, n]  = sum over p of cols[p, k] dout[p, n]

where cols[p, k] is what entry (i, j) of the kernel meets from p, in channel m of x (n of dout), and 0 outside. Which
that is, is in the tables of `windows`: those of the input make the gradient by x the same kernel as the forward pass,
with the weights transposed as they are packed. With a stride of 2 a dx has four kinds of pixels, each a product of its
own with only the entries that meet something: no zero is multiplied.

::

    task: 512 pixels, a panel of 64 columns of a group
        for k0 .. k1:  288 terms                                w[k0 .. k1, panel] packed: 74 KB in the L2 cache
                                                              +---------+
            for block of pixels:                              |         |
                gather cols[block, k0 .. k1]                  |         |
                out[block, panel] += product                  +---------+
                                  +---------------------+     +---------+
                   170 pixels of  |  cols: 192 KB in L2 |     |   out   |
                   3 x 3 x 64     +---------------------+     +---------+

A matrix of all windows would go through memory, nine times as large as x: a block of it does not leave the cache.
Gathering moves a value once for 64 multiply-adds. Where each pixel meets only itself (a pointwise convolution) x is
multiplied as it stands.

::

    task: 240 terms of dw, a panel of 64 columns of a group, a part of the pixels
        for 128 pixels:                                         dout[pixels, panel] packed: 32 KB
            gather cols[pixels, terms]                          cols: 120 KB, read by columns
            dw[terms, panel] += product                         the sums: 60 KB

Where the tasks would be few the pixels are cut into parts, whose sums are added in order at the end. All of this
depends on the shapes alone, so that the bits are the same on any number of threads.
"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run
from npnets.kernels.product import INFINITY, buffer, multiply, pack_rows, panel_vectors
from npnets.kernels.simd import COLUMNS, lanes, load, load_part, splat, store
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

# A task's pixels; how many terms are summed at a time; and how many values are gathered at most, but for 24 pixels.
PIXELS, DEPTH, GATHERED = 512, 512, 48 * 1024
# The same of a weight gradient: its terms are what a task computes, and the pixels are summed.
TERMS, SUMMED = 256, 128
# A weight gradient is cut into so many tasks at least, if each then has four times `SUMMED` pixels.
TASKS = 16
WIDTH = 128


@jit
def _place(p: int, rows: Array, columns: Array) -> tuple[int, int, int]:
    """Return pixel p's image and its places on the axes."""
    row = p // columns[COUNT]
    image = row // rows[COUNT]
    return image, row - image * rows[COUNT], p - row * columns[COUNT]


@jit
def _gather(x: Array, c0: int, C: int, M: int, rows: Array, columns: Array, first: int, last: int, k0: int, k1: int,
            cols: Array, pitch: int) -> None:  # fmt: skip
    """Fill cols (pixels first..last, pitch) with the terms k0..k1 of their windows, for the M of C channels from c0 on.

    Whole vectors are written: what is too much is overwritten by the next entry, or the next pixel.
    """
    for p in range(first, last):
        b, t, u = _place(p, rows, columns)
        top, left = rows[FIRST] + t * rows[ADVANCE], columns[FIRST] + u * columns[ADVANCE]
        to = (p - first) * pitch
        i, j, k = k0 // M // columns[TAPS], k0 // M % columns[TAPS], k0
        while k < k1:
            r, c = top + i * rows[STEP], left + j * columns[STEP]
            m = k % M if k == k0 else 0
            count = min(M - m, k1 - k)
            if 0 <= r < rows[SIDE] and 0 <= c < columns[SIDE]:
                _copy(x, ((b * rows[SIDE] + r) * columns[SIDE] + c) * C + c0 + m, count, cols, to + k - k0)
            else:
                _clear(cols, to + k - k0, count)
            k += count
            j += 1
            if j == columns[TAPS]:
                i, j = i + 1, 0


@jit
def _copy(x: Array, at: int, count: int, out: Array, to: int) -> None:
    for k in range(0, count, lanes(x)):
        left = count - k
        store(out, to + k, load(x, at + k) if left >= lanes(x) else load_part(x, at + k, left))


@jit
def _clear(out: Array, to: int, count: int) -> None:
    for k in range(0, count, lanes(out)):
        store(out, to + k, splat(out, 0.0))


@jit
def _list_places(N: int, rows: Array, columns: Array, first: int, last: int, out_rows: Array) -> None:
    """List where in the output, which has N channels, the pixels first..last stand."""
    for p in range(first, last):
        b, t, u = _place(p, rows, columns)
        row = b * rows[OUT_SIDE] + rows[OUT] + t * rows[OUT_STEP]
        out_rows[p - first] = (row * columns[OUT_SIDE] + columns[OUT] + u * columns[OUT_STEP]) * N


@jit
def _pack(w: Array, w0: int, steps: tuple[int, int, int], M: int, N: int, rows: Array, columns: Array, k0: int, k1: int,
          b: Array) -> None:  # fmt: skip
    """Lay the terms k0..k1 of N columns out as panels, in the order in which `_gather` has them."""
    entry_step, m_step, n_step = steps
    L, n, at = lanes(b), 0, 0
    while n < N:
        width = panel_vectors((N - n + L - 1) // L) * L
        b[at : at + width] = 0.0  # what the sums begin with
        for entry in range(k0 // M, (k1 + M - 1) // M):
            row = rows[TAP] + entry // columns[TAPS] * rows[TAP_STEP]
            column = columns[TAP] + entry % columns[TAPS] * columns[TAP_STEP]
            k, stop = max(k0, entry * M), min(k1, (entry + 1) * M)
            first = w0 + (row * columns[KERNEL] + column) * entry_step + (k - entry * M) * m_step + n * n_step
            pack_rows(w, first, m_step, n_step, stop - k, min(width, N - n), width, b, at + (1 + k - k0) * width)
        n, at = n + width, at + (k1 - k0 + 1) * width


@jit
def _pack_pixels(dout: Array, first: int, pixels: int, all_N: int, N: int, b: Array) -> None:
    """Lay N columns of so many pixels out as panels."""
    L, n, at = lanes(b), 0, 0
    while n < N:
        width = panel_vectors((N - n + L - 1) // L) * L
        b[at : at + width] = 0.0  # what is added to the sums
        pack_rows(dout, first + n, all_N, 1, pixels, min(width, N - n), width, b, at + width)
        n, at = n + width, at + (pixels + 1) * width


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
def _product(start: int, stop: int, chunks: int, widths: int, pixels: int, x: Array, w: Array, group_step: int,
             steps: tuple[int, int, int], out: Array, groups: int, M: int, N: int, rows: Array,
             columns: Array) -> None:  # fmt: skip
    """Compute the tasks start..stop: each some pixels of some columns, with M terms for each entry and N columns a group."""
    L, K = lanes(x), rows[TAPS] * columns[TAPS] * M
    direct = meets_itself(rows) and meets_itself(columns)
    parts = (K + DEPTH - 1) // DEPTH
    depth, most = (K + parts - 1) // parts, (pixels + chunks - 1) // chunks
    block = most if direct else min(most, max(24, GATHERED // depth))
    pitch = groups * M if direct else depth + L
    cols = x if direct else buffer(x, block * pitch)
    b = buffer(x, (depth + 1) * (WIDTH + L))
    cols_rows, out_rows, taps = np.arange(block) * pitch, np.empty(block, np.int64), np.arange(depth)
    for task in range(start, stop):
        first, last = _part(task // (groups * widths), chunks, pixels)
        g = task // widths % groups
        n0, n1 = _columns(task % widths, widths, N, L)
        for part in range(parts):
            k0, k1 = _part(part, parts, K)
            _pack(w, g * group_step + n0 * steps[2], steps, M, n1 - n0, rows, columns, k0, k1, b)
            for p in range(first, last, block):
                q = min(p + block, last)
                if not direct:
                    _gather(x, g * M, groups * M, M, rows, columns, p, q, k0, k1, cols, pitch)
                _list_places(groups * N, rows, columns, p, q, out_rows)
                multiply(cols, cols_rows, 0, q - p, p * pitch + g * M + k0 if direct else 0, taps, 0, k1 - k0, b, 0,
                         n1 - n0, out, out_rows, part > 0, out, out_rows, g * N + n0, -INFINITY, INFINITY, out, 0, 0,
                         0, 0)  # fmt: skip


@jit
def _product_weight(start: int, stop: int, chunks: int, widths: int, parts: int, pixels: int, x: Array, dout: Array,
                    sums: Array, groups: int, M: int, N: int, rows: Array, columns: Array) -> None:  # fmt: skip
    """Compute the tasks start..stop of the weight's gradient: the sums (chunks, K, groups N) are given as zeros."""
    L, K, all_N = lanes(x), rows[TAPS] * columns[TAPS] * M, groups * N
    depth, most = (K + parts - 1) // parts, (pixels + chunks - 1) // chunks
    pitch = depth + L
    cols, b = buffer(x, SUMMED * pitch), buffer(x, (SUMMED + 1) * (WIDTH + L))
    terms, sums_rows, cols_pixels = np.arange(depth), np.arange(depth) * all_N, np.arange(SUMMED) * pitch
    for span in range(0, most, PIXELS):
        for task in range(start, stop):
            chunk, rest = divmod(task, parts * groups * widths)
            k0, k1 = _part(rest // (groups * widths), parts, K)
            g = rest // widths % groups
            n0, n1 = _columns(rest % widths, widths, N, L)
            first, last = _part(chunk, chunks, pixels)
            end = min(first + span + PIXELS, last)
            for p in range(first + span, end, SUMMED):
                q = min(p + SUMMED, end)
                _pack_pixels(dout, p * all_N + g * N + n0, q - p, all_N, n1 - n0, b)
                _gather(x, g * M, groups * M, M, rows, columns, p, q, k0, k1, cols, pitch)
                multiply(cols, terms, 0, k1 - k0, 0, cols_pixels, 0, q - p, b, 0, n1 - n0, sums, sums_rows, True, sums,
                         sums_rows, (chunk * K + k0) * all_N + g * N + n0, -INFINITY, INFINITY, sums, 0, 0, 0,
                         0)  # fmt: skip


def _products(x: Array, w: Array, group_step: int, steps: tuple[int, int, int], out: Array, groups: int, rows: Array,
              columns: Array) -> None:  # fmt: skip
    pixels = len(x) * int(rows[COUNT] * columns[COUNT])
    if pixels == 0:
        return
    M, N = x.shape[3] // groups, out.shape[3] // groups
    chunks, widths = max(1, -(-pixels // PIXELS)), -(-N // WIDTH)
    work = pixels * int(rows[TAPS] * columns[TAPS]) * x.shape[3] * N
    run(_product, chunks * groups * widths, work, chunks, widths, pixels, x.reshape(-1), w.reshape(-1), group_step,
        steps, out.reshape(-1), groups, M, N, rows, columns)  # fmt: skip


def forward(x: Array, K: Array, out: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill out."""
    _, _, M, N = K.shape
    rows, columns = from_output(x, out, K, s, p, d)
    _products(x, K, N // groups, (M * N, N, 1), out, groups, rows.table[0], columns.table[0])


def backward_x(dout: Array, K: Array, dx: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill dx, given as zeros."""
    _, _, M, N = K.shape
    all_rows, all_columns = from_input(dx, dout, K, s, p, d)
    for rows in all_rows.table:
        for columns in all_columns.table:
            _products(dout, K, N // groups, (M * N, 1, N), dx, groups, rows, columns)


def backward_weight(dout: Array, x: Array, dK: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    """Fill dK, given as zeros."""
    KH, KW, M, N = dK.shape
    rows, columns = from_output(x, dout, dK, s, p, d)
    pixels, widths, parts = dout.size // N, -(-N // groups // WIDTH), -(-KH * KW * M // TERMS)
    chunks = max(1, min(-(-TASKS // (parts * groups * widths)), pixels // (4 * SUMMED)))
    sums = np.zeros((chunks, *dK.shape), dK.dtype) if chunks > 1 else dK
    run(_product_weight, chunks * parts * groups * widths, dout.size * KH * KW * M, chunks, widths, parts, pixels,
        x.reshape(-1), dout.reshape(-1), sums.reshape(-1), groups, M, N // groups, rows.table[0],
        columns.table[0])  # fmt: skip
    if chunks > 1:
        np.sum(sums, 0, out=dK)
