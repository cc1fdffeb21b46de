"""From bytes to what a network takes: each pixel minus a mean, divided by a deviation."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from npnets import _check
from npnets._check import Array

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """What the weights of a network expect of an image: (pixel / 255 - mean) / std, channel by channel.

    All conventions are of this form: Keras' x / 127.5 - 1 is mean .5 and std .5; pixels as they are, from 0 to 255, are
    mean 0 and std 1/255.

    Attributes
    ----------
    mean, std
        One value for each channel, in the order that the network takes the channels, in units of 255.
    order
        "RGB", or "BGR" where the network takes the channels the other way round.
    side
        Of the square images that the weights were trained on, in pixels, where that is known; the networks take any.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: Literal["RGB", "BGR"] = "RGB"
    side: int | None = None

    def __call__(self, images: Images, dtype: npt.DTypeLike = np.float32) -> Array:
        """Return the network's input for `images`, (B, H, W, C), uint8, RGB where there are three channels.

        Raises
        ------
        TypeError, ValueError
            `images` is not such an array, or has another number of channels than `mean`.
        """
        check_images(images)
        return normalise(images[..., ::-1] if self.order == "BGR" else images, self.mean, self.std, dtype)


def normalise(
    images: Images, mean: npt.ArrayLike, std: npt.ArrayLike, dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[np.floating]:
    """Return (images / 255 - mean) / std.

    A byte has 256 values, so each channel is looked up in a table of them: in float64, rounded once.

    Parameters
    ----------
    images
        (B, H, W, C), uint8.
    mean, std
        (C,), in units of 255, as `channel_statistics` returns them; `std` is greater than 0.
    dtype
        float32 or float64.

    Returns
    -------
    x
        (B, H, W, C), of that dtype.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> normalise(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1), [0.5], [0.25]).ravel()
    array([-2.,  2.], dtype=float32)
    """
    check_images(images)
    if np.dtype(dtype) not in _check.FLOATS:
        raise TypeError(f"`dtype` must be float32 or float64, and is {np.dtype(dtype)}")
    means, stds = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    for name, values in ("mean", means), ("std", stds):
        _check.shape(name, values, images.shape[3:], "one value for each channel of `images`")
    if not (stds > 0).all():
        raise ValueError(f"`std` (={stds.tolist()}) must be greater than 0: a channel that is constant has none")
    table = ((np.arange(256)[:, None] / 255 - means) / stds).astype(dtype)  # (256, C)
    x = np.empty(images.shape, dtype)
    for c in range(images.shape[3]):
        x[..., c] = table[:, c][images[..., c]]
    return x


def check_images(images: Images) -> None:
    """Refuse what is not (B, H, W, C) of uint8."""
    if not isinstance(images, np.ndarray):
        raise TypeError(f"`images` must be a NumPy array, and is a {type(images).__name__}")
    if images.dtype != np.uint8:
        raise TypeError(f"`images` must be uint8, and is {images.dtype}")
    if images.ndim != 4:
        raise ValueError(f"`images` must have the axes (B, H, W, C), and has the shape {images.shape}")
