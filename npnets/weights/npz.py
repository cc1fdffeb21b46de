"""NumPy's .npz: a zip archive of arrays, each with a header; read without ever unpickling.

Sizes stand in three places: the archive's directory, each array's header, and the data. They are held against each
other before anything is allocated, so that an archive of a few bytes cannot unpack to gigabytes.
"""

import io
import math
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from npnets._check import Array

ABOUT = "npnets"  # the member that holds what npnets wrote
MOST_TIMES, SURELY_FINE = 4, 64 << 20  # floats hardly get smaller by compression, but a few zeros may

# An array begins with one of these, then the length of a header in so many bytes; NumPy writes headers in this form.
LENGTHS = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}
LARGEST_ARRAY_HEADER = 10_000
HEADER = re.compile(
    rb"\{'descr': '([<>|](?:f[248]|[iu][1248]|b1|U\d{1,7}))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,20}, ?)*\d{0,20})\), \}\s*"
)

ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError)


def read(path: Path) -> tuple[dict[str, Array], str | None]:
    """Return the arrays of an archive in its order, without those of whole numbers, and what npnets wrote.

    Raises
    ------
    ValueError
        The archive is damaged, unpacks to much more than its size, or holds what is not an array of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_sizes(members, os.path.getsize(path))
            found = {}
            for member in members:
                with archive.open(member) as file:
                    found[member.filename.removesuffix(".npy")] = _array(file, member)
    except ERRORS as error:
        raise ValueError(f"a damaged archive: {error}") from None
    about = found.pop(ABOUT, None)
    text = None if about is None else str(about.item()) if about.dtype.kind == "U" and about.ndim == 0 else ""
    kept = {name: value for name, value in found.items() if value.dtype.kind == "f"}
    return {
        name: value.astype(np.float32) if value.dtype.itemsize == 2 else value for name, value in kept.items()
    }, text


def names(path: Path) -> list[str]:
    """Return the names in the directory of an archive.

    Raises
    ------
    ValueError
        It has none that can be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except ERRORS as error:
        raise ValueError(f"a damaged archive: {error}") from None


def check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive of `size` bytes that claims to unpack to much more."""
    check_claim(sum(member.file_size for member in members), size)


def check_claim(claimed: int, size: int) -> None:
    """Refuse `claimed` bytes of arrays in a file of `size` bytes, where these are many more."""
    if claimed > max(SURELY_FINE, MOST_TIMES * size):
        raise ValueError(f"it has {size} bytes, and would unpack to {claimed}, which no weights do")


def write(arrays: dict[str, Array], text: str) -> bytes:
    """Return the bytes of an archive, not compressed; the same content gives the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays, **{ABOUT: np.array(text)})
    return buffer.getvalue()


def _array(file: IO[bytes], member: zipfile.ZipInfo) -> Array:
    """Read one array, once its header and the directory agree about its size."""
    magic = file.read(8)
    width = LENGTHS.get(magic)
    length = int.from_bytes(file.read(width or 0), "little")
    found = HEADER.fullmatch(file.read(length)) if width and length <= LARGEST_ARRAY_HEADER else None
    if not found:
        raise ValueError(
            f"`{member.filename}` does not begin like an array of numbers (a pickle is not read: it can run any code)"
        )
    dtype, fortran, sides = (part.decode() for part in found.groups())
    shape = tuple(int(side) for side in sides.split(",") if side.strip())
    expected, follow = math.prod(shape) * np.dtype(dtype).itemsize, member.file_size - file.tell()
    if expected != follow:
        raise ValueError(
            f"`{member.filename}` claims {dtype} of the shape {shape}, {expected} bytes, and {follow} follow"
        )
    data = file.read(expected)
    if len(data) != expected:
        raise ValueError(f"`{member.filename}` is cut off")
    value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran == "True" else "C")
    return value.astype(value.dtype.newbyteorder("="), copy=False)
