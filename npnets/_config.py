"""Which implementation the operations run: `use("loops")`, `use("numpy")` or `use("numba")`, or a function of yours."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from npnets import _check

IMPLEMENTATIONS = ("loops", "numpy", "numba")

Function: TypeAlias = Callable[..., Any]

T = TypeVar("T", bound=Callable[..., object])


class _Choice(NamedTuple):
    name: str
    functions: Mapping[str, Function]  # by the names of the operations that they replace


_current = _Choice("numba", {})

# The operations that a function can replace: `ops.replaceable` adds them.
replaceable_names: set[str] = set()

# What every implementation is wrapped in. Infinities and NaN pass through silently, as compiled code lets them: NumPy
# alone would warn.
_around: Callable[[Any], Any] = np.errstate(all="ignore")


class _Restore:
    """What `use` returns: as a context manager it brings the earlier choice back."""

    def __init__(self, previous: _Choice) -> None:
        self._previous = previous

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _current
        _current = self._previous


def use(name: str | None = None, **functions: Function | tuple[Function | None, Function | None]) -> _Restore:
    """Choose the implementation of every operation, or functions of your own, at once and for the whole process.

    Parameters
    ----------
    name
        `"loops"` (the paper's formula, index for index), `"numpy"` (vectorised NumPy) or `"numba"` (the fast kernels,
        which is the default), for every operation: functions that were chosen before are let go of. None changes
        nothing but what `functions` names.
    functions
        By the names of operations: a function, or a pair of it and the one for the gradient. They are called as `npnets
        check` calls them, always with all keywords, and stride, padding and dilation as one int each: `mine(x, weight,
        stride=1, padding=1, dilation=1)` for `depthwise_conv2d=(mine, mine_backward)`. They get NumPy arrays, and what
        they return must have the right shapes, and the dtype of `x`. `conv2d` is replaced where `groups` is 1.

    Returns
    -------
    A context manager; leaving it brings the earlier choice back.

    Raises
    ------
    TypeError, ValueError
        The name is not one of the three; there is no such operation; or what is given for it is no function.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> x, weight = np.ones((1, 4, 4, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
    >>> with npnets.use("loops"):
    ...     float(npnets.ops.conv2d(x, weight)[0, 0, 0, 0])
    9.0
    >>> with npnets.use(relu=abs):
    ...     float(npnets.ops.relu(-x)[0, 0, 0, 0])
    1.0
    """
    global _current
    if name is not None or not functions:
        _check.one_of("name", name, IMPLEMENTATIONS)
    given: dict[str, Function] = {}
    for operation, value in functions.items():
        given |= _pair(operation, value)
    restore = _Restore(_current)
    _current = _Choice(name, given) if name is not None else _Choice(_current.name, {**_current.functions, **given})
    return restore


def _pair(operation: str, value: Function | tuple[Function | None, Function | None]) -> dict[str, Function]:
    """Return the functions that replace an operation and its gradient, by name."""
    if operation not in replaceable_names:
        raise ValueError(f"`{operation}` is not an operation of npnets.ops that a function could replace")
    names = operation, f"{operation}_backward"
    pair = value if isinstance(value, tuple | list) else (value, None)
    if len(pair) != 2:
        raise ValueError(f"`{operation}` (={value!r}) must be a function, or a pair: (forward, backward)")
    given = {name: function for name, function in zip(names, pair, strict=True) if function is not None}
    for name, function in given.items():
        if name not in replaceable_names:
            raise ValueError(f"`{operation}` has no `{name}` that a second function could replace")
        if not callable(function):
            raise TypeError(f"`{operation}` (={value!r}) must be a function, or a pair: (forward, backward)")
    return given


def implementation() -> str:
    """Return the name of the implementation in use.

    Examples
    --------
    >>> implementation()
    'numba'
    """
    return _current.name


def functions() -> Mapping[str, Function]:
    """Return the functions that `use` was given, by the names of the operations that they replace."""
    return _current.functions


def choose(*, loops: T, numpy: T, numba: T) -> T:
    """Return the one of the three that is in use."""
    chosen: T = _around({"loops": loops, "numpy": numpy, "numba": numba}[_current.name])
    return chosen


@contextmanager
def loops_through(around: Callable[[Any], Any]) -> Iterator[None]:
    """Use `loops`, and call `around(function)` in the place of each function."""
    global _around
    previous, _around = _around, around
    try:
        with use("loops"):
            yield
    finally:
        _around = previous
