"""What every source of data returns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npnets.preprocessing import Images

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split for training and testing.

    Attributes
    ----------
    name
        For messages and file names.
    x_train, x_test
        Images (N, H, W, C), uint8.
    y_train, y_test
        Labels (N,), int64: indices into `classes`.
    classes
        The name of each class.
    """

    name: str
    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        _, height, width, channels = self.x_train.shape
        return height, width, channels

    @property
    def side(self) -> int | None:
        """Of the images, where these are squares."""
        height, width, _ = self.image_shape
        return height if height == width else None

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image_shape))
        return (
            f"Dataset({self.name!r}: {len(self.x_train)} + {len(self.x_test)} images, {size}, "
            f"{len(self.classes)} classes)"
        )
