"""What npnets itself runs in the comparisons: the one place that knows its fast path."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import npnets
from npnets._check import Array
from npnets._parallel import run
from npnets.kernels.product import INFINITY, multiply, pack, packed_size
from npnets.models import Network
from npnets.train.profile import profile as profile_step

BLOCK = 192  # pixels that a product takes at a time
TIMES = 20  # a product alone takes less than waking another thread, which a fused network does once
REPEATS = 20
BETWEEN = "between layers"


class LayerTime(NamedTuple):
    """What a layer takes, a fused step or a phase of training; `moved` are the bytes that it must move."""

    name: str
    seconds: float
    mult_adds: int
    moved: int


def compiled(net: Network) -> Callable[[Array], Array]:
    """Return the forward pass."""
    return npnets.compile(net)


def profile(net: Network, x: Array) -> list[LayerTime]:
    """Return the time of each step of the forward pass of one image, on one thread; or of a training step's phases."""
    if net.training:
        return [LayerTime(*phase) for phase in profile_step(net, x)]
    return [LayerTime(*step) for step in npnets.compile(net).profile(x[:1])]


def layers(net: Network, x: Array) -> list[LayerTime]:
    """Return the time of each layer by itself in the forward pass of one image, on one thread: nothing is fused.

    It is the shortest of the repeats, as other processes disturb some layer in each. The last one is `BETWEEN`, what is
    spent between the layers: shortcuts are added and joined there.
    """
    counted = npnets.cost(net.eval(), x.shape[1:]).layers
    rows: list[list[float]] = []  # of each repeat: the layers' times in their order, then the whole network's

    def timed(forward: Callable[[Array], Array]) -> Callable[[Array], Array]:
        def call(x: Array) -> Array:
            begin = time.perf_counter()
            out = forward(x)
            rows[-1].append(time.perf_counter() - begin)
            return out

        return call

    threads = npnets.get_threads()
    npnets.set_threads(1)
    net(x[:1])  # loads, or compiles
    try:
        for layer in counted:
            vars(layer.layer)["forward"] = timed(layer.layer.forward)  # found before the class's own
        for _ in range(REPEATS):
            rows.append([])
            timed(net)(x[:1])
    finally:
        npnets.set_threads(threads)
        for layer in counted:
            vars(layer.layer).pop("forward", None)
    seconds = np.array(rows)
    seconds[:, -1] -= seconds[:, :-1].sum(1)
    least = seconds.min(0)
    times = [
        LayerTime(one.name, float(s), one.mult_adds, one.bytes) for one, s in zip(counted, least[:-1], strict=True)
    ]
    return [*times, LayerTime(BETWEEN, float(least[-1]), 0, 0)]


def product(x: Array, weight: Array, groups: int) -> Callable[[], Any]:
    """Return a call that does `TIMES` times the matrix product that a pointwise convolution is, as fused networks do.

    The weights are packed beforehand, and each thread takes its share of the pixels in blocks that stay in its cache.
    """
    K, width = len(weight), weight.shape[1]
    N, pixels, size = width // groups, x.size // x.shape[-1], packed_size(K, width // groups, 1, x.dtype)
    packed, out = np.empty(groups * size, x.dtype), np.empty(pixels * width, x.dtype)
    pack(weight.reshape(-1), width, 1, N, K, N, groups, out[:0], packed, 0)
    flat, rows, out_rows = x.reshape(-1), np.arange(pixels) * groups * K, np.arange(pixels) * width
    taps = np.arange(K)

    def share(first: int, last: int) -> None:
        for p in list(range(first, last, BLOCK)) * TIMES:
            for g in range(groups):
                multiply(flat, rows, p, min(p + BLOCK, last), g * K, taps, 0, K, packed, g * size, N, out, out_rows,
                         False, out, out_rows, g * N, -INFINITY, INFINITY, flat, 0, 0, 0, 0)  # fmt: skip

    def call() -> None:
        run(share, pixels, TIMES * x.size * weight.shape[1])

    call()  # loads, or compiles
    return call
