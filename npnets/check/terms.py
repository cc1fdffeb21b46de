"""Which terms a function sums: found by asking it, one term after the other.

A convolution is linear in each of its arrays. Given a kernel and an image that are 1 in one place each, and 0 in all
others, it returns the factor that K[i,j,m] F[b,r,c,m] has in each output: 1 where the formula has that term, else 0.
Asked for all places it has told all of its terms, and nobody has to read its code.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np

from npnets._check import Array
from npnets.check.cases import Case
from npnets.check.operations import Operation

# So many calls at most: a case with more places has too many terms to be written down, too.
MOST_CALLS = 1500


class Terms(NamedTuple):
    """The terms of one result.

    Attributes
    ----------
    names
        The arrays whose product is summed: one or two.
    expected, found
        The factor of each term: the axes of the first array, those of the second, those of the result, all flat.
    """

    names: tuple[str, ...]
    expected: Array
    found: Array


def terms(
    call: Callable[[Case], Array | None], operation: Operation, result: str, case: Case, found: Array
) -> Terms | None:
    """Return the terms that npnets and the function sum in one result; None where the function sums no terms.

    Parameters
    ----------
    call
        Returns the function's result, in npnets' layout.
    operation, result, case
        What is asked for: a case in which the function differs.
    found
        The result there. The terms must add up to it.
    """
    names = operation.factors(result)
    arrays = [case.arguments[name] for name in names]
    if not names or np.prod([one.size for one in arrays]) > MOST_CALLS:
        return None
    number = operation.results.index(result)
    places = [range(one.size) for one in arrays]
    shape = *(one.size for one in arrays), found.size
    tensors = np.zeros(shape), np.zeros(shape)
    nothing = _only(case, names, ())
    zeros = operation.correct(nothing.arguments)[number], call(nothing)
    for at in product(*places):
        asked = _only(case, names, at)
        answers = operation.correct(asked.arguments)[number], call(asked)
        for tensor, answer, zero in zip(tensors, answers, zeros, strict=True):
            if answer is None or zero is None:
                return None
            tensor[at] = np.subtract(answer.real, zero.real, dtype=np.float64).ravel()  # booleans, too
    letters = "ab"[: len(names)]
    total = np.einsum(f"{','.join(letters)},{letters}o->o", *(one.ravel() for one in arrays), tensors[1])
    zero = zeros[1]
    if zero is None or not np.allclose(total + zero.ravel(), found.ravel(), rtol=1e-9, atol=1e-9):
        return None
    return Terms(names, *tensors)


def _only(case: Case, names: tuple[str, ...], at: tuple[int, ...]) -> Case:
    """Return the case with arrays that are 0, but for 1 in one place each."""
    given = dict(case.arguments)
    for number, name in enumerate(names):
        given[name] = np.zeros_like(given[name])
        if at:
            given[name].flat[at[number]] = 1
    return Case(given)
