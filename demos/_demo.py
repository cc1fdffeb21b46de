"""What the demos share: their options, one look for all pictures, a table of what was found, and a training loop."""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import npnets
from npnets.data import Dataset, channel_statistics, normalise
from npnets.preprocessing import Images
from npnets.train.checkpoint import replace as write
from npnets.train.schedule import rate

# Told apart by people who are colour-blind, and in print; lines also differ in marker or dash.
BLUE, ORANGE, GREEN, PINK, GREY, INK = "#2563a8", "#d9730d", "#0b8a6a", "#c05a9d", "#8a8f98", "#22262c"

Net = npnets.MobileNetV1 | npnets.ShuffleNetV1

# The thread's own, where it is fine enough; on Windows it is not.
OWN_CLOCK = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter

IN_NOTEBOOK = "ipykernel" in sys.modules

LOOK = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN, PINK, GREY]),
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Demo(NamedTuple):
    """One run of a demo: its name, how large it is ("quick", "default" or "full"), and where its picture goes."""

    name: str
    size: str
    out: Path

    def pick(self, *, quick: Any, default: Any, full: Any) -> Any:
        """Return the value for the size of this run."""
        return {"quick": quick, "default": default, "full": full}[self.size]

    def finish(self, figure: Figure, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print the rows, each with the same columns, as a table, and write them (JSON) and the picture (PNG)."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column, value in rows[0].items():
            table.add_column(column, justify="left" if isinstance(value, str) else "right")
        for row in rows:
            table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        Console(highlight=False, markup=False).print(table)
        content = json.dumps({"demo": self.name, "size": self.size, "rows": rows}, indent=1)
        write(self.out / f"{self.name}.json", f"{content}\n".encode())
        picture, small = io.BytesIO(), io.BytesIO()
        figure.savefig(picture, format="png")
        # 256 colours are enough, and a third of the bytes
        Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
        write(self.out / f"{self.name}.png", small.getvalue())
        print(f"written: {self.out / self.name}.png and .json")
        if not IN_NOTEBOOK:
            plt.close(figure)


def begin(name: str) -> Demo:
    """Read the options of a demo, and set the look of its pictures. In a notebook there are no options."""
    parser = argparse.ArgumentParser(description="The first lines of the script say what it shows.")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const="quick", help="see only that it runs")
    sizes.add_argument("--full", dest="size", action="store_const", const="full", help="what README shows; minutes")
    parser.add_argument("--out", type=Path, help="folder for the picture (default: this one; with --full README's)")
    given = parser.parse_args([] if IN_NOTEBOOK else None)
    size = given.size or "default"
    home = Path(__file__).parent / "pictures" if size == "full" else Path()
    out = given.out or home
    out.mkdir(parents=True, exist_ok=True)
    if not IN_NOTEBOOK:
        matplotlib.use("agg")  # no windows
    plt.rcParams.update(LOOK)
    return Demo(name, size, out)


def cells(axes: Axes, values: npt.NDArray[Any], text: Callable[[Any], str], top: float) -> None:
    """Draw a matrix as cells, from white for 0 to dark blue for `top`, each with its text."""
    axes.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        axes.text(x, y, text(value), ha="center", va="center", color="white" if value > 0.6 * top else INK)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def side_by_side(
    calls: Mapping[str, Callable[[], Any]], rounds: int, parallel: Sequence[str] = ()
) -> dict[str, list[float]]:
    """Return the seconds of each call in each round: the shortest of a tenth of a second, as others can only disturb.

    The calls take turns, so that what lasts longer disturbs all alike. What runs on one thread is timed by its own
    clock, which stands still while others have the processor; what is in `parallel` by the clock on the wall.
    """
    for call in calls.values():
        call()  # compiles
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            clock = time.perf_counter if name in parallel else OWN_CLOCK
            end, shortest = time.perf_counter() + 0.1, float("inf")
            while time.perf_counter() < end:
                start = clock()
                call()
                shortest = min(shortest, clock() - start)
            times[name].append(shortest)
    return times


def train(
    net: Net,
    data: Dataset,
    *,
    epochs: int,
    lr: float = 0.2,
    schedule: str = "one-cycle",
    batch: int = 64,
    seed: int = 0,
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Train by SGD as `npnets train` does, and return the accuracy on the test images in %.

    `watch(step, loss)` is called after each step.
    """
    x = inputs(data, data.x_train)
    optimizer = npnets.SGD(net.train(), lr=lr, momentum=0.9, weight_decay=4e-5, nesterov=True)
    random = np.random.default_rng(seed)
    per_epoch = len(x) // batch
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = random.permutation(len(x))
        chosen = order[step % per_epoch * batch :][:batch]
        optimizer.lr = rate(schedule, lr, step, epochs * per_epoch)
        watch(step, npnets.train_step(net, optimizer, x[chosen], data.y_train[chosen]))
    return accuracy(net.eval(), data)


def accuracy(net: Net, data: Dataset) -> float:
    """Return the accuracy on the test images in %, by the network in the mode in which it is."""
    x = inputs(data, data.x_test)
    guesses = np.concatenate([net(x[at : at + 250]).argmax(1) for at in range(0, len(x), 250)])
    return float(100 * (guesses == data.y_test).mean())


def inputs(data: Dataset, images: Images) -> npt.NDArray[np.floating]:
    """Return images of the data set as a network takes them: mean 0 and deviation 1 over all training images."""
    return normalise(images, *channel_statistics(data.x_train))


def every(data: Dataset, step: int) -> Dataset:
    """Return the data set with every so many-th of its images."""
    part = slice(None, None, step)
    return replace(data, x_train=data.x_train[part], y_train=data.y_train[part], x_test=data.x_test[part],
                   y_test=data.y_test[part])  # fmt: skip
