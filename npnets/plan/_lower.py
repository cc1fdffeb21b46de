"""From a tree of layers to a list of operations on values: batch norm folded, activation and shuffle taken in."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from npnets import _check
from npnets._check import Array, Ints
from npnets.kernels import inference as k
from npnets.kernels.product import INFINITY, pack, packed_size, vector
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

# A call of `product.multiply` takes so many vectors of columns at most: calls are what threads share of a product.
CALL_VECTORS = 16

CONVOLUTIONS = Convolution, PointwiseConvolution, DepthwiseConvolution


class Call(NamedTuple):
    """Some columns of a product: the first channel and tap that it reads, its panels, how many, the first it writes."""

    source: int
    taps: int
    weights: int
    columns: int
    target: int


class Operation:
    """What makes a value, or some of its channels, of another value; values are indices into `Program.channels`.

    Attributes
    ----------
    kind
        One of `kernels.inference`.
    names
        Of the layers that it stands for.
    source, target, added
        Values: read, written, and what a product adds, if anything.
    at, channels
        The target's first channel, and how many are written.
    size, window
        The kernel's sides; stride and padding as layers have them.
    values, leaks
        Where the activation's bounds and slope are in `Program.values`; whether the slope counts.
    weights, parameters
        Where a depthwise convolution's weights are in `Program.params`; how many parameters there are.
    calls, order
        Of a product: the calls that it takes, and the channels of its terms, for each group or the same for all.
    counts_padding
        Whether a mean counts what is around the image.
    """

    def __init__(self, kind: int, names: tuple[str, ...], source: int, target: int, values: int, leaks: bool, *,
                 channels: int, at: int = 0, size: Ints = (1, 1), window: Mapping[str, Any] | None = None,
                 weights: int = 0, parameters: int = 0, calls: tuple[Call, ...] = (), order: Array | None = None,
                 added: int | None = None, counts_padding: bool = True) -> None:  # fmt: skip
        self.kind, self.names, self.source, self.target, self.added = kind, names, source, target, added
        self.values, self.leaks, self.at, self.channels = values, leaks, at, channels
        self.size, self.window = size, window or {"stride": 1, "padding": 0}
        self.weights, self.parameters, self.calls = weights, parameters, calls
        self.order = np.zeros((1, 1), np.int64) if order is None else order
        self.counts_padding = counts_padding

    @property
    def local(self) -> bool:
        """Whether a pixel of the target needs only the same pixel of the source."""
        return self.kind == k.PRODUCT and self.size == (1, 1) and self.window == {"stride": 1, "padding": 0}


class Program(NamedTuple):
    """Operations, how many channels each value has, all weights, and all bounds of activations."""

    operations: tuple[Operation, ...]
    channels: tuple[int, ...]
    params: Array
    values: Array


def lower(net: Network) -> Program:
    """Return the operations of a network, with its weights of now; or raise a TypeError that names what is unknown."""
    lowering = _Lowering(net.dtype)
    last = lowering.sequence(net.children, lowering.value(net.in_channels), "")
    _known(lowering.operations, last)
    return Program(
        tuple(lowering.operations), tuple(lowering.channels), lowering.parameters(), np.concatenate(lowering.bounds)
    )


def _known(ops: list[Operation], last: int) -> None:
    """Refuse what `_layout` does not expect: it holds for networks made of the known layers in their usual order."""
    readers: dict[int | None, list[Operation]] = {}
    for op in ops:
        for value in (op.source, op.added):
            readers.setdefault(value, []).append(op)
    kinds = [op.kind for op in ops]
    ends = kinds[-2:] == [k.MEAN, k.PRODUCT] and ops[-1].source == ops[-2].target and ops[-1].target == last
    if not ends or kinds[0] != k.PRODUCT or kinds.count(k.MEAN) > 1 or len(readers[0]) > 1:
        raise TypeError("`net` must begin with a convolution and end with a global average pool and a linear layer")
    for op, following in pairwise(ops):
        if op.kind == k.DEPTHWISE and (readers.get(op.target) != [following] or not following.local):
            raise TypeError(f"`net` must have a pointwise convolution behind `{op.names[0]}`, and only that")
        if op.kind == k.MAXIMUM and len(readers[op.source]) > 1:
            raise TypeError(f"`net` must use what `{op.names[0]}` reads nowhere else")


def aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """Return an array without values whose first one begins a cache line."""
    raw = np.empty(size + 64 // dtype.itemsize, dtype)
    first = -raw.ctypes.data % 64 // dtype.itemsize
    return raw[first : first + size]


class _Into(NamedTuple):
    """Where a branch's last convolution writes: a value, from a channel on; what it adds; the activation behind it."""

    target: int
    at: int
    added: int | None
    activation: Activation


class _Lowering:
    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype, self.lanes = dtype, vector(dtype)
        self.operations: list[Operation] = []
        self.channels: list[int] = []
        self.bounds: list[Array] = []
        # Of values that are to be shuffled before anybody reads them: channel c of what is meant is order[c] in memory.
        self.orders: dict[int, Array] = {}
        self._params: list[Array] = []
        self._size = 0

    def value(self, channels: int) -> int:
        """Return a new value."""
        self.channels.append(channels)
        return len(self.channels) - 1

    def keep(self, panels: Array) -> int:
        """Add parameters, which begin a cache line, and return where."""
        at, size = self._size, -(-panels.size // 16) * 16
        self._params.append(np.zeros(size, self.dtype))
        self._params[-1][: panels.size] = panels.ravel()
        self._size += size
        return at

    def parameters(self) -> Array:
        """Return all parameters."""
        return np.concatenate(self._params, out=aligned(self._size, self.dtype))

    def add(self, kind: int, names: tuple[str, ...], source: int, target: int, activation: Activation | None,
            **others: Any) -> int:  # fmt: skip
        """Add an operation, and return its target."""
        low, high, slope, leaks = -INFINITY, INFINITY, 0.0, False
        if activation is not None:
            leaks = activation.kind == "leaky_relu"
            if leaks:
                slope = activation.negative_slope
            else:
                low, high = 0.0, 6.0 if activation.kind == "relu6" else INFINITY
        values = 3 * len(self.bounds)
        self.bounds.append(np.array([low, high, slope], self.dtype))
        self.operations.append(Operation(kind, names, source, target, values, leaks, **others))
        return target

    # -- the tree ------------------------------------------------------------------------------------------------------

    def sequence(self, layers: Mapping[str, Layer], value: int, path: str, into: _Into | None = None) -> int:
        """Add one layer after the other; the last one may have its own target."""
        groups = list(_groups(layers, path))
        for names, group in groups:
            value = self.layer(names, group, value, into if group is groups[-1][1] else None)
        return value

    def layer(self, names: tuple[str, ...], group: list[Layer], value: int, into: _Into | None) -> int:
        """Add a layer, or a convolution with the batch norm and activation behind it."""
        layer, kind = group[0], type(group[0])
        if kind in CONVOLUTIONS and (into is None or kind is PointwiseConvolution):
            return self.convolution(names, group, value, into)
        if kind is ChannelShuffle and into is None and isinstance(layer, ChannelShuffle):
            return self.shuffle(layer, value)
        if len(group) == 1 and into is None and value not in self.orders:
            if kind is Sequential:
                return self.sequence(layer.children, value, names[0])
            if isinstance(layer, ShuffleUnit) and kind is ShuffleUnit:
                return self.unit(layer, value, names[0])
            if isinstance(layer, MaxPool) and kind in (MaxPool, AveragePool):
                return self.pool(names[0], layer, value, self.value(self.channels[value]), 0, None)
            if kind is GlobalAveragePool:
                C = self.channels[value]
                return self.add(k.MEAN, names, value, self.value(C), None, channels=C)
            if kind is Linear:
                weight, bias = layer.params.values()
                return self.product(names, weight[None, None], bias, 1, {}, value, None, None)
        raise TypeError(f"`net` has `{names[0]}`, a {kind.__name__}, which compile does not know in this place")

    def convolution(self, names: tuple[str, ...], group: list[Layer], value: int, into: _Into | None) -> int:
        layer, weight, activation = group[0], group[0].params["weight"].astype(np.float64), None
        start = group[0].params.get("bias", np.zeros(weight.shape[-1])).astype(np.float64)
        for other in group[1:]:
            if isinstance(other, BatchNorm):
                scale, shift = other.affine()
                weight, start = weight * scale, start * scale + shift
            if isinstance(other, Activation):
                activation = other
        if isinstance(layer, DepthwiseConvolution):
            return self.depthwise(names, weight, start, layer.window, value, activation)
        assert isinstance(layer, Convolution | PointwiseConvolution)
        window = layer.window if isinstance(layer, Convolution) else {}
        if weight.ndim == 2:
            weight = weight[None, None]
        return self.product(names, weight, start, layer.groups, window, value, activation, into)

    def product(self, names: tuple[str, ...], weight: Array, start: Array, groups: int, window: Mapping[str, Any],
                value: int, activation: Activation | None, into: _Into | None) -> int:  # fmt: skip
        KH, KW, M, N = weight.shape
        K, order, calls = KH * KW * M, self.orders.get(value), []
        for g in range(groups):
            for first, last in _columns(g * N // groups, (g + 1) * N // groups, self.lanes):
                matrix = np.ascontiguousarray(weight[..., first:last], self.dtype).ravel()
                panels = np.zeros(packed_size(K, last - first, 1, self.dtype), self.dtype)
                pack(matrix, last - first, 1, 0, K, last - first, 1, start[first:last].astype(self.dtype), panels, 0)
                source, taps = (g * M, 0) if order is None else (0, g * K)
                calls.append(Call(source, taps, self.keep(panels), last - first, first))
        target, at, added = (self.value(N), 0, None) if into is None else into[:3]
        return self.add(
            k.PRODUCT, names, value, target, activation if into is None else into.activation, channels=N, at=at,
            size=(KH, KW), window=window, calls=tuple(calls), added=added, parameters=weight.size + N,
            order=np.arange(M)[None] if order is None else order.reshape(groups, M),
        )  # fmt: skip

    def depthwise(self, names: tuple[str, ...], weight: Array, start: Array, window: Mapping[str, Any], value: int,
                  activation: Activation | None) -> int:  # fmt: skip
        KH, KW, M = weight.shape
        target, vectors = self.value(M), -(-M // self.lanes)
        order = self.orders.get(value)
        if order is not None:
            self.orders[target] = order
        panels = np.zeros((1 + KH * KW, vectors * self.lanes))
        panels[:, np.arange(M) if order is None else order] = np.concatenate([start[None], weight.reshape(-1, M)])
        return self.add(
            k.DEPTHWISE, names, value, target, activation, channels=M, size=(KH, KW), window=window,
            weights=self.keep(panels.reshape(-1, vectors, self.lanes).transpose(1, 0, 2)), parameters=panels.size,
        )  # fmt: skip

    def shuffle(self, layer: ChannelShuffle, value: int) -> int:
        """Nothing is moved: the product behind it takes the channels in another order."""
        before = self.orders.get(value, np.arange(self.channels[value]))
        self.orders[value] = before.reshape(layer.groups, -1).T.ravel()
        return value

    def pool(self, name: str, layer: MaxPool, value: int, target: int, at: int, activation: Activation | None) -> int:
        return self.add(
            k.AVERAGE if isinstance(layer, AveragePool) else k.MAXIMUM, (name,), value, target, activation,
            channels=self.channels[value], at=at, size=_check.pair("kernel_size", layer.size, 1),
            window=layer.window, counts_padding=getattr(layer, "count_include_pad", True),
        )  # fmt: skip

    def unit(self, unit: ShuffleUnit, value: int, path: str) -> int:
        """Add a unit: its last pointwise convolution adds the shortcut, or stands beside it, and has its activation."""
        branch, M = unit.branch.children, self.channels[value]
        N = (
            [layer for layer in branch.values() if isinstance(layer, PointwiseConvolution)][-1]
            .params["weight"]
            .shape[1]
        )
        pool = AveragePool(1, stride=1) if unit.pool is None else unit.pool
        if unit.joins:
            target = self.value(M + N)
            self.sequence(branch, value, path, _Into(target, M if unit.shortcut_first else 0, None, unit.after))
            return self.pool(f"{path}.pool", pool, value, target, 0 if unit.shortcut_first else N, unit.after)
        shortcut = value
        if unit.pool is not None:
            shortcut = self.pool(f"{path}.pool", pool, value, self.value(M), 0, None)
        return self.sequence(branch, value, path, _Into(self.value(N), 0, shortcut, unit.after))


def _groups(layers: Mapping[str, Layer], path: str) -> Iterator[tuple[tuple[str, ...], list[Layer]]]:
    """Yield each layer with its name, and with a convolution the batch norm and the activation behind it."""
    group: list[tuple[str, Layer]] = []
    for name, layer in [*layers.items(), ("", None)]:
        kinds = [type(member) for _, member in group]
        follows = kinds and kinds[0] in CONVOLUTIONS and (
            (type(layer) is BatchNorm and len(kinds) == 1) or (type(layer) is Activation and Activation not in kinds)
        )  # fmt: skip
        if group and not follows:
            yield tuple(f"{path}.{own}" if path else own for own, _ in group), [member for _, member in group]
            group = []
        if layer is not None:
            group.append((name, layer))


def _columns(first: int, last: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of the columns that each call takes: multiples of four vectors, but for the last call."""
    vectors = -(-(last - first) // lanes)
    calls = -(-vectors // CALL_VECTORS)
    width = -(-vectors // (4 * calls)) * 4 * lanes
    for begin in range(first, last, width):
        yield begin, min(begin + width, last)
