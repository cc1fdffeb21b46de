r"""Which places a kernel's entries meet along one axis: from the output's side, and from the input's.

::

    output k meets the input's   s k + d i - p      with each entry i
    input r meets the output's   (r + p - d i) / s  with each entry i for which that is whole

Both are one rule, so that a convolution and its gradient by the input are one kernel. A row of a table stands for the
places t = 0, 1, … `COUNT` - 1 that use the same entries i = 0, 1, … `TAPS` - 1::

    place t              is     OUT + t OUT_STEP               of OUT_SIDE that are computed
    entry i              is     TAP + i TAP_STEP               of the KERNEL's
    place t with entry i meets  FIRST + t ADVANCE + i STEP     of SIDE, or what is beside them: then it counts as 0

The output's table has one row. The input's has one for each set of entries: with stride 2, a kernel of 3 and padding 1
the even places meet entry 1, and the odd ones meet 0 and 2::

    output        0       1       2              entry   0 1 2
                / | \   / | \   / | \            meets  2 k - 1, 2 k, 2 k + 1
    input     -1  0   1   2   3   4   5

Places that no window reaches are in no row. Nothing here grows with a padding or a dilation, however large they are.
"""

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit

COUNT, ADVANCE, FIRST, TAPS, STEP, OUT, OUT_STEP, TAP, TAP_STEP, SIDE, OUT_SIDE, KERNEL = range(12)


class Axis(NamedTuple):
    """A table (n, 12), and what all of it needs."""

    table: Array
    most: int  # places in a row of the table
    least: int  # the number of the first place that is met, which may be negative
    width: int  # how many places there are from the first to the last one that are met
    reach: int  # how many from the first to the last one that one place meets


def from_output(x: Array, out: Array, kernel: Array, s: Ints, p: Ints, d: Ints) -> tuple[Axis, Axis]:
    """Return the axes, vertical and horizontal, on which the output's places are computed; only shapes count."""
    (_, H, W, _), (_, rows, columns, _) = x.shape, out.shape
    return (
        _output_axis(H, rows, kernel.shape[0], s[0], p[0], d[0]),
        _output_axis(W, columns, kernel.shape[1], s[1], p[1], d[1]),
    )


def from_input(x: Array, out: Array, kernel: Array, s: Ints, p: Ints, d: Ints) -> tuple[Axis, Axis]:
    """Return the axes on which the input's places are computed."""
    (_, H, W, _), (_, rows, columns, _) = x.shape, out.shape
    return (
        _input_axis(H, rows, kernel.shape[0], s[0], p[0], d[0]),
        _input_axis(W, columns, kernel.shape[1], s[1], p[1], d[1]),
    )


@lru_cache(256)
def _output_axis(side: int, out: int, kernel: int, s: int, p: int, d: int) -> Axis:
    return _axis([(out, s, -p, kernel, d, 0, 1, 0, 1, side, out, kernel)])


@lru_cache(256)
def _input_axis(side: int, out: int, kernel: int, s: int, p: int, d: int) -> Axis:
    period = s // gcd(s, d)  # entries so far from each other meet the same places
    rows: list[tuple[int, ...]] = []
    for i in range(min(kernel, period)):
        first = (d * i - p) % s  # of the places r for which r + p - d i is a multiple of s
        if first < side:
            count, taps = -((first - side) // s), -((i - kernel) // period)
            meets, step = (first + p - d * i) // s, -(d * period // s)
            rows.append((count, 1, meets, taps, step, first, s, i, period, out, side, kernel))
    return _axis(rows)


def _axis(rows: list[tuple[int, ...]]) -> Axis:
    """Return the table and what it needs; it may have no row, and a row no place."""
    table = np.array(rows, np.int64).reshape(-1, 12)
    count, advance, first, taps, step = table[:, :5].T
    reach = (taps - 1) * step
    least = (first + np.minimum(reach, 0)).min(initial=2**62)
    end = (first + (count - 1) * advance + np.maximum(reach, 0)).max(initial=least - 1)
    longest = int(abs(reach).max(initial=0)) + 1
    return Axis(table, int(count.max(initial=0)), int(least), int(end - least + 1), longest)


@jit
def meets_itself(axis: Array) -> bool:
    """Return whether each place meets just the one of its own number, as in a pointwise convolution."""
    return bool(axis[TAPS] == 1 and axis[FIRST] == 0 and axis[ADVANCE] == 1 and axis[COUNT] == axis[SIDE])
