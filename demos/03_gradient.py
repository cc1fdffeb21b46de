# %% [markdown]
# # Deriving a gradient, and checking it four ways
#
# **What it shows.** The gradient of depthwise convolution: derived from the chain rule alone, written as loops, and
# put to four checks. Then five mistakes are planted, to see which check finds which.
#
# **What you should see.** No check finds all of them: the adjoint and the differences are blind to a mistake that
# both passes share, and of the four only the rounding bound notices that a sum loses digits.
#
# Units: none, all values are plain numbers. Shapes are (B, H, W, M): images, rows, columns, channels.

# %%
import matplotlib.pyplot as plt
import numpy as np
from _demo import begin, cells

import npnets
from npnets import testing

demo = begin("03_gradient")

# %% [markdown]
# ## The forward pass
#
# Every channel $m$ of the image $F$ has a kernel of its own. With stride $s$ and padding $p$, $F$ being 0 outside,
#
# $$G_{k,l,m} = \sum_{i,j} K_{i,j,m}\, F_{sk+i-p,\ sl+j-p,\ m} \tag{1}$$
#
# This is a list of terms, each with an output $(k,l)$, a tap $(i,j)$ and a pixel $(r,c) = (sk+i-p,\ sl+j-p)$. The
# list is all there is to know about a convolution, so it gets a function of its own.


# %%
def sides(F, K, s, p):
    return tuple((side + 2 * p - kernel) // s + 1 for side, kernel in zip(F.shape[1:3], K.shape[:2], strict=True))


def terms(F, K, s, p):
    """Yield (k, l), (i, j), (r, c) for every term of (1) whose pixel is inside of the image."""
    for k, l, i, j in np.ndindex(*sides(F, K, s, p), *K.shape[:2]):
        r, c = s * k + i - p, s * l + j - p
        if 0 <= r < F.shape[1] and 0 <= c < F.shape[2]:
            yield (k, l), (i, j), (r, c)


def forward(F, K, s=2, p=1):
    """Return G. The colon stands for the images of the batch; all channels m are computed at once."""
    G = np.zeros((len(F), *sides(F, K, s, p), F.shape[3]), F.dtype)
    for out, tap, pixel in terms(F, K, s, p):
        G[:, *out] += K[tap] * F[:, *pixel]
    return G


# %% [markdown]
# ## The derivation
#
# From $G$ some loss $L$ is computed, no matter how, and $dG_{k,l,m} = \partial L / \partial G_{k,l,m}$ is given. Let
# $v$ be an entry of $F$ or $K$. When it moves, *every* output that contains it moves, and $L$ with each of them:
#
# $$dv = \frac{\partial L}{\partial v} = \sum_{k,l,n} dG_{k,l,n}\, \frac{\partial G_{k,l,n}}{\partial v} \tag{2}$$
#
# **By the kernel.** $K_{i,j,m}$ is in every output of its own channel ($n = m$), once, multiplied by a pixel; that
# pixel is the derivative:
#
# $$dK_{i,j,m} = \sum_{k,l} dG_{k,l,m}\, F_{sk+i-p,\ sl+j-p,\ m} \tag{3}$$
#
# **By the image.** $F_{r,c,m}$ is in the terms of (1) whose pixel is $(r,c)$, multiplied by $K_{i,j,m}$. From
# $r = sk+i-p$ follows $k = (r+p-i)/s$: one $k$ for each $i$, or none, where the quotient is not whole or not inside
# of $G$. So
#
# $$dF_{r,c,m} = \sum_{i,j} K_{i,j,m}\, dG_{(r+p-i)/s,\ (c+p-j)/s,\ m} \tag{4}$$
#
# **In one sentence.** Forward, each term does `G += K F`. By (2) it adds `K dG` to the gradient of its pixel, and
# `F dG` to that of its tap. So walk through the same terms again, and add to what was read. Nothing is divided,
# nothing turned.


# %%
def backward(dG, F, K, s=2, p=1):
    """Return dF and dK: (4) and (3), summed in the order of the forward pass."""
    dF, dK = np.zeros_like(F), np.zeros_like(K)
    for out, tap, pixel in terms(F, K, s, p):
        dF[:, *pixel] += K[tap] * dG[:, *out]
        dK[tap] += (F[:, *pixel] * dG[:, *out]).sum(0)  # a kernel serves all images
    return dF, dK


# %% [markdown]
# ## Four checks
#
# 1. **Exact.** Sums of small whole numbers are exact in any order: two right programs agree to the last bit.
# 2. **Adjoint.** $\langle dG, G\rangle = \langle dF, F\rangle = \langle dK, K\rangle$, for (1), (4) and (3) make all
#    three the same sum of $dG \cdot K \cdot F$ over the terms. It needs no second program.
# 3. **Differences.** $(L(v+h) - L(v-h)) / 2h$. It needs nothing but a smooth $L$, so it works for batch norm too; but
#    it loses half of the digits or more. $dG$ must be random: with ones in it, mistakes cancel.
# 4. **Rounding.** A sum of $n$ products in float32 is off by at most $\gamma_n \sum |K||F|$, $\gamma_n = nu/(1-nu)$,
#    $u = 2^{-24}$.

# %%
random = np.random.default_rng(0)
shapes = (2, 7, 6, 3), (3, 3, 3), (2, 4, 3, 3)  # F, K, dG
whole = [random.integers(-3, 4, shape).astype(np.float64) for shape in shapes]
real = [random.standard_normal(shape) for shape in shapes]


def exact(forward, backward):
    F, K, dG = whole
    for name in "loops", "numpy", "numba":  # each was compared with PyTorch by npnets' own tests
        with npnets.use(name):
            theirs = npnets.ops.depthwise_conv2d_backward(dG, F, K, stride=2, padding=1)
            testing.assert_exact(forward(F, K), npnets.ops.depthwise_conv2d(F, K, stride=2, padding=1))
        for ours, other in zip(backward(dG, F, K), theirs, strict=True):
            testing.assert_exact(ours, other)


def adjoint(forward, backward):
    F, K, dG = whole
    testing.assert_adjoint(dG, forward(F, K), *zip(backward(dG, F, K), (F, K), strict=True))


def differences(forward, backward):
    F, K, dG = real
    dF, dK = backward(dG, F, K)
    testing.assert_gradient(lambda F: forward(F, K), F, dG, dF)
    testing.assert_gradient(lambda K: forward(F, K), K, dG, dK)


def rounding(forward, backward):
    def results(F, K, dG):
        return forward(F, K), *backward(dG, F, K)

    coarse = [value.astype(np.float32) for value in real]
    fine = [value.astype(np.float64) for value in coarse]
    n = 9, 9, real[2][..., 0].size  # terms in a value of G, dF, dK
    for values in zip(results(*coarse), results(*fine), results(*map(abs, fine)), n, strict=True):
        testing.assert_within_rounding(*values)


# %% [markdown]
# ## Five mistakes
#
# The first is made in both passes alike: the gradient is the right one, for the wrong function.


# %%
def turn(K):
    return K[::-1, ::-1]


def overwritten(dG, F, K):
    dF, dK = backward(dG, F, K)
    for out, tap, pixel in terms(F, K, 2, 1):
        dF[:, *pixel] = K[tap] * dG[:, *out]  # and not +=
    return dF, dK


def column_missed(dG, F, K):
    dF, dK = backward(dG, F, K)
    dK[:, -1] = 0
    return dF, dK


def in_half(F, K):  # float16 holds small whole numbers exactly, and float64 is left alone
    few = np.float16 if F.dtype == np.float32 else F.dtype
    return forward(F.astype(few), K.astype(few)).astype(F.dtype)


checks = {"exact": exact, "adjoint": adjoint, "differences": differences, "rounding": rounding}
programs = {
    "the code above": (forward, backward),
    "kernel turned by 180°, in both passes": (
        lambda F, K: forward(F, turn(K)),
        lambda dG, F, K: (backward(dG, F, turn(K))[0], turn(backward(dG, F, K)[1])),
    ),
    "kernel turned by 180°, in dF only": (
        forward,
        lambda dG, F, K: (backward(dG, F, turn(K))[0], backward(dG, F, K)[1]),
    ),
    "dF overwritten, not added to": (forward, overwritten),
    "last column of dK, not summed": (forward, column_missed),
    "G summed, in half precision": (in_half, backward),
}


def found(check, program):
    try:
        check(*program)
    except AssertionError:
        return True
    return False


caught = {name: [found(check, program) for check in checks.values()] for name, program in programs.items()}
assert [any(finds) for finds in caught.values()] == [False, True, True, True, True, True]

# %% [markdown]
# ## The picture
#
# Left: (4) with $K = dG = 1$ counts in how many windows a pixel is, each of which *adds* to its gradient. At stride 2
# the counts alternate: networks that run a convolution backwards to paint images paint chequerboards for this reason.

# %%
figure, axes = plt.subplot_mosaic("am;bm", figsize=(9, 5), width_ratios=(1, 2.2))
for name, s in ("a", 1), ("b", 2):
    F, K = np.ones((1, 7, 7, 1)), np.ones((3, 3, 1))
    windows = backward(np.ones_like(forward(F, K, s)), F, K, s)[0][0, :, :, 0]
    cells(axes[name], windows, "{:.0f}".format, top=15)
    axes[name].set_title(f"windows that see a pixel, $s = {s}$")
matrix = axes["m"]
cells(matrix, np.array(list(caught.values())), lambda value: "found" if value else "passes", top=1.4)
matrix.set_title("which check finds which mistake", pad=28)
matrix.set_xticks(range(4), checks)
matrix.set_yticks(range(6), [name.replace(", ", ",\n") for name in programs])
matrix.xaxis.tick_top()
matrix.tick_params(length=0)
words = {False: "-", True: "found"}
rows = [{"program": name} | dict(zip(checks, map(words.get, finds), strict=True)) for name, finds in caught.items()]
demo.finish(figure, rows)
