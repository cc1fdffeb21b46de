"""Activations, element by element: ReLU, ReLU6, LeakyReLU, forward and backward.

======================  =========================  ==============================================
activation              G                          dF
======================  =========================  ==============================================
relu                    max(F, 0)                  dG where F > 0, else 0
relu6                   min(max(F, 0), 6)          dG where 0 < F < 6, else 0
leaky_relu (slope a)    F where F > 0, else a F    dG where F > 0, else a dG
======================  =========================  ==============================================

At the kinks, where there is no derivative, the choice is PyTorch's: 0 for relu at 0 and for relu6 at 0 and 6, the slope
for leaky_relu at 0. NaN stays NaN on the way forward and lets dG through on the way back (for leaky_relu a dG), again
as in PyTorch (where relu6 gives 0 instead in long tensors, its issue 195075): a NaN should be seen, not hidden. An
input of any shape will do.
"""

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import elementwise as kernel
from npnets.ops._replace import replaceable

# -- relu --------------------------------------------------------------------------------------------------------------


@jit
def _relu_loops(F: Array, G: Array) -> None:
    for e in range(F.size):
        G[e] = 0.0 if F[e] <= 0.0 else F[e]


@jit
def _relu_loops_dx(dG: Array, F: Array, dF: Array) -> None:
    for e in range(F.size):
        dF[e] = 0.0 if F[e] <= 0.0 else dG[e]


def _relu_numpy(F: Array, G: Array) -> None:
    np.maximum(F, 0, out=G)


def _relu_numpy_dx(dG: Array, F: Array, dF: Array) -> None:
    dF[:] = np.where(F <= 0, 0, dG)


@replaceable
def relu(x: Array) -> Array:
    """Return max(x, 0).

    Parameters
    ----------
    x
        F, of any shape, float32 or float64.

    Returns
    -------
    out
        G, of the shape and dtype of `x`. NaN stays NaN.

    Raises
    ------
    TypeError
        `x` is not a float32 or float64 array.

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    x = _check.array("x", x, "...")
    out = np.empty_like(x)
    choose(loops=_relu_loops, numpy=_relu_numpy, numba=kernel.relu)(x.ravel(), out.reshape(-1))
    return out


@replaceable
def relu_backward(dout: Array, x: Array) -> Array:
    """Return the gradient dx of `relu`: dout where x > 0, else 0 (also at 0).

    `x` may be the input or the output of `relu`: both are positive in the same places, so a network keeps only one.

    Parameters
    ----------
    dout
        dG, of the shape of `x`: the gradient of the loss by the output.
    x
        F, or G.

    Returns
    -------
    dx
        dF, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        `x` or `dout` is not a float32 or float64 array, or they differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> relu_backward(np.array([5.0, 5.0, 5.0]), np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 5.])
    """
    x = _check.array("x", x, "...")
    dout = _check.upstream(dout, x.shape, x.dtype)
    dx = np.empty_like(x)
    run = choose(loops=_relu_loops_dx, numpy=_relu_numpy_dx, numba=kernel.relu_backward)
    run(dout.ravel(), x.ravel(), dx.reshape(-1))
    return dx


# -- relu6 -------------------------------------------------------------------------------------------------------------


@jit
def _relu6_loops(F: Array, G: Array) -> None:
    for e in range(F.size):
        G[e] = 0.0 if F[e] <= 0.0 else 6.0 if F[e] >= 6.0 else F[e]


@jit
def _relu6_loops_dx(dG: Array, F: Array, dF: Array) -> None:
    for e in range(F.size):
        dF[e] = 0.0 if F[e] <= 0.0 or F[e] >= 6.0 else dG[e]


def _relu6_numpy(F: Array, G: Array) -> None:
    np.clip(F, 0, 6, out=G)


def _relu6_numpy_dx(dG: Array, F: Array, dF: Array) -> None:
    dF[:] = np.where((F <= 0) | (F >= 6), 0, dG)


@replaceable
def relu6(x: Array) -> Array:
    """Return min(max(x, 0), 6): the activation of TensorFlow's MobileNets.

    Parameters
    ----------
    x
        F, of any shape, float32 or float64.

    Returns
    -------
    out
        G, of the shape and dtype of `x`. NaN stays NaN.

    Raises
    ------
    TypeError
        `x` is not a float32 or float64 array.

    Examples
    --------
    >>> import numpy as np
    >>> relu6(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """
    x = _check.array("x", x, "...")
    out = np.empty_like(x)
    choose(loops=_relu6_loops, numpy=_relu6_numpy, numba=kernel.relu6)(x.ravel(), out.reshape(-1))
    return out


@replaceable
def relu6_backward(dout: Array, x: Array) -> Array:
    """Return the gradient dx of `relu6`: dout where 0 < x < 6, else 0 (also at 0 and at 6).

    `x` may be the input or the output of `relu6`: both are between 0 and 6 in the same places.

    Parameters
    ----------
    dout
        dG, of the shape of `x`: the gradient of the loss by the output.
    x
        F, or G.

    Returns
    -------
    dx
        dF, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        `x` or `dout` is not a float32 or float64 array, or they differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> relu6_backward(np.array([5.0, 5.0, 5.0]), np.array([0.0, 2.0, 6.0]))
    array([0., 5., 0.])
    """
    x = _check.array("x", x, "...")
    dout = _check.upstream(dout, x.shape, x.dtype)
    dx = np.empty_like(x)
    run = choose(loops=_relu6_loops_dx, numpy=_relu6_numpy_dx, numba=kernel.relu6_backward)
    run(dout.ravel(), x.ravel(), dx.reshape(-1))
    return dx


# -- leaky_relu --------------------------------------------------------------------------------------------------------


@jit
def _leaky_relu_loops(F: Array, G: Array, a: float) -> None:
    for e in range(F.size):
        G[e] = F[e] if F[e] > 0.0 else a * F[e]


@jit
def _leaky_relu_loops_dx(dG: Array, F: Array, dF: Array, a: float) -> None:
    for e in range(F.size):
        dF[e] = dG[e] if F[e] > 0.0 else a * dG[e]


def _leaky_relu_numpy(F: Array, G: Array, a: float) -> None:
    G[...] = np.where(F > 0, F, a * F)


def _leaky_relu_numpy_dx(dG: Array, F: Array, dF: Array, a: float) -> None:
    dF[:] = np.where(F > 0, dG, a * dG)


@replaceable
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Return x where x > 0, else negative_slope x.

    Parameters
    ----------
    x
        F, of any shape, float32 or float64.
    negative_slope
        a; at least 0, so that the sign of the output is the sign of the input.

    Returns
    -------
    out
        G, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        `x` is not a float32 or float64 array, or the slope is negative.

    Examples
    --------
    >>> import numpy as np
    >>> leaky_relu(np.array([-1.0, 0.0, 2.0]), 0.5)
    array([-0.5,  0. ,  2. ])
    """
    x, slope = _check.array("x", x, "..."), _slope(negative_slope)
    a, out = x.dtype.type(slope), np.empty_like(x)
    choose(loops=_leaky_relu_loops, numpy=_leaky_relu_numpy, numba=kernel.leaky_relu)(x.ravel(), out.reshape(-1), a)
    return out


@replaceable
def leaky_relu_backward(dout: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """Return the gradient dx of `leaky_relu`: dout where x > 0, else negative_slope dout (also at 0).

    `x` may be the input or the output of `leaky_relu`: both are positive in the same places.

    Parameters
    ----------
    dout
        dG, of the shape of `x`: the gradient of the loss by the output.
    x
        F, or G.
    negative_slope
        a, as it was given to `leaky_relu`.

    Returns
    -------
    dx
        dF, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        `x` or `dout` is not a float32 or float64 array, they differ in shape or dtype, or the slope is negative.

    Examples
    --------
    >>> import numpy as np
    >>> leaky_relu_backward(np.array([4.0, 4.0, 4.0]), np.array([-1.0, 0.0, 2.0]), 0.5)
    array([2., 2., 4.])
    """
    x, slope = _check.array("x", x, "..."), _slope(negative_slope)
    dout = _check.upstream(dout, x.shape, x.dtype)
    a, dx = x.dtype.type(slope), np.empty_like(x)
    run = choose(loops=_leaky_relu_loops_dx, numpy=_leaky_relu_numpy_dx, numba=kernel.leaky_relu_backward)
    run(dout.ravel(), x.ravel(), dx.reshape(-1), a)
    return dx


def _slope(negative_slope: float) -> float:
    return _check.number("negative_slope", negative_slope, least=0.0)
