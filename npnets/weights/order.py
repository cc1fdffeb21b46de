"""Which array is which where names do not tell: by the order of the forward pass, and by shape.

A file has that order as a rule. Where it has its names sorted, the numbers in them still tell.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from npnets._check import Array
from npnets.models import MobileNetV1, ShuffleNetV1
from npnets.models.geometry import check_chain
from npnets.weights.layout import from_hwio, from_oihw
from npnets.weights.sources import ARRAYS

NORM = ("weight", "bias", "running_mean", "running_var")
BLOCK = ("depthwise", "pointwise")
UNIT = ("reduce", "depthwise", "expand")

Turn = Callable[[Array, str], Array]


class Ordered(NamedTuple):
    """A network, what turns kernels into npnets' order of axes, its arrays, and their names in the file, by npnets'."""

    network: type[MobileNetV1 | ShuffleNetV1]
    turn: Turn
    arrays: dict[str, Array]
    names: dict[str, str]


class Place(NamedTuple):
    """An array that a network has: npnets' name, the part of its layer, and whether it is a kernel."""

    name: str
    part: str
    kernel: bool

    @property
    def array(self) -> str:
        """Which one of its layer it is, such as `running_mean`."""
        return self.name.rpartition(".")[2]


def by_order(held: Mapping[str, Array]) -> Ordered | None:
    """Return what the arrays are if all of them, in order, have the shapes of one of the networks."""
    for names in _as_written(held), _sorted(held):
        for turn, sides in (from_oihw, slice(2, 4)), (from_hwio, slice(0, 2)):
            if found := _fitting({name: held[name] for name in names}, turn, sides):
                return found
    return None


def _fitting(held: Mapping[str, Array], turn: Turn, sides: slice) -> Ordered | None:
    """Return what the arrays are, in this order and with the sides of kernels on these axes, if they fit."""
    kernels = [value for value in held.values() if value.ndim > 1]
    if len(kernels) < 2 or any(value.ndim != 4 for value in kernels[:-1]):
        return None
    network = ShuffleNetV1 if kernels[1].shape[sides] == (1, 1) else MobileNetV1
    places = list(_places(network, len(kernels), biased=len(held) == 2 * len(kernels)))
    if [place.kernel for place in places] != [value.ndim > 1 for value in held.values()]:
        return None
    # The arrays of a batch norm have one shape, and TensorFlow has beta before gamma: there names must tell.
    if any(_array(name) not in (None, place.array) for place, name in zip(places, held, strict=True)):
        return None
    arrays, channels = {}, 0
    try:
        for place, value in zip(places, held.values(), strict=True):
            arrays[place.name] = turn(value, place.part) if place.kernel else value
            channels = arrays[place.name].shape[-1] if place.kernel else channels
            if value.ndim == 1 and value.size != channels:
                return None
        check_chain(network, {name: value.shape for name, value in arrays.items()})
    except (ValueError, IndexError):
        return None
    return Ordered(network, turn, arrays, {place.name: name for place, name in zip(places, held, strict=True)})


def _places(network: type[MobileNetV1 | ShuffleNetV1], kernels: int, biased: bool) -> Iterator[Place]:
    """Yield all arrays of a network with so many kernels, in order.

    A convolution is followed by batch norm or, where that is folded, by a bias.
    """
    parts, layer = (BLOCK, "block") if network is MobileNetV1 else (UNIT, "unit")
    convolutions = ["stem.conv"]
    convolutions += [f"{layer}{n}.{part}" for n in range(1, (kernels - 2) // len(parts) + 1) for part in parts]
    for convolution in convolutions:
        part = convolution.partition(".")[2]
        yield Place(f"{convolution}.weight", part, True)
        if biased:
            yield Place(f"{convolution}.bias", part, False)
            continue
        norm = "stem.norm" if part == "conv" else f"{convolution}_norm"
        yield from (Place(f"{norm}.{array}", "norm", False) for array in NORM)
    yield Place("classifier.weight", "classifier", True)
    yield Place("classifier.bias", "classifier", False)


def _as_written(held: Mapping[str, Array]) -> list[str]:
    """Return the names in their order in the file, but a layer's arrays in npnets' order."""
    layers = {name: _layer(name) for name in held}
    first = {layer: at for at, (layer, _) in reversed(list(enumerate(layers.values())))}
    return sorted(held, key=lambda name: (first[layers[name][0]], layers[name][1]))


def _sorted(held: Mapping[str, Array]) -> list[str]:
    """Return the names by the numbers in them, a layer's arrays in npnets' order, and the classifier last."""
    layers = {name: _layer(name) for name in held}
    last = {layers[name][0] for name, value in held.items() if value.ndim == 2} - held.keys()

    def key(name: str) -> tuple[bool, list[tuple[int, str]], int]:
        layer, array = layers[name]
        numbers = [(int(digits or -1), text) for digits, text in re.findall(r"(\d{1,9})|(\D+)", layer)]
        return layer in last, numbers, array

    return sorted(held, key=key)


def _layer(name: str) -> tuple[str, int]:
    """Split a name into that of the layer, and which of its arrays it is."""
    known = _array(name)
    return (re.split(r"[./]?[^./]*\Z", name, maxsplit=1)[0], NORM.index(known)) if known else (name, 0)


def _array(name: str) -> str | None:
    """Return npnets' name of an array in its layer, where the file has a name for it that is known."""
    return ARRAYS.get(re.split(r"[./]", name)[-1].removesuffix(":0"))
