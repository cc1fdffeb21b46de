# %% [markdown]
# # Training dynamics: what moves while a network learns
#
# **What it shows.** One small MobileNet is trained from the same start under three learning rate schedules. Watched
# are the loss of every step; the sizes of the gradients, layer by layer; and batch norm's running mean, which trails
# behind the batches' own.
#
# **What you should see.** A constant rate is as fast at first, and then hops about; a rate that falls to 0 lets the
# loss settle. Gradients are largest at the first steps. The running mean needs some 30 steps to forget its start at
# 0: a network that is tested earlier than that is tested with the wrong statistics.
#
# Units: cross-entropy in nats (ln 10 = 2.30 for a guess), accuracy in %, gradients in nats for a unit of weight.

# %%
import matplotlib.pyplot as plt
import numpy as np
from _demo import BLUE, GREEN, GREY, INK, ORANGE, PINK, begin, every, train

import npnets
from npnets import data
from npnets.train.schedule import rate

demo = begin("07_training")
images = every(data.fashion_mnist(), demo.pick(quick=24, default=1, full=1))
epochs = demo.pick(quick=1, default=3, full=10)
LR = 0.2

# %% [markdown]
# ## What is watched
#
# Batch norm keeps a running mean, $\bar\mu \leftarrow 0.9\,\bar\mu + 0.1\,\mu$ with the batch's own $\mu$, for the
# time after training. Solved for $\mu$, two running means in a row give the batch's own: nothing needs to be changed
# inside.
#
# After $t$ steps the start still weighs $0.9^t$: 4 % after 30 steps.


# %%
class Watch:
    """Keeps what is to be seen of every step."""

    def __init__(self, net):
        self.net, self.norm = net, net.children["stem"].children["norm"]
        self.losses, self.running, self.batch, self.gradients = [], [0.0], [], []

    def __call__(self, step, loss):
        """Look at the network after a step."""
        self.losses.append(loss)
        self.running.append(float(self.norm.buffers["running_mean"][0]))
        self.batch.append((self.running[-1] - 0.9 * self.running[-2]) / 0.1)
        self.gradients.append({name: np.linalg.norm(value) for name, value in self.net.gradients().items()})


watched, rows = {}, []
for schedule in "constant", "linear", "one-cycle":
    net = npnets.MobileNetV1(
        width=0.5, rows=((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)), stem_stride=2, in_channels=1, num_classes=10
    )
    watch = watched[schedule] = Watch(net)
    accuracy = train(net, images, epochs=epochs, lr=LR, schedule=schedule, watch=watch)
    tenth = len(watch.losses) // 10 + 1
    last = watch.losses[-tenth:]
    rows.append({
        "schedule": schedule, "first loss": watch.losses[0], "loss, mean of the last tenth": float(np.mean(last)),
        "its deviation": float(np.std(last)), "test accuracy, %": accuracy,
    })  # fmt: skip

# %% [markdown]
# ## The picture

# %%
figure, ((losses, rates), (gradients, norms)) = plt.subplots(2, 2, figsize=(9, 6.2))
steps = np.arange(len(watch.losses))
for (schedule, seen), colour, line in zip(watched.items(), (GREY, ORANGE, BLUE), (":", "--", "-"), strict=True):
    window = np.ones(min(15, len(steps)))
    smooth = np.convolve(seen.losses, window, "valid") / len(window)
    losses.plot(steps[len(window) - 1 :], smooth, line, color=colour, label=schedule)
    rates.plot(steps, [rate(schedule, LR, step, len(steps)) for step in steps], line, color=colour, label=schedule)
losses.set(title="loss, mean of 15 steps", ylabel="cross-entropy, nats", ylim=(0, None))
rates.set(title="learning rate", ylabel="rate")
layers = {"first convolution": "stem.conv.weight", "a depthwise": "block3.depthwise.weight",
          "a pointwise": "block3.pointwise.weight", "classifier": "classifier.weight"}  # fmt: skip
for (label, name), colour in zip(layers.items(), (ORANGE, GREEN, BLUE, PINK), strict=True):
    sizes = np.array([step[name] for step in watched["one-cycle"].gradients])
    gradients.semilogy(steps, sizes, color=colour, linewidth=0.4, alpha=0.35)
    smooth = np.exp(np.convolve(np.log(sizes), window, "valid") / len(window))
    gradients.semilogy(steps[len(window) - 1 :], smooth, color=colour, label=label)
gradients.set(title="size of gradients, one-cycle", ylabel="norm of the gradient")
first = slice(0, 100)
norms.plot(watch.batch[first], ".", color=ORANGE, label="mean of the batch")
norms.plot(watch.running[1:][first], color=BLUE, label="running mean")
norms.axhline(0, color=INK, linewidth=0.8)
norms.set(title="first batch norm, first channel", ylabel="mean of the channel")
for axes in losses, rates, gradients, norms:
    axes.set_xlabel("step")
    axes.legend(fontsize=9)
demo.finish(figure, rows)
