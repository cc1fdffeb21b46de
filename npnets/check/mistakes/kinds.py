"""What a mistake is."""

from collections.abc import Callable
from typing import NamedTuple

from npnets._check import Array
from npnets.check.cases import Case


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
