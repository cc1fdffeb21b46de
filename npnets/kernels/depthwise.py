"""draft"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run
from npnets.kernels import conv2d
from npnets.kernels.product import INFINITY, vector
from npnets.kernels.simd import add, lanes, load, load_part, splat, store, store_part, sum_tile, weigh_tile
from npnets.kernels.windows import (
    ADVANCE,
    COUNT,
    FIRST,
    OUT,
    OUT_STEP,
    STEP,
    TAP,
    TAP_STEP,
    TAPS,
    Axis,
    from_input,
    from_output,
)

# The sums of dw are taken in at most so many chunks of rows, of at least so many pixels: a function of the shape.
MOST_CHUNKS, LEAST_PIXELS = 8, 64


@jit
def _vectors(a: Array, M: int) -> int:
    """Return how many vectors M channels need."""
    return (M + lanes(a) - 1) // lanes(a)


@jit
def _channel(a: Array, v: int, M: int) -> int:
    """Return where vector v begins: the last one ends with the last channel, and shares some with the one before."""
    return max(0, min(v * lanes(a), M - lanes(a)))


@jit
def _read(a: Array, i: int, M: int) -> Array:
    """Return the vector at a[i], of which only M values are there if M is less than a vector."""
    return load(a, i) if M >= lanes(a) else load_part(a, i, M)


@jit
def _pack(w: Array, KW: int, M: int, row: Array, column: Array, out: Array, at: int) -> None:
    """Lay the entries of a row and a column of the tables out for `weigh_tile`, from out[at] on."""
    L = lanes(w)
    for v in range(_vectors(w, M)):
        m = _channel(w, v, M)
        store(out, at, splat(w, 0.0))
        at += L
        for i in range(row[TAPS]):
            for j in range(column[TAPS]):
                entry = (row[TAP] + i * row[TAP_STEP]) * KW + column[TAP] + j * column[TAP_STEP]
                store(out, at, _read(w, entry * M + m, M))
                at += L


@jit
def _apart(a: Array, M: int) -> int:
    """Return how far apart pixels stand in the buffer: whole vectors, and no multiple of 1 KB, which caches dislike."""
    values = _vectors(a, M) * lanes(a)
    return values + lanes(a) if values * a.itemsize % 1024 == 0 else values


@jit
def _buffer(like: Array, size: int) -> Array:
    """Return zeros that begin where a line of the cache does."""
    values = 64 // like.itemsize
    room = np.zeros(size + values, like.dtype)
    begin = -(room.ctypes.data // like.itemsize) % values
    return room[begin : begin + size]


@jit
def _copy_row(x: Array, row: int, W: int, M: int, left: int, width: int, buffer: Array, at: int, apart: int) -> None:
    """Copy those pixels of a row of x that lie in the buffer's; what is beside them stays 0."""
    L = lanes(x)
    for c in range(max(0, left), min(W, left + width)):
        pixel, to = (row * W + c) * M, at + (c - left) * apart
        for m in range(0, M - L + 1, L):
            store(buffer, to + m, load(x, pixel + m))
        if M % L:
            m = max(0, M - L)
            store(buffer, to + m, _read(x, pixel + m, M))


@jit
def _find_rows(x: Array, shape: tuple[int, int, int], axis: Array, b: int, t: int, left: int, width: int, slots: int,
               buffer: Array, held: Array, apart: int, places: Array) -> None:  # fmt: skip
    """Find, or put, the rows of x that place t meets in the buffer; behind its slots is a row of zeros."""
    H, W, M = shape
    for i in range(axis[TAPS]):
        r = axis[FIRST] + t * axis[ADVANCE] + i * axis[STEP]
        slot = slots
        if 0 <= r < H:
            row = b * H + r
            slot = row % slots
            if held[slot] != row:
                _copy_row(x, row, W, M, left, width, buffer, slot * width * apart, apart)
                held[slot] = row
        places[i] = slot * width * apart


@jit
def _list_taps(places: Array, row: Array, column: Array, left: int, apart: int, taps: Array) -> int:
    """List where in the buffer the first place of a row meets something with each entry."""
    number = 0
    for i in range(row[TAPS]):
        for j in range(column[TAPS]):
            taps[number] = places[i] + (column[FIRST] + j * column[STEP] - left) * apart
            number += 1
    return number


@jit
def _weigh(x: Array, rows: Array, count: int, taps: Array, number: int, w: Array, w0: int, out: Array, out_rows: Array,
           o: int, M: int) -> None:  # fmt: skip
    """Compute a row of places: first the channels that fill whole vectors, then the last vector."""
    L = lanes(x)
    for part in range(2):
        vectors, m = (M // L, 0) if part == 0 else (min(1, M % L), max(0, M - L))
        if vectors > 0:
            b0 = w0 + part * (M // L) * (number + 1) * L
            for p in range(0, count, 7):
                if count - p > 4:
                    weigh_tile(7, x, rows, p, count - 1, m, taps, 0, number, w, b0, out, out_rows, o + m, vectors,
                               -INFINITY, INFINITY)  # fmt: skip
                else:
                    weigh_tile(4, x, rows, p, count - 1, m, taps, 0, number, w, b0, out, out_rows, o + m, vectors,
                               -INFINITY, INFINITY)  # fmt: skip


@jit
def _apply(start: int, stop: int, most: int, x: Array, shape: tuple[int, int, int], w: Array, KH: int, KW: int,
           out: Array, out_shape: tuple[int, int, int], rows: Array, columns: Array, left: int, width: int,
           slots: int) -> None:  # fmt: skip
    M, L, apart, phases = shape[2], lanes(x), _apart(x, shape[2]), len(columns)
    panel = _vectors(x, M) * (KH * KW + 1) * L
    packed = np.empty(len(rows) * phases * panel, x.dtype)
    for row in range(len(rows)):
        for column in range(phases):
            _pack(w, KW, M, rows[row], columns[column], packed, (row * phases + column) * panel)
    buffer, held = _buffer(x, (slots + 1) * width * apart), np.full(slots, -1)
    places, taps, longest = np.empty(KH, np.int64), np.empty(KH * KW, np.int64), 0
    for column in range(phases):
        longest = max(longest, columns[column, COUNT])
    seen, made = np.empty(longest, np.int64), np.empty(longest, np.int64)
    narrow = np.empty(longest * L if M < L else 0, x.dtype)
    for u in range(longest):
        seen[u], made[u] = u * columns[0, ADVANCE] * apart, u * (columns[0, OUT_STEP] * M if M >= L else L)
    for item in range(start, stop):
        b, k, row = item // (len(rows) * most), item // len(rows) % most, rows[item % len(rows)]
        if k < row[COUNT]:
            _find_rows(x, shape, row, b, k, left, width, slots, buffer, held, apart, places)
            for phase in range(phases):
                column, w0 = columns[phase], (item % len(rows) * phases + phase) * panel
                number = _list_taps(places, row, column, left, apart, taps)
                at = ((b * out_shape[0] + row[OUT] + k * row[OUT_STEP]) * out_shape[1] + column[OUT]) * M
                if M >= L:
                    _weigh(buffer, seen, column[COUNT], taps, number, packed, w0, out, made, at, M)
                else:
                    _weigh(buffer, seen, column[COUNT], taps, number, packed, w0, narrow, made, 0, M)
                    for u in range(column[COUNT]):
                        store_part(out, at + u * column[OUT_STEP] * M, load(narrow, u * L), M)


@jit
def _sum(start: int, stop: int, chunks: int, B: int, x: Array, shape: tuple[int, int, int], dout: Array, partial: Array,
         KH: int, KW: int, row: Array, column: Array, left: int, width: int, slots: int) -> None:  # fmt: skip
    M, L, apart, size = shape[2], lanes(x), _apart(x, shape[2]), len(partial) // chunks
    OH, count = row[COUNT], column[COUNT]
    buffer, held = _buffer(x, (slots + 1) * width * apart), np.full(slots, -1)
    places, taps = np.empty(KH, np.int64), np.empty(KH * KW, np.int64)
    seen, met = np.empty(count, np.int64), np.empty(count, np.int64)
    narrow = np.empty(count * L if M < L else 0, x.dtype)
    for u in range(count):
        seen[u], met[u] = u * column[ADVANCE] * apart, u * max(M, L) 
    for chunk in range(start, stop):
        for item in range(B * OH * chunk // chunks, B * OH * (chunk + 1) // chunks):
            _find_rows(x, shape, row, item // OH, item % OH, left, width, slots, buffer, held, apart, places)
            number = _list_taps(places, row, column, left, apart, taps)
            upstream, at = dout, item * count * M
            if M < L:
                upstream, at = narrow, 0
                for u in range(count):
                    store(narrow, u * L, load_part(dout, (item * count + u) * M, M))
            for part in range(2):
                vectors, m = (M // L, 0) if part == 0 else (min(1, M % L), max(0, M - L))
                if vectors > 0:
                    s = chunk * size + part * (M // L) * number * L
                    whole = count // 7 * 7
                    for p in range(0, whole, 7):
                        sum_tile(7, buffer, seen, p, m, taps, 0, number, upstream, met, at + m, partial, s, vectors)
                    for p in range(whole, count):
                        sum_tile(1, buffer, seen, p, m, taps, 0, number, upstream, met, at + m, partial, s, vectors)


@jit
def _collect(partial: Array, chunks: int, dw: Array, taps: int, M: int) -> None:
    """Add the chunks' sums (chunks, vectors, taps, lanes), in order, and write them as dw (taps, M)."""
    L, size = lanes(dw), len(partial) // chunks
    for v in range(_vectors(dw, M)):
        for t in range(taps):
            i = (v * taps + t) * L
            total = load(partial, i)
            for chunk in range(1, chunks):
                total = add(total, load(partial, chunk * size + i))
            _write(dw, t * M + _channel(dw, v, M), total, M)


def _fits(columns: Axis, W: int) -> bool:
    """Whether a row with its border is not much longer than without."""
    return columns.width <= 4 * W + 64


def _on_all(x: Array, w: Array, out: Array, rows: Axis, columns: Axis) -> None:
    KH, KW, _ = w.shape
    work = max(x.size, out.size) * KH * KW
    run(_apply, len(x) * len(rows.table) * rows.count, work, rows.count, x.reshape(-1), x.shape[1:], w.reshape(-1), KH, KW, out.reshape(-1), out.shape[1:], rows.table,
        columns.table, columns.least, columns.width, min(x.shape[1], rows.reach))  # fmt: skip


def forward(x: Array, w: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill out."""
    rows, columns = (from_output(out.shape[1 + a], w.shape[a], s[a], p[a], d[a]) for a in (0, 1))
    if _fits(columns, x.shape[2]):
        _on_all(x, w, out, rows, columns)
    else:
        conv2d.forward(x, w[:, :, None], out, s, p, d, x.shape[3])


def backward_x(dout: Array, w: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dx, given as zeros."""
    rows, columns = (from_input(dx.shape[1 + a], w.shape[a], s[a], p[a], d[a]) for a in (0, 1))
    if _fits(columns, dout.shape[2]):
        _on_all(dout, w, dx, rows, columns)
    else:
        conv2d.backward_x(dout, w[:, :, None], dx, s, p, d, dx.shape[3])


def backward_weight(dout: Array, x: Array, dw: Array, s: Ints, p: Ints, d: Ints) -> None:
    """Fill dw, given as zeros."""
    KH, KW, M = dw.shape
    B, OH, OW, _ = dout.shape
    rows, columns = (from_output(dout.shape[1 + a], dw.shape[a], s[a], p[a], d[a]) for a in (0, 1))
    if not _fits(columns, x.shape[2]):
        conv2d.backward_weight(dout, x, dw[:, :, None], s, p, d, M)
        return
    chunks = max(1, min(B * OH, MOST_CHUNKS, B * OH * OW // LEAST_PIXELS))
    lanes = vector(dw.dtype)
    partial = np.zeros(chunks * -(-M // lanes) * lanes * KH * KW, dw.dtype)
    run(_sum, chunks, dout.size * KH * KW, chunks, B, x.reshape(-1), x.shape[1:], dout.reshape(-1), partial, KH, KW,
        rows.table[0], columns.table[0], columns.least, columns.width, min(x.shape[1], rows.reach))  # fmt: skip
    _collect(partial, chunks, dw.reshape(-1), KH * KW, M)
