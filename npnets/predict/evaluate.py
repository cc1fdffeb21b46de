"""How often a network is right: counted over labelled images, class by class."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from npnets._check import Array
from npnets.data.dataset import Labels
from npnets.preprocessing import Images

TOP = 5

Forward = Callable[[Images], Array]


class ClassScore(NamedTuple):
    """How one class fared: its images, those that were right, and what the others were taken for most often."""

    name: str
    images: int
    right: int
    mistake: str | None


@dataclass(frozen=True, eq=False)
class Score:
    """What came of an evaluation.

    Attributes
    ----------
    classes
        The names of those classes of the network that an image has, or was taken for.
    confusion
        confusion[a, b] counts the images of class a that were taken for class b, indices into `classes`.
    among_top
        How many images have their class among the five most probable ones; None where the network has no more than
        five.
    seconds
        That preprocessing and forward passes took.
    """

    classes: tuple[str, ...]
    confusion: Array
    among_top: int | None
    seconds: float

    @property
    def images(self) -> int:
        """How many there were."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """How many were taken for what they are."""
        return int(self.confusion.trace())

    def by_class(self) -> list[ClassScore]:
        """Return how each class with images fared."""
        rows = []
        for a, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True)):
            if row.any():
                wrong = np.where(np.arange(len(row)) == a, 0, row)
                mistake = self.classes[wrong.argmax()] if wrong.any() else None
                rows.append(ClassScore(name, int(row.sum()), int(row[a]), mistake))
        return rows

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON's types."""
        return {
            "images": self.images,
            "right": self.right,
            "accuracy": self.right / self.images,
            "among_top_5": self.among_top,
            "seconds": self.seconds,
            "classes": self.classes,
            "by_class": [row._asdict() for row in self.by_class()],
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    forward: Forward, images: Images, labels: Labels, classes: Sequence[str], batches: Iterable[slice]
) -> Score:
    """Count how often a network is right.

    Parameters
    ----------
    forward
        From images (B, H, W, C), uint8, to logits (B, N).
    images, labels
        (n, H, W, C) and (n,): indices of the network's outputs.
    classes
        The names of the N outputs.
    batches
        Which images go through the network together.

    Raises
    ------
    FloatingPointError
        A logit is not finite.
    """
    N = len(classes)
    confusion, among_top, seconds = np.zeros((N, N), np.int64), 0, 0.0
    for batch in batches:
        start = time.perf_counter()
        logits = forward(images[batch])
        seconds += time.perf_counter() - start
        if not np.isfinite(logits).all():
            raise FloatingPointError("a logit is not finite: the weights are damaged, or not those of this network")
        y = labels[batch]
        np.add.at(confusion, (y, logits.argmax(1)), 1)
        # as in `argmax` the first of equals wins: those before the own class come before it
        own = np.take_along_axis(logits, y[:, None], 1)
        before = (logits > own) | ((logits == own) & (np.arange(N) < y[:, None]))
        among_top += int((before.sum(1) < TOP).sum())
    seen = np.flatnonzero(confusion.any(0) | confusion.any(1)).tolist()
    names = tuple(classes[n] for n in seen)
    return Score(names, confusion[np.ix_(seen, seen)], among_top if N > TOP else None, seconds)


def outputs_of(classes: Sequence[str], names: Sequence[str] | None, outputs: int) -> Array:
    """Return for each class of the data which output of the network means it.

    Parameters
    ----------
    classes
        Of the data.
    names
        Of the network's outputs; if None they are the data's classes, in the same order.
    outputs
        How many the network has.

    Raises
    ------
    ValueError
        A class of the data is none of the network's, or two of them; or without `names` their numbers differ.

    Examples
    --------
    >>> outputs_of(["cat", "dog"], ["ant", "Dog", "cat"], 3)
    array([2, 1])
    """
    if names is None or list(classes) == [str(n) for n in range(outputs)]:  # numbers are no names
        if len(classes) != outputs:
            raise ValueError(
                f"the data has {len(classes)} classes and the network {outputs}, whose names are not known: "
                "give them by --classes"
            )
        return np.arange(outputs)
    where: dict[str, list[int]] = {}
    for n, name in enumerate(names):
        where.setdefault(name.casefold(), []).append(n)
    found = [where.get(name.casefold(), []) for name in classes]
    wrong = [repr(name) for name, n in zip(classes, found, strict=True) if len(n) != 1]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong[:5])}{' and so on' * (len(wrong) > 5)}: each class of the data must be one of the "
            f"network's, which are {', '.join(map(repr, names[:5]))}{' and so on' * (len(names) > 5)}"
        )
    return np.array([n[0] for n in found])
