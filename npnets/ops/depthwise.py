r"""Depthwise convolution, forward and backward.

The formula (MobileNets, arXiv 1704.04861, equation 3), counted from 0, with stride s, padding p and dilation d::

    G[b,k,l,m] = sum_{i,j} K[i,j,m] F[b, s k + d i - p, s l + d j - p, m]                   (1)

======  =========  =================================================
symbol  in Python  what it is
======  =========  =================================================
F       x          input feature map (B, H, W, M); 0 outside
K       weight     one kernel for each channel (KH, KW, M)
G       out        output feature map (B, H', W', M)
======  =========  =================================================

It is the convolution of `conv2d` with as many groups as channels; what the paper writes with a hat, K^ and G^, is K and
G.

The gradients, from the chain rule as in `conv2d`. K[i,j,m] is once in each output of channel m; F[b,r,c,m] is in the
outputs of its own channel whose window covers the pixel (r, c), at most once for each (i, j)::

    dK[i,j,m]   = sum_{b,k,l} dG[b,k,l,m] F[b, s k + d i - p, s l + d j - p, m]             (2)
    dF[b,r,c,m] = sum_{i,j} K[i,j,m] dG[b, (r + p - d i)/s, (c + p - d j)/s, m]             (3)
                  only where both quotients are whole and inside of G

For s = d = 1, (3) is again a depthwise convolution: of dG, padded by KH - 1 - p, with the kernel turned by 180 degrees.
"""

import numpy as np

from npnets import _check
from npnets._check import Array, Ints, Padding, Pair, Window
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import depthwise as kernel
from npnets.ops._replace import replaceable
from npnets.ops._taps import crop, pad, tap

# -- loops: (1), (2), (3), index for index -----------------------------------------------------------------------------


@jit
def _loops(F: Array, K: Array, G: Array, s: Ints, p: Ints, d: Ints) -> None:
    B, H, W, _ = F.shape
    KH, KW, M = K.shape
    for b in range(B):
        for k in range(G.shape[1]):
            for l in range(G.shape[2]):
                for m in range(M):
                    for i in range(KH):
                        for j in range(KW):
                            r, c = s[0] * k + d[0] * i - p[0], s[1] * l + d[1] * j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                G[b, k, l, m] += K[i, j, m] * F[b, r, c, m]


@jit
def _loops_dweight(dG: Array, F: Array, dK: Array, s: Ints, p: Ints, d: Ints) -> None:
    B, H, W, _ = F.shape
    KH, KW, M = dK.shape
    for i in range(KH):
        for j in range(KW):
            for m in range(M):
                for b in range(B):
                    for k in range(dG.shape[1]):
                        for l in range(dG.shape[2]):
                            r, c = s[0] * k + d[0] * i - p[0], s[1] * l + d[1] * j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                dK[i, j, m] += dG[b, k, l, m] * F[b, r, c, m]


@jit
def _loops_dx(dG: Array, K: Array, dF: Array, s: Ints, p: Ints, d: Ints) -> None:
    B, H, W, M = dF.shape
    KH, KW, _ = K.shape
    for b in range(B):
        for r in range(H):
            for c in range(W):
                for m in range(M):
                    for i in range(KH):
                        for j in range(KW):
                            k, l = (r + p[0] - d[0] * i) // s[0], (c + p[1] - d[1] * j) // s[1]
                            met = s[0] * k + d[0] * i - p[0] == r and s[1] * l + d[1] * j - p[1] == c
                            if met and 0 <= k < dG.shape[1] and 0 <= l < dG.shape[2]:
                                dF[b, r, c, m] += K[i, j, m] * dG[b, k, l, m]


# -- numpy: one elementwise product for each kernel entry (i, j) -------------------------------------------------------


def _numpy(x: Array, weight: Array, out: Array, s: Ints, p: Ints, d: Ints) -> None:
    sides = out.shape[1:3]
    padded = pad(x, weight.shape[:2], sides, s, p, d)
    for i, j in np.ndindex(weight.shape[:2]):
        out += padded[tap(i, j, sides, s, d)] * weight[i, j]  # (B, H', W', M) * (M,)


def _numpy_dweight(dout: Array, x: Array, dweight: Array, s: Ints, p: Ints, d: Ints) -> None:
    sides = dout.shape[1:3]
    padded = pad(x, dweight.shape[:2], sides, s, p, d)
    for i, j in np.ndindex(dweight.shape[:2]):
        dweight[i, j] = np.einsum("bklm,bklm->m", dout, padded[tap(i, j, sides, s, d)])


def _numpy_dx(dout: Array, weight: Array, dx: Array, s: Ints, p: Ints, d: Ints) -> None:
    sides = dout.shape[1:3]
    dpadded = pad(dx, weight.shape[:2], sides, s, p, d)
    for i, j in np.ndindex(weight.shape[:2]):
        dpadded[tap(i, j, sides, s, d)] += dout * weight[i, j]  # (B, H', W', M) * (M,)
    dx[...] = crop(dpadded, dx.shape, p)


# -- the public functions ----------------------------------------------------------------------------------------------


@replaceable
def depthwise_conv2d(x: Array, weight: Array, *, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1) -> Array:
    """Convolve each channel with its own kernel: G[b,k,l,m] = sum_{i,j} K[i,j,m] F[b, s k + d i - p, s l + d j - p, m].

    MobileNets, equation 3. It costs KH KW M H' W' mult-adds an image.

    Parameters
    ----------
    x
        F, (B, H, W, M), float32 or float64.
    weight
        K, (KH, KW, M), of the same dtype. More than one kernel for a channel (a channel multiplier) is `conv2d` with
        `groups=M`.
    stride, padding, dilation
        As in `conv2d`.

    Returns
    -------
    out
        G, (B, H', W', M), in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 3, 3, 2))
    >>> weight = np.ones((3, 3, 2)) * [1, 10]
    >>> depthwise_conv2d(x, weight, padding=1)[0, 0]  # 2 x 2 pixels seen in the corners, 2 x 3 between
    array([[ 4., 40.],
           [ 6., 60.],
           [ 4., 40.]])
    """
    x, weight, window = _arguments(x, weight, stride, padding, dilation)
    out = np.zeros((len(x), *window.out, x.shape[3]), x.dtype)
    choose(loops=_loops, numpy=_numpy, numba=kernel.forward)(
        x, weight, out, window.stride, window.before, window.dilation
    )
    return out


@replaceable
def depthwise_conv2d_backward(
    dout: Array, x: Array, weight: Array, *, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1
) -> tuple[Array, Array]:
    """Return the gradients of `depthwise_conv2d`: equations (3) and (2) at the top of this file.

    ::

        dF[b,r,c,m] = sum_{i,j} K[i,j,m] dG[b, (r + p - d i)/s, (c + p - d j)/s, m]
        dK[i,j,m]   = sum_{b,k,l} dG[b,k,l,m] F[b, s k + d i - p, s l + d j - p, m]

    Parameters
    ----------
    dout
        dG, (B, H', W', M): the gradient of the loss by the output.
    x, weight, stride, padding, dilation
        As they were given to `depthwise_conv2d`.

    Returns
    -------
    dx
        dF, of the shape of `x`.
    dweight
        dK, of the shape of `weight`.

    Raises
    ------
    TypeError, ValueError
        As `depthwise_conv2d`; also where `dout` has not the output's shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.ones((1, 3, 3, 1)), np.ones((3, 3, 1))
    >>> dx, dweight = depthwise_conv2d_backward(np.ones((1, 3, 3, 1)), x, weight, padding=1)
    >>> dweight[:, :, 0]  # how many outputs each kernel entry is used in
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])
    """
    x, weight, window = _arguments(x, weight, stride, padding, dilation)
    dout = _check.upstream(dout, (len(x), *window.out, x.shape[3]), x.dtype)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    place = window.stride, window.before, window.dilation
    choose(loops=_loops_dx, numpy=_numpy_dx, numba=kernel.backward_x)(dout, weight, dx, *place)
    choose(loops=_loops_dweight, numpy=_numpy_dweight, numba=kernel.backward_weight)(dout, x, dweight, *place)
    return dx, dweight


def _arguments(x: Array, weight: Array, stride: Pair, padding: Padding, dilation: Pair) -> tuple[Array, Array, Window]:
    x, weight = _check.arrays(("x", x, "B H W C"), ("weight", weight, "KH KW C"))
    _check.image("x", x.shape)
    _check.kernel("weight", weight.shape)
    if weight.shape[2] != x.shape[3]:
        raise ValueError(
            f"`weight` (KH, KW, C) of shape {weight.shape} has kernels for {weight.shape[2]} channels, "
            f"and `x` (B, H, W, C) of shape {x.shape} has {x.shape[3]}"
        )
    return x, weight, _check.window(x.shape[1:3], weight.shape[:2], stride, padding, dilation)
