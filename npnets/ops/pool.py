"""Pooling, forward and backward: the largest value or the mean of a window, or the mean of the whole image.

::

    max:          G[b,k,l,m] = max_{i,j} F[b, s k + i - p, s l + j - p, m]    over what is inside of the image      (1)
    average:      G[b,k,l,m] = sum_{i,j} F[b, s k + i - p, s l + j - p, m] / n[k,l]                                 (2)
    global:       G[b,m]     = sum_{k,l} F[b,k,l,m] / (H W)                                                         (3)

n[k,l] is KH KW (`count_include_pad`, as in PyTorch and Caffe), or the number of pixels inside of the image (as in
TensorFlow).

The gradients. A maximum passes the gradient on to the pixel that it came from, to the first in reading order where
several are equal (as in PyTorch); each pixel of a mean receives its share::

    max:          dF[b,r,c,m] = sum of dG[b,k,l,m] over the windows whose maximum is (r, c)                         (4)
    average:      dF[b,r,c,m] = sum of dG[b,k,l,m] / n[k,l] over the windows that hold (r, c)                       (5)
    global:       dF[b,k,l,m] = dG[b,m] / (H W)                                                                     (6)

A NaN in a window is its maximum, and receives the gradient (the last one, if there are several: again as in PyTorch).
"""

import numpy as np

from npnets import _check
from npnets._check import Array, Ints, Padding, Pair, Window
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import pool as kernel
from npnets.ops._replace import replaceable
from npnets.ops._taps import crop, pad, tap

ONE = 1, 1  # pools have no dilation

# -- loops: (1) to (6), index for index --------------------------------------------------------------------------------


@jit
def _max_loops(F: Array, G: Array, size: Ints, s: Ints, p: Ints) -> None:
    B, H, W, M = F.shape
    for b in range(B):
        for k in range(G.shape[1]):
            for l in range(G.shape[2]):
                for m in range(M):
                    G[b, k, l, m] = -np.inf
                    for i in range(size[0]):
                        for j in range(size[1]):
                            r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                seen = F[b, r, c, m]
                                if seen > G[b, k, l, m] or np.isnan(seen):  # a NaN stays: nothing is larger
                                    G[b, k, l, m] = seen


@jit
def _max_loops_dx(dG: Array, F: Array, dF: Array, size: Ints, s: Ints, p: Ints) -> None:
    B, H, W, M = F.shape
    for b in range(B):
        for k in range(dG.shape[1]):
            for l in range(dG.shape[2]):
                for m in range(M):
                    r_max, c_max = -1, -1
                    for i in range(size[0]):
                        for j in range(size[1]):
                            r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                seen = F[b, r, c, m]
                                if r_max < 0 or seen > F[b, r_max, c_max, m] or np.isnan(seen):
                                    r_max, c_max = r, c
                    dF[b, r_max, c_max, m] += dG[b, k, l, m]


@jit
def _average_loops(F: Array, G: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    B, H, W, M = F.shape
    for b in range(B):
        for k in range(G.shape[1]):
            for l in range(G.shape[2]):
                for m in range(M):
                    for i in range(size[0]):
                        for j in range(size[1]):
                            r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                G[b, k, l, m] += F[b, r, c, m]
                    G[b, k, l, m] /= n[k, l]


@jit
def _average_loops_dx(dG: Array, dF: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    B, H, W, M = dF.shape
    for b in range(B):
        for k in range(dG.shape[1]):
            for l in range(dG.shape[2]):
                for m in range(M):
                    for i in range(size[0]):
                        for j in range(size[1]):
                            r, c = s[0] * k + i - p[0], s[1] * l + j - p[1]
                            if 0 <= r < H and 0 <= c < W:
                                dF[b, r, c, m] += dG[b, k, l, m] / n[k, l]


@jit
def _global_loops(F: Array, G: Array) -> None:
    B, H, W, M = F.shape
    for b in range(B):
        for m in range(M):
            for k in range(H):
                for l in range(W):
                    G[b, m] += F[b, k, l, m]
            G[b, m] /= H * W


@jit
def _global_loops_dx(dG: Array, dF: Array) -> None:
    B, H, W, M = dF.shape
    for b in range(B):
        for k in range(H):
            for l in range(W):
                for m in range(M):
                    dF[b, k, l, m] = dG[b, m] / (H * W)


# -- numpy: one walk over the image for each window entry (i, j) -------------------------------------------------------


def _max_numpy(x: Array, out: Array, size: Ints, s: Ints, p: Ints) -> None:
    sides = out.shape[1:3]
    padded = pad(x, size, sides, s, p, ONE, -np.inf)
    out[...] = -np.inf
    for i, j in np.ndindex(size):
        np.maximum(out, padded[tap(i, j, sides, s, ONE)], out=out)  # (B, H', W', M)


def _max_numpy_dx(dout: Array, x: Array, dx: Array, size: Ints, s: Ints, p: Ints) -> None:
    sides = dout.shape[1:3]
    padded, inside = pad(x, size, sides, s, p, ONE), pad(np.ones((1, *x.shape[1:3], 1), bool), size, sides, s, p, ONE)
    largest, place = np.zeros_like(dout), np.full(dout.shape, -1)
    for number, (i, j) in enumerate(np.ndindex(size)):
        seen = padded[tap(i, j, sides, s, ONE)]  # (B, H', W', M)
        better = ((place < 0) | (seen > largest) | np.isnan(seen)) & inside[tap(i, j, sides, s, ONE)]
        np.copyto(largest, seen, where=better)
        np.copyto(place, number, where=better)
    dpadded = np.zeros_like(padded)
    for number, (i, j) in enumerate(np.ndindex(size)):
        dpadded[tap(i, j, sides, s, ONE)] += np.where(place == number, dout, 0)
    dx[...] = crop(dpadded, dx.shape, p)


def _average_numpy(x: Array, out: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    sides = out.shape[1:3]
    padded = pad(x, size, sides, s, p, ONE)
    for i, j in np.ndindex(size):
        out += padded[tap(i, j, sides, s, ONE)]  # (B, H', W', M)
    out /= n[:, :, None]


def _average_numpy_dx(dout: Array, dx: Array, size: Ints, s: Ints, p: Ints, n: Array) -> None:
    sides = dout.shape[1:3]
    dpadded, share = pad(dx, size, sides, s, p, ONE), dout / n[:, :, None]
    for i, j in np.ndindex(size):
        dpadded[tap(i, j, sides, s, ONE)] += share  # (B, H', W', M)
    dx[...] = crop(dpadded, dx.shape, p)


def _global_numpy(x: Array, out: Array) -> None:
    np.mean(x, (1, 2), out=out)


def _global_numpy_dx(dout: Array, dx: Array) -> None:
    dx[...] = dout[:, None, None, :] / (dx.shape[1] * dx.shape[2])


# -- the public functions ----------------------------------------------------------------------------------------------


@replaceable
def max_pool2d(x: Array, kernel_size: Pair, *, stride: Pair | None = None, padding: Padding = 0) -> Array:
    """Take the largest value of each window, over the pixels inside of the image.

    Parameters
    ----------
    x
        F, (B, H, W, M), float32 or float64.
    kernel_size
        Rows and columns of the window: an int, or a pair (vertical, horizontal).
    stride
        s; None, as in PyTorch, for `kernel_size`.
    padding
        As in `conv2d`, but less than the kernel's side, so that no window is empty.

    Returns
    -------
    out
        G, (B, H', W', M), in the dtype of `x`. A NaN is larger than every number.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    x = _check.array("x", x, "B H W C")
    size, window = _arguments(x.shape, kernel_size, stride, padding)
    out = np.empty((len(x), *window.out, x.shape[3]), x.dtype)
    choose(loops=_max_loops, numpy=_max_numpy, numba=kernel.maximum)(x, out, size, window.stride, window.before)
    return out


@replaceable
def max_pool2d_backward(
    dout: Array, x: Array, kernel_size: Pair, *, stride: Pair | None = None, padding: Padding = 0
) -> Array:
    """Return the gradient dx of `max_pool2d`: each dout goes to the first largest pixel of its window.

    Parameters
    ----------
    dout
        dG, (B, H', W', M): the gradient of the loss by the output.
    x, kernel_size, stride, padding
        As they were given to `max_pool2d`.

    Returns
    -------
    dx
        dF, of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also where `dout` has not the output's shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 5.0], [5.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> max_pool2d_backward(np.full((1, 1, 1, 1), 7.0), x, 2)[0, :, :, 0]
    array([[0., 7.],
           [0., 0.]])
    """
    x = _check.array("x", x, "B H W C")
    size, window = _arguments(x.shape, kernel_size, stride, padding)
    dout = _check.upstream(dout, (len(x), *window.out, x.shape[3]), x.dtype)
    dx = np.zeros_like(x)
    run = choose(loops=_max_loops_dx, numpy=_max_numpy_dx, numba=kernel.maximum_backward)
    run(dout, x, dx, size, window.stride, window.before)
    return dx


@replaceable
def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
) -> Array:
    """Take the mean of each window.

    Parameters
    ----------
    x
        F, (B, H, W, M), float32 or float64.
    kernel_size, stride, padding
        As in `max_pool2d`.
    count_include_pad
        Whether the zeros around the image count in the mean (as in PyTorch and Caffe) or not (as in TensorFlow).

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
    >>> x = np.full((1, 2, 2, 1), 9.0)
    >>> avg_pool2d(x, 3, stride=1, padding=1)[0, :, :, 0]
    array([[4., 4.],
           [4., 4.]])
    >>> avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)[0, :, :, 0]
    array([[9., 9.],
           [9., 9.]])
    """
    x = _check.array("x", x, "B H W C")
    size, window = _arguments(x.shape, kernel_size, stride, padding)
    n = _counts(x.shape[1:3], size, window, count_include_pad, x.dtype)
    out = np.zeros((len(x), *window.out, x.shape[3]), x.dtype)
    run = choose(loops=_average_loops, numpy=_average_numpy, numba=kernel.average)
    run(x, out, size, window.stride, window.before, n)
    return out


@replaceable
def avg_pool2d_backward(
    dout: Array,
    x_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
) -> Array:
    """Return the gradient dx of `avg_pool2d`: each pixel's share of the windows that hold it.

    Parameters
    ----------
    dout
        dG, (B, H', W', M): the gradient of the loss by the output.
    x_shape
        The shape (B, H, W, M) of the input; a mean needs no more of it.
    kernel_size, stride, padding, count_include_pad
        As they were given to `avg_pool2d`.

    Returns
    -------
    dx
        dF, (B, H, W, M), in the dtype of `dout`.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; also where `dout` has not the output's shape.

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool2d_backward(np.full((1, 1, 1, 1), 8.0), (1, 2, 2, 1), 2)[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    x_shape = _shape(x_shape)
    size, window = _arguments(x_shape, kernel_size, stride, padding)
    dout = _check.array("dout", dout, "B H W C")
    _check.shape("dout", dout, (x_shape[0], *window.out, x_shape[3]), "that of the output")
    n = _counts(x_shape[1:3], size, window, count_include_pad, dout.dtype)
    dx = np.zeros(x_shape, dout.dtype)
    run = choose(loops=_average_loops_dx, numpy=_average_numpy_dx, numba=kernel.average_backward)
    run(dout, dx, size, window.stride, window.before, n)
    return dx


@replaceable
def global_avg_pool(x: Array) -> Array:
    """Take the mean of each channel over the whole image: G[b,m] = sum_{k,l} F[b,k,l,m] / (H W).

    Parameters
    ----------
    x
        F, (B, H, W, M), float32 or float64.

    Returns
    -------
    out
        G, (B, M), in the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        `x` is not a float32 or float64 array of feature maps.

    Examples
    --------
    >>> import numpy as np
    >>> global_avg_pool(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 4.]])
    """
    x = _check.array("x", x, "B H W C")
    _check.image("x", x.shape)
    out = np.zeros((len(x), x.shape[3]), x.dtype)
    choose(loops=_global_loops, numpy=_global_numpy, numba=kernel.global_average)(x, out)
    return out


@replaceable
def global_avg_pool_backward(dout: Array, x_shape: tuple[int, int, int, int]) -> Array:
    """Return the gradient dx of `global_avg_pool`: dF[b,k,l,m] = dG[b,m] / (H W).

    Parameters
    ----------
    dout
        dG, (B, M): the gradient of the loss by the output.
    x_shape
        The shape (B, H, W, M) of the input.

    Returns
    -------
    dx
        dF, (B, H, W, M), in the dtype of `dout`.

    Raises
    ------
    TypeError, ValueError
        `dout` is not a float32 or float64 array of shape (B, M).

    Examples
    --------
    >>> import numpy as np
    >>> global_avg_pool_backward(np.array([[8.0]]), (1, 2, 2, 1))[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    x_shape = _shape(x_shape)
    dout = _check.array("dout", dout, "B C")
    _check.shape("dout", dout, (x_shape[0], x_shape[3]), "that of the output")
    dx = np.empty(x_shape, dout.dtype)
    choose(loops=_global_loops_dx, numpy=_global_numpy_dx, numba=kernel.global_average_backward)(dout, dx)
    return dx


def _counts(sides: Ints, size: Ints, window: Window, count_include_pad: bool, dtype: np.dtype[np.floating]) -> Array:
    """Return n (H', W'): by how much the sum of each window is divided."""
    if count_include_pad:
        return np.full(window.out, size[0] * size[1], dtype)
    ends = []
    for side, width, s, p, out in zip(sides, size, window.stride, window.before, window.out, strict=True):
        first = np.arange(out) * s - p
        ends.append(np.minimum(first + width, side) - np.maximum(first, 0))  # pixels inside, along this axis
    counts: Array = np.multiply.outer(*ends).astype(dtype)
    return counts


def _shape(x_shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    if not isinstance(x_shape, tuple | list) or len(x_shape) != 4:
        raise ValueError(f"`x_shape` (={x_shape!r}) must be (B, H, W, C)")
    B, H, W, C = (_check.integer("x_shape", side, 0) for side in x_shape)
    _check.image("x_shape", (B, H, W, C))
    return B, H, W, C


def _arguments(
    x_shape: tuple[int, ...], kernel_size: Pair, stride: Pair | None, padding: Padding
) -> tuple[Ints, Window]:
    _check.image("x", x_shape)
    size = _check.pair("kernel_size", kernel_size, 1)
    return size, _check.window(
        (x_shape[1], x_shape[2]), size, size if stride is None else stride, padding, pooling=True
    )
