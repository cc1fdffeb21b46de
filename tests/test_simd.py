"""The words of vectors, the tiles and the product against what they mean, in the form that this process compiles for.

`test_simd_forms` runs this file in every form of vectors, and without the compiler.
"""

import ctypes
import mmap
import subprocess
import sys
from fractions import Fraction
from itertools import product as every
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npnets._jit import FORM, VECTOR_BYTES, jit
from npnets.kernels.product import multiply, pack, packed_size, panel_vectors, vector
from npnets.kernels.simd import (
    COLUMNS,
    lanes,
    load,
    load_part,
    multiply_tile,
    prefetch,
    splat,
    store,
    store_part,
    stream,
    sum_tile,
    transpose,
    weigh_row,
    weigh_tile,
)
from npnets.kernels.simd import add as plus
from npnets.kernels.simd import clamp as clamped
from npnets.kernels.simd import fma as fused
from npnets.kernels.simd import largest as larger
from npnets.kernels.simd import multiply as times
from npnets.kernels.simd import subtract as minus
from npnets.kernels.simd import where_inside as inside
from npnets.testing import assert_exact

pytestmark = pytest.mark.uncompiled

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)

INFINITY = float("inf")
BOUNDS = (-INFINITY, INFINITY), (0.0, INFINITY), (0.0, 6.0), (-50.0, 60.0), (-INFINITY, 7.0)


def assert_same(actual, expected):
    """All bits, but those of a NaN."""
    assert_exact(actual, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual[numbers]), np.signbit(expected[numbers]))


def whole_numbers(rng, shape, dtype):
    return rng.integers(-9, 10, shape).astype(dtype)


# -- words -------------------------------------------------------------------------------------------------------------


@jit
def apply(word, a, b, c, d, out):
    """Write a word of all whole vectors of the arguments."""
    for i in range(0, len(out), lanes(out)):
        x, y, z, v = load(a, i), load(b, i), load(c, i), load(d, i)
        if word == 0:
            store(out, i, plus(x, y))
        elif word == 1:
            store(out, i, minus(x, y))
        elif word == 2:
            store(out, i, times(x, y))
        elif word == 3:
            store(out, i, fused(x, y, z))
        elif word == 4:
            store(out, i, clamped(x, y, z))
        elif word == 5:
            store(out, i, inside(x, y, z, v))
        elif word == 6:
            store(out, i, larger(x, y))


WORDS = {
    "add": (0, lambda x, y, z, v: x + y),
    "subtract": (1, lambda x, y, z, v: x - y),
    "multiply": (2, lambda x, y, z, v: x * y),
    "clamp": (4, lambda x, y, z, v: np.where(x < y, y, np.where(x > z, z, x))),
    "where_inside": (5, lambda x, y, z, v: np.where((x <= y) | (x >= z), 0, v)),
    "largest": (6, lambda x, y, z, v: np.where(np.isnan(x) | (x > y), x, y)),
}


def applied(word, *arguments):
    """Apply a word to arrays of any length, with values that are no multiple of a vector."""
    count, dtype = len(arguments[0]), arguments[0].dtype
    filled = [np.concatenate([one, np.ones(-count % vector(dtype), dtype)]) for one in arguments]
    out = np.empty_like(filled[0])
    with np.errstate(all="ignore"):
        apply(word, *filled, *filled[:1] * (4 - len(filled)), out)
    return out[:count]


def special(dtype):
    """All fours of: zeros, infinities, NaN, the least, the most and others."""
    numbers = np.finfo(dtype)
    values = [0.0, -0.0, INFINITY, -INFINITY, np.nan, 1.0, -2.5, numbers.max, numbers.smallest_subnormal]
    return np.array(list(every(values, repeat=4)), dtype).T.copy()


@dtypes
@pytest.mark.parametrize("word", WORDS)
def test_words(word, dtype):
    number, meaning = WORDS[word]
    for arguments in special(dtype), np.random.default_rng(0).standard_normal((4, 999)).astype(dtype):
        if word == "clamp":
            arguments = arguments[:, ~(arguments[1] > arguments[2])].copy()  # bounds in order
        with np.errstate(all="ignore"):
            expected = meaning(*arguments).astype(dtype)
        assert_same(applied(number, *arguments), expected)


@dtypes
def test_a_nan_goes_through(dtype):
    """In one argument or the other; as NumPy says it, too."""
    x, y, low, high = special(dtype)
    assert_exact(applied(6, x, y), np.maximum(x, y))
    ordered = low <= high
    x, low, high = x[ordered], low[ordered], high[ordered]
    assert_exact(applied(4, x, low, high), np.clip(x, low, high))
    y = np.ones_like(x)
    assert np.isin(applied(5, x, low, high, y)[np.isnan(x)], 1).all()


@dtypes
def test_fma(dtype):
    """With z = -round(x y), x y + z is what rounding x y took away: a value of the dtype, which vectors return."""
    x, y = np.random.default_rng(0).standard_normal((2, 999)).astype(dtype)
    z = -x * y
    exact = [Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)) for a, b, c in zip(x, y, z, strict=True)]
    assert_exact(applied(3, x, y, z), np.array([0.0 if FORM == "plain" else float(one) for one in exact], dtype))
    assert any(exact)
    simple = np.array(list(every([0.0, -0.0, INFINITY, -INFINITY, np.nan, 1.0, -2.5], repeat=3)), dtype).T.copy()
    with np.errstate(invalid="ignore"):
        assert_same(applied(3, *simple), simple[0] * simple[1] + simple[2])


@dtypes
def test_lanes(dtype):
    @jit
    def count(a):
        return lanes(a)

    width = count(np.zeros(1, dtype))
    assert width == vector(np.dtype(dtype)) == max(1, VECTOR_BYTES // np.dtype(dtype).itemsize)
    assert width == 1 if FORM == "plain" else width * np.dtype(dtype).itemsize == VECTOR_BYTES


@jit
def move(word, a, i, out, j, count):
    """Write a vector from a[i] on to out[j] and so on."""
    if word == 0:
        store(out, j, load(a, i))
    elif word == 1:
        store(out, j, load_part(a, i, count))
    elif word == 2:
        store_part(out, j, load(a, i), count)
    elif word == 3:
        store_part(out, j, load_part(a, i, count), count)
    elif word == 4:
        stream(out, j, load(a, i))
    elif word == 5:
        store(out, j, splat(out, a[i]))
    else:
        prefetch(a, i)


@dtypes
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 16), seeds)
def test_moves(dtype, i, j, count, seed):
    """Each at any place, aligned or not, with nothing else written."""
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    count = min(count, W)
    a, before = rng.standard_normal(60).astype(dtype), rng.standard_normal(60).astype(dtype)
    for word, width, values in (
        (0, W, a[i : i + W]),
        (1, W, np.concatenate([a[i : i + count], np.zeros(W - count, dtype)])),
        (2, count, a[i : i + count]),
        (3, count, a[i : i + count]),
        (5, W, np.full(W, a[i])),
        (6, 0, []),
    ):
        out, expected = before.copy(), before.copy()
        move(word, a, i, out, j, count)
        expected[j : j + width] = values
        assert_same(out, expected)


@dtypes
def test_stream(dtype):
    """At the beginnings of lines of the cache."""
    line, W = 64 // np.dtype(dtype).itemsize, vector(np.dtype(dtype))
    memory = np.full(9 * line, 7, dtype)
    out = memory[-(memory.ctypes.data // np.dtype(dtype).itemsize) % line :][: 8 * line]
    a = np.arange(30).astype(dtype)
    for place in range(0, len(out), 2 * line):
        move(4, a, place % 13, out, place, 0)
    for place in range(0, len(out), 2 * line):
        assert_exact(out[place : place + W], a[place % 13 : place % 13 + W])
        assert_exact(out[place + W : place + 2 * line], np.full(2 * line - W, 7, dtype))


@jit
def turn(a, i, step, out, o, out_step):
    transpose(a, i, step, out, o, out_step)


def check_transpose(dtype, seed, place=np.copy):
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    i, o, step, out_step = (int(one) for one in rng.integers((0, 0, W, W), (9, 9, W + 9, W + 9)))
    a = place(rng.standard_normal(i + (W - 1) * step + W).astype(dtype))
    out = place(rng.standard_normal(o + (W - 1) * out_step + W).astype(dtype))
    expected, r, c = out.copy(), np.arange(W)[:, None], np.arange(W)
    expected[o + r * out_step + c] = a[i + c * step + r]
    turn(a, i, step, out, o, out_step)
    assert_exact(out, expected)


@dtypes
@given(seeds)
def test_transpose(dtype, seed):
    check_transpose(dtype, seed)


# -- tiles -------------------------------------------------------------------------------------------------------------


@jit
def tile(R, C, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0, columns, low,
         high, reads, writes):  # fmt: skip
    """Call the tile of this size: they are constants when it is compiled."""
    if R == 6:
        if C == 4:
            multiply_tile(6, 4, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                          columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
        elif C == 3:
            multiply_tile(6, 3, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                          columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
        elif C == 2:
            multiply_tile(6, 2, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                          columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
        else:
            multiply_tile(6, 1, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                          columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
    elif C == 4:
        multiply_tile(5, 4, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                      columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
    elif C == 3:
        multiply_tile(5, 3, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                      columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
    elif C == 2:
        multiply_tile(5, 2, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                      columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip
    else:
        multiply_tile(5, 1, a, rows, p, last, a0, taps, t0, K, b, b0, added, added_rows, adds, out, out_rows, n0,
                      columns, low, high, a, 0, reads, 10**6, writes)  # fmt: skip


def targets(rng, count, width):
    """Return places of rows that do not overlap, in any order, some further apart, and where the last one ends."""
    places = np.cumsum(width + rng.integers(0, 3, count)) - width
    return rng.permutation(places), places[-1] + width


def check_tile(R, C, dtype, seed, adds="", K=None, place=np.copy):
    """Compare a tile of random offsets, every array as short as it may be; `place` says where they lie."""
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    K, count, columns = K or rng.integers(1, 21), rng.integers(1, R + 3), rng.integers((C - 1) * W + 1, C * W + 1)
    p, a0, t0, b0, n0 = (int(one) for one in rng.integers(0, 4, 5))
    low, high = BOUNDS[rng.integers(len(BOUNDS))]
    rows, taps = rng.integers(0, 99, p + count), rng.integers(0, 99, t0 + K)
    a = whole_numbers(rng, rows[p:].max() + a0 + taps[t0:].max() + 1, dtype)
    if rng.integers(4) == 0:
        a[rng.integers(len(a))] = rng.choice([np.nan, INFINITY, -INFINITY])
    b = whole_numbers(rng, b0 + (K + 1) * C * W, dtype)
    out_rows, end = targets(rng, p + count, columns)
    out = whole_numbers(rng, n0 + end, dtype)
    added_rows, end = targets(rng, p + count, columns)
    added = whole_numbers(rng, n0 + end, dtype)
    if not adds:
        added, added_rows = added[:0], added_rows[:0]  # is not looked at

    rows, taps, out_rows, added_rows, a, b, out, added = map(
        place, (rows, taps, out_rows, added_rows, a, b, out, added)
    )
    if adds == "itself":
        added, added_rows = out, out_rows
    done, panel = min(count, R), b[b0:].reshape(K + 1, C * W)[:, :columns].astype(np.float64)
    terms = a[rows[p : p + done, None] + a0 + taps[t0:]].astype(np.float64)
    expected, goals = out.copy(), out_rows[p : p + done, None] + n0 + np.arange(columns)
    with np.errstate(invalid="ignore"):
        sums = panel[0] + (terms[:, :, None] * panel[1:]).sum(1)
        if adds:
            sums += added[added_rows[p : p + done, None] + n0 + np.arange(columns)]
        expected[goals] = np.clip(sums, low, high)
        tile(R, C, a, rows, p, p + count - 1, a0, taps, t0, K, b, b0, added, added_rows, bool(adds), out, out_rows, n0,
             columns, dtype(low), dtype(high), int(rng.integers(9)), int(rng.integers(9)))  # fmt: skip
    assert_exact(out, expected)


@dtypes
@pytest.mark.parametrize("C", [1, 2, 3, 4])
@pytest.mark.parametrize("R", [5, 6])
@given(st.sampled_from(["", "others", "itself"]), seeds)
def test_multiply_tile(R, C, dtype, adds, seed):
    check_tile(R, C, dtype, seed, adds)


@dtypes
@pytest.mark.parametrize("C", [1, COLUMNS])
@pytest.mark.parametrize("adds", ["", "others", "itself"])
def test_a_tile_of_one_term(C, dtype, adds):
    for seed in range(20):
        check_tile(6, C, dtype, seed, adds, K=1)


@jit
def weigh(R, a, rows, p, last, a0, taps, t0, K, b, b0, out, out_rows, n0, vectors, low, high):
    if R == 6:
        weigh_tile(6, a, rows, p, last, a0, taps, t0, K, b, b0, out, out_rows, n0, vectors, low, high)
    else:
        weigh_tile(5, a, rows, p, last, a0, taps, t0, K, b, b0, out, out_rows, n0, vectors, low, high)


def check_weigh_tile(R, dtype, seed, place=np.copy):
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    K, count, vectors = rng.integers(1, 13), rng.integers(1, R + 3), rng.integers(1, 4)
    p, a0, t0, b0, n0 = (int(one) for one in rng.integers(0, 4, 5))
    low, high = BOUNDS[rng.integers(len(BOUNDS))]
    channels = vectors * W
    rows, taps = rng.integers(0, 99, p + count), rng.integers(0, 99, t0 + K)
    a = whole_numbers(rng, rows[p:].max() + a0 + taps[t0:].max() + channels, dtype)
    b = whole_numbers(rng, b0 + vectors * (K + 1) * W, dtype)
    out_rows, end = targets(rng, p + count, channels)
    out = whole_numbers(rng, n0 + end, dtype)

    rows, taps, out_rows, a, b, out = map(place, (rows, taps, out_rows, a, b, out))
    done, panel = min(count, R), b[b0:].reshape(vectors, K + 1, W).swapaxes(0, 1).reshape(K + 1, channels)
    values = a[rows[p : p + done, None, None] + a0 + taps[t0:, None] + np.arange(channels)]
    expected = out.copy()
    expected[out_rows[p : p + done, None] + n0 + np.arange(channels)] = np.clip(
        panel[0] + (values * panel[1:]).sum(1), low, high
    )
    weigh(R, a, rows, p, p + count - 1, a0, taps, t0, K, b, b0, out, out_rows, n0, vectors, dtype(low), dtype(high))
    assert_exact(out, expected)


@dtypes
@pytest.mark.parametrize("R", [5, 6])
@given(seeds)
def test_weigh_tile(R, dtype, seed):
    check_weigh_tile(R, dtype, seed)


@jit
def weigh_in_a_row(T, S, a, a0, row, pixel, KH, b, b0, out, n0, pitch, vectors, low, high):
    if T == 7:
        if S == 1:
            weigh_row(7, 1, a, a0, row, pixel, KH, b, b0, out, n0, pitch, vectors, low, high)
        else:
            weigh_row(7, 2, a, a0, row, pixel, KH, b, b0, out, n0, pitch, vectors, low, high)
    elif S == 1:
        weigh_row(4, 1, a, a0, row, pixel, KH, b, b0, out, n0, pitch, vectors, low, high)
    else:
        weigh_row(4, 2, a, a0, row, pixel, KH, b, b0, out, n0, pitch, vectors, low, high)


def check_weigh_row(T, S, dtype, seed, place=np.copy):
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    KH, vectors = (int(one) for one in rng.integers(1, 4, 2))
    a0, b0, n0 = (int(one) for one in rng.integers(0, 4, 3))
    low, high = BOUNDS[rng.integers(len(BOUNDS))]
    channels = vectors * W
    row, pixel, pitch = int(rng.integers(0, 99)), int(rng.integers(1, 60)), channels + int(rng.integers(0, 3))
    a = whole_numbers(rng, a0 + (KH - 1) * row + (S * (T - 1) + 2) * pixel + channels, dtype)
    b = whole_numbers(rng, b0 + vectors * (3 * KH + 1) * W, dtype)
    out = whole_numbers(rng, n0 + (T - 1) * pitch + channels, dtype)

    a, b, out = map(place, (a, b, out))
    panel = b[b0:].reshape(vectors, 3 * KH + 1, W).swapaxes(0, 1).reshape(3 * KH + 1, channels)
    neighbours, m = np.arange(T)[:, None], np.arange(channels)
    sums = panel[0] + sum(
        a[a0 + i * row + (S * neighbours + j) * pixel + m] * panel[1 + 3 * i + j] for i in range(KH) for j in range(3)
    )
    expected = out.copy()
    expected[n0 + neighbours * pitch + m] = np.clip(sums, low, high)
    weigh_in_a_row(T, S, a, a0, row, pixel, KH, b, b0, out, n0, pitch, vectors, dtype(low), dtype(high))
    assert_exact(out, expected)


@dtypes
@pytest.mark.parametrize("S", [1, 2])
@pytest.mark.parametrize("T", [4, 7])
@given(seeds)
def test_weigh_row(T, S, dtype, seed):
    check_weigh_row(T, S, dtype, seed)


@jit
def gather_sums(R, a, rows, p, a0, taps, t0, K, d, d_rows, d0, sums, s0, vectors):
    if R == 7:
        sum_tile(7, a, rows, p, a0, taps, t0, K, d, d_rows, d0, sums, s0, vectors)
    else:
        sum_tile(1, a, rows, p, a0, taps, t0, K, d, d_rows, d0, sums, s0, vectors)


def check_sum_tile(R, dtype, seed, place=np.copy):
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    K, vectors = (int(one) for one in rng.integers(1, (13, 4)))
    p, a0, t0, d0, s0 = (int(one) for one in rng.integers(0, 4, 5))
    channels = vectors * W
    rows, d_rows, taps = rng.integers(0, 99, p + R), rng.integers(0, 99, p + R), rng.integers(0, 99, t0 + K)
    a = whole_numbers(rng, rows[p:].max() + a0 + taps[t0:].max() + channels, dtype)
    d = whole_numbers(rng, d_rows[p:].max() + d0 + channels, dtype)
    sums = whole_numbers(rng, s0 + vectors * K * W, dtype)

    rows, d_rows, taps, a, d, sums = map(place, (rows, d_rows, taps, a, d, sums))
    m = np.arange(channels)
    values = a[rows[p:, None, None] + a0 + taps[t0:, None] + m] * d[d_rows[p:, None, None] + d0 + m]  # (R, K, channels)
    expected = sums.copy()
    expected[s0:] += values.sum(0).reshape(K, vectors, W).swapaxes(0, 1).ravel()
    gather_sums(R, a, rows, p, a0, taps, t0, K, d, d_rows, d0, sums, s0, vectors)
    assert_exact(sums, expected)


@dtypes
@pytest.mark.parametrize("R", [1, 7])
@given(seeds)
def test_sum_tile(R, dtype, seed):
    check_sum_tile(R, dtype, seed)


# -- panels and products -----------------------------------------------------------------------------------------------


def panels(N, lanes):
    """Return the widths of the panels, in vectors."""
    vectors, widths = -(-N // lanes), []
    while vectors > 0:
        widths.append(panel_vectors(vectors))
        vectors -= widths[-1]
    return widths


def test_panels_are_as_wide_as_a_tile_may_be():
    for vectors in range(1, 40):
        widths = panels(vectors, 1)
        assert sum(widths) == vectors
        assert set(widths) <= set(range(1, COLUMNS + 1))
        assert len(widths) == -(-vectors // COLUMNS)  # no more panels than needed
        assert COLUMNS == 2 or vectors == 1 or 1 not in widths


def weights(rng, dtype, groups, K, N, layout):
    """Return whole numbers (groups, K, N), a flat array that holds them, as short as it may be, and the steps in it."""
    w = whole_numbers(rng, (groups, K, N), dtype)
    gap, apart = rng.integers(0, 3), rng.integers(2, 4)
    match layout:
        case "rows":
            step_k, step_n = N + gap, 1
        case "columns":
            step_k, step_n = 1, K + gap
        case "apart":
            step_k, step_n = N * apart + gap, apart
    step_g = step_k * K + step_n * N
    places = np.add.outer(np.arange(groups) * step_g, np.add.outer(np.arange(K) * step_k, np.arange(N) * step_n))
    flat = whole_numbers(rng, places.max() + 1, dtype)
    flat[places] = w
    return w, flat, (int(step_k), int(step_n), int(step_g))


SIZES = {
    "groups": st.integers(1, 3),
    "K": st.integers(1, 40),
    "whole": st.integers(0, 5),  # vectors of columns, and then …
    "rest": st.integers(1, 16),  # … columns
    "layout": st.sampled_from(["rows", "columns", "apart"]),
    "starts": st.booleans(),
    "seed": seeds,
}


def check_pack(dtype, groups, K, whole, rest, layout, starts, seed, place=np.copy):
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    N = whole * W + min(rest, W)
    w, flat, steps = weights(rng, dtype, groups, K, N, layout)
    start = whole_numbers(rng, groups * N * starts, dtype)
    at, size = int(rng.integers(0, 4)), packed_size(K, N, groups, np.dtype(dtype))
    out = whole_numbers(rng, at + size, dtype)
    expected = [out[:at]]
    for g in range(groups):
        matrix = np.concatenate([start[g * N : (g + 1) * N] if starts else np.zeros(N), w[g].ravel()]).reshape(-1, N)
        padded = np.pad(matrix, ((0, 0), (0, -N % W))).astype(dtype)
        expected += [part.ravel() for part in np.split(padded, np.cumsum(panels(N, W)) * W, axis=1)]
    flat, start, out = map(place, (flat, start, out))
    pack(flat, *steps, K, N, groups, start, out, at)
    assert_exact(out, np.concatenate(expected))


@dtypes
@given(**SIZES)
def test_pack(dtype, groups, K, whole, rest, layout, starts, seed):
    check_pack(dtype, groups, K, whole, rest, layout, starts, seed)


@dtypes
@given(count=st.integers(1, 31), adds=st.booleans(), **SIZES)
def test_multiply(dtype, count, adds, groups, K, whole, rest, layout, starts, seed):
    """All groups of a product, with gaps between rows of the output, and the tables' first rows left out."""
    rng, W = np.random.default_rng(seed), vector(np.dtype(dtype))
    N = whole * W + min(rest, W)
    w, flat, steps = weights(rng, dtype, groups, K, N, layout)
    start = whole_numbers(rng, groups * N * starts, dtype)
    packed = np.full(packed_size(K, N, groups, np.dtype(dtype)), np.nan, dtype)
    pack(flat, *steps, K, N, groups, start, packed, 0)
    first, low, high = int(rng.integers(0, 3)), *BOUNDS[rng.integers(len(BOUNDS))]
    a, taps = whole_numbers(rng, (first + count, groups, K), dtype), rng.permutation(K)
    rows = np.arange(first + count) * groups * K
    out_rows, end = targets(rng, first + count, groups * N)
    out = whole_numbers(rng, end + 5, dtype)

    sums = np.einsum("pgk,gkn->pgn", a[first:][..., taps].astype(float), w.astype(float)).reshape(count, groups * N)
    if starts:
        sums += start
    expected, goals = out.copy(), out_rows[first:, None] + np.arange(groups * N)
    if adds:
        sums += out[goals]
    expected[goals] = np.clip(sums, low, high)
    for g in range(groups):
        multiply(a.ravel(), rows, first, first + count, g * K, taps, 0, K, packed,
                 packed_size(K, N, g, np.dtype(dtype)), N, out, out_rows, adds, out, out_rows, g * N, dtype(low),
                 dtype(high), out, 0, 5, 9, 3)  # fmt: skip
    assert_exact(out, expected)


@dtypes
@pytest.mark.parametrize("count", range(1, 32))
def test_any_number_of_rows(dtype, count):
    """Each row of the table is computed by one tile, or by one that repeats the last row: none is added to twice."""
    K, N, rng = 3, 2 * vector(np.dtype(dtype)) + 1, np.random.default_rng(count)
    a, w, before = (whole_numbers(rng, shape, dtype) for shape in ((count, K), (K, N), (count, N)))
    packed = np.empty(packed_size(K, N, 1, np.dtype(dtype)), dtype)
    pack(w.ravel(), N, 1, 0, K, N, 1, w[0, :0], packed, 0)
    out, out_rows = before.ravel().copy(), np.arange(count) * N
    multiply(a.ravel(), np.arange(count) * K, 0, count, 0, np.arange(K), 0, K, packed, 0, N, out, out_rows, True, out,
             out_rows, 0, dtype(-INFINITY), dtype(INFINITY), out, 0, 0, 0, 0)  # fmt: skip
    assert_exact(out.reshape(count, N), before + a @ w)


# -- memory that is not there ------------------------------------------------------------------------------------------


def at_the_edge(array, behind):
    """Copy an array to where memory ends behind it, or begins with it; who goes beyond ends the process."""
    used = -(-max(array.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, used + mmap.PAGESIZE)
    edge = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + (used if behind else 0)
    protect = ctypes.CDLL(None).mprotect
    assert protect(ctypes.c_void_p(edge), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    offset = used - array.nbytes if behind else mmap.PAGESIZE
    copy = np.frombuffer(memory, array.dtype, array.size, offset)
    copy[...] = array
    return copy


def walk_along_the_edges():
    """Call every word that reads or writes, with arrays that end at the edge; then with arrays that begin there."""
    for behind, dtype in every((True, False), (np.float32, np.float64)):

        def place(array, behind=behind):
            return at_the_edge(array, behind)

        for seed in range(30):
            for R, C, adds in every((5, 6), (1, 2, 3, 4), ("", "others", "itself")):
                check_tile(R, C, dtype, seed, adds, place=place)
            for R in 5, 6:
                check_weigh_tile(R, dtype, seed, place)
            for T, S in every((4, 7), (1, 2)):
                check_weigh_row(T, S, dtype, seed, place)
            for R in 1, 7:
                check_sum_tile(R, dtype, seed, place)
            check_transpose(dtype, seed, place)
            for layout in "rows", "columns", "apart":
                check_pack(dtype, 1 + seed % 2, 1 + seed, seed % 5, 1 + seed % 7, layout, seed % 3 == 0, seed, place)
        W = vector(np.dtype(dtype))
        for count in range(1, W + 1):
            a, out = place(np.arange(1, count + 1).astype(dtype)), place(np.zeros(count, dtype))
            move(3, a, 0, out, 0, count)
            assert_exact(out, a)
            move(6, a, 10**6, out, 0, 0)
        a, out = place(np.arange(W).astype(dtype)), place(np.zeros(W, dtype))
        move(0, a, 0, out, 0, 0)
        assert_exact(out, a)


def child(code):
    return subprocess.run(
        [sys.executable, "-c", f"import test_simd\n{code}"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect")
def test_nothing_outside_is_touched():
    """In a process of its own, which would crash: as it does where one byte is written behind the end."""
    done = child("test_simd.walk_along_the_edges()")
    assert done.returncode == 0, done.stderr
    assert child("a = test_simd.at_the_edge(test_simd.np.zeros(3), True)\n"
                 "test_simd.ctypes.memset(a.ctypes.data + 24, 0, 1)").returncode < 0  # fmt: skip
