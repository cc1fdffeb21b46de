"""What network a file's arrays are of: told from their shapes, before anything is built.

The arrays have npnets' names and axes, and ShuffleNet's units may be numbered through all stages, as `unit1` and so on.
Each shape is checked against the one before it, so that a network of these channels is no larger than the file.
"""

import math
import re
from collections.abc import Mapping
from itertools import count
from typing import Any

from npnets.models import MobileNetV1, Network
from npnets.models.mobilenet_v1 import BODY, STEM
from npnets.models.mobilenet_v1 import channels_of as mobilenet_channels
from npnets.models.shufflenet_v1 import CHANNELS, UNITS
from npnets.models.shufflenet_v1 import channels_of as shufflenet_channels

Shapes = Mapping[str, tuple[int, ...]]
MOST_DIGITS = 6  # of a width multiplier


def arguments_of(network: type[Network], shapes: Shapes) -> dict[str, Any]:
    """Return the arguments of the network whose arrays have these shapes, as far as shapes tell: no strides.

    Raises
    ------
    ValueError
        An array is missing, does not fit the one before it, or MobileNet's channels are the paper's at no width.
    """
    if network is MobileNetV1:
        inputs, channels, classes = _mobilenet(shapes)
        return {"width": _width(channels), "in_channels": inputs, "num_classes": classes}
    inputs, stem, stages, units, groups, classes = _shufflenet(shapes)
    known: dict[object, float] = {channels: scale for (scale, g), channels in CHANNELS.items() if g == groups}
    found: dict[str, Any] = {"groups": groups, "in_channels": inputs, "num_classes": classes}
    if (stem, stages) in known:
        found["scale"] = known[stem, stages]
    else:
        found |= {"stem_channels": stem, "stage_channels": stages}
    return found if units == UNITS else found | {"stage_units": units}


def check_fits(network: type[Network], arguments: Mapping[str, Any], shapes: Shapes) -> None:
    """Refuse arguments that describe another network than the one whose arrays have these shapes.

    So a network is built only when its weights are there: a description alone could ask for any amount of memory.

    Raises
    ------
    TypeError, ValueError
        The two differ, or an argument is of the wrong kind; the message says where.
    """
    given = {"num_classes": 1000, "in_channels": 3, **arguments}
    said: tuple[object, ...]
    held: tuple[object, ...]
    if network is MobileNetV1:
        held = _mobilenet(shapes)
        said = given["in_channels"], mobilenet_channels(given.get("width", 1.0), given.get("rows", BODY))
    else:
        held = _shufflenet(shapes)
        groups = given.get("groups", 3)
        channels = (given.get("stem_channels"), given.get("stage_channels"))
        stem, stages = shufflenet_channels(groups, given.get("scale", 1.0), *channels)
        said = given["in_channels"], stem, stages, tuple(given.get("stage_units") or UNITS), groups
    said = *said, given["num_classes"]
    if said != held:
        raise ValueError(f"its description is of a {network.__name__} with {said}, and its arrays of one with {held}")


def check_chain(network: type[Network], shapes: Shapes) -> None:
    """Refuse shapes that are not, one after the other, those of some network of this class.

    Raises
    ------
    ValueError
        An array is missing, or does not fit the one before it.
    """
    if network is MobileNetV1:
        _mobilenet(shapes)
    else:
        _shufflenet(shapes)


def _mobilenet(shapes: Shapes) -> tuple[int, list[int], int]:
    """Return the channels of the images, of the stem and each block, and the number of classes."""
    _, _, inputs, outputs = _expect(shapes, "stem.conv.weight", 3, 3, None, None)
    channels = [outputs]
    for number in range(1, _last(shapes, "block") + 1):
        _expect(shapes, f"block{number}.depthwise.weight", 3, 3, channels[-1])
        channels.append(_expect(shapes, f"block{number}.pointwise.weight", channels[-1], None)[1])
    _, classes = _expect(shapes, "classifier.weight", channels[-1], None)
    return inputs, channels, classes


def _shufflenet(shapes: Shapes) -> tuple[int, int, tuple[int, ...], tuple[int, ...], int, int]:
    """Return the channels of the images, the stem and each stage, units of each stage, groups, classes."""
    shapes = _numbered(shapes)
    _, _, inputs, stem = _expect(shapes, "stem.conv.weight", 3, 3, None, None)
    before, groups = stem, 1
    stages: list[int] = []
    units: list[int] = []
    for number in range(1, _last(shapes, "unit") + 1):
        # The first unit's first convolution is not grouped, and its second one tells how many groups the others have.
        _, middle = _expect(shapes, f"unit{number}.reduce.weight", before // groups, None)
        _expect(shapes, f"unit{number}.depthwise.weight", 3, 3, middle)
        outputs = 4 * middle
        begins = not stages or outputs != stages[-1]
        expanded = outputs - before if begins else outputs
        part, _ = _expect(shapes, f"unit{number}.expand.weight", None if number == 1 else middle // groups, expanded)
        groups = middle // max(part, 1) if number == 1 else groups
        if begins:
            stages.append(outputs)
            units.append(0)
        units[-1] += 1
        before = outputs
    _, classes = _expect(shapes, "classifier.weight", before, None)
    return inputs, stem, tuple(stages), tuple(units), max(groups, 1), classes


def _numbered(shapes: Shapes) -> Shapes:
    """Return the same with the units numbered through all stages: stage3_unit1 -> unit5."""
    found = {name: re.fullmatch(r"stage(\d{1,4})_unit(\d{1,4})\.(.+)", name) for name in shapes}
    units = {name: (int(unit[1]), int(unit[2])) for name, unit in found.items() if unit}
    ranks = {unit: rank for rank, unit in enumerate(sorted(set(units.values())), 1)}
    return {f"unit{ranks[units[name]]}.{unit[3]}" if unit else name: shapes[name] for name, unit in found.items()}


def _expect(shapes: Shapes, name: str, *expected: int | None) -> tuple[int, ...]:
    """Return the shape of an array, which must be the expected one; None is any number of at least 1."""
    if name not in shapes:
        raise ValueError(f"`{name}` is missing")
    shape = shapes[name]
    if len(shape) != len(expected) or any(
        side < 1 if rule is None else side != rule for side, rule in zip(shape, expected, strict=True)
    ):
        rule = ", ".join("*" if side is None else str(side) for side in expected)
        raise ValueError(f"`{name}` has the shape {shape}, and must have ({rule}) after those before it")
    return shape


def _last(shapes: Shapes, kind: str) -> int:
    """Return the number of the last block or unit that has no gap before it."""
    numbers = {int(found[1]) for name in shapes if (found := re.match(rf"{kind}(\d+)\.", name))}
    return next(number for number in count() if number + 1 not in numbers)


def _width(channels: list[int]) -> float:
    """Return the shortest decimal that, as width multiplier, gives these channels of MobileNet's body."""
    paper = [STEM, *(out for out, _ in BODY)]
    if len(channels) == len(paper):
        least = max(c / base if c > 8 else 0.0 for c, base in zip(channels, paper, strict=True))
        least = least or 8 / max(paper)
        for digits in range(MOST_DIGITS + 1):
            width: float = math.ceil(least * 10**digits) / 10**digits
            if width > 0 and mobilenet_channels(width, BODY) == channels:
                return width
        if mobilenet_channels(least, BODY) == channels:
            return least
    raise ValueError(
        f"the channels of its {len(channels) - 1} blocks, {channels}, are the paper's at no width, and strides cannot "
        "be told from weights: build the network with `rows` and use load_weights"
    )
