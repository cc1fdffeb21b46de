"""Products of matrices, out of tiles: what all convolutions but the depthwise ones are made of.

::

    for g, p, n:  out[out_rows[p] + g N + n] = clamp(start[g, n] + sum_k a[rows[p] + g M + taps[k]] w[g, k, n])

A panel of w is C vectors of columns wide, its K rows lie one behind the other (`pack`), so that the innermost loop
walks through memory in one go; a panel of 512 rows takes 128 KB and stays in the second-level cache while all rows of a
pass by::

            panel 0     panel 1    …        each panel: a row that the sums start from, then K rows
          +-----------+-----------+
          |  K rows   |           |         for a panel:                    (from the L2 cache)
          |  of w     |           |             for 6 or 5 rows of a:       (from the L1 cache)
          +-----------+-----------+                 multiply_tile           (in registers)

The tables stand for the shape of the convolution: see `simd`.
"""

import numpy as np

from npnets._check import Array
from npnets._jit import VECTOR_BYTES, jit
from npnets.kernels.simd import COLUMNS, lanes, load, load_part, multiply_tile, store, transpose

INFINITY = float("inf")


def vector(dtype: np.dtype) -> int:
    """Return how many values of this dtype a vector has: what `simd.lanes` is inside of kernels."""
    return max(1, VECTOR_BYTES // dtype.itemsize)


def packed_size(K: int, N: int, groups: int, dtype: np.dtype) -> int:
    """Return how many values `pack` writes for a matrix (groups, K, N)."""
    lanes = vector(dtype)
    return groups * (K + 1) * -(-N // lanes) * lanes


@jit
def buffer(like: Array, size: int) -> Array:
    """Return room for so many values that begins with a line of the cache, so that no vector crosses two lines."""
    line = 64 // like.itemsize
    room = np.empty(size + line, like.dtype)
    begin = -(room.ctypes.data // like.itemsize) % line
    return room[begin : begin + size]


@jit
def table(count: int, first: int, step: int) -> Array:
    """Return first, first + step, … for tables of rows and taps."""
    entries = np.empty(count, np.int64)
    for i in range(count):
        entries[i] = first + i * step
    return entries


@jit
def panel_vectors(vectors: int) -> int:
    """Return how many of the vectors that are left the next panel takes: no panel of one beside one of four."""
    if vectors == COLUMNS + 1 and COLUMNS > 2:
        return COLUMNS - 1
    return min(vectors, COLUMNS)


@jit
def pack_rows(w: Array, first: int, step_k: int, step_n: int, K: int, N: int, width: int, out: Array,
              at: int) -> None:  # fmt: skip
    """Lay K rows of N values w[first + k step_k + n step_n] out, one behind the other, each `width` places with zeros.

    Whole vectors are moved where a row of w is contiguous, and squares of vectors where a column is.
    """
    W = lanes(out)
    if step_n == 1:
        for k in range(K):
            for n in range(0, width, W):
                i = first + k * step_k + n
                value = load(w, i) if n + W <= N else load_part(w, i, N - n)
                store(out, at + k * width + n, value)
        return
    for n in range(0, width, W):
        k = 0
        if step_k == 1 and n + W <= N:
            while k + W <= K:
                transpose(w, first + n * step_n + k, step_n, out, at + k * width + n, width)
                k += W
        for column in range(n, n + W):
            for row in range(k, K):
                out[at + row * width + column] = w[first + row * step_k + column * step_n] if column < N else 0.0


@jit
def pack(w: Array, step_k: int, step_n: int, step_g: int, K: int, N: int, groups: int, start: Array, out: Array,
         at: int) -> None:  # fmt: skip
    """Lay the matrices w[g step_g + k step_k + n step_n], flat, out as panels, from out[at] on.

    `start` (groups N,) is what each sum begins with; it may be empty, for 0. Columns beyond N are 0.
    """
    W = lanes(out)
    for g in range(groups):
        n0 = 0
        vectors = (N + W - 1) // W
        while vectors > 0:
            C = panel_vectors(vectors)
            for n in range(n0, n0 + C * W):
                out[at + n - n0] = start[g * N + n] if n < N and len(start) > 0 else 0.0
            at += C * W
            columns = min(C * W, N - n0)
            pack_rows(w, g * step_g + n0 * step_n, step_k, step_n, K, columns, C * W, out, at)
            at += K * C * W
            vectors -= C
            n0 += C * W


@jit
def multiply(a: Array, rows: Array, first: int, last: int, a0: int, taps: Array, t0: int, K: int, b: Array, b0: int,
             N: int, added: Array, added_rows: Array, adds: bool, out: Array, out_rows: Array, n0: int, low: float,
             high: float, near: Array, read: int, reads: int, write: int, writes: int) -> None:  # fmt: skip
    """Multiply the table's rows first..last (last excluded) by all panels of one packed matrix, N columns.

    The arguments are those of `simd.multiply_tile`.
    """
    W = lanes(b)
    tiles = (last - first + 5) // 6
    fives = max(0, 6 * tiles - (last - first))  # with fewer than 20 rows a tile may be part empty: it repeats a row
    end, n = last - 1, 0
    vectors = (N + W - 1) // W
    line = 64 // b.itemsize
    calls = tiles * ((vectors + COLUMNS - 1) // COLUMNS)
    reads, writes = (reads + calls - 1) // calls, (writes + calls - 1) // calls
    while vectors > 0:
        C = panel_vectors(vectors)
        columns = min(C * W, N - n)
        p = first
        for tile in range(tiles):
            six = tile < tiles - fives
            if C == 4:
                if six:
                    multiply_tile(6, 4, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out,
                                  out_rows, n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
                else:
                    multiply_tile(5, 4, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out,
                                  out_rows, n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
            elif C == 3:
                if six:
                    multiply_tile(6, 3, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out,
                                  out_rows, n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
                else:
                    multiply_tile(5, 3, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out,
                                  out_rows, n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
            elif C == 2:
                if six:
                    multiply_tile(6, 2, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out,
                                  out_rows, n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
                else:
                    multiply_tile(5, 2, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out,
                                  out_rows, n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
            elif six:
                multiply_tile(6, 1, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows,
                              n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
            else:
                multiply_tile(5, 1, a, rows, p, end, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows,
                              n0 + n, columns, low, high, near, read, reads, write, writes)  # fmt: skip
            p += 6 if six else 5
            read += reads * line
            write += writes * line
        b0 += (K + 1) * C * W
        vectors -= C
        n += C * W
