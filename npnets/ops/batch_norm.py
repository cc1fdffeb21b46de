r"""Batch normalisation, forward and backward (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1), in training and after.

For each channel by itself, with x running over the n values that it has in the batch (all images, rows and columns), in
training::

    (1) mu = sum x / n          mean
    (2) c  = x - mu             centred
    (3) v  = sum c^2 / n        variance, the biased one
    (4) r  = 1 / sqrt(v + eps)
    (5) h  = c r                normalised
    (6) y  = gamma h + beta

======  =========  =========================================
symbol  in Python  what it is
======  =========  =========================================
x       x          input (..., C)
gamma   weight     scale of each channel (C,)
beta    bias       shift of each channel (C,)
mu      mean       (C,)
r       inv_std    (C,)
y       out        output, of the shape of x
======  =========  =========================================

First derivation of the gradient: backwards through the steps, each with its own derivative, dz standing for dL/dz::

    (6)  dbeta = sum dy       dgamma = sum dy h       dh = gamma dy
    (5)  dr = sum dh c        dc = r dh
    (4)  dv = -r^3 / 2  dr                            since d(v + eps)^(-1/2) = -(v + eps)^(-3/2) / 2
    (3)  dc = dc + 2 c / n  dv
    (2)  dmu = -sum dc        dx = dc
    (1)  dx = dx + dmu / n

Second derivation, in closed form. Put (3) to (5) into dx; the sum of c is 0, so that dmu = -r sum dh, and with c = h /
r::

    dx = r dh - r^2 h (sum dh c) / n - r (sum dh) / n
       = gamma r (dy - dbeta / n - h dgamma / n)                                            (7)

In words: the gradient loses its mean and, but for eps, its part along h, because a shift or a scaling of x does not
change y. `loops` walks the first derivation, `numpy` and `numba` compute (7); the tests hold them against each other.

After training (eval) mu and v are the running ones, constants, so that y = gamma (x - mu) r + beta is linear in x::

    dx = gamma r dy,    dgamma = sum dy (x - mu) r,    dbeta = sum dy                       (8)
"""

from typing import Any

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import batch_norm as kernel
from npnets.ops._replace import replaceable

# -- loops: the steps, one channel after the other; x (n, C) -----------------------------------------------------------


@jit
def _train_loops(x: Array, gamma: Array, beta: Array, eps: float, y: Array, mu: Array, r: Array) -> None:
    n, C = x.shape
    for m in range(C):
        for e in range(n):
            mu[m] += x[e, m] / n
        v = x.dtype.type(0)
        for e in range(n):
            c = x[e, m] - mu[m]
            v += c * c / n
        r[m] = 1 / np.sqrt(v + eps)
        for e in range(n):
            h = (x[e, m] - mu[m]) * r[m]
            y[e, m] = gamma[m] * h + beta[m]


@jit
def _train_loops_backward(dy: Array, x: Array, gamma: Array, mu: Array, r: Array, dx: Array, dgamma: Array,
                          dbeta: Array) -> None:  # fmt: skip
    n, C = x.shape
    for m in range(C):
        dr = dmu = x.dtype.type(0)
        for e in range(n):
            c = x[e, m] - mu[m]
            dbeta[m] += dy[e, m]
            dgamma[m] += dy[e, m] * (c * r[m])
            dr += gamma[m] * dy[e, m] * c
        dv = -r[m] * r[m] * r[m] / 2 * dr
        for e in range(n):
            c = x[e, m] - mu[m]
            dx[e, m] = r[m] * (gamma[m] * dy[e, m]) + 2 * c / n * dv
            dmu -= dx[e, m]
        for e in range(n):
            dx[e, m] += dmu / n


@jit
def _eval_loops(x: Array, gamma: Array, beta: Array, mu: Array, r: Array, y: Array) -> None:
    for e in range(len(x)):
        for m in range(x.shape[1]):
            y[e, m] = gamma[m] * ((x[e, m] - mu[m]) * r[m]) + beta[m]


@jit
def _eval_loops_backward(dy: Array, x: Array, gamma: Array, mu: Array, r: Array, dx: Array, dgamma: Array,
                         dbeta: Array) -> None:  # fmt: skip
    for e in range(len(x)):
        for m in range(x.shape[1]):
            dbeta[m] += dy[e, m]
            dgamma[m] += dy[e, m] * ((x[e, m] - mu[m]) * r[m])
            dx[e, m] = gamma[m] * r[m] * dy[e, m]


# -- numpy: (1) to (6), and (7) or (8) ---------------------------------------------------------------------------------


def _train_numpy(x: Array, gamma: Array, beta: Array, eps: float, y: Array, mu: Array, r: Array) -> None:
    # Summed in float64, as the kernels do: down a column NumPy adds one by one, in float32 an error that grows with n.
    np.mean(x, 0, dtype=np.float64, out=mu)
    r[...] = 1 / np.sqrt(np.mean((x - mu) ** 2, 0, dtype=np.float64) + eps)
    y[...] = gamma * ((x - mu) * r) + beta


def _train_numpy_backward(dy: Array, x: Array, gamma: Array, mu: Array, r: Array, dx: Array, dgamma: Array,
                          dbeta: Array) -> None:  # fmt: skip
    h = (x - mu) * r
    np.sum(dy, 0, dtype=np.float64, out=dbeta)
    np.sum(dy * h, 0, dtype=np.float64, out=dgamma)
    dx[...] = gamma * r * (dy - dbeta / len(x) - h * (dgamma / len(x)))


def _eval_numpy(x: Array, gamma: Array, beta: Array, mu: Array, r: Array, y: Array) -> None:
    y[...] = gamma * ((x - mu) * r) + beta


def _eval_numpy_backward(dy: Array, x: Array, gamma: Array, mu: Array, r: Array, dx: Array, dgamma: Array,
                         dbeta: Array) -> None:  # fmt: skip
    np.sum(dy, 0, dtype=np.float64, out=dbeta)
    np.sum(dy * ((x - mu) * r), 0, dtype=np.float64, out=dgamma)
    dx[...] = gamma * r * dy


# -- the public functions ----------------------------------------------------------------------------------------------


@replaceable
def batch_norm_train(x: Array, weight: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """Normalise each channel by the mean and variance of this batch: y = gamma (x - mu) / sqrt(v + eps) + beta.

    The variance v is the biased one (divided by n); what PyTorch stores as running variance is the unbiased one,
    n / (n - 1) v. The networks' layers keep the running statistics; this function has no state.

    Parameters
    ----------
    x
        (..., C), float32 or float64; at least two values for each channel, as in PyTorch.
    weight, bias
        gamma and beta, (C,), of the same dtype.
    eps
        Added to the variance; greater than 0.

    Returns
    -------
    out
        y, of the shape and dtype of `x`.
    mean
        mu, (C,).
    inv_std
        r = 1 / sqrt(v + eps), (C,).

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> out, mean, inv_std = batch_norm_train(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), eps=1e-12)
    >>> out.ravel(), mean, inv_std
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    x, weight, bias = _arguments(x, weight=weight, bias=bias)
    _two_values(x)
    eps = _eps(eps, x.dtype)
    out, mean, inv_std = np.empty_like(x), np.zeros_like(weight), np.zeros_like(weight)
    arguments = _rows(x), weight, bias, eps, _rows(out), mean, inv_std
    choose(loops=_train_loops, numpy=_train_numpy, numba=kernel.train)(*arguments)
    return out, mean, inv_std


@replaceable
def batch_norm_train_backward(
    dout: Array, x: Array, weight: Array, mean: Array, inv_std: Array
) -> tuple[Array, Array, Array]:
    """Return the gradients of `batch_norm_train`: equation (7) at the top of this file.

    ::

        dbeta = sum dy,    dgamma = sum dy h,    dx = gamma r (dy - dbeta / n - h dgamma / n),    h = (x - mu) r

    Parameters
    ----------
    dout
        dy, of the shape of `x`: the gradient of the loss by the output.
    x, weight
        As they were given to `batch_norm_train`.
    mean, inv_std
        What it returned.

    Returns
    -------
    dx, dweight, dbias
        Of the shapes of `x`, `weight` and `weight`.

    Raises
    ------
    TypeError, ValueError
        As `batch_norm_train`; also where `dout` has not the shape or dtype of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.array([[1.0], [3.0], [8.0]]), np.ones(1)
    >>> _, mean, inv_std = batch_norm_train(x, weight, np.zeros(1))
    >>> dx, dweight, dbias = batch_norm_train_backward(np.ones((3, 1)), x, weight, mean, inv_std)
    >>> bool(abs(dx).max() < 1e-15)  # the same gradient everywhere is a shift of y, which no x can give
    True
    """
    x, weight, mean, inv_std = _arguments(x, weight=weight, mean=mean, inv_std=inv_std)
    _two_values(x)
    dout = _check.upstream(dout, x.shape, x.dtype)
    dx, dweight, dbias = np.empty_like(x), np.zeros_like(weight), np.zeros_like(weight)
    arguments = _rows(dout), _rows(x), weight, mean, inv_std, _rows(dx), dweight, dbias
    choose(loops=_train_loops_backward, numpy=_train_numpy_backward, numba=kernel.train_backward)(*arguments)
    return dx, dweight, dbias


@replaceable
def batch_norm_eval(
    x: Array, weight: Array, bias: Array, running_mean: Array, running_var: Array, *, eps: float = 1e-5
) -> Array:
    """Normalise each channel by statistics that are given: y = gamma (x - mu) / sqrt(v + eps) + beta.

    Parameters
    ----------
    x
        (..., C), float32 or float64.
    weight, bias, running_mean, running_var
        gamma, beta, mu and v, (C,), of the same dtype.
    eps
        Added to the variance; greater than 0.

    Returns
    -------
    out
        y, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> batch_norm_eval(np.array([[5.0]]), one, one, running_mean=one, running_var=4 * one, eps=1e-12)
    array([[3.]])
    """
    x, weight, bias, running_mean, running_var = _arguments(
        x, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    inv_std, out = _inv_std(running_var, eps), np.empty_like(x)
    arguments = _rows(x), weight, bias, running_mean, inv_std, _rows(out)
    choose(loops=_eval_loops, numpy=_eval_numpy, numba=kernel.evaluate)(*arguments)
    return out


@replaceable
def batch_norm_eval_backward(
    dout: Array, x: Array, weight: Array, running_mean: Array, running_var: Array, *, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Return the gradients of `batch_norm_eval`, in which the statistics are constants: equation (8) above.

    Parameters
    ----------
    dout
        dy, of the shape of `x`: the gradient of the loss by the output.
    x, weight, running_mean, running_var, eps
        As they were given to `batch_norm_eval`.

    Returns
    -------
    dx, dweight, dbias
        Of the shapes of `x`, `weight` and `weight`.

    Raises
    ------
    TypeError, ValueError
        As `batch_norm_eval`; also where `dout` has not the shape or dtype of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> dy, x = np.array([[6.0]]), np.array([[5.0]])
    >>> dx, dweight, dbias = batch_norm_eval_backward(dy, x, one, one, 4 * one, eps=1e-12)
    >>> round(dx.item(), 9), round(dweight.item(), 9), dbias.item()
    (3.0, 12.0, 6.0)
    """
    x, weight, running_mean, running_var = _arguments(
        x, weight=weight, running_mean=running_mean, running_var=running_var
    )
    dout = _check.upstream(dout, x.shape, x.dtype)
    inv_std = _inv_std(running_var, eps)
    dx, dweight, dbias = np.empty_like(x), np.zeros_like(weight), np.zeros_like(weight)
    arguments = _rows(dout), _rows(x), weight, running_mean, inv_std, _rows(dx), dweight, dbias
    choose(loops=_eval_loops_backward, numpy=_eval_numpy_backward, numba=kernel.evaluate_backward)(*arguments)
    return dx, dweight, dbias


def _rows(x: Array) -> Array:
    """(..., C) -> (n, C), a view."""
    return x.reshape(-1, x.shape[-1])


def _eps(eps: float, dtype: np.dtype[Any]) -> float:
    """Return eps in the dtype of the data, where it must still be greater than 0."""
    rounded: float = dtype.type(_check.number("eps", eps, least=0.0, strictly=True))
    if rounded == 0:
        raise ValueError(f"`eps` (={eps}) must be greater than 0, and is 0 in {dtype}")
    return rounded


def _inv_std(running_var: Array, eps: float) -> Array:
    if (running_var < 0).any():
        raise ValueError(f"`running_var` must not be negative, and has the value {running_var.min()}")
    inverse: Array = 1 / np.sqrt(running_var + _eps(eps, running_var.dtype))
    return inverse


def _two_values(x: Array) -> None:
    n = x.size // x.shape[-1]
    if n < 2:
        raise ValueError(f"`x` must have at least 2 values for each channel in training, and has {n}: shape {x.shape}")


def _arguments(x: Array, **per_channel: Array) -> list[Array]:
    """Check x (..., C), and that each of the others is (C,)."""
    checked = _check.arrays(("x", x, "..."), *((name, value, "C") for name, value in per_channel.items()))
    _check.channels("x", checked[0].shape)
    for name, value in zip(per_channel, checked[1:], strict=True):
        _check.shape(name, value, checked[0].shape[-1:], "one value for each channel of `x`")
    return checked
