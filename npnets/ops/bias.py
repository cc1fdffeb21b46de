"""A bias for each channel, forward and backward.

::

    G[..., n] = F[..., n] + b[n]                                                            (1)

The papers' convolutions have none, since the batch norm after each of them takes away any shift. b[n] is in each output
of channel n with the factor 1, and so is each input::

    db[n] = sum over all but the last axis of dG[..., n],     dF = dG                       (2)
"""

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import elementwise as kernel
from npnets.ops._replace import replaceable


@jit
def _loops(F: Array, b: Array, G: Array) -> None:
    for p in range(len(F)):
        for n in range(len(b)):
            G[p, n] = F[p, n] + b[n]


@jit
def _loops_dbias(dG: Array, db: Array) -> None:
    for n in range(len(db)):
        for p in range(len(dG)):
            db[n] += dG[p, n]


def _numpy(x: Array, bias: Array, out: Array) -> None:
    np.add(x, bias, out=out)


def _numpy_dbias(dout: Array, dbias: Array) -> None:
    np.sum(dout, 0, out=dbias)


def _rows(x: Array) -> Array:
    """(..., N) -> (P, N), a view."""
    return x.reshape(-1, x.shape[-1])


@replaceable
def bias_add(x: Array, bias: Array) -> Array:
    """Add to each channel its bias: G[..., n] = F[..., n] + b[n].

    Parameters
    ----------
    x
        F, (..., N), float32 or float64; channels last.
    bias
        b, (N,), of the same dtype.

    Returns
    -------
    out
        G, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> bias_add(np.zeros((2, 3)), np.array([1.0, 2.0, 3.0]))
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """
    x, bias = _check.arrays(("x", x, "..."), ("bias", bias, "N"))
    _check.channels("x", x.shape)
    _check.shape("bias", bias, x.shape[-1:], "one value for each channel of `x`")
    out = np.empty_like(x)
    choose(loops=_loops, numpy=_numpy, numba=kernel.bias_add)(_rows(x), bias, _rows(out))
    return out


@replaceable
def bias_add_backward(dout: Array) -> tuple[Array, Array]:
    """Return the gradients of `bias_add`: dF = dG, and db[n] = the sum of dG[..., n].

    Parameters
    ----------
    dout
        dG, (..., N): the gradient of the loss by the output.

    Returns
    -------
    dx
        dF, a copy of `dout`.
    dbias
        db, (N,).

    Raises
    ------
    TypeError, ValueError
        `dout` is not a float32 or float64 array with at least one axis and channel.

    Examples
    --------
    >>> import numpy as np
    >>> dx, dbias = bias_add_backward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> dbias
    array([4., 6.])
    """
    dout = _check.array("dout", dout, "...")
    _check.channels("dout", dout.shape)
    dbias = np.zeros(dout.shape[-1], dout.dtype)
    choose(loops=_loops_dbias, numpy=_numpy_dbias, numba=kernel.column_sums)(_rows(dout), dbias)
    return dout.copy(), dbias
