# %% [markdown]
# # Why shuffle?
#
# **What it shows.** A pointwise group convolution is $g$ times cheaper than a full one, as each output sees only the
# inputs of its own group. Stack two of them, and the groups are separate networks side by side, which never learn of
# each other. ShuffleNet reorders the channels in between. First the flow of information is traced from channel to
# channel, then the same ShuffleNet is trained with and without the shuffle: the paper's Table 3 in small.
#
# **What you should see.** Without the shuffle an output depends on $C/g$ inputs however many layers there are; with
# it, on all of them after two. The trained networks differ by what that is worth: more with more groups, as in the
# paper.
#
# Units: accuracy in % of the test images, gains in points of it.

# %%
import statistics

import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREY, INK, ORANGE, begin, every, train

import npnets
from npnets import data, ops

demo = begin("05_shuffle")

# %% [markdown]
# ## Which inputs reach which outputs?
#
# Feed the network the $C$ unit vectors as a batch of one-pixel images, with all weights 1: output $n$ of image $m$
# counts the paths from input $m$ to output $n$. The channel shuffle writes the channels as a $(g, C/g)$ matrix, and
# reads it column by column: channel $a \cdot C/g + j$ moves to $j g + a$.


# %%
def paths(layers, shuffle, channels=12, groups=3):
    """Return a matrix (inputs, outputs): in how many ways information flows from one to the other."""
    x = np.eye(channels).reshape(channels, 1, 1, channels)
    weight = np.ones((channels // groups, channels))
    for layer in range(layers):
        if layer and shuffle:
            x = ops.channel_shuffle(x, groups)
        x = ops.pointwise_conv2d(x, weight, groups=groups)
    return x.reshape(channels, channels)


assert (paths(5, shuffle=False) > 0).sum() == 12 * 4  # 4 inputs for each output, for ever
assert (paths(2, shuffle=True) > 0).all()

# %% [markdown]
# One shuffle is enough where each group has at least as many channels as there are groups, $C/g \ge g$: each group
# then receives something from every other. With $g = 8$ and a bottleneck of 24 channels a group has 3, so it takes
# two units.
#
# ## The same network, with and without
#
# A small ShuffleNet for images of 28 x 28, all of its pointwise convolutions in $g$ groups but the first (as in the
# paper). The shuffle has no weights: both networks have the same size and cost, begin with the same weights and see
# the images in the same order.

# %%
images = every(data.fashion_mnist(), demo.pick(quick=24, default=2, full=1))
epochs = demo.pick(quick=1, default=3, full=10)
seeds = demo.pick(quick=1, default=2, full=5)
groups = demo.pick(quick=(4,), default=(3, 8), full=(2, 4, 8))


def accuracy(g, shuffle, seed):
    """Train a small ShuffleNet, and return its accuracy on the test images in %."""
    net = npnets.ShuffleNetV1(
        groups=g, shuffle="before" if shuffle else None, seed=seed, in_channels=1, num_classes=10, stem_channels=24,
        stage_channels=(96, 192), stage_units=(2, 3), stem_stride=2, stem_pool=False,
    )  # fmt: skip
    return train(net, images, epochs=epochs, seed=seed)


rows, gains = [], {}
for g in groups:
    off, on = ([accuracy(g, shuffle, seed) for seed in range(seeds)] for shuffle in (False, True))
    gains[g] = [b - a for a, b in zip(off, on, strict=True)]
    rows.append({
        "groups": g,
        "seeds": seeds,
        "without, %": statistics.mean(off),
        "with, %": statistics.mean(on),
        "gain, points": statistics.mean(gains[g]),
        "least gain": min(gains[g]),
        "largest gain": max(gains[g]),
    })  # fmt: skip

# %% [markdown]
# ## The picture
#
# Above: a cell is coloured where information flows from an input (row) to an output (column); the darker, the more
# ways. Below: what the shuffle is worth, here and in the paper (its Table 3, ImageNet, one network for each point).

# %%
PAPER = {"1x": {3: 34.5 - 32.6, 8: 37.6 - 32.4}, "0.5x": {3: 45.7 - 43.2, 8: 48.1 - 42.3}, "0.25x": {3: 1.3, 8: 3.8}}
figure = plt.figure(figsize=(9, 6))
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
for axes, (layers, shuffle) in zip(top.subplots(1, 4), ((1, False), (2, False), (5, False), (2, True)), strict=True):
    ways = paths(layers, shuffle)
    axes.imshow(np.log(ways, out=np.full_like(ways, np.nan), where=ways > 0), cmap="Blues", vmin=-2.5, vmax=4)
    axes.set_title(f"{layers} layer{'s' * (layers > 1)}, {'with' if shuffle else 'no'} shuffle")
    axes.set_xticks(np.arange(-0.5, 12), [])
    axes.set_yticks(np.arange(-0.5, 12), [])
    axes.tick_params(length=0)
    axes.set(xlabel="output channel", ylabel="input channel" if layers == 1 else None)
here, paper = bottom.subplots(1, 2, sharey=True)
for g in groups:
    here.plot([g] * seeds, gains[g], "o", color=GREY, markersize=5)
here.plot([], [], "o", color=GREY, markersize=5, label="a seed")
here.plot(groups, [row["gain, points"] for row in rows], "D-", color=BLUE, label="mean")
for (scale, gain), marker in zip(PAPER.items(), "os^", strict=True):
    paper.plot(list(gain), list(gain.values()), f"{marker}-", color=ORANGE, label=f"ShuffleNet {scale}")
here.set(title=f"here: Fashion-MNIST, {epochs} epochs", xlabel="groups $g$", ylabel="gain by the shuffle, points")
paper.set(title="the paper: ImageNet", xlabel="groups $g$")
for axes in here, paper:
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(sorted({*groups, 3, 8}))
    axes.legend(fontsize=9, loc="upper left")
demo.finish(figure, rows)
