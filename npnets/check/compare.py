"""Running a function on all cases, and comparing what it returns with what npnets returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from npnets._check import Array
from npnets.check.callers import Answer, Caller
from npnets.check.cases import LARGE, Case
from npnets.check.operations import Operation

# Sums of small whole numbers are exact. A program may still round, where it takes another way (a mean by the inverse of
# a number, a convolution by Fourier transforms): so many units in the last place of the largest value are no mistake,
# and a mistake on small whole numbers is far larger.
UNITS = 2**10

# So many cases tell which kind of arrays a function takes.
TRIED = 16


@dataclass(frozen=True)
class Difference:
    """How a result differs.

    Attributes
    ----------
    result
        The result, or the argument that was changed.
    kind
        "value", "nan", "shape", "dtype", "missing", "count", "changed" or "steady".
    index
        The first value that differs, in npnets' layout.
    expected, found
        Two values; or shapes in the function's layout, dtypes, counts.
    """

    result: str
    kind: str
    expected: Any
    found: Any
    index: tuple[int, ...] = ()


class Outcome(NamedTuple):
    """What became of one case.

    Attributes
    ----------
    case
        The case, in the dtype that the function got.
    expected, found
        The results of npnets and of the function, in npnets' layout; None where that could not be had.
    differences
        At most one for each result.
    error
        Why there are no results.
    """

    case: Case
    expected: tuple[Array, ...]
    found: tuple[Array | None, ...]
    differences: tuple[Difference, ...]
    error: str = ""
    ended: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the function is right here."""
        return not self.differences and not self.error

    @property
    def compared(self) -> bool:
        """Whether it was: large numbers are not, where there is float32 only."""
        return bool(self.found or self.differences or self.error)

    @property
    def exact(self) -> bool:
        """Whether all results are the same to the bit."""
        return all(np.array_equal(a, b) for a, b in zip(self.expected, self.found, strict=False) if b is not None)


class Run(NamedTuple):
    """What became of all cases, with one kind of arrays."""

    kind: str
    outcomes: tuple[Outcome, ...]

    @property
    def cases(self) -> int:
        """How many cases were compared."""
        return sum(one.compared for one in self.outcomes)

    @property
    def agreed(self) -> int:
        """In how many of them the function is right."""
        return sum(one.agrees and one.compared for one in self.outcomes)

    @property
    def failed(self) -> Outcome | None:
        """The first case, a smallest one, in which it is not."""
        return next((one for one in self.outcomes if not one.agrees), None)


def run(
    caller: Caller, function: str, operation: Operation, layout: str, cases: Sequence[Case], kinds: Sequence[str]
) -> Run:
    """Call a function with all cases, as arrays of the kind with which it does best: the first if they are equal."""
    tried = [_run(caller, function, operation, layout, cases[:TRIED] if len(kinds) > 1 else cases, kind)
             for kind in kinds]  # fmt: skip
    if len(kinds) == 1 or any(one.outcomes[-1].ended for one in tried):
        return max(tried, key=_score)
    tried.sort(key=_score, reverse=True)  # the order stays where they are equal
    best: Run | None = None
    for one in tried[:2]:
        whole = _run(caller, function, operation, layout, cases, one.kind)
        if best is None or _score(whole) > _score(best):
            best = whole
        if whole.failed is None or whole.outcomes[-1].ended:
            break
    assert best is not None
    return best


def _run(caller: Caller, function: str, operation: Operation, layout: str, cases: Sequence[Case], kind: str) -> Run:
    outcomes = []
    for case in cases:
        outcomes.append(outcome(operation, case, caller.call(function, kind, operation, case, layout), layout))
        if outcomes[-1].ended:
            break
    return Run(kind, tuple(outcomes))


def _score(tried: Run) -> tuple[int, int]:
    return tried.agreed, sum(not one.error for one in tried.outcomes)


def outcome(operation: Operation, case: Case, answer: Answer, layout: str) -> Outcome:
    """Compare an answer with what npnets returns."""
    if answer.error:
        return Outcome(case, (), (), (), answer.error, answer.ended)
    asked = next(iter(case.arrays().values())).dtype
    got = next((one.dtype for one in answer.given if one.dtype.kind == "f"), asked)
    case = case.cast(got) if got != asked else case
    expected = operation.correct(case.arguments)
    if len(answer.results) != len(expected):
        return Outcome(case, expected, (), (Difference("", "count", len(expected), len(answer.results)),))
    if got != asked and any(abs(one).max(initial=0) >= LARGE for one in case.arrays().values()):
        return Outcome(case, expected, (), ())  # what a framework has only float32 for cannot be asked
    found, differences = [], []
    for name, right, result, is_list in zip(operation.results, expected, answer.results, answer.lists, strict=True):
        value, difference = _compare(operation, name, right, result, is_list or right.ndim == 0, layout, case)
        found.append(value)
        differences += [difference] if difference is not None else []
    return Outcome(case, expected, tuple(found), (*differences, *_changed(operation, case, answer, layout)))


def _compare(
    operation: Operation, name: str, right: Array, result: Any, any_dtype: bool, layout: str, case: Case
) -> tuple[Array | None, Difference | None]:
    """Return a result in npnets' layout, if it has one, and how it differs, if it does."""
    if result is None:
        return None, Difference(name, "missing", right.shape, None)
    shown, found = operation.turned(name, right, layout), operation.turned_back(name, result, layout)
    if result.shape != shown.shape:
        return found, Difference(name, "shape", shown.shape, result.shape)
    real = found.real if found.dtype.kind == "c" else found
    same = abs(real.astype(np.float64) - right) <= slack(right, case)
    if not same.all():
        index = tuple(int(i) for i in np.argwhere(~same)[0])
        kind = "value" if np.isfinite(real[index]) else "nan"
        return found, Difference(name, kind, right[index].item(), found[index].item(), index)
    if found.dtype != right.dtype and not any_dtype:
        return found, Difference(name, "dtype", str(right.dtype), str(found.dtype))
    return found, None


def slack(right: Array, case: Case) -> float:
    """Return how far from npnets a value may be: see `UNITS`."""
    inputs = [float(abs(one).max(initial=1)) for one in case.arrays().values()]
    largest = max(float(abs(right).max(initial=1)), max(inputs) * min(inputs))
    return UNITS * float(np.finfo(right.dtype).eps) / 2 * largest


def _changed(operation: Operation, case: Case, answer: Answer, layout: str) -> list[Difference]:
    """Find the first argument that is not what it was before the call."""
    order = [name for name in case.arguments if isinstance(case.arguments[name], np.ndarray)]
    for name, after in zip(order, answer.given, strict=False):
        before = operation.turned(name, case.arguments[name], layout)
        if after is None or after.shape != before.shape or not np.array_equal(after, before.astype(after.dtype)):
            return [Difference(name, "changed", None, None)]
    return []
