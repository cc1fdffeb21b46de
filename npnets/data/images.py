"""Image files: any format that Pillow reads becomes uint8 RGB, turned as its EXIF says.

A picture that somebody else made is a promise of its header, too. What it asks for is looked at before anything is
decoded, and whatever the decoder makes of a damaged file is one ValueError that names the file.
"""

import os
import warnings
from typing import Any

import numpy as np

from npnets import _check
from npnets._optional import need
from npnets.preprocessing import Images

# A photograph of 8 x 11 thousand pixels; Pillow warns from here on, and keeps four bytes of each.
MOST_PIXELS = 89_478_485

# The kinds of HEIF, at bytes 8 to 12 of the file: what the telephones of one maker write.
HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

LONGEST = 200  # characters of a decoder's complaint


def decode(path: str | os.PathLike[str], *, least: int = 0) -> Images:
    """Return the picture in a file as uint8 RGB.

    It is turned upright (EXIF). Grey becomes three equal channels, transparent pixels show white, 16 bits are rounded
    to 8, CMYK and the like are converted as Pillow does, without colour profiles; of an animation it is the first
    frame.

    Parameters
    ----------
    path
        Of any file that Pillow reads; HEIC with its plug-in pillow-heif.
    least
        Where it is not 0, a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as both sides
        have at least twice so many pixels: for a photograph that will be made small, in a fraction of the time.

    Returns
    -------
    image
        (H, W, 3), uint8, a fresh array.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is no picture, it is damaged, or has more than 89 million pixels; the message names the file.
    ModuleNotFoundError
        Pillow is not installed, or not the plug-in that HEIC needs.
    """
    pillow = need("PIL.Image", "demos", "reading pictures")
    turn = need("PIL.ImageOps", "demos", "reading pictures").exif_transpose
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that nobody asked for
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        try:
            with _opened(pillow, file, path) as image:
                if image.format == "EPS":  # a program, which Pillow would have another program run
                    raise ValueError("EPS is not read")
                if not 0 < image.width * image.height <= MOST_PIXELS:
                    raise ValueError(f"it has {image.width} x {image.height} pixels, and may have {MOST_PIXELS}")
                if least:
                    image.draft(None, (2 * least, 2 * least))
                image.load()
                return _rgb(pillow, turn(image))
        except ModuleNotFoundError:
            raise
        except Exception as error:  # a decoder may raise anything at all about a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path}: not a picture that can be read: {reason[:LONGEST]}") from None


def _opened(pillow: Any, file: Any, path: str | os.PathLike[str]) -> Any:
    """Open the picture, with the plug-in for HEIC where it is one."""
    head = file.read(12)
    file.seek(0)
    try:
        return pillow.open(file)
    except pillow.UnidentifiedImageError:
        if head[4:8] != b"ftyp" or head[8:12] not in HEIF:
            raise ValueError("Pillow knows no such format" if head else "the file is empty") from None
    try:
        need("pillow_heif", "demos", "HEIC").register_heif_opener()
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{path} is HEIC, which Pillow reads with a plug-in: pip install pillow-heif", name="pillow_heif"
        ) from None
    file.seek(0)
    return pillow.open(file)


def _rgb(pillow: Any, image: Any) -> Images:
    """Return the pixels of an image of any mode."""
    if image.mode.startswith("I"):  # 16 bits of grey, also where Pillow keeps them in 32
        table = np.rint(np.arange(1 << 16) * (255 / 65535)).astype(np.uint8)
        grey = table[np.clip(np.asarray(image), 0, 65535)]
        return np.repeat(grey[..., None], 3, 2)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, and what is white among them is not known")
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        white = pillow.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return np.array(image.convert("RGB"))


def square(image: Images, side: int) -> Images:
    """Return the centre square of a picture, resized.

    Parameters
    ----------
    image
        (H, W, 3) or, in grey, (H, W, 1); uint8.
    side
        Of the result, in pixels.

    Returns
    -------
    image
        (side, side, 3 or 1), uint8. Each pixel is a mean of those it stands for, weighted by a triangle as wide as the
        reduction, which is "bilinear, antialiased" elsewhere.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.
    ModuleNotFoundError
        Pillow is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> square(np.arange(12, dtype=np.uint8).reshape(2, 6, 1), 1)[..., 0]
    array([[6]], dtype=uint8)
    """
    check_picture(image)
    side = _check.integer("side", side, 1)
    height, width, _ = image.shape
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return resized(image, (top, left, edge, edge), side)


def resized(image: Images, box: tuple[int, int, int, int], side: int) -> Images:
    """Return the part (top, left, height, width) of a picture, resized to a square as `square` does."""
    pillow = need("PIL.Image", "demos", "resizing pictures")
    top, left, height, width = box
    part = np.ascontiguousarray(image[top : top + height, left : left + width])
    small = pillow.fromarray(part[..., 0] if image.shape[2] == 1 else part)
    return np.array(small.resize((side, side), pillow.Resampling.BILINEAR)).reshape(side, side, -1)


def check_picture(image: Images) -> None:
    """Refuse what is not (H, W, 3) or (H, W, 1) of uint8."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"`image` must be a NumPy array of uint8, and is {kind}")
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(f"`image` must have the axes (H, W, 3) or (H, W, 1), and has the shape {image.shape}")
