"""A picture of what a network sees: the photograph, where the classes are on it, and feature maps of some layers."""

import io
import math
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnets._check import Array
from npnets._optional import need
from npnets.cam import Activations
from npnets.predict.classify import Guess
from npnets.preprocessing import Images
from npnets.train.checkpoint import replace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4  # of panels: the photograph and three classes, then so many layers a row
MAPS = COLUMNS - 1
TILES = 4  # by as many feature maps are shown of a layer
PANEL = 2.5  # inches
MAP_COLOURS = "RdBu_r"


def explanation(image: Images, guesses: Sequence[Guess], seen: Activations, title: str) -> "Figure":
    """Return the figure.

    The maps are drawn over the photograph in grey, all on one scale: red adds to the logit of the class, blue takes
    from it, and the mean over the map (and the classifier's bias) is the logit. Of each layer the feature maps are
    those that vary most over the image, each from its least value (black) to its greatest.

    Parameters
    ----------
    image
        As the network sees it, (S, S, C), uint8.
    guesses
        The most probable classes, at most `MAPS`.
    seen
        What `cam.activations` gave for this image, these classes and the layers to draw.
    title
        Above it all.
    """
    layers = list(seen.features.items())
    rows = 1 + -(-len(layers) // COLUMNS)
    figure: Figure = need("matplotlib.figure", "demos", "the picture").Figure(
        figsize=(COLUMNS * PANEL + 0.7, rows * (PANEL + 0.5) + 0.4), layout="compressed"
    )
    figure.suptitle(title, fontsize=11, parse_math=False)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    S = len(image)
    whole = image if image.shape[2] == 3 else image[..., 0]
    _show(grid[0, 0], whole, f"what the network sees\n{S} x {S}", cmap="gray", vmin=0, vmax=255)
    largest = float(np.abs(seen.maps).max()) or 1.0
    for axes, guess, values in zip(grid[0, 1:], guesses, np.moveaxis(seen.maps[0], 2, 0), strict=False):
        _overlay(
            axes,
            image,
            values,
            largest,
            f"{_short(guess.name)}\n{100 * guess.probability:.1f} %, logit {guess.logit:.1f}",
        )
    _scale(figure, grid[0], largest)
    for axes, (name, features) in zip(grid[1:].flat, layers, strict=False):
        H, W, C = features.shape[1:]
        _show(axes, montage(features[0]), f"{name}\n{H} x {W}, {min(C, TILES**2)} of {C} channels", cmap="magma")
    return figure


def montage(features: Array, most: int = TILES**2, side: int = 56) -> Array:
    """Return the feature maps that vary most, (H, W, C), beside and below each other in one array.

    Each is stretched to 0 to 1, a constant one is 0; between them is NaN. Small ones are enlarged to `side` pixels.
    """
    H, W, C = features.shape
    chosen = np.argsort(-features.var((0, 1)), kind="stable")[:most]
    tiles = math.ceil(math.sqrt(min(C, most)))  # in a row, and so many rows
    enlarged = max(1, side // max(H, W))
    gap = max(1, enlarged * max(H, W) // 16)
    high, wide = enlarged * H + gap, enlarged * W + gap
    picture = np.full((tiles * high - gap, tiles * wide - gap), np.nan)
    for place, c in enumerate(chosen):
        values = features[..., c].astype(np.float64)
        values -= values.min()
        values /= values.max() or 1.0
        top, left = place // tiles * high, place % tiles * wide
        picture[top : top + high - gap, left : left + wide - gap] = values.repeat(enlarged, 0).repeat(enlarged, 1)
    return picture


def draw(path: str | os.PathLike[str], figure: "Figure") -> None:
    """Write the figure as a PNG, at once."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
    replace(path, picture.getvalue())


def _show(axes: "Axes", values: Array, title: str, **options: Any) -> None:
    axes.imshow(values, interpolation="nearest", **options)
    axes.set_title(title, fontsize=9, parse_math=False)


def _overlay(axes: "Axes", image: Images, values: Array, largest: float, title: str) -> None:
    """Draw a map over the photograph, the more opaque the further it is from 0."""
    S = len(image)
    _show(axes, image.mean(2), title, cmap="gray", vmin=-64, vmax=255)
    axes.imshow(
        values, cmap=MAP_COLOURS, vmin=-largest, vmax=largest, alpha=0.8 * abs(values) / largest,
        interpolation="bilinear", extent=(-0.5, S - 0.5, S - 0.5, -0.5),
    )  # fmt: skip


def _scale(figure: "Figure", axes: Any, largest: float) -> None:
    """Draw the scale of the maps beside their row."""
    colours = need("matplotlib.cm", "demos", "the picture").ScalarMappable(cmap=MAP_COLOURS)
    colours.set_clim(-largest, largest)
    figure.colorbar(colours, ax=list(axes), shrink=0.85, aspect=24, pad=0.015, label="what a place adds to the logit")


def _short(name: str) -> str:
    """Return the first of a class's names, short enough for a panel."""
    return textwrap.shorten(name.partition(",")[0], 28, placeholder=" ...")
