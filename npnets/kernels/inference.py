"""A whole network in one call: an interpreter of phases, each a run of steps on the same pixels.

(opening text to come)
"""

from npnets._check import Array
from npnets._jit import jit
from npnets.kernels.product import INFINITY, multiply
from npnets.kernels.simd import add, clamp, lanes, largest, load, load_part, prefetch, splat, store, store_part, weigh_row, weigh_tile
from npnets.kernels.simd import multiply as times
from npnets.kernels.team import complete, take, wait

# Kinds of steps.
COPY, BORDER, PRODUCT, DEPTHWISE, MAXIMUM, AVERAGE, MEAN = range(7)

# Where a step's values are: what the images share, the image's own buffers, the thread's scratch.
SHARED, IMAGE, SCRATCH = range(3)

# Fields of a step.
(KIND, A_SPACE, A_AT, A_STEP, ROWS, ROWS_MOVE, TAPS, TERMS, CALLS, COUNT, WEIGHTS, OUT_SPACE, OUT_AT, OUT_STEP, OUT_ROWS,
 OUT_MOVES, OUT_IMAGE, ADDED_ROWS, BOUNDS, LEAKS, A_WIDTH, A_SLIDE, SOON, SOONS, A_ROW, A_PIXEL, STRIDE, OUT_PITCH) = range(28)  # fmt: skip
STEP = 28

# Fields of a phase.
FIRST, LAST, PIXELS, BLOCKS, PARTS, SERIAL_BLOCKS = range(6)
PHASE = 6

# Fields of a call of `product.multiply`.
CALL_A, CALL_TAPS, CALL_WEIGHTS, CALL_COLUMNS, CALL_OUT = range(5)
CALL = 5


@jit
def _copy_run(x: Array, here: int, work: Array, there: int, count: int) -> None:
    W = lanes(work)
    whole = count - count % W
    for e in range(0, whole, W):
        store(work, there + e, load(x, here + e))
    if whole < count:
        store_part(work, there + whole, load_part(x, here + whole, count - whole), count - whole)


@jit
def _fill(work: Array, start: int, stop: int, value: float) -> None:
    W, filler = lanes(work), splat(work, value)
    whole = stop - (stop - start) % W
    for e in range(start, whole, W):
        store(work, e, filler)
    if whole < stop:
        store_part(work, whole, filler, stop - whole)


@jit
def _copy(x: Array, x0: int, H: int, row: int, work: Array, at: int, lead: int, wide: int, r0: int, r1: int) -> None:
    """Copy the image's rows r0..r1, some of which may lie outside, with zeros around them.

    `row` values each, `wide` apart, from the place `at` on, which follows `lead` zeros.
    """
    _fill(work, at - lead, at, 0.0)
    for r in range(r0, r1):
        here = 0
        if 0 <= r < H:
            _copy_run(x, x0 + r * row, work, at, row)
            here = row
        _fill(work, at + here, at + wide, 0.0)
        at += wide


@jit
def _leak(work: Array, at: int, rows: Array, count: int, channels: int, slope: float) -> None:
    """Apply leaky ReLU where a product was written."""
    W, zero = lanes(work), splat(work, 0.0)
    least, most, a = splat(work, -INFINITY), splat(work, INFINITY), splat(work, slope)
    for p in range(count):
        for m in range(0, channels, W):
            i = at + rows[p] + m
            x = load(work, i)
            value = add(clamp(x, zero, most), times(a, clamp(x, least, zero)))
            if m + W <= channels:
                store(work, i, value)
            else:
                store_part(work, i, value, channels - m)


@jit
def _weigh(work: Array, at: int, rows: Array, count: int, taps: Array, t0: int, K: int, b: Array, b0: int, out_at: int,
           out_rows: Array, vectors: int, low: float, high: float) -> None:  # fmt: skip
    """Depthwise convolution of `count` pixels, in sixes and fives as in `product.multiply`."""
    tiles = (count + 5) // 6
    fives = max(0, 6 * tiles - count)
    p = 0
    for tile in range(tiles):
        if tile < tiles - fives:
            weigh_tile(6, work, rows, p, count - 1, at, taps, t0, K, b, b0, work, out_rows, out_at, vectors, low, high)
            p += 6
        else:
            weigh_tile(5, work, rows, p, count - 1, at, taps, t0, K, b, b0, work, out_rows, out_at, vectors, low, high)
            p += 5


@jit
def _weigh_rows(work: Array, at: int, rows: Array, p0: int, count: int, width: int, stride: int, row: int, pixel: int,
                KH: int, b: Array, b0: int, out_at: int, out_rows: Array, pitch: int, vectors: int, low: float,
                high: float) -> None:  # fmt: skip
    """Depthwise convolution by kernels with three columns, seven or four pixels of a row at a time.

    The last ones of a row may reach beyond its end: the values there are overwritten by the next row's.
    """
    p = 0
    while p < count:
        end = min(count, (p0 + p) // width * width + width - p0)
        while p < end:
            here, there = at + rows[p], out_at + out_rows[p]
            if end - p > 4:
                if stride == 1:
                    weigh_row(7, 1, work, here, row, pixel, KH, b, b0, work, there, pitch, vectors, low, high)
                else:
                    weigh_row(7, 2, work, here, row, pixel, KH, b, b0, work, there, pitch, vectors, low, high)
                p += 7
            else:
                if stride == 1:
                    weigh_row(4, 1, work, here, row, pixel, KH, b, b0, work, there, pitch, vectors, low, high)
                else:
                    weigh_row(4, 2, work, here, row, pixel, KH, b, b0, work, there, pitch, vectors, low, high)
                p += 4
        p = end


@jit
def _ask(work: Array, at: int, tables: Array, rows: int, count: int, taps: int, K: int, vectors: int) -> None:
    """Ask for what the next block will read first, while the product keeps this thread busy."""
    W = lanes(work)
    for p in range(rows, rows + count):
        for k in range(taps, taps + K):
            here = at + tables[p] + tables[k]
            for m in range(0, vectors * W, W):
                prefetch(work, here + m)


@jit
def _pool(maximum: bool, work: Array, at: int, rows: Array, count: int, taps: Array, t0: int, K: int, scales: Array,
          s0: int, out_at: int, out_rows: Array, channels: int, low: float, high: float) -> None:  # fmt: skip
    """Take the largest value of each window, or its sum times the pixel's scale."""
    W, least, most = lanes(work), splat(work, low), splat(work, high)
    for p in range(count):
        for m in range(0, channels, W):
            here, there = at + rows[p] + m, out_at + out_rows[p] + m
            value = load(work, here + taps[t0])
            if maximum:
                for k in range(1, K):
                    value = largest(load(work, here + taps[t0 + k]), value)
            else:
                for k in range(1, K):
                    value = add(value, load(work, here + taps[t0 + k]))
                value = times(value, splat(work, scales[s0 + p]))
            value = clamp(value, least, most)
            if m + W <= channels:
                store(work, there, value)
            else:
                store_part(work, there, value, channels - m)


@jit
def _mean(work: Array, at: int, rows: Array, count: int, out_at: int, first: int, last: int, scale: float) -> None:
    """Take the mean over all pixels of the vectors of channels first..last."""
    W, factor = lanes(work), splat(work, scale)
    for m in range(first * W, last * W, W):
        value = splat(work, 0.0)
        for p in range(count):
            value = add(value, load(work, at + rows[p] + m))
        store(work, out_at + m, times(value, factor))


@jit
def _step(steps: Array, s: int, tables: Array, params: Array, x: Array, work: Array, p0: int, p1: int, pixels: int,
          part: int, parts: int, image: int, image_at: int, scratch_at: int) -> None:  # fmt: skip
    """Do one step for the pixels p0..p1."""
    kind, count = steps[s + KIND], p1 - p0
    at = steps[s + A_AT] + p0 * steps[s + A_STEP] - p0 // steps[s + A_WIDTH] * steps[s + A_SLIDE]
    if steps[s + A_SPACE] == IMAGE:
        at += image_at
    elif steps[s + A_SPACE] == SCRATCH:
        at += scratch_at
    out_at = steps[s + OUT_AT] + p0 * steps[s + OUT_STEP] + image * steps[s + OUT_IMAGE]
    if steps[s + OUT_SPACE] == IMAGE:
        out_at += image_at
    elif steps[s + OUT_SPACE] == SCRATCH:
        out_at += scratch_at
    rows = tables[steps[s + ROWS] + p0 * steps[s + ROWS_MOVE] :]
    out_rows = tables[steps[s + OUT_ROWS] + p0 * steps[s + OUT_MOVES] :]
    bounds = steps[s + BOUNDS]
    low, high, slope = params[bounds], params[bounds + 1], params[bounds + 2]
    t0, K, leaks = steps[s + TAPS], steps[s + TERMS], steps[s + LEAKS] > 0

    if kind == PRODUCT:
        adds = steps[s + ADDED_ROWS] >= 0
        added_rows = tables[steps[s + ADDED_ROWS] + p0 :] if adds else out_rows
        calls = steps[s + COUNT]
        for call in range(calls * part // parts, calls * (part + 1) // parts):
            c = steps[s + CALLS] + call * CALL
            n0, N = out_at + tables[c + CALL_OUT], tables[c + CALL_COLUMNS]
            multiply(work, rows, 0, count, at + tables[c + CALL_A], tables, t0 + tables[c + CALL_TAPS], K, params,
                     tables[c + CALL_WEIGHTS], N, work, added_rows, adds, work, out_rows, n0, low, high)  # fmt: skip
            if leaks:
                _leak(work, n0, out_rows, count, N, slope)
    elif kind == DEPTHWISE:
        vectors = steps[s + COUNT]
        if steps[s + STRIDE] > 0:
            _weigh_rows(work, at, rows, p0, count, steps[s + A_WIDTH], steps[s + STRIDE], steps[s + A_ROW],
                        steps[s + A_PIXEL], K // 3, params, steps[s + WEIGHTS], out_at, out_rows, steps[s + OUT_PITCH],
                        vectors, low, high)  # fmt: skip
        else:
            _weigh(work, at, rows, count, tables, t0, K, params, steps[s + WEIGHTS], out_at, out_rows, vectors, low,
                   high)  # fmt: skip
        if leaks:
            _leak(work, out_at, out_rows, count, vectors * lanes(work), slope)
        _ask(work, at, tables, steps[s + ROWS] + p1, min(count, pixels - p1), steps[s + SOON], steps[s + SOONS],
             vectors)  # fmt: skip
    elif part > 0:
        return  # what follows is done once
    elif kind == MAXIMUM or kind == AVERAGE:
        channels = steps[s + COUNT]
        _pool(kind == MAXIMUM, work, at, rows, count, tables, t0, K, params, steps[s + WEIGHTS] + p0, out_at, out_rows,
              channels, low, high)  # fmt: skip
        if leaks:
            _leak(work, out_at, out_rows, count, channels, slope)
    elif kind == MEAN:
        _mean(work, at, rows, K, out_at, p0, p1, slope)
    elif kind == COPY:
        row, width, stride, H = steps[s + COUNT], steps[s + A_WIDTH], steps[s + A_STEP], steps[s + CALLS]
        r0 = p0 // width * stride - steps[s + ROWS]
        r1 = (p1 - 1) // width * stride - steps[s + ROWS] + K
        _copy(x, image * H * row, H, row, work, out_at, steps[s + OUT_ROWS], t0, r0, r1)
    else:
        if p0 == 0:
            _fill(work, out_at - steps[s + ROWS], out_at, low)
        for row in range(p0 // K, p1 // K):  # whose last pixel is among these
            end = out_at + row * steps[s + TAPS] + steps[s + COUNT]
            _fill(work, end, out_at + (row + 1) * steps[s + TAPS], low)
        if p1 == pixels:
            end = out_at + pixels // K * steps[s + TAPS]
            _fill(work, end, end + steps[s + CALLS], low)


@jit
def _task(steps: Array, phases: Array, tables: Array, params: Array, x: Array, work: Array, f: int, pixels: int,
          blocks: int, parts: int, task: int, image: int, image_at: int, scratch_at: int) -> None:  # fmt: skip
    """Do one block of a phase: all its steps for these pixels, or a part of the last one's columns."""
    block, part = task % blocks, task // blocks
    p0, p1 = pixels * block // blocks, pixels * (block + 1) // blocks
    for s in range(phases[f + FIRST] * STEP, phases[f + LAST] * STEP, STEP):
        _step(steps, s, tables, params, x, work, p0, p1, pixels, part, parts, image, image_at, scratch_at)


@jit
def infer(steps: Array, phases: Array, tables: Array, params: Array, x: Array, work: Array, counts: Array, batch: int,
          whole: int, first: int, last: int, end_blocks: int, spaces: Array) -> None:  # fmt: skip
    """Do the phases first..last, the last of which is about all images at once.

    The first `whole` images are done by one thread each, the others by all threads together.
    """
    slot, slots = take(counts, 0), spaces[0]
    if slot >= slots:
        return
    final = len(phases) - PHASE
    image_at, scratch_at = spaces[1] + slot * spaces[2], spaces[3] + slot * spaces[4]
    while True:
        image = take(counts, 1)
        if image >= whole:
            break
        for f in range(first * PHASE, min(last * PHASE, final), PHASE):
            blocks = phases[f + SERIAL_BLOCKS]
            for task in range(blocks):
                _task(steps, phases, tables, params, x, work, f, phases[f + PIXELS], blocks, 1, task, image, image_at,
                      scratch_at)  # fmt: skip
        complete(counts, 1)

    c, image_at = 2, spaces[1] + slots * spaces[2]
    for image in range(whole, batch):
        for f in range(first * PHASE, min(last * PHASE, final), PHASE):
            blocks, parts = phases[f + BLOCKS], phases[f + PARTS]
            tasks = blocks * parts
            while True:
                task = take(counts, c)
                if task >= tasks:
                    break
                _task(steps, phases, tables, params, x, work, f, phases[f + PIXELS], blocks, parts, task, image,
                      image_at, scratch_at)  # fmt: skip
                complete(counts, c)
            wait(counts, c, tasks)
            c += 1

    wait(counts, 1, whole)
    if last * PHASE > final:
        parts = phases[final + PARTS]
        tasks = end_blocks * parts
        while True:
            task = take(counts, c)
            if task >= tasks:
                break
            _task(steps, phases, tables, params, x, work, final, batch, end_blocks, parts, task, 0, 0, scratch_at)
            complete(counts, c)
        wait(counts, c, tasks)
