"""The picture of all networks in the papers: accuracy against mult-adds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnets import _picture
from npnets._check import Array
from npnets._optional import need
from npnets._picture import BLUE, GREY, ORANGE
from npnets.tables.figures import UNITS, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What qualities of tables are of ImageNet, and the accuracy that they stand for.
ACCURACIES = {"top-1": lambda printed: printed, "error %": lambda printed: 100 - printed}
COLOURS = {"MobileNet": BLUE, "ShuffleNet": ORANGE, "others": GREY}
LEGEND = {"MobileNet": "MobileNet, width-side", "ShuffleNet": "ShuffleNet, scale and groups", "others": "others"}
LINES = (  # what is joined
    ("1.0-224", "0.75-224", "0.5-224", "0.25-224"),
    ("1.0-224", "1.0-192", "1.0-160", "1.0-128"),
    ("2x, g=3", "1.5x, g=3", "1x, g=3", "0.5x, g=3", "0.25x, g=3"),
)

# Where a label may stand, seen from its point, in points (1/72 inch) and as alignment: the first free place is taken.
# From further away than the first a line leads to the point, and no point is as near as CLEAR (pixels) to the label.
NEAR = 6
CLEAR = 12
PLACES = tuple(
    (distance * x, distance * y, across, along)
    for distance in (NEAR, 12, 20, 30)
    for x, y, across, along in (
        (1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
        (0.7, 0.7, "left", "bottom"), (0.7, -0.7, "left", "top"), (-0.7, 0.7, "right", "bottom"),
        (-0.7, -0.7, "right", "top"), (0.9, 0.45, "left", "center"), (-0.9, 0.45, "right", "center"),
        (0.9, -0.45, "left", "center"), (-0.9, -0.45, "right", "center"),
    )
)  # fmt: skip


class Point(NamedTuple):
    """A network: its name, "MobileNet", "ShuffleNet" or "others", mult-adds in millions, top-1 accuracy in per cent."""

    label: str
    family: str
    mult_adds: float
    accuracy: float


def points(tables: Sequence[Table]) -> list[Point]:
    """Return every network that has a printed accuracy on ImageNet, once: its computed mult-adds, else the printed."""
    found: dict[tuple[float, float], Point] = {}
    for table in tables:
        for row in table.rows if table.quality in ACCURACIES else ():
            if row.quality == "-":  # not trained
                continue
            figure = row.mult_adds
            exact = float(figure.exact) if figure.exact is not None else float(figure.printed) * UNITS[figure.unit]
            accuracy = round(ACCURACIES[table.quality](float(row.quality)), 1)
            family = next((name for name in COLOURS if name in row.label), "others")
            label = row.label.rpartition(": ")[2].removeprefix("ShuffleNet ").replace(" MobileNet-", "-")
            point = Point(label, family, float(exact) / 1e6, accuracy)
            known = found.setdefault((round(point.mult_adds, 1), accuracy), point)
            if "-" in label and known.family == "MobileNet":  # "0.75 MobileNet" of one table is "0.75-224" of another
                found[round(point.mult_adds, 1), accuracy] = point
    return list(found.values())


def accuracy(tables: Sequence[Table]) -> "Figure":
    """Return the picture.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    ValueError
        The tables have no accuracies on ImageNet.
    """
    shown = points(tables)
    if not shown:
        titles = ", ".join(f"{table.paper} {table.number}" for table in tables)
        raise ValueError(f"there is nothing to draw: no network of {titles} has an accuracy on ImageNet")
    figure = _picture.empty(10.5, 7.5)
    axes = figure.subplots()
    named = {point.label: point for point in shown}
    axes.set_xscale("log")
    lines = [[named[label] for label in line if label in named] for line in LINES]
    for line in filter(None, lines):
        axes.plot(*_places(line), color=COLOURS[line[0].family], alpha=0.35, zorder=1)
    for family, colour in COLOURS.items():
        own = [point for point in shown if point.family == family]
        axes.scatter(*_places(own), s=22, color=colour, label=LEGEND[family], zorder=2)
    ticks = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 15000)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.08, y=0.06)
    axes.set_xlabel("mult-adds of an image, millions")
    axes.set_ylabel("top-1 accuracy on ImageNet, %")
    axes.grid(color=GREY, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    papers = " and ".join(dict.fromkeys(table.paper for table in tables))
    figure.suptitle(f"Networks in the tables of {papers}", fontsize=11)
    _label(axes, shown, lines)
    return figure


def _label(axes: Any, shown: Sequence[Point], lines: Sequence[Sequence[Point]]) -> None:
    """Write the name of each point where it touches no other name, no point and no line, and none is nearer to it."""
    axes.figure.draw_without_rendering()  # now it is known where everything lies
    dots = _seen(axes, *_places(shown))
    taken = [_box(dot, dot).padded(4) for dot in dots]
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(zip(*_places(line), strict=True)):
            taken += [_box(dot, dot) for dot in _seen(axes, np.geomspace(x0, x1, 40), np.linspace(y0, y1, 40))]
    for point, dot in sorted(zip(shown, dots, strict=True), key=lambda one: -one[0].accuracy):
        place, colour = (point.mult_adds, point.accuracy), COLOURS[point.family]
        for x, y, across, along in PLACES:
            at: dict[str, Any] = {"xytext": (x, y), "textcoords": "offset points", "in_layout": False}
            text = axes.annotate(point.label, place, fontsize=7.5, color=colour, ha=across, va=along, **at)
            box, far = text.get_window_extent(), max(abs(x), abs(y)) > NEAR
            gap = min(_gap(box, other) for other in dots)
            end = dot + np.array([x, y]) * axes.figure.dpi / 72
            own = gap > CLEAR and _leads(end, dot, dots) if far else gap == _gap(box, dot)
            inside = axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1
            if own and inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                if far:
                    axes.annotate("", place, arrowprops={"arrowstyle": "-", "lw": 0.5, "color": colour}, **at)
                break
            text.remove()


def _leads(end: Array, dot: Array, dots: Array) -> bool:
    """Return whether a line from a point to `end` passes no other; where points nearly touch, it goes between them."""
    line = end - dot
    along = np.clip((dots - dot) @ line / (line @ line), 0, 1)
    passed = np.hypot(*(dot + along[:, None] * line - dots).T)
    return bool((passed >= np.minimum(5, 0.6 * np.hypot(*(dots - dot).T))).all())


def _gap(box: Any, dot: Array) -> float:
    """Return how far a point is from a box."""
    return float(np.hypot(*np.maximum(0, np.maximum(box.min - dot, dot - box.max))))


def _box(low: Array, high: Array) -> Any:
    return need("matplotlib.transforms", "demos", "the picture").Bbox([low, high])


def _seen(axes: Any, x: Any, y: Any) -> Array:
    """Return where points lie in the picture, (N, 2), in pixels."""
    seen: Array = axes.transData.transform(np.column_stack([x, y]))
    return seen


def _places(shown: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.mult_adds for point in shown], [point.accuracy for point in shown]
