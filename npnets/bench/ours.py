"""What npnets itself runs in the comparisons: the one place that knows its fast path."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import npnets
from npnets._check import Array
from npnets.models import Network


class LayerTime(NamedTuple):
    """What one layer of a compiled network takes; `moved` are the bytes that it must read and write."""

    name: str
    seconds: float
    mult_adds: int
    moved: int


def compiled(net: Network) -> Callable[[Array], Array]:
    """Return the forward pass."""
    make: Callable[[Network], Callable[[Array], Array]] | None = getattr(npnets, "compile", None)
    return net.eval() if make is None else make(net)


def profile(net: Network, x: Array) -> list[LayerTime]:
    """Return the time of each layer of the forward pass, in its order."""
    plan: Any = compiled(net)
    if hasattr(plan, "profile"):
        return [LayerTime(*row) for row in plan.profile(x)]
    steps, _ = net.walk(x.shape[1:], "")
    random = np.random.default_rng(0)
    rows = []
    for step in steps:
        inputs = random.standard_normal((len(x), *step.in_shape)).astype(x.dtype)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            out = step.layer.forward(inputs)
            times.append(time.perf_counter() - start)
        moved = inputs.nbytes + out.nbytes + sum(value.nbytes for value in step.layer.params.values())
        rows.append(LayerTime(step.name, min(times), len(x) * step.mult_adds, moved))
    return rows


def product(x: Array, weight: Array, groups: int) -> Callable[[], Any]:
    """Return a call of the matrix product that a pointwise convolution is."""
    return lambda: npnets.ops.pointwise_conv2d(x, weight, groups=groups)
