"""The other operations going wrong: for each result a list of mistakes, each with a function that makes it."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from npnets import ops
from npnets._check import Array
from npnets._config import Function, use
from npnets.check.cases import Case
from npnets.check.mistakes.kinds import Mistake

Made = Callable[[Any], Any]  # from a case's arguments, as attributes, to a result


def mistakes(operation: str, result: str) -> Iterator[Mistake]:
    """Yield the mistakes of a result of an operation that is no convolution."""
    for key, words, made in _LISTS.get((operation, result), ()):
        yield Mistake(key, words, _model(made))


def _model(made: Made) -> Callable[[Case], Array]:
    def model(case: Case) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(made(SimpleNamespace(**case.arguments)))

    return model


def _own(name: str, result: int = 0, **changed: Any) -> Made:
    """Return npnets' own operation with some arguments changed; a change is a value, or a function of the arguments."""
    function: Function = getattr(ops, name)

    def made(a: Any) -> Any:
        given = dict(vars(a)) | {key: change(a) if callable(change) else change for key, change in changed.items()}
        with use("numpy"):
            found = function(**given)
        return found[result] if isinstance(found, tuple) else found

    return made


# -- activations -------------------------------------------------------------------------------------------------------

_RELU = [
    ("not bounded", "negative values are let through", lambda a: a.x),
    ("absolute", "negative values become positive: it is max(x, 0), not |x|", lambda a: abs(a.x)),
    ("negative part", "the sign is wrong: it is max(x, 0), not min(x, 0)", lambda a: np.minimum(a.x, 0)),
    ("leaky", "negative values are not 0, but multiplied with 0.01: that is leaky_relu", lambda a: np.where(a.x > 0, a.x, 0.01 * a.x)),
    ("step", "it returns 1 where x > 0, and not x", lambda a: (a.x > 0) * 1.0),
    ("bounded by 6", "it is bounded by 6: that is relu6", lambda a: np.clip(a.x, 0, 6)),
]  # fmt: skip
_RELU_DX = [
    ("kink", "at x = 0 the gradient is let through: npnets and PyTorch have 0 there (x > 0, not x >= 0)", lambda a: np.where(a.x >= 0, a.dout, 0)),
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
    ("kinks", "at x = 0 and x = 6 the gradient is let through: npnets and PyTorch have 0 there", lambda a: np.where((a.x >= 0) & (a.x <= 6), a.dout, 0)),
    ("lower kink", "at x = 0 the gradient is let through: npnets and PyTorch have 0 there", lambda a: np.where((a.x >= 0) & (a.x < 6), a.dout, 0)),
    ("upper kink", "at x = 6 the gradient is let through: npnets and PyTorch have 0 there", lambda a: np.where((a.x > 0) & (a.x <= 6), a.dout, 0)),
    ("not bounded", "above 6 the gradient is let through: that is relu's", lambda a: np.where(a.x > 0, a.dout, 0)),
    ("not masked", "the gradient is let through everywhere", lambda a: a.dout),
    ("dout ignored", "dout is left out", lambda a: ((a.x > 0) & (a.x < 6)) * 1.0),
]  # fmt: skip
_LEAKY = [
    ("slope ignored", "negative values become 0: that is relu", lambda a: np.maximum(a.x, 0)),
    ("fixed slope", "the slope is always 0.01, whatever `negative_slope` says", lambda a: np.where(a.x > 0, a.x, 0.01 * a.x)),
    ("slope of all", "the slope multiplies positive values too", lambda a: a.negative_slope * a.x),
    ("wrong side", "the slope multiplies positive values instead of negative ones", lambda a: np.where(a.x > 0, a.negative_slope * a.x, a.x)),
    ("constant", "negative values become the slope itself, not the slope times x", lambda a: np.where(a.x > 0, a.x, a.negative_slope)),
    ("sign", "negative values change their sign", lambda a: np.where(a.x > 0, a.x, -a.negative_slope * a.x)),
]  # fmt: skip
_LEAKY_DX = [
    ("kink", "at x = 0 the gradient is let through: npnets and PyTorch have the slope there (x > 0, not x >= 0)", lambda a: np.where(a.x >= 0, a.dout, a.negative_slope * a.dout)),
    ("slope ignored", "where x <= 0 the gradient is 0: that is relu's", lambda a: np.where(a.x > 0, a.dout, 0)),
    ("constant", "where x <= 0 it is the slope itself, not the slope times dout", lambda a: np.where(a.x > 0, a.dout, a.negative_slope)),
    ("fixed slope", "the slope is always 0.01, whatever `negative_slope` says", lambda a: np.where(a.x > 0, a.dout, 0.01 * a.dout)),
    ("dout ignored", "dout is left out", lambda a: np.where(a.x > 0, 1, a.negative_slope)),
    ("mask of dout", "the sign of dout decides, not the sign of x", lambda a: np.where(a.dout > 0, a.dout, a.negative_slope * a.dout)),
]  # fmt: skip

# -- linear, bias ------------------------------------------------------------------------------------------------------

_BIAS = [
    ("ignored", "the bias is not added", lambda a: a.x),
    ("twice", "the bias is added twice", lambda a: a.x + 2 * a.bias),
    ("subtracted", "the bias is subtracted", lambda a: a.x - a.bias),
    ("times", "the bias is multiplied instead of added", lambda a: a.x * a.bias),
    ("reversed", "the bias is added in reverse order", lambda a: a.x + a.bias[::-1]),
    ("first", "the bias of channel 0 is added to all channels", lambda a: a.x + a.bias[0]),
    ("other axis", "the bias is added along the first axis: it belongs to the channels, which are the last one", lambda a: a.x + a.bias.reshape(-1, *[1] * (a.x.ndim - 1))),
]  # fmt: skip
_LINEAR = [
    ("no bias", "the bias is not added", lambda a: a.x @ a.weight),
    ("bias twice", "the bias is added twice", lambda a: a.x @ a.weight + 2 * a.bias),
    ("bias for each term", "the bias is added once for each term of the sum over m, not once", lambda a: a.x @ a.weight + len(a.weight) * a.bias),
    ("bias subtracted", "the bias is subtracted", lambda a: a.x @ a.weight - a.bias),
    ("transposed", "the weight is transposed: K[m,n] belongs to input m and output n", lambda a: a.x @ a.weight.T + a.bias),
    ("reshaped", "the weight is reshaped where it should be transposed", lambda a: a.x @ a.weight.reshape(a.weight.shape[::-1]).T + a.bias),
    ("last term", "the terms are not added up: each replaces the one before it (= instead of +=)", lambda a: a.x[:, -1:] * a.weight[-1] + a.bias),
    ("last input", "off by one: the last input is not read", lambda a: a.x[:, :-1] @ a.weight[:-1] + a.bias),
]  # fmt: skip
_LINEAR_DX = [("transposed", "the weight is not transposed: dF = dG K^T", lambda a: a.dout @ a.weight)]
_LINEAR_DWEIGHT = [
    ("transposed", "it is transposed: dK = F^T dG, of the shape (M, N)", lambda a: a.dout.T @ a.x),
    ("last row", "the gradient is not added up over the batch: the last row counts alone (= instead of +=)", lambda a: np.outer(a.x[-1], a.dout[-1])),
    ("ones", "dout is left out: dK[m,n] = sum_b F[b,m] dG[b,n]", lambda a: a.x.T @ np.ones_like(a.dout)),
]  # fmt: skip
_SUM_OF_ROWS = [
    ("last row", "the gradient is not added up over the batch: the last row counts alone (= instead of +=)", lambda a: _rows(a.dout)[-1]),
    ("mean", "it is divided by the number of rows: the gradient of the bias is a sum, not a mean", lambda a: _rows(a.dout).mean(0)),
    ("first axis", "only the first axis is summed over: all but the channels have to be", lambda a: a.dout.sum(0)),
    ("total", "all is summed, the channels too", lambda a: np.broadcast_to(a.dout.sum(), a.dout.shape[-1:])),
    ("not summed", "it is not summed: the bias has one gradient for each channel", lambda a: a.dout),
]  # fmt: skip


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


# -- channel shuffle ---------------------------------------------------------------------------------------------------


def _shuffled(x: Array, g: int) -> Array:
    *sides, C = x.shape
    return x.reshape(*sides, g, C // g).swapaxes(-1, -2).reshape(x.shape)


_SHUFFLE = [
    ("inverse", "it is the inverse shuffle, that of C/g groups: channel a n + j moves to j g + a, n = C/g", lambda a: _shuffled(a.x, a.x.shape[-1] // a.groups)),
    ("none", "nothing is moved: reshape to (g, n), transpose, flatten", lambda a: a.x),
    ("reversed", "the channels are in reverse order", lambda a: a.x[..., ::-1]),
    ("groups reversed", "the groups are put in reverse order, and not interleaved", lambda a: a.x.reshape(*a.x.shape[:3], a.groups, -1)[..., ::-1, :].reshape(a.x.shape)),
    ("twice", "it is shuffled twice", lambda a: _shuffled(_shuffled(a.x, a.groups), a.groups)),
    ("rolled", "the channels are only rotated", lambda a: np.roll(a.x, a.groups, -1)),
]  # fmt: skip
_SHUFFLE_DX = [
    ("forward", "it is the shuffle itself: the gradient goes back, by the inverse permutation (the shuffle with C/g groups)", lambda a: _shuffled(a.dout, a.groups)),
    ("none", "nothing is moved: the gradient goes back where the values came from", lambda a: a.dout),
]  # fmt: skip

# -- pools -------------------------------------------------------------------------------------------------------------


def _windows(x: Array, a: Any, value: float = 0.0) -> Any:
    """Yield (k, l, i, j, pixels (B, M)) of the padded image."""
    p, s, n = a.padding, a.stride, a.kernel_size
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), constant_values=value)
    out = [(side + 2 * p - n) // s + 1 for side in x.shape[1:3]]
    return np.array(
        [[padded[:, s * k : s * k + n, s * l : s * l + n] for l in range(out[1])] for k in range(out[0])]
    ), out


def _pooled(how: Any, value: float = 0.0) -> Made:
    """Pool by a function of all pixels of the windows, (H', W', B, n, n, M) along (3, 4)."""

    def made(a: Any) -> Array:
        windows, _ = _windows(a.x, a, value)
        return np.asarray(how(windows, axis=(3, 4))).transpose(2, 0, 1, 3)

    return made


def _pool_dx(share: Callable[[Array, Array], Array], replaces: bool = False) -> Made:
    """Give each window's gradient to its pixels: share(window (B, n, n, M), dout (B, 1, 1, M)) of the same shape."""

    def made(a: Any) -> Array:
        p, s, n = a.padding, a.stride, a.kernel_size
        x = a.x if hasattr(a, "x") else np.zeros(a.x_shape)
        padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), constant_values=-np.inf)
        dpadded = np.zeros(padded.shape)
        for k, l in np.ndindex(a.dout.shape[1:3]):
            at = slice(None), slice(s * k, s * k + n), slice(s * l, s * l + n)
            given = share(padded[at], a.dout[:, k, l][:, None, None])
            dpadded[at] = np.where(given != 0, given, dpadded[at]) if replaces else dpadded[at] + given
        return dpadded[:, p : p + x.shape[1], p : p + x.shape[2]]

    return made


def _ties(window: Array, dout: Array) -> Array:
    return np.where(window == window.max((1, 2), keepdims=True), dout, 0)


def _shared_ties(window: Array, dout: Array) -> Array:
    mask = window == window.max((1, 2), keepdims=True)
    return mask * dout / mask.sum((1, 2), keepdims=True)


def _nth(window: Array, last: bool) -> Array:
    """Return where the first or last largest pixel is."""
    B, n, _, M = window.shape
    flat = window.reshape(B, n * n, M)
    place = n * n - 1 - flat[:, ::-1].argmax(1) if last else flat.argmax(1)
    return (np.arange(n * n)[None, :, None] == place[:, None]).reshape(window.shape)


def _without(a: Any, name: str) -> Any:
    return SimpleNamespace(**{key: value for key, value in vars(a).items() if key != name})


_POOL_OPTIONS = [
    ("stride ignored", "the stride is ignored", {"stride": 1}),
    ("stride is size", "the stride is taken to be the kernel size, whatever `stride` says", {"stride": lambda a: a.kernel_size}),
    ("padding ignored", "the padding is ignored", {"padding": 0}),
    ("stride of rows", "the stride is used for the rows only, and not for the columns (stride on the wrong axis)", {"stride": lambda a: (a.stride, 1)}),
    ("stride of columns", "the stride is used for the columns only, and not for the rows (stride on the wrong axis)", {"stride": lambda a: (1, a.stride)}),
    ("padding before", "the padding is on one side only: above and to the left", {"padding": lambda a: ((a.padding, 0), (a.padding, 0))}),
    ("padding after", "the padding is on one side only: below and to the right", {"padding": lambda a: ((0, a.padding), (0, a.padding))}),
]  # fmt: skip


def _pool_options(name: str) -> list[tuple[str, str, Made]]:
    return [(key, words, _own(name, **changed)) for key, words, changed in _POOL_OPTIONS]


_MAX = [
    ("padded with 0", "the padding counts as 0: only pixels inside of the image count, so that negative ones can be the largest (pad with -inf)", _pooled(np.max)),
    ("minimum", "it is the smallest value", _pooled(np.min, np.inf)),
    ("mean", "it is the mean, and not the largest value", _own("avg_pool2d")),
    ("absolute", "it is the largest absolute value", _pooled(lambda w, axis: abs(w).max(axis))),
    ("first", "it is the first pixel of each window, and not the largest", _pooled(lambda w, axis: w[:, :, :, 0, 0])),
    *_pool_options("max_pool2d"),
]  # fmt: skip
_MAX_DX = [
    ("ties", "where several pixels are the largest, each of them gets the whole gradient: npnets and PyTorch give it to the first one", _pool_dx(_ties)),
    ("shared ties", "where several pixels are the largest, they share the gradient: npnets and PyTorch give it to the first one", _pool_dx(_shared_ties)),
    ("last tie", "where several pixels are the largest, the last one gets the gradient: npnets and PyTorch give it to the first one", _pool_dx(lambda w, g: _nth(w, True) * g)),
    ("replaced", "the gradient is not added up where windows overlap (= instead of +=)", _pool_dx(lambda w, g: _nth(w, False) * g, True)),
    ("replaced ties", "the gradient is not added up where windows overlap (= instead of +=), and all of the largest pixels get it", _pool_dx(_ties, True)),
    ("all pixels", "every pixel of the window gets the gradient: only the largest one does", _pool_dx(lambda w, g: np.broadcast_to(g, w.shape))),
    ("shared", "all pixels of the window share the gradient: that is the mean's", _pool_dx(lambda w, g: np.broadcast_to(g / w.shape[1] ** 2, w.shape))),
]  # fmt: skip
_AVERAGE = [
    ("padding not counted", "the zeros of the padding are never counted, whatever `count_include_pad` says", _own("avg_pool2d", count_include_pad=False)),
    ("padding counted", "the zeros of the padding are always counted, whatever `count_include_pad` says", _own("avg_pool2d", count_include_pad=True)),
    ("not divided", "it is the sum, and not divided by the number of pixels", _pooled(np.sum)),
    ("divided by n", "it is divided by the side of the window, and not by its pixels", lambda a: _pooled(np.sum)(a) / a.kernel_size),
    ("maximum", "it is the largest value, and not the mean", lambda a: _own("max_pool2d")(_without(a, "count_include_pad"))),
    *_pool_options("avg_pool2d"),
]  # fmt: skip
_AVERAGE_DX = [
    ("padding not counted", "the zeros of the padding are never counted, whatever `count_include_pad` says", _own("avg_pool2d_backward", count_include_pad=False)),
    ("padding counted", "the zeros of the padding are always counted, whatever `count_include_pad` says", _own("avg_pool2d_backward", count_include_pad=True)),
    ("not divided", "the gradient is not divided by the number of pixels", _pool_dx(lambda w, g: np.broadcast_to(g, w.shape))),
    ("replaced", "the gradient is not added up where windows overlap (= instead of +=)", _pool_dx(lambda w, g: np.broadcast_to(g / w.shape[1] ** 2, w.shape), True)),
]  # fmt: skip
_GLOBAL = [
    ("sum", "it is the sum: the division by H W is missing", lambda a: a.x.sum((1, 2))),
    ("maximum", "it is the largest value, and not the mean", lambda a: a.x.max((1, 2))),
    ("rows", "it is divided by H alone, and not by H W", lambda a: a.x.sum((1, 2)) / a.x.shape[1]),
    ("columns", "it is divided by W alone, and not by H W", lambda a: a.x.sum((1, 2)) / a.x.shape[2]),
    ("square", "it is divided by H H, and not by H W", lambda a: a.x.sum((1, 2)) / a.x.shape[1] ** 2),
    ("channels", "the mean is that of each row and column over the channels: wrong axes", lambda a: a.x.mean(3)),
    ("wrong axes", "the mean is over the wrong axes: (1, 2) are rows and columns", lambda a: a.x.mean((2, 3))),
    ("batch", "the mean is over the batch too: the images are apart", lambda a: np.broadcast_to(a.x.mean((0, 1, 2)), (len(a.x), a.x.shape[3]))),
    ("kept axes", "the axes of rows and columns are kept: the output is (B, C)", lambda a: a.x.mean((1, 2), keepdims=True)),
]  # fmt: skip


def _spread(a: Any) -> Array:
    return np.broadcast_to(a.dout[:, None, None], a.x_shape)


_GLOBAL_DX = [
    ("not divided", "the division by H W is missing", _spread),
    ("rows", "it is divided by H alone, and not by H W", lambda a: _spread(a) / a.x_shape[1]),
    ("columns", "it is divided by W alone, and not by H W", lambda a: _spread(a) / a.x_shape[2]),
]  # fmt: skip

# -- batch norm --------------------------------------------------------------------------------------------------------


def _norm(
    a: Any, *, axes: Any = None, ddof: int = 0, variance: Any = None, std: Any = None, gamma: Any = None
) -> Array:
    """Normalise, with another variance, standard deviation or scale."""
    axes = tuple(range(a.x.ndim - 1)) if axes is None else axes
    mu = a.x.mean(axes, keepdims=True)
    v = a.x.var(axes, ddof=ddof, keepdims=True) if variance is None else variance
    std = np.sqrt(v + a.eps) if std is None else std(v, a.eps)
    return (a.weight if gamma is None else gamma) * (a.x - mu) / std + a.bias


def _statistics(a: Any, ddof: int = 0) -> tuple[Array, Array]:
    rows = _rows(a.x)
    return rows.mean(0), rows.var(0, ddof=ddof)


_TRAIN = [
    ("unbiased", "the variance is the unbiased one, divided by n - 1: to normalise it is the biased one, divided by n", lambda a: _norm(a, ddof=1)),
    ("eps missing", "eps is not added to the variance", lambda a: _norm(a, std=lambda v, e: np.sqrt(v))),
    ("eps outside", "eps is added to the standard deviation: it is sqrt(v + eps), not sqrt(v) + eps", lambda a: _norm(a, std=lambda v, e: np.sqrt(v) + e)),
    ("fixed eps", "eps is always 1e-5, whatever `eps` says", lambda a: _norm(a, std=lambda v, e: np.sqrt(v + 1e-5))),
    ("no root", "it is divided by the variance, and not by its square root", lambda a: _norm(a, std=lambda v, e: v + e)),
    ("not divided", "the mean is taken off, but nothing is divided by the standard deviation", lambda a: _norm(a, std=lambda v, e: 1)),
    ("not centred", "the mean is not taken off", lambda a: a.weight * a.x / np.sqrt(_statistics(a)[1] + a.eps) + a.bias),
    ("no scale", "gamma is left out", lambda a: _norm(a, gamma=1)),
    ("no shift", "beta is left out", lambda a: _norm(a) - a.bias),
    ("swapped", "gamma and beta are swapped", lambda a: _norm(a, gamma=a.bias) - a.bias + a.weight),
    ("first axis", "the statistics are over the first axis only: all but the channels belong to them", lambda a: _norm(a, axes=0)),
    ("last axis", "the statistics are over the channels (layer norm): each channel has its own, over all others", lambda a: _norm(a, axes=-1)),
    ("image", "the statistics are those of each image (instance norm): they are over the batch, too", lambda a: _norm(a, axes=(1, 2))),
    ("total", "the statistics are over all channels together: each channel has its own", lambda a: _norm(a, axes=tuple(range(a.x.ndim)))),
]  # fmt: skip
_INV_STD = [
    ("variance", "it is the variance: inv_std is 1 / sqrt(v + eps)", lambda a: _statistics(a)[1]),
    ("std", "it is the standard deviation: inv_std is 1 / sqrt(v + eps)", lambda a: np.sqrt(_statistics(a)[1] + a.eps)),
    ("std without eps", "it is the standard deviation: inv_std is 1 / sqrt(v + eps)", lambda a: np.sqrt(_statistics(a)[1])),
    ("unbiased", "the variance is the unbiased one, divided by n - 1: it is the biased one, divided by n", lambda a: 1 / np.sqrt(_statistics(a, 1)[1] + a.eps)),
    ("unbiased variance", "it is the unbiased variance: inv_std is 1 / sqrt(v + eps), with the biased one", lambda a: _statistics(a, 1)[1]),
    ("eps missing", "eps is not added to the variance", lambda a: 1 / np.sqrt(_statistics(a)[1])),
    ("eps outside", "eps is added to the standard deviation: it is sqrt(v + eps), not sqrt(v) + eps", lambda a: 1 / (np.sqrt(_statistics(a)[1]) + a.eps)),
    ("no root", "the square root is missing: inv_std is 1 / sqrt(v + eps)", lambda a: 1 / (_statistics(a)[1] + a.eps)),
]  # fmt: skip


def _evaluated(a: Any, std: Any = None, **changed: Any) -> Array:
    given = SimpleNamespace(**(vars(a) | changed))
    root = np.sqrt(given.running_var + given.eps) if std is None else std(given.running_var, given.eps)
    return np.asarray(given.weight * (given.x - given.running_mean) / root + given.bias)


_EVAL = [
    ("batch statistics", "the statistics are those of the batch: after training they are the running ones", _norm),
    ("eps missing", "eps is not added to the variance", lambda a: _evaluated(a, lambda v, e: np.sqrt(v))),
    ("eps outside", "eps is added to the standard deviation: it is sqrt(v + eps), not sqrt(v) + eps", lambda a: _evaluated(a, lambda v, e: np.sqrt(v) + e)),
    ("fixed eps", "eps is always 1e-5, whatever `eps` says", lambda a: _evaluated(a, lambda v, e: np.sqrt(v + 1e-5))),
    ("no root", "it is divided by the variance, and not by its square root", lambda a: _evaluated(a, lambda v, e: v + e)),
    ("not centred", "the mean is not taken off", lambda a: _evaluated(a, running_mean=0)),
    ("no scale", "gamma is left out", lambda a: _evaluated(a, weight=1)),
    ("no shift", "beta is left out", lambda a: _evaluated(a, bias=0)),
    ("swapped", "gamma and beta are swapped", lambda a: _evaluated(a, weight=a.bias, bias=a.weight)),
    ("statistics swapped", "mean and variance are swapped", lambda a: _evaluated(a, running_mean=a.running_var, running_var=a.running_mean)),
]  # fmt: skip


def _closed(a: Any, mean: float = 1, slope: float = 1, n: int | None = None, r: Any = None, gamma: Any = None) -> Array:
    """dx = gamma r (dy - dbeta / n - h dgamma / n), with parts left out."""
    dy, x = _rows(a.dout), _rows(a.x)
    h = (x - a.mean) * a.inv_std
    n = n or len(x)
    dx = dy - mean * dy.sum(0) / n - slope * h * (dy * h).sum(0) / n
    return np.asarray(
        ((a.weight if gamma is None else gamma) * (a.inv_std if r is None else r) * dx).reshape(a.x.shape)
    )


_TRAIN_DX = [
    ("constants", "mean and variance are taken to be constants: they depend on x, and pass on gradient too", lambda a: _closed(a, 0, 0)),
    ("variance constant", "the variance is taken to be a constant: the part along h, h dgamma / n, is missing", lambda a: _closed(a, 1, 0)),
    ("mean constant", "the mean is taken to be a constant: the part dbeta / n is missing", lambda a: _closed(a, 0, 1)),
    ("not divided", "dbeta and dgamma are not divided by n", lambda a: _closed(a, n=1)),
    ("no scale", "gamma is left out", lambda a: _closed(a, gamma=1)),
    ("no root", "the factor inv_std is left out", lambda a: _closed(a, r=1)),
]  # fmt: skip
_TRAIN_DWEIGHT = [
    ("not normalised", "dout is multiplied with x, and not with the normalised h = (x - mu) r", lambda a: _rows(a.dout * a.x).sum(0)),
    ("not scaled", "dout is multiplied with x - mu, and not with h = (x - mu) r", lambda a: _rows(a.dout * (a.x - a.mean)).sum(0)),
    ("mean", "it is divided by n: the gradient of gamma is a sum, not a mean", lambda a: _rows(a.dout * (a.x - a.mean) * a.inv_std).mean(0)),
    ("first axis", "only the first axis is summed over: all but the channels have to be", lambda a: (a.dout * (a.x - a.mean) * a.inv_std).sum(0)),
    ("swapped", "dweight and dbias are swapped", lambda a: _rows(a.dout).sum(0)),
]  # fmt: skip
_TRAIN_DBIAS = [*_SUM_OF_ROWS, ("swapped", "dweight and dbias are swapped", lambda a: _rows(a.dout * (a.x - a.mean) * a.inv_std).sum(0))]  # fmt: skip


def _eval_r(a: Any) -> Array:
    return np.asarray(1 / np.sqrt(a.running_var + a.eps))


_EVAL_DX = [
    ("no scale", "gamma is left out", lambda a: _eval_r(a) * a.dout),
    ("no root", "the factor 1 / sqrt(v + eps) is left out", lambda a: a.weight * a.dout),
    ("eps missing", "eps is not added to the variance", lambda a: a.weight * a.dout / np.sqrt(a.running_var)),
    ("training", "it is the gradient of training: after it mean and variance are constants", lambda a: _closed(SimpleNamespace(**vars(a), mean=a.running_mean, inv_std=_eval_r(a)))),
]  # fmt: skip
_EVAL_DWEIGHT = [
    ("not normalised", "dout is multiplied with x, and not with the normalised (x - mu) r", lambda a: _rows(a.dout * a.x).sum(0)),
    ("not scaled", "dout is multiplied with x - mu, and not with (x - mu) r", lambda a: _rows(a.dout * (a.x - a.running_mean)).sum(0)),
    ("mean", "it is divided by n: the gradient of gamma is a sum, not a mean", lambda a: _rows(a.dout * (a.x - a.running_mean) * _eval_r(a)).mean(0)),
]  # fmt: skip

# -- softmax and cross-entropy -----------------------------------------------------------------------------------------


def _softmax(z: Array, axis: int = 1) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def _target(a: Any, smoothing: float | None = None, others_only: bool = False) -> Array:
    B, N = a.logits.shape
    e = a.label_smoothing if smoothing is None else smoothing
    right = (np.arange(N)[None] == a.labels[:, None]) * 1.0
    if others_only:
        return right * (1 - e) + (1 - right) * e / (N - 1)
    return right * (1 - e) + e / N


def _entropy(a: Any, p: Array | None = None, t: Array | None = None) -> Array:
    p, t = _softmax(a.logits) if p is None else p, _target(a) if t is None else t
    return np.asarray(-(t * np.log(p)).sum(1))


_LOSS = [
    ("no mean", "the 1/B is forgotten: the loss is the mean over the batch, not the sum", lambda a: _entropy(a).sum()),
    ("smoothing ignored", "the label smoothing is ignored", lambda a: _entropy(a, t=_target(a, 0.0)).mean()),
    ("smoothing of the others", "the label smoothing is shared by the wrong classes only, e / (N - 1): all N share it, e / N", lambda a: _entropy(a, t=_target(a, others_only=True)).mean()),
    ("base 2", "the logarithm has base 2: it is the natural one", lambda a: _entropy(a).mean() / np.log(2)),
    ("sign", "the sign is wrong: the loss is -sum t log p", lambda a: -_entropy(a).mean()),
    ("over the batch", "softmax is over the batch: each row has its own", lambda a: _entropy(a, p=_softmax(a.logits, 0)).mean()),
    ("over classes", "it is the mean over the classes too", lambda a: _entropy(a).mean() / a.logits.shape[1]),
    ("not summed", "it is a loss for each row: it is their mean", _entropy),
    ("no softmax", "the exponentials are not divided by their sum", lambda a: _entropy(a, p=np.exp(a.logits)).mean()),
]  # fmt: skip
_DLOGITS = [
    ("no mean", "the 1/B is forgotten: the loss is the mean over the batch, so that its gradient is (p - t) / B", lambda a: _softmax(a.logits) - _target(a)),
    ("smoothing ignored", "the label smoothing is ignored", lambda a: (_softmax(a.logits) - _target(a, 0.0)) / len(a.logits)),
    ("smoothing ignored, no mean", "the label smoothing is ignored, and the 1/B is forgotten", lambda a: _softmax(a.logits) - _target(a, 0.0)),
    ("smoothing of the others", "the label smoothing is shared by the wrong classes only, e / (N - 1): all N share it, e / N", lambda a: (_softmax(a.logits) - _target(a, others_only=True)) / len(a.logits)),
    ("probabilities", "it is p / B: the target is not taken off", lambda a: _softmax(a.logits) / len(a.logits)),
    ("only probabilities", "it is p: the target is not taken off, and the 1/B is forgotten", lambda a: _softmax(a.logits)),
    ("sign", "the sign is wrong: it is (p - t) / B, not (t - p) / B", lambda a: (_target(a) - _softmax(a.logits)) / len(a.logits)),
    ("over the batch", "softmax is over the batch: each row has its own", lambda a: (_softmax(a.logits, 0) - _target(a)) / len(a.logits)),
    ("all values", "it is divided by B N, and not by B", lambda a: (_softmax(a.logits) - _target(a)) / a.logits.size),
]  # fmt: skip

# -- depthwise separable -----------------------------------------------------------------------------------------------

_SEPARABLE = [
    ("flipped", "the depthwise kernel is turned by 180 degrees (flipped)", _own("depthwise_separable_conv2d", depthwise_weight=lambda a: a.depthwise_weight[::-1, ::-1])),
    ("transposed", "rows and columns of the depthwise kernel are swapped (transposed)", _own("depthwise_separable_conv2d", depthwise_weight=lambda a: a.depthwise_weight.swapaxes(0, 1))),
    ("stride ignored", "the stride is ignored", _own("depthwise_separable_conv2d", stride=1)),
    ("padding ignored", "the padding is ignored", _own("depthwise_separable_conv2d", padding=0)),
    ("dilation ignored", "the dilation is ignored", _own("depthwise_separable_conv2d", dilation=1)),
    ("stride of rows", "the stride is used for the rows only, and not for the columns (stride on the wrong axis)", _own("depthwise_separable_conv2d", stride=lambda a: (a.stride, 1))),
    ("stride of columns", "the stride is used for the columns only, and not for the rows (stride on the wrong axis)", _own("depthwise_separable_conv2d", stride=lambda a: (1, a.stride))),
    ("padding before", "the padding is on one side only: above and to the left", _own("depthwise_separable_conv2d", padding=lambda a: ((a.padding, 0), (a.padding, 0)))),
    ("padding after", "the padding is on one side only: below and to the right", _own("depthwise_separable_conv2d", padding=lambda a: ((0, a.padding), (0, a.padding)))),
    ("depthwise only", "the pointwise step is missing", lambda a: _own("depthwise_conv2d")(SimpleNamespace(x=a.x, weight=a.depthwise_weight, stride=a.stride, padding=a.padding, dilation=a.dilation))),
    ("stride twice", "the stride is used twice: it belongs to the depthwise step", lambda a: _own("depthwise_separable_conv2d")(a)[:, :: a.stride, :: a.stride]),
]  # fmt: skip
_SEPARABLE_DX = [
    ("flipped", "the depthwise kernel is not turned by 180 degrees", _own("depthwise_separable_conv2d_backward", depthwise_weight=lambda a: a.depthwise_weight[::-1, ::-1])),
]  # fmt: skip

_LISTS: dict[tuple[str, str], list[tuple[str, str, Made]]] = {
    ("relu", "out"): _RELU,
    ("relu_backward", "dx"): _RELU_DX,
    ("relu6", "out"): _RELU6,
    ("relu6_backward", "dx"): _RELU6_DX,
    ("leaky_relu", "out"): _LEAKY,
    ("leaky_relu_backward", "dx"): _LEAKY_DX,
    ("bias_add", "out"): _BIAS,
    ("bias_add_backward", "dbias"): _SUM_OF_ROWS,
    ("linear", "out"): _LINEAR,
    ("linear_backward", "dx"): _LINEAR_DX,
    ("linear_backward", "dweight"): _LINEAR_DWEIGHT,
    ("linear_backward", "dbias"): _SUM_OF_ROWS,
    ("channel_shuffle", "out"): _SHUFFLE,
    ("channel_shuffle_backward", "dx"): _SHUFFLE_DX,
    ("max_pool2d", "out"): _MAX,
    ("max_pool2d_backward", "dx"): _MAX_DX,
    ("avg_pool2d", "out"): _AVERAGE,
    ("avg_pool2d_backward", "dx"): _AVERAGE_DX,
    ("global_avg_pool", "out"): _GLOBAL,
    ("global_avg_pool_backward", "dx"): _GLOBAL_DX,
    ("batch_norm_train", "out"): _TRAIN,
    ("batch_norm_train", "inv_std"): _INV_STD,
    ("batch_norm_train_backward", "dx"): _TRAIN_DX,
    ("batch_norm_train_backward", "dweight"): _TRAIN_DWEIGHT,
    ("batch_norm_train_backward", "dbias"): _TRAIN_DBIAS,
    ("batch_norm_eval", "out"): _EVAL,
    ("batch_norm_eval_backward", "dx"): _EVAL_DX,
    ("batch_norm_eval_backward", "dweight"): _EVAL_DWEIGHT,
    ("batch_norm_eval_backward", "dbias"): _SUM_OF_ROWS,
    ("softmax_cross_entropy", "loss"): _LOSS,
    ("softmax_cross_entropy", "dlogits"): _DLOGITS,
    ("depthwise_separable_conv2d", "out"): _SEPARABLE,
    ("depthwise_separable_conv2d_backward", "dx"): _SEPARABLE_DX,
}
