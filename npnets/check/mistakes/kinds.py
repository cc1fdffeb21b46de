"""What a mistake is, and what the lists of them are made with."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npnets import ops
from npnets._check import Array
from npnets._config import Function, use
from npnets.check.cases import Case

# From a case's arguments, as attributes, to a result; and, by operation and result, (key, words, that).
Made: TypeAlias = Callable[[Any], Any]
Lists: TypeAlias = dict[tuple[str, str], list[tuple[str, str, Made]]]


class Mistake(NamedTuple):
    """A usual mistake, and a function that makes it.

    Attributes
    ----------
    key
        Its name.
    words
        What is wrong, as a sentence.
    model
        Returns what a function with this mistake returns for a case, in npnets' layout.
    """

    key: str
    words: str
    model: Callable[[Case], Array]


def model(made: Made) -> Callable[[Case], Array]:
    """Return a mistake's model, made of a function of the arguments."""

    def run(case: Case) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(made(SimpleNamespace(**case.arguments)))

    return run


def own(name: str, **changed: Any) -> Made:
    """Return the first result of npnets' own operation with some arguments changed: values, or functions of all."""
    function: Function = getattr(ops, name)

    def made(a: Any) -> Any:
        given = dict(vars(a)) | {key: change(a) if callable(change) else change for key, change in changed.items()}
        with use("numpy"):
            found = function(**given)
        return found[0] if isinstance(found, tuple) else found

    return made


def rows(x: Array) -> Array:
    """(..., C) -> (n, C)."""
    return x.reshape(-1, x.shape[-1])
