"""From a tree of layers to a list of operations on values: batch norm folded, activation and shuffle taken in."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from npnets._check import Array, Ints
from npnets.kernels import inference as kind
from npnets.kernels.product import pack, packed_size, vector
from npnets.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    PointwiseConvolution,
    Sequential,
)
from npnets.models import Network
from npnets.models.shufflenet_v1 import ShuffleUnit

INFINITY = float("inf")

# A call of `product.multiply` takes so many vectors of columns at most: calls are what threads share of a product.
CALL_VECTORS = 16


class Call(NamedTuple):
    """Some columns of a product: from which channel and tap on it reads, its panels, how many, and where they go."""

    source: int
    taps: int
    weights: int
    columns: int
    target: int


class Operation(NamedTuple):
    """What is done to a value (an index into `Program.channels`) to make another one, or some channels of it."""

    kind: int
    names: tuple[str, ...]
    source: int
    target: int
    bounds: int  # of the activation, in the parameters: low, high, slope
    leaks: bool
    size: Ints = (1, 1)
    window: Mapping[str, Any] = {"stride": 1, "padding": 0}
    at: int = 0  # the target's first channel
    channels: int = 0  # how many are written
    order: Array = np.zeros((1, 0), np.int64)  # channels that the terms of a product take, for each group or for all
    weights: int = 0
    calls: tuple[Call, ...] = ()
    added: int | None = None
    counts_padding: bool = True

    @property
    def local(self) -> bool:
        """Whether an output pixel needs only the same pixel of the source."""
        return self.size == (1, 1) and self.window["stride"] in (1, (1, 1)) and self.window["padding"] == 0


class Program(NamedTuple):
    """Operations, how many channels each value has, and all parameters in one array."""

    operations: tuple[Operation, ...]
    channels: tuple[int, ...]
    params: Array


def lower(net: Network) -> Program:
    """Return the operations of a network, with its weights of now."""
    lowering = _Lowering(net.dtype)
    lowering.sequence(net.children, lowering.value(net.in_channels), "")
    return Program(tuple(lowering.operations), tuple(lowering.channels), lowering.parameters())


class _Into(NamedTuple):
    """Where a branch's last convolution writes: a value, from a channel on, and what it adds."""

    target: int
    at: int
    added: int | None
    activation: Activation


class _Lowering:
    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype, self.lanes = dtype, vector(dtype)
        self.operations: list[Operation] = []
        self.channels: list[int] = []
        self.orders: dict[int, Array] = {}  # of values that a shuffle is still to be applied to
        self._params: list[Array] = []
        self._at = 0

    def value(self, channels: int) -> int:
        self.channels.append(channels)
        return len(self.channels) - 1

    def parameters(self) -> Array:
        out = aligned(self._at, self.dtype)
        np.concatenate(self._params, out=out)
        return out

    def keep(self, values: Array) -> int:
        """Add parameters, from a multiple of a vector on, and return where."""
        at, size = self._at, -(-values.size // 16) * 16
        self._params.append(np.zeros(size, self.dtype))
        self._params[-1][: values.size] = values.ravel()
        self._at += size
        return at

    # -- the tree ------------------------------------------------------------------------------------------------------

    def sequence(self, layers: Mapping[str, Layer], value: int, path: str, into: _Into | None = None) -> int:
        groups = list(_groups(layers, path))
        for number, (names, group) in enumerate(groups):
            value = self.layer(names, group, value, into if number == len(groups) - 1 else None)
        return value

    def layer(self, names: tuple[str, ...], group: list[Layer], value: int, into: _Into | None) -> int:
        layer, kinds = group[0], [type(layer) for layer in group]
        if kinds[0] in CONVOLUTIONS:
            return self.convolution(names, group, value, into)
        if len(group) == 1 and value not in self.orders:
            if kinds[0] is Sequential:
                return self.sequence(layer.children, value, names[0])
            if isinstance(layer, ShuffleUnit) and kinds[0] is ShuffleUnit:
                return self.unit(layer, value, names[0])
            if isinstance(layer, MaxPool) and kinds[0] in (MaxPool, AveragePool):
                return self.pool(names[0], layer, value, self.value(self.channels[value]), 0, None)
            if kinds[0] is GlobalAveragePool:
                target = self.value(self.channels[value])
                bounds, leaks = self.bounds(None)
                self.operations.append(Operation(kind.MEAN, names, value, target, bounds, leaks))
                return target
            if kinds[0] is Linear:
                weight, bias = layer.params.values()
                return self.product(names, weight[None, None], bias, 1, value, None, None, {})
        if kinds[0] is ChannelShuffle and isinstance(layer, ChannelShuffle):
            return self.shuffle(layer, value)
        raise TypeError(f"`net` has `{names[0]}`, a {type(layer).__name__}, which compile does not know in this place")

    def convolution(self, names: tuple[str, ...], group: list[Layer], value: int, into: _Into | None) -> int:
        layer, weight = group[0], group[0].params["weight"].astype(np.float64)
        start = np.zeros(weight.shape[-1])
        activation: Activation | None = None
        for other in group[1:]:
            if isinstance(other, BatchNorm):
                scale, shift = _folded(other)
                weight, start = weight * scale, start * scale + shift
            elif isinstance(other, Activation):
                activation = other
        if isinstance(layer, DepthwiseConvolution):
            return self.depthwise(names, layer, weight, start, value, activation)
        assert isinstance(layer, Convolution | PointwiseConvolution)
        if weight.ndim == 2:
            weight = weight[None, None]
        window = getattr(layer, "window", {})
        return self.product(names, weight, start, layer.groups, value, activation, into, window)

    def product(self, names: tuple[str, ...], weight: Array, start: Array, groups: int, value: int,
                activation: Activation | None, into: _Into | None, window: Mapping[str, Any]) -> int:  # fmt: skip
        KH, KW, M, N = weight.shape
        K, n = KH * KW * M, N // groups
        calls = []
        for g in range(groups):
            for first, columns in _columns(n, self.lanes):
                a, b = g * n + first, g * n + first + columns
                matrix = np.ascontiguousarray(weight[..., a:b].reshape(K, columns), self.dtype)
                panels = np.zeros(packed_size(K, columns, 1, self.dtype), self.dtype)
                pack(matrix.ravel(), columns, 1, 0, K, columns, 1, start[a:b].astype(self.dtype), panels, 0)
                source, taps = (0, g * K) if value in self.orders else (g * M, 0)
                calls.append(Call(source, taps, self.keep(panels), columns, a))
        order = self.orders.get(value)
        if into is not None:
            activation = into.activation
        bounds, leaks = self.bounds(activation)
        target = self.value(N) if into is None else into.target
        self.operations.append(Operation(
            kind.PRODUCT, names, value, target, bounds, leaks, (KH, KW), window or {"stride": 1, "padding": 0},
            at=0 if into is None else into.at, channels=N,
            order=np.arange(M)[None] if order is None else order.reshape(groups, M),
            calls=tuple(calls), added=None if into is None else into.added,
        ))  # fmt: skip
        return target

    def depthwise(self, names: tuple[str, ...], layer: DepthwiseConvolution, weight: Array, start: Array, value: int,
                  activation: Activation | None) -> int:  # fmt: skip
        KH, KW, M = weight.shape
        vectors = -(-M // self.lanes)
        panels = np.zeros((KH * KW + 1, vectors * self.lanes))
        order = self.orders.get(value, np.arange(M))
        panels[0, order], panels[1:, order] = start, weight.reshape(KH * KW, M)
        panels = panels.reshape(-1, vectors, self.lanes).transpose(1, 0, 2)
        target = self.value(M)
        if value in self.orders:
            self.orders[target] = order
        bounds, leaks = self.bounds(activation)
        self.operations.append(Operation(
            kind.DEPTHWISE, names, value, target, bounds, leaks, (KH, KW), layer.window, channels=M,
            weights=self.keep(panels),
        ))  # fmt: skip
        return target

    def shuffle(self, layer: ChannelShuffle, value: int) -> int:
        """A shuffle is only written down: the product behind it takes its channels in that order."""
        C = self.channels[value]
        target = value
        before = self.orders.get(value, np.arange(C))
        self.orders[target] = before.reshape(layer.groups, C // layer.groups).T.ravel()
        return target

    def unit(self, unit: ShuffleUnit, value: int, path: str) -> int:
        branch = unit.branch.children
        expanded = next(layer for layer in reversed(branch.values()) if isinstance(layer, PointwiseConvolution))
        N, M = expanded.params["weight"].shape[1], self.channels[value]
        if not unit.joins:
            shortcut = value
            if unit.pool is not None:
                shortcut = self.pool(f"{path}.pool", unit.pool, value, self.value(M), 0, None)
            target = self.value(N)
            self.sequence(branch, value, path, _Into(target, 0, shortcut, unit.after))
            return target
        target = self.value(M + N)
        at, shortcut_at = (M, 0) if unit.shortcut_first else (0, N)
        self.sequence(branch, value, path, _Into(target, at, None, unit.after))
        pool = AveragePool(1, stride=1) if unit.pool is None else unit.pool
        return self.pool(f"{path}.pool", pool, value, target, shortcut_at, unit.after)

    def pool(self, name: str, layer: MaxPool, value: int, target: int, at: int, activation: Activation | None) -> int:
        average = isinstance(layer, AveragePool)
        size = layer.size if isinstance(layer.size, tuple) else (layer.size, layer.size)
        bounds, leaks = self.bounds(activation)
        self.operations.append(Operation(
            kind.AVERAGE if average else kind.MAXIMUM, (name,), value, target, bounds, leaks, size, layer.window,
            at=at, channels=self.channels[value], counts_padding=getattr(layer, "count_include_pad", True),
        ))  # fmt: skip
        return target

    def bounds(self, activation: Activation | None) -> tuple[int, bool]:
        low, high, slope = -INFINITY, INFINITY, 0.0
        if activation is not None and activation.kind == "leaky_relu":
            slope = activation._options["negative_slope"]
            return self.keep(np.array([low, high, slope])), True
        if activation is not None:
            low, high = 0.0, 6.0 if activation.kind == "relu6" else INFINITY
        return self.keep(np.array([low, high, slope])), False


CONVOLUTIONS = Convolution, PointwiseConvolution, DepthwiseConvolution


def aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """Return an array without values whose first one begins a cache line."""
    raw = np.empty(size + 64 // dtype.itemsize, dtype)
    first = -raw.ctypes.data % 64 // dtype.itemsize
    return raw[first : first + size]


def _groups(layers: Mapping[str, Layer], path: str) -> Iterator[tuple[tuple[str, ...], list[Layer]]]:
    """Yield each layer, and with a convolution the batch norm and the activation behind it."""
    number = 0

    def own(layer: Layer) -> int:
        nonlocal number
        number += type(layer) not in (BatchNorm, Activation) or number == 0
        return number

    for _, group in groupby(layers.items(), lambda item: own(item[1])):
        members = list(group)
        yield tuple(f"{path}.{name}" if path else name for name, _ in members), [layer for _, layer in members]


def _folded(norm: BatchNorm) -> tuple[Array, Array]:
    """Return what batch norm multiplies with and adds, in float64."""
    weight, bias = (value.astype(np.float64) for value in norm.params.values())
    mean, variance = (value.astype(np.float64) for value in norm.buffers.values())
    scale = weight / np.sqrt(variance + norm.eps)
    return scale, bias - mean * scale


def _columns(N: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of the columns that each call takes: multiples of four vectors, but for the last."""
    vectors = -(-N // lanes)
    calls = -(-vectors // CALL_VECTORS)
    width = -(-vectors // (4 * calls)) * 4 * lanes
    for first in range(0, N, width):
        yield first, min(width, N - first)
