"""Which array of a file is which of a network: by the names of a source, or else by order and shape."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from npnets import _check
from npnets._check import Array
from npnets.weights.order import by_order
from npnets.weights.sources import IGNORED, NAMES, SOURCES, Source

MOST = 4000  # arrays; the paper's networks have up to 300


class Match(NamedTuple):
    """The arrays of a file as a network has them.

    Attributes
    ----------
    source
        Whose names they are; "order" where the names did not tell, and order and shape did.
    arrays
        By npnets' names, with units numbered through all stages, in npnets' order of axes.
    names
        The file's name of each.
    left_over
        The file's names of all others.
    """

    source: Source
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
    if source is None and found.left_over and (ordered := by_order({name: held[bare[name]] for name in bare})):
        network, turn, arrays, names = ordered
        return Match(Source("order", network, {}, turn), arrays, {own: bare[name] for own, name in names.items()}, ())
    if not found.names:
        known = f"the source {source!r}" if source else "any source, and by order and shape they fit no network"
        raise ValueError(f"none of its {len(held)} names ({_some(held)}) is one of {known}")
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
    return Match(source, arrays, names, tuple(left_over))


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


def _some(names: Iterable[str]) -> str:
    shown = [name[:40] for name, _ in zip(names, range(3), strict=False)]
    return ", ".join(shown) + ", ..." if len(shown) == 3 else ", ".join(shown)
