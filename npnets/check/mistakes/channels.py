"""What goes wrong along the channels: linear layer, bias, channel shuffle."""

import numpy as np

from npnets._check import Array
from npnets.check.mistakes.kinds import Lists, Made, own, rows

_BIAS = [
    ("ignored", "the bias is not added", lambda a: a.x),
    ("twice", "the bias is added twice", lambda a: a.x + 2 * a.bias),
    ("subtracted", "the bias is subtracted", lambda a: a.x - a.bias),
    ("times", "the bias is multiplied instead of added", lambda a: a.x * a.bias),
    ("reversed", "the bias is added in reverse order", lambda a: a.x + a.bias[::-1]),
    ("first", "the bias of channel 0 is added to all channels", lambda a: a.x + a.bias[0]),
    ("other axis", "the bias is added along the first axis: it belongs to the channels, which are the last one",
     lambda a: a.x + a.bias.reshape(-1, *[1] * (a.x.ndim - 1))),
]  # fmt: skip
_LINEAR = [
    ("no bias", "the bias is not added", lambda a: a.x @ a.weight),
    ("bias twice", "the bias is added twice", lambda a: a.x @ a.weight + 2 * a.bias),
    ("bias for each term", "the bias is added once for each term of the sum over m, not once",
     lambda a: a.x @ a.weight + len(a.weight) * a.bias),
    ("bias subtracted", "the bias is subtracted", lambda a: a.x @ a.weight - a.bias),
    ("transposed", "the weight is transposed: K[m,n] belongs to input m and output n",
     lambda a: a.x @ a.weight.T + a.bias),
    ("reshaped", "the weight is reshaped where it should be transposed",
     lambda a: a.x @ a.weight.reshape(a.weight.shape[::-1]).T + a.bias),
    ("last term", "the terms are not added up: each replaces the one before it (= instead of +=)",
     lambda a: a.x[:, -1:] * a.weight[-1] + a.bias),
    ("last input", "off by one: the last input is not read", lambda a: a.x[:, :-1] @ a.weight[:-1] + a.bias),
]  # fmt: skip
_LINEAR_DX = [("transposed", "the weight is not transposed: dF = dG K^T", lambda a: a.dout @ a.weight)]
_LINEAR_DWEIGHT = [
    ("transposed", "it is transposed: dK = F^T dG, of the shape (M, N)", lambda a: a.dout.T @ a.x),
    ("last row", "the gradient is not added up over the batch: the last row counts alone (= instead of +=)",
     lambda a: np.outer(a.x[-1], a.dout[-1])),
    ("ones", "dout is left out: dK[m,n] = sum_b F[b,m] dG[b,n]", lambda a: a.x.T @ np.ones_like(a.dout)),
]  # fmt: skip
SUM_OF_ROWS = [
    ("last row", "the gradient is not added up over the batch: the last row counts alone (= instead of +=)",
     lambda a: rows(a.dout)[-1]),
    ("mean", "it is divided by the number of rows: the gradient of the bias is a sum, not a mean",
     lambda a: rows(a.dout).mean(0)),
    ("first axis", "only the first axis is summed over: all but the channels have to be", lambda a: a.dout.sum(0)),
    ("total", "all is summed, the channels too", lambda a: np.broadcast_to(a.dout.sum(), a.dout.shape[-1:])),
    ("not summed", "it is not summed: the bias has one gradient for each channel", lambda a: a.dout),
]  # fmt: skip


def _shuffled(x: Array, g: int) -> Array:
    *sides, C = x.shape
    return x.reshape(*sides, g, C // g).swapaxes(-1, -2).reshape(x.shape)


def _stacked(name: str) -> list[tuple[str, str, Made]]:
    words = ("the outputs of the groups are interleaved: output a N/g + j is that of group a (np.concatenate, not"
             " np.stack)")  # fmt: skip
    return [("outputs interleaved", words, lambda a: _shuffled(own(name)(a), a.groups))]


_SHUFFLE = [
    ("inverse", "it is the inverse shuffle, that of C/g groups: channel a n + j moves to j g + a, n = C/g",
     lambda a: _shuffled(a.x, a.x.shape[-1] // a.groups)),
    ("none", "nothing is moved: reshape to (g, n), transpose, flatten", lambda a: a.x),
    ("reversed", "the channels are in reverse order", lambda a: a.x[..., ::-1]),
    ("groups reversed", "the groups are put in reverse order, and not interleaved",
     lambda a: a.x.reshape(*a.x.shape[:3], a.groups, -1)[..., ::-1, :].reshape(a.x.shape)),
    ("twice", "it is shuffled twice", lambda a: _shuffled(_shuffled(a.x, a.groups), a.groups)),
    ("rolled", "the channels are only rotated", lambda a: np.roll(a.x, a.groups, -1)),
]  # fmt: skip
_SHUFFLE_DX = [
    ("forward", "it is the shuffle itself: the gradient goes back, by the inverse permutation (the shuffle"
     " with C/g groups)",
     lambda a: _shuffled(a.dout, a.groups)),
    ("none", "nothing is moved: the gradient goes back where the values came from", lambda a: a.dout),
]  # fmt: skip

LISTS: Lists = {
    **{(name, "out"): _stacked(name) for name in ("group_conv2d", "pointwise_conv2d")},
    ("bias_add", "out"): _BIAS,
    ("bias_add_backward", "dbias"): SUM_OF_ROWS,
    ("linear", "out"): _LINEAR,
    ("linear_backward", "dx"): _LINEAR_DX,
    ("linear_backward", "dweight"): _LINEAR_DWEIGHT,
    ("linear_backward", "dbias"): SUM_OF_ROWS,
    ("channel_shuffle", "out"): _SHUFFLE,
    ("channel_shuffle_backward", "dx"): _SHUFFLE_DX,
}
