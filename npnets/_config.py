"""Which implementation the operations run: `use("loops")`, `use("numpy")` or `use("numba")`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from npnets import _check

IMPLEMENTATIONS = ("loops", "numpy", "numba")

T = TypeVar("T", bound=Callable[..., object])

_current = "numba"

# What every implementation is wrapped in. Infinities and NaN pass through silently, as compiled code lets them: NumPy
# alone would warn.
_around: Callable[[Any], Any] = np.errstate(all="ignore")


class _Restore:
    """What `use` returns: as a context manager it brings the earlier choice back."""

    def __init__(self, previous: str) -> None:
        self._previous = previous

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _current
        _current = self._previous


def use(name: str) -> _Restore:
    """Choose the implementation of every operation, at once and for the whole process.

    Parameters
    ----------
    name
        `"loops"` (the paper's formula, index for index), `"numpy"` (vectorised NumPy) or `"numba"` (the fast kernels,
        which is the default).

    Returns
    -------
    A context manager; leaving it brings the earlier choice back.

    Raises
    ------
    ValueError
        The name is not one of the three.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> x, weight = np.ones((1, 4, 4, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
    >>> with npnets.use("loops"):
    ...     float(npnets.ops.conv2d(x, weight)[0, 0, 0, 0])
    9.0
    """
    global _current
    _check.one_of("name", name, IMPLEMENTATIONS)
    restore = _Restore(_current)
    _current = name
    return restore


def implementation() -> str:
    """Return the name of the implementation in use.

    Examples
    --------
    >>> implementation()
    'numba'
    """
    return _current


def choose(*, loops: T, numpy: T, numba: T) -> T:
    """Return the one of the three that is in use."""
    chosen: T = _around({"loops": loops, "numpy": numpy, "numba": numba}[_current])
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
