# %% [markdown]
# # Two knobs: the width and the resolution multiplier
#
# **What it shows.** MobileNet comes with two multipliers that make it cheaper: $\alpha$ thins every layer, $\rho$
# shrinks the image. The same small MobileNet is trained along both, and its accuracy set against its cost: the
# paper's Tables 6 and 7 in small, beside their figures.
#
# **What you should see.** Both knobs turn the cost down almost as their squares (a side of 7 pixels halved is 4, not
# 3.5). Accuracy falls slowly for what is saved. $\alpha$ also saves parameters, $\rho$ saves none. With 1000 test
# images and one seed an accuracy is good to about a point; `--full` trains longer and takes the mean of two seeds.
#
# Units: mult-adds an image (multiply-adds, convolutions and classifier, in millions), parameters, top-1 accuracy in
# %.

# %%
import statistics
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREY, ORANGE, begin, every, train
from PIL import Image

import npnets
from npnets import data

demo = begin("06_multipliers")

# %% [markdown]
# ## What the knobs do to the cost
#
# A separable layer with $\alpha M$ inputs, $\alpha N$ outputs and $\rho D_F$ pixels a side costs
#
# $$D_K^2\, \alpha M\, (\rho D_F)^2 + \alpha M\, \alpha N\, (\rho D_F)^2$$
#
# The second term is nearly all of it, so that the cost goes as $\alpha^2 \rho^2$. The weights,
# $D_K^2 \alpha M + \alpha M \alpha N$, do not know of $\rho$: the same kernels slide over a smaller image.

# %%
ROWS = (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)  # (channels, stride) of each block, before alpha
SIDES = demo.pick(quick=(28, 14), default=(28, 24, 20, 14), full=(28, 24, 20, 16, 12, 8))
WIDTHS = demo.pick(quick=(0.25,), default=(1.0, 0.75, 0.5, 0.25), full=(1.0, 0.75, 0.5, 0.25, 0.125))
epochs = demo.pick(quick=1, default=4, full=8)
seeds = demo.pick(quick=1, default=1, full=2)
images = every(data.fashion_mnist(), demo.pick(quick=24, default=1, full=1))


def shrink(pixels, side):
    """Return images (N, H, W, 1) with `side` pixels a side; each is the mean of the area that it covers."""
    small = [Image.fromarray(image[:, :, 0]).resize((side, side), Image.Resampling.BOX) for image in pixels]
    return np.stack([np.asarray(image) for image in small])[..., None]


def row(alpha, side):
    """Train MobileNet at a width and a resolution; return what it costs, and its mean accuracy."""
    smaller = replace(images, x_train=shrink(images.x_train, side), x_test=shrink(images.x_test, side))
    accuracies = []
    for seed in range(seeds):
        net = npnets.MobileNetV1(width=alpha, rows=ROWS, stem_stride=2, in_channels=1, num_classes=10, seed=seed)
        accuracies.append(train(net, smaller, epochs=epochs, seed=seed))
    cost = npnets.cost(net, (side, side, 1))
    return {
        "alpha": alpha, "side": side, "mult-adds, M": cost.mult_adds / 1e6, "parameters": cost.parameters,
        "accuracy, %": statistics.mean(accuracies),
    }  # fmt: skip


by_width = [row(alpha, 28) for alpha in WIDTHS]
by_side = [by_width[0], *(row(WIDTHS[0], side) for side in SIDES[1:])]

# %% [markdown]
# ## The picture
#
# Left: accuracy against cost here; middle: in the paper; right: both costs against the squares.

# %%
PAPER_WIDTH = {569: 70.6, 325: 68.4, 149: 63.7, 41: 50.6}  # mult-adds in millions: top-1 in %, Table 6
PAPER_SIDE = {569: 70.6, 418: 69.1, 290: 67.2, 186: 64.4}  # Table 7: 224, 192, 160, 128
figure, (here, paper, squares) = plt.subplots(1, 3, figsize=(9, 3.6))
for rows, key, colour, marker, label in (
    (by_width, "alpha", BLUE, "o-", r"width, $\alpha$"), (by_side, "side", ORANGE, "s--", r"resolution, $\rho$"),
):  # fmt: skip
    costs = np.array([row["mult-adds, M"] for row in rows])
    here.plot(costs, [row["accuracy, %"] for row in rows], marker, color=colour, label=label)
    knob = np.array([row[key] for row in rows]) / rows[0][key]
    squares.plot(knob, costs / costs[0], marker, color=colour, label=label)
for table, colour, marker in (PAPER_WIDTH, BLUE, "o-"), (PAPER_SIDE, ORANGE, "s--"):
    paper.plot(list(table), list(table.values()), marker, color=colour)
knob = np.linspace(0, 1)
squares.plot(knob, knob**2, ":", color=GREY, label="the square")
here.set(title=f"here: Fashion-MNIST, {epochs} epochs", ylabel="test accuracy, %")
paper.set(title="the paper: ImageNet")
for axes, ticks in (here, (0.2, 0.5, 1, 2, 4)), (paper, (50, 100, 200, 400)):
    axes.set_xscale("log")
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlabel("mult-adds, millions")
squares.set(title="share of the full network's cost", xlabel=r"$\alpha$ or $\rho$", xlim=(0, 1.04), ylim=(0, 1.04))
for axes in here, squares:
    axes.legend(fontsize=9)
demo.finish(figure, by_width + by_side[1:])
