# %% [markdown]
# # What the filters learn
#
# **What it shows.** The 3 x 3 kernels of a MobileNet that is trained here: those of the first convolution and of
# depthwise ones, before and after. Each is taken apart into nine patterns, so that what can be seen can also be
# counted.
#
# **What you should see.** Random kernels become ordered, most in the first layers. Blurs and edges, three of the nine
# patterns, have a third of the energy before, and nearly two thirds after: they are what a small window can tell
# about an image. In a deeper layer, which sees few pixels of many channels, it is less. (After 20 epochs instead of 4
# it was about half in each: what is learned last, fine corrections, has less order.)
#
# Units: weights have none; shares are in % of a kernel's energy, the sum of its squared weights.

# %%
import matplotlib.pyplot as plt
import numpy as np
from _demo import begin, cells, every, train

import npnets
from npnets import data

demo = begin("08_filters")

# %% [markdown]
# ## Nine patterns
#
# A row of three weights is a mixture of its mean $(1, 1, 1)/\sqrt3$, its slope $(1, 0, -1)/\sqrt2$ and its bend
# $(1, -2, 1)/\sqrt6$. These are orthogonal, of length 1; so are the nine products of one for the rows and one for the
# columns, and the squares of a kernel's nine coefficients sum to its energy. A random kernel has a ninth of its
# energy in each.

# %%
LINE = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
PATTERNS = np.einsum("ai,bj->abij", LINE, LINE)  # (3, 3, KH, KW): a for the rows, b for the columns


def shares(kernels):
    """Return the mean share of each pattern, (3, 3), for kernels (n, 3, 3)."""
    energy = np.einsum("abij,nij->nab", PATTERNS, kernels) ** 2
    return (energy / energy.sum((1, 2), keepdims=True)).mean(0)


# %% [markdown]
# ## Training

# %%
LAYERS = {"first convolution": "stem.conv.weight", "depthwise, block 1": "block1.depthwise.weight",
          "depthwise, block 5": "block5.depthwise.weight"}  # fmt: skip
images = every(data.fashion_mnist(), demo.pick(quick=24, default=1, full=1))
net = npnets.MobileNetV1(
    width=0.5, rows=((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)), stem_stride=1, in_channels=1, num_classes=10
)


def kernels():
    """Return the kernels (n, 3, 3) of each layer, as they are now."""
    state = net.state_dict()
    return {label: state[name].reshape(3, 3, -1).transpose(2, 0, 1) for label, name in LAYERS.items()}


before = kernels()
accuracy = train(net, images, epochs=demo.pick(quick=1, default=4, full=4))
after = kernels()

# %% [markdown]
# ## The picture
#
# Each small square is a kernel on its own scale, blue for negative weights and red for positive ones. At the right
# how the energy is shared: down the rows what the kernel does from row to row, across what it does from column to
# column. Upper left is the blur (mean, mean); beside and below it are the edges (mean, slope).


# %%
def sheet(kernels, across=8):
    """Return the first 16 kernels on one sheet, each scaled to its largest weight, with gaps between."""
    page = np.full((2 * 4 - 1, across * 4 - 1), np.nan)
    for number, kernel in enumerate(kernels[: 2 * across]):
        r, c = 4 * (number // across), 4 * (number % across)
        page[r : r + 3, c : c + 3] = kernel / abs(kernel).max()
    return page


figure, axes = plt.subplots(3, 3, figsize=(9, 4.4), width_ratios=(3.1, 3.1, 1))
rows = []
for (label, old), new, (first, second, third) in zip(before.items(), after.values(), axes, strict=True):
    for panel, then in (first, old), (second, new):
        panel.imshow(sheet(then), cmap="RdBu_r", vmin=-1, vmax=1)
        panel.set_axis_off()
    first.set_title(f"{label}, before")
    second.set_title("after")
    cells(third, 100 * shares(new), "{:.0f}".format, top=60)
    third.set_title("energy after, %")
    third.set_xticks(range(3), ("mean", "slope", "bend"), fontsize=8)
    third.set_yticks(range(3), ("mean", "slope", "bend"), fontsize=8)
    for when, then in ("before", old), ("after", new):
        blur, edges = 100 * shares(then)[0, 0], 100 * (shares(then)[0, 1] + shares(then)[1, 0])
        rows.append({"layer": label, "when": when, "blur, %": blur, "edges, %": edges, "others, %": 100 - blur - edges})
demo.finish(figure, rows)
print(f"test accuracy {accuracy:.1f} %")
