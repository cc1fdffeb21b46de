"""A whole network in one call: an interpreter of phases, which threads share by the block.

::

    for image:                                 by one thread each, or by all together where there are too few
        for phase:                             a run of steps that need only the same pixels
            for block of pixels, part of columns:          what threads take
                for step: copy | border | product | depthwise | pool | mean

A phase begins where windows are read: at a depthwise convolution, a pool. What follows it pixel by pixel belongs to the
same phase, so that its values are read where they were just written, in the L1 and L2 cache::

    MobileNet's block      depthwise --> pointwise
    ShuffleNet's unit      depthwise --> group pointwise, + shortcut --> the next unit's group pointwise
                                 |                  ^
            values of 24 to 96 pixels in the        the shuffle is the order of its taps
            thread's scratch, 8192 if possible

    whole image, zeros around it:  o o o o o o
                                   o x x x x o      a block of pixels crosses rows: tables say where each pixel of the
                                   o x[x x x o      input and the output is, and what is between the rows is passed over
                                   o x x]x x o
                                   o o o o o o

All values of an image are in one flat array, planned by `npnets.plan`: borders mean that no inner loop has an edge case
(around what a max pool reads stands -inf), and whoever writes the last pixel of a row fills the border behind it, as
buffers take each other's places: 5 MB instead of 13.7 for MobileNet at 224 x 224, so that they stay in a cache of 32 MB
with the weights (17 MB). The image itself is not bordered: the rows that a block of the stem needs are copied to its
scratch.

A depthwise 3 x 3 convolution computes seven pixels of a row at a time, a vector of channels each (`weigh_row`): 9
vectors of a row of the input are loaded once for 21 multiply-adds, with 3 weights in registers. On one core of a Zen 4
that is 68-70 cycles for 63 vectors' multiply-adds in the L1 cache; with windows of their own (`weigh_tile`) it was 106.
Other kernels and strides go that way. A tile of seven may reach beyond the end of a row: what is too much is
overwritten by the next one. Pixels lie whole vectors apart, and no multiple of 1024 bytes, as their windows would share
a few sets of the L1 cache: with 1024 channels that took 221 cycles instead of 90, with 512 it was 144 and 91.

`product.multiply` fetches the pixels that the next block will read and write while it computes: that took the second
block (3.2 MB in) from 611 to 532 microseconds.

Measured on that core, whose limit is 118 GF/s, for one image of 224 x 224 (milliseconds; the limit: all multiply-adds
at 118 GF/s)::

    MobileNet 1.0       10.5   limit 9.6    blocks at 14 x 14 and 7 x 7 113 GF/s, the first one 100, the stem 83
    ShuffleNet 1x g=3    3.2   limit 2.3    20 and 40 columns of a group fill 62 and 83 % of their vectors

Tried, and no gain: blocks of 28 to 448 pixels (all within 2 %); the next block's pixels fetched in a loop of its own;
the lines that a tile will write, asked for before its sums; the weights of the next panel, fetched ahead of it.

Whether an image is one thread's or everybody's, each value is the same sum in the same order: the bits depend on the
image alone.
"""

from npnets._check import Array
from npnets._jit import jit
from npnets.kernels.product import INFINITY, multiply
from npnets.kernels.simd import (
    add,
    clamp,
    lanes,
    largest,
    load,
    load_part,
    splat,
    store,
    store_part,
    weigh_row,
    weigh_tile,
)
from npnets.kernels.simd import multiply as times
from npnets.kernels.team import complete, take, take_near, wait

# Kinds of steps.
COPY, BORDER, PRODUCT, DEPTHWISE, MAXIMUM, AVERAGE, MEAN = range(7)

# Where values are: in what the images share, in the image's own buffers, in the thread's scratch.
SHARED, IMAGE, SCRATCH = range(3)

# Fields of a step. Those of all kinds: where it reads and writes, per pixel by a table that begins with the image's
# first pixel (MOVES) or with the block's (then pixels of the block before are STEP apart).
(KIND, A_SPACE, A_AT, A_STEP, A_ROWS, A_MOVES, OUT_SPACE, OUT_AT, OUT_STEP, OUT_ROWS, OUT_MOVES, OUT_IMAGE, TAPS, TERMS,
 COUNT, WEIGHTS, VALUES, LEAKS) = range(18)  # fmt: skip
# Products: the table of calls, and the pixels of what is added, or -1.
CALLS, ADDED_ROWS = 18, 19
# What reads windows row by row: pixels in a row, how far apart the windows of two rows are in the scratch, 0 elsewhere.
WIDTH, SLIDE = 20, 21
# Depthwise: the stride, or 0 where `weigh_tile` does it; how far the next row and pixel are, and the next output.
STRIDE, ROW, PIXEL, PITCH = range(22, 26)
# The copy of the image's rows, and borders.
HEIGHT, TOP, LEAD, TAIL = range(26, 30)
# What a product fetches for the next block: the pixels that it will read, where the first and the last of them begins
# and ends, and the length of those that it will write.
SOON_ROWS, SOON_AT, SOON_LENGTH, SOON_WRITES = range(30, 34)
STEP = 34

# Fields of a phase.
FIRST, LAST, PIXELS, BLOCKS, PARTS, BLOCKS_ALONE = range(6)
PHASE = 6

# Fields of a call of `product.multiply`.
CALL_SOURCE, CALL_TAPS, CALL_WEIGHTS, CALL_COLUMNS, CALL_TARGET = range(5)
CALL = 5

# The classifier takes so many images at a time.
END_IMAGES = 48


@jit
def _fill(work: Array, start: int, stop: int, value: float) -> None:
    W, filler = lanes(work), splat(work, value)
    whole = stop - (stop - start) % W
    for e in range(start, whole, W):
        store(work, e, filler)
    if whole < stop:
        store_part(work, whole, filler, stop - whole)


@jit
def _copy(
    x: Array, x0: int, height: int, row: int, work: Array, at: int, lead: int, wide: int, r0: int, r1: int
) -> None:
    """Copy the image's rows r0..r1, some of which may lie outside, with zeros around them.

    `row` values each, `wide` apart, from the place `at` on, which follows `lead` zeros.
    """
    W = lanes(work)
    _fill(work, at - lead, at, 0.0)
    for r in range(r0, r1):
        inside = row if 0 <= r < height else 0
        here, whole = x0 + r * row, inside - inside % W
        for e in range(0, whole, W):
            store(work, at + e, load(x, here + e))
        if whole < inside:
            store_part(work, at + whole, load_part(x, here + whole, inside - whole), inside - whole)
        _fill(work, at + inside, at + wide, 0.0)
        at += wide


@jit
def _border(work: Array, at: int, lead: int, row: int, wide: int, tail: int, rows: int, r0: int, r1: int,
            value: float) -> None:  # fmt: skip
    """Fill what stands around the rows r0..r1 of an image, of `row` values each and `wide` apart."""
    if r0 == 0:
        _fill(work, at - lead, at, value)
    for r in range(r0, r1):
        _fill(work, at + r * wide + row, at + (r + 1) * wide, value)
    if r1 == rows:
        _fill(work, at + rows * wide, at + rows * wide + tail, value)


@jit
def _leak(work: Array, at: int, rows: Array, count: int, channels: int, slope: float) -> None:
    """Apply leaky ReLU to what was just written."""
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
    """Depthwise convolution of `count` pixels by any kernel, in sixes and fives as in `product.multiply`."""
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
                KH: int, b: Array, b0: int, out_at: int, pitch: int, vectors: int, low: float,
                high: float) -> None:  # fmt: skip
    """Depthwise convolution by kernels with three columns, seven or four pixels of a row at a time.

    The last ones of a row may reach beyond its end: the values there are overwritten by the next row's.
    """
    p = 0
    while p < count:
        end = min(count, (p0 + p) // width * width + width - p0)
        while p < end:
            here, there = at + rows[p], out_at + p * pitch
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
def _soon(steps: Array, s: int, tables: Array, p0: int, last: int, image_at: int, out_at: int,
          line: int) -> tuple[int, int, int, int]:  # fmt: skip
    """Return where what the next block p0..last reads and writes begins, and how many lines of the cache it takes."""
    if p0 > last or steps[s + OUT_MOVES] == 0:
        return 0, 0, 0, 0
    first = tables[steps[s + OUT_ROWS] + p0]
    write, writes = out_at + first, tables[steps[s + OUT_ROWS] + last] - first + steps[s + SOON_WRITES]
    if steps[s + SOON_LENGTH] == 0:
        return 0, 0, write, writes // line
    first = tables[steps[s + SOON_ROWS] + p0]
    reads = tables[steps[s + SOON_ROWS] + last] - first + steps[s + SOON_LENGTH]
    return image_at + steps[s + SOON_AT] + first, reads // line, write, writes // line


@jit
def _task(steps: Array, first: int, last: int, tables: Array, params: Array, values: Array, x: Array, work: Array,
          pixels: int, p0: int, p1: int, part: int, parts: int, image: int, image_at: int,
          scratch_at: int) -> None:  # fmt: skip
    """Do the steps first..last for the pixels p0..p1: of products only a part of the columns, of others part 0 all."""
    count = p1 - p0
    for s in range(first * STEP, last * STEP, STEP):
        kind, width, N = steps[s + KIND], steps[s + WIDTH], steps[s + COUNT]
        at = steps[s + A_AT] + p0 * steps[s + A_STEP] - p0 // width * steps[s + SLIDE]
        at += (0, image_at, scratch_at)[steps[s + A_SPACE]]
        out_at = steps[s + OUT_AT] + p0 * steps[s + OUT_STEP] + image * steps[s + OUT_IMAGE]
        out_at += (0, image_at, scratch_at)[steps[s + OUT_SPACE]]
        rows = tables[steps[s + A_ROWS] + p0 * steps[s + A_MOVES] :]
        out_rows = tables[steps[s + OUT_ROWS] + p0 * steps[s + OUT_MOVES] :]
        v, t0, K = steps[s + VALUES], steps[s + TAPS], steps[s + TERMS]
        low, high, leaks = values[v], values[v + 1], steps[s + LEAKS] > 0

        if kind == PRODUCT:
            adds = steps[s + ADDED_ROWS] >= 0
            added_rows = tables[steps[s + ADDED_ROWS] + p0 :] if adds else out_rows
            line = 64 // work.itemsize
            last_soon = min(p1 + count, pixels) - 1
            read, reads, write, writes = _soon(steps, s, tables, p1, last_soon, image_at, out_at, line)
            reads, writes = reads // max(1, N), writes // max(1, N)
            for call in range(N * part // parts, N * (part + 1) // parts):
                c = steps[s + CALLS] + call * CALL
                n0, columns = out_at + tables[c + CALL_TARGET], tables[c + CALL_COLUMNS]
                multiply(work, rows, 0, count, at + tables[c + CALL_SOURCE], tables, t0 + tables[c + CALL_TAPS], K,
                         params, tables[c + CALL_WEIGHTS], columns, work, added_rows, adds, work, out_rows, n0, low,
                         high, work, read, reads, write, writes)  # fmt: skip
                read, write = read + reads * line, write + writes * line
                if leaks:
                    _leak(work, n0, out_rows, count, columns, values[v + 2])
        elif kind == DEPTHWISE:
            b0 = steps[s + WEIGHTS]
            if steps[s + STRIDE] > 0:
                _weigh_rows(work, at, rows, p0, count, width, steps[s + STRIDE], steps[s + ROW], steps[s + PIXEL],
                            K // 3, params, b0, out_at, steps[s + PITCH], N, low, high)  # fmt: skip
            else:
                _weigh(work, at, rows, count, tables, t0, K, params, b0, out_at, out_rows, N, low, high)
            if leaks:
                _leak(work, out_at, out_rows, count, N * lanes(work), values[v + 2])
        elif kind == COPY:
            r0, r1 = p0 // width * steps[s + STRIDE], (p1 - 1) // width * steps[s + STRIDE] + K
            row, top = steps[s + ROW], steps[s + TOP]
            _copy(x, image * steps[s + HEIGHT] * row, steps[s + HEIGHT], row, work, out_at, steps[s + LEAD],
                  steps[s + PITCH], r0 - top, r1 - top)  # fmt: skip
        elif part > 0:
            continue
        elif kind == BORDER:
            _border(work, out_at, steps[s + LEAD], steps[s + ROW], steps[s + PITCH], steps[s + TAIL], steps[s + HEIGHT],
                    p0 // width, p1 // width, low)  # fmt: skip
        elif kind == MEAN:
            _mean(work, at, rows, K, out_at, p0, p1, values[v + 2])
        else:
            _pool(kind == MAXIMUM, work, at, rows, count, tables, t0, K, values, steps[s + WEIGHTS] + p0, out_at,
                  out_rows, N, low, high)  # fmt: skip
            if leaks:
                _leak(work, out_at, out_rows, count, N, values[v + 2])


@jit
def _phase(steps: Array, phases: Array, tables: Array, params: Array, values: Array, x: Array, work: Array,
           counts: Array, f: int, batch: int, whole: int, image: int, image_at: int, scratch_at: int,
           me: int) -> None:  # fmt: skip
    """Do the blocks of a phase: all of them for one of the first `whole` images, else those that nobody has taken."""
    alone, c = image < whole, 2 + (image - whole) * (len(phases) // PHASE - 1) + f // PHASE
    pixels, first, last = phases[f + PIXELS], phases[f + FIRST], phases[f + LAST]
    blocks, parts = phases[f + BLOCKS], phases[f + PARTS]
    if pixels == 0:  # the classifier's pixels are the images
        pixels, blocks = batch, (batch + END_IMAGES - 1) // END_IMAGES
    elif alone:
        blocks, parts = phases[f + BLOCKS_ALONE], parts // parts
    tasks, task = blocks * parts, 0
    while True:
        if not alone:
            task = take_near(counts, c, tasks, me)
        if task >= tasks:
            break
        block, part = task % blocks, task // blocks
        p0, p1 = pixels * block // blocks, pixels * (block + 1) // blocks
        _task(steps, first, last, tables, params, values, x, work, pixels, p0, p1, part, parts, image, image_at,
              scratch_at)  # fmt: skip
        if alone:
            task += 1
        else:
            complete(counts, c)
    if not alone:
        wait(counts, c, tasks)


@jit
def infer(steps: Array, phases: Array, tables: Array, params: Array, values: Array, x: Array, work: Array,
          counts: Array, spaces: Array, batch: int, whole: int, first: int, last: int) -> None:  # fmt: skip
    """Do the phases first..last for a batch: its first `whole` images by one thread each, the others together.

    The last phase of all, the classifier, is about all images at once. `spaces` holds: for how many threads there is
    room, and where the buffers of images and the scratches begin, and how large one is, the one for images that are
    done together being the last.
    """
    me, threads, end = take(counts, 0), spaces[0], len(phases) - PHASE
    if me >= threads:  # the number of threads has grown meanwhile; who called returns when all is done
        blocks = (batch + END_IMAGES - 1) // END_IMAGES
        wait(counts, 2 + (batch - whole + 1) * (end // PHASE), blocks * phases[end + PARTS])
        return
    image_at, scratch_at = spaces[1] + me * spaces[2], spaces[3] + me * spaces[4]
    image = take(counts, 1)
    while image < whole:
        for f in range(first * PHASE, min(last * PHASE, end), PHASE):
            _phase(steps, phases, tables, params, values, x, work, counts, f, batch, whole, image, image_at,
                   scratch_at, me)  # fmt: skip
        complete(counts, 1)
        image = take(counts, 1)

    image_at = spaces[1] + threads * spaces[2]
    for image in range(whole, batch):
        for f in range(first * PHASE, min(last * PHASE, end), PHASE):
            _phase(steps, phases, tables, params, values, x, work, counts, f, batch, whole, image, image_at,
                   scratch_at, me)  # fmt: skip

    wait(counts, 1, whole)
    if last * PHASE > end:
        _phase(steps, phases, tables, params, values, x, work, counts, end, batch, whole, batch, image_at,
               scratch_at, me)  # fmt: skip
