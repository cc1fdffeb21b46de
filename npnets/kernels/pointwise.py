"""draft"""

from npnets._check import Array
from npnets.kernels import conv2d

ONE, NONE = (1, 1), (0, 0)


def forward(x: Array, w: Array, out: Array, groups: int, bias: Array | None = None) -> None:
    """Fill out (P, N) from x (P, C), w (C/groups, N) and bias (N,)."""
    conv2d.forward(x[None, :, None], w[None, None], out[None, :, None], ONE, NONE, ONE, groups, bias)


def backward_x(dout: Array, w: Array, dx: Array, groups: int) -> None:
    """Fill dx (P, C) from dout (P, N) and w (C/groups, N)."""
    conv2d.backward_x(dout[None, :, None], w[None, None], dx[None, :, None], ONE, NONE, ONE, groups)


def backward_weight(dout: Array, x: Array, dw: Array, groups: int) -> None:
    """Fill dw (C/groups, N), given as zeros, from dout (P, N) and x (P, C)."""
    conv2d.backward_weight(dout[None, :, None], x[None, :, None], dw[None, None], ONE, NONE, ONE, groups)
