"""What a training leaves behind for people: the log as CSV, the curves and the confusion matrix as pictures."""

import csv
import io
import os
from collections.abc import Sequence

from npnets._check import Array
from npnets._optional import need
from npnets.train.checkpoint import replace
from npnets.train.trainer import Epoch

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#8a8f98"


def write_log(path: str | os.PathLike[str], history: Sequence[Epoch]) -> None:
    """Write one line for each epoch, under the names of `Epoch`'s fields."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(Epoch._fields)
    table.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in history)
    replace(path, text.getvalue().encode())


def draw_curves(path: str | os.PathLike[str], history: Sequence[Epoch], title: str) -> None:
    """Draw loss and accuracy over the epochs as a PNG.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    figure = need("matplotlib.figure", "demos", "the training curves").Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    epochs = [row.epoch for row in history]
    panels = figure.subplots(1, 2)
    for axes, what, scale in ((panels[0], "loss", 1), (panels[1], "accuracy", 100)):
        for part, colour in (("train", BLUE), ("test", ORANGE)):
            values = [scale * getattr(row, f"{part}_{what}") for row in history]
            axes.plot(epochs, values, "o-", color=colour, label=part, markersize=4)
            axes.annotate(
                f"{values[-1]:.1f} %" if scale == 100 else f"{values[-1]:.2f}",
                (epochs[-1], values[-1]),
                xytext=(6, 0),
                textcoords="offset points",
                color=colour,
                va="center",
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel("cross-entropy, nats" if what == "loss" else "accuracy, %")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(x=0.15)
        axes.grid(color=GREY, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    _write(path, figure)


def draw_confusion(path: str | os.PathLike[str], confusion: Array, classes: Sequence[str]) -> None:
    """Draw the confusion matrix as a PNG: a row for each class, how its images were classified.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    side = max(4.5, 0.6 * len(classes) + 1.5)
    figure = need("matplotlib.figure", "demos", "the confusion matrix").Figure((side, side), layout="constrained")
    axes = figure.subplots()
    shares = confusion / confusion.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for a, b in zip(*confusion.nonzero(), strict=True):
        axes.text(b, a, confusion[a, b], ha="center", va="center", color="white" if shares[a, b] > 0.5 else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("classified as")
    axes.set_ylabel("true class")
    accuracy = 100 * confusion.trace() / confusion.sum()
    axes.set_title(f"{accuracy:.1f} % of {confusion.sum()} test images are right")
    _write(path, figure)


def _write(path: str | os.PathLike[str], figure: object) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)  # type: ignore[attr-defined]
    replace(path, picture.getvalue())
