"""Which places a kernel's entries meet along one axis: from the output's side, and from the input's.

::

    output k meets the input's   s k + d i - p      with each entry i
    input r meets the output's   (r + p - d i) / s  with each entry i for which that is whole

Both are one rule. A row of a table stands for places t = 0, 1, … `COUNT` - 1 that use the same entries i = 0, 1, …
`TAPS` - 1; numbers of places may lie beyond the edge of what they count, and whoever uses the table looks::

    place t              is     OUT + t OUT_STEP        of what is computed
    entry i              is     TAP + i TAP_STEP        of the kernel
    place t with entry i meets  FIRST + t ADVANCE + i STEP

The output's table has one row. The input's has one for each set of entries: with stride 2, a kernel of 3 and padding 1,
the even places meet entry 1, the odd ones entries 0 and 2. Places that no window reaches are in no row.

Nothing here grows with a padding or a dilation, however large they are.
"""

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from npnets._check import Array

COUNT, ADVANCE, FIRST, TAPS, STEP, OUT, OUT_STEP, TAP, TAP_STEP = range(9)


class Axis(NamedTuple):
    """A table (n, 9), and what all of it needs."""

    table: Array
    count: int  # of places in the longest row
    least: int  # the number of the first place that is met, which may be negative
    width: int  # how many places there are from the first to the last one that are met
    reach: int  # how many from the first to the last one that one place meets


@lru_cache(256)
def from_output(out: int, kernel: int, s: int, p: int, d: int) -> Axis:
    """Return the axis on which the output has `out` places."""
    return _axis([(out, s, -p, kernel, d, 0, 1, 0, 1)])


@lru_cache(256)
def from_input(side: int, kernel: int, s: int, p: int, d: int) -> Axis:
    """Return the axis on which the input has `side` places."""
    period = s // gcd(s, d)  # entries so far from each other meet the same places
    rows = []
    for i in range(min(kernel, period)):
        first = (d * i - p) % s  # of the places r for which r + p - d i is a multiple of s
        if first < side:
            count, taps = -((first - side) // s), -((i - kernel) // period)
            rows.append((count, 1, (first + p - d * i) // s, taps, -d * period // s, first, s, i, period))
    return _axis(rows)


def _axis(rows: list[tuple[int, ...]]) -> Axis:
    table = np.array(rows, np.int64).reshape(-1, 9)
    count, advance, first, taps, step = table[:, :5].T
    reach = (taps - 1) * step
    least = (first + np.minimum(reach, 0)).min(initial=2**62)
    most = (first + (count - 1) * advance + np.maximum(reach, 0)).max(initial=least - 1)
    return Axis(
        table, int(count.max(initial=0)), int(least), int(most - least + 1), int(abs(reach).max(initial=0)) + 1
    )
