"""From operations to phases for images of one size: where each value lies, tables of pixels and taps, blocks."""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from npnets import _check
from npnets._check import Array, Ints, Window
from npnets.kernels import inference as k
from npnets.kernels.product import vector
from npnets.plan._lower import Operation, Program

LINE = 16  # values: a cache line of float32, two of float64

# Blocks of pixels: as many as give a scratch of so many values, but at least and at most so many pixels; rather seven
# times seven than fewer where one thread does all; and of the image, whose rows are copied, about so many. Their number
# is a multiple of this, so that 2, 4 or 8 threads have the same to do.
SCRATCH, LEAST, MOST, ALONE, STEM, EVEN = 8192, 24, 96, 48, 224, 8
# Where an image has fewer pixels than this, threads share the columns of a product as well.
FEW, PARTS = 64, 4


class Border(NamedTuple):
    """Pixels around an image that the windows of its readers meet."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0


class Place(NamedTuple):
    """How a value lies in memory, in values from its first pixel on. Rows share the columns between them."""

    sides: Ints
    pitch: int  # from pixel to pixel
    border: Border

    @property
    def row(self) -> int:
        """From row to row."""
        return (self.sides[1] + max(self.border.left, self.border.right)) * self.pitch

    @property
    def lead(self) -> int:
        """How much stands before the first pixel."""
        return self.border.top * self.row + self.border.left * self.pitch

    @property
    def tail(self) -> int:
        """How much stands behind the last row."""
        return self.border.bottom * self.row

    @property
    def size(self) -> int:
        """All of it."""
        return self.lead + self.sides[0] * self.row + self.tail

    def windows(self, window: Window) -> Array:
        """Return where each window has its first pixel."""
        rows = (np.arange(window.out[0]) * window.stride[0] - window.before[0]) * self.row
        columns = (np.arange(window.out[1]) * window.stride[1] - window.before[1]) * self.pitch
        return np.add.outer(rows, columns)

    def pixels(self) -> Array:
        """Return where each pixel is."""
        return self.windows(Window((1, 1), (0, 0), (1, 1), self.sides))

    def taps(self, size: Ints) -> Array:
        """Return how far each entry of a kernel is from the window's first pixel."""
        return np.add.outer(np.arange(size[0]) * self.row, np.arange(size[1]) * self.pitch)


class Layout(NamedTuple):
    """What `inference.infer` needs for images of one size, and what is told about it."""

    steps: Array
    phases: Array
    tables: Array
    values: Array
    image: int  # how many values the buffers of one image take
    scratch: int  # and what a thread needs beside
    features: int  # and an image's features
    classes: int
    operations: tuple[tuple[Operation, ...], ...]  # of each phase
    bytes: tuple[int, ...]  # that each phase reads and writes for an image at least


class _Tables:
    """Arrays, one behind the other; equal ones are kept once."""

    def __init__(self, dtype: Any, *arrays: Array) -> None:
        self._dtype, self._parts, self._at = np.dtype(dtype), list(arrays), sum(map(len, arrays))
        self._seen: dict[bytes, int] = {}

    def keep(self, values: Any) -> int:
        """Return where the values begin."""
        table = np.ascontiguousarray(values, self._dtype).ravel()
        key = table.tobytes()
        if key not in self._seen:
            self._seen[key] = self._at
            self._parts.append(table)
            self._at += len(table)
        return self._seen[key]

    def all(self) -> Array:
        """Return all of them."""
        return np.concatenate(self._parts)


def layout(program: Program, sides: Ints) -> Layout:
    """Plan the buffers, phases and tables for images of `sides` rows and columns."""
    return _Layout(program, sides).result()


class _Layout:
    def __init__(self, program: Program, sides: Ints) -> None:
        self.program, self.dtype = program, program.params.dtype
        self.operations, self.channels, self.lanes = program.operations, program.channels, vector(self.dtype)
        self.sides: dict[int, Ints] = {0: sides}
        self.windows: dict[Operation, Window] = {}
        for op in self.operations:
            self.windows[op] = _check.window(self.sides[op.source], op.size, **op.window)
            self.sides[op.target] = (1, 1) if op.kind == k.MEAN else self.windows[op].out
        self.end = self.operations[-1]
        self.scratches = {op.target for op in self.operations if op.kind == k.DEPTHWISE}
        self.places = {value: self.place(value) for value in self.sides}
        self.phases = self.joined()
        self.image, self.at = self.memory()
        self.tables, self.values = _Tables(np.int64), _Tables(self.dtype, program.values)
        self.scratch = 0

    # -- geometry and memory -------------------------------------------------------------------------------------------

    def place(self, value: int) -> Place:
        border, sides = Border(), self.sides[value]
        for op, window in self.windows.items():
            if op.source == value and op.kind != k.MEAN:
                beyond = [
                    max(0, (out - 1) * s + size - before - side)
                    for out, s, size, before, side in zip(
                        window.out, window.stride, op.size, window.before, sides, strict=True
                    )
                ]
                border = Border(*map(max, border, (*window.before, *beyond)))
        return Place(sides, self.pitch(value), border)

    def pitch(self, value: int) -> int:
        """Return how far apart pixels lie.

        Whole vectors; and no multiple of 1024 bytes, as such pixels would meet in a few sets of the cache. The rows of
        the images stay as they are.
        """
        channels = self.channels[value]
        whole = value in self.scratches or value == self.end.source  # whose vectors are written whole
        if value == 0 or (channels < self.lanes and not whole):
            return channels
        pitch = -(-channels // self.lanes) * self.lanes
        return pitch + LINE if pitch * self.dtype.itemsize % 1024 == 0 else pitch

    def memory(self) -> tuple[int, dict[int, int]]:
        """Return how much memory the buffers of an image take, and where in it each value has its first pixel.

        A buffer may take the place of another one that no phase from its own first one on needs.
        """
        life: dict[int, tuple[int, int]] = {}
        for phase, ops in enumerate(self.phases):
            for op in ops:
                for value in (
                    {op.source, op.target, op.added} - self.scratches - {0, None, self.end.source, self.end.target}
                ):
                    assert value is not None
                    life[value] = min(life.get(value, (phase, 0))[0], phase), phase
        taken: list[tuple[int, int, tuple[int, int]]] = []
        at: dict[int, int] = {}
        for value, (first, last) in sorted(life.items(), key=lambda item: -self.places[item[0]].size):
            size, start = _lines(self.places[value].size) + 2 * LINE, 0
            for begin, end, (other_first, other_last) in sorted(taken):
                if other_first <= last and first <= other_last and begin < start + size and start < end:
                    start = end
            taken.append((start, start + size, (first, last)))
            at[value] = start + _lines(self.places[value].lead)
        return max(end for _, end, _ in taken), at

    # -- phases --------------------------------------------------------------------------------------------------------

    def joined(self) -> list[list[Operation]]:
        """Return the operations of each phase: those that can follow each other on the same pixels.

        What reads windows of a value, or all of it, must wait until that value is complete. The scratch has room for
        one depthwise convolution. Where there are few pixels a phase has one product only, so that its columns can be
        shared.
        """
        phases: list[list[Operation]] = []
        made: dict[int, int] = {}
        for op in self.operations:
            here, sides = len(phases) - 1, self.sides[op.target]
            alone = op.kind in (k.DEPTHWISE, k.MEAN) or op is self.end
            waits = not op.local and made.get(op.source) == here
            full = op.kind == k.PRODUCT and prod(sides) < FEW and phases and any(
                other.kind == k.PRODUCT for other in phases[-1])  # fmt: skip
            if not phases or alone or waits or full or self.sides[phases[-1][0].target] != sides:
                phases.append([])
            phases[-1].append(op)
            made[op.target] = len(phases) - 1
        return phases

    def blocks(self, ops: list[Operation]) -> list[int]:
        """Return pixels, blocks and parts for all threads together, and blocks for one of them, of a phase."""
        first, calls = ops[0], min([len(op.calls) for op in ops if op.kind == k.PRODUCT], default=1)
        if first is self.end:
            return [0, 1, calls, 1]
        if first.kind == k.MEAN:
            vectors = -(-self.channels[first.source] // self.lanes)
            return [vectors, max(1, vectors // 8), 1, 1]
        sides = self.sides[first.target]
        pixels = prod(sides)
        if first.source == 0:
            rows = max(1, round(STEM / sides[1]))
            blocks = alone = -(-sides[0] // rows)
        else:
            deepest = max(prod(op.size) * op.order.shape[1] for op in ops)
            wanted = max(LEAST, min(MOST, SCRATCH // deepest))
            blocks = max(1, min(-(-pixels // (wanted * EVEN)) * EVEN, pixels // LEAST))
            alone = max(1, round(pixels / max(wanted, ALONE)))
        return [pixels, blocks, min(calls, PARTS) if pixels < FEW else 1, alone]

    # -- steps ---------------------------------------------------------------------------------------------------------

    def result(self) -> Layout:
        steps: list[list[int]] = []
        phases = []
        for ops in self.phases:
            begin, (pixels, blocks, parts, alone) = len(steps), self.blocks(ops)
            most = -(-pixels // min(blocks, alone))
            for op in ops:
                steps += [self.copy(op, most)] if op.source == 0 else []
                steps += [self.step(op, most)]
            if ops[0].kind == k.DEPTHWISE:
                steps[begin + 1] = self.soon(ops[0], steps[begin + 1])
            for value in sorted({op.target for op in ops}):
                if value in self.at and self.places[value].border != Border():
                    steps.append(self.border(value))
            phases.append([begin, len(steps), pixels, blocks, parts, alone])
        return Layout(
            np.array(steps, np.int64).ravel(), np.array(phases, np.int64).ravel(), self.tables.all(),
            self.values.all(), self.image, self.scratch, self.places[self.end.source].pitch,
            self.channels[self.end.target], tuple(map(tuple, self.phases)), tuple(map(self.bytes, self.phases)),
        )  # fmt: skip

    def step(self, op: Operation, most: int) -> list[int]:
        """Return the step of an operation, in blocks of at most so many pixels."""
        place, window = self.places[op.source], self.windows[op]
        fields = {k.KIND: op.kind, k.VALUES: op.values, k.LEAKS: op.leaks, k.COUNT: op.channels}
        fields |= self.source(op, place, window) | self.target(op, most)
        taps = place.taps(op.size)
        if op.kind == k.PRODUCT:
            fields[k.SOON_WRITES] = op.channels
            taps = taps.reshape(-1, 1) + op.order[:, None]
            fields[k.CALLS], fields[k.COUNT] = self.tables.keep(op.calls), len(op.calls)
            fields[k.TERMS] = taps[0].size
            if op.added is not None:
                rows = self.places[op.added].pixels() + self.at[op.added] - self.at[op.target] - op.at
                fields[k.ADDED_ROWS] = self.tables.keep(rows)
        elif op.kind == k.MEAN:
            fields[k.TERMS] = prod(place.sides)
            fields[k.VALUES] = self.values.keep([0, 0, 1 / prod(place.sides)])
        elif op.kind == k.DEPTHWISE:
            fields[k.COUNT], fields[k.WEIGHTS] = -(-op.channels // self.lanes), op.weights
            if op.size[1] == 3 and window.stride[1] in (1, 2):
                fields |= {k.STRIDE: window.stride[1], k.WIDTH: window.out[1], k.ROW: place.row, k.PIXEL: place.pitch}
                fields[k.PITCH] = self.places[op.target].pitch
        elif op.kind == k.AVERAGE:
            fields[k.WEIGHTS] = self.values.keep(1 / self.counts(op))
        return _step({k.TAPS: self.tables.keep(taps), k.TERMS: taps.size} | fields)

    def soon(self, op: Operation, product: list[int]) -> list[int]:
        """Let the product behind a depthwise convolution fetch the rows that are new to the next block."""
        place, window = self.places[op.source], self.windows[op]
        taps = place.taps(op.size)
        first, last = int(taps[max(0, len(taps) - window.stride[0]), 0]), int(taps[-1, -1]) + place.pitch
        product[k.SOON_ROWS], product[k.SOON_AT] = self.tables.keep(place.windows(window)), self.at[op.source] + first
        product[k.SOON_LENGTH] = last - first
        return product

    def source(self, op: Operation, place: Place, window: Window) -> dict[int, int]:
        """Return where an operation reads."""
        if op.source in self.scratches:
            return {k.A_SPACE: k.SCRATCH, k.A_ROWS: self.lined(place.pitch, prod(place.sides))}
        if op is self.end:
            return {k.A_SPACE: k.SHARED, k.A_STEP: place.pitch, k.A_ROWS: self.lined(place.pitch, k.END_IMAGES)}
        if op.kind == k.MEAN:
            rows = self.tables.keep(place.pixels())
            return {k.A_SPACE: k.IMAGE, k.A_AT: self.at[op.source], k.A_ROWS: rows}
        rows = self.tables.keep(place.windows(window))
        if op.source == 0:
            at, slide = place.border.left * place.pitch + window.before[0] * place.row, window.stride[0] * place.row
            return {
                k.A_SPACE: k.SCRATCH,
                k.A_AT: at,
                k.A_ROWS: rows,
                k.A_MOVES: 1,
                k.WIDTH: window.out[1],
                k.SLIDE: slide,
            }
        return {k.A_SPACE: k.IMAGE, k.A_AT: self.at[op.source], k.A_ROWS: rows, k.A_MOVES: 1}

    def target(self, op: Operation, most: int) -> dict[int, int]:
        """Return where an operation writes; the logits' place depends on the batch and is set for each call."""
        place = self.places[op.target]
        if op.kind == k.MEAN:
            return {k.OUT_SPACE: k.SHARED, k.OUT_IMAGE: place.pitch}
        if op is self.end:
            return {k.OUT_STEP: op.channels, k.OUT_ROWS: self.lined(op.channels, k.END_IMAGES)}
        if op.target in self.scratches:
            self.scratch = max(self.scratch, _lines((most + 6) * place.pitch))  # `weigh_row` may reach beyond
            return {k.OUT_SPACE: k.SCRATCH, k.OUT_ROWS: self.lined(place.pitch, prod(place.sides))}
        rows = self.tables.keep(place.pixels())
        return {k.OUT_SPACE: k.IMAGE, k.OUT_AT: self.at[op.target] + op.at, k.OUT_ROWS: rows, k.OUT_MOVES: 1}

    def lined(self, step: int, count: int) -> int:
        return self.tables.keep(np.arange(count) * step)

    def copy(self, op: Operation, most: int) -> list[int]:
        """Return the step that copies the rows of the image that a block needs to the thread's scratch."""
        place, window = self.places[0], self.windows[op]
        lead, stride = place.border.left * place.pitch, window.stride[0]
        rows = min(-(-most // window.out[1]), window.out[0] - 1) * stride + op.size[0]
        self.scratch = max(self.scratch, _lines(lead + rows * place.row + LINE))
        return _step({
            k.KIND: k.COPY, k.OUT_SPACE: k.SCRATCH, k.OUT_AT: lead, k.LEAD: lead, k.ROW: place.sides[1] * place.pitch,
            k.PITCH: place.row, k.HEIGHT: place.sides[0], k.TOP: window.before[0], k.TERMS: op.size[0],
            k.STRIDE: stride, k.WIDTH: window.out[1],
        })  # fmt: skip

    def border(self, value: int) -> list[int]:
        """Return the step that fills what stands around a value: zeros, or what is no maximum."""
        place = self.places[value]
        pools = any(op.source == value and op.kind == k.MAXIMUM for op in self.operations)
        filler = -np.inf if pools else 0.0
        return _step({
            k.KIND: k.BORDER, k.OUT_SPACE: k.IMAGE, k.OUT_AT: self.at[value], k.LEAD: place.lead, k.TAIL: place.tail,
            k.ROW: place.sides[1] * place.pitch, k.PITCH: place.row, k.HEIGHT: place.sides[0],
            k.WIDTH: place.sides[1], k.VALUES: self.values.keep([filler] * 3),
        })  # fmt: skip

    def counts(self, op: Operation) -> Array:
        """Return by how much the sum of each window is divided."""
        window = self.windows[op]
        if op.counts_padding:
            return np.full(window.out, prod(op.size))
        inside = []
        for side, size, s, before, out in zip(
            self.sides[op.source], op.size, window.stride, window.before, window.out, strict=True
        ):
            first = np.arange(out) * s - before
            inside.append(np.minimum(first + size, side) - np.maximum(first, 0))
        counts: Array = np.multiply.outer(*inside)
        return counts

    def bytes(self, ops: list[Operation]) -> int:
        """Return how many bytes a phase cannot avoid: what it reads that it did not make, weights, what it leaves."""
        made = {op.target for op in ops}
        read = {value for op in ops for value in (op.source, op.added) if value is not None} - made
        kept = sum(self.channels[value] * prod(self.sides[value]) for value in (read | made) - self.scratches)
        return (kept + sum(op.parameters for op in ops)) * self.dtype.itemsize


def _step(fields: dict[int, int]) -> list[int]:
    values = [0] * k.STEP
    values[k.ADDED_ROWS], values[k.WIDTH] = -1, 1
    for field, value in fields.items():
        values[field] = int(value)
    return values


def _lines(values: int) -> int:
    return -(-values // LINE) * LINE
