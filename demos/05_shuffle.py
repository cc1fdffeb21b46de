# %% [markdown]
# # Why shuffle?
#
# **What it shows.** A pointwise group convolution is $g$ times cheaper than a full one, as each output sees only the
# inputs of its own group. Stack two of them, and the groups are separate networks side by side, which never learn of
# each other. ShuffleNet reorders the channels in between. First the flow of information is traced from channel to
# channel, then the same ShuffleNet is trained with and without the shuffle: the paper's Table 3 in small.
#
# **What you should see.** Without the shuffle an output depends on $C/g$ inputs however many layers there are; with
# it, soon on all of them. What that is worth can hardly be seen in networks as small as these: single garments can be
# named nearly as well by $g$ small networks that vote. With `--full`, three seeds, the means are gains of 0.8 to 2.7
# points, the largest where the answer must be put together from parts and there are many groups; the default, two
# seeds of a shorter training, may show a loss. On ImageNet it is 1.3 to 5.8 points, more with more groups.
#
# Units: accuracy in % of the test images, gains in points of it.

# %%
import statistics

import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREY, INK, ORANGE, begin, every, train

import npnets
from npnets import data, ops
from npnets.data import Dataset

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
assert not (paths(2, shuffle=True, channels=24, groups=8) > 0).all()
assert (paths(3, shuffle=True, channels=24, groups=8) > 0).all()

# %% [markdown]
# One shuffle is enough where a group has at least as many channels as there are groups: it then receives something
# from every group. Of 24 channels in 8 groups a group has 3, and hears of 3 others, then of 9: two shuffles.
#
# ## The same network, with and without
#
# A ShuffleNet of one stage with six units, all of its pointwise convolutions in $g$ groups but the first (as in the
# paper). The shuffle has no weights: both networks have the same size and cost, begin with the same weights and see
# the images in the same order. (One stage, because the first unit of a stage joins shortcut and branch, which moves
# the borders of the groups: some information leaks there without a shuffle.)
#
# There are two tasks. *One garment*: Fashion-MNIST as it is. *Two garments*: two images, one in each channel, with
# the labels $a$ and $b$; to be named is $(a + b) \bmod 10$. No part of the network can answer that from what it knows
# of $a$ or of $b$ alone.

# %%
one = every(data.fashion_mnist(), demo.pick(quick=24, default=1, full=1))
pairs = demo.pick(quick=256, default=8_000, full=16_000)
epochs = demo.pick(quick=1, default=3, full=3)
seeds = demo.pick(quick=1, default=2, full=3)
groups = demo.pick(quick=(4,), default=(8,), full=(3, 8))


def paired(images, labels, count):
    """Return two-channel images of random pairs, and the sums of their labels."""
    i, j = np.random.default_rng(0).integers(len(images), size=(2, count))
    return np.concatenate([images[i], images[j]], 3), (labels[i] + labels[j]) % 10


two = Dataset("two garments", *paired(one.x_train, one.y_train, pairs), *paired(one.x_test, one.y_test, pairs // 6),
              one.classes)  # fmt: skip


def accuracy(task, g, shuffle, seed):
    """Train a small ShuffleNet, and return its accuracy on the test images in %."""
    net = npnets.ShuffleNetV1(
        groups=g, shuffle="before" if shuffle else None, seed=seed, in_channels=task.image_shape[2], num_classes=10,
        stem_channels=24, stage_channels=(96,), stage_units=(6,), stem_stride=2, stem_pool=False,
    )  # fmt: skip
    return train(net, task, epochs=epochs, seed=seed)


rows, gains = [], {}
for name, task in ("one garment", one), ("two garments", two):
    for g in groups:
        off, on = ([accuracy(task, g, shuffle, seed) for seed in range(seeds)] for shuffle in (False, True))
        gain = gains[name, g] = [b - a for a, b in zip(off, on, strict=True)]
        rows.append({
            "task": name, "groups": g, "without, %": statistics.mean(off), "with, %": statistics.mean(on),
            "gain": statistics.mean(gain), "least gain": min(gain), "largest": max(gain),
        })  # fmt: skip

# %% [markdown]
# ## The picture
#
# Above: a cell is coloured where information flows from an input (row) to an output (column); the darker, the more
# ways. Below: what the shuffle is worth, here and in the paper (its Table 3, ImageNet, one network for each point).

# %%
PAPER = {"1x": (34.5 - 32.6, 37.6 - 32.4), "0.5x": (45.7 - 43.2, 48.1 - 42.3), "0.25x": (56.3 - 55.0, 56.5 - 52.7)}
figure = plt.figure(figsize=(9, 5.6))
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1))
for axes, (layers, shuffle) in zip(top.subplots(1, 4), ((1, False), (2, False), (5, False), (2, True)), strict=True):
    ways = paths(layers, shuffle)
    axes.imshow(np.log(ways, out=np.full_like(ways, np.nan), where=ways > 0), cmap="Blues", vmin=-2.5, vmax=4)
    axes.set_title(f"{layers} layer{'s' * (layers > 1)}, {'with' if shuffle else 'no'} shuffle")
    axes.set_xticks(np.arange(-0.5, 12), [])
    axes.set_yticks(np.arange(-0.5, 12), [])
    axes.tick_params(length=0)
    axes.set(xlabel="output channel", ylabel="input channel" if layers == 1 else None)
here, paper = bottom.subplots(1, 2, sharey=True)
for (name, colour, marker), aside in zip(
    (("one garment", GREY, "o"), ("two garments", BLUE, "D")), (-0.12, 0.12), strict=True
):
    for g in groups:
        here.plot([g + aside] * seeds, gains[name, g], marker, color=colour, markersize=4, alpha=0.5)
    means = [row["gain"] for row in rows if row["task"] == name]
    here.plot(np.array(groups) + aside, means, f"{marker}-", color=colour, markersize=8, label=name)
for (scale, gain), marker in zip(PAPER.items(), "os^", strict=True):
    paper.plot((3, 8), gain, f"{marker}-", color=ORANGE, label=f"ShuffleNet {scale}")
here.set(
    title="here: each seed (small), and the mean",
    xlabel="groups $g$",
    xlim=(2, 9),
    ylabel="gain by the shuffle, points",
)
paper.set(title="the paper's Table 3: ImageNet", xlabel="groups $g$", xlim=(2, 9))
for axes in here, paper:
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(sorted({*groups, 3, 8}))
    axes.legend(fontsize=9, loc="upper left")
demo.finish(figure, rows)
