# %% [markdown]
# # Batch norm's two gradients
#
# **What it shows.** The gradient of batch normalisation in training, derived twice: step by step through the graph of
# its computation, and in closed form. Both are followed with four values of one channel.
#
# **What you should see.** Two very different programs with the same result; and what the closed form says in words:
# batch norm takes from the gradient its mean and its part along the normalised values, for nothing that shifts or
# scales $x$ can change $y$.
#
# Units: none, all values are plain numbers.

# %%
import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREEN, GREY, INK, ORANGE, begin

import npnets
from npnets import testing

demo = begin("04_batch_norm")

# %% [markdown]
# ## Forward: six steps
#
# $n$ values of a channel (all images, rows and columns of the batch), $\gamma$ and $\beta$ to be trained:
#
# $$\mu = \tfrac1n \sum x \qquad c = x - \mu \qquad v = \tfrac1n \sum c^2 \qquad
# r = (v + \epsilon)^{-1/2} \qquad h = c\,r \qquad y = \gamma h + \beta$$

# %%
x, dy = np.array([1.0, 2.0, 4.0, 9.0]), np.array([0.8, 0.1, 0.4, 1.5])
gamma, beta, eps, n = 2.0, 1.0, 1e-5, 4


def forward(x):
    """Return the value of every step by its name."""
    mu = x.sum() / n
    c = x - mu
    v = (c**2).sum() / n
    r = 1 / np.sqrt(v + eps)
    h = c * r
    return {"x": x, "mu": mu, "c": c, "v": v, "r": r, "h": h, "y": gamma * h + beta}


# %% [markdown]
# ## First derivation: the six steps, backwards
#
# $dz$ stands for $\partial L/\partial z$. Each step passes to its inputs what it was given, times its own derivative;
# a value that is used twice gets the sum of both.
#
# | step | gradient |
# |---|---|
# | $y = \gamma h + \beta$ | $d\beta = \sum dy$, $\quad d\gamma = \sum dy\,h$, $\quad dh = \gamma\,dy$ |
# | $h = c\,r$ | $dr = \sum dh\,c$, $\quad dc = r\,dh$ (first part) |
# | $r = (v+\epsilon)^{-1/2}$ | $dv = -\tfrac12 r^3\,dr$ |
# | $v = \frac1n \sum c^2$ | $dc$ += $\frac2n c\,dv$ (second part) |
# | $c = x - \mu$ | $d\mu = -\sum dc$, $\quad dx = dc$ (first part) |
# | $\mu = \frac1n \sum x$ | $dx$ += $\frac1n d\mu$ (second part) |


# %%
def backward(dy, at):
    """Return the gradient of every step by the name of its result."""
    c, r = at["c"], at["r"]
    dh = gamma * dy
    dr = (dh * c).sum()
    dv = -(r**3) / 2 * dr
    dc = r * dh + 2 / n * c * dv
    dmu = -dc.sum()
    return {"x": dc + dmu / n, "mu": dmu, "c": dc, "v": dv, "r": dr, "h": dh, "y": dy}


# %% [markdown]
# ## Second derivation: in closed form
#
# Put $dv$ and $dr$ into $dc$, and write $c = h/r$:
#
# $$dc = r\,dh - \frac1n c\,r^3 \sum dh\,c = r \left(dh - \frac1n h \sum dh\,h\right)$$
#
# The sum of $c$ is 0, and so is that of $h$; thus $d\mu = -\sum dc = -r \sum dh$, and with $dh = \gamma\,dy$
#
# $$dx = \gamma r \left(dy - \frac1n \sum dy - h\,\frac1n \sum dy\,h\right) = \gamma r \left(dy - \frac{d\beta}n -
# h\,\frac{d\gamma}n\right)$$
#
# Two sums, which $d\beta$ and $d\gamma$ need anyway, and one line. In words: $dx$ is $dy$ without its mean and
# without its part along $h$. (That part is $h \langle dy, h\rangle / \langle h, h\rangle$, and
# $\langle h, h\rangle = n$, but for $\epsilon$.)


# %%
def closed(dy, at):
    """Return dx, and the parts that it is made of."""
    h, r = at["h"], at["r"]
    mean, along = np.full(n, dy.sum() / n), h * (dy * h).sum() / n
    return gamma * r * (dy - mean - along), gamma * r * dy, gamma * r * mean, gamma * r * along


values = forward(x)
gradients = backward(dy, values)
dx, given, mean_part, along_part = closed(dy, values)

# %% [markdown]
# ## They agree, and with whom
#
# With each other and with npnets to the last digits, with central differences as far as those can tell. Then three
# things that the closed form predicts: $dx$ sums to 0; it is orthogonal to $h$; and a gradient that is the same
# everywhere comes out as 0, so that a test with `dy = 1` would test nothing.

# %%
weight, bias = np.array([gamma]), np.array([beta])
_, mean, inv_std = npnets.ops.batch_norm_train(x[:, None], weight, bias, eps=eps)
theirs = npnets.ops.batch_norm_train_backward(dy[:, None], x[:, None], weight, mean, inv_std)[0][:, 0]
for other in gradients["x"], theirs:
    np.testing.assert_allclose(other, dx, rtol=0, atol=20 * 2**-53)  # some 20 roundings of values of about 1
testing.assert_gradient(lambda x: forward(x)["y"], x, dy, dx)
differences = testing.numeric_gradient(lambda x: forward(x)["y"], x, dy)
flat = closed(np.ones(n), values)[0]
rows = [
    {"what": "step by step - closed form, largest difference", "value": float(abs(gradients["x"] - dx).max())},
    {"what": "npnets - closed form", "value": float(abs(theirs - dx).max())},
    {"what": "central differences - closed form", "value": float(abs(differences - dx).max())},
    {"what": "sum of dx", "value": float(dx.sum())},
    {"what": "<dx, h>, 0 but for eps", "value": float(dx @ values["h"])},
    {"what": "largest dx where dy = 1 everywhere", "value": float(abs(flat).max())},
]

# %% [markdown]
# ## The picture
#
# Above: the graph, forward values in blue, gradients in orange, flowing from right to left. Below: the closed form.

# %%
figure, (graph, bars) = plt.subplots(2, 1, figsize=(9, 6.2), height_ratios=(1.35, 1))
symbols = {"mu": r"\mu"}
places = {"x": (0, 1), "mu": (1, 0), "c": (2, 1), "v": (3, 0), "r": (4, 0), "h": (5, 1), "y": (6.5, 1)}
for start, end in ("x", "mu"), ("x", "c"), ("mu", "c"), ("c", "v"), ("v", "r"), ("c", "h"), ("r", "h"), ("h", "y"):
    for source, target, colour in (start, end, BLUE), (end, start, ORANGE):
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 16, "shrinkB": 16, "connectionstyle": "arc3,rad=0.1"}
        graph.annotate("", places[target], places[source], arrowprops=arrow)
for name, (left, y) in places.items():
    side = 1 if y else -1
    graph.text(left, y, f"${symbols.get(name, name)}$", fontsize=13, ha="center", va="center",
               bbox={"boxstyle": "circle,pad=0.35", "facecolor": "white", "edgecolor": INK})  # fmt: skip
    for offset, kept, colour in (0.28, values, BLUE), (0.5, gradients, ORANGE):
        text = "  ".join(f"{value:.2f}" for value in np.atleast_1d(kept[name]))
        graph.text(left, y + side * offset, text, color=colour, fontsize=8, ha="center", va="center")
graph.set(xlim=(-0.6, 7.1), ylim=(-0.75, 1.75))
graph.set_axis_off()
graph.set_title("forward: values (blue); backward: gradients (orange)")
for part, (label, heights, colour) in enumerate((
    (r"$\gamma r\,dy$: what eval mode would pass on", given, GREY),
    ("its mean, taken away", -mean_part, BLUE),
    ("its part along $h$, taken away", -along_part, GREEN),
    ("$dx$: the sum of the three", dx, ORANGE),
)):  # fmt: skip
    bars.bar(np.arange(n) + 0.2 * part - 0.3, heights, 0.19, color=colour, label=label)
bars.axhline(0, color=INK, linewidth=0.8)
bars.set_xticks(range(n), [f"x = {value:.0f}" for value in x])
bars.set(ylabel="gradient of $L$ by $x$", title="the closed form, term by term")
bars.legend(ncols=2, fontsize=9)
demo.finish(figure, rows)
