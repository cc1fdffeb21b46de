"""Pointwise (1 x 1) convolution: the one whose windows are single pixels, so that nothing is gathered.

::

    for g, p, m, n:  out[p, n]  = sum over m of x[p, m] w[m, n]           m and n are the channels of group g
    for g, p, n, m:  dx[p, m]   = sum over n of dout[p, n] w[m, n]
    for g, m, n, p:  dw[m, n]   = sum over p of x[p, m] dout[p, n]

A row of `x` is a pixel. `conv2d` sees by its tables that each pixel meets itself alone, and multiplies x as it stands;
how the products are cut into blocks, and how fast they are, is written there.
"""

from npnets._check import Array
from npnets.kernels import conv2d

PLACE = (1, 1), (0, 0), (1, 1)  # stride, padding, dilation


def forward(x: Array, w: Array, out: Array, groups: int) -> None:
    """Fill out (P, N) from x (P, C) and w (C/groups, N)."""
    conv2d.forward(_as_column(x), w[None, None], _as_column(out), *PLACE, groups)


def backward_x(dout: Array, w: Array, dx: Array, groups: int) -> None:
    """Fill dx (P, C) from dout (P, N) and w (C/groups, N)."""
    conv2d.backward_x(_as_column(dout), w[None, None], _as_column(dx), *PLACE, groups)


def backward_weight(dout: Array, x: Array, dw: Array, groups: int) -> None:
    """Fill dw (C/groups, N), given as zeros, from dout (P, N) and x (P, C)."""
    conv2d.backward_weight(_as_column(dout), _as_column(x), dw[None, None], *PLACE, groups)


def _as_column(pixels: Array) -> Array:
    """(P, C) -> (1, P, 1, C), a view: an image of one column."""
    return pixels[None, :, None]
