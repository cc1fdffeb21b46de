r"""Standard and group convolution, forward and backward.

The formula (MobileNets, arXiv 1704.04861, section 3.1), counted from 0, with stride s, padding p, dilation d, a batch b
and g groups::

    G[b,k,l,n] = sum_{i,j,m} K[i,j,m,n] F[b, s k + d i - p, s l + d j - p, q(n) + m]        (1)

======  ==================  ============================================================================
symbol  in Python           what it is
======  ==================  ============================================================================
F       x                   input feature map (B, H, W, C); 0 outside of the image
K       weight              kernel (KH, KW, M, N), M = C / g input channels seen by each of N outputs
G       out                 output feature map (B, H', W', N), H' = floor((H + 2p - d (KH - 1) - 1) / s) + 1
k, l                        row and column of the output
i, j                        row and column of the kernel
m, n                        input channel within its group, output channel
q(n)                        first input channel of the group of n: floor(n / (N/g)) M; 0 when g = 1
======  ==================  ============================================================================

The paper counts from 1 with s = 1 and p = 0, so that its F[k+i-1, l+j-1, m] is F[k+i, l+j, m] here.

The gradients. Let L be the loss and dG[b,k,l,n] the given dL/dG[b,k,l,n]. The chain rule is one sum over all outputs::

    dL/dz = sum_{b,k,l,n} dG[b,k,l,n] dG[b,k,l,n]/dz  (the second factor a derivative)

For z = K[i,j,m,n], (1) holds it once in each output of channel n, with the factor F that it meets there::

    dK[i,j,m,n] = sum_{b,k,l} dG[b,k,l,n] F[b, s k + d i - p, s l + d j - p, q(n) + m]      (2)

For z = F[b,r,c,q], it is in those outputs whose window covers the pixel (r, c): for each kernel entry (i, j) the output
row k with s k + d i - p = r, if there is one, and likewise the column l::

    dF[b,r,c,q] = sum_{i,j,n} K[i,j,m,n] dG[b, (r + p - d i)/s, (c + p - d j)/s, n],        (3)
                  m = q mod M, n over the outputs of q's group, and only where both quotients are whole and inside of G

(2) and (3) are again sums of products, so that forward and backward cost the same number of mult-adds, but for the taps
outside: KH KW M N H' W' for each image and each of the three.
"""

import numpy as np

from npnets import _check
from npnets._check import Array, Ints, Padding, Pair, Window
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import conv2d as kernel
from npnets.ops._replace import replaceable
from npnets.ops._taps import crop, pad, tap

# -- loops: (1), (2), (3), index for index ----------------------------------------------------------------------------


@jit
def _loops(F: Array, K: Array, G: Array, s: Ints, p: Ints, d: Ints, g: int) -> None:
    B, H, W, _ = F.shape
    KH, KW, M, N = K.shape
    for b in range(B):
        for k in range(G.shape[1]):
            for l in range(G.shape[2]):
                for n in range(N):
                    q = n // (N // g) * M
                    for i in range(KH):
                        for j in range(KW):
                            r, c = s[0] * k + d[0] * i - p[0], s[1] * l + d[1] * j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                for m in range(M):
                                    G[b, k, l, n] += K[i, j, m, n] * F[b, r, c, q + m]


@jit
def _loops_dweight(dG: Array, F: Array, dK: Array, s: Ints, p: Ints, d: Ints, g: int) -> None:
    B, H, W, _ = F.shape
    KH, KW, M, N = dK.shape
    for i in range(KH):
        for j in range(KW):
            for m in range(M):
                for n in range(N):
                    q = n // (N // g) * M
                    for b in range(B):
                        for k in range(dG.shape[1]):
                            for l in range(dG.shape[2]):
                                r, c = s[0] * k + d[0] * i - p[0], s[1] * l + d[1] * j - p[1]
                                if 0 <= r < H and 0 <= c < W:
                                    dK[i, j, m, n] += dG[b, k, l, n] * F[b, r, c, q + m]


@jit
def _loops_dx(dG: Array, K: Array, dF: Array, s: Ints, p: Ints, d: Ints, g: int) -> None:
    B, H, W, C = dF.shape
    KH, KW, M, N = K.shape
    for b in range(B):
        for r in range(H):
            for c in range(W):
                for q in range(C):
                    m, first = q % M, q // M * (N // g)
                    for i in range(KH):
                        for j in range(KW):
                            k, l = (r + p[0] - d[0] * i) // s[0], (c + p[1] - d[1] * j) // s[1]
                            met = s[0] * k + d[0] * i - p[0] == r and s[1] * l + d[1] * j - p[1] == c
                            if met and 0 <= k < dG.shape[1] and 0 <= l < dG.shape[2]:
                                for n in range(first, first + N // g):
                                    dF[b, r, c, q] += K[i, j, m, n] * dG[b, k, l, n]


# -- numpy: one matrix product for each kernel entry (i, j) and group --------------------------------------------------


def _numpy(x: Array, weight: Array, out: Array, s: Ints, p: Ints, d: Ints, g: int) -> None:
    sides = out.shape[1:3]
    padded = pad(x, weight.shape[:2], sides, s, p, d)
    total = np.zeros((g, out[..., 0].size, out.shape[-1] // g), out.dtype)
    for i, j in np.ndindex(weight.shape[:2]):
        # (g, BH'W', M) @ (g, M, N/g) -> (g, BH'W', N/g)
        total += _by_group(padded[tap(i, j, sides, s, d)], g) @ _by_group(weight[i, j], g)
    out[...] = total.transpose(1, 0, 2).reshape(out.shape)


def _numpy_dweight(dout: Array, x: Array, dweight: Array, s: Ints, p: Ints, d: Ints, g: int) -> None:
    sides = dout.shape[1:3]
    padded, upstream = pad(x, dweight.shape[:2], sides, s, p, d), _by_group(dout, g)
    for i, j in np.ndindex(dweight.shape[:2]):
        # (g, M, BH'W') @ (g, BH'W', N/g) -> (g, M, N/g)
        per_group = _by_group(padded[tap(i, j, sides, s, d)], g).transpose(0, 2, 1) @ upstream
        dweight[i, j] = per_group.transpose(1, 0, 2).reshape(dweight.shape[2:])


def _numpy_dx(dout: Array, weight: Array, dx: Array, s: Ints, p: Ints, d: Ints, g: int) -> None:
    sides = dout.shape[1:3]
    dpadded, upstream = pad(dx, weight.shape[:2], sides, s, p, d), _by_group(dout, g)
    for i, j in np.ndindex(weight.shape[:2]):
        # (g, BH'W', N/g) @ (g, N/g, M) -> (g, BH'W', M); one output pixel a tap, so += meets no index twice
        spread = upstream @ _by_group(weight[i, j], g).transpose(0, 2, 1)
        dpadded[tap(i, j, sides, s, d)] += spread.transpose(1, 0, 2).reshape(*dout.shape[:3], dx.shape[-1])
    dx[...] = crop(dpadded, dx.shape, p)


def _by_group(values: Array, g: int) -> Array:
    """(..., C) -> (g, rows, C / g), the rows being all axes but the last."""
    return values.reshape(-1, g, values.shape[-1] // g).transpose(1, 0, 2)


# -- the public functions ----------------------------------------------------------------------------------------------


@replaceable
def conv2d(
    x: Array, weight: Array, *, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1, groups: int = 1
) -> Array:
    """Convolve: G[b,k,l,n] = sum_{i,j,m} K[i,j,m,n] F[b, s k + d i - p, s l + d j - p, q(n) + m].

    Standard convolution for `groups=1` (MobileNets, section 3.1), group convolution otherwise. There is no bias, as in
    the papers: see `bias_add`. As everywhere in this field the kernel is not flipped (a cross-correlation).

    Parameters
    ----------
    x
        F, (B, H, W, C), float32 or float64.
    weight
        K, (KH, KW, C/groups, N), of the same dtype. Output channel n belongs to group n // (N/groups).
    stride
        s; an int, or a pair (vertical, horizontal); at least 1.
    padding
        p; zeros around the image: an int, a pair (vertical, horizontal), ((top, bottom), (left, right)), "valid"
        (none), or "same": TensorFlow's, which gives ceil(H / s) rows, the odd row of zeros below and to the right.
    dilation
        d; the distance of neighbouring kernel entries on the image; like stride.
    groups
        g; divides C and N.

    Returns
    -------
    out
        G, (B, H', W', N), H' = floor((H + top + bottom - d (KH - 1) - 1) / s) + 1, in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Notes
    -----
    A tap outside of the image is left out by `loops`, and multiplied with 0 by the others. That differs only where a
    weight is infinite or NaN, since 0 times infinity is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d(x, np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])

    A channel multiplier (here 2: each input channel has two kernels of its own) is `groups=C`:

    >>> x, weight = np.ones((1, 5, 5, 3)), np.ones((3, 3, 1, 6))
    >>> conv2d(x, weight, groups=3).shape
    (1, 3, 3, 6)
    """
    x, weight, window, g = _arguments(x, weight, stride, padding, dilation, groups)
    out = np.zeros((len(x), *window.out, weight.shape[3]), x.dtype)
    choose(loops=_loops, numpy=_numpy, numba=kernel.forward)(
        x, weight, out, window.stride, window.before, window.dilation, g
    )
    return out


@replaceable
def conv2d_backward(
    dout: Array,
    x: Array,
    weight: Array,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Return the gradients of `conv2d`: equations (3) and (2) at the top of this file.

    ::

        dF[b,r,c,q] = sum_{i,j,n} K[i,j,m,n] dG[b, (r + p - d i)/s, (c + p - d j)/s, n]
        dK[i,j,m,n] = sum_{b,k,l} dG[b,k,l,n] F[b, s k + d i - p, s l + d j - p, q(n) + m]

    Parameters
    ----------
    dout
        dG, (B, H', W', N): the gradient of the loss by the output.
    x, weight, stride, padding, dilation, groups
        As they were given to `conv2d`.

    Returns
    -------
    dx
        dF, of the shape of `x`.
    dweight
        dK, of the shape of `weight`.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also where `dout` has not the output's shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))
    >>> dx, dweight = conv2d_backward(np.ones((1, 2, 2, 1)), x, weight)
    >>> dx[0, :, :, 0]  # how many windows cover each pixel
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    x, weight, window, g = _arguments(x, weight, stride, padding, dilation, groups)
    dout = _check.upstream(dout, (len(x), *window.out, weight.shape[3]), x.dtype)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    place = window.stride, window.before, window.dilation, g
    choose(loops=_loops_dx, numpy=_numpy_dx, numba=kernel.backward_x)(dout, weight, dx, *place)
    choose(loops=_loops_dweight, numpy=_numpy_dweight, numba=kernel.backward_weight)(dout, x, dweight, *place)
    return dx, dweight


@replaceable
def group_conv2d(
    x: Array, weight: Array, *, groups: int, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1
) -> Array:
    """Convolve each of `groups` groups of channels by itself: `conv2d` with the groups named.

    Group a of the output, channels a N/g to (a+1) N/g, sees only group a of the input, channels a C/g to (a+1) C/g
    (ShuffleNet, arXiv 1707.01083, section 3.1). It costs 1/g of a standard convolution: KH KW (C/g) N H' W' mult-adds.

    Parameters
    ----------
    x, weight, groups, stride, padding, dilation
        As in `conv2d`; `groups` has to be given.

    Returns
    -------
    out
        G, (B, H', W', N), in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 10.0, 20.0]).reshape(1, 1, 1, 4)
    >>> group_conv2d(x, np.ones((1, 1, 2, 2)), groups=2).ravel()
    array([ 3., 30.])
    """
    return conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


@replaceable
def group_conv2d_backward(
    dout: Array,
    x: Array,
    weight: Array,
    *,
    groups: int,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
) -> tuple[Array, Array]:
    """Return the gradients of `group_conv2d`: those of `conv2d_backward`, in which q(n) keeps the groups apart.

    Parameters
    ----------
    dout
        dG, (B, H', W', N): the gradient of the loss by the output.
    x, weight, groups, stride, padding, dilation
        As they were given to `group_conv2d`.

    Returns
    -------
    dx, dweight
        dF and dK, of the shapes of `x` and `weight`.

    Raises
    ------
    TypeError, ValueError
        As `conv2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 10.0, 20.0]).reshape(1, 1, 1, 4)
    >>> dout = np.array([1.0, 0.0]).reshape(1, 1, 1, 2)  # only the first group has a gradient
    >>> dx, dweight = group_conv2d_backward(dout, x, np.ones((1, 1, 2, 2)), groups=2)
    >>> dx.ravel(), dweight[0, 0]
    (array([1., 1., 0., 0.]), array([[1., 0.],
           [2., 0.]]))
    """
    return conv2d_backward(dout, x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _arguments(
    x: Array, weight: Array, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> tuple[Array, Array, Window, int]:
    x, weight = _check.arrays(("x", x, "B H W C"), ("weight", weight, "KH KW C/groups N"))
    _check.image("x", x.shape)
    _check.kernel("weight", weight.shape)
    g = _check.groups(groups, x.shape[3], weight.shape[3])
    if weight.shape[2] * g != x.shape[3]:
        raise ValueError(
            f"`weight` (KH, KW, C/groups, N) of shape {weight.shape} with `groups` (={g}) "
            f"takes {weight.shape[2] * g} input channels, and `x` (B, H, W, C) of shape {x.shape} has {x.shape[3]}"
        )
    window = _check.window(x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    return x, weight, window, g
