"""Where a function of the reader's takes the place of an operation: `npnets.use(depthwise_conv2d=(mine, backward))`."""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from npnets import _check, _config
from npnets._check import Array, Ints, Pair
from npnets._config import Function
from npnets.ops._taps import crop, pad

P = ParamSpec("P")
R = TypeVar("R")

# While a function of the reader's runs, what it calls itself are npnets' own operations: it may begin with one of them.
_inside = threading.local()


def replaceable(operation: Callable[P, R]) -> Callable[P, R]:
    """Let `npnets.use` put another function in the place of a public operation."""
    name = operation.__name__
    _config.replaceable_names.add(name)

    @functools.wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        function = _config.functions().get(name)
        if function is None or getattr(_inside, "now", False):
            return operation(*args, **kwargs)
        bound = inspect.signature(operation).bind(*args, **kwargs)
        bound.apply_defaults()
        if name.startswith("conv2d") and bound.arguments.pop("groups") != 1:
            return operation(*args, **kwargs)
        _inside.now = True
        try:
            results: R = _replaced(name, operation, function, bound)
        finally:
            _inside.now = False
        return results

    return run


def _replaced(name: str, operation: Function, function: Function, bound: inspect.BoundArguments) -> Any:
    """Check the arguments, call the function with whole numbers only, and check what it returns."""
    like = _like(operation, bound.arguments)
    margins = _whole_numbers(name, bound.arguments)
    returned = function(*bound.args, **bound.kwargs)
    if len(like) == 1:
        returned = (returned,)
    if not isinstance(returned, tuple | list) or len(returned) != len(like):
        raise ValueError(f"the function for `{name}` must return {len(like)} values, and returned {_kind(returned)}")
    results = []
    for number, (value, expected) in enumerate(zip(returned, like, strict=True)):
        result = np.asarray(value)
        if margins is not None and number == 0 and name.endswith("_backward") and result.ndim == 4:
            result = crop(result, expected.shape, margins)  # dx, without what was put around the image
        results.append(_checked(name, result, expected))
    return results[0] if len(results) == 1 else tuple(results)


def _like(operation: Function, arguments: dict[str, Any]) -> list[Array]:
    """Return arrays of the shapes and dtypes that must come out, or raise what the operation does.

    npnets' own is asked, where it can be with no image at all.
    """
    given = dict(arguments)
    statistics = operation.__name__.startswith(("batch_norm", "softmax"))
    x = given.get("x", given.get("dout"))
    batch = len(x) if isinstance(x, np.ndarray) and x.ndim == 4 and not statistics else None
    if batch is not None:
        given |= {name: given[name][:0] for name in ("x", "dout") if isinstance(given.get(name), np.ndarray)}
        if "x_shape" in given:
            given["x_shape"] = (0, *given["x_shape"][1:])
    results = operation(**given)
    found = [np.asarray(one) for one in (results if isinstance(results, tuple) else (results,))]
    if batch is None:
        return found
    return [np.broadcast_to(one.dtype.type(0), (batch, *one.shape[1:])) if not len(one) else one for one in found]


def _checked(name: str, result: Array, expected: Array) -> Array:
    if not expected.ndim and result.dtype.kind == "f":  # a loss is a number, which has no dtype of its own
        result = result.astype(expected.dtype)
    if result.shape != expected.shape or result.dtype != expected.dtype:
        raise ValueError(
            f"the function for `{name}` must return {expected.dtype} of the shape {expected.shape}, "
            f"and returned {_kind(result)}"
        )
    return np.require(result, result.dtype, ["C", "A", "W", "E"]) if expected.ndim else result[()]


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of the shape {value.shape}"
    return f"{len(value)}" if isinstance(value, tuple | list) else f"a {type(value).__name__}"


def _whole_numbers(name: str, given: dict[str, Any]) -> Ints | None:
    """Replace pairs by single numbers; where padding is none, put it around the image, and return where that begins."""
    if "padding" not in given:
        return None
    pooling = "kernel_size" in given
    if pooling:
        given["kernel_size"] = _one("kernel_size", given["kernel_size"], name)
        given["stride"] = given["kernel_size"] if given["stride"] is None else given["stride"]
    for key in ("stride", "dilation"):
        if key in given:
            given[key] = _one(key, given[key], name)
    padding = 0 if given["padding"] == "valid" else given["padding"]
    if pooling or isinstance(padding, int | np.integer) or (isinstance(padding, tuple) and isinstance(padding[0], int)
                                                            and padding[0] == padding[1]):  # fmt: skip
        given["padding"] = _one("padding", padding, name, 0)
        return None
    x, weight = given["x"], given["weight" if "weight" in given else "depthwise_weight"]
    kernel = weight.shape[:2]
    window = _check.window(x.shape[1:3], kernel, given["stride"], padding, given["dilation"])
    given["x"] = pad(x, kernel, window.out, window.stride, window.before, window.dilation)
    given["padding"] = 0
    return window.before


def _one(argument: str, value: Pair, name: str, least: int = 1) -> int:
    if isinstance(value, str):
        raise ValueError(f"`{argument}` (={value!r}) must be a whole number for the function in the place of `{name}`")
    pair = _check.pair(argument, value, least)
    if pair[0] != pair[1]:
        raise ValueError(f"`{argument}` (={value!r}) must be one number for the function in the place of `{name}`")
    return pair[0]
