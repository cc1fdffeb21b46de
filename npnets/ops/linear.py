"""Linear (fully connected) layer, forward and backward.

::

    G[b,n] = sum_m K[m,n] F[b,m] + v[n]                                                     (1)

======  =========  ===================
symbol  in Python  what it is
======  =========  ===================
F       x          input (B, M)
K       weight     matrix (M, N)
v       bias       (N,)
G       out        output (B, N)
======  =========  ===================

The gradients: K[m,n] is in output n of each row with the factor F[b,m], F[b,m] in all outputs of its row with K[m,n],
v[n] in output n of each row with 1::

    dK[m,n] = sum_b F[b,m] dG[b,n],    dF[b,m] = sum_n K[m,n] dG[b,n],    dv[n] = sum_b dG[b,n]     (2)
"""

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import elementwise
from npnets.kernels import pointwise as kernel
from npnets.ops._replace import replaceable


@jit
def _loops(F: Array, K: Array, v: Array, G: Array) -> None:
    M, N = K.shape
    for b in range(len(F)):
        for n in range(N):
            for m in range(M):
                G[b, n] += K[m, n] * F[b, m]
            G[b, n] += v[n]


@jit
def _loops_backward(dG: Array, F: Array, K: Array, dF: Array, dK: Array, dv: Array) -> None:
    M, N = K.shape
    for m in range(M):
        for n in range(N):
            for b in range(len(F)):
                dK[m, n] += F[b, m] * dG[b, n]
    for b in range(len(F)):
        for m in range(M):
            for n in range(N):
                dF[b, m] += K[m, n] * dG[b, n]
    for n in range(N):
        for b in range(len(F)):
            dv[n] += dG[b, n]


def _numpy(x: Array, weight: Array, bias: Array, out: Array) -> None:
    np.add(x @ weight, bias, out=out)  # (B, M) @ (M, N) + (N,)


def _numpy_backward(dout: Array, x: Array, weight: Array, dx: Array, dweight: Array, dbias: Array) -> None:
    np.matmul(dout, weight.T, out=dx)  # (B, N) @ (N, M)
    np.matmul(x.T, dout, out=dweight)  # (M, B) @ (B, N)
    np.sum(dout, 0, out=dbias)


def _numba(x: Array, weight: Array, bias: Array, out: Array) -> None:
    kernel.forward(x, weight, out, 1)
    elementwise.bias_add(out, bias, out)


def _numba_backward(dout: Array, x: Array, weight: Array, dx: Array, dweight: Array, dbias: Array) -> None:
    kernel.backward_x(dout, weight, dx, 1)
    kernel.backward_weight(dout, x, dweight, 1)
    elementwise.column_sums(dout, dbias)


@replaceable
def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Multiply by a matrix and add a bias: G[b,n] = sum_m K[m,n] F[b,m] + v[n].

    Parameters
    ----------
    x
        F, (B, M), float32 or float64.
    weight
        K, (M, N), of the same dtype (PyTorch's is (N, M)).
    bias
        v, (N,), of the same dtype.

    Returns
    -------
    out
        G, (B, N), in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([10.0, 20.0]))
    array([[11., 26.]])
    """
    x, weight, bias = _arguments(x, weight, bias)
    out = np.zeros((len(x), len(bias)), x.dtype)
    choose(loops=_loops, numpy=_numpy, numba=_numba)(x, weight, bias, out)
    return out


@replaceable
def linear_backward(dout: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of `linear`.

    ::

        dF[b,m] = sum_n K[m,n] dG[b,n],    dK[m,n] = sum_b F[b,m] dG[b,n],    dv[n] = sum_b dG[b,n]

    Parameters
    ----------
    dout
        dG, (B, N): the gradient of the loss by the output.
    x, weight
        As they were given to `linear`.

    Returns
    -------
    dx, dweight, dbias
        dF, dK and dv, of the shapes of `x`, `weight` and the bias.

    Raises
    ------
    TypeError, ValueError
        As `linear`; also where `dout` has not the output's shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> dx, dweight, dbias = linear_backward(np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([[4.0, 5.0]]))
    >>> dx, dweight, dbias
    (array([[14.]]), array([[3., 6.]]), array([1., 2.]))
    """
    x, weight = _arguments(x, weight)
    dout = _check.upstream(dout, (len(x), weight.shape[1]), x.dtype)
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros(weight.shape[1], x.dtype)
    run = choose(loops=_loops_backward, numpy=_numpy_backward, numba=_numba_backward)
    run(dout, x, weight, dx, dweight, dbias)
    return dx, dweight, dbias


def _arguments(x: Array, weight: Array, *bias: Array) -> list[Array]:
    x, weight, *biases = _check.arrays(
        ("x", x, "B M"), ("weight", weight, "M N"), *(("bias", one, "N") for one in bias)
    )
    _check.kernel("weight", weight.shape)
    if len(weight) != x.shape[1]:
        raise ValueError(
            f"`weight` (M, N) of shape {weight.shape} takes {len(weight)} inputs, "
            f"and `x` (B, M) of shape {x.shape} has {x.shape[1]}"
        )
    for one in biases:
        _check.shape("bias", one, weight.shape[1:], "one value for each column of `weight`")
    return [x, weight, *biases]
