"""draft"""

import numpy as np

from npnets._check import Array, Ints
from npnets._jit import jit
from npnets._parallel import run
from npnets.kernels.product import INFINITY, multiply, pack_rows
from npnets.kernels.simd import COLUMNS, lanes, load, load_part, splat, store
from npnets.kernels.windows import *
from npnets.kernels.windows import from_input, from_output

PIXELS = 512
DEPTH = 512
GATHERED = 48 * 1024
TERMS = 256
SUMMED = 128
WANTED = 16

@jit
def _gather(x: Array, x_shape: tuple[int, int, int], c0: int, M: int, rows: Array, columns: Array, first: int, last: int,
            k0: int, k1: int, cols: Array, depth: int) -> None:
    H, W, C = x_shape
    T, r_advance, r_first, r_taps, r_step = rows[COUNT], rows[ADVANCE], rows[FIRST], rows[TAPS], rows[STEP]
    U, c_advance, c_first, c_taps, c_step = columns[COUNT], columns[ADVANCE], columns[FIRST], columns[TAPS], columns[STEP]
    L = lanes(x)
    zero = splat(x, x.dtype.type(0))
    b, t, u = first // (T * U), first // U % T, first % U
    for p in range(last - first):
        for i in range(r_taps):
            r = r_first + t * r_advance + i * r_step
            for j in range(c_taps):
                c = c_first + u * c_advance + j * c_step
                tap = (i * c_taps + j) * M
                start, stop = max(k0, tap), min(k1, tap + M)
                to = p * depth - k0
                if 0 <= r < H and 0 <= c < W:
                    at = ((b * H + r) * W + c) * C + c0 - tap
                    for k in range(start, stop, L):
                        value = load(x, at + k) if k + L <= stop else load_part(x, at + k, stop - k)
                        store(cols, to + k, value)
                else:
                    for k in range(start, stop, L):
                        store(cols, to + k, zero)
        u += 1
        if u == U:
            t, u = t + 1, 0
            if t == T:
                b, t = b + 1, 0


@jit
def _places(out_shape: tuple[int, int, int], rows: Array, columns: Array, first: int, last: int, out_rows: Array) -> None:
    OH, OW, N = out_shape
    T, r_out, r_out_step = rows[COUNT], rows[OUT], rows[OUT_STEP]
    U, c_out, c_out_step = columns[COUNT], columns[OUT], columns[OUT_STEP]
    for p in range(first, last):
        b, t, u = p // (T * U), p // U % T, p % U
        out_rows[p - first] = ((b * OH + r_out + t * r_out_step) * OW + c_out + u * c_out_step) * N


@jit
def _pack(w: Array, w_steps, KW, g: int, n0: int, N: int, width: int, M: int, rows: Array, columns: Array, k0: int, k1: int, start: Array, b: Array) -> None:
    tap_step, k_step, n_step, g_step = w_steps
    r_taps, r_tap, r_tap_step = rows[TAPS], rows[TAP], rows[TAP_STEP]
    c_taps, c_tap, c_tap_step = columns[TAPS], columns[TAP], columns[TAP_STEP]
    for n in range(width):
        b[n] = start[n] if n < len(start) else 0.0
    for i in range(r_taps):
        for j in range(c_taps):
            tap = (i * c_taps + j) * M
            first, last = max(k0, tap), min(k1, tap + M)
            if first < last:
                at = ((r_tap + i * r_tap_step) * KW + c_tap + j * c_tap_step) * tap_step + (first - tap) * k_step + g * g_step + n0 * n_step
                pack_rows(w, at, k_step, n_step, last - first, N, width, b, (1 + first - k0) * width)


@jit
def _product(start: int, stop: int, chunks: int, panels: int, B: int, x: Array, x_shape, w: Array, w_steps, KW: int, bias: Array,
             out: Array, out_shape, M: int, N: int, rows: Array, columns: Array, direct: bool) -> None:
    L = lanes(out)
    C, groups = x_shape[2], x_shape[2] // M
    pixels, K = B * rows[COUNT] * columns[COUNT], rows[TAPS] * columns[TAPS] * M
    vectors, depth = (N + L - 1) // L, min(K, DEPTH)
    most = max(1, (pixels + chunks - 1) // chunks)
    block = most if direct else min(most, max(24, min(480, GATHERED // depth)))
    a = x if direct else np.empty(block * depth + L, x.dtype)
    b = np.empty((depth + 1) * COLUMNS * L, x.dtype)
    a_rows, out_rows, taps = np.empty(block, np.int64), np.empty(block, np.int64), np.empty(depth, np.int64)
    for p in range(block):
        a_rows[p] = p * (C if direct else depth)
        out_rows[p] = p * out_shape[2]
    for k in range(depth):
        taps[k] = k
    for item in range(start, stop):
        chunk, g, panel = item // (groups * panels), item // panels % groups, item % panels
        n0, n1 = vectors * panel // panels * L, min(N, vectors * (panel + 1) // panels * L)
        width = (n1 - n0 + L - 1) // L * L
        first, last = pixels * chunk // chunks, pixels * (chunk + 1) // chunks
        for k0 in range(0, K, DEPTH):
            k1 = min(k0 + DEPTH, K)
            _pack(w, w_steps, KW, g, n0, n1 - n0, width, M, rows, columns, k0, k1, bias[g * N + n0: g * N + n1] if k0 == 0 else bias[:0], b)
            for p in range(first, last, block):
                q = min(p + block, last)
                a0, at = 0, g * N + n0
                if direct:
                    a0, at = p * C + g * M + k0, at + p * out_shape[2]
                else:
                    _gather(x, x_shape, g * M, M, rows, columns, p, q, k0, k1, a, depth)
                    _places(out_shape, rows, columns, p, q, out_rows)
                multiply(a, a_rows, 0, q - p, a0, taps, 0, k1 - k0, b, 0, n1 - n0, out, out_rows, k0 > 0, out, out_rows, at, -INFINITY, INFINITY, out, 0, 0, 0, 0)


@jit
def _product_weight(start: int, stop: int, chunks: int, panels: int, blocks: int, pixels: int, x: Array, x_shape, dout: Array, partial: Array, M: int, N: int, rows: Array, columns: Array, direct: bool) -> None:
    L = lanes(partial)
    C, groups = x_shape[2], x_shape[2] // M
    K, all_N = rows[TAPS] * columns[TAPS] * M, groups * N
    vectors, depth = (N + L - 1) // L, (K + blocks - 1) // blocks
    a = x if direct else np.empty(SUMMED * depth + L, x.dtype)
    b = np.zeros((SUMMED + 1) * COLUMNS * L, x.dtype)
    a_rows, out_rows, taps = np.empty(depth, np.int64), np.empty(depth, np.int64), np.empty(SUMMED, np.int64)
    for k in range(depth):
        a_rows[k] = k
        out_rows[k] = k * all_N
    for p in range(SUMMED):
        taps[p] = p * (C if direct else depth)
    for item in range(start, stop):
        chunk, block, g, panel = item // (groups * panels * blocks), item // (groups * panels) % blocks, item // panels % groups, item % panels
        n0, n1 = vectors * panel // panels * L, min(N, vectors * (panel + 1) // panels * L)
        width = (n1 - n0 + L - 1) // L * L
        k0, k1 = K * block // blocks, K * (block + 1) // blocks
        last = pixels * (chunk + 1) // chunks
        for n in range(width):
            b[n] = 0.0
        for p in range(pixels * chunk // chunks, last, SUMMED):
            q = min(p + SUMMED, last)
            pack_rows(dout, p * all_N + g * N + n0, all_N, 1, q - p, n1 - n0, width, b, width)
            a0 = 0
            if direct:
                a0 = p * C + g * M + k0
            else:
                _gather(x, x_shape, g * M, M, rows, columns, p, q, k0, k1, a, depth)
            at = (chunk * K + k0) * all_N + g * N + n0
            multiply(a, a_rows, 0, k1 - k0, a0, taps, 0, q - p, b, 0, n1 - n0, partial, out_rows, True, partial, out_rows, at, -INFINITY, INFINITY, partial, 0, 0, 0, 0)


def _panels(N, dtype):
    from npnets.kernels.product import vector
    lanes = vector(dtype)
    return -(-N // (COLUMNS * lanes))


def products(x, w, w_steps, KW, bias, out, M, N, rows, columns, direct):
    B, H, W, C = x.shape
    pixels = B * rows[COUNT] * columns[COUNT]
    chunks, panels = max(1, -(-pixels // PIXELS)), _panels(N, x.dtype)
    work = pixels * rows[TAPS] * columns[TAPS] * C * N
    run(_product, chunks * (C // M) * panels, work, chunks, panels, B, x.reshape(-1), x.shape[1:], w.reshape(-1), w_steps, KW, bias, out.reshape(-1), out.shape[1:], M, N, rows, columns, direct)


def _is_pointwise(K: Array, s: Ints, x: Array, out: Array) -> bool:
    return K.shape[:2] == (1, 1) and s == (1, 1) and x.shape[:3] == out.shape[:3]


def forward(x: Array, K: Array, out: Array, s: Ints, p: Ints, d: Ints, groups: int, bias=None) -> None:
    KH, KW, M, N = K.shape
    rows, columns = (from_output(out.shape[1 + a], K.shape[a], s[a], p[a], d[a]).table[0] for a in (0, 1))
    bias = np.empty(0, x.dtype) if bias is None else bias
    products(x, K, (M * N, N, 1, N // groups), KW, bias, out, M, N // groups, rows, columns, _is_pointwise(K, s, x, out))


def backward_x(dout: Array, K: Array, dx: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    KH, KW, M, N = K.shape
    direct = _is_pointwise(K, s, dx, dout)
    for rows in from_input(dx.shape[1], KH, s[0], p[0], d[0]).table:
        for columns in from_input(dx.shape[2], KW, s[1], p[1], d[1]).table:
            products(dout, K, (M * N, 1, N, N // groups), KW, np.empty(0, dx.dtype), dx, N // groups, M, rows, columns, direct)


def backward_weight(dout: Array, x: Array, dK: Array, s: Ints, p: Ints, d: Ints, groups: int) -> None:
    KH, KW, M, N = dK.shape
    rows, columns = (from_output(dout.shape[1 + a], dK.shape[a], s[a], p[a], d[a]).table[0] for a in (0, 1))
    direct = _is_pointwise(dK, s, x, dout)
    terms, pixels = KH * KW * M, dout.size // N
    panels, blocks = _panels(N // groups, x.dtype), -(-terms // TERMS)
    chunks = max(1, min(-(-WANTED // (panels * blocks * groups)), pixels // (4 * SUMMED)))
    partial = np.zeros((chunks, *dK.shape), dK.dtype) if chunks > 1 else dK
    run(_product_weight, chunks * panels * blocks * groups, dout.size * terms, chunks, panels, blocks, pixels, x.reshape(-1), x.shape[1:], dout.reshape(-1), partial.reshape(-1), M, N // groups, rows, columns, direct)
    if chunks > 1:
        np.sum(partial, 0, out=dK)
