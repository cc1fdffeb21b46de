"""IDX, the file format of MNIST and its successors, read by hand.

==========  =======================================================
bytes       meaning (all numbers are big-endian)
==========  =======================================================
2           0
1           type: 8 uint8, 9 int8, 11 int16, 12 int32, 13 float32, 14 float64
1           D, the number of dimensions
4 D         the dimensions
the rest    the values, the last dimension running fastest
==========  =======================================================

A header is a promise made by whoever wrote the file, and is held to it: nothing is allocated for a size that the file
cannot have, and not a byte more is decompressed than the header promises, and one, which tells whether there is more.
"""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from npnets.data.dataset import Dataset, Labels
from npnets.preprocessing import Images

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

LARGEST = 4 << 30  # bytes of values; the 814 255 images of EMNIST are 0.6 GB
MOST_DIMENSIONS = 32  # of any array, in NumPy 1
PIECE = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, plain or compressed by gzip (told by its first bytes, not by its name).

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    values
        Of the shape and type that the header gives, in native byte order, writeable.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is not an IDX file, it is damaged, shorter or longer than its header says, or promises more than 4 GiB. The
        message names the file and the rule.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not compressed:
            return _read(cast(IO[bytes], file), path, os.fstat(file.fileno()).st_size)
        try:
            with gzip.open(file) as stream:
                return _read(cast(IO[bytes], stream), path, None)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged or cut off within its gzip data ({error})") from None


def _read(stream: IO[bytes], path: str | os.PathLike[str], size: int | None) -> npt.NDArray[Any]:
    """Read from the beginning; `size` is the number of bytes in the stream where that is known."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise ValueError(
            f"{path}: not an IDX file: it begins with the bytes {magic.hex(' ') or '(none)'}, "
            f"and must with 00 00, a type of {', '.join(f'{code:02x}' for code in TYPES)}, and the number of dimensions"
        )
    dtype, dimensions = np.dtype(TYPES[magic[2]]), magic[3]
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise ValueError(f"{path}: an IDX file must have 1 to {MOST_DIMENSIONS} dimensions, and this has {dimensions}")
    header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise ValueError(f"{path}: cut off within its header of {4 + 4 * dimensions} bytes")
    shape = tuple(np.frombuffer(header, ">u4").tolist())
    if math.prod(max(side, 1) for side in shape) * dtype.itemsize > LARGEST:  # NumPy refuses (0, 2**32 - 1, 2**32 - 1)
        raise ValueError(f"{path}: the header promises an array of shape {shape}, more than {LARGEST >> 30} GiB")

    promised = math.prod(shape) * dtype.itemsize
    held = None if size is None else size - stream.tell()
    data = _at_most(stream, promised + 1) if held is None or held == promised else b""
    held = len(data) if held is None else held
    if held != promised:
        raise ValueError(
            f"{path}: the header promises {promised} bytes of values, shape {shape} of {dtype.name}, "
            f"and {'only ' * (held < promised)}{held}{' or more' * (size is None and held > promised)} follow"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _at_most(stream: IO[bytes], count: int) -> bytearray:
    """Read up to `count` bytes; the memory grows with what is there, not with what was promised."""
    data = bytearray()
    while len(data) < count and (piece := stream.read(min(PIECE, count - len(data)))):
        data += piece
    return data


def idx_folder(path: str | os.PathLike[str], *, name: str = "", classes: tuple[str, ...] = ()) -> Dataset:
    """Read the four files of MNIST, Fashion-MNIST, KMNIST and their like from a folder.

    Parameters
    ----------
    path
        A folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
        `t10k-labels-idx1-ubyte`, each plain or ending in `.gz`.
    name
        Of the data set; the folder's name by default.
    classes
        Their names; by default "0", "1", ... up to the largest label.

    Returns
    -------
    Dataset
        With one channel.

    Raises
    ------
    OSError
        The folder or one of the files is not there.
    ValueError
        A file is not what its name says, or two do not fit together.

    Examples
    --------
    >>> idx_folder("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: nowhere: no such folder
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    x_train, y_train = _part(folder, "train")
    x_test, y_test = _part(folder, "t10k")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{folder}: images of {x_train.shape[1:3]} pixels for training, {x_test.shape[1:3]} for testing"
        )
    largest = max(y_train.max(), y_test.max())
    names = classes or tuple(str(label) for label in range(largest + 1))
    if largest >= len(names):
        raise ValueError(f"{folder}: the labels must be from 0 to {len(names) - 1}, and {largest} is among them")
    return Dataset(name or folder.resolve().name, x_train, y_train, x_test, y_test, names)


def _part(folder: Path, part: str) -> tuple[Images, Labels]:
    """Return the images (N, H, W, 1) and labels of one half."""
    images_path, labels_path = _find(folder, f"{part}-images-idx3-ubyte"), _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, values, axes in (images_path, images, 3), (labels_path, labels, 1):
        if values.dtype != np.uint8 or values.ndim != axes or not values.size:
            raise ValueError(
                f"{path}: must hold uint8 values in {axes} dimension{'s' * (axes > 1)}, at least one, "
                f"and holds {values.dtype} of shape {values.shape}"
            )
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: {len(labels)} labels for the {len(images)} images of {images_path.name}")
    return images[..., None], labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for path in folder / name, folder / f"{name}.gz":
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder}: no file {name} or {name}.gz; a folder of IDX files holds train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or .gz"
    )
