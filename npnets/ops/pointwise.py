r"""Pointwise (1 x 1) convolution, with groups, forward and backward.

The formula (MobileNets, section 3.1; with g groups ShuffleNet, section 3.1), pixel by pixel a matrix product::

    G[b,k,l,n] = sum_m K[m,n] F[b, k, l, q(n) + m]                                          (1)

======  =========  ===========================================================================
symbol  in Python  what it is
======  =========  ===========================================================================
F       x          input feature map (B, H, W, C)
K       weight     matrix (M, N), M = C / g input channels seen by each of N outputs
G       out        output feature map (B, H, W, N)
q(n)               first input channel of the group of n: floor(n / (N/g)) M; 0 when g = 1
======  =========  ===========================================================================

The gradients: K[m,n] is in output n of every pixel, F[b,k,l,q] in all outputs of its pixel and group::

    dK[m,n]     = sum_{b,k,l} F[b, k, l, q(n) + m] dG[b,k,l,n]                              (2)
    dF[b,k,l,q] = sum_n K[q mod M, n] dG[b,k,l,n],  n over the outputs of q's group         (3)

As matrices, with one row for each pixel and g = 1: G = F K, dK = F^T dG, dF = dG K^T.
"""

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import pointwise as kernel
from npnets.ops._replace import replaceable

# -- loops: (1), (2), (3), index for index -----------------------------------------------------------------------------


@jit
def _loops(F: Array, K: Array, G: Array, g: int) -> None:
    B, H, W, N = G.shape
    M = len(K)
    for b in range(B):
        for k in range(H):
            for l in range(W):
                for n in range(N):
                    q = n // (N // g) * M
                    for m in range(M):
                        G[b, k, l, n] += K[m, n] * F[b, k, l, q + m]


@jit
def _loops_dweight(dG: Array, F: Array, dK: Array, g: int) -> None:
    B, H, W, N = dG.shape
    for m in range(len(dK)):
        for n in range(N):
            q = n // (N // g) * len(dK)
            for b in range(B):
                for k in range(H):
                    for l in range(W):
                        dK[m, n] += F[b, k, l, q + m] * dG[b, k, l, n]


@jit
def _loops_dx(dG: Array, K: Array, dF: Array, g: int) -> None:
    B, H, W, C = dF.shape
    M, N = K.shape
    for b in range(B):
        for k in range(H):
            for l in range(W):
                for q in range(C):
                    first = q // M * (N // g)
                    for n in range(first, first + N // g):
                        dF[b, k, l, q] += K[q % M, n] * dG[b, k, l, n]


# -- numpy: one product of matrices for each group ---------------------------------------------------------------------


def _numpy(x: Array, weight: Array, out: Array, g: int) -> None:
    x, weight, out = _by_group(_pixels(x), g), _by_group(weight, g), _by_group(_pixels(out), g)
    for a in range(g):
        out[:, a] = x[:, a] @ weight[:, a]  # (BHW, M) @ (M, N/g)


def _numpy_dweight(dout: Array, x: Array, dweight: Array, g: int) -> None:
    x, dout, dweight = _by_group(_pixels(x), g), _by_group(_pixels(dout), g), _by_group(dweight, g)
    for a in range(g):
        dweight[:, a] = x[:, a].T @ dout[:, a]  # (M, BHW) @ (BHW, N/g)


def _numpy_dx(dout: Array, weight: Array, dx: Array, g: int) -> None:
    dout, weight, dx = _by_group(_pixels(dout), g), _by_group(weight, g), _by_group(_pixels(dx), g)
    for a in range(g):
        dx[:, a] = dout[:, a] @ weight[:, a].T  # (BHW, N/g) @ (N/g, M)


def _by_group(values: Array, g: int) -> Array:
    """(..., C) -> (..., g, C / g), a view."""
    return values.reshape(*values.shape[:-1], g, values.shape[-1] // g)


def _pixels(maps: Array) -> Array:
    """(B, H, W, C) -> (B H W, C), a view."""
    return maps.reshape(-1, maps.shape[3])


# -- numba: the kernels know pixels ------------------------------------------------------------------------------------


def _numba(x: Array, weight: Array, out: Array, g: int) -> None:
    kernel.forward(_pixels(x), weight, _pixels(out), g)


def _numba_dweight(dout: Array, x: Array, dweight: Array, g: int) -> None:
    kernel.backward_weight(_pixels(dout), _pixels(x), dweight, g)


def _numba_dx(dout: Array, weight: Array, dx: Array, g: int) -> None:
    kernel.backward_x(_pixels(dout), weight, _pixels(dx), g)


# -- the public functions ----------------------------------------------------------------------------------------------


@replaceable
def pointwise_conv2d(x: Array, weight: Array, *, groups: int = 1) -> Array:
    """Mix the channels of each pixel: G[b,k,l,n] = sum_m K[m,n] F[b, k, l, q(n) + m].

    MobileNets, section 3.1; with groups ShuffleNet's pointwise group convolution. It costs (C/g) N H W mult-adds an
    image.

    Parameters
    ----------
    x
        F, (B, H, W, C), float32 or float64.
    weight
        K, (C/groups, N), of the same dtype. Output channel n belongs to group n // (N/groups).
    groups
        g; divides C and N.

    Returns
    -------
    out
        G, (B, H, W, N), in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 10.0, 20.0]).reshape(1, 1, 1, 4)
    >>> pointwise_conv2d(x, np.ones((4, 1))).ravel()
    array([33.])
    >>> pointwise_conv2d(x, np.ones((2, 2)), groups=2).ravel()
    array([ 3., 30.])
    """
    x, weight, g = _arguments(x, weight, groups)
    out = np.zeros((*x.shape[:3], weight.shape[1]), x.dtype)
    choose(loops=_loops, numpy=_numpy, numba=_numba)(x, weight, out, g)
    return out


@replaceable
def pointwise_conv2d_backward(dout: Array, x: Array, weight: Array, *, groups: int = 1) -> tuple[Array, Array]:
    """Return the gradients of `pointwise_conv2d`: equations (3) and (2) at the top of this file.

    ::

        dF[b,k,l,q] = sum_n K[q mod M, n] dG[b,k,l,n]
        dK[m,n]     = sum_{b,k,l} F[b, k, l, q(n) + m] dG[b,k,l,n]

    Parameters
    ----------
    dout
        dG, (B, H, W, N): the gradient of the loss by the output.
    x, weight, groups
        As they were given to `pointwise_conv2d`.

    Returns
    -------
    dx
        dF, of the shape of `x`.
    dweight
        dK, of the shape of `weight`.

    Raises
    ------
    TypeError, ValueError
        As `pointwise_conv2d`; also where `dout` has not the output's shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.array([[[[1.0, 2.0]]]]), np.array([[3.0], [4.0]])
    >>> dx, dweight = pointwise_conv2d_backward(np.full((1, 1, 1, 1), 10.0), x, weight)
    >>> dx.ravel(), dweight.ravel()
    (array([30., 40.]), array([10., 20.]))
    """
    x, weight, g = _arguments(x, weight, groups)
    dout = _check.upstream(dout, (*x.shape[:3], weight.shape[1]), x.dtype)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    choose(loops=_loops_dx, numpy=_numpy_dx, numba=_numba_dx)(dout, weight, dx, g)
    choose(loops=_loops_dweight, numpy=_numpy_dweight, numba=_numba_dweight)(dout, x, dweight, g)
    return dx, dweight


def _arguments(x: Array, weight: Array, groups: int) -> tuple[Array, Array, int]:
    x, weight = _check.arrays(("x", x, "B H W C"), ("weight", weight, "C/groups N"))
    _check.image("x", x.shape)
    _check.kernel("weight", weight.shape)
    g = _check.groups(groups, x.shape[3], weight.shape[1])
    if len(weight) * g != x.shape[3]:
        raise ValueError(
            f"`weight` (C/groups, N) of shape {weight.shape} with `groups` (={g}) "
            f"takes {len(weight) * g} input channels, and `x` (B, H, W, C) of shape {x.shape} has {x.shape[3]}"
        )
    return x, weight, g
