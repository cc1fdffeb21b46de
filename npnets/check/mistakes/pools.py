"""Pools that go wrong."""

from collections.abc import Callable
from types import SimpleNamespace as Given
from typing import Any

import numpy as np

from npnets._check import Array
from npnets.check.mistakes.kinds import Lists, Made, own


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

    def made(a: Any) -> Any:
        windows, _ = _windows(a.x, a, value)
        return np.asarray(how(windows, axis=(3, 4))).transpose(2, 0, 1, 3)

    return made


def _pool_dx(share: Callable[[Array, Array], Any], replaces: bool = False) -> Made:
    """Give each window's gradient to its pixels: share(window (B, n, n, M), dout (B, 1, 1, M)) of the same shape."""

    def made(a: Any) -> Any:
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


def _ties(window: Array, dout: Array) -> Any:
    return np.where(window == window.max((1, 2), keepdims=True), dout, 0)


def _shared_ties(window: Array, dout: Array) -> Any:
    mask = window == window.max((1, 2), keepdims=True)
    return mask * dout / mask.sum((1, 2), keepdims=True)


def _nth(window: Array, last: bool) -> Any:
    """Return where the first or last largest pixel is."""
    B, n, _, M = window.shape
    flat = window.reshape(B, n * n, M)
    place = n * n - 1 - flat[:, ::-1].argmax(1) if last else flat.argmax(1)
    return (np.arange(n * n)[None, :, None] == place[:, None]).reshape(window.shape)


def _without(a: Any, name: str) -> Any:
    return Given(**{key: value for key, value in vars(a).items() if key != name})


_POOL_OPTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("stride ignored", "the stride is ignored", {"stride": 1}),
    ("stride is size", "the stride is taken to be the kernel size, whatever `stride` says",
     {"stride": lambda a: a.kernel_size}),
    ("padding ignored", "the padding is ignored", {"padding": 0}),
    ("stride of rows", "the stride is used for the rows only, and not for the columns (stride on the wrong axis)",
     {"stride": lambda a: (a.stride, 1)}),
    ("stride of columns", "the stride is used for the columns only, and not for the rows (stride on the wrong axis)",
     {"stride": lambda a: (1, a.stride)}),
    ("padding before", "the padding is on one side only: above and to the left",
     {"padding": lambda a: ((a.padding, 0), (a.padding, 0))}),
    ("padding after", "the padding is on one side only: below and to the right",
     {"padding": lambda a: ((0, a.padding), (0, a.padding))}),
]  # fmt: skip


def _pool_options(name: str) -> list[tuple[str, str, Made]]:
    return [(key, words, own(name, **changed)) for key, words, changed in _POOL_OPTIONS]


_MAX = [
    ("padded with 0", "the padding counts as 0: only pixels inside of the image count, so that negative"
     " ones can be the largest (pad with -inf)",
     _pooled(np.max)),
    ("minimum", "it is the smallest value", _pooled(np.min, np.inf)),
    ("mean", "it is the mean, and not the largest value", own("avg_pool2d")),
    ("absolute", "it is the largest absolute value", _pooled(lambda w, axis: abs(w).max(axis))),
    ("first", "it is the first pixel of each window, and not the largest", _pooled(lambda w, axis: w[:, :, :, 0, 0])),
    *_pool_options("max_pool2d"),
]  # fmt: skip
_MAX_DX = [
    ("ties", "where several pixels are the largest, each of them gets the whole gradient: npnets and"
     " PyTorch give it to the first one",
     _pool_dx(_ties)),
    ("shared ties", "where several pixels are the largest, they share the gradient: npnets and PyTorch give"
     " it to the first one",
     _pool_dx(_shared_ties)),
    ("last tie", "where several pixels are the largest, the last one gets the gradient: npnets and PyTorch"
     " give it to the first one",
     _pool_dx(lambda w, g: _nth(w, True) * g)),
    ("replaced", "the gradient is not added up where windows overlap (= instead of +=)",
     _pool_dx(lambda w, g: _nth(w, False) * g, True)),
    ("replaced ties", "the gradient is not added up where windows overlap (= instead of +=), and all of the"
     " largest pixels get it",
     _pool_dx(_ties, True)),
    ("all pixels", "every pixel of the window gets the gradient: only the largest one does",
     _pool_dx(lambda w, g: np.broadcast_to(g, w.shape))),
    ("shared", "all pixels of the window share the gradient: that is the mean's",
     _pool_dx(lambda w, g: np.broadcast_to(g / w.shape[1] ** 2, w.shape))),
]  # fmt: skip
_AVERAGE = [
    ("padding not counted", "the zeros of the padding are never counted, whatever `count_include_pad` says",
     own("avg_pool2d", count_include_pad=False)),
    ("padding counted", "the zeros of the padding are always counted, whatever `count_include_pad` says",
     own("avg_pool2d", count_include_pad=True)),
    ("not divided", "it is the sum, and not divided by the number of pixels", _pooled(np.sum)),
    ("divided by n", "it is divided by the side of the window, and not by its pixels",
     lambda a: _pooled(np.sum)(a) / a.kernel_size),
    ("maximum", "it is the largest value, and not the mean",
     lambda a: own("max_pool2d")(_without(a, "count_include_pad"))),
    *_pool_options("avg_pool2d"),
]  # fmt: skip
_AVERAGE_DX = [
    ("padding not counted", "the zeros of the padding are never counted, whatever `count_include_pad` says",
     own("avg_pool2d_backward", count_include_pad=False)),
    ("padding counted", "the zeros of the padding are always counted, whatever `count_include_pad` says",
     own("avg_pool2d_backward", count_include_pad=True)),
    ("not divided", "the gradient is not divided by the number of pixels",
     _pool_dx(lambda w, g: np.broadcast_to(g, w.shape))),
    ("replaced", "the gradient is not added up where windows overlap (= instead of +=)",
     _pool_dx(lambda w, g: np.broadcast_to(g / w.shape[1] ** 2, w.shape), True)),
]  # fmt: skip
_GLOBAL = [
    ("sum", "it is the sum: the division by H W is missing", lambda a: a.x.sum((1, 2))),
    ("maximum", "it is the largest value, and not the mean", lambda a: a.x.max((1, 2))),
    ("rows", "it is divided by H alone, and not by H W", lambda a: a.x.sum((1, 2)) / a.x.shape[1]),
    ("columns", "it is divided by W alone, and not by H W", lambda a: a.x.sum((1, 2)) / a.x.shape[2]),
    ("square", "it is divided by H H, and not by H W", lambda a: a.x.sum((1, 2)) / a.x.shape[1] ** 2),
    ("channels", "the mean is that of each row and column over the channels: wrong axes", lambda a: a.x.mean(3)),
    ("wrong axes", "the mean is over the wrong axes: (1, 2) are rows and columns", lambda a: a.x.mean((2, 3))),
    ("batch", "the mean is over the batch too: the images are apart",
     lambda a: np.broadcast_to(a.x.mean((0, 1, 2)), (len(a.x), a.x.shape[3]))),
    ("kept axes", "the axes of rows and columns are kept: the output is (B, C)",
     lambda a: a.x.mean((1, 2), keepdims=True)),
]  # fmt: skip


def _spread(a: Any) -> Any:
    return np.broadcast_to(a.dout[:, None, None], a.x_shape)


_GLOBAL_DX = [
    ("not divided", "the division by H W is missing", _spread),
    ("rows", "it is divided by H alone, and not by H W", lambda a: _spread(a) / a.x_shape[1]),
    ("columns", "it is divided by W alone, and not by H W", lambda a: _spread(a) / a.x_shape[2]),
]  # fmt: skip

LISTS: Lists = {
    ("max_pool2d", "out"): _MAX,
    ("max_pool2d_backward", "dx"): _MAX_DX,
    ("avg_pool2d", "out"): _AVERAGE,
    ("avg_pool2d_backward", "dx"): _AVERAGE_DX,
    ("global_avg_pool", "out"): _GLOBAL,
    ("global_avg_pool_backward", "dx"): _GLOBAL_DX,
}
