"""The mult-adds that are executed: the formulas' own loops, run in plain Python on numbers that count.

The functions that `npnets.use("loops")` runs are Python functions which Numba compiles. Here they run uncompiled, and
every number in their arrays is a `Counted`, whose multiplication adds one to a counter: what is counted is what the
loops do, and no formula is asked. They leave out the taps that fall outside of the image, so that they multiply
`mult_adds - outside` times, as `npnets.cost` names both.

>>> import numpy as np, npnets
>>> with counting() as calls:
...     out = npnets.ops.depthwise_conv2d(np.ones((1, 4, 4, 2)), np.ones((3, 3, 2)), padding=1)
>>> calls, 3 * 3 * 2 * 4 * 4  # the formula counts all nine taps at each pixel
([Call(function='npnets.ops.depthwise._loops', multiplications=200)], 288)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from npnets._config import loops_through


class Call(NamedTuple):
    """A function of loops that ran, and how many times it multiplied."""

    function: str
    multiplications: int


class Counted(float):
    """A number that counts how often it is multiplied."""

    multiplications = 0

    def __mul__(self, other: float) -> float:
        """Return the product, an ordinary number, and count it."""
        Counted.multiplications += 1
        return float(self) * float(other)

    __rmul__ = __mul__


# Where convolutions and linear layers stand, which is what mult-adds are counted of.
COUNTED = tuple(f"npnets.ops.{name}" for name in ("conv2d", "depthwise", "pointwise", "linear"))


@contextmanager
def counting() -> Iterator[list[Call]]:
    """Run the loops of all operations in plain Python, and list the calls of those of convolutions and linear layers.

    Whole networks work, forward and backward, though a thousand times slower than compiled. The results are those of
    `npnets.use("loops")`, but that sums of products are of float64.
    """
    calls: list[Call] = []

    def around(function: Any) -> Callable[..., None]:
        uncompiled = getattr(function, "py_func", function)  # where Numba's compiler is off there is only the one
        if uncompiled.__module__ not in COUNTED:
            silent: Callable[..., None] = np.errstate(all="ignore")(uncompiled)
            return silent

        def counted(*arguments: Any) -> None:
            before = Counted.multiplications
            _on_counted_numbers(uncompiled, arguments)
            name = f"{uncompiled.__module__}.{uncompiled.__name__}"
            calls.append(Call(name, Counted.multiplications - before))

        return counted

    with loops_through(around):
        yield calls


def _on_counted_numbers(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Call a function of loops with copies of its arrays that hold `Counted` numbers, and copy back what it wrote."""
    copies = [np.vectorize(Counted, [object])(value) if isinstance(value, np.ndarray) else value for value in arguments]
    function(*copies)
    for value, copy in zip(arguments, copies, strict=True):
        if isinstance(value, np.ndarray):
            value[...] = copy
