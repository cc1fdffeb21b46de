"""The fused training step: the phases of `kernels.training` for one network and one shape of batch.

`program_for(net, shape)` looks at the network's layers and lays out what the compiled program walks through: where each
array stands in one arena, which phases follow each other, and the tables that stand for the shapes of the convolutions.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._parallel import get_threads, team
from npnets.kernels import training as k
from npnets.kernels.product import packed_size, vector
from npnets.kernels.team import counters
from npnets.layers import (
    Activation,
    BatchNorm,
    BiasedLayer,
    Convolution,
    DepthwiseConvolution,
)
from npnets.models import MobileNetV1, Network, ShuffleNetV1
from npnets.models.shufflenet_v1 import ShuffleUnit
from npnets.train.sgd import SGD

# Values in a task's blocks: they should stay in a second-level cache of 512 KB or more. Pixels of a block: sums of 6
# and 5 rows.
FORWARD_VALUES, BACKWARD_VALUES = 2**15, 2**18
LEAST_PIXELS, MOST_PIXELS = 30, 240
FORWARD_TASKS = 32

# Up to so many pixels the gradients of weight and source are tasks of their own: of the source with so many pixels, of
# the weight at least so many. (With up to 256 pixels it was slower again.)
FEW_PIXELS, FEW_BLOCK, WEIGHT_TASKS = 64, 16, 4

# What is larger is written past the caches: it would be gone from them before it is read.
CACHED_BYTES = 2**24

# Tasks of a depthwise convolution: so many, of several images, and where there are few, with a part of the channels.
DEPTHWISE_TASKS, LEAST_TASKS = 16, 8

# Parameters that one task of the optimiser's step moves; what it is given where there is no optimiser.
MOVED_VALUES = 2**15
NO_RUNS, NO_RULE = np.zeros((0, 3), np.int64), np.zeros(4)

# Programs of other shapes that are kept, each with its memory: the last batch of an epoch may be a smaller one.
KEPT_PROGRAMS = 2


def _chunks(weights: int) -> int:
    """Return in how many chunks of pixels a weight gradient is summed: few where it is large."""
    return 16 if weights <= 2**14 else 8 if weights <= 2**18 else 4


class _Map(NamedTuple):
    """What flows from one phase to another: its row in the array `maps`, and its shape."""

    row: int
    channels: int
    stride: int
    height: int
    width: int


def whole_vectors(channels: int, dtype: np.dtype[Any]) -> int:
    """Return the number of values of a row with so many channels: whole vectors."""
    lanes = vector(dtype)
    return -(-channels // lanes) * lanes


class _Layout:
    """Collects maps, phases and tables while the network is walked through."""

    def __init__(self, net: Network, batch: int) -> None:
        self.net, self.batch, self.dtype = net, batch, net.dtype
        self.flat = net.flat()
        self.maps: list[Array] = []
        self.norms: dict[int, BatchNorm] = {}  # by the rows of their maps
        self.activations: dict[int, Activation] = {}
        self.forward: list[Array] = []
        self.backward: list[list[Array]] = []
        self.tables: list[Array] = []
        self.table_at: dict[tuple[object, ...], int] = {}
        self.sizes = {"arena": 0, "packed": 0, "numbers": 0, "sums": 0, "tables": 0}
        self.branches: dict[int, _Map] = {}  # by the rows of the maps that are the sums of a shortcut and a branch
        self.scratch = 0
        self.partial = 0
        self.gradients = [0, 0, 0, 0]
        self.gradient_of: list[tuple[int, int, int]] = []  # map, slot, offset in it
        self.turn = 0

    # -- where things are ----------------------------------------------------------------------------------------------

    def take(self, name: str, values: int) -> int:
        """Return the place of so many values in a flat array, at the start of a cache line."""
        at = self.sizes[name]
        self.sizes[name] += -(-values // 16) * 16
        return at

    def table(self, *key: Any, make: Callable[[], Array]) -> int:
        """Return the place of a table of integers."""
        if key not in self.table_at:
            values = make()
            self.table_at[key] = self.sizes["tables"]
            self.sizes["tables"] += len(values)
            self.tables.append(values)
        return self.table_at[key]

    def steps(self, count: int, step: int) -> int:
        """Return the place of the table 0, step, 2 step and so on."""
        return self.table("steps", count, step, make=lambda: np.arange(count) * step)

    def map(self, shape: tuple[int, int], channels: int, slot: int | None, **fields: int) -> _Map:
        """Add an array (batch, height, width, channels), and where its gradient is to go."""
        stride = whole_vectors(channels, self.dtype)
        row = np.zeros(k.MAP_FIELDS, np.int64)
        made = _Map(len(self.maps), channels, stride, *shape)
        values = self.batch * shape[0] * shape[1] * stride
        row[k.CHANNELS], row[k.STRIDE], row[k.HEIGHT], row[k.COLUMNS_] = channels, stride, *shape
        row[k.GRADIENT_STRIDE] = stride
        if slot is not None:  # the images themselves stand elsewhere
            row[k.AT] = self.take("arena", values)
            row[k.COEFFICIENTS] = self.take("numbers", k.COEFFICIENT_ROWS * stride)
            self.gradients[slot] = max(self.gradients[slot], values)
            self.gradient_of.append((made.row, slot, 0))
        row[k.STREAMS] = values * self.dtype.itemsize > CACHED_BYTES
        for name, value in fields.items():
            row[getattr(k, name)] = value
        self.maps.append(row)
        return made

    def normed(self, shape: tuple[int, int], channels: int, slot: int, norm: BatchNorm) -> _Map:
        """Add the raw output of a convolution, which a batch norm follows."""
        made = self.map(shape, channels, slot, NORMED=1)
        row = self.maps[made.row]
        row[k.GAMMA] = self.flat.at(norm, "weight")
        row[k.MEAN], row[k.VARIANCE] = self.flat.at(norm, "running_mean"), self.flat.at(norm, "running_var")
        self.norms[made.row] = norm
        return made

    def activated(self, made: _Map, activation: Activation) -> _Map:
        """Let a map be seen through an activation."""
        self.activations[made.row] = activation
        return made

    # -- phases --------------------------------------------------------------------------------------------------------

    def phase(self, kind: int, tasks: int, source: _Map, target: _Map, **fields: int) -> Array:
        """Return the row of a phase."""
        row = np.zeros(k.PHASE_FIELDS, np.int64)
        row[[k.KIND, k.TASKS, k.SOURCE, k.TARGET, k.SHUFFLE]] = kind, tasks, source.row, target.row, -1
        for name, value in fields.items():
            row[getattr(k, name)] = value
        return row

    def summed(self, made: _Map, rows: int) -> int:
        """Make room for three sums of each channel from so many tasks: all maps' sums have one place, in turn."""
        self.sizes["sums"] = max(self.sizes["sums"], rows * 3 * made.stride)
        return rows

    def finishes(self, target: _Map, rows: int, shuffle: int = -1) -> tuple[Array, Array]:
        """Return the phases after a map's statistics, of so many tasks, and after the sums for its norm's gradient.

        From how many tasks these come is for whoever reads the map to say (`_counted`).
        """
        tasks, n = -(-target.channels // 64), self.batch * target.height * target.width
        forward = self.phase(k.FINISH, tasks, target, target, COUNTED=self.summed(target, rows), WIDTH=n,
                             SHUFFLE=shuffle)  # fmt: skip
        return forward, self.phase(k.FINISH_BACK, tasks, target, target, WIDTH=n, SHUFFLE=shuffle)

    def reduce(self, weight: int, chunks: int, rows: int, columns: int, gap: int, like: _Map,
               shuffle: int = -1) -> Array:  # fmt: skip
        """Return the phase that sums a weight's gradient."""
        return self.phase(k.REDUCE, min(rows, 16), like, like, WEIGHT=weight, COUNTED=chunks, DEPTH=rows,
                          WIDTH=columns, BLOCK=gap, SHUFFLE=shuffle)  # fmt: skip

    def reduces(self, back: "_Back", weight: Array, at: int, like: _Map) -> list[Array]:
        """Return the phase that sums a product's weight's gradient, where its tasks have not made all of it."""
        if back.weight_tasks:
            return []
        self.partial = max(self.partial, back.tasks * weight.size)
        return [self.reduce(at, back.tasks, len(weight), weight.shape[1], weight.shape[1], like)]


class _Product(NamedTuple):
    """How a product's pixels are split."""

    block: int
    blocks: int
    tasks: int


def _split(pixels: int, values: int, most: int, tasks: int) -> _Product:
    """Cut pixels into even tasks, a power of two that threads can share, and these into blocks of `most` values."""
    largest = min(MOST_PIXELS, max(LEAST_PIXELS, most // values))
    while tasks > 1 and pixels < tasks * LEAST_PIXELS:
        tasks //= 2
    each = -(-pixels // tasks)
    blocks = -(-each // largest)
    block = -(-each // blocks)
    return _Product(block, blocks, -(-pixels // (block * blocks)))


class _Back(NamedTuple):
    """How a product's way back is split: into blocks of pixels, and maybe tasks that have rows of the weight each."""

    block: int
    blocks: int
    tasks: int
    weight_tasks: int
    largest: int  # pixels of any block


def _split_back(pixels: int, values: int, weight: Array, groups: int) -> _Back:
    if pixels <= FEW_PIXELS:
        tasks = min(-(-WEIGHT_TASKS // groups) * groups, len(weight) * groups)
        return _Back(FEW_BLOCK, 1, -(-pixels // FEW_BLOCK), tasks, max(FEW_BLOCK, pixels))
    made = _split(pixels, values, BACKWARD_VALUES, _chunks(weight.size))
    return _Back(*made, 0, made.block)


class Program:
    """A network's training step for batches of one shape.

    `forward` and `backward` leave behind what `net.forward` and `net.backward` do: the gradients, and the running
    statistics moved. The network's parameters are read at each call.
    """

    def __init__(self, net: Network, shape: tuple[int, ...]) -> None:
        batch, height, width, channels = shape
        steps, _ = net.walk(shape[1:], "")  # refuses what does not fit
        self.work = batch * sum(step.mult_adds for step in steps)
        o = _Layout(net, batch)
        images = o.map((height, width), channels, None)
        last = _walk(o, images)
        self.logits = _classifier(o, last)
        packs = [row for row in o.forward if row[k.KIND] == k.PACK]
        packs.sort(key=lambda row: -row[k.DEPTH] * row[k.WIDTH])  # the largest first, so that all threads end together
        o.forward = packs + [row for row in o.forward if row[k.KIND] != k.PACK]
        backward = [row for rows in reversed(o.backward) for row in rows]
        backward.append(o.phase(k.MOVE, -(-len(o.flat.params) // MOVED_VALUES), last, last))
        for before, after in pairwise(backward):
            if before[k.KIND] == k.REDUCE and after[k.KIND] == k.FINISH_BACK:
                after[k.ALONGSIDE] = 1
        self.middle = len(o.forward)
        self.phases = np.array(o.forward + backward)
        partial = o.take("arena", o.partial)
        self.phases[np.isin(self.phases[:, k.KIND], (k.PRODUCT_BACK, k.DEPTHWISE_BACK, k.STEM_BACK, k.REDUCE)),
                    k.PARTIAL] = partial  # fmt: skip
        self.maps = np.array(o.maps)
        normed = self.maps[self.maps[:, k.NORMED] == 1]
        self.fewest = batch * int((normed[:, k.HEIGHT] * normed[:, k.COLUMNS_]).min())
        slots = [o.take("arena", size) for size in o.gradients]
        for row, slot, offset in o.gradient_of:
            self.maps[row, k.GRADIENT] = slots[slot] + offset
        tiny = float(np.finfo(net.dtype).smallest_subnormal)
        self.bounds = np.array([(-math.inf, math.inf, 0.0, 0.0, tiny)] * len(o.maps))
        self.norms, self.activations = o.norms, o.activations
        self.tables = np.concatenate(o.tables)
        self.arena = _aligned(o.sizes["arena"] + 256, net.dtype)
        self.packed = _aligned(o.sizes["packed"] + 256, net.dtype)
        self.numbers = _aligned(o.sizes["numbers"] + 256, net.dtype)
        self.sums = np.zeros(o.sizes["sums"] + 256)
        for row in self.maps[1:][self.maps[1:, k.NORMED] == 0]:  # a map without a norm is seen, and changed, as it is
            at, stride = row[k.COEFFICIENTS], row[k.STRIDE]
            for kind in k.SCALE, k.BY_GRADIENT:
                self.numbers[at + kind * stride : at + (kind + 1) * stride] = 1
        self.scratch = o.scratch + 256
        self.scratches = np.zeros((0, 0), net.dtype)
        self.flat = o.flat
        self.bias_gradient = net.children["classifier"].grads
        self.batch = batch

    def fits(self) -> bool:
        """Return whether the program still has what the layers do: somebody may have set their attributes."""
        return all(norm.training for norm in self.norms.values()) and not any(
            activation.kind == "leaky_relu" for activation in self.activations.values()
        )

    def forward(self, x: Array) -> Array:
        """Return the logits; keep what `backward` needs until then."""
        for row, activation in self.activations.items():
            self.bounds[row, :2] = 0.0, 6.0 if activation.kind == "relu6" else math.inf
        for row, norm in self.norms.items():
            self.bounds[row, 2:4] = norm.eps, norm.momentum
        self.run(x, 0, self.middle, None)
        self.x = x
        return self._rows(k.AT).copy()

    def backward(self, dlogits: Array, optimizer: SGD | None = None) -> None:
        """Fill the network's gradients, and take the optimizer's step."""
        self.flat.give_gradients()
        self._rows(k.GRADIENT)[...] = dlogits
        dlogits.sum(0, out=self.bias_gradient["bias"])
        self.run(self.x, self.middle, len(self.phases), optimizer)

    def _rows(self, field: int) -> Array:
        """Return the logits, or their gradient, in the arena: (B, classes)."""
        at, stride = self.maps[self.logits.row][field], self.logits.stride
        rows = self.arena[at : at + self.batch * stride].reshape(self.batch, stride)
        return rows[:, : self.logits.channels]

    def run(self, x: Array, first: int, last: int, optimizer: SGD | None) -> None:
        """Run the phases first..last, last excluded."""
        threads = get_threads()
        if len(self.scratches) < threads:
            values = -(-self.scratch // 64) * 64
            self.scratches = _aligned(threads * values, self.arena.dtype).reshape(threads, values)
        rule = optimizer.rule(self.flat) if optimizer is not None else (self.flat.params[:0], NO_RUNS, NO_RULE)
        team(k.run, self.work, counters(len(self.phases) + 1), self.phases, first, last, self.maps, self.bounds,
             self.tables, x.reshape(-1), self.flat.params, self.flat.grads, self.flat.buffers, self.packed, self.arena,
             self.numbers, self.sums, self.scratches, *rule)  # fmt: skip


def _aligned(values: int, dtype: np.dtype[Any]) -> Array:
    """Return zeros that begin at a cache line."""
    raw = np.zeros(values * dtype.itemsize + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + values * dtype.itemsize].view(dtype)


# -- the walk through the network --------------------------------------------------------------------------------------


def _walk(o: _Layout, images: _Map) -> _Map:
    """Lay out all layers up to the pool; return what comes out."""
    stem = list(o.net.children["stem"].children.values())
    at = _stem(o, images, stem[0], stem[1], stem[2])
    if len(stem) > 3:
        at = _max_pool(o, at, stem[3])
    for child in list(o.net.children.values())[1:-2]:
        if isinstance(child, ShuffleUnit):
            at = _unit(o, at, child)
        else:
            layers: Any = child.children.values()
            depthwise, norm, activation, pointwise, second, after = layers
            at = o.activated(_depthwise(o, at, depthwise, norm, _other(o)), activation)
            at = o.activated(_pointwise(o, at, pointwise, second, _other(o)), after)
    return at


def _other(o: _Layout) -> int:
    """Return the slot that the gradient of the map before does not use."""
    o.turn ^= 1
    return o.turn


def _stem(o: _Layout, images: _Map, conv: Any, norm: Any, activation: Any) -> _Map:
    weight = conv.params["weight"]
    depth, N = math.prod(weight.shape[:3]), weight.shape[3]
    place = _check.window((images.height, images.width), (3, 3), **conv.window)
    pixels = o.batch * math.prod(place.out)
    stride = whole_vectors(N, o.dtype)
    ahead = _split(pixels, depth + stride, FORWARD_VALUES, FORWARD_TASKS)
    back = _split(pixels, depth + 2 * stride, BACKWARD_VALUES, _chunks(weight.size))
    out = o.activated(o.normed(place.out, N, o.turn, norm), activation)
    fields = {
        "DEPTH": depth, "WIDTH": N, "GROUPS": 1, "COUNTED": pixels, "TAPS": o.steps(depth, 1), "TERMS": o.steps(N, 1),
        "WEIGHT": o.flat.at(conv, "weight"), "PACKED": o.take("packed", packed_size(depth, N, 1, o.dtype)),
        "STRIDE_V": place.stride[0], "STRIDE_H": place.stride[1], "TOP": place.before[0], "LEFT": place.before[1],
    }  # fmt: skip
    finish, finish_back = o.finishes(out, ahead.tasks)
    o.forward += [
        o.phase(k.PACK, 1, images, out, ALONGSIDE=1, **fields),
        o.phase(k.STEM, ahead.tasks, images, out, BLOCK=ahead.block, BLOCKS=ahead.blocks,
                SOURCE_ROWS=o.steps(ahead.block, depth), TARGET_ROWS=o.steps(ahead.block, out.stride), **fields),
        finish,
    ]  # fmt: skip
    o.backward.append([
        finish_back,
        o.phase(k.STEM_BACK, back.tasks, images, out, BLOCK=back.block, BLOCKS=back.blocks,
                PIXEL_TAPS=o.steps(back.block, depth), TARGET_ROWS=o.steps(back.block, stride),
                SOURCE_ROWS=o.steps(back.block, depth), WEIGHT_ROWS=o.steps(depth, N), **fields),
        o.reduce(fields["WEIGHT"], back.tasks, depth, N, N, out),
    ])  # fmt: skip
    o.partial = max(o.partial, back.tasks * depth * N)
    panels = packed_size(back.block, N, 1, o.dtype)
    o.scratch = max(
        o.scratch,
        (2 + ahead.block) * stride + ahead.block * depth,
        2 * images.stride + back.block * (depth + stride) + panels + 128,
    )
    return out


def _counted(o: _Layout, source: _Map, rows: int) -> None:
    """Say how many tasks sum up for the gradient of the norm of `source`: its own phase has left that open."""
    finish = o.backward[-1][0]
    if finish[k.KIND] == k.FINISH_BACK and finish[k.TARGET] == source.row:
        finish[k.COUNTED] = o.summed(source, rows)


def _depthwise(o: _Layout, source: _Map, conv: Any, norm: Any, slot: int, shuffle: int = -1) -> _Map:
    """Lay out a depthwise convolution.

    A shuffle before it is not done: each channel has the weights that it would have there, whose numbers are in the
    table `shuffle`, and the next product takes its terms in the shuffled order.
    """
    place = _check.window((source.height, source.width), (3, 3), **conv.window)
    out = o.normed(place.out, source.channels, slot, norm)
    (sv, sh), (top, left), S = place.stride, place.before, source.stride
    fields = {
        "DEPTH": source.channels, "COUNTED": o.batch, "WEIGHT": o.flat.at(conv, "weight"),
        "PACKED": o.take("packed", 18 * S), "STRIDE_V": sv, "STRIDE_H": sh, "TOP": top, "LEFT": left,
        "SHUFFLE": shuffle,
    }  # fmt: skip
    # a task has all channels of an image, for memory is read best in whole rows; but a few images are split
    parts = max(1, LEAST_TASKS // o.batch)
    channels = whole_vectors(-(-S // parts), o.dtype)
    images = -(-o.batch // DEPTHWISE_TASKS)  # of a task
    rows = -(-o.batch // images)
    tasks = rows * -(-S // channels)
    finish, finish_back = o.finishes(out, rows, shuffle)
    _counted(o, source, rows)
    o.forward += [
        o.phase(k.PACK, 1, source, out, BLOCK=S, ALONGSIDE=1, **fields),
        o.phase(k.DEPTHWISE, tasks, source, out, BLOCK=channels, BLOCKS=images, **fields),
        finish,
    ]
    o.backward.append([
        finish_back,
        o.phase(k.DEPTHWISE_BACK, tasks, source, out, BLOCK=channels, BLOCKS=images, **fields),
        o.reduce(fields["WEIGHT"], rows, 9, source.channels, S, out, shuffle),
    ])  # fmt: skip
    o.partial = max(o.partial, rows * 9 * S)
    line = max(left + source.width, sh * (place.out[1] - 1) + 3 + max(0, 2 - left), source.width + 2) * channels
    made = (k.STATISTICS_PIXELS + place.out[1]) * channels
    o.scratch = max(o.scratch, 2 * channels + 5 * line + made, 2 * channels + (1 + 3 + sv + 4 + 3) * line)
    return out


def _pointwise(o: _Layout, source: _Map, conv: Any, norm: Any, slot: int, *, adds: bool = False,
               order: Array | None = None, branch: _Map | None = None) -> _Map:  # fmt: skip
    """Lay out a pointwise convolution.

    With `adds` its gradient is added to what is in its source's already. Its input is the source's channels in this
    `order`. Where the source is the sum of a shortcut and a `branch`, it takes the sums for the branch's norm.
    """
    weight, groups = conv.params["weight"], conv.groups
    K, N = len(weight), weight.shape[1] // groups
    S, T = source.stride, whole_vectors(weight.shape[1], o.dtype)
    pixels = o.batch * source.height * source.width
    ahead = _split(pixels, S + T, FORWARD_VALUES, FORWARD_TASKS)
    back = _split_back(pixels, S + 2 * T, weight, groups)
    out = o.normed((source.height, source.width), weight.shape[1], slot, norm)
    lanes = vector(o.dtype)
    step = S + lanes if o.maps[source.row][k.NORMED] else S
    fields = {
        "DEPTH": K, "WIDTH": N, "GROUPS": groups, "COUNTED": pixels, "ADDED": int(adds), "TERMS": o.steps(N, 1),
        "TAPS": o.steps(K * groups, 1) if order is None else o.table("order", *order, make=lambda: order),
        "SHUFFLE": -1 if order is None else _numbers(o, order),
        "WEIGHT": o.flat.at(conv, "weight"), "PACKED": o.take("packed", packed_size(K, N, groups, o.dtype)),
        "TURNED": o.take("packed", packed_size(N, K, groups, o.dtype)),
    }  # fmt: skip
    weight_rows = o.table("weight", K, N, groups, make=lambda: np.arange(K * groups) % K * (N * groups))
    finish, finish_back = o.finishes(out, ahead.tasks)
    _counted(o, branch or source, back.tasks)
    o.forward += [
        o.phase(k.PACK, 2 * groups, source, out, ALONGSIDE=1, **fields),
        o.phase(k.PRODUCT, ahead.tasks, source, out, BLOCK=ahead.block, BLOCKS=ahead.blocks,
                SOURCE_ROWS=o.steps(ahead.block, S), TARGET_ROWS=o.steps(ahead.block, T), **fields),
        finish,
    ]  # fmt: skip
    o.backward.append([
        finish_back,
        o.phase(k.PRODUCT_BACK, back.weight_tasks + back.tasks, source, out, BLOCK=back.block, BLOCKS=back.blocks,
                WEIGHT_TASKS=back.weight_tasks, SOURCE_ROWS=o.steps(back.block, S), TARGET_ROWS=o.steps(back.block, T),
                WEIGHT_ROWS=weight_rows, PIXEL_TAPS=o.steps(back.largest, step), SUMMED=(branch or source).row,
                **fields),
        *o.reduces(back, weight, fields["WEIGHT"], out),
    ])  # fmt: skip
    panels = packed_size(back.largest, N, groups, o.dtype)
    o.scratch = max(o.scratch, 2 * T + ahead.block * (S + T) + 64,
                    2 * S + back.largest * (3 * S + lanes + T) + 4 * lanes + panels + 64)  # fmt: skip
    return out


def _numbers(o: _Layout, order: Array) -> int:
    """Return the place of the table that says where in this order each channel is."""
    return o.table("numbers", *order, make=lambda: np.argsort(order))


def _max_pool(o: _Layout, source: _Map, pool: Any) -> _Map:
    place = _check.window((source.height, source.width), (3, 3), **pool.window, pooling=True)
    out = o.map(place.out, source.channels, _other(o))
    fields = {
        "STRIDE_V": place.stride[0], "STRIDE_H": place.stride[1], "TOP": place.before[0], "LEFT": place.before[1]
    }  # fmt: skip
    _counted(o, source, o.batch)
    o.forward.append(o.phase(k.MAX_POOL, o.batch, source, out, **fields))
    o.backward.append([o.phase(k.MAX_POOL_BACK, o.batch, source, out, **fields)])
    o.scratch = max(o.scratch, (2 + source.width) * source.stride)
    return out


def _classifier(o: _Layout, source: _Map) -> _Map:
    """Lay out the global average pool and the classifier: a pointwise convolution of one pixel, with a bias."""
    layer = o.net.children["classifier"]
    weight = layer.params["weight"]
    K, N = weight.shape
    pooled, out = o.map((1, 1), K, 2), o.map((1, 1), N, 3)
    _counted(o, source, o.batch)
    S, T, lanes = pooled.stride, out.stride, vector(o.dtype)
    ahead = _split(o.batch, S + T, FORWARD_VALUES, 2)
    back = _split_back(o.batch, S + 2 * T, weight, 1)
    fields = {
        "DEPTH": K, "WIDTH": N, "GROUPS": 1, "COUNTED": o.batch, "TAPS": o.steps(K, 1), "TERMS": o.steps(N, 1),
        "WEIGHT": o.flat.at(layer, "weight"), "BIAS": o.flat.at(layer, "bias"),
        "PACKED": o.take("packed", packed_size(K, N, 1, o.dtype)),
        "TURNED": o.take("packed", packed_size(N, K, 1, o.dtype)),
    }  # fmt: skip
    o.forward += [
        o.phase(k.MEAN_POOL, o.batch, source, pooled),
        o.phase(k.PACK, 2, pooled, out, ALONGSIDE=1, **fields),
        o.phase(k.PRODUCT, ahead.tasks, pooled, out, BLOCK=ahead.block, BLOCKS=ahead.blocks,
                SOURCE_ROWS=o.steps(ahead.block, S), TARGET_ROWS=o.steps(ahead.block, T), **fields),
    ]  # fmt: skip
    o.backward.append([
        o.phase(k.PRODUCT_BACK, back.weight_tasks + back.tasks, pooled, out, BLOCK=back.block, BLOCKS=back.blocks,
                WEIGHT_TASKS=back.weight_tasks, SOURCE_ROWS=o.steps(back.block, S), TARGET_ROWS=o.steps(back.block, T),
                WEIGHT_ROWS=o.steps(K, N), PIXEL_TAPS=o.steps(back.largest, S), **fields),
        *o.reduces(back, weight, fields["WEIGHT"], out),
        o.phase(k.MEAN_POOL_BACK, o.batch, source, pooled),
    ])  # fmt: skip
    o.scratch = max(o.scratch, 2 * T + ahead.block * (S + T) + 64,
                    2 * S + back.largest * (2 * S + lanes + T) + 4 * lanes + packed_size(back.largest, N, 1, o.dtype)
                    + 64)  # fmt: skip
    return out


def _keep(o: _Layout, source: _Map) -> _Map:
    """Lay out a map once more, normalised and activated; the gradients of both have one place."""
    slot = next(slot for row, slot, _ in o.gradient_of if row == source.row)
    out = o.map((source.height, source.width), source.channels, slot)
    _counted(o, source, o.batch)
    o.forward.append(o.phase(k.KEEP, o.batch, source, out))
    o.backward.append([o.phase(k.KEEP_BACK, o.batch, source, out)])
    o.scratch = max(o.scratch, (2 + source.width) * source.stride)
    return out


def _unit(o: _Layout, source: _Map, unit: Any) -> _Map:
    """Lay out a ShuffleNet unit: two gradients at a time are its own, in the slots 2 and 3."""
    c = unit.children
    if o.maps[source.row][k.NORMED]:
        source = _keep(o, source)
    branch = o.branches.get(source.row)
    if branch is not None:
        o.backward.pop()  # the join's own way back: this unit's first product goes it as well
    reduce = _pointwise(o, source, c["reduce"], c["reduce_norm"], 2, adds=True, branch=branch)
    reduce = o.activated(reduce, c["activation"])
    order = np.arange(reduce.channels).reshape(c["shuffle"].groups, -1).T.ravel() if "shuffle" in c else None
    shuffle = -1 if order is None else _numbers(o, order)
    middle = _depthwise(o, reduce, c["depthwise"], c["depthwise_norm"], 3, shuffle)
    # where it joins, the shortcut's gradient is another array than the unit's; where it adds, the same
    slot = _other(o) if unit.joins else o.turn
    expand = _pointwise(o, middle, c["expand"], c["expand_norm"], slot, order=order)
    channels = expand.channels + (source.channels if unit.joins else 0)
    out = o.activated(o.map((expand.height, expand.width), channels, slot), unit.after)
    short_at = -1 if not unit.joins else 0 if unit.shortcut_first else expand.channels
    fields = {"SHORT": source.row, "SHORT_AT": short_at}
    if unit.pool is not None:
        side = _check.pair("kernel_size", unit.pool.size, 1)[0]
        place = _check.window((source.height, source.width), (side, side), **unit.pool.window, pooling=True)
        fields |= {"SHORT_SIDE": side, "TOP": place.before[0], "LEFT": place.before[1],
                   "COUNTED": int(unit.pool.count_include_pad)}  # fmt: skip
    o.maps[expand.row][k.GRADIENT_STRIDE] = out.stride
    o.gradient_of[:] = [one for one in o.gradient_of if one[0] != expand.row]
    o.gradient_of.append((expand.row, slot, source.channels if short_at == 0 else 0))
    _counted(o, expand, o.batch)
    o.forward.append(o.phase(k.JOIN, o.batch, expand, out, **fields))
    o.backward.append([o.phase(k.JOIN_BACK, o.batch, expand, out, **fields)])
    if not unit.joins:
        o.branches[out.row] = expand
    else:
        o.backward[-1].append(o.phase(k.SHORTCUT_BACK, o.batch, expand, out, **fields))
    return out


# -- which networks ----------------------------------------------------------------------------------------------------


def _known(net: Network) -> bool:
    """Return whether the program has all that this network does: not leaky ReLU, biases, a wide padding, and so on."""
    if type(net) not in (MobileNetV1, ShuffleNetV1):
        return False
    for _, layer in net.layers():
        if isinstance(layer, Activation) and layer.kind == "leaky_relu":
            return False
        if isinstance(layer, BiasedLayer) and "bias" in layer.params:
            return False
        if (
            isinstance(layer, DepthwiseConvolution | Convolution)
            and max(_check.window((8, 8), (3, 3), **layer.window).before) > 2
        ):
            return False
        if isinstance(layer, ShuffleUnit):
            order = list(layer.children)
            if "shuffle" in order and order.index("shuffle") > order.index("depthwise"):
                return False
    return True


_programs: WeakKeyDictionary[Network, dict[tuple[int, ...], Program]] = WeakKeyDictionary()


def program_for(net: Network, shape: tuple[int, ...]) -> Program | None:
    """Return the program for batches of this shape, made once, or None where the network's layers take the step.

    That is so for what the program does not know; outside of training mode; for a batch in which a channel has one
    value, which batch norm refuses; and for an empty one. Ask before each step: this sees what has changed since.
    """
    made = _programs.setdefault(net, {})
    if shape in made and made[shape].flat is not net.flat():
        made.clear()  # somebody has exchanged a layer
    if shape not in made:
        if min(shape) < 1 or not _known(net):
            return None
        program = Program(net, shape)
        if program.fewest < 2:
            return None
        while len(made) >= KEPT_PROGRAMS:
            made.pop(next(iter(made)))
        made[shape] = program
    return made[shape] if made[shape].fits() else None
