"""Vectors: the few words that fast kernels are written in, and the tile of a matrix product that stays in registers.

A kernel that is written with `load`, `store`, `fma` … works on `lanes(a)` neighbouring values at a time. Numba has no
vectors, and what LLVM makes of plain loops is half as fast at best, so these words are intrinsics (`_vectors`): each
emits an LLVM instruction or two on vectors as wide as the CPU's registers::

    form      registers     float32   float64   tile (rows x vectors)
    avx512    32 x 64 bytes   16         8       6 x 4: 24 sums, 4 vectors of b, 1 of a
    avx2      16 x 32 bytes    8         4       6 x 2: 12 sums, 2 vectors of b, 1 of a
    neon      32 x 16 bytes    4         2       6 x 4
    plain     none             1         1       6 x 4, in loops

The form follows the features that Numba compiles for; the environment variable NPNETS_SIMD forces another. `plain` has
no intrinsic at all (`_plain`): the same kernels, one value at a time, on any CPU, and in Python where Numba's compiler
is off.

`multiply_tile` is the one loop in which nearly all time is spent::

    out[p, n] = start[n] + sum_k a[rows[p] + taps[k]] b[k, n]            R rows p, C vectors of columns n

              b[k, n .. n + C lanes]   each k: C loads of b, R of a (one value, in all lanes), R C fused multiply-adds
                |    |    |    |
    a[p0] --  sum  sum  sum  sum       the R C sums stay in registers for the whole of k
    a[p1] --  sum  sum  sum  sum
     ...

Both places of a's value are looked up in tables, `rows` for the pixel and `taps` for the term. That costs one more load
for R C multiply-adds, and makes one loop of all convolutions: the taps of a pointwise convolution are 0, 1, 2, …; those
of a 3 x 3 one also step over pixels and rows; those behind a channel shuffle are shuffled; a transposed matrix has the
steps exchanged. On one core of a Zen 4 of 3.7 GHz, whose limit is 118 GF/s, it gives 115-117 from 64 terms on, and 104
with 20 terms and two vectors.

`weigh_tile` and `weigh_row` are its like for depthwise convolutions: vectors of channels, each with its own weights.
"""

from typing import TYPE_CHECKING

from npnets._jit import FORM

if TYPE_CHECKING or FORM == "plain":  # where the words have the types that kernels see
    from npnets.kernels._plain import (
        add,
        clamp,
        fma,
        lanes,
        largest,
        load,
        load_part,
        multiply,
        multiply_tile,
        prefetch,
        splat,
        store,
        store_part,
        stream,
        subtract,
        sum_tile,
        transpose,
        weigh_row,
        weigh_tile,
        where_inside,
    )
else:
    from npnets.kernels._vectors import (
        add,
        clamp,
        fma,
        lanes,
        largest,
        load,
        load_part,
        multiply,
        multiply_tile,
        prefetch,
        splat,
        store,
        store_part,
        stream,
        subtract,
        sum_tile,
        transpose,
        weigh_row,
        weigh_tile,
        where_inside,
    )

# Vectors in a row of a tile. Its rows are 6 or 5: every number of rows from 20 on is a sum of sixes and fives.
COLUMNS = 2 if FORM == "avx2" else 4

__all__ = [
    "COLUMNS",
    "add",
    "clamp",
    "fma",
    "lanes",
    "largest",
    "load",
    "load_part",
    "multiply",
    "multiply_tile",
    "prefetch",
    "splat",
    "store",
    "store_part",
    "stream",
    "subtract",
    "sum_tile",
    "transpose",
    "weigh_row",
    "weigh_tile",
    "where_inside",
]
