"""The words of `simd` without vectors: each is about one value. Here stands what each means."""

from typing import Any

from npnets._check import Array
from npnets._jit import jit


@jit
def lanes(a: Array) -> int:
    """Return how many values of a's dtype a vector has."""
    return 1


@jit
def load(a: Array, i: int) -> Any:
    """Return the vector a[i], a[i + 1], … of a flat array."""
    return a[i]


@jit
def store(a: Array, i: int, value: Any) -> None:
    """Write a vector to a[i], a[i + 1] and so on."""
    a[i] = value


@jit
def stream(a: Array, i: int, value: Any) -> None:
    """Write a vector past the caches, where a[i] begins a line of them: for what is not read again soon."""
    a[i] = value


@jit
def load_part(a: Array, i: int, count: int) -> Any:
    """Return the vector whose first `count` lanes are a[i], a[i + 1], …, and the others 0, without reading there."""
    return a[i]


@jit
def store_part(a: Array, i: int, value: Any, count: int) -> None:
    """Write the first `count` lanes of a vector."""
    a[i] = value


@jit
def transpose(a: Array, i: int, step: int, out: Array, o: int, out_step: int) -> None:
    """Write lanes rows of lanes values, out[o + r out_step + c] = a[i + c step + r]."""
    out[o] = a[i]


@jit
def splat(a: Array, value: float) -> Any:
    """Return a vector of a's dtype with one value in all lanes."""
    return a.dtype.type(value)


@jit
def add(x: Any, y: Any) -> Any:
    """Return x + y."""
    return x + y


@jit
def subtract(x: Any, y: Any) -> Any:
    """Return x - y."""
    return x - y


@jit
def multiply(x: Any, y: Any) -> Any:
    """Return x y."""
    return x * y


@jit
def fma(x: Any, y: Any, z: Any) -> Any:
    """Return x y + z, rounded once where there are vectors."""
    return x * y + z


@jit
def clamp(x: Any, low: Any, high: Any) -> Any:
    """Return x, or low where it is less, or high where it is greater; a NaN stays."""
    return low if x < low else (high if x > high else x)


@jit
def where_inside(x: Any, low: Any, high: Any, value: Any) -> Any:
    """Return the value, or 0 where x <= low or x >= high: a NaN in x counts as inside."""
    return type(value)(0) if (x <= low) | (x >= high) else value  # the value may be infinite


@jit
def largest(x: Any, y: Any) -> Any:
    """Return the larger of the two; a NaN in either stays."""
    return x if (x > y) | (x != x) else y


@jit
def weigh_tile(R: int, a: Array, rows: Array, p: int, last: int, a0: int, taps: Array, t0: int, K: int, b: Array,
               b0: int, out: Array, out_rows: Array, n0: int, vectors: int, low: float,
               high: float) -> None:  # fmt: skip
    """Weigh and add the taps of R rows, each channel for itself, from the tables' row p on.

    ::

        out[out_rows[q] + n0 + m] = clamp(b[m, 0] + sum_k a[rows[q] + a0 + taps[t0 + k] + m] b[m, k + 1], low, high)

    for all m < vectors lanes, where q = min(p + r, last) and b[m, k] stands at b0 + (m // lanes (K + 1) + k) lanes +
    m % lanes. Whole vectors are read and written.
    """
    for r in range(R):
        q = min(p + r, last)
        for m in range(vectors):
            total = b[b0 + m * (K + 1)]
            for k in range(K):
                total += a[rows[q] + a0 + taps[t0 + k] + m] * b[b0 + m * (K + 1) + k + 1]
            out[out_rows[q] + n0 + m] = clamp(total, out.dtype.type(low), out.dtype.type(high))


@jit
def weigh_row(T: int, S: int, a: Array, a0: int, row: int, pixel: int, KH: int, b: Array, b0: int, out: Array, n0: int,
              pitch: int, vectors: int, low: float, high: float) -> None:  # fmt: skip
    """Weigh and add KH x 3 taps for T neighbours in a row of the output, each channel for itself, with the stride S.

    ::

        out[n0 + t pitch + m] = clamp(b[m, 0] + sum_{i, j} a[a0 + i row + (S t + j) pixel + m] b[m, 1 + 3 i + j],
                                      low, high)

    for all m < vectors lanes, with b as in `weigh_tile`, and the sums in the same order. Whole vectors are read and
    written.
    """
    for m in range(vectors):
        mine = b0 + m * (3 * KH + 1)
        for t in range(T):
            total = b[mine]
            for i in range(KH):
                for j in range(3):
                    total += a[a0 + i * row + (S * t + j) * pixel + m] * b[mine + 1 + 3 * i + j]
            out[n0 + t * pitch + m] = clamp(total, out.dtype.type(low), out.dtype.type(high))


@jit
def sum_tile(R: int, a: Array, rows: Array, p: int, a0: int, taps: Array, t0: int, K: int, d: Array, d_rows: Array,
             d0: int, sums: Array, s0: int, vectors: int) -> None:  # fmt: skip
    """Add to the sums of the taps what R rows give, each channel for itself: the gradient of `weigh_tile`'s weights.

    ::

        sums[m, k] += sum_r a[rows[p + r] + a0 + taps[t0 + k] + m] d[d_rows[p + r] + d0 + m]

    for all m < vectors lanes, where sums[m, k] stands at s0 + (m // lanes K + k) lanes + m % lanes. Whole vectors are
    read and written.
    """
    for m in range(vectors):
        for k in range(K):
            for r in range(R):
                sums[s0 + m * K + k] += a[rows[p + r] + a0 + taps[t0 + k] + m] * d[d_rows[p + r] + d0 + m]


@jit
def prefetch(a: Array, i: int) -> None:
    """Ask for the line of the cache that a[i] is in; nothing is read, and i may be anywhere."""


@jit
def multiply_tile(R: int, C: int, a: Array, rows: Array, p: int, last: int, a0: int, taps: Array, t0: int, K: int,
                  b: Array, b0: int, added: Array, added_rows: Array, adds: bool, out: Array, out_rows: Array, n0: int,
                  columns: int, low: float, high: float, near: Array, reads_at: int, reads: int, writes_at: int,
                  writes: int) -> None:  # fmt: skip
    """Compute R rows times C vectors of a product, from the tables' row p on.

    ::

        out[out_rows[q] + n0 + n] = clamp(b[b0 + n] + added[added_rows[q] + n0 + n]
                                          + sum_k a[rows[q] + a0 + taps[t0 + k]] b[b0 + (k + 1) C lanes + n], low, high)

    for n < columns, where q = min(p + r, last): rows beyond the last one repeat it, and write the same values again.
    `b` is a panel as `product.pack` lays it out: C lanes values that the sums start from, then K rows of C lanes. What
    is added counts only where `adds` is true, and may be `out` itself. `columns` is more than (C - 1) lanes and at most
    C lanes, `K` at least 1.
    """
    for q in range(p, min(p + R, last + 1)):  # a row again would add again to `out`
        for n in range(columns):
            total = b[b0 + n]
            if adds:
                total += added[added_rows[q] + n0 + n]
            for k in range(K):
                total += a[rows[q] + a0 + taps[t0 + k]] * b[b0 + (k + 1) * C + n]
            out[out_rows[q] + n0 + n] = clamp(total, out.dtype.type(low), out.dtype.type(high))
