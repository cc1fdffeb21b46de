# %% [markdown]
# # The formula by hand: two channels in, three out
#
# **What it shows.** A standard and a depthwise separable convolution of the same image, small enough to follow each
# number: $M = 2$ input channels, $N = 3$ output channels, kernels of $D_K = 3$, an output of $D_F = 2$ pixels a side.
# Every multiplication is counted as it happens.
#
# **What you should see.** Both give the same output, with 216 mult-adds (multiply-adds) and 54 weights on one side,
# 96 and 24 on the other: $96/216 = 1/N + 1/D_K^2 = 1/3 + 1/9 = 0.444$.
#
# The example is that of a Korean blog post that introduces MobileNet and ShuffleNet. Four things that it says are
# corrected where they come up, each marked **Erratum**.
#
# Units: mult-adds (multiply-adds), weights.

# %%
import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREEN, GREY, INK, ORANGE, begin

import npnets

demo = begin("01_formula")
M, N, DK, DF = 2, 3, 3, 2

# %% [markdown]
# ## The two formulas
#
# Standard: every output channel $n$ has a kernel for every input channel $m$.
#
# $$G_{k,l,n} = \sum_{i,j,m} K_{i,j,m,n}\, F_{k+i,\ l+j,\ m} \tag{1}$$
#
# Separable: first *depthwise*, one kernel for each channel, then *pointwise*, a mixture of channels at each pixel.
#
# $$\hat G_{k,l,m} = \sum_{i,j} \hat K_{i,j,m}\, F_{k+i,\ l+j,\ m}
# \qquad G_{k,l,n} = \sum_m P_{m,n}\, \hat G_{k,l,m} \tag{2}$$
#
# Put the first half of (2) into the second: the sum is (1) with $K_{i,j,m,n} = \hat K_{i,j,m} P_{m,n}$. So a
# separable convolution *is* a standard one, whose kernel is a product: all output channels look through the same two
# windows, and differ only in how much of each they take. That is what it gives up, and where it saves.

# %%
random = np.random.default_rng(3)
F = random.integers(0, 4, (DF + DK - 1, DF + DK - 1, M))
K_hat = random.integers(-1, 2, (DK, DK, M))
P = np.array([[1, -1, 2], [2, 1, -1]])
K = K_hat[:, :, :, None] * P


def standard(F, K):
    """Return G of (1), and how many mult-adds it took."""
    G, count = np.zeros((DF, DF, N), int), 0
    for k, l, n, i, j, m in np.ndindex(DF, DF, N, DK, DK, M):
        G[k, l, n] += K[i, j, m, n] * F[k + i, l + j, m]
        count += 1
    return G, count


def depthwise(F, K_hat):
    """Return the first half of (2), and how many mult-adds it took."""
    G, count = np.zeros((DF, DF, M), int), 0
    for k, l, m, i, j in np.ndindex(DF, DF, M, DK, DK):
        G[k, l, m] += K_hat[i, j, m] * F[k + i, l + j, m]
        count += 1
    return G, count


def pointwise(G_hat, P):
    """Return the second half of (2), and how many mult-adds it took."""
    G, count = np.zeros((DF, DF, N), int), 0
    for k, l, n, m in np.ndindex(DF, DF, N, M):
        G[k, l, n] += P[m, n] * G_hat[k, l, m]
        count += 1
    return G, count


G, standard_cost = standard(F, K)
G_hat, depthwise_cost = depthwise(F, K_hat)
G_separable, pointwise_cost = pointwise(G_hat, P)
np.testing.assert_array_equal(G, G_separable)

# %% [markdown]
# ## The costs
#
# The loops above say it: the standard one runs $D_K^2 M N D_F^2$ times, the depthwise one $D_K^2 M D_F^2$ times, the
# pointwise one $M N D_F^2$ times.
#
# $$\frac{D_K^2 M D_F^2 + M N D_F^2}{D_K^2 M N D_F^2} = \frac1N + \frac1{D_K^2}$$
#
# **Erratum.** The total of both stages is $D_K^2 \cdot 2 \cdot D_F^2 + 2 \cdot 3 \cdot D_F^2$. The post leaves out
# the $\times 3$ of the three output channels.
#
# **Erratum.** The pointwise stage costs $M N D_F^2$. The post keeps a $D_K \cdot D_K$ there, which is 1 only because
# a pointwise kernel has the side 1: the $D_K = 3$ of the first stage has no place in the second.

# %%
assert standard_cost == DK**2 * M * N * DF**2 == 216
assert (depthwise_cost, pointwise_cost) == (DK**2 * M * DF**2, M * N * DF**2) == (72, 24)
assert np.isclose((depthwise_cost + pointwise_cost) / standard_cost, 1 / N + 1 / DK**2)

# %% [markdown]
# **Erratum.** Depthwise is a group convolution whose *number of groups* is the number of input channels. The post
# speaks of the group *size*, which is 1.
#
# **Erratum.** ShuffleNet's channel shuffle does not replace the pointwise mixing. It computes nothing, it only
# reorders channels; ShuffleNet V1 keeps pointwise *group* convolutions on both sides of it (`05_shuffle.py` shows
# why).

# %%
image, ops = F[None].astype(float), npnets.ops
assert (ops.conv2d(image, K.astype(float))[0] == G).all()
assert (ops.depthwise_conv2d(image, K_hat.astype(float))[0] == G_hat).all()
assert (ops.pointwise_conv2d(G_hat[None].astype(float), P.astype(float))[0] == G).all()
groups = K_hat[:, :, None, :].astype(float)  # (3, 3, channels in a group = 1, M)
assert (ops.group_conv2d(image, groups, groups=M)[0] == G_hat).all()
channels = np.arange(12.0).reshape(1, 1, 1, 12)
assert ops.channel_shuffle(channels, groups=4).ravel().tolist() == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]

# %% [markdown]
# ## The picture
#
# The first output value of the last channel is marked, with everything that enters it. Above it is a sum of 18
# products; below of 2, once two sums of 9 are there for all three output channels together.


# %%
def draw(axes, left, top, values, marked, colour, title):
    """Draw a matrix as a grid of numbers, its marked cells in colour."""
    for (r, c), value in np.ndenumerate(values):
        on = marked[r, c]
        axes.add_patch(plt.Rectangle((left + c, top + r), 1, 1, facecolor=colour if on else "white", edgecolor=GREY))
        axes.text(left + c + 0.5, top + r + 0.54, value, ha="center", va="center", color="white" if on else INK)
    axes.text(left + values.shape[1] / 2, top - 0.2, title, ha="center", va="bottom")


window, first, last = np.zeros((4, 4), bool), np.zeros((2, 2), bool), np.arange(N) == N - 1
window[:3, :3] = first[0, 0] = True
figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7))
for axes in above, below:
    axes.set(xlim=(-0.3, 28), ylim=(11.2, -1.2), aspect="equal")
    axes.set_axis_off()
    for m in range(M):
        draw(axes, 0, 5.2 * m, F[:, :, m], window, BLUE, f"$F_{{\\cdot\\cdot {m}}}$")
    for n in range(N):
        draw(axes, 19.5 + 3 * n, 3.2, G[:, :, n], first & last[n], GREEN, f"$G_{{\\cdot\\cdot {n}}}$")
for m in range(M):
    for n in range(N):
        name = f"$K_{{\\cdot\\cdot {m}{n}}}$"
        draw(above, 6 + 4 * n, 5.2 * m + 0.5, K[:, :, m, n], np.full((3, 3), last[n]), ORANGE, name)
    draw(below, 6, 5.2 * m + 0.5, K_hat[:, :, m], np.full((3, 3), True), ORANGE, f"$\\hat K_{{\\cdot\\cdot {m}}}$")
    draw(below, 10.5, 5.2 * m + 1, G_hat[:, :, m], first, GREEN, f"$\\hat G_{{\\cdot\\cdot {m}}}$")
draw(below, 14.5, 3.2, P, np.broadcast_to(last, P.shape), ORANGE, "$P_{mn}$")
for axes, places in (
    (above, {5: r"$\ast$", 18.2: "$=$"}),
    (below, {5: r"$\ast$", 9.75: "$=$", 13.5: r"$\cdot$", 18.5: "$=$"}),
):
    for left, sign in places.items():
        axes.text(left, 4.2, sign, fontsize=14, ha="center", va="center")
separable_cost, sum_of_two = depthwise_cost + pointwise_cost, f"2\\cdot{G_hat[0, 0, 0]} - 1\\cdot{G_hat[0, 0, 1]}"
above.set_title(f"standard (1): $3^2\\cdot 2\\cdot 3\\cdot 2^2 = {standard_cost}$ mult-adds, {K.size} weights")
below.set_title(
    f"depthwise separable (2): $3^2\\cdot 2\\cdot 2^2 + 2\\cdot 3\\cdot 2^2 = {depthwise_cost} + {pointwise_cost} = "
    f"{separable_cost}$ mult-adds, {K_hat.size + P.size} weights"
)
above.text(0, 10.6, f"$G_{{002}} = {G[0, 0, 2]}$, the sum of the 18 products of what is marked")
below.text(0, 10.6, f"$G_{{002}} = {sum_of_two} = {G[0, 0, 2]}$, after two sums of 9 products")
rows = [
    {"convolution": name, "mult-adds": cost, "weights": size, "ratio": cost / standard_cost}
    for name, cost, size in (
        ("standard", standard_cost, K.size),
        ("depthwise", depthwise_cost, K_hat.size),
        ("pointwise", pointwise_cost, P.size),
        ("separable: both", separable_cost, K_hat.size + P.size),
    )
]
demo.finish(figure, rows)
