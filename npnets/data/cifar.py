"""CIFAR-10 in its binary version, read by hand: 3073 bytes for each image, and nothing else.

==========  ===============================================
bytes       meaning
==========  ===============================================
1           the label, 0 to 9
1024        red, 32 rows of 32 pixels
1024        green
1024        blue
==========  ===============================================

A batch file has 10 000 of these, six files are the set, and the archive that holds them is read as it was downloaded:
from its beginning to its end and without unpacking it to the disk. Nothing in it can ask for more than a batch file.
"""

import gzip
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np

from npnets.data.dataset import Dataset, Labels
from npnets.preprocessing import Images

SIDE, CHANNELS = 32, 3
RECORD = 1 + CHANNELS * SIDE * SIDE
LARGEST = 10_000  # images of a batch file

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
FILES = (*TRAIN, TEST)

LARGEST_ARCHIVE = len(FILES) * LARGEST * RECORD + (1 << 20)  # bytes, and some for what else there is

FOLDER, ARCHIVE = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
HOW_TO_GET = f"take {ARCHIVE} (162 MB; the binary version) from https://www.cs.toronto.edu/~kriz/cifar.html"


def read_cifar10(path: str | os.PathLike[str]) -> tuple[Images, Labels]:
    """Read one batch file, such as `test_batch.bin`.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    images
        (N, 32, 32, 3), uint8, RGB; N is at most 10 000.
    labels
        (N,), int64, from 0 to 9.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is not such a file; the message names it and the rule.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "batch.bin")
    ...     _ = path.write_bytes(bytes([7]) + bytes([10] * 1024 + [20] * 1024 + [30] * 1024))
    ...     images, labels = read_cifar10(path)
    >>> images.shape, images[0, 0, 0].tolist(), labels.tolist()
    ((1, 32, 32, 3), [10, 20, 30], [7])
    """
    with open(path, "rb") as file:
        return _records(file.read(LARGEST * RECORD + 1), path)


def _records(data: bytes, path: str | os.PathLike[str]) -> tuple[Images, Labels]:
    if not data or len(data) % RECORD:
        more = " or more" * (len(data) > LARGEST * RECORD)
        raise ValueError(
            f"{path}: a batch of CIFAR-10 has {RECORD} bytes for each of 1 to {LARGEST} images, "
            f"and this has {len(data)} bytes{more}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise ValueError(f"{path}: the labels must be from 0 to {len(CLASSES) - 1}, and {labels.max()} is among them")
    planes = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def is_cifar10(path: str | os.PathLike[str]) -> bool:
    """Return whether this looks like what `cifar10` reads: a folder with its first file, or an archive."""
    return (Path(path) / TRAIN[0]).is_file() or (Path(path).is_file() and Path(path).name.endswith((".tar.gz", ".tgz")))


def cifar10(path: str | os.PathLike[str] | None = None) -> Dataset:
    """Return CIFAR-10: 50 000 + 10 000 photographs of 32 x 32 in ten classes. Nothing is downloaded.

    Parameters
    ----------
    path
        The folder `cifar-10-batches-bin`, or the archive `cifar-10-binary.tar.gz`, as it was downloaded. By default
        either is looked for in the working directory and in the folder that the variable NPNETS_DATA names.

    Returns
    -------
    Dataset

    Raises
    ------
    OSError
        The data, or one of its files, is not there; the message says where it was looked for and how to get it.
    ValueError
        A file is damaged.

    Examples
    --------
    >>> cifar10("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: CIFAR-10 is not in nowhere: take cifar-10-binary.tar.gz (162 MB; the binary version) from \
https://www.cs.toronto.edu/~kriz/cifar.html
    """
    path = _found() if path is None else Path(path)
    if path.is_file():
        parts = _archive(path)
    elif path.is_dir():
        missing = [name for name in FILES if not (path / name).is_file()]
        if missing:
            raise FileNotFoundError(f"{path}: there is no {', '.join(missing)}: {HOW_TO_GET}")
        parts = {name: read_cifar10(path / name) for name in FILES}
    else:
        raise FileNotFoundError(f"CIFAR-10 is not in {path}: {HOW_TO_GET}")
    x_train = np.concatenate([parts[name][0] for name in TRAIN])
    y_train = np.concatenate([parts[name][1] for name in TRAIN])
    return Dataset("cifar10", x_train, y_train, *parts[TEST], CLASSES)


def _found() -> Path:
    """Return where the data is."""
    folders = [Path(), *(Path(folder) for folder in [os.environ.get("NPNETS_DATA")] if folder)]
    for folder in folders:
        for path in folder / FOLDER, folder / ARCHIVE:
            if path.exists():
                return path
    places = " or ".join("the working directory" if folder == Path() else str(folder) for folder in folders)
    raise FileNotFoundError(
        f"there is no {FOLDER} and no {ARCHIVE} in {places} (the variable NPNETS_DATA may name a folder): "
        f"{HOW_TO_GET}, and put it there, or give its path in the place of `cifar10`"
    )


class _Plain(tarfile.TarInfo):
    """A header in an archive: a folder, or a file no larger than a batch, and none of the extensions of the format."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
            raise ValueError(f"it holds something that is neither a file nor a folder, {header.name[:100]!r}")
        if header.size > LARGEST * RECORD:
            raise ValueError(f"it holds a file of {header.size} bytes, {header.name[:100]!r}")
        return header


def _archive(path: str | os.PathLike[str]) -> dict[str, tuple[Images, Labels]]:
    """Read the six files out of the archive, in whatever order they come."""
    parts, passed = {}, 0
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Plain) as archive:
            for member in archive:
                passed += tarfile.BLOCKSIZE + member.size
                if passed > LARGEST_ARCHIVE:
                    raise ValueError(f"it holds more than {LARGEST_ARCHIVE} bytes")
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if name in FILES else None
                if content is not None:
                    parts[name] = _records(content.read(), name)
            stream.read(1 << 20)  # nothing but zeros, at whose end gzip compares its checksum
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: damaged, or not {ARCHIVE}: {reason}") from None
    missing = [name for name in FILES if name not in parts]
    if missing:
        raise ValueError(f"{path}: holds no {', '.join(missing)}: {HOW_TO_GET}")
    return parts
