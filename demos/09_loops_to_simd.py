# %% [markdown]
# # From loops to SIMD: the same convolution, six times
#
# **What it shows.** One 3 x 3 convolution, from five lines of plain Python to npnets' kernel. Every step changes one
# thing, computes the same numbers, and is timed beside all others in one run, taking turns.
#
# **What you should see.** The compiler is the largest step, and leaves a factor of forty. What brings that is not
# fewer operations, their number never changes, but independent sums, and fewer loads for each.
#
# Units: milliseconds a call, GF/s ($10^9$ floating-point operations a second; a mult-add is two).

# %%
import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREEN, GREY, ORANGE, begin, side_by_side
from numba import njit

import npnets
from npnets.bench.machine import processor
from npnets.kernels.simd import fma, lanes, load, splat, store
from npnets.testing import assert_within_rounding

demo = begin("09_loops_to_simd")
side, M, N = demo.pick(quick=(8, 4, 32), default=(32, 64, 64), full=(32, 64, 64))
rounds = demo.pick(quick=1, default=3, full=5)
random = np.random.default_rng(0)
F = random.standard_normal((side + 2, side + 2, M), np.float32)  # padded by 1 already


def aligned(values):
    """Return a copy that begins at a line of the cache: a vector across two lines is slower, and chance decides."""
    room = np.empty(values.size + 16, np.float32)
    start = -room.ctypes.data % 64 // 4
    room[start : start + values.size] = values.ravel()
    return room[start : start + values.size].reshape(values.shape)


K = aligned(random.standard_normal((3, 3, M, N), np.float32))

# %% [markdown]
# ## 1 and 2: the formula, interpreted and compiled
#
# $$G_{k,l,n} = \sum_{i,j,m} K_{i,j,m,n}\, F_{k+i,\ l+j,\ m}$$
#
# For each mult-add Python looks up two objects, makes three new ones and throws them away. Numba translates the same
# lines to machine code; `njit` is all that is added.


# %%
def loops(F, K, G):
    for k in range(G.shape[0]):
        for l in range(G.shape[1]):
            for n in range(G.shape[2]):
                for i in range(3):
                    for j in range(3):
                        for m in range(F.shape[2]):
                            G[k, l, n] += K[i, j, m, n] * F[k + i, l + j, m]


compiled = njit(loops)

# %% [markdown]
# ## 3: another order
#
# Innermost was $m$, in whose direction $K$ is not contiguous, and whose additions must wait for each other: a sum of
# floats may not be reordered. With $n$ innermost, neighbours in memory are independent sums, and the compiler takes 8
# or 16 of them at a time, by itself.


# %%
@njit
def reordered(F, K, G):
    for k in range(G.shape[0]):
        for l in range(G.shape[1]):
            for i in range(3):
                for j in range(3):
                    for m in range(F.shape[2]):
                        for n in range(G.shape[2]):
                            G[k, l, n] += K[i, j, m, n] * F[k + i, l + j, m]


# %% [markdown]
# ## 4: a tile of sums
#
# Step 3 loads and stores $G$ for each mult-add. With $n$ taken a vector at a time, and everything else inside, a sum
# can stay in a register, and `fma` multiplies and adds in one instruction. But an `fma` takes 4 cycles, and the next
# one of the same sum must wait. So take four pixels and two vectors of outputs: eight sums that do not wait for each
# other. A vector of weights now serves four of them and a pixel two: 6 loads for 8 mult-adds, where step 3 has 3 for
# each. (The sides must be whole tiles here.)


# %%
@njit
def tile(F, K, G):
    f, w, g, M, N = F.ravel(), K.ravel(), G.ravel(), F.shape[2], G.shape[2]
    V, row = lanes(g), F.shape[1] * M
    for k in range(G.shape[0]):
        for l in range(0, G.shape[1], 4):
            for n in range(0, N, 2 * V):
                a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = splat(g, 0.0)
                for i in range(3):
                    at = (k + i) * row + l * M
                    for jm in range(3 * M):  # j and m in one: both step over neighbours in memory
                        w0 = load(w, (i * 3 * M + jm) * N + n)
                        w1 = load(w, (i * 3 * M + jm) * N + n + V)
                        a, b = splat(f, f[at + jm]), splat(f, f[at + M + jm])
                        c, d = splat(f, f[at + 2 * M + jm]), splat(f, f[at + 3 * M + jm])
                        a0, a1, b0, b1 = fma(a, w0, a0), fma(a, w1, a1), fma(b, w0, b0), fma(b, w1, b1)
                        c0, c1, d0, d1 = fma(c, w0, c0), fma(c, w1, c1), fma(d, w0, d0), fma(d, w1, d1)
                o = (k * G.shape[1] + l) * N + n
                for row_of_sums in ((a0, a1), (b0, b1), (c0, c1), (d0, d1)):
                    store(g, o, row_of_sums[0])
                    store(g, o + V, row_of_sums[1])
                    o += N


# %% [markdown]
# ## 5 and 6: npnets, on one thread and on all
#
# The same idea with larger tiles, 6 pixels by 4 vectors where there are 32 registers, and with weights packed in the
# order in which they are read. It takes any shape, stride, padding and number of groups, which step 4 does not, and
# pays for that with some work in each call.


# %%
def kernel(threads):
    def call(F, K, G):
        npnets.set_threads(threads)
        G[...] = npnets.ops.conv2d(F[None], K)[0]

    return call


# %% [markdown]
# ## For comparison: NumPy
#
# The vectorised form: for each of the nine taps the convolution is a matrix product of all pixels with the tap's
# $M \times N$ weights.


# %%
def products(F, K, G):
    for i, j in np.ndindex(3, 3):
        G += F[i : i + G.shape[0], j : j + G.shape[1]] @ K[i, j]  # (H, W, M) @ (M, N)


cores = npnets.get_threads()
steps = {
    "1 Python loops": loops, "2 the same, compiled": compiled, "3 outputs innermost": reordered,
    "4 a tile of sums": tile, "5 npnets, one thread": kernel(1), f"6 npnets, {cores} threads": kernel(cores),
    "NumPy, its own threads": products,
}  # fmt: skip
exact = npnets.ops.conv2d(F[None].astype(float), K.astype(float))[0]
size = npnets.ops.conv2d(abs(F[None].astype(float)), abs(K.astype(float)))[0]
calls, height = {}, {}
for name, step in steps.items():
    height[name] = rows = 1 if step is loops else side  # the whole image would take Python half a minute
    G = aligned(np.zeros((rows, side, N)))
    step(F[: rows + 2], K, G)
    assert_within_rounding(G, exact[:rows], size[:rows], 9 * M)  # all compute the same
    calls[name] = lambda step=step, F=F[: rows + 2], G=G: step(F, K, G)
times = {
    name: min(values) * side / height[name]
    for name, values in side_by_side(calls, rounds, parallel=list(calls)[5:]).items()
}
npnets.set_threads(cores)

# %% [markdown]
# ## The picture
#
# The scale is logarithmic: each line to the right is ten times as fast. Python was given one row of the image, and
# its time multiplied.

# %%
mult_adds = 9 * M * N * side**2
rows, before = [], None
for name, seconds in times.items():
    gain = before / seconds if before and name[0].isdigit() else 1.0
    rows.append({"step": name, "ms": 1e3 * seconds, "GF/s": 2e-9 * mult_adds / seconds, "gain": gain})
    before = seconds
figure, axes = plt.subplots(figsize=(9, 3.6))
colours = GREY, ORANGE, ORANGE, GREEN, BLUE, BLUE, GREY
axes.barh(list(times), [row["GF/s"] for row in rows], color=colours)
for y, row in enumerate(rows):
    time = f"{row['ms']:,.2f} ms" if row["ms"] < 1e3 else f"{row['ms'] / 1e3:,.1f} s"
    gain = f"x {row['gain']:.3g}" if row["gain"] != 1 else ""
    for x, text in (1.03, time), (1.18, gain):
        axes.text(x, y, text, transform=axes.get_yaxis_transform(), va="center")
axes.set_xscale("log")
axes.set_title(f"3 x 3, {side} x {side} pixels, {M} to {N} channels: speed, time, gain by the step")
axes.set_xlabel("speed, GF/s")
axes.set_xlim(left=rows[0]["GF/s"] / 2)
axes.invert_yaxis()
axes.grid(axis="y", visible=False)
figure.supxlabel(f"{processor()}, float32, npnets {npnets.__version__}", fontsize=8)
demo.finish(figure, rows)
