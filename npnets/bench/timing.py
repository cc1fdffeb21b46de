"""Times that can be compared: the contenders take turns, A B A B, in one run, and each round gives one ratio.

What disturbs a machine (its clock, its other users) changes within seconds, so that times of two runs can hardly be
compared; two turns side by side are disturbed alike. A turn is one call, or as many as fill `TURN`, of which the median
counts: after another contender's turn the first short call finds cold caches and sleeping threads.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

TURN = 0.1  # seconds
LEAST_ROUNDS = 5  # quartiles of fewer say nothing
QUIET, PATIENCE = 0.01, 0.5  # seconds: for how long no thread may compute, and how long that is waited for


class Contender(Protocol):
    """Who can take a turn."""

    def prepare(self) -> None:
        """Set what belongs to the whole process, such as numbers of threads."""

    def call(self) -> Any:
        """Do the work once."""


@dataclass(frozen=True)
class Summary:
    """Median and quartiles."""

    median: float
    low: float
    high: float


def alternate(contenders: Sequence[Contender], seconds: float, rounds: int | None = None) -> list[list[float]]:
    """Let the contenders take turns, and return the seconds of a call for each contender and round.

    Parameters
    ----------
    contenders
        Each takes one turn a round, after one that is not counted.
    seconds
        When the rounds have taken so long no other begins; at least `LEAST_ROUNDS` are played.
    rounds
        Exactly so many, however long they take.
    """
    for contender in contenders:
        turn(contender)
    times: list[list[float]] = [[] for _ in contenders]
    start = time.perf_counter()
    played = 0
    while played < (rounds or LEAST_ROUNDS) or (rounds is None and time.perf_counter() - start < seconds):
        for contender, own in zip(contenders, times, strict=True):
            own.append(turn(contender))
        played += 1
    return times


def turn(contender: Contender) -> float:
    """Return the seconds of one call of the contender, once no other disturbs it."""
    settle()
    contender.prepare()
    return steady(contender.call)


def steady(call: Callable[[], Any]) -> float:
    """Return the seconds of one call: the median of those that fit into a turn, or of the first if it fills a turn."""
    first = timed(call)
    if first >= TURN:
        return first
    times: list[float] = []
    while sum(times) < TURN:
        times.append(timed(call))
    return float(np.median(times))


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def settle() -> None:
    """Wait until no thread of this process computes any more.

    The pools of other libraries keep their threads turning in circles for a while after a call, ready for the next one
    (PyTorch's OpenMP for 10 ms, ONNX Runtime's for 40): they would take a core from whoever is timed next. A system may
    count a thread's time in ticks of some milliseconds, so that a shorter look would miss it.
    """
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(QUIET)
        if time.process_time() - before < QUIET / 2:
            return


def summary(values: Sequence[float]) -> Summary:
    """Return median and quartiles.

    Examples
    --------
    >>> summary([4.0, 1.0, 2.0, 3.0, 5.0])
    Summary(median=3.0, low=2.0, high=4.0)
    """
    low, median, high = np.percentile(values, [25, 50, 75])
    return Summary(float(median), float(low), float(high))


def ratio(times: Sequence[float], others: Sequence[float]) -> Summary:
    """Return the ratio of the medians, and the quartiles of the ratios of each round.

    Examples
    --------
    >>> ratio([1.0, 2.0, 3.0], [2.0, 4.0, 4.0])
    Summary(median=0.5, low=0.5, high=0.625)
    """
    each = summary([a / b for a, b in zip(times, others, strict=True)])
    return Summary(summary(times).median / summary(others).median, each.low, each.high)
