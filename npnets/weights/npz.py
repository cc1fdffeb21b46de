"""NumPy's .npz: a zip archive of arrays, each with a header; read without ever unpickling.

Sizes stand in three places: the archive's directory, each array's header, and the data. They are held against each
other before anything is allocated, so that an archive of a few bytes cannot unpack to gigabytes.
"""

import io
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from npnets._check import Array

ABOUT = "npnets"  # the member that holds what npnets wrote
MOST_TIMES, SURELY_FINE = 4, 64 << 20  # floats hardly get smaller by compression, but a few zeros may
LARGEST_ARRAY_HEADER = 10_000
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


def check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive of `size` bytes that claims to unpack to much more."""
    claimed = sum(member.file_size for member in members)
    if claimed > max(SURELY_FINE, MOST_TIMES * size):
        raise ValueError(f"it has {size} bytes, and would unpack to {claimed}, which no weights do")


def write(arrays: dict[str, Array], text: str) -> bytes:
    """Return the bytes of an archive, not compressed; the same content gives the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays, **{ABOUT: np.array(text)})
    return buffer.getvalue()


def _array(file: IO[bytes], member: zipfile.ZipInfo) -> Array:
    """Read one array, once its header and the directory agree about its size."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"`{member.filename}` is an array of the version {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file, max_header_size=LARGEST_ARRAY_HEADER)
    if dtype.hasobject or dtype.kind not in "fiubU":
        raise ValueError(f"`{member.filename}` holds {dtype}, not numbers (a pickle can run any code, and is not read)")
    expected = math.prod(shape) * dtype.itemsize
    if expected != member.file_size - file.tell() or min(shape, default=0) < 0:
        raise ValueError(
            f"`{member.filename}` claims the shape {shape} of {dtype}, {expected} bytes, "
            f"and {member.file_size - file.tell()} follow"
        )
    data = file.read(expected)
    if len(data) != expected:
        raise ValueError(f"`{member.filename}` is cut off")
    value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return value.astype(dtype.newbyteorder("="), copy=False)
