"""Softmax cross-entropy, with label smoothing, and its gradient.

For each row z of B rows of N logits, with the label y::

    p[n] = exp(z[n]) / sum_a exp(z[a])                                                      (1)
    t[n] = (1 - e) [n = y] + e / N                                                          (2)
    loss = -(1/B) sum_b sum_n t[n] log p[n]                                                 (3)

e is the label smoothing: the target t gives e / N to each class, the right one included (as PyTorch does). With
log p[n] = z[n] - log sum_a exp(z[a]), whose derivative by z[a] is [n = a] - p[a], and sum_n t[n] = 1::

    dloss/dz[a] = -(1/B) sum_n t[n] ([n = a] - p[a]) = (p[a] - t[a]) / B                    (4)

The largest logit is taken off first: it changes no p, and no exp overflows.
"""

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import loss as kernel
from npnets.ops._replace import replaceable


@jit
def _loops(z: Array, y: Array, e: float, losses: Array, dz: Array) -> None:
    B, N = z.shape
    for b in range(B):
        largest = z[b, 0]
        for n in range(N):
            largest = max(largest, z[b, n])
        total = z.dtype.type(0)
        for n in range(N):
            total += np.exp(z[b, n] - largest)
        for n in range(N):
            t = (1 - e) * (n == y[b]) + e / N
            if t != 0:  # 0 times the log of a probability of 0 is 0
                losses[b] -= t * (z[b, n] - largest - np.log(total))
            dz[b, n] = (np.exp(z[b, n] - largest) / total - t) / B


def _numpy(z: Array, y: Array, e: float, losses: Array, dz: Array) -> None:
    B, N = z.shape
    shifted = z - z.max(1, keepdims=True)
    exps = np.exp(shifted)
    total = exps.sum(1, keepdims=True)  # (B, 1)
    t = np.full_like(z, e / N)  # (B, N)
    t[np.arange(B), y] += 1 - e
    log_p = shifted - np.log(total)
    losses[:] = -np.multiply(t, log_p, where=t != 0, out=np.zeros_like(z)).sum(1)
    dz[...] = (exps / total - t) / B


@replaceable
def softmax_cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> tuple[float, Array]:
    """Return the mean cross-entropy of softmax(logits) over the batch, and its gradient by the logits.

    Parameters
    ----------
    logits
        z, (B, N), float32 or float64; B at least 1.
    labels
        y, (B,), whole numbers from 0 to N - 1, of any integer dtype.
    label_smoothing
        e; at least 0 and less than 1.

    Returns
    -------
    loss
        In nats, a scalar of the dtype of `logits`.
    dlogits
        (p - t) / B, of the shape and dtype of `logits`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> loss, dlogits = softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(float(loss), 6)  # log 4
    1.386294
    >>> dlogits
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    logits = _check.array("logits", logits, "B N")
    if min(logits.shape) < 1:
        raise ValueError(f"`logits` must have at least one row and one class, and has the shape {logits.shape}")
    labels = _labels(labels, *logits.shape)
    e = logits.dtype.type(_check.number("label_smoothing", label_smoothing, least=0.0, below=1.0))
    losses, dlogits = np.zeros(len(logits), logits.dtype), np.empty_like(logits)
    choose(loops=_loops, numpy=_numpy, numba=kernel.softmax_cross_entropy)(logits, labels, e, losses, dlogits)
    loss: float = losses.mean()
    return loss, dlogits


def _labels(labels: Array, rows: int, classes: int) -> Array:
    """Return the labels as contiguous int64."""
    if not isinstance(labels, np.ndarray):
        raise TypeError(f"`labels` must be a NumPy array, and is a {type(labels).__name__}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"`labels` must have an integer dtype, and has {labels.dtype}")
    _check.shape("labels", labels, (rows,), "one for each row of `logits`")
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise ValueError(f"`labels` must be from 0 to {classes - 1}, the last class, and has the value {outside[0]}")
    return np.require(labels, np.int64, ["C", "A", "W", "E"])
