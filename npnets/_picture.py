"""What all pictures share: colours, an empty figure, and how it is written."""

import io
import os
from typing import TYPE_CHECKING

from npnets._optional import need
from npnets.train.checkpoint import replace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#8a8f98"


def empty(width: float, height: float, extra: str = "demos") -> "Figure":
    """Return an empty figure, inches; not by pyplot, which would open windows and keep every figure."""
    kind = need("matplotlib.figure", extra, "the picture").Figure
    figure: Figure = kind(figsize=(width, height), layout="constrained")
    return figure


def write(path: str | os.PathLike[str], figure: "Figure") -> None:
    """Write a figure as PNG: the old file or the new one, whatever happens."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    replace(path, picture.getvalue())
