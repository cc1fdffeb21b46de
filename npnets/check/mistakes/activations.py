"""Activations that go wrong."""

import numpy as np

from npnets.check.mistakes.kinds import Lists

_RELU = [
    ("not bounded", "negative values are let through", lambda a: a.x),
    ("absolute", "negative values become positive: it is max(x, 0), not |x|", lambda a: abs(a.x)),
    ("negative part", "the sign is wrong: it is max(x, 0), not min(x, 0)", lambda a: np.minimum(a.x, 0)),
    ("leaky", "negative values are not 0, but multiplied with 0.01: that is leaky_relu",
     lambda a: np.where(a.x > 0, a.x, 0.01 * a.x)),
    ("step", "it returns 1 where x > 0, and not x", lambda a: (a.x > 0) * 1.0),
    ("bounded by 6", "it is bounded by 6: that is relu6", lambda a: np.clip(a.x, 0, 6)),
]  # fmt: skip
_RELU_DX = [
    ("kink", "at x = 0 the gradient is let through: npnets and PyTorch have 0 there (x > 0, not x >= 0)",
     lambda a: np.where(a.x >= 0, a.dout, 0)),
    ("mask of dout", "the sign of dout decides, not the sign of x", lambda a: np.where(a.dout > 0, a.dout, 0)),
    ("not masked", "the gradient is let through everywhere, also where x <= 0", lambda a: a.dout),
    ("dout ignored", "dout is left out: it is where x > 0 that dout is let through", lambda a: (a.x > 0) * 1.0),
    ("times x", "the gradient is multiplied with x instead of with 1", lambda a: np.maximum(a.x, 0) * a.dout),
    ("complement", "the gradient is let through where x <= 0", lambda a: np.where(a.x > 0, 0, a.dout)),
    ("forward", "it is relu of dout or of x, and no gradient", lambda a: np.maximum(a.x, 0)),
]  # fmt: skip
_RELU6 = [
    ("not bounded", "values above 6 are let through", lambda a: np.maximum(a.x, 0)),
    ("negative", "negative values are let through", lambda a: np.minimum(a.x, 6)),
    ("wrong bound", "it is bounded by 1 instead of 6", lambda a: np.clip(a.x, 0, 1)),
    ("cut", "values above 6 become 0: they become 6", lambda a: np.where((a.x > 0) & (a.x < 6), a.x, 0)),
]  # fmt: skip
_RELU6_DX = [
    ("kinks", "at x = 0 and x = 6 the gradient is let through: npnets and PyTorch have 0 there",
     lambda a: np.where((a.x >= 0) & (a.x <= 6), a.dout, 0)),
    ("lower kink", "at x = 0 the gradient is let through: npnets and PyTorch have 0 there",
     lambda a: np.where((a.x >= 0) & (a.x < 6), a.dout, 0)),
    ("upper kink", "at x = 6 the gradient is let through: npnets and PyTorch have 0 there",
     lambda a: np.where((a.x > 0) & (a.x <= 6), a.dout, 0)),
    ("not bounded", "above 6 the gradient is let through: that is relu's", lambda a: np.where(a.x > 0, a.dout, 0)),
    ("not masked", "the gradient is let through everywhere", lambda a: a.dout),
    ("dout ignored", "dout is left out", lambda a: ((a.x > 0) & (a.x < 6)) * 1.0),
]  # fmt: skip
_LEAKY = [
    ("slope ignored", "negative values become 0: that is relu", lambda a: np.maximum(a.x, 0)),
    ("fixed slope", "the slope is always 0.01, whatever `negative_slope` says",
     lambda a: np.where(a.x > 0, a.x, 0.01 * a.x)),
    ("slope of all", "the slope multiplies positive values too", lambda a: a.negative_slope * a.x),
    ("wrong side", "the slope multiplies positive values instead of negative ones",
     lambda a: np.where(a.x > 0, a.negative_slope * a.x, a.x)),
    ("constant", "negative values become the slope itself, not the slope times x",
     lambda a: np.where(a.x > 0, a.x, a.negative_slope)),
    ("sign", "negative values change their sign", lambda a: np.where(a.x > 0, a.x, -a.negative_slope * a.x)),
]  # fmt: skip
_LEAKY_DX = [
    ("kink", "at x = 0 the gradient is let through: npnets and PyTorch have the slope there (x > 0, not x >= 0)",
     lambda a: np.where(a.x >= 0, a.dout, a.negative_slope * a.dout)),
    ("slope ignored", "where x <= 0 the gradient is 0: that is relu's", lambda a: np.where(a.x > 0, a.dout, 0)),
    ("constant", "where x <= 0 it is the slope itself, not the slope times dout",
     lambda a: np.where(a.x > 0, a.dout, a.negative_slope)),
    ("fixed slope", "the slope is always 0.01, whatever `negative_slope` says",
     lambda a: np.where(a.x > 0, a.dout, 0.01 * a.dout)),
    ("dout ignored", "dout is left out", lambda a: np.where(a.x > 0, 1, a.negative_slope)),
    ("mask of dout", "the sign of dout decides, not the sign of x",
     lambda a: np.where(a.dout > 0, a.dout, a.negative_slope * a.dout)),
]  # fmt: skip

LISTS: Lists = {
    ("relu", "out"): _RELU,
    ("relu_backward", "dx"): _RELU_DX,
    ("relu6", "out"): _RELU6,
    ("relu6_backward", "dx"): _RELU6_DX,
    ("leaky_relu", "out"): _LEAKY,
    ("leaky_relu_backward", "dx"): _LEAKY_DX,
}
