"""What a training leaves behind for people: the log as CSV, the curves and the confusion matrix as pictures."""

import csv
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from npnets import _picture
from npnets._check import Array
from npnets._picture import BLUE, GREY, ORANGE
from npnets.train.checkpoint import replace
from npnets.train.trainer import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST, LEGIBLE = 24.0, 50  # inches; up to so many classes each is named and numbered


def write_log(path: str | os.PathLike[str], history: Sequence[Epoch]) -> None:
    """Write one line for each epoch, under the names of `Epoch`'s fields."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(Epoch._fields)
    table.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in history)
    replace(path, text.getvalue().encode())


def draw_curves(path: str | os.PathLike[str], history: Sequence[Epoch], title: str) -> None:
    """Write loss and accuracy over the epochs as a PNG.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    _picture.write(path, curves(history, title))


def draw_confusion(path: str | os.PathLike[str], confusion: Array, classes: Sequence[str]) -> None:
    """Write the confusion matrix as a PNG: a row for each class, how its images were classified.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    _picture.write(path, confusion_matrix(confusion, classes))


def curves(history: Sequence[Epoch], title: str) -> "Figure":
    """Return loss and accuracy over the epochs as a figure, the last values in the legends."""
    figure = _picture.empty(9, 3.8)
    figure.suptitle(title, parse_math=False)  # a folder's name may hold a $
    epochs = [row.epoch for row in history]
    for axes, what, label, form in zip(
        figure.subplots(1, 2),
        ("loss", "accuracy"),
        ("cross-entropy, nats", "accuracy, %"),
        ("{:.3f}", "{:.1f} %"),
        strict=True,
    ):
        for part, colour in (("train", BLUE), ("test", ORANGE)):
            values = [(100 if what == "accuracy" else 1) * getattr(row, f"{part}_{what}") for row in history]
            name = f"{part} {form.format(values[-1])}"
            axes.plot(epochs, values, "o-", color=colour, label=name, markersize=4 if len(epochs) < 40 else 0)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=GREY, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper right" if what == "loss" else "lower right")
    return figure


def confusion_matrix(confusion: Array, classes: Sequence[str]) -> "Figure":
    """Return the confusion matrix as a figure: a row for each class, how its images were classified."""
    side = min(max(4.5, 0.6 * len(classes) + 1.5), LARGEST)
    figure = _picture.empty(side, side)
    axes = figure.subplots()
    shares = confusion / confusion.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for a, b in zip(*confusion.nonzero(), strict=True) if len(classes) <= LEGIBLE else ():
        axes.text(b, a, confusion[a, b], ha="center", va="center", color="white" if shares[a, b] > 0.5 else "black")
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    named = range(0, len(classes), -(-len(classes) // LEGIBLE))
    names = [classes[a] for a in named]
    axes.set_xticks(named, names, **(slant if max(map(len, names)) > 3 else {}))
    axes.set_yticks(named, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("classified as")
    axes.set_ylabel("true class")
    accuracy = 100 * confusion.trace() / confusion.sum()
    axes.set_title(f"{accuracy:.1f} % of {confusion.sum():,} images are right")
    return figure
