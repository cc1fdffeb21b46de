"""What the NumPy implementations of sliding windows share: the padded input, and what one kernel entry sees of it.

s, p and d are stride, padding (above, to the left) and dilation, as pairs (vertical, horizontal).
"""

from typing import Any

import numpy as np

from npnets._check import Array, Ints


def pad(x: Array, kernel: Ints, out: Ints, s: Ints, p: Ints, d: Ints, value: float = 0.0) -> Array:
    """Return `x` (B, H, W, C) with margins of `value`, so that every window of the output lies inside."""
    ends = [s[a] * (out[a] - 1) + d[a] * (kernel[a] - 1) + 1 for a in (0, 1)]
    margins = [(p[a], max(0, ends[a] - p[a] - x.shape[1 + a])) for a in (0, 1)]
    return np.pad(x, ((0, 0), *margins, (0, 0)), constant_values=value)


def crop(padded: Array, x_shape: tuple[int, ...], p: Ints) -> Array:
    """Return what lies inside the margins: `pad` undone."""
    return padded[:, p[0] : p[0] + x_shape[1], p[1] : p[1] + x_shape[2]]


def tap(i: int, j: int, out: Ints, s: Ints, d: Ints) -> tuple[Any, ...]:
    """Return the index of what kernel entry (i, j) meets in the padded input, one pixel for each output pixel."""
    starts = d[0] * i, d[1] * j
    return (slice(None), *(slice(starts[a], starts[a] + s[a] * (out[a] - 1) + 1, s[a]) for a in (0, 1)))
