# %% [markdown]
# # Separable against standard convolution: the cost that is counted, the time that is measured
#
# **What it shows.** A depthwise separable convolution costs $1/N + 1/D_K^2$ of a standard one. That is checked by
# counting, and then compared with the time that both take, in one run, taking turns, on one thread.
#
# **What you should see.** The counts lie on the formula. The times lie above it: what is saved is the work that a
# processor does fastest. It multiplies fast when each number that it loads is used often, and a depthwise convolution
# uses each pixel only $D_K^2$ times, where a standard one uses it $D_K^2 N$ times.
#
# Units: mult-adds (multiply-adds), seconds, GF/s ($10^9$ floating-point operations a second; a mult-add is two).

# %%
import statistics
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREEN, GREY, INK, ORANGE, begin, side_by_side

import npnets
from npnets import formulas, ops
from npnets.bench.machine import processor

demo = begin("02_separable")
npnets.set_threads(1)
batch, side = demo.pick(quick=(1, 8), default=(16, 28), full=(16, 28))
widths = demo.pick(quick=(16, 32), default=(16, 32, 64, 128, 256), full=(16, 32, 64, 128, 256))
kernels = demo.pick(quick=(3,), default=(3, 5), full=(3, 5))
rounds = demo.pick(quick=1, default=3, full=5)

# %% [markdown]
# ## Counting with ones
#
# If every pixel and every weight is 1, each output *is* the number of its terms, and the sum of all outputs is the
# number of mult-adds that the operation executed. (Without padding: taps that fall outside of the image would add
# nothing.)


# %%
def counted(DK, N):
    """Return the mult-adds of a standard convolution, a depthwise and a pointwise one, N channels in and out."""
    image, output = np.ones((1, side + DK - 1, side + DK - 1, N)), np.ones((1, side, side, N))
    return [int(out.sum()) for out in (
        ops.conv2d(image, np.ones((DK, DK, N, N))),
        ops.depthwise_conv2d(image, np.ones((DK, DK, N))),
        ops.pointwise_conv2d(output, np.ones((N, N))),
    )]  # fmt: skip


# %% [markdown]
# ## The formula
#
# $$\frac{D_K^2 M D_F^2 + M N D_F^2}{D_K^2 M N D_F^2} = \frac1N + \frac1{D_K^2}$$
#
# $1/N$ is the depthwise part and $1/D_K^2$ the pointwise one. For $D_K = 3$ the ratio can never be less than $1/9$,
# however many channels there are.

# %%
random = np.random.default_rng(0)


def measured(DK, N):
    """Return the seconds of the three, in float32: a list of rounds for each."""
    x = random.random((batch, side, side, N), np.float32)
    standard, depthwise, pointwise = (
        random.random(shape, np.float32) for shape in ((DK, DK, N, N), (DK, DK, N), (N, N))
    )
    return side_by_side({
        "standard": lambda: ops.conv2d(x, standard, padding="same"),
        "depthwise": lambda: ops.depthwise_conv2d(x, depthwise, padding="same"),
        "pointwise": lambda: ops.pointwise_conv2d(x, pointwise),
    }, rounds)  # fmt: skip


rows, spread = [], {}
for DK, N in [(DK, N) for DK in kernels for N in widths]:
    costs, times = counted(DK, N), measured(DK, N)
    assert costs == [formulas.standard(DK, N, N, side), formulas.depthwise(DK, N, side), formulas.pointwise(N, N, side)]
    assert Fraction(costs[1] + costs[2], costs[0]) == formulas.ratio(DK, N)  # 1/N + 1/D_K^2, exactly
    ratios = [(d + p) / s for s, d, p in zip(*times.values(), strict=True)]
    spread[DK, N] = min(ratios), max(ratios)
    speeds = {
        f"{name}, GF/s": 2e-9 * batch * cost / min(values)
        for (name, values), cost in zip(times.items(), costs, strict=True)
    }
    rows.append({"D_K": DK, "N": N, "cost ratio": sum(costs[1:]) / costs[0], "time ratio": statistics.median(ratios)}
                | speeds)  # fmt: skip

# %% [markdown]
# ## The picture
#
# Left: both ratios over the channels. Right: how fast each kind of convolution runs, from which the left follows. A
# standard and a pointwise convolution use each loaded weight for many pixels, and each pixel for $N$ outputs.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
for DK, colour, marker in zip(kernels, (BLUE, ORANGE), "os", strict=False):
    mine = [row for row in rows if row["D_K"] == DK]
    channels = [row["N"] for row in mine]
    smooth = np.geomspace(channels[0], channels[-1])
    left.plot(smooth, 1 / smooth + 1 / DK**2, "--", color=colour)
    left.plot(channels, [row["cost ratio"] for row in mine], marker, color=colour, markerfacecolor="white")
    low, high = np.transpose([spread[DK, N] for N in channels])
    times = np.array([row["time ratio"] for row in mine])
    left.errorbar(channels, times, (times - low, high - times), fmt=f"{marker}-", color=colour, label=f"$D_K = {DK}$")
left.plot([], [], "--o", color=GREY, markerfacecolor="white", label=r"counted, on $1/N + 1/D_K^2$")
left.plot([], [], "-o", color=GREY, label="time, with all rounds")
left.set(title=f"separable / standard, {batch} images of {side} x {side}", xlabel="channels, $M = N$", ylabel="ratio")
three = [row for row in rows if row["D_K"] == 3]
for name, colour, marker in ("standard", BLUE, "o-"), ("pointwise", GREEN, "^-"), ("depthwise", ORANGE, "s-"):
    right.plot([row["N"] for row in three], [row[f"{name}, GF/s"] for row in three], marker, color=colour, label=name)
right.set(title="speed, $D_K = 3$, one thread", xlabel="channels, $M = N$", ylabel="GF/s")
for axes in left, right:
    axes.set_xscale("log", base=2)
    axes.set_xticks(widths, map(str, widths))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9)
figure.supxlabel(f"{processor()}, float32, npnets {npnets.__version__}", fontsize=8, color=INK)
demo.finish(figure, rows)
