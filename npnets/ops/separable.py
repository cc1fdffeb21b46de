r"""Depthwise separable convolution: the papers' central equation, forward and backward.

MobileNets (arXiv 1704.04861, section 3.1) replaces the standard convolution by two steps, a depthwise one that filters
each channel and a pointwise one that combines them::

    G^[b,k,l,m] = sum_{i,j} D[i,j,m] F[b, s k + d i - p, s l + d j - p, m]                  (1)
    G[b,k,l,n]  = sum_m P[m,n] G^[b,k,l,m]                                                  (2)

Together they are a standard convolution whose kernel is a product, K[i,j,m,n] = D[i,j,m] P[m,n]. The mult-adds, for a
square kernel and output of sides D_K and D_F, M input and N output channels::

    separable / standard = (D_K^2 M D_F^2 + M N D_F^2) / (D_K^2 M N D_F^2) = 1/N + 1/D_K^2

The gradients follow from the chain rule: first through (2), then, with dG^ in the place of the output's gradient,
through (1). G^ is computed again instead of asked for: it costs D_K^2 / N of the pointwise step. In the networks batch
norm and an activation stand between the two steps; this is the bare equation.
"""

from npnets import _check
from npnets._check import Array, Padding, Pair
from npnets.ops._replace import replaceable
from npnets.ops.depthwise import depthwise_conv2d, depthwise_conv2d_backward
from npnets.ops.pointwise import pointwise_conv2d, pointwise_conv2d_backward


@replaceable
def depthwise_separable_conv2d(
    x: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
) -> Array:
    """Filter each channel, then combine: equations (1) and (2) at the top of this file.

    G[b,k,l,n] = sum_m P[m,n] sum_{i,j} D[i,j,m] F[b, s k + d i - p, s l + d j - p, m]

    Parameters
    ----------
    x
        F, (B, H, W, M), float32 or float64.
    depthwise_weight
        D, (KH, KW, M), of the same dtype.
    pointwise_weight
        P, (M, N), of the same dtype.
    stride, padding, dilation
        Of the depthwise step, as in `conv2d`.

    Returns
    -------
    out
        G, (B, H', W', N), in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    It is a standard convolution with the kernel D[i,j,m] P[m,n]:

    >>> import numpy as np
    >>> from npnets.ops import conv2d
    >>> x = np.arange(32.0).reshape(1, 4, 4, 2)
    >>> D, P = np.arange(18.0).reshape(3, 3, 2), np.arange(6.0).reshape(2, 3)
    >>> out = depthwise_separable_conv2d(x, D, P)
    >>> np.array_equal(out, conv2d(x, D[..., None] * P))
    True
    """
    _arguments(x, depthwise_weight, pointwise_weight)
    filtered = depthwise_conv2d(x, depthwise_weight, stride=stride, padding=padding, dilation=dilation)
    return pointwise_conv2d(filtered, pointwise_weight)


@replaceable
def depthwise_separable_conv2d_backward(
    dout: Array,
    x: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
) -> tuple[Array, Array, Array]:
    """Return the gradients of `depthwise_separable_conv2d`.

    ::

        dP[m,n]     = sum_{b,k,l} G^[b,k,l,m] dG[b,k,l,n]
        dG^[b,k,l,m] = sum_n P[m,n] dG[b,k,l,n]
        dD[i,j,m]   = sum_{b,k,l} dG^[b,k,l,m] F[b, s k + d i - p, s l + d j - p, m]
        dF[b,r,c,m] = sum_{i,j} D[i,j,m] dG^[b, (r + p - d i)/s, (c + p - d j)/s, m]

    Parameters
    ----------
    dout
        dG, (B, H', W', N): the gradient of the loss by the output.
    x, depthwise_weight, pointwise_weight, stride, padding, dilation
        As they were given to `depthwise_separable_conv2d`.

    Returns
    -------
    dx, ddepthwise_weight, dpointwise_weight
        dF, dD and dP, of the shapes of `x` and the two weights.

    Raises
    ------
    TypeError, ValueError
        As `depthwise_separable_conv2d`; also where `dout` has not the output's shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> x, D, P = np.ones((1, 3, 3, 2)), np.ones((3, 3, 2)), np.ones((2, 1))
    >>> dx, dD, dP = depthwise_separable_conv2d_backward(np.ones((1, 1, 1, 1)), x, D, P)
    >>> dP.ravel()  # each channel's sum over its window
    array([9., 9.])
    """
    _arguments(x, depthwise_weight, pointwise_weight)
    filtered = depthwise_conv2d(x, depthwise_weight, stride=stride, padding=padding, dilation=dilation)
    dfiltered, dpointwise_weight = pointwise_conv2d_backward(dout, filtered, pointwise_weight)
    dx, ddepthwise_weight = depthwise_conv2d_backward(
        dfiltered, x, depthwise_weight, stride=stride, padding=padding, dilation=dilation
    )
    return dx, ddepthwise_weight, dpointwise_weight


def _arguments(x: Array, depthwise_weight: Array, pointwise_weight: Array) -> None:
    """Check here what the two steps would report under the names of their own arguments."""
    x, depthwise_weight, pointwise_weight = _check.arrays(
        ("x", x, "B H W C"),
        ("depthwise_weight", depthwise_weight, "KH KW C"),
        ("pointwise_weight", pointwise_weight, "C N"),
    )
    _check.kernel("depthwise_weight", depthwise_weight.shape)
    _check.kernel("pointwise_weight", pointwise_weight.shape)
    for name, axes, shape, channels in (
        ("depthwise_weight", "(KH, KW, C)", depthwise_weight.shape, depthwise_weight.shape[2]),
        ("pointwise_weight", "(C, N)", pointwise_weight.shape, pointwise_weight.shape[0]),
    ):
        if channels != x.shape[3]:
            raise ValueError(
                f"`{name}` {axes} of shape {shape} takes {channels} input channels, "
                f"and `x` (B, H, W, C) of shape {x.shape} has {x.shape[3]}"
            )
