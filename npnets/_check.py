"""Argument checks: each operation calls them once, at its door, and nothing behind the door checks again.

Every message names the argument, its value and the rule.
"""

import operator
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = tuple[int, int]
Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | Literal["same", "valid"]

PADDINGS = 'a whole number, a pair (vertical, horizontal), ((top, bottom), (left, right)), "same" or "valid"'
MOST_PIXELS = 2**31 - 1  # of a stride, a dilation, a margin: products of two fit the kernels' integers

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Window(NamedTuple):
    """Where a kernel is laid on its input: all pairs are (vertical, horizontal)."""

    stride: Ints
    before: Ints  # rows of zeros above, columns of zeros to the left
    dilation: Ints
    out: Ints  # rows and columns of the output


def integer(name: str, value: object, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"`{name}` (={value!r}) must be a whole number") from None
    if number < least:
        raise ValueError(f"`{name}` (={number}) must be at least {least}")
    return number


def number(name: str, value: object, least: float, below: float = float("inf"), *, strictly: bool = False) -> float:
    """Return `value` as a float of at least `least` (strictly: greater than it) and less than `below`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"`{name}` (={value!r}) must be a number")
    if not least <= value < below or (strictly and value == least):
        limit = f"{'greater than' if strictly else 'at least'} {least:g}" + (
            f" and less than {below:g}" if below < float("inf") else " and finite"
        )
        raise ValueError(f"`{name}` (={value}) must be {limit}")
    return float(value)


def one_of(name: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is not one of those that are allowed."""
    if value not in tuple(allowed):  # by ==: a value that has no hash is refused like any other
        raise ValueError(f"`{name}` (={value!r}) must be one of {', '.join(map(repr, allowed))}")


def pair(name: str, value: Pair, least: int) -> Ints:
    """Return `value`, one int for both directions or a pair, as a pair of ints of at least `least`."""
    if not isinstance(value, tuple | list):
        number = _pixels(name, value, least)
        return number, number
    if len(value) != 2:
        raise ValueError(f"`{name}` (={value!r}) must be a whole number or a pair (vertical, horizontal)")
    return _pixels(name, value[0], least), _pixels(name, value[1], least)


def _pixels(name: str, value: object, least: int) -> int:
    number = integer(name, value, least)
    if number > MOST_PIXELS:
        raise ValueError(f"`{name}` (={number}) must be at most {MOST_PIXELS}")
    return number


def array(name: str, value: object, axes: str) -> Array:
    """Return `value` contiguous, aligned, writeable, in native byte order; `axes` lists its axes, "..." for any.

    Only what is not so already is copied: Numba would compile every kernel again for each such layout.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(f"`{name}` must be a NumPy array, and is a {type(value).__name__}")
    if value.dtype.newbyteorder("=") not in FLOATS:
        raise TypeError(f"`{name}` must be float32 or float64, and is {value.dtype}")
    if axes != "..." and value.ndim != len(axes.split()):
        raise ValueError(f"`{name}` must have the axes ({', '.join(axes.split())}), and has the shape {value.shape}")
    return np.require(value, value.dtype.newbyteorder("="), ["C", "A", "W", "E"])


def arrays(*named: tuple[str, object, str]) -> list[Array]:
    """Check (name, value, axes) triples as `array` does, and that all have the dtype of the first."""
    checked = [array(*one) for one in named]
    for (name, _, _), value in zip(named[1:], checked[1:], strict=True):
        if value.dtype != checked[0].dtype:
            raise TypeError(
                f"`{name}` is {value.dtype} and `{named[0][0]}` is {checked[0].dtype}: both must be the same"
            )
    return checked


def shape(name: str, value: Array, expected: tuple[int, ...], why: str) -> None:
    """Refuse a shape that is not the expected one."""
    if value.shape != expected:
        raise ValueError(f"`{name}` must have the shape {expected}, {why}, and has {value.shape}")


def upstream(dout: object, out_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Check the gradient that flows in: it has the shape and dtype of the operation's output."""
    value = array("dout", dout, "...")
    shape("dout", value, out_shape, "that of the output")
    if value.dtype != dtype:
        raise TypeError(f"`dout` must be {dtype} like the other arrays, and is {value.dtype}")
    return value


def image(name: str, shape: tuple[int, ...]) -> None:
    """Refuse feature maps without rows, columns or channels; a batch of 0 is fine."""
    if min(shape[1:]) < 1:
        raise ValueError(f"`{name}` must have at least one row, column and channel, and has the shape {shape}")


def channels(name: str, shape: tuple[int, ...]) -> None:
    """Refuse what has no last axis of at least one channel."""
    if not shape or shape[-1] < 1:
        raise ValueError(f"`{name}` must have a last axis of at least one channel, and has the shape {shape}")


def kernel(name: str, shape: tuple[int, ...]) -> None:
    """Refuse a kernel without entries."""
    if min(shape) < 1:
        raise ValueError(f"`{name}` must have at least one entry along each axis, and has the shape {shape}")


def groups(value: object, channels: int, outputs: int) -> int:
    """Return the number of groups, which must divide both numbers of channels."""
    number = integer("groups", value, 1)
    for count, what in ((channels, "input"), (outputs, "output")):
        if count % number:
            raise ValueError(f"`groups` (={number}) must divide the {what} channels (={count})")
    return number


def window(
    sides: Ints, kernel: Ints, stride: Pair, padding: Padding, dilation: Pair = 1, *, pooling: bool = False
) -> Window:
    """Lay a kernel on an input of `sides` rows and columns; the size of the output is rounded down, as in PyTorch."""
    strides, dilations = pair("stride", stride, 1), pair("dilation", dilation, 1)
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    (top, bottom), (left, right) = _margins(padding, sides, spans, strides)
    if pooling and (max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]):
        raise ValueError(
            f"`padding` (={padding!r}) must be less than `kernel_size` (={kernel}): a window would be empty"
        )
    padded = sides[0] + top + bottom, sides[1] + left + right
    if spans[0] > padded[0] or spans[1] > padded[1]:
        raise ValueError(
            f"the kernel covers {spans[0]} x {spans[1]} pixels (kernel {kernel}, `dilation` {dilations}), "
            f"more than the padded input of {padded[0]} x {padded[1]}"
        )
    out = (padded[0] - spans[0]) // strides[0] + 1, (padded[1] - spans[1]) // strides[1] + 1
    return Window(strides, (top, left), dilations, out)


def _margins(
    padding: Padding, sides: Ints, spans: tuple[int, ...], strides: Ints
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right))."""
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same":
            raise ValueError(f"`padding` (={padding!r}) must be {PADDINGS}")
        # TensorFlow's rule: ceil(side / stride) outputs, and the odd row goes below.
        total = [max(((n - 1) // s) * s + k - n, 0) for n, k, s in zip(sides, spans, strides, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2)
    if isinstance(padding, tuple | list):
        nested = [part for part in padding if isinstance(part, tuple | list)]
        if len(padding) != 2 or len(nested) == 1 or any(len(part) != 2 for part in nested):
            raise ValueError(f"`padding` (={padding!r}) must be {PADDINGS}")
        if nested:
            return pair("padding", nested[0], 0), pair("padding", nested[1], 0)
    rows, columns = pair("padding", padding, 0)  # type: ignore[arg-type]
    return (rows, rows), (columns, columns)
