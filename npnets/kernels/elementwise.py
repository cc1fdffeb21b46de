"""What is done to each value by itself: activations, a bias for each channel, the channel shuffle.

::

    for e:     out[e] = f(x[e])
    for p, n:  out[p, n] = x[p, n] + bias[n]
    for p, a, j:  out[p, j g + a] = x[p, a n + j]

Nothing to block: memory is the limit. Branches are written as values (`a if c else b`), of which LLVM makes vector
selects; each part is cut out first, so that indices begin at 0, since one that might be negative, and so mean the end
of the array, makes no vectors. The bias's gradient is summed in a fixed number of chunks of rows, which are then added
in order.
"""

import numpy as np

from npnets._check import Array
from npnets._jit import jit
from npnets._parallel import chunks, run


@jit
def _relu(start: int, stop: int, x: Array, out: Array) -> None:
    zero = x.dtype.type(0)  # a literal 0 would make float64 of the whole expression
    x, out = x[start:stop], out[start:stop]
    for e in range(len(x)):
        out[e] = zero if x[e] <= zero else x[e]


@jit
def _relu_backward(start: int, stop: int, dout: Array, x: Array, dx: Array) -> None:
    zero = x.dtype.type(0)
    dout, x, dx = dout[start:stop], x[start:stop], dx[start:stop]
    for e in range(len(x)):
        upstream = dout[e]
        dx[e] = zero if x[e] <= zero else upstream


@jit
def _relu6(start: int, stop: int, x: Array, out: Array) -> None:
    zero, six = x.dtype.type(0), x.dtype.type(6)
    x, out = x[start:stop], out[start:stop]
    for e in range(len(x)):
        value = zero if x[e] <= zero else x[e]
        out[e] = six if value >= six else value


@jit
def _relu6_backward(start: int, stop: int, dout: Array, x: Array, dx: Array) -> None:
    zero, six = x.dtype.type(0), x.dtype.type(6)
    dout, x, dx = dout[start:stop], x[start:stop], dx[start:stop]
    for e in range(len(x)):
        upstream = dout[e]
        dx[e] = zero if (x[e] <= zero) | (x[e] >= six) else upstream


@jit
def _leaky_relu(start: int, stop: int, x: Array, out: Array, slope: float) -> None:
    zero = x.dtype.type(0)
    x, out = x[start:stop], out[start:stop]
    for e in range(len(x)):
        below = slope * x[e]
        out[e] = x[e] if x[e] > zero else below


@jit
def _leaky_relu_backward(start: int, stop: int, dout: Array, x: Array, dx: Array, slope: float) -> None:
    zero = x.dtype.type(0)
    dout, x, dx = dout[start:stop], x[start:stop], dx[start:stop]
    for e in range(len(x)):
        upstream = dout[e]
        below = slope * upstream
        dx[e] = upstream if x[e] > zero else below


@jit
def _bias_add(start: int, stop: int, x: Array, bias: Array, out: Array) -> None:
    for p in range(start, stop):
        seen, pixel = x[p], out[p]
        for n in range(len(bias)):
            pixel[n] = seen[n] + bias[n]


@jit
def _column_sums(start: int, stop: int, x: Array, partial: Array) -> None:
    total = len(partial)
    for chunk in range(start, stop):
        into = partial[chunk]
        for p in range(len(x) * chunk // total, len(x) * (chunk + 1) // total):
            row = x[p]
            for n in range(len(into)):
                into[n] += row[n]


@jit
def _shuffle(start: int, stop: int, x: Array, out: Array, g: int) -> None:
    n = x.shape[1] // g
    for p in range(start, stop):
        for a in range(g):
            for j in range(n):
                out[p, j * g + a] = x[p, a * n + j]


def relu(x: Array, out: Array) -> None:
    """Fill out with max(x, 0); all arrays flat."""
    run(_relu, x.size, x.size, x, out)


def relu_backward(dout: Array, x: Array, dx: Array) -> None:
    """Fill dx with dout where not x <= 0."""
    run(_relu_backward, x.size, x.size, dout, x, dx)


def relu6(x: Array, out: Array) -> None:
    """Fill out with min(max(x, 0), 6)."""
    run(_relu6, x.size, x.size, x, out)


def relu6_backward(dout: Array, x: Array, dx: Array) -> None:
    """Fill dx with dout where not x <= 0 or x >= 6."""
    run(_relu6_backward, x.size, x.size, dout, x, dx)


def leaky_relu(x: Array, out: Array, slope: float) -> None:
    """Fill out with x where x > 0, else slope x."""
    run(_leaky_relu, x.size, x.size, x, out, slope)


def leaky_relu_backward(dout: Array, x: Array, dx: Array, slope: float) -> None:
    """Fill dx with dout where x > 0, else slope dout."""
    run(_leaky_relu_backward, x.size, x.size, dout, x, dx, slope)


def bias_add(x: Array, bias: Array, out: Array) -> None:
    """Fill out (P, N) with x + bias."""
    run(_bias_add, len(x), x.size, x, bias, out)


def column_sums(x: Array, sums: Array) -> None:
    """Fill sums (N,) with the sums over the rows of x (P, N)."""
    partial = np.zeros((chunks(len(x)), x.shape[1]), x.dtype)
    run(_column_sums, len(partial), x.size, x, partial)
    partial.sum(0, out=sums)


def shuffle(x: Array, out: Array, g: int) -> None:
    """Fill out (P, C) with the channels of x shuffled."""
    run(_shuffle, len(x), x.size, x, out, g)
