"""Usual mistakes, each with a function that makes it.

A name is a guess until it is tested: `recognise` names a mistake only where the function that makes it returns, in
every case, what the reader's function returned.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from npnets._check import Array
from npnets.check.cases import Case
from npnets.check.compare import Outcome, slack
from npnets.check.mistakes import activations, batch_norm, channels, convolutions, generic, loss, pools, separable
from npnets.check.mistakes.kinds import Lists, Mistake, model
from npnets.check.operations import Operation

__all__ = ["Mistake", "mistakes", "recognise"]

LISTS: Lists = {
    **activations.LISTS,
    **channels.LISTS,
    **pools.LISTS,
    **batch_norm.LISTS,
    **loss.LISTS,
    **separable.LISTS,
}


def mistakes(operation: Operation, result: str) -> Iterator[Mistake]:
    """Yield all that is known to go wrong with a result of an operation, the most telling first."""
    for key, words, made in LISTS.get((operation.name, result), ()):
        yield Mistake(key, words, model(made))
    yield from generic.mistakes(operation, result)
    if operation.forward in convolutions.NAMES:
        yield from convolutions.mistakes(operation.name, result)


def recognise(operation: Operation, result: str, outcomes: Sequence[Outcome]) -> tuple[Mistake | None, int]:
    """Return the first mistake that explains a result in all cases, and how many these are.

    Parameters
    ----------
    operation, result
        Which one.
    outcomes
        Of all cases; those in which the function raised say nothing.
    """
    number = operation.results.index(result)
    seen = [
        (one.case, found, one.expected[number])
        for one in outcomes
        if len(one.found) > number and (found := one.found[number]) is not None
    ]
    # The failing cases first: what does not explain them need not be tried on the others.
    seen.sort(key=lambda one: one[1].shape == one[2].shape and np.array_equal(one[1], one[2]))
    for mistake in mistakes(operation, result):
        if seen and all(_makes(mistake, *one) for one in seen):
            return mistake, len(seen)
    return None, len(seen)


def _makes(mistake: Mistake, case: Case, found: Array, expected: Array) -> bool:
    try:
        made = mistake.model(case)
    except (ValueError, IndexError, TypeError, ZeroDivisionError):  # it cannot be made here
        return False
    if made.shape != found.shape or found.dtype.kind == "c":
        return False
    with np.errstate(all="ignore"):
        near = abs(made - found.astype(np.float64)) <= slack(expected, case)
    same: bool = np.all(near | (made == found) | (np.isnan(made) & np.isnan(found))).item()
    return same
