"""What a training loop does to images: statistics of their channels, random crops, sizes and flips."""

import math

import numpy as np
import numpy.typing as npt

from npnets import _check
from npnets.data.images import resized
from npnets.preprocessing import Images, check_images

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
    check_images(images)
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
    _check_both(images, rng)
    margin = _check.integer("padding", padding, 0)
    B, H, W, _ = images.shape
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    top, left = rng.integers(0, 2 * margin + 1, (2, B))
    mirrored = np.less(rng.random(B), 0.5 if flip else 0.0)
    out = np.empty_like(images)
    for b in range(B):  # whole rows are copied: in a few milliseconds, where an index for each pixel takes a hundred
        part = padded[b, top[b] : top[b] + H, left[b] : left[b] + W]
        out[b] = part[:, ::-1] if mirrored[b] else part
    return out


def random_resized_crop(images: Images, rng: np.random.Generator, least: float = 0.08) -> Images:
    """Cut out a part of each image, of random size, shape and place, and resize it to the whole.

    The augmentation of the ImageNet networks (Szegedy et al., arXiv 1409.4842, section 6): a share of the area between
    `least` and 1, uniformly, and sides whose ratio is between 3/4 and 4/3, uniformly in its logarithm. A part that does
    not fit into the image is cut off at its edges; others draw again.

    Parameters
    ----------
    images
        (B, H, H, C), uint8: squares, in colour or in grey.
    rng
        The only source of chance: the same state gives the same result.
    least
        The least share of the area; greater than 0 and at most 1.

    Returns
    -------
    images
        Of the same shape and dtype, a fresh array.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.
    ModuleNotFoundError
        Pillow is not installed.
    """
    _check_both(images, rng)
    B, H, W, _ = images.shape
    if H != W:
        raise ValueError(f"`images` must be squares, and are {H} x {W}")
    if _check.number("least", least, 0.0, strictly=True) > 1:
        raise ValueError(f"`least` (={least}) must be at most 1")
    area, ratio = rng.uniform(least, 1, B), np.exp(rng.uniform(-1, 1, B) * math.log(4 / 3))
    sides = np.rint(H * np.sqrt([area * ratio, area / ratio])).astype(np.int64).clip(1, H)  # (2, B)
    corners = rng.integers(0, H - sides + 1)
    boxes = np.concatenate([corners, sides]).T.tolist()
    out = np.empty_like(images)
    for target, image, box in zip(out, images, boxes, strict=True):
        target[...] = resized(image, tuple(box), H)
    return out


def _check_both(images: Images, rng: np.random.Generator) -> None:
    check_images(images)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"`rng` must be a numpy.random.Generator, and is a {type(rng).__name__}")
