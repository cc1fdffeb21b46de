# %% [markdown]
# # Training dynamics: what moves while a network learns
#
# **What it shows.** One small MobileNet is trained from the same start under three learning rate schedules. Watched
# are the loss of every step; the sizes of the gradients, layer by layer; and what batch norm's running statistics are
# worth on the way.
#
# **What you should see.** A high constant rate is ahead at first and the last in the end: it hops about, and a rate
# that falls to 0 lets the loss settle. Gradients are largest early, while the rate still rises. For about a hundred
# steps the running statistics trail behind: after 20 steps a network that is right in more than half of the images by
# the batch's own statistics is right in less than a third by the running ones.
#
# Units: cross-entropy in nats (ln 10 = 2.30 for a guess), accuracy in %, gradients in nats for a unit of weight.

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREEN, GREY, ORANGE, PINK, accuracy, begin, every, train

import npnets
from npnets import data
from npnets.train.schedule import rate

demo = begin("07_training")
images = every(data.fashion_mnist(), demo.pick(quick=24, default=1, full=1))
epochs = demo.pick(quick=1, default=3, full=10)
ROWS, LR = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)), 0.2

# %% [markdown]
# ## What is watched
#
# In training batch norm takes mean and variance from the batch. For the time after, it keeps running ones,
# $\bar\mu \leftarrow 0.9\,\bar\mu + 0.1\,\mu$, which begin at 0 and 1. After $t$ steps that start still weighs
# $0.9^t$, a third after 10 steps, 4 % after 30; and what was added since comes from weights that have moved on. To
# see what that means the network is tested both ways while it learns.


# %%
class Watch:
    """Keeps what is to be seen of each step."""

    def __init__(self, net):
        self.net, self.losses, self.gradients, self.tests = net, [], [], {}

    def __call__(self, step, loss):
        self.losses.append(loss)
        self.gradients.append({name: np.linalg.norm(value) for name, value in self.net.gradients().items()})
        if step % 10 == 0 and step <= 120:
            running, own = copy.deepcopy(self.net).eval(), copy.deepcopy(self.net).train()
            self.tests[step + 1] = accuracy(running, images), accuracy(own, images)


watched, rows = {}, []
for schedule in "constant", "linear", "one-cycle":
    net = npnets.MobileNetV1(width=0.5, rows=ROWS, stem_stride=2, in_channels=1, num_classes=10)
    watch = watched[schedule] = Watch(net)
    final = train(net, images, epochs=epochs, lr=LR, schedule=schedule, watch=watch)
    last = watch.losses[-len(watch.losses) // 10 :]
    rows.append({
        "schedule": schedule, "first loss": watch.losses[0], "mean of the last tenth": float(np.mean(last)),
        "deviation of the last tenth": float(np.std(last)), "test accuracy, %": final,
    })  # fmt: skip

# %% [markdown]
# ## The picture

# %%
figure, ((losses, rates), (gradients, norms)) = plt.subplots(2, 2, figsize=(9, 6.2))
steps = np.arange(1, len(watch.losses) + 1)


def smooth(values):
    """Return for each step the mean of the last 15 values, or of as many as there are."""
    sums = np.cumsum([0] * 15 + list(values))
    return (sums[15:] - sums[:-15]) / np.minimum(steps, 15)


for (schedule, seen), colour, line in zip(watched.items(), (GREY, ORANGE, BLUE), (":", "--", "-"), strict=True):
    losses.plot(steps, smooth(seen.losses), line, color=colour, label=schedule)
    rates.plot(steps, [rate(schedule, LR, step - 1, len(steps)) for step in steps], line, color=colour, label=schedule)
losses.set(title="loss, mean of 15 steps", ylabel="cross-entropy, nats", ylim=(0, None))
rates.set(title="learning rate", ylabel="rate")
layers = {"classifier": "classifier.weight", "a pointwise": "block3.pointwise.weight",
          "a depthwise": "block3.depthwise.weight", "first convolution": "stem.conv.weight"}  # fmt: skip
for (label, name), colour in zip(layers.items(), (PINK, BLUE, GREEN, ORANGE), strict=True):
    sizes = np.array([step[name] for step in watched["one-cycle"].gradients])
    gradients.semilogy(steps, sizes, color=colour, linewidth=0.4, alpha=0.35)
    gradients.semilogy(steps, np.exp(smooth(np.log(sizes))), color=colour, label=label)
gradients.set(title="size of gradients, one-cycle", ylabel="norm, nats for a unit of weight")
tests = watched["constant"].tests
running, own = np.transpose(list(tests.values()))
norms.plot(list(tests), running, "o-", color=BLUE, label="running ones")
norms.plot(list(tests), own, "s--", color=ORANGE, label="the batch's own")
norms.set(title="batch norm's statistics in a test, constant rate", ylabel="test accuracy, %", ylim=(0, 100))
for axes in losses, rates, gradients, norms:
    axes.set_xlabel("step")
    axes.legend(fontsize=9)
demo.finish(figure, rows)
