"""From bytes to what a network takes: statistics, normalisation, random crops and flips."""

import numpy as np
import numpy.typing as npt

from npnets import _check
from npnets.data.dataset import Images

Floats = npt.NDArray[np.float64]


def channel_statistics(images: Images) -> tuple[Floats, Floats]:
    """Return the mean and the standard deviation of each channel, for `normalise`.

    They come from a histogram of the 256 values, counted some images at a time: exact whatever the order and the number
    of images, and without a copy of them in floating point.

    Parameters
    ----------
    images
        (N, H, W, C), uint8; at least one pixel.

    Returns
    -------
    mean, std
        (C,), float64, in units of 255: black is 0 and white is 1. The deviation is the biased one.

    Raises
    ------
    TypeError, ValueError
        `images` is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    >>> channel_statistics(images)
    (array([0.5]), array([0.5]))
    """
    _images(images)
    if not images.size:
        raise ValueError(f"`images` must have at least one pixel, and has the shape {images.shape}")
    channels = images.shape[3]
    histogram = np.zeros((channels, 256), np.int64)
    step = max(1, (1 << 20) // images[0].size)  # bincount makes 8 bytes of each
    for start in range(0, len(images), step):
        part = images[start : start + step]
        for c in range(channels):
            histogram[c] += np.bincount(part[..., c].ravel(), minlength=256)
    levels, share = np.arange(256) / 255, histogram / histogram[0].sum()
    mean = share @ levels  # (C, 256) @ (256,)
    variance = np.sum(share * (levels - mean[:, None]) ** 2, 1)
    return mean, np.sqrt(variance)


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
    _images(images)
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


def random_crop_flip(images: Images, rng: np.random.Generator, padding: int = 2, flip: bool = True) -> Images:
    """Move each image by up to `padding` pixels, and mirror every other one on average, left to right.

    Each image is cut at a place of its own out of itself with `padding` rows and columns of zeros on all sides: the
    augmentation of the CIFAR networks.

    Parameters
    ----------
    images
        (B, H, W, C), uint8.
    rng
        The only source of chance: the same state gives the same result.
    padding
        In pixels; at least 0.
    flip
        Whether to mirror: a shoe stays a shoe, a digit does not stay a digit.

    Returns
    -------
    images
        Of the same shape and dtype, a fresh array.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)
    >>> random_crop_flip(images, np.random.default_rng(3), padding=1)[0, :, :, 0]
    array([[5, 4, 0],
           [8, 7, 0],
           [0, 0, 0]], dtype=uint8)
    """
    _images(images)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"`rng` must be a numpy.random.Generator, and is a {type(rng).__name__}")
    margin = _check.integer("padding", padding, 0)
    B, H, W, _ = images.shape
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    top, left = rng.integers(0, 2 * margin + 1, (2, B))
    rows, columns = top[:, None] + np.arange(H), left[:, None] + np.arange(W)  # (B, H), (B, W)
    if flip:
        mirrored = rng.random(B) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    cropped: Images = padded[np.arange(B)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped


def _images(images: Images) -> None:
    if not isinstance(images, np.ndarray):
        raise TypeError(f"`images` must be a NumPy array, and is a {type(images).__name__}")
    if images.dtype != np.uint8:
        raise TypeError(f"`images` must be uint8, and is {images.dtype}")
    if images.ndim != 4:
        raise ValueError(f"`images` must have the axes (B, H, W, C), and has the shape {images.shape}")
