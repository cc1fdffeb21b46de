"""From operations to phases for images of one size: where each value lies, tables of pixels and taps, blocks."""

from typing import Any, NamedTuple

import numpy as np

from npnets import _check
from npnets._check import Array, Ints, Window
from npnets.kernels import inference as kind
from npnets.kernels.product import vector
from npnets.plan._lower import Operation, Program

# Images that the classifier takes at a time, and features of one image lie so many values apart.
END_IMAGES = 48


class Border(NamedTuple):
    """Pixels around an image that the windows of its readers meet."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0


class Place(NamedTuple):
    """Where a value's pixels lie, in values from the first pixel on: rows share the columns between them."""

    sides: Ints
    pitch: int
    border: Border

    @property
    def row(self) -> int:
        """Return how far the next row is."""
        return (self.sides[1] + self.gap) * self.pitch

    @property
    def gap(self) -> int:
        return max(self.border.left, self.border.right)

    @property
    def head(self) -> int:
        return self.border.top * self.row + self.border.left * self.pitch

    @property
    def tail(self) -> int:
        """How many values follow the last row and its gap."""
        return self.border.bottom * self.row

    @property
    def size(self) -> int:
        return self.head + self.sides[0] * self.row + self.tail

    def pixels(self) -> Array:
        rows = np.arange(self.sides[0]) * self.row
        return (rows[:, None] + np.arange(self.sides[1]) * self.pitch).ravel()


class Layout(NamedTuple):
    """All that `inference.infer` needs for images of one size."""

    steps: Array
    phases: Array
    tables: Array
    params: Array
    names: tuple[str, ...]  # of the phases
    image: int  # values of the buffers of one image
    scratch: int  # of a thread
    features: int  # of an image's features and logits
    classes: int


class _Tables:
    """int64 tables, one behind the other; the same table is kept once."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._seen: dict[bytes, int] = {}
        self._at = 0

    def keep(self, table: Array) -> int:
        table = np.ascontiguousarray(table, np.int64).ravel()
        key = table.tobytes()
        if key not in self._seen:
            self._seen[key] = self._at
            self._parts.append(table)
            self._at += len(table)
        return self._seen[key]

    def all(self) -> Array:
        return np.concatenate(self._parts)


def layout(program: Program, sides: Ints) -> Layout:
    """Plan the buffers, phases and tables for images of `sides` rows and columns."""
    return _Layout(program, sides).result()


class _Layout:
    def __init__(self, program: Program, sides: Ints) -> None:
        self.operations, self.channels, self.params = program
        self.dtype = self.params.dtype
        self.lanes = vector(self.dtype)
        self.sides: dict[int, Ints] = {0: sides}
        self.windows: list[Window] = []
        for op in self.operations:
            source = self.sides[op.source]
            window = _check.window(source, op.size, **op.window)
            self.windows.append(window)
            self.sides[op.target] = (1, 1) if op.kind == kind.MEAN else window.out
        self.phases = self._phases()
        self.places = {value: self._place(value) for value in self.sides}
        self.image, self.at = self._plan()
        self.tables = _Tables()
        self.extra: list[Array] = []
        self.extra_at = len(self.params)

    # -- geometry ------------------------------------------------------------------------------------------------------

    def _place(self, value: int) -> Place:
        H, W = self.sides[value]
        border = Border()
        for op, window in zip(self.operations, self.windows, strict=True):
            if op.source == value and op.kind != kind.MEAN:
                reach = [(n - 1) * s + k - p - side for n, s, k, p, side in zip(
                    window.out, window.stride, op.size, window.before, (H, W), strict=True)]  # fmt: skip
                border = Border(*map(max, border, (*window.before, *(max(0, r) for r in reach))))
        return Place((H, W), self._pitch(value), border)

    def _pitch(self, value: int) -> int:
        """Return how far apart pixels lie: whole vectors, and no power of two, which would meet in one set of a cache."""
        channels = self.channels[value]
        if channels < self.lanes and value not in self._scratch():
            return channels
        pitch = -(-channels // self.lanes) * self.lanes
        return pitch + 64 // self.dtype.itemsize if pitch * self.dtype.itemsize % 1024 == 0 else pitch

    def fill(self, value: int) -> float:
        """Return what stands around a value."""
        pools = any(op.source == value and op.kind == kind.MAXIMUM for op in self.operations)
        return -np.inf if pools else 0.0

    # -- phases --------------------------------------------------------------------------------------------------------

    def _phases(self) -> list[list[int]]:
        """Return the operations of each phase: those that can follow each other on the same pixels."""
        phases: list[list[int]] = []
        made: dict[int, int] = {0: -1}  # in which phase
        for number, op in enumerate(self.operations):
            final = op.kind == kind.MEAN or op.source in self._means()
            sources = [op.source] if op.added is None else [op.source, op.added]
            here = len(phases)
            joins = (
                phases
                and not final
                and self.sides[op.target] == self.sides[self.operations[phases[-1][0]].target]
                and all(made[source] < here or (source != op.added and op.local) or source == op.added for source in sources)
            )
            if not joins:
                phases.append([])
            phases[-1].append(number)
            made[op.target] = max(len(phases), made.get(op.target, 0))
        return phases

    def _means(self) -> set[int]:
        return {op.target for op in self.operations if op.kind == kind.MEAN}

    # -- memory --------------------------------------------------------------------------------------------------------

    def _plan(self) -> tuple[int, dict[int, int]]:
        """Return the size of an image's buffers, and where each value has its first pixel."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        local = {0} | self._scratch() | self._means() | {self.operations[-1].target}
        for phase, numbers in enumerate(self.phases, 1):
            for op in (self.operations[number] for number in numbers):
                first.setdefault(op.target, phase)
                for value in (op.source, op.target, *([] if op.added is None else [op.added])):
                    last[value] = phase
        taken: list[tuple[int, int, int, int]] = []  # start, stop, first, last
        places: dict[int, int] = {}
        for value in sorted(first, key=lambda value: (first[value], -self.places[value].size)):
            if value in local:
                continue
            size = _lines(self.places[value].size + 16) + 64
            start = 0
            for other_start, stop, begins, ends in sorted(taken):
                if begins <= last[value] and ends >= first[value] and other_start < start + size and stop > start:
                    start = stop
            taken.append((start, start + size, first[value], last[value]))
            places[value] = start + _lines(self.places[value].head)
        return max(stop for _, stop, _, _ in taken), places

    def _scratch(self) -> set[int]:
        """Values that a phase makes and only itself reads: the outputs of depthwise convolutions."""
        return {op.target for op in self.operations if op.kind == kind.DEPTHWISE}

    # -- steps ---------------------------------------------------------------------------------------------------------

    def result(self) -> Layout:
        steps: list[Array] = []
        phases: list[list[int]] = []
        names: list[str] = []
        self.scratch = 0
        for numbers in self.phases:
            begin = len(steps)
            ops = [self.operations[number] for number in numbers]
            pixels = self.sides[ops[0].target]
            deepest = max(self._terms(op) for op in ops)
            products = [op for op in ops if op.kind == kind.PRODUCT]
            blocks, parts, serial = self._blocks(pixels, deepest, min([len(op.calls) for op in products], default=1))
            if ops[0].source == 0:
                blocks = serial = -(-pixels[0] // max(1, round(224 / pixels[1])))
            if ops[0].kind == kind.MEAN:
                vectors = -(-self.channels[ops[0].source] // self.lanes)
                blocks = serial = max(1, vectors // 8)
                pixels, parts = (vectors, 1), 1
            area = pixels[0] * pixels[1]
            if len(products) > 1:
                parts = 1
            largest = max(-(-area // blocks), -(-area // serial))
            done: set[int] = set()
            for number, op in zip(numbers, ops, strict=True):
                if op.source == 0:
                    steps.append(self._copy(op, self.windows[number], largest))
                steps.append(self._step(op, self.windows[number], largest))
                if op.target in self.at and op.target not in done:
                    done.add(op.target)
                    steps += self._border(op.target)
            phases.append([begin, len(steps), area, blocks, parts, serial])
            names.append(" + ".join(name for op in ops for name in op.names))
        params = np.concatenate([self.params, *self.extra]) if self.extra else self.params
        end = self.operations[-1]
        return Layout(
            np.array(steps, np.int64).ravel(), np.array(phases, np.int64).ravel(), self.tables.all(), params,
            tuple(names), self.image, self.scratch, self._pitch(end.source), self.channels[end.target],
        )  # fmt: skip

    def _blocks(self, pixels: Ints, terms: int, calls: int) -> tuple[int, int, int]:
        """Return blocks and parts for all threads together, and blocks for one thread."""
        area = pixels[0] * pixels[1]
        wanted = max(24, min(96, 8192 // terms))
        serial = max(1, round(area / max(wanted, 48)))
        blocks = max(1, round(area / wanted))
        if blocks > 8:
            blocks = -(-blocks // 8) * 8
        parts = min(calls, 4) if area < 64 else 1
        return blocks, parts, serial

    def _terms(self, op: Operation) -> int:
        return op.size[0] * op.size[1] * op.order.shape[1] if op.kind == kind.PRODUCT else 1

    def _copy(self, op: Operation, window: Window, block: int) -> list[int]:
        """Return the step that copies the rows of the image that a block needs to the thread's scratch."""
        step, place, stride = self._blank(kind.COPY), self.places[0], window.stride[0]
        lead, top = place.border.left * place.pitch, window.before[0]
        rows = (min(-(-block // window.out[1]) + 1, window.out[0]) - 1) * stride + op.size[0]
        step[kind.OUT_SPACE], step[kind.OUT_AT], step[kind.OUT_ROWS] = kind.SCRATCH, lead, lead
        step[kind.COUNT], step[kind.CALLS] = place.sides[1] * place.pitch, place.sides[0]
        step[kind.ROWS], step[kind.TERMS], step[kind.TAPS] = top, op.size[0], place.row
        step[kind.A_WIDTH], step[kind.A_STEP] = window.out[1], stride
        self.scratch = max(self.scratch, _lines(lead + rows * place.row + 64))
        return step

    def _border(self, value: int) -> list[list[int]]:
        place = self.places[value]
        if place.border == Border():
            return []
        step = self._blank(kind.BORDER)
        step[kind.OUT_SPACE], step[kind.OUT_AT] = kind.IMAGE, self.at[value]
        step[kind.ROWS], step[kind.CALLS], step[kind.TAPS] = place.head, place.tail, place.row
        step[kind.COUNT], step[kind.TERMS] = place.sides[1] * place.pitch, place.sides[1]
        fill = self.fill(value)
        step[kind.BOUNDS] = self._extra(np.array([fill, fill, fill]))
        return [step]

    def _extra(self, values: Array) -> int:
        at = self.extra_at
        self.extra.append(values.astype(self.dtype).ravel())
        self.extra_at += values.size
        return at

    def _blank(self, number: int) -> list[int]:
        step = [0] * kind.STEP
        step[kind.KIND], step[kind.ADDED_ROWS], step[kind.A_WIDTH] = number, -1, 1
        return step

    def _step(self, op: Operation, window: Window, block: int) -> list[int]:
        step = self._blank(op.kind)
        step[kind.BOUNDS], step[kind.LEAKS] = op.bounds, op.leaks
        self._source(step, op, window)
        self._target(step, op, block)
        place = self.places[op.source]
        if op.kind == kind.PRODUCT:
            pixel = self._taps(op, place)
            taps = pixel[None, :, None] + op.order[:, None, :]
            step[kind.TAPS], step[kind.TERMS] = self.tables.keep(taps), len(pixel) * op.order.shape[1]
            step[kind.CALLS], step[kind.COUNT] = self.tables.keep(np.array(op.calls)), len(op.calls)
            if op.added is not None:
                rows = self.places[op.added].pixels() + self.at[op.added] - self.at[op.target] - op.at
                step[kind.ADDED_ROWS] = self.tables.keep(rows)
        elif op.kind == kind.MEAN:
            step[kind.TERMS] = len(place.pixels())
            step[kind.BOUNDS] = self._extra(np.array([0, 0, 1 / step[kind.TERMS]]))
        else:
            taps = self._taps(op, place)
            step[kind.TAPS], step[kind.TERMS] = self.tables.keep(taps), len(taps)
            step[kind.COUNT] = op.channels
            step[kind.WEIGHTS] = op.weights
            if op.kind == kind.DEPTHWISE:
                if op.size[1] == 3 and window.stride[1] in (1, 2):
                    step[kind.STRIDE], step[kind.A_WIDTH] = window.stride[1], window.out[1]
                    step[kind.A_ROW], step[kind.A_PIXEL] = place.row, place.pitch
                    step[kind.OUT_PITCH] = self.places[op.target].pitch
                new = taps.reshape(op.size)[-window.stride[0] :, -window.stride[1] :]
                step[kind.SOON], step[kind.SOONS] = self.tables.keep(new), new.size
                step[kind.COUNT] = -(-op.channels // self.lanes)
            if op.kind == kind.AVERAGE:
                step[kind.WEIGHTS] = self._extra(1 / self._counts(op, window))
        return step

    def _source(self, step: list[int], op: Operation, window: Window) -> None:
        place = self.places[op.source]
        if op.source in self._scratch():
            step[kind.A_SPACE], step[kind.A_AT] = kind.SCRATCH, 0
            step[kind.ROWS] = self.tables.keep(np.arange(place.sides[0] * place.sides[1]) * place.pitch)
        elif op.source == 0:
            self._windows(step, place, window)
            step[kind.A_SPACE], step[kind.A_WIDTH] = kind.SCRATCH, window.out[1]
            step[kind.A_AT] = place.border.left * place.pitch + window.before[0] * place.row
            step[kind.A_SLIDE] = window.stride[0] * place.row
        elif op.source in self._means():
            step[kind.A_SPACE], step[kind.A_STEP] = kind.SHARED, place.pitch
            step[kind.ROWS] = self.tables.keep(np.arange(END_IMAGES) * place.pitch)
        elif op.kind == kind.MEAN:
            step[kind.A_SPACE], step[kind.A_AT] = kind.IMAGE, self.at[op.source]
            step[kind.ROWS] = self.tables.keep(place.pixels())
        else:
            step[kind.A_SPACE], step[kind.A_AT] = kind.IMAGE, self.at[op.source]
            self._windows(step, place, window)

    def _windows(self, step: list[int], place: Place, window: Window) -> None:
        """Set the table of the windows' first pixels."""
        rows = (np.arange(window.out[0]) * window.stride[0] - window.before[0]) * place.row
        columns = (np.arange(window.out[1]) * window.stride[1] - window.before[1]) * place.pitch
        step[kind.ROWS], step[kind.ROWS_MOVE] = self.tables.keep(rows[:, None] + columns), 1

    def _target(self, step: list[int], op: Operation, block: int) -> None:
        place = self.places[op.target]
        if op.kind == kind.MEAN:
            step[kind.OUT_SPACE], step[kind.OUT_IMAGE] = kind.SHARED, place.pitch
        elif op is self.operations[-1]:
            step[kind.OUT_SPACE], step[kind.OUT_AT] = kind.SHARED, -1  # behind the features of all images: `Plan`
            step[kind.OUT_STEP] = op.channels
            step[kind.OUT_ROWS] = self.tables.keep(np.arange(END_IMAGES) * op.channels)
        elif op.target in self._scratch():
            step[kind.OUT_SPACE] = kind.SCRATCH
            step[kind.OUT_ROWS] = self.tables.keep(np.arange(place.sides[0] * place.sides[1]) * place.pitch)
            self.scratch = max(self.scratch, _lines((block + 6) * place.pitch + self.lanes))
        else:
            step[kind.OUT_SPACE], step[kind.OUT_AT] = kind.IMAGE, self.at[op.target] + op.at
            step[kind.OUT_ROWS], step[kind.OUT_MOVES] = self.tables.keep(place.pixels()), 1

    def _taps(self, op: Operation, place: Place) -> Array:
        """Return how far each entry of the kernel is from the window's first pixel."""
        return (np.arange(op.size[0])[:, None] * place.row + np.arange(op.size[1]) * place.pitch).ravel()

    def _counts(self, op: Operation, window: Window) -> Array:
        """Return by how much the sum of each window is divided."""
        if op.counts_padding:
            return np.full(window.out, op.size[0] * op.size[1])
        ends = []
        for side, width, s, p, out in zip(
            self.sides[op.source], op.size, window.stride, window.before, window.out, strict=True
        ):
            first = np.arange(out) * s - p
            ends.append(np.minimum(first + width, side) - np.maximum(first, 0))
        return np.multiply.outer(*ends)


def _lines(values: int) -> int:
    """Round up to whole cache lines of either dtype."""
    return -(-values // 16) * 16
