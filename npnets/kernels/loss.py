"""Softmax cross-entropy, in place: the exponentials wait in dz, where the gradient then takes their place.

::

    dz = z - max z           log p = dz - log sum exp dz           losses = -sum_n t log p
    dz = exp dz              p = dz / sum dz                       dz = (p - t) / B

Nothing is compiled here: NumPy's exponential takes a vector at once, as none in compiled code does, and the rest are a
few walks through memory that is in the cache. 64 rows of 1000 take 0.1 ms; compiled, on two threads, 0.26.
"""

import numpy as np

from npnets._check import Array


def softmax_cross_entropy(z: Array, y: Array, e: float, losses: Array, dz: Array) -> None:
    """Fill losses (B,) and dz (B, N)."""
    B, N = z.shape
    one, share = z.dtype.type(1), e / z.dtype.type(N)
    right = np.arange(B), y
    np.subtract(z, z.max(1, keepdims=True), out=dz)
    shifted = dz.copy() if e > 0 else None
    losses[:] = dz[right]
    np.exp(dz, out=dz)
    total = dz.sum(1, keepdims=True)  # (B, 1)
    log_total = np.log(total)
    losses -= log_total[:, 0]
    losses *= e - one
    if shifted is not None:
        losses -= share * (shifted - log_total).sum(1)
    dz /= total
    if e > 0:
        dz -= share
    dz /= B
    dz[right] -= (one - e) / B
