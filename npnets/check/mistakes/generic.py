"""What goes wrong with any operation: right values, times a factor, or in another order."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from npnets._check import Array
from npnets.check.cases import Case
from npnets.check.mistakes.kinds import Mistake
from npnets.check.operations import Operation

Change = Callable[[Array], Array]


def mistakes(operation: Operation, result: str) -> Iterator[Mistake]:
    """Yield the mistakes that a result of any operation can have."""
    number = operation.results.index(result)
    for key, words, change in _changes(operation, result):
        yield Mistake(key, words, _changed(operation, number, change))
    for key, words, factor in _FACTORS:
        yield Mistake(key, words, _scaled(operation, number, factor))
    for other, name in enumerate(operation.results):
        if other != number:
            yield Mistake(
                "order",
                f"it is `{name}`: {', '.join(operation.results)} is the order",
                _changed(operation, other, _same),
            )


def _same(value: Array) -> Array:
    return value


def _changed(operation: Operation, number: int, change: Change) -> Callable[[Case], Array]:
    return lambda case: change(operation.correct(case.arguments)[number])


def _scaled(operation: Operation, number: int, factor: Callable[[Case], float]) -> Callable[[Case], Array]:
    return lambda case: operation.correct(case.arguments)[number] * factor(case)


def _first_image(value: Array) -> Array:
    return np.where(np.arange(len(value)).reshape(-1, *[1] * (value.ndim - 1)) == 0, value, 0)


def _last_image(value: Array) -> Array:
    return np.where(np.arange(len(value)).reshape(-1, *[1] * (value.ndim - 1)) == len(value) - 1, value, 0)


def _changes(operation: Operation, result: str) -> Iterator[tuple[str, str, Change]]:
    """Yield changes of the right result."""
    axes = operation.symbols[result].axes
    if axes.startswith("b") and len(axes) > 1:
        yield "first image", "only the first image of the batch is computed", _first_image
        yield "last image", "only the last image of the batch is computed", _last_image
        yield (
            "one image",
            "every image of the batch gets the result of the first",
            lambda v: np.broadcast_to(v[:1], v.shape),
        )
        yield "no batch", "the axis of the batch is missing", lambda v: v[0]
    if len(axes) == 4 and axes.startswith("b"):
        yield "transposed", "rows and columns are swapped in the result", lambda v: v.swapaxes(1, 2)
        yield "upside down", "the rows of the result are in reverse order", lambda v: v[:, ::-1]
        yield "mirrored", "the columns of the result are in reverse order", lambda v: v[:, :, ::-1]
        yield "turned", "the result is turned by 180 degrees", lambda v: v[:, ::-1, ::-1]
        yield (
            "channels first",
            "the channels come first: the layout is (B, H, W, C); see --layout NCHW",
            _channels_first,
        )
        yield "channels last", "the channels come last: with --layout NCHW it is (B, C, H, W)", _channels_last
    if axes and axes[-1] in "mn":
        yield "channels reversed", "the channels of the result are in reverse order", lambda v: v[..., ::-1]
        yield "channels summed", "the channels are summed up", lambda v: v.sum(-1)
        yield ("channels equal", "all channels have the result of the first",
               lambda v: np.broadcast_to(v[..., :1], v.shape))  # fmt: skip
    yield "whole numbers", "it is cut off to whole numbers: an array of integers holds it", np.trunc
    yield "absolute", "the sign is lost: it is the absolute value", abs
    yield "relu", "negative values are 0", lambda v: np.maximum(v, 0)
    yield "square", "it is squared", np.square
    yield "zero", "it is 0 everywhere", np.zeros_like


def _channels_first(value: Array) -> Array:
    return value.transpose(0, 3, 1, 2)


def _channels_last(value: Array) -> Array:
    """Return what `turned_back` makes of a result that has npnets' layout already."""
    return np.moveaxis(value, 1, -1)


def _rows(case: Case) -> int:
    """Return n: the values that each channel has."""
    x = next(iter(case.arrays().values()))
    return math.prod(x.shape[:-1])


def _batch(case: Case) -> int:
    return len(next(iter(case.arrays().values())))


def _pixels(case: Case) -> int:
    """Return H W of the first array."""
    return math.prod(next(iter(case.arrays().values())).shape[1:3])


_FACTORS: tuple[tuple[str, str, Callable[[Case], float]], ...] = (
    ("negated", "the sign is wrong", lambda case: -1),
    ("batch divided", "it is divided by the size of the batch, B: the sum over the batch is no mean",
     lambda case: 1 / _batch(case)),
    ("batch times", "it is B times too large: the 1/B of a mean over the batch is forgotten", _batch),
    ("rows divided", "it is divided by B H W: the sum is no mean", lambda case: 1 / _rows(case)),
    ("pixels divided", "it is divided by H W: the sum is no mean", lambda case: 1 / _pixels(case)),
    ("twice", "it is twice as large: everything is added twice", lambda case: 2),
    ("half", "it is half as large", lambda case: 0.5),
)  # fmt: skip
