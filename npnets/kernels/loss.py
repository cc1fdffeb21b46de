"""Softmax cross-entropy: one walk over each row for the maximum, one for the exponentials, one for the gradient.

::

    for b:  e[n] = exp(z[b, n] - max z[b]),  losses[b] = -sum_n t[n] log(e[n] / sum e),  dz[b, n] = (e[n] / sum e -
    t[n]) / B

The exponentials wait in dz, where the gradient then takes their place; log(e[n] / sum e) is z[b, n] - max - log(sum e).
Rows are independent, and each thread owns some of them.
"""

import numpy as np

from npnets._check import Array
from npnets._jit import jit
from npnets._parallel import run


@jit
def _rows(start: int, stop: int, z: Array, y: Array, e: float, losses: Array, dz: Array) -> None:
    B, N = z.shape
    one = z.dtype.type(1)
    share = e / z.dtype.type(N)
    for b in range(start, stop):
        row, exps = z[b], dz[b]
        largest = row[0]
        for n in range(N):
            # a NaN stays: it is then in every exponential, the loss and the gradient
            largest = largest if (row[n] <= largest) | (largest != largest) else row[n]
        total = z.dtype.type(0)
        for n in range(N):
            exps[n] = np.exp(row[n] - largest)
            total += exps[n]
        log_total = np.log(total)
        right = y[b]
        losses[b] = -(one - e) * (row[right] - largest - log_total)
        if e > 0:
            for n in range(N):
                losses[b] -= share * (row[n] - largest - log_total)
        for n in range(N):
            exps[n] = (exps[n] / total - share) / B
        exps[right] -= (one - e) / B


def softmax_cross_entropy(z: Array, y: Array, e: float, losses: Array, dz: Array) -> None:
    """Fill losses (B,), given as zeros, and dz (B, N)."""
    run(_rows, len(z), 20 * z.size, z, y, e, losses, dz)
