"""Which array of a file is which of a network: by the names of a source, or else by order and shape."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from npnets import _check
from npnets._check import Array
from npnets.models import MobileNetV1, ShuffleNetV1
from npnets.weights.layout import from_hwio, from_oihw
from npnets.weights.sources import IGNORED, NAMES, SOURCES, Source

MOST = 4000  # arrays; the paper's networks have up to 300

NORM = ("weight", "bias", "running_mean", "running_var")
BLOCK = ("depthwise", "pointwise")
UNIT = ("reduce", "depthwise", "expand")


class Match(NamedTuple):
    """The arrays of a file as a network has them.

    Attributes
    ----------
    source, by_order
        Whose names they are; whether order and shape told, since the names did not.
    arrays
        By npnets' names, with units numbered through all stages, in npnets' order of axes.
    names
        The file's name of each.
    left_over
        The file's names of all others.
    """

    source: Source
    by_order: bool
    arrays: dict[str, Array]
    names: dict[str, str]
    left_over: tuple[str, ...]


def match(held: Mapping[str, Array], source: str | None = None) -> Match:
    """Find out what the arrays of a file are.

    Parameters
    ----------
    held
        The arrays by the names that the file gives them, in its order.
    source
        One of `NAMES`; None to tell it from the names.

    Raises
    ------
    ValueError
        `source` is unknown; the names match no source, and order and shape no network; or an array of the source has
        another number of axes than it must have.
    """
    if source is not None:
        _check.one_of("source", source, NAMES)
    if len(held) > MOST:
        raise ValueError(f"it holds {len(held)} arrays, and no network has more than {MOST}")
    bare = {re.sub(r"^module\.", "", name): name for name in held if not IGNORED.search(name)}
    candidates = [one for one in SOURCES if source in (None, one.name)]
    best = max(candidates, key=lambda one: sum(one.place(name) is not None for name in bare))
    found = _by_name(best, bare, held)
    if source is None and found.left_over and (ordered := _by_order(bare, held)):
        return ordered
    if not found.names:
        known = "any source" if source is None else f"the source {source!r}"
        raise ValueError(
            f"none of its {len(held)} names ({_some(held)}) is one of {known}, "
            "and by order and shape they fit no network"
        )
    return found


def _by_name(source: Source, bare: Mapping[str, str], held: Mapping[str, Array]) -> Match:
    places = {name: place for name in bare if (place := source.place(name))}
    # Blocks and units count from 1 without gaps, whatever their numbers are there.
    ranks = {numbers: rank for rank, numbers in enumerate(sorted({p.numbers for p in places.values() if p.numbers}), 1)}
    arrays, names = {}, {}
    left_over = [bare[name] for name in bare if name not in places]
    for name, place in places.items():
        own = ".".join(
            part for part in (f"{place.layer}{ranks.get(place.numbers, '')}", place.part, place.array) if part
        )
        if own in names:
            left_over.append(bare[name])
            continue
        names[own], arrays[own] = bare[name], _turned(source, bare[name], held[bare[name]], place.part, place.array)
    if source.without_bias and "classifier.bias" not in arrays and "classifier.weight" in arrays:
        classifier = arrays["classifier.weight"]
        arrays["classifier.bias"] = 0 * classifier[0]
    return Match(source, False, arrays, names, tuple(left_over))


def _turned(source: Source, name: str, value: Array, part: str, array: str) -> Array:
    """Return an array in npnets' order of axes."""
    if value.ndim == 1 or part.endswith("norm") or array != "weight":
        return value
    try:
        return source.turn(value, part)
    except (ValueError, IndexError):
        raise ValueError(
            f"`{name}` has the shape {value.shape}, which is none of a {part or 'classifier'} of {source.name}"
        ) from None


def _by_order(bare: Mapping[str, str], held: Mapping[str, Array]) -> Match | None:
    """Take the arrays in the order of the file, or in that of the numbers in their names, if they are a network's."""
    for order in (list(bare), sorted(bare, key=_natural)):
        values = [held[bare[name]] for name in order]
        kernels = [value for value in values if value.ndim > 1]
        for turn, sides in (from_oihw, slice(2, 4)), (from_hwio, slice(0, 2)):
            if len(kernels) < 2 or any(value.ndim != 4 for value in kernels[:-1]):
                continue
            mobile = kernels[1].shape[sides] != (1, 1)
            expected = list(_in_order(mobile, len(kernels), biased=len(values) == 2 * len(kernels)))
            if [value.ndim > 1 for value in values] != [kernel for _, _, kernel in expected]:
                continue
            source = Source("order", MobileNetV1 if mobile else ShuffleNetV1, {}, turn)
            names = {own: bare[name] for (own, _, _), name in zip(expected, order, strict=True)}
            try:
                arrays = {
                    own: turn(value, part) if kernel else value
                    for (own, part, kernel), value in zip(expected, values, strict=True)
                }
            except (ValueError, IndexError):
                continue
            return Match(source, True, arrays, names, ())
    return None


def _in_order(mobile: bool, kernels: int, biased: bool) -> Iterable[tuple[str, str, bool]]:
    """Yield name, part and whether it is a kernel of each array of a network with so many kernels.

    A convolution is followed by batch norm or, where that is folded, by a bias.
    """
    parts, layer = (BLOCK, "block") if mobile else (UNIT, "unit")
    convolutions = ["stem.conv"]
    convolutions += [f"{layer}{n}.{part}" for n in range(1, (kernels - 2) // len(parts) + 1) for part in parts]
    for convolution in convolutions:
        part = convolution.partition(".")[2]
        yield f"{convolution}.weight", part, True
        if biased:
            yield f"{convolution}.bias", part, False
            continue
        norm = "stem.norm" if part == "conv" else f"{convolution}_norm"
        for array in NORM:
            yield f"{norm}.{array}", "norm", False
    yield "classifier.weight", "classifier", True
    yield "classifier.bias", "classifier", False


def _natural(name: str) -> list[tuple[int, str]]:
    """Order names so that 2 comes before 10."""
    return [(int(digits or -1), text) for digits, text in re.findall(r"(\d+)|(\D+)", name)]


def _some(names: Iterable[str]) -> str:
    shown = [name[:40] for name, _ in zip(names, range(3), strict=False)]
    return ", ".join(shown) + ", ..." if len(shown) == 3 else ", ".join(shown)
