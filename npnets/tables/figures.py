"""What a table of a paper is made of: figures as they are printed, beside the exact ones."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from npnets.cost import Cost, cost
from npnets.models import MobileNetV1, ShuffleNetV1
from npnets.models.mobilenet_v1 import BODY

UNITS = {"M": Fraction(10**6), "G": Fraction(10**9), "%": Fraction(1, 100)}


class Figure(NamedTuple):
    """A figure of a table.

    Attributes
    ----------
    printed
        As the paper has it; "" where it has none.
    exact
        Computed from the architecture; None where the paper does not say what to compute.
    counts
        What the exact figure counts.
    unit
        Of the printed figure, one of `UNITS`.
    budget
        Whether the paper prints what several networks were fitted to, and not what this one costs.
    """

    printed: str = ""
    exact: int | Fraction | None = None
    counts: str = ""
    unit: str = "M"
    budget: bool = False

    @property
    def status(self) -> str:
        """Return "=" where the exact figure, rounded, is the printed one; "~" a budget; "!" neither; "" one of both."""
        if not self.printed or self.exact is None:
            return ""
        digits = len(self.printed.partition(".")[2])
        if round(Fraction(self.exact) / UNITS[self.unit], digits) == Fraction(self.printed):
            return "="
        return "~" if self.budget else "!"


class Row(NamedTuple):
    """A line of a table.

    Attributes
    ----------
    label, quality
        What it is about, and how good that is, as printed.
    mult_adds, parameters
        The figures.
    note
        What is wrong or unclear in the paper.
    """

    label: str
    quality: str = ""
    mult_adds: Figure = Figure()
    parameters: Figure = Figure()
    note: str = ""


class Table(NamedTuple):
    """A table: its paper, number, title, what `Row.quality` is, its lines, and what there is to say about all of it."""

    paper: str
    number: int
    title: str
    quality: str
    rows: tuple[Row, ...]
    note: str = ""


# What a figure may count, and how to get it from a network's cost.
COUNTS: dict[str, Callable[[Cost], int]] = {
    "conv+fc": lambda count: count.mult_adds,
    "conv": lambda count: count.convolutions,
    "weights": lambda count: count.weights,
    "body": lambda count: count.weights - count.layers[-1].layer.params["weight"].size,
}


def row(
    label: str,
    quality: str,
    mult_adds: str,
    parameters: str = "",
    count: Cost | None = None,
    counts: tuple[str, str] = ("conv+fc", "weights"),
    unit: str = "M",
    budget: bool = False,
    note: str = "",
) -> Row:
    """Return a line of printed figures and those of `count`; without a count it is quoted."""
    exact = [None if count is None else COUNTS[name](count) for name in counts]
    return Row(
        label,
        quality,
        Figure(mult_adds, exact[0], counts[0], unit, budget),
        Figure(parameters, exact[1], counts[1]) if parameters else Figure(),
        note,
    )


@cache
def _mobilenet(width: float, rows: tuple[tuple[int, int], ...], num_classes: int) -> MobileNetV1:
    return MobileNetV1(width=width, rows=rows, num_classes=num_classes)


def mobilenet(
    width: float = 1, side: int = 224, rows: tuple[tuple[int, int], ...] = BODY, num_classes: int = 1000
) -> Cost:
    """Return what a MobileNet costs."""
    return cost(_mobilenet(width, rows, num_classes), (side, side))


@cache
def shufflenet(scale: float, groups: int) -> Cost:
    """Return what a ShuffleNet costs at 224 x 224."""
    return cost(ShuffleNetV1(scale=scale, groups=groups), (224, 224))
