"""Channel shuffle (ShuffleNet, arXiv 1707.01083, section 3.1), forward and backward.

The C channels, seen as g groups of n = C / g, are written as a (g, n) matrix, transposed, and read off again::

    G[b, k, l, j g + a] = F[b, k, l, a n + j],   a = 0..g-1 (group), j = 0..n-1             (1)

So each group of the next group convolution receives channels of every group of this one. For 12 channels in 4 groups
the output reads the input channels 0 3 6 9 1 4 7 10 2 5 8 11.

The gradient: each input is in exactly one output, so it goes back where it came from, the inverse permutation::

    dF[b, k, l, a n + j] = dG[b, k, l, j g + a]                                             (2)

which is a transposed (n, g) matrix: the shuffle with n groups. The authors' own code shuffles with that inverse.
"""

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._config import choose
from npnets._jit import jit
from npnets.kernels import elementwise as kernel
from npnets.ops._replace import replaceable


@jit
def _loops(F: Array, G: Array, g: int) -> None:
    B, H, W, C = F.shape
    n = C // g
    for b in range(B):
        for k in range(H):
            for l in range(W):
                for a in range(g):
                    for j in range(n):
                        G[b, k, l, j * g + a] = F[b, k, l, a * n + j]


def _numpy(x: Array, out: Array, g: int) -> None:
    B, H, W, C = x.shape
    out.reshape(B, H, W, C // g, g)[...] = x.reshape(B, H, W, g, C // g).swapaxes(3, 4)


def _numba(x: Array, out: Array, g: int) -> None:
    kernel.shuffle(x.reshape(-1, x.shape[3]), out.reshape(-1, x.shape[3]), g)


@replaceable
def channel_shuffle(x: Array, groups: int) -> Array:
    """Permute the channels: channel a n + j moves to j g + a, n = C / g.

    Parameters
    ----------
    x
        F, (B, H, W, C), float32 or float64.
    groups
        g; divides C.

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
    >>> channel_shuffle(np.arange(12.0).reshape(1, 1, 1, 12), 4).ravel().astype(int)
    array([ 0,  3,  6,  9,  1,  4,  7, 10,  2,  5,  8, 11])
    """
    x = _check.array("x", x, "B H W C")
    _check.image("x", x.shape)
    return _shuffle(x, _check.groups(groups, x.shape[3], x.shape[3]))


@replaceable
def channel_shuffle_backward(dout: Array, groups: int) -> Array:
    """Return the gradient dx of `channel_shuffle`: the inverse permutation, dF[.., a n + j] = dG[.., j g + a].

    Parameters
    ----------
    dout
        dG, (B, H, W, C): the gradient of the loss by the output.
    groups
        g, as it was given to `channel_shuffle`.

    Returns
    -------
    dx
        dF, of the shape and dtype of `dout`.

    Raises
    ------
    TypeError, ValueError
        As `channel_shuffle`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(12.0).reshape(1, 1, 1, 12)
    >>> np.array_equal(channel_shuffle_backward(channel_shuffle(x, 4), 4), x)
    True
    """
    dout = _check.array("dout", dout, "B H W C")
    _check.image("dout", dout.shape)
    return _shuffle(dout, dout.shape[3] // _check.groups(groups, dout.shape[3], dout.shape[3]))


def _shuffle(x: Array, g: int) -> Array:
    out = np.empty_like(x)
    choose(loops=_loops, numpy=_numpy, numba=_numba)(x, out, g)
    return out
