"""Learning rate schedules: the rate as a function of how much of the training is done, 0 <= t < 1.

==========  ======================================================================================================
schedule    rate / lr
==========  ======================================================================================================
constant    1
step        1, .1, .01: a tenth after each third
linear      1 - t (ShuffleNet's)
cosine      (1 + cos(pi t)) / 2 (Loshchilov and Hutter, arXiv 1608.03983)
one-cycle   half a cosine wave up from 1/25 to 1 over the first 30 %, then down to 0 (Smith, arXiv 1708.07120)
==========  ======================================================================================================
"""

from collections.abc import Callable, Mapping
from math import cos, pi
from types import MappingProxyType

from npnets import _check

WARM_UP = 0.3  # of one-cycle
START = 1 / 25


def _one_cycle(t: float) -> float:
    if t < WARM_UP:
        return START + (1 - START) * (1 - cos(pi * t / WARM_UP)) / 2
    return (1 + cos(pi * (t - WARM_UP) / (1 - WARM_UP))) / 2


SCHEDULES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "constant": lambda t: 1.0,
        "step": lambda t: 0.1 ** int(3 * t),
        "linear": lambda t: 1 - t,
        "cosine": lambda t: (1 + cos(pi * t)) / 2,
        "one-cycle": _one_cycle,
    }
)


def rate(schedule: str, lr: float, step: int, steps: int) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    schedule
        "constant", "step", "linear", "cosine" or "one-cycle": see the table at the top of this file.
    lr
        The highest rate.
    step, steps
        Which step this is, from 0, and how many there are.

    Returns
    -------
    The rate, from 0 to `lr`.

    Raises
    ------
    ValueError
        The schedule is not one of these, or the step not one of the steps.

    Examples
    --------
    >>> [round(rate("linear", 0.5, step, 4), 3) for step in range(4)]
    [0.5, 0.375, 0.25, 0.125]
    """
    _check.one_of("schedule", schedule, SCHEDULES)
    if not 0 <= step < steps:
        raise ValueError(f"`step` (={step}) must be from 0 to {steps - 1}, the last one")
    return lr * SCHEDULES[schedule](step / steps)
