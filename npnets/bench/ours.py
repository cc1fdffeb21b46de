"""What npnets itself runs in the comparisons: the one place that knows its fast path."""

from collections.abc import Callable
from typing import Any, NamedTuple

import npnets
from npnets._check import Array
from npnets.models import Network


class LayerTime(NamedTuple):
    """What one fused step of a compiled network takes; `moved` are the bytes that it must read and write."""

    name: str
    seconds: float
    mult_adds: int
    moved: int


def compiled(net: Network) -> Callable[[Array], Array]:
    """Return the forward pass."""
    return npnets.compile(net)


def profile(net: Network, x: Array) -> list[LayerTime]:
    """Return the time of each step of the forward pass of one image, on one thread."""
    return [LayerTime(*step) for step in npnets.compile(net).profile(x[:1])]


def product(x: Array, weight: Array, groups: int) -> Callable[[], Any]:
    """Return a call of the matrix product that a pointwise convolution is."""
    return lambda: npnets.ops.pointwise_conv2d(x, weight, groups=groups)
