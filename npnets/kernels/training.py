"""A training step as one program of phases, forward and backward, each of which walks memory as little as it can.

What is stored of the forward pass are the convolutions' raw outputs, and where ShuffleNet adds or joins, the units'.
Normalisation and activation are applied as the next kernel loads, and again as the backward pass loads::

    forward   conv:       a = act(scale raw[in] + shift)           into a block that stays in the cache
                          raw[out] = conv(a)                       and while the block is there, its mean and variance
              finish:     mean, variance of the batch -> scale = gamma r, shift = beta - mean scale

    backward  conv:       draw = A dz[out] + B raw[out] + C        batch norm's gradient, as the block is loaded
                          a    = act(scale raw[in] + shift)
                          dweight += a^T draw
                          dz[in]   = (draw weight^T) where 0 < a   and while the block is there, the two sums of batch
              finish:     sum dz, sum dz (raw - mean) -> A, B, C                            norm's gradient of `in`

So of each layer the forward pass reads one array and writes one; the backward pass reads three and writes one. The
batch norm's gradient dx = gamma r (dz - sum dz / n - h sum dz h / n), h = (raw - mean) r, is linear in dz and raw for
each channel: A = gamma r, B = -A r sum(dz h) / n, C = -A sum(dz) / n - B mean.

A product's task is some blocks of pixels; each block passes through the caches once::

    forward    raw[in] --act--> a  (30-240 pixels x S)  --tiles--> block of raw[out] --mean, squares--> raw[out]
    backward   dz, raw[out] --A, B, C--> draw, as rows and as panels
               raw[in] ------act-------> a               a^T draw, added to the task's own dweight
                                                         draw weight^T --mask, two sums--> dz[in]

A depthwise convolution's task is some images: the three rows that a row of the output needs are in a ring, each
normalised once::

    ring of rows of a      . x x x x x .         made when the next row of the output needs it; its margins stay 0
                           . x x x x x .   -->   one row of raw[out], nine weights and three sums in registers
                           . x x x x x .

ShuffleNet's shuffle moves nothing. The depthwise convolution runs in the order that its input is in, each channel with
the weight, gamma and beta that it has behind the shuffle; the next product reads its terms in the shuffled order, which
is only another table of taps. Backwards the product's gradient by its input is put back into order, a block at a time.
(As a walk of its own in each direction, the shuffle took 12 of 150 ms.) Where a unit adds its branch to the shortcut,
the next unit's first product masks the sum's gradient and takes the branch's two sums while the block is in the cache.

With few pixels, at the end of a network for small images, chunks of them would cost more in writing and adding their
parts of the weight's gradient than they compute: there a task has some rows of the weight's gradient, for all pixels,
or some pixels of the source's. And each thread takes its tasks from one end of a phase, so that it finds in its own
cache what it wrote in the phase before. At 32 x 32, batch 64, these two and SGD's walk in vectors made MobileNet 0.25's
step 5.7 ms of 6.9, ShuffleNet's 17.0 of 19.2.

Rows of channels are as long as whole vectors (S values for C channels), so that no loop over channels has an end to
treat: the values between C and S belong to no channel and never meet one that does.

Statistics: a block's mean and squared distances from it are taken in two walks while the block is in the cache, in the
dtype of the data; the blocks' are summed in float64, in the order of the tasks. Weight gradients are summed in a fixed
number of chunks of pixels. So the bits depend on the shapes alone, not on the threads.

Measured on two cores of a Zen 4 of 3.7 GHz, whose limits are 234 GF/s and 41 GB/s, batch 16 at 224 x 224
(milliseconds; the limit: three forward passes' multiply-adds at 234 GF/s)::

                        step   limit   products               depthwise, both ways   pools, joins, stem, the rest
    MobileNet 1.0        335     231   83 + 178 at 205 GF/s           18 + 39                       17
    ShuffleNet 1x g=3    137      57   27 +  70 at 130 GF/s            4 +  8                       28

The depthwise convolutions are at the speed of memory. A product of ShuffleNet has 20 or 40 columns in a group, which
fill 62 and 83 % of their vectors, and few multiply-adds for each value that it moves.

Tried, and no gain: larger and smaller blocks and tasks (all slower or within the noise); tasks with a part of a
depthwise convolution's channels (memory is read best in whole rows); writing past the caches where all maps of a layer
fit into them; prefetching for writing.
"""

import numpy as np

from npnets._check import Array
from npnets._jit import jit
from npnets.kernels.product import multiply, pack, panel_vectors
from npnets.kernels.sgd import move
from npnets.kernels.simd import (
    add,
    clamp,
    fma,
    lanes,
    load,
    load_part,
    prefetch,
    splat,
    store,
    store_part,
    stream,
    subtract,
    where_inside,
)
from npnets.kernels.simd import (
    multiply as times,
)
from npnets.kernels.team import complete, take, take_near, wait

# -- a phase: a row of the array `phases` ------------------------------------------------------------------------------

(KIND, TASKS, SOURCE, TARGET, DEPTH, WIDTH, GROUPS, WEIGHT, PACKED, TURNED, PARTIAL, BLOCK, BLOCKS, STRIDE_V, STRIDE_H,
 TOP, LEFT, SHUFFLE, TAPS, SOURCE_ROWS, TARGET_ROWS, WEIGHT_ROWS, PIXEL_TAPS, ADDED, SHORT, SHORT_AT, SHORT_SIDE,
 COUNTED, ALONGSIDE, BIAS, TERMS, SUMMED, WEIGHT_TASKS) = range(33)  # fmt: skip
PHASE_FIELDS = 33

# -- what flows between them: a row of the array `maps` ----------------------------------------------------------------

(AT, CHANNELS, STRIDE, HEIGHT, COLUMNS_, COEFFICIENTS, NORMED, GAMMA, MEAN, VARIANCE, GRADIENT, GRADIENT_STRIDE,
 STREAMS) = range(13)  # fmt: skip
MAP_FIELDS = 13

# Seven numbers for each channel, each S long: z = scale raw + shift; draw = a dz + b raw + c.
SCALE, SHIFT, CENTRE, INVERSE, BY_GRADIENT, BY_RAW, CONSTANT = range(7)
COEFFICIENT_ROWS = 7

# Enough pixels for a mean and a variance that are worth their merging.
STATISTICS_PIXELS = 32

PACK, STEM, PRODUCT, DEPTHWISE, FINISH, MAX_POOL, JOIN, MEAN_POOL = range(8)
MEAN_POOL_BACK, JOIN_BACK, SHORTCUT_BACK, PRODUCT_BACK, DEPTHWISE_BACK, STEM_BACK, FINISH_BACK, REDUCE = range(8, 16)
MAX_POOL_BACK, KEEP, KEEP_BACK, MOVE = 16, 17, 18, 19


# -- blocks of pixels: `width` values of rows that lie `gap` apart, their channels' numbers at c, c + S and so on ------


@jit
def _activate(raw: Array, at: int, gap: int, width: int, pixels: int, numbers: Array, c: int, S: int, low: float,
              high: float, out: Array, o: int, step: int) -> None:  # fmt: skip
    """out[p] = clamp(scale raw[p] + shift), into rows `step` apart."""
    W = lanes(raw)
    least, most = splat(raw, low), splat(raw, high)
    for p in range(pixels):
        i, j = at + p * gap, o + p * step
        for m in range(0, width, W):
            value = fma(load(raw, i + m), load(numbers, c + SCALE * S + m), load(numbers, c + SHIFT * S + m))
            store(out, j + m, clamp(value, least, most))


@jit
def _statistics(x: Array, i: int, step: int, raw: Array, at: int, gap: int, width: int, pixels: int, streams: bool,
                sums: Array, s: int, S: int, scratch: Array) -> None:  # fmt: skip
    """Move rows of a convolution's output from x to raw; add to sums (3, S) of float64 what they are.

    That is n mean, n mean^2, and the squared distances from the mean, of n = pixels rows.
    """
    W = lanes(raw)
    share = splat(raw, 1.0 / pixels)
    for m in range(0, width, W):
        total = splat(raw, 0.0)
        for p in range(pixels):
            total = add(total, load(x, i + p * step + m))
        mean = times(total, share)
        squares = splat(raw, 0.0)
        for p in range(pixels):
            value = load(x, i + p * step + m)
            centred = subtract(value, mean)
            squares = fma(centred, centred, squares)
            if streams:
                stream(raw, at + p * gap + m, value)
            else:
                store(raw, at + p * gap + m, value)
        store(scratch, m, mean)
        store(scratch, width + m, squares)
    _add_moments(sums[s : s + width], sums[s + S : s + S + width], sums[s + 2 * S : s + 2 * S + width],
                 scratch[:width], scratch[width : 2 * width], pixels)  # fmt: skip


@jit
def _add_moments(totals: Array, products: Array, spread: Array, means: Array, squares: Array, pixels: int) -> None:
    """Add n mean, n mean^2 and the squared distances: arrays of their own, whose loop the compiler makes vectors of."""
    for m in range(len(means)):
        mean = np.float64(means[m])
        totals[m] += pixels * mean
        products[m] += pixels * mean * mean
        spread[m] += squares[m]


@jit
def _add(sums: Array, values: Array) -> None:
    for m in range(len(values)):
        sums[m] += values[m]


@jit
def _mask_and_sum(d: Array, j: int, step: int, a: Array, i: int, a_step: int, raw: Array, r: int, gap: int, dz: int,
                  width: int, pixels: int, streams: bool, numbers: Array, c: int, S: int, low: float, high: float,
                  sums: Array, s: int, scratch: Array) -> None:  # fmt: skip
    """Move rows of a gradient from d to raw[dz], where low < a < high, else 0; add what they are to sums (2, S).

    That is sum dz and sum dz (raw - mean), in float64.
    """
    W = lanes(raw)
    least, most = splat(raw, low), splat(raw, high)
    for m in range(0, width, W):
        mean = load(numbers, c + CENTRE * S + m)
        total, moment = splat(raw, 0.0), splat(raw, 0.0)
        for p in range(pixels):
            value = where_inside(load(a, i + p * a_step + m), least, most, load(d, j + p * step + m))
            if streams:
                stream(raw, dz + p * gap + m, value)
            else:
                store(raw, dz + p * gap + m, value)
            total = add(total, value)
            moment = fma(value, subtract(load(raw, r + p * gap + m), mean), moment)
        store(scratch, m, total)
        store(scratch, width + m, moment)
    _add(sums[s : s + width], scratch[:width])
    _add(sums[s + S : s + S + width], scratch[width : 2 * width])


@jit
def _norm_gradient(dz: Array, d: int, dgap: int, raw: Array, r: int, gap: int, width: int, pixels: int, numbers: Array,
                   c: int, S: int, out: Array, o: int, step: int) -> None:  # fmt: skip
    """out[p] = A dz[p] + B raw[p] + C: the gradient by the convolution's output."""
    W = lanes(raw)
    for p in range(pixels):
        i, k, j = d + p * dgap, r + p * gap, o + p * step
        for m in range(0, width, W):
            by_raw = fma(load(raw, k + m), load(numbers, c + BY_RAW * S + m), load(numbers, c + CONSTANT * S + m))
            store(out, j + m, fma(load(dz, i + m), load(numbers, c + BY_GRADIENT * S + m), by_raw))


@jit
def _panels(x: Array, at: int, step: int, pixels: int, N: int, groups: int, out: Array, o: int) -> None:
    """Lay rows x[p] out as `product.pack` would, with sums that start from 0; what is beyond N counts for nothing."""
    W = lanes(x)
    nothing = splat(x, 0.0)
    for g in range(groups):
        n, vectors = g * N, (N + W - 1) // W
        while vectors > 0:
            C = panel_vectors(vectors)
            for v in range(C):
                store(out, o + v * W, nothing)
            for p in range(pixels):
                i, j = at + p * step + n, o + (p + 1) * C * W
                for v in range(C):
                    store(out, j + v * W, load(x, i + v * W))
            o += (pixels + 1) * C * W
            n += C * W
            vectors -= C


@jit
def _permute(x: Array, at: int, out: Array, o: int, S: int, C: int, pixels: int, tables: Array, t: int) -> None:
    """out[p, m] = x[p, table[m]]."""
    order = tables[t : t + C]
    for p in range(pixels):
        for m in range(C):
            out[o + p * S + m] = x[at + p * S + order[m]]


@jit
def _panel_values(pixels: int, N: int, W: int) -> int:
    """Return how many values one group's panels take."""
    return (pixels + 1) * ((N + W - 1) // W) * W


# -- products: pointwise convolutions, with groups, and the stem, a 3 x 3 convolution of the images --------------------


@jit
def _patches(x: Array, f: Array, source: Array, target: Array, p: int, n: int, out: Array, o: int, step: int) -> None:
    """out[p] = the 3 x 3 x C values that output pixel p sees, 0 outside of the image.

    Inside of the image the 3 C values of a row lie side by side, and are moved as a vector where one holds them.
    """
    H, W, C = source[HEIGHT], source[COLUMNS_], source[CHANNELS]
    h, w = target[HEIGHT], target[COLUMNS_]
    V = lanes(x)
    nothing = splat(x, 0.0)
    b, k, l = p // (h * w), p // w % h, p % w - 1
    for q in range(n):
        l += 1
        if l == w:
            k, l = k + 1, 0
            if k == h:
                b, k = b + 1, 0
        j, c = o + q * step, f[STRIDE_H] * l - f[LEFT]
        for i in range(3):
            r = f[STRIDE_V] * k + i - f[TOP]
            at = ((b * H + r) * W + c) * C
            if 3 * C <= V and (r < 0 or r >= H):
                store(out, j, nothing)  # what it writes beyond its row, the next row overwrites
            elif 3 * C <= V and c >= 0 and c + 3 <= W:
                store(out, j, load_part(x, at, 3 * C))
            else:
                for m in range(3 * C):
                    inside = 0 <= r < H and 0 <= c + m // C < W
                    out[j + m] = x[at + m] if inside else 0.0
            j += 3 * C


@jit
def _product(f: Array, task: int, source: Array, target: Array, bounds: Array, tables: Array, packed: Array, x: Array,
             arena: Array, numbers: Array, sums: Array, scratch: Array) -> None:  # fmt: skip
    """Take some blocks of pixels, a block some tiles' rows; its statistics are taken before the next one."""
    S, T, K, N, P = source[STRIDE], target[STRIDE], f[DEPTH], f[WIDTH], f[BLOCK]
    pixels, stem = f[COUNTED], f[KIND] == STEM
    rows, out_rows = tables[f[SOURCE_ROWS] : f[SOURCE_ROWS] + P], tables[f[TARGET_ROWS] : f[TARGET_ROWS] + P]
    taps = tables[f[TAPS] : f[TAPS] + K * f[GROUPS]]
    size, line = _panel_values(K, N, lanes(arena)), 64 // arena.itemsize
    s = 3 * task * T
    if target[NORMED]:
        sums[s : s + 3 * T] = 0.0
    for p in range(task * f[BLOCKS] * P, min((task + 1) * f[BLOCKS] * P, pixels), P):
        n = min(P, pixels - p)
        a, at, out = scratch, (2 + P) * T, target[AT] + p * T
        if stem:
            _patches(x, f, source, target, p, n, scratch, at, K)
        elif source[NORMED]:
            _activate(arena, source[AT] + p * S, S, S, n, numbers, source[COEFFICIENTS], S, bounds[0], bounds[1],
                      scratch, at, S)  # fmt: skip
        else:
            a, at = arena, source[AT] + p * S
        near_in, near_out = source[AT] + (p + n) * S, target[AT] + (p + n) * T
        part_in = 0 if stem else P * S // (line * f[GROUPS])
        part_out = 0 if target[STREAMS] else P * T // (line * f[GROUPS])
        made, made_at = (scratch, 2 * T) if target[NORMED] else (arena, out)
        for g in range(f[GROUPS]):
            multiply(a, rows, 0, n, at, taps, g * K, K, packed, f[PACKED] + g * size, N, arena, out_rows, False,
                     made, out_rows, made_at + g * N, -np.inf, np.inf, arena, near_in + g * part_in * line, part_in,
                     near_out + g * part_out * line, part_out)  # fmt: skip
        if target[NORMED]:
            _statistics(scratch, 2 * T, T, arena, out, T, T, n, target[STREAMS] != 0, sums, s, T, scratch)


@jit
def _product_back(f: Array, task: int, source: Array, target: Array, summed: Array, bounds: Array, tables: Array,
                  packed: Array, x: Array, arena: Array, numbers: Array, grads: Array, sums: Array, scratch: Array
                  ) -> None:  # fmt: skip
    """In the cache: a (the source as it was seen), draw as rows and as panels. The images need no gradient.

    A task has some blocks of pixels, and all rows of the weight's gradient for them. Where there are few pixels, that
    would be more sums than products: then the first tasks have some rows of the weight's gradient each, for all pixels
    in one block, and the others some pixels of the source's gradient.

    `summed` is the map whose batch norm needs sums of the source's gradient: the source, or, where that is the sum of a
    shortcut and a branch, the branch.
    """
    S, T, K, N, P, G = source[STRIDE], target[STRIDE], f[DEPTH], f[WIDTH], f[BLOCK], f[GROUPS]
    pixels, stem, row = f[COUNTED], f[KIND] == STEM_BACK, task - f[WEIGHT_TASKS]
    weighs, passes = row < 0 or f[WEIGHT_TASKS] == 0, row >= 0 and not stem
    first, last, m0, m1 = row * f[BLOCKS] * P, min((row + 1) * f[BLOCKS] * P, pixels), 0, K * G
    into, part = arena, f[PARTIAL] + task * K * N * G
    if row < 0:
        first, last, P = 0, pixels, pixels
        m0, m1 = K * G * task // f[WEIGHT_TASKS], K * G * (task + 1) // f[WEIGHT_TASKS]
        into, part = grads, f[WEIGHT]
    g0, g1, W = m0 // K, (m1 + K - 1) // K, lanes(arena)
    width = ((g1 - g0) * N + W - 1) // W * W
    # no power of two, or the pixels' values of one channel would all fall into one set of the cache
    step = K if stem else S + W if source[NORMED] else S
    line = 64 // arena.itemsize
    size = _panel_values(N, K, W)
    a_at = 2 * S
    d_at = a_at + P * step
    p_at = d_at + P * T + 4 * W
    b_at = p_at + G * _panel_values(P, N, W)  # the gradient by the source, before it is masked
    m_at = b_at if f[SHUFFLE] < 0 else b_at + P * S  # and shuffled back
    rows, d_rows = tables[f[SOURCE_ROWS] :], tables[f[TARGET_ROWS] :]
    taps, weight_rows = tables[f[TAPS] : f[TAPS] + K * G], tables[f[WEIGHT_ROWS] : f[WEIGHT_ROWS] + K * G]
    pixel_taps, terms = tables[f[PIXEL_TAPS] :], tables[f[TERMS] : f[TERMS] + N]
    s = 3 * row * S
    if passes and summed[NORMED]:
        sums[s : s + 2 * S] = 0.0
    begun = False
    for p in range(first, last, P):
        n = min(P, pixels - p)
        at, back = source[AT] + p * S, source[GRADIENT] + p * S
        _norm_gradient(arena, target[GRADIENT] + p * target[GRADIENT_STRIDE] + g0 * N, target[GRADIENT_STRIDE], arena,
                       target[AT] + p * T + g0 * N, T, width, n, numbers, target[COEFFICIENTS] + g0 * N, T, scratch,
                       d_at + g0 * N, T)  # fmt: skip
        if weighs:
            _panels(scratch, d_at + g0 * N, T, n, N, g1 - g0, scratch, p_at + g0 * _panel_values(n, N, W))
        a, a0 = scratch, a_at
        if stem:
            _patches(x, f, source, target, p, n, scratch, a_at, step)
        elif source[NORMED]:
            _activate(arena, at, S, S, n, numbers, source[COEFFICIENTS], S, bounds[0], bounds[1], scratch, a_at,
                      step)  # fmt: skip
        else:
            a, a0 = arena, at
            if passes and summed[NORMED]:
                for i in range(0, n * S, line):
                    prefetch(arena, summed[AT] + p * S + i)
        near_dz, near_t = target[GRADIENT] + (p + n) * target[GRADIENT_STRIDE], target[AT] + (p + n) * T
        part_t, part_s = P * T // (line * G), P * S // (line * G)
        part_back = 0 if source[STREAMS] else part_s
        if row < 0:
            part_t = 0  # nothing comes after this block
        there = arena[back:]
        d = scratch[b_at:] if summed[NORMED] else there
        for g in range(g0, g1):
            if weighs:
                # dweight[m, n] += sum_p a[p, m] draw[p, n]
                multiply(a, taps, max(m0, g * K), min(m1, (g + 1) * K), a0, pixel_taps, 0, n, scratch,
                         p_at + g * _panel_values(n, N, W), N, into, weight_rows, begun, into, weight_rows,
                         part + g * N, -np.inf, np.inf, arena, near_dz + g * part_t * line, part_t,
                         near_t + g * part_t * line, part_t)  # fmt: skip
            if passes:
                # da[p, m] = sum_n draw[p, n] weight[m, n]
                multiply(scratch, d_rows, 0, n, d_at + g * N, terms, 0, N, packed, f[TURNED] + g * size, K, there, rows,
                         f[ADDED] != 0, d, rows, g * K, -np.inf, np.inf, arena,
                         at + P * S + g * part_s * line, part_s, back + P * S + g * part_s * line,
                         part_back)  # fmt: skip
        begun = True
        if passes and f[SHUFFLE] >= 0:
            _permute(scratch, b_at, scratch, m_at, S, K * G, n, tables, f[SHUFFLE])
        if passes and summed[NORMED]:
            _mask_and_sum(scratch, m_at, S, a, a0, step, arena, summed[AT] + p * S, S, back, S, n,
                          source[STREAMS] != 0, numbers, summed[COEFFICIENTS], S, bounds[0], bounds[1], sums, s,
                          scratch)  # fmt: skip


# -- depthwise convolutions, 3 x 3 -------------------------------------------------------------------------------------
#
# A task is some images, or Q of the channels of one. The rows that are at work, of the source as it is seen and of the
# gradient, stand in rings: a row is made once and used three times. While one is used, the next ones are fetched.


@jit
def _columns(x: Array, r0: int, r1: int, r2: int, Q: int, step: int, weight: Array, w: int, S: int, out: Array, o: int,
             gap: int, count: int, near: Array, ahead: int, ahead_gap: int) -> None:  # fmt: skip
    """out[l] = the sum over the 3 x 3 taps of weight x, for `count` columns: rows r0, r1, r2, `step` values a column.

    Nine weights and three sums stay in registers. Meanwhile a row of `near` is fetched that is needed next.
    """
    for m in range(0, Q, lanes(x)):
        w00, w01, w02 = load(weight, w + m), load(weight, w + S + m), load(weight, w + 2 * S + m)
        w10, w11, w12 = load(weight, w + 3 * S + m), load(weight, w + 4 * S + m), load(weight, w + 5 * S + m)
        w20, w21, w22 = load(weight, w + 6 * S + m), load(weight, w + 7 * S + m), load(weight, w + 8 * S + m)
        i = m
        for l in range(count):
            first = times(w00, load(x, r0 + i))
            first = fma(w01, load(x, r0 + Q + i), first)
            first = fma(w02, load(x, r0 + 2 * Q + i), first)
            second = times(w10, load(x, r1 + i))
            second = fma(w11, load(x, r1 + Q + i), second)
            second = fma(w12, load(x, r1 + 2 * Q + i), second)
            third = times(w20, load(x, r2 + i))
            third = fma(w21, load(x, r2 + Q + i), third)
            third = fma(w22, load(x, r2 + 2 * Q + i), third)
            store(out, o + l * gap + m, add(add(first, second), third))
            prefetch(near, ahead + l * ahead_gap + m)
            i += step


@jit
def _columns_weight(x: Array, r: int, d: int, Q: int, step: int, out: Array, o: int, S: int, count: int, near: Array,
                    ahead: int, gap: int) -> None:  # fmt: skip
    """out[j] += sum over columns l of x[r + l step + j] x[d + l step], for the three taps j of a row."""
    for m in range(0, Q, lanes(x)):
        w0, w1, w2 = load(out, o + m), load(out, o + S + m), load(out, o + 2 * S + m)
        i = m
        for l in range(count):
            prefetch(near, ahead + l * gap + m)
            upstream = load(x, d + i)
            w0 = fma(upstream, load(x, r + i), w0)
            w1 = fma(upstream, load(x, r + Q + i), w1)
            w2 = fma(upstream, load(x, r + 2 * Q + i), w2)
            i += step
        store(out, o + m, w0)
        store(out, o + S + m, w1)
        store(out, o + 2 * S + m, w2)


@jit
def _source_row(arena: Array, source: Array, b: int, r: int, m0: int, Q: int, bounds: Array, numbers: Array,
                scratch: Array, o: int) -> None:  # fmt: skip
    """Put channels m0 .. m0 + Q of row r of image b, as the convolution sees them, to o."""
    S, columns = source[STRIDE], source[COLUMNS_]
    at, c = source[AT] + (b * source[HEIGHT] + r) * columns * S + m0, source[COEFFICIENTS] + m0
    _activate(arena, at, S, Q, columns, numbers, c, S, bounds[0], bounds[1], scratch, o, Q)


@jit
def _depthwise(f: Array, task: int, source: Array, target: Array, bounds: Array, packed: Array,
               arena: Array, numbers: Array, sums: Array, scratch: Array) -> None:  # fmt: skip
    S, H, W = source[STRIDE], source[HEIGHT], source[COLUMNS_]
    h, w, sv, sh, top, left = target[HEIGHT], target[COLUMNS_], f[STRIDE_V], f[STRIDE_H], f[TOP], f[LEFT]
    parts = (S + f[BLOCK] - 1) // f[BLOCK]
    row, m0 = task // parts, task % parts * f[BLOCK]
    Q = min(f[BLOCK], S - m0)
    line = max(left + W, sh * (w - 1) + 3) * Q  # a row with its margins
    nothing, ring = 2 * Q, 2 * Q + line
    spare = ring + 3 * line
    made = spare + line
    scratch[nothing:spare] = 0.0
    s = 3 * row * S + m0
    for kind in range(3):
        sums[s + kind * S : s + kind * S + Q] = 0.0
    for b in range(row * f[BLOCKS], min((row + 1) * f[BLOCKS], f[COUNTED])):
        ready, begin = 0, 0  # rows that are, or were, in the ring; the first row whose statistics are not taken yet
        for k in range(h):
            r = sv * k - top
            while ready < min(r + 3, H):
                if ready >= r:
                    _source_row(arena, source, b, ready, m0, Q, bounds, numbers, scratch,
                                ring + ready % 3 * line + left * Q)  # fmt: skip
                ready += 1
            r0 = ring + r % 3 * line if 0 <= r < H else nothing
            r1 = ring + (r + 1) % 3 * line if 0 <= r + 1 < H else nothing
            r2 = ring + (r + 2) % 3 * line if 0 <= r + 2 < H else nothing
            _columns(scratch, r0, r1, r2, Q, sh * Q, packed, f[PACKED] + m0, S, scratch, made + (k - begin) * w * Q, Q,
                     w, arena, source[AT] + (b * H + ready) * W * S + m0, S)  # fmt: skip
            if (k + 1 - begin) * w >= STATISTICS_PIXELS or k + 1 == h:
                _statistics(scratch, made, Q, arena, target[AT] + (b * h + begin) * w * S + m0, S, Q,
                            (k + 1 - begin) * w, target[STREAMS] != 0, sums, s, S, scratch)  # fmt: skip
                begin = k + 1


@jit
def _depthwise_back(f: Array, task: int, source: Array, target: Array, bounds: Array, packed: Array,
                    arena: Array, numbers: Array, sums: Array, scratch: Array) -> None:  # fmt: skip
    """Spread the gradient by the output out with zeros between, so that its columns meet those of the source.

    Row r of dx is the sum over rows i of the kernel of gradient row (r + top - i) / stride, where that is one, walked
    along backwards: with the kernel turned by 180 degrees.
    """
    S, H, W = source[STRIDE], source[HEIGHT], source[COLUMNS_]
    h, w, sv, sh, top, left = target[HEIGHT], target[COLUMNS_], f[STRIDE_V], f[STRIDE_H], f[TOP], f[LEFT]
    parts = (S + f[BLOCK] - 1) // f[BLOCK]
    row, m0 = task // parts, task % parts * f[BLOCK]
    Q = min(f[BLOCK], S - m0)
    depth, across = 3 + sv, 2 - left  # rows in the first ring; where the gradient's first column stands in its row
    line = max(left + W, sh * (w - 1) + 3, W + 2, across + sh * (w - 1) + 1) * Q
    nothing = 2 * Q
    seen, spread = nothing + line, nothing + (1 + depth) * line
    spare = spread + 4 * line
    scratch[nothing : spare + 2 * line] = 0.0
    s = 3 * row * S + m0
    sums[s : s + Q] = 0.0
    sums[s + S : s + S + Q] = 0.0
    part = f[PARTIAL] + row * 9 * S + m0
    for tap in range(9):
        arena[part + tap * S : part + tap * S + Q] = 0.0
    c, gap = target[COEFFICIENTS] + m0, target[GRADIENT_STRIDE]
    for b in range(row * f[BLOCKS], min((row + 1) * f[BLOCKS], f[COUNTED])):
        ready, written = 0, 0
        for k in range(h):
            r = sv * k - top
            while ready < min(r + 3, H):
                _source_row(arena, source, b, ready, m0, Q, bounds, numbers, scratch,
                            seen + ready % depth * line + left * Q)  # fmt: skip
                ready += 1
            d, pixel = spread + k % 4 * line + across * Q, (b * h + k) * w
            _norm_gradient(arena, target[GRADIENT] + pixel * gap + m0, gap, arena, target[AT] + pixel * S + m0, S, Q, w,
                           numbers, c, S, scratch, d, sh * Q)  # fmt: skip
            for i in range(3):
                if 0 <= r + i < H:
                    near, near_gap = target[GRADIENT] + (pixel + w) * gap + m0, gap
                    if i == 1:
                        near, near_gap = target[AT] + (pixel + w) * S + m0, S
                    elif i == 2:
                        near, near_gap = source[AT] + (b * H + ready) * W * S + m0, S
                    _columns_weight(scratch, seen + (r + i) % depth * line, d, Q, sh * Q, arena, part + 3 * i * S, S, w,
                                    arena, near, near_gap)  # fmt: skip
            # rows of dx that no later row of the gradient adds to
            end = H if k + 1 == h else min(H, sv * (k + 1) - top)
            while written < end:
                _gradient_row(f, b, written, k, m0, Q, source, bounds, packed, arena, numbers, sums, s,
                              scratch, nothing, seen + written % depth * line, spread, line, spare)  # fmt: skip
                written += 1


@jit
def _gradient_row(f: Array, b: int, r: int, k: int, m0: int, Q: int, source: Array, bounds: Array,
                  packed: Array, arena: Array, numbers: Array, sums: Array, s: int, scratch: Array, nothing: int,
                  seen: int, spread: int, line: int, spare: int) -> None:  # fmt: skip
    """Row r of image b of dz[source], when the rows of the gradient up to k are in their ring."""
    S, W, sv = source[STRIDE], source[COLUMNS_], f[STRIDE_V]
    row = (b * source[HEIGHT] + r) * W * S + m0
    raw, back, turned = source[AT] + row, source[GRADIENT] + row, f[PACKED] + 9 * S + m0
    c = source[COEFFICIENTS] + m0
    last = r + f[TOP]
    r0 = nothing if last < 2 or (last - 2) % sv or (last - 2) // sv > k else spread + (last - 2) // sv % 4 * line
    r1 = nothing if last < 1 or (last - 1) % sv or (last - 1) // sv > k else spread + (last - 1) // sv % 4 * line
    r2 = nothing if last < 0 or last % sv or last // sv > k else spread + last // sv % 4 * line
    a = seen + f[LEFT] * Q
    ahead = raw if source[STREAMS] else back + W * S
    _columns(scratch, r0, r1, r2, Q, Q, packed, turned, S, scratch, spare, Q, W, arena, ahead, S)
    _mask_and_sum(scratch, spare, Q, scratch, a, Q, arena, raw, S, back, Q, W, source[STREAMS] != 0, numbers, c, S,
                  bounds[0], bounds[1], sums, s, scratch)  # fmt: skip


# -- pooling, and ShuffleNet's joins -----------------------------------------------------------------------------------


@jit
def _max_pool(f: Array, b: int, source: Array, target: Array, bounds: Array, arena: Array, numbers: Array,
              backward: bool) -> None:  # fmt: skip
    """3 x 3; backward, a window's gradient goes to the first of its values that equals the maximum."""
    S, H, W = source[STRIDE], source[HEIGHT], source[COLUMNS_]
    h, w, c = target[HEIGHT], target[COLUMNS_], source[COEFFICIENTS]
    least, most, lowest = splat(arena, bounds[0]), splat(arena, bounds[1]), splat(arena, -np.inf)
    nearly, infinite, one = splat(arena, -bounds[4]), splat(arena, np.inf), splat(arena, 1.0)
    at, back = source[AT] + b * H * W * S, source[GRADIENT] + b * H * W * S
    if backward:
        arena[back : back + H * W * S] = 0.0
    for k in range(h):
        for l in range(w):
            u = ((b * h + k) * w + l) * S
            for m in range(0, S, lanes(arena)):
                scale, shift = load(numbers, c + SCALE * S + m), load(numbers, c + SHIFT * S + m)
                if backward:
                    free = one
                    largest, upstream = load(arena, target[AT] + u + m), load(arena, target[GRADIENT] + u + m)
                else:
                    free, largest, upstream = one, lowest, lowest
                for i in range(3):
                    r = f[STRIDE_V] * k + i - f[TOP]
                    for j in range(3):
                        q = f[STRIDE_H] * l + j - f[LEFT]
                        if 0 <= r < H and 0 <= q < W:
                            place = (r * W + q) * S + m
                            a = clamp(fma(load(arena, at + place), scale, shift), least, most)
                            if backward:
                                hit = where_inside(subtract(a, largest), nearly, infinite, free)
                                free = subtract(free, hit)
                                store(arena, back + place, fma(hit, upstream, load(arena, back + place)))
                            else:
                                largest = clamp(largest, a, infinite)
                if not backward:
                    store(arena, target[AT] + u + m, largest)


@jit
def _keep(b: int, source: Array, target: Array, bounds: Array, arena: Array, numbers: Array) -> None:
    """Store what is used twice, as it is seen: a unit's input that no join or pool has made."""
    S, pixels = source[STRIDE], source[HEIGHT] * source[COLUMNS_]
    at = b * pixels * S
    _activate(arena, source[AT] + at, S, S, pixels, numbers, source[COEFFICIENTS], S, bounds[0], bounds[1], arena,
              target[AT] + at, S)  # fmt: skip


@jit
def _mask_image(f: Array, b: int, source: Array, bounds: Array, arena: Array, numbers: Array, sums: Array,
                scratch: Array) -> None:  # fmt: skip
    """dz[source] is the gradient by the activation: mask it, row by row of the image, and sum."""
    S, W = source[STRIDE], source[COLUMNS_]
    s = 3 * b * S
    sums[s : s + 2 * S] = 0.0
    for r in range(source[HEIGHT]):
        row = (b * source[HEIGHT] + r) * W * S
        _activate(arena, source[AT] + row, S, S, W, numbers, source[COEFFICIENTS], S, bounds[0], bounds[1], scratch,
                  2 * S, S)  # fmt: skip
        back = source[GRADIENT] + row
        _mask_and_sum(arena, back, S, scratch, 2 * S, S, arena, source[AT] + row, S, back, S, W, False, numbers,
                      source[COEFFICIENTS], S, bounds[0], bounds[1], sums, s, scratch)  # fmt: skip


@jit
def _mean_pool(b: int, source: Array, target: Array, bounds: Array, arena: Array, numbers: Array) -> None:
    S, pixels, c = source[STRIDE], source[HEIGHT] * source[COLUMNS_], source[COEFFICIENTS]
    least, most, share = splat(arena, bounds[0]), splat(arena, bounds[1]), splat(arena, 1.0 / pixels)
    at = source[AT] + b * pixels * S
    for m in range(0, S, lanes(arena)):
        scale, shift, total = load(numbers, c + SCALE * S + m), load(numbers, c + SHIFT * S + m), splat(arena, 0.0)
        for p in range(pixels):
            total = add(total, clamp(fma(load(arena, at + p * S + m), scale, shift), least, most))
        store(arena, target[AT] + b * S + m, times(total, share))


@jit
def _mean_pool_back(f: Array, b: int, source: Array, target: Array, bounds: Array, arena: Array, numbers: Array,
                    sums: Array, scratch: Array) -> None:  # fmt: skip
    S, pixels = source[STRIDE], source[HEIGHT] * source[COLUMNS_]
    share, back = splat(arena, 1.0 / pixels), source[GRADIENT] + b * pixels * S
    for p in range(pixels):
        for m in range(0, S, lanes(arena)):
            store(arena, back + p * S + m, times(load(arena, target[GRADIENT] + b * S + m), share))
    if source[NORMED]:
        _mask_image(f, b, source, bounds, arena, numbers, sums, scratch)


@jit
def _average(f: Array, short: Array, k: int, l: int, h: int, w: int) -> tuple[int, int, int, int, int]:
    """Return rows and columns that the window of output (k, l) covers, and by what its sum is divided."""
    side = f[SHORT_SIDE]
    top, left = 2 * k - f[TOP], 2 * l - f[LEFT]
    r0, r1 = max(top, 0), min(top + side, short[HEIGHT])
    c0, c1 = max(left, 0), min(left + side, short[COLUMNS_])
    count = side * side if f[COUNTED] else (r1 - r0) * (c1 - c0)
    return r0, r1, c0, c1, count


@jit
def _join(f: Array, b: int, source: Array, target: Array, short: Array, bounds: Array, norm_bounds: Array,
          arena: Array, numbers: Array) -> None:  # fmt: skip
    """U = act(shortcut + z), or act of the two side by side."""
    T, S, Q, h, w = target[STRIDE], source[STRIDE], short[STRIDE], target[HEIGHT], target[COLUMNS_]
    V, c = lanes(arena), source[COEFFICIENTS]
    least, most = splat(arena, bounds[0]), splat(arena, bounds[1])
    adds = f[SHORT_AT] < 0
    branch_at = short[CHANNELS] if f[SHORT_AT] == 0 else 0
    for k in range(h):
        for l in range(w):
            p = (b * h + k) * w + l
            u = target[AT] + p * T
            for m in range(0, S, V):
                z = fma(load(arena, source[AT] + p * S + m), load(numbers, c + SCALE * S + m),
                        load(numbers, c + SHIFT * S + m))  # fmt: skip
                if adds:
                    z = add(load(arena, short[AT] + p * Q + m), z)
                store_part(arena, u + branch_at + m, clamp(z, least, most), min(V, source[CHANNELS] - m))
            if adds:
                continue
            if f[SHORT_SIDE] == 0:
                for m in range(0, Q, V):
                    store_part(arena, u + f[SHORT_AT] + m, clamp(load(arena, short[AT] + p * Q + m), least, most),
                               min(V, short[CHANNELS] - m))  # fmt: skip
                continue
            r0, r1, c0, c1, count = _average(f, short, k, l, h, w)
            share = splat(arena, 1.0 / count)
            for m in range(0, Q, V):
                total = splat(arena, 0.0)
                for r in range(r0, r1):
                    for q in range(c0, c1):
                        at = ((b * short[HEIGHT] + r) * short[COLUMNS_] + q) * Q
                        total = add(total, load(arena, short[AT] + at + m))
                store_part(arena, u + f[SHORT_AT] + m, clamp(times(total, share), least, most),
                           min(V, short[CHANNELS] - m))  # fmt: skip


@jit
def _join_back(f: Array, b: int, source: Array, target: Array, bounds: Array, arena: Array, numbers: Array,
               sums: Array, scratch: Array) -> None:  # fmt: skip
    """Mask the gradient of u where the activation is flat, and sum what batch norm of the branch needs."""
    T, S, pixels = target[STRIDE], source[STRIDE], target[HEIGHT] * target[COLUMNS_]
    V, c = lanes(arena), source[COEFFICIENTS]
    least, most = splat(arena, bounds[0]), splat(arena, bounds[1])
    u, back = target[AT] + b * pixels * T, target[GRADIENT] + b * pixels * T
    raw, branch = source[AT] + b * pixels * S, source[GRADIENT] + b * pixels * T
    s = 3 * b * S
    sums[s : s + 2 * S] = 0.0
    for first in range(0, pixels, 32):
        last = min(first + 32, pixels)
        for p in range(first, last):
            for m in range(0, T, V):
                inside = where_inside(load(arena, u + p * T + m), least, most, load(arena, back + p * T + m))
                store(arena, back + p * T + m, inside)
        for m in range(0, S, V):
            mean = load(numbers, c + CENTRE * S + m)
            total, moment = splat(arena, 0.0), splat(arena, 0.0)
            for p in range(first, last):
                dz = load(arena, branch + p * T + m)
                total = add(total, dz)
                moment = fma(dz, subtract(load(arena, raw + p * S + m), mean), moment)
            store(scratch, m, total)
            store(scratch, S + m, moment)
        _add(sums[s : s + 2 * S], scratch[: 2 * S])


@jit
def _shortcut_back(f: Array, b: int, target: Array, short: Array, arena: Array) -> None:
    """Send the gradient of the joined shortcut to its source, whose gradient begins with it."""
    T, Q, h, w, V = target[STRIDE], short[STRIDE], target[HEIGHT], target[COLUMNS_], lanes(arena)
    pixels = short[HEIGHT] * short[COLUMNS_]
    back = short[GRADIENT] + b * pixels * Q
    arena[back : back + pixels * Q] = 0.0
    for k in range(h):
        for l in range(w):
            dz = target[GRADIENT] + ((b * h + k) * w + l) * T + f[SHORT_AT]
            if f[SHORT_SIDE] == 0:
                for m in range(0, Q, V):
                    store(arena, back + (k * w + l) * Q + m, load(arena, dz + m))
                continue
            r0, r1, c0, c1, count = _average(f, short, k, l, h, w)
            share = splat(arena, 1.0 / count)
            for r in range(r0, r1):
                for q in range(c0, c1):
                    at = back + (r * short[COLUMNS_] + q) * Q
                    for m in range(0, Q, V):
                        store(arena, at + m, fma(load(arena, dz + m), share, load(arena, at + m)))


# -- between the walks -------------------------------------------------------------------------------------------------


@jit
def _number(f: Array, tables: Array, m: int) -> int:
    """Return which of a layer's parameters channel m has: its own, or behind a shuffle that of where it would go."""
    return m if f[SHUFFLE] < 0 else tables[f[SHUFFLE] + m]


@jit
def _pack(f: Array, task: int, tables: Array, params: Array, packed: Array, nothing: Array) -> None:
    """Lay out the weights of one convolution for this step: as panels, and turned for the gradient."""
    K, N, G, S = f[DEPTH], f[WIDTH], f[GROUPS], f[BLOCK]
    w = params[f[WEIGHT] :]
    if S > 0:  # depthwise: (9, C) -> (9, S), and the taps backwards
        for tap in range(9):
            for m in range(K):
                weight = w[tap * K + _number(f, tables, m)]
                packed[f[PACKED] + tap * S + m], packed[f[PACKED] + (17 - tap) * S + m] = weight, weight
        return
    g, W = task // 2, lanes(packed)
    if task % 2 == 0:
        start = params[f[BIAS] : f[BIAS] + N] if f[BIAS] > 0 else nothing
        pack(w[g * N :], N * G, 1, 0, K, N, 1, start, packed, f[PACKED] + g * _panel_values(K, N, W))
    else:
        pack(w[g * N :], 1, N * G, 0, N, K, 1, nothing, packed, f[TURNED] + g * _panel_values(N, K, W))


@jit
def _finish(f: Array, task: int, target: Array, bounds: Array, tables: Array, params: Array, buffers: Array,
            numbers: Array, sums: Array) -> None:  # fmt: skip
    """Mean and variance of the batch, for 64 channels; the running ones move."""
    S, c, n = target[STRIDE], target[COEFFICIENTS], f[WIDTH]
    momentum, first = bounds[3], task * 64
    channels = min(64, target[CHANNELS] - first)
    totals = np.zeros((3, 64))
    for row in range(f[COUNTED]):
        for kind in range(3):
            s = (3 * row + kind) * S + first
            part, into = sums[s : s + channels], totals[kind]
            for m in range(channels):
                into[m] += part[m]
    for e in range(channels):
        m = first + e
        mean = totals[0, e] / n
        variance = max((totals[2, e] + totals[1, e] - totals[0, e] * mean) / n, 0.0)
        inverse = 1 / np.sqrt(variance + bounds[2])
        number = _number(f, tables, m)
        gamma, beta = params[target[GAMMA] + number], params[target[GAMMA] + target[CHANNELS] + number]
        numbers[c + SCALE * S + m] = gamma * inverse
        numbers[c + SHIFT * S + m] = beta - mean * gamma * inverse
        numbers[c + CENTRE * S + m] = mean
        numbers[c + INVERSE * S + m] = inverse
        unbiased = variance * (n / (n - 1))
        i, j = target[MEAN] + number, target[VARIANCE] + number
        buffers[i] = buffers[i] * (1 - momentum) + momentum * mean
        buffers[j] = buffers[j] * (1 - momentum) + momentum * unbiased


@jit
def _finish_back(f: Array, task: int, target: Array, tables: Array, params: Array, grads: Array, numbers: Array,
                 sums: Array) -> None:  # fmt: skip
    """Gradients of gamma and beta, and what the gradient by the convolution's output is made of."""
    S, c, n = target[STRIDE], target[COEFFICIENTS], f[WIDTH]
    first = task * 64
    channels = min(64, target[CHANNELS] - first)
    totals = np.zeros((2, 64))
    for row in range(f[COUNTED]):
        for kind in range(2):
            s = (3 * row + kind) * S + first
            part, into = sums[s : s + channels], totals[kind]
            for m in range(channels):
                into[m] += part[m]
    for e in range(channels):
        m, total = first + e, totals[0, e]
        gamma = target[GAMMA] + _number(f, tables, m)
        inverse = np.float64(numbers[c + INVERSE * S + m])
        dgamma = totals[1, e] * inverse
        grads[gamma] = dgamma
        grads[gamma + target[CHANNELS]] = total
        by_gradient = params[gamma] * inverse
        by_raw = -by_gradient * dgamma * inverse / n
        numbers[c + BY_GRADIENT * S + m] = by_gradient
        numbers[c + BY_RAW * S + m] = by_raw
        numbers[c + CONSTANT * S + m] = -by_gradient * total / n - by_raw * numbers[c + CENTRE * S + m]


@jit
def _reduce(f: Array, task: int, tables: Array, arena: Array, grads: Array) -> None:
    """Sum a weight gradient's chunks, in their order."""
    rows, N, gap = f[DEPTH], f[WIDTH], f[BLOCK]
    for row in range(rows * task // f[TASKS], rows * (task + 1) // f[TASKS]):
        first, w = f[PARTIAL] + row * gap, f[WEIGHT] + row * N
        total = arena[first : first + N]
        for chunk in range(1, f[COUNTED]):
            at = first + chunk * rows * gap
            part = arena[at : at + N]
            for n in range(N):
                total[n] += part[n]
        if f[SHUFFLE] < 0:
            for n in range(N):  # an assignment of slices would compile for two seconds, for its error's text
                grads[w + n] = total[n]
        else:
            for n in range(N):
                grads[w + _number(f, tables, n)] = total[n]


@jit
def _move(task: int, tasks: int, params: Array, grads: Array, velocity: Array, runs: Array, rule: Array) -> None:
    """SGD's step for a share of all parameters; `runs` are neighbours (start, stop, whether they decay)."""
    number = params.dtype.type
    eta, mu, decay, nesterov = number(rule[0]), number(rule[1]), number(rule[2]), rule[3] != 0
    first, last = len(params) * task // tasks, len(params) * (task + 1) // tasks
    for run in range(len(runs)):
        start, stop = max(runs[run, 0], first), min(runs[run, 1], last)
        if start < stop:
            move(start, stop, params, grads, velocity, eta, mu, decay if runs[run, 2] else number(0), nesterov)


# -- the program -------------------------------------------------------------------------------------------------------


@jit
def run(counts: Array, phases: Array, first: int, last: int, maps: Array, bounds: Array, tables: Array, x: Array,
        params: Array, grads: Array, buffers: Array, packed: Array, arena: Array, numbers: Array, sums: Array,
        scratches: Array, velocity: Array, runs: Array, rule: Array) -> None:  # fmt: skip
    """Run the phases first..last (last excluded) together with all threads that were given the same counters.

    A phase that may go alongside the one before it does not wait for its end. The last counter gives each thread a row
    of `scratches` of its own.
    """
    mine = take(counts, len(phases))
    if mine >= len(scratches):  # the number of threads has grown meanwhile; who called returns when all is done
        for phase in range(first, last):
            wait(counts, phase, phases[phase, TASKS])
        return
    scratch, nothing = scratches[mine], arena[:0]
    complete_before = first
    for phase in range(first, last):
        f = phases[phase]
        if not f[ALONGSIDE]:
            while complete_before < phase:
                wait(counts, complete_before, phases[complete_before, TASKS])
                complete_before += 1
        source, target = maps[f[SOURCE]], maps[f[TARGET]]
        of_source, of_target = bounds[f[SOURCE]], bounds[f[TARGET]]
        kind = f[KIND]
        while True:
            task = take_near(counts, phase, f[TASKS], mine)
            if task >= f[TASKS]:
                break
            if kind in (PRODUCT, STEM):
                _product(f, task, source, target, of_source, tables, packed, x, arena, numbers, sums, scratch)
            elif kind in (PRODUCT_BACK, STEM_BACK):
                _product_back(f, task, source, target, maps[f[SUMMED]], of_source, tables, packed, x, arena, numbers,
                              grads, sums, scratch)  # fmt: skip
            elif kind == DEPTHWISE:
                _depthwise(f, task, source, target, of_source, packed, arena, numbers, sums, scratch)
            elif kind == DEPTHWISE_BACK:
                _depthwise_back(f, task, source, target, of_source, packed, arena, numbers, sums, scratch)
            elif kind == PACK:
                _pack(f, task, tables, params, packed, nothing)
            elif kind == FINISH:
                _finish(f, task, target, of_target, tables, params, buffers, numbers, sums)
            elif kind == FINISH_BACK:
                _finish_back(f, task, target, tables, params, grads, numbers, sums)
            elif kind == MOVE:
                _move(task, f[TASKS], params, grads, velocity, runs, rule)
            elif kind == REDUCE:
                _reduce(f, task, tables, arena, grads)
            elif kind == KEEP:
                _keep(task, source, target, of_source, arena, numbers)
            elif kind == KEEP_BACK:
                _mask_image(f, task, source, of_source, arena, numbers, sums, scratch)
            elif kind == MEAN_POOL:
                _mean_pool(task, source, target, of_source, arena, numbers)
            elif kind == MEAN_POOL_BACK:
                _mean_pool_back(f, task, source, target, of_source, arena, numbers, sums, scratch)
            elif kind == JOIN:
                _join(f, task, source, target, maps[f[SHORT]], of_target, of_source, arena, numbers)
            elif kind == JOIN_BACK:
                _join_back(f, task, source, target, of_target, arena, numbers, sums, scratch)
            elif kind == SHORTCUT_BACK:
                _shortcut_back(f, task, target, maps[f[SHORT]], arena)
            else:
                _max_pool(f, task, source, target, of_source, arena, numbers, kind == MAX_POOL_BACK)
                if kind == MAX_POOL_BACK:
                    _mask_image(f, task, source, of_source, arena, numbers, sums, scratch)
            complete(counts, phase)
    while complete_before < last:
        wait(counts, complete_before, phases[complete_before, TASKS])
        complete_before += 1
