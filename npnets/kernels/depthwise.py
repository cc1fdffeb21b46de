"""Depthwise convolution: rows with zeros around them in a small buffer, then seven pixels of a vector of channels.

::

    out[p, m]   = sum over (i, j) of x[p meets with (i, j), m] w[i, j, m]           a pixel p of the output
    dx[p, m]    = sum over (i, j) of dout[p meets with (i, j), m] w[i, j, m]        a pixel p of the input
    dw[i, j, m] = sum over p of x[p meets with (i, j), m] dout[p, m]

What a pixel meets is in the tables of `windows`; those of the input make the gradient by x the same kernel as the
forward pass; with a stride of 2 the rows of dx are of two kinds, and so are the pixels in each.

::

    row of out, image b, row t                       buffer: the rows of x that the last kernel's height has met
        find, or copy, the KH rows of x     <--->      0 0 [ row 3 of x: pixels of whole vectors    ] 0 0
        list where the KH KW entries are               0 0 [ row 4                                  ] 0 0
        for 7 pixels:                                  0 0 [ row 2, row 5 takes its place           ] 0 0
            for vector of channels:                    0 0   0 0 0 0 ...   what is above and below   0 0
                7 sums in registers, KH KW steps

With the zeros there is no edge in any inner loop, whatever the padding, the stride and the dilation. Each value of x is
copied once and then read by nine entries from the L1 or L2 cache, in vectors that begin with a line of it: where each
crossed two lines, the three loops took 1.3 to 2.4 times as long. If the channels do not fill their last vector it is
filled with zeros in the buffer, and rows of out (or of dout) pass through a buffer of whole vectors, too.

The weights' gradient goes through the same buffer: for each entry, the products of seven pixels are added to one vector
of sums (`sum_tile`). The rows are cut into parts, each with sums of its own, which are added in order at the end; how
many depends on the shape alone. Otherwise each thread owns rows of out, or of dx.

Seven pixels and a vector of weights are all that must be in registers, whatever the kernel. Those of a compiled network
(`inference`) are quicker by a third at 3 x 3, where three columns of weights fit in as well; here the memory takes most
of the time. On one core of a Zen 4 of 3.7 GHz, whose main memory gives 25-34 GB/s, four images of 56 x 56 x 128 and a
3 x 3 kernel take, in GB/s of what is read and written once::

                    forward   by x   by the weight
        stride 1       17      17         18
        stride 2       24      22         27
"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run
from npnets.kernels import conv2d
from npnets.kernels.product import INFINITY, buffer, table, vector
from npnets.kernels.simd import lanes, load, load_part, splat, store, store_part, sum_tile, weigh_tile
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
    Axis,
    from_input,
    from_output,
)

# The sums of dw are taken in at most so many parts, of at least so many pixels.
PARTS, LEAST_PIXELS = 16, 64


@jit
def _vectors(a: Array, M: int) -> int:
    """Return how many vectors M channels take."""
    return (M + lanes(a) - 1) // lanes(a)


@jit
def _pitch(a: Array, M: int) -> int:
    """Return how far apart pixels stand in a buffer: whole vectors, and no multiple of 1 KB.

    At such distances nine entries share a few sets of the L1 cache, and push each other out of it.
    """
    values = _vectors(a, M) * lanes(a)
    return values + lanes(a) if values * a.itemsize % 1024 == 0 else values


@jit
def _copy_pixels(a: Array, at: int, step: int, count: int, M: int, out: Array, to: int, pitch: int) -> None:
    """Copy pixels of M channels, `step` apart, to where they have whole vectors, which are filled up with zeros."""
    L = lanes(a)
    for _ in range(count):
        for m in range(0, M, L):
            value = load(a, at + m) if m + L <= M else load_part(a, at + m, M - m)
            store(out, to + m, value)
        at, to = at + step, to + pitch


@jit
def _write_pixels(a: Array, at: int, pitch: int, count: int, M: int, out: Array, to: int, step: int) -> None:
    """Copy pixels back from there to where only the channels themselves may be written."""
    L = lanes(a)
    for _ in range(count):
        for m in range(0, M, L):
            if m + L <= M:
                store(out, to + m, load(a, at + m))
            else:
                store_part(out, to + m, load(a, at + m), M - m)
        at, to = at + pitch, to + step


@jit
def _pack(w: Array, M: int, rows: Array, columns: Array, out: Array, at: int) -> None:
    """Lay the entries that one kind of pixels meets out for `weigh_tile`: for each vector zeros, then its entries."""
    L = lanes(w)
    for m in range(0, M, L):
        store(out, at, splat(w, 0.0))
        at += L
        for i in range(rows[TAPS]):
            for j in range(columns[TAPS]):
                entry = (rows[TAP] + i * rows[TAP_STEP]) * columns[KERNEL] + columns[TAP] + j * columns[TAP_STEP]
                _copy_pixels(w, entry * M + m, 0, 1, min(L, M - m), out, at, 0)
                at += L


@jit
def _find_rows(x: Array, M: int, b: int, t: int, rows: Array, side: int, left: int, width: int, held: Array,
               room: Array, pitch: int, found: Array) -> None:  # fmt: skip
    """Find, or put, the rows that place t of image b meets in the buffer; behind its slots is a row of zeros.

    A slot keeps `width` pixels, those from `left` on, of `side` that a row of x has. What is beside them stays 0.
    """
    slots = len(held)
    first, last = max(0, left), min(side, left + width)
    for i in range(rows[TAPS]):
        r = rows[FIRST] + t * rows[ADVANCE] + i * rows[STEP]
        slot = slots
        if 0 <= r < rows[SIDE]:
            row = b * rows[SIDE] + r
            slot = row % slots
            if held[slot] != row:
                to = (slot * width + first - left) * pitch
                _copy_pixels(x, (row * side + first) * M, M, last - first, M, room, to, pitch)
                held[slot] = row
        found[i] = slot * width * pitch


@jit
def _list_taps(found: Array, rows: Array, columns: Array, left: int, pitch: int, taps: Array) -> int:
    """List where in the buffer the first pixel of a row meets something with each entry; return how many there are."""
    for i in range(rows[TAPS]):
        for j in range(columns[TAPS]):
            place = columns[FIRST] + j * columns[STEP] - left
            taps[i * columns[TAPS] + j] = found[i] + place * pitch
    return int(rows[TAPS] * columns[TAPS])


@jit
def _weigh(x: Array, x_pixels: Array, count: int, taps: Array, K: int, w: Array, w0: int, out: Array, out_pixels: Array,
           at: int, vectors: int) -> None:  # fmt: skip
    """Compute a row of pixels, seven or four at a time; the last few may be computed twice."""
    for p in range(0, count, 7):
        if count - p > 4:
            weigh_tile(7, x, x_pixels, p, count - 1, 0, taps, 0, K, w, w0, out, out_pixels, at, vectors, -INFINITY,
                       INFINITY)  # fmt: skip
        else:
            weigh_tile(4, x, x_pixels, p, count - 1, 0, taps, 0, K, w, w0, out, out_pixels, at, vectors, -INFINITY,
                       INFINITY)  # fmt: skip


@jit
def _apply(start: int, stop: int, most: int, x: Array, w: Array, out: Array, M: int, all_rows: Array,
           all_columns: Array, longest: int, left: int, width: int, slots: int) -> None:  # fmt: skip
    """Compute rows start..stop of the output, or of dx: `most` for each kind of rows and image."""
    kinds, phases, V = len(all_rows), len(all_columns), _vectors(x, M)
    entries, pitch, whole = all_rows[0, KERNEL] * all_columns[0, KERNEL], _pitch(x, M), M % lanes(x) == 0
    panel = V * (entries + 1) * lanes(x)
    packed = buffer(x, kinds * phases * panel)
    for kind in range(kinds):
        for phase in range(phases):
            _pack(w, M, all_rows[kind], all_columns[phase], packed, (kind * phases + phase) * panel)
    room, held = buffer(x, (slots + 1) * width * pitch), table(slots, -1, 0)
    room[:] = 0.0
    row_out = buffer(x, 0 if whole else longest * pitch)
    step = all_columns[0, OUT_STEP] * M  # from one pixel of the output that is computed to the next
    x_pixels = table(longest, 0, all_columns[0, ADVANCE] * pitch)
    out_pixels = table(longest, 0, step if whole else pitch)
    found, taps = np.empty(entries, np.int64), np.empty(entries, np.int64)
    for item in range(start, stop):
        b, t, kind = item // (kinds * most), item // kinds % most, item % kinds
        rows = all_rows[kind]
        if t >= rows[COUNT]:
            continue
        _find_rows(x, M, b, t, rows, all_columns[0, SIDE], left, width, held, room, pitch, found)
        row = b * rows[OUT_SIDE] + rows[OUT] + t * rows[OUT_STEP]
        for phase in range(phases):
            columns = all_columns[phase]
            count, w0 = columns[COUNT], (kind * phases + phase) * panel
            K, to = _list_taps(found, rows, columns, left, pitch, taps), (row * columns[OUT_SIDE] + columns[OUT]) * M
            if whole:
                _weigh(room, x_pixels, count, taps, K, packed, w0, out, out_pixels, to, V)
            else:
                _weigh(room, x_pixels, count, taps, K, packed, w0, row_out, out_pixels, 0, V)
                _write_pixels(row_out, 0, pitch, count, M, out, to, step)


@jit
def _sum(start: int, stop: int, parts: int, B: int, x: Array, dout: Array, sums: Array, M: int, rows: Array,
         columns: Array, left: int, width: int, slots: int) -> None:  # fmt: skip
    """Add the products of the parts start..stop of dout's rows to sums (parts, vectors, entries, lanes)."""
    V, pitch, whole, count = _vectors(x, M), _pitch(x, M), M % lanes(x) == 0, columns[COUNT]
    entries, size = rows[KERNEL] * columns[KERNEL], len(sums) // parts
    room, held = buffer(x, (slots + 1) * width * pitch), table(slots, -1, 0)
    room[:] = 0.0
    row_dout = buffer(x, 0 if whole else count * pitch)
    x_pixels, dout_pixels = table(count, 0, columns[ADVANCE] * pitch), table(count, 0, M if whole else pitch)
    found, taps = np.empty(entries, np.int64), np.empty(entries, np.int64)
    for part in range(start, stop):
        for row in range(B * rows[COUNT] * part // parts, B * rows[COUNT] * (part + 1) // parts):
            _find_rows(x, M, row // rows[COUNT], row % rows[COUNT], rows, columns[SIDE], left, width, held, room, pitch,
                       found)  # fmt: skip
            K, at = _list_taps(found, rows, columns, left, pitch, taps), row * count * M
            if whole:
                _sum_row(room, x_pixels, count, taps, K, dout, dout_pixels, at, sums, part * size, V)
            else:
                _copy_pixels(dout, at, M, count, M, row_dout, 0, pitch)
                _sum_row(room, x_pixels, count, taps, K, row_dout, dout_pixels, 0, sums, part * size, V)


@jit
def _sum_row(x: Array, x_pixels: Array, count: int, taps: Array, K: int, dout: Array, dout_pixels: Array, at: int,
             sums: Array, to: int, vectors: int) -> None:  # fmt: skip
    """Add the products of a row of pixels, seven at a time and the rest one by one: none may count twice."""
    sevens = count // 7 * 7
    for p in range(0, sevens, 7):
        sum_tile(7, x, x_pixels, p, 0, taps, 0, K, dout, dout_pixels, at, sums, to, vectors)
    for p in range(sevens, count):
        sum_tile(1, x, x_pixels, p, 0, taps, 0, K, dout, dout_pixels, at, sums, to, vectors)


def _fits(columns: Axis, side: int) -> bool:
    """Return whether a row with the zeros around it is not much longer than without: the buffer holds them.

    A dilation or a padding can be far larger than an image. Then `conv2d` computes it, a group for each channel.
    """
    return columns.width <= 4 * side + 64


def _on_all_rows(x: Array, w: Array, out: Array, rows: Axis, columns: Axis) -> None:
    items, work = len(x) * len(rows.table) * rows.most, max(x.size, out.size) * w[..., 0].size
    if items and columns.most:
        run(_apply, items, work, rows.most, x.reshape(-1), w.reshape(-1), out.reshape(-1), x.shape[3], rows.table,
            columns.table, columns.most, columns.least, columns.width, min(x.shape[1], rows.reach))  # fmt: skip


def forward(x: Array, w: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill out."""
    rows, columns = from_output(x, out, w, s, p, d)
    if _fits(columns, x.shape[2]):
        _on_all_rows(x, w, out, rows, columns)
    else:
        conv2d.forward(x, w[:, :, None], out, s, p, d, x.shape[3])


def backward_x(dout: Array, w: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dx, given as zeros."""
    rows, columns = from_input(dx, dout, w, s, p, d)
    if _fits(columns, dout.shape[2]):
        _on_all_rows(dout, w, dx, rows, columns)
    else:
        conv2d.backward_x(dout, w[:, :, None], dx, s, p, d, dx.shape[3])


def backward_weight(dout: Array, x: Array, dw: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dw, given as zeros."""
    (KH, KW, M), B = dw.shape, len(x)
    rows, columns = from_output(x, dout, dw, s, p, d)
    if not _fits(columns, x.shape[2]):
        conv2d.backward_weight(dout, x, dw[:, :, None], s, p, d, M)
        return
    parts = max(1, min(B * rows.most, PARTS, B * rows.most * columns.most // LEAST_PIXELS))
    lanes = vector(dw.dtype)
    sums = np.zeros((parts, -(-M // lanes), KH * KW, lanes), dw.dtype)
    run(_sum, parts, dout.size * KH * KW, parts, B, x.reshape(-1), dout.reshape(-1), sums.reshape(-1), M, rows.table[0],
        columns.table[0], columns.least, columns.width, min(x.shape[1], rows.reach))  # fmt: skip
    total = sums.sum(0).swapaxes(0, 1)  # (vectors, KH KW, lanes) -> (KH KW, vectors, lanes)
    dw[...] = total.reshape(KH * KW, -1)[:, :M].reshape(dw.shape)
