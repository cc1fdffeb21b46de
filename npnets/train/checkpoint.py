"""Checkpoints: one safetensors file, written so that at any moment either the old or the new one is there.

The file is written under another name in the same folder, synced to the disk, and renamed over the old one: on every
system that Python runs on the rename is atomic. A process that is killed on the way leaves the old file as it was, and
a temporary one that the next save overwrites.

safetensors holds numbers and a text, nothing that runs: a checkpoint from elsewhere can be wrong, but not dangerous. It
is read in two steps, so that nothing large is read or built for a file that does not fit: `about` returns the
description, and `load` the arrays, once the caller knows which ones there must be.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from npnets._check import Array
from npnets._optional import need

FORMAT = "checkpoint 1"

# Bytes. The log of 5000 epochs, the most there may be, takes 1 MB; a larger text could fill the memory as JSON's lists.
LARGEST_HEADER = 2 << 20

DTYPES = {"F32": "float32", "F64": "float64"}

LONGEST = 300  # characters of what a damaged file puts into a message


def save(path: str | os.PathLike[str], arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write a checkpoint: the old file or the new one, whatever happens. The same content gives the same bytes.

    Parameters
    ----------
    path
        Of the file; its folder must exist.
    arrays
        float32 or float64, by name.
    about
        What belongs to them, of JSON's types; all numbers are finite.

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed.
    OSError
        The disk is full, the folder missing or read-only.
    ValueError
        `about` holds a number that is not finite.
    """
    write = need("safetensors.numpy", "demos", "checkpoints").save
    # One entry: safetensors writes several in an order that changes from run to run.
    text = json.dumps({"format": FORMAT, **about}, allow_nan=False)
    replace(path, write({name: np.asarray(value, order="C") for name, value in arrays.items()}, {"npnets": text}))


def replace(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to a file at once: the old file or the new one, whatever happens.

    Raises
    ------
    OSError
        The disk is full, the folder missing or read-only; it names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:  # a full disk is not to stay full because of us
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None:  # nobody knows the temporary file
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    if hasattr(os, "O_DIRECTORY"):  # the new name, too, is to outlive a power cut; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `save` was given as `about`; lists stand for tuples.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is truncated, was not written by npnets, or its header promises more than the file holds.
    ModuleNotFoundError
        safetensors is not installed.
    """
    with _opened(path) as file:
        held = json.loads((file.metadata() or {}).get("npnets", "null"), parse_constant=_refuse)
        if not isinstance(held, dict) or held.pop("format", None) != FORMAT:
            raise ValueError(f"its description has not the format {FORMAT!r}")
        return held


def shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays, by name, without reading them.

    Raises
    ------
    FileNotFoundError, ValueError, ModuleNotFoundError
        As `about`.
    """
    with _opened(path) as file:
        names = file.keys()
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def load(path: str | os.PathLike[str], like: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of a checkpoint, which must have the names, shapes and dtypes of those in `like`.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError
        As `about`.
    ValueError
        As `about`; or an array is missing, unknown, of another shape or dtype, or holds NaN or infinity.
    """
    with _opened(path) as file:
        names = file.keys()
        wrong = [f"`{name}` is missing" for name in like if name not in names]
        wrong += [f"`{name}` is unknown" for name in names if name not in like]
        for name in names:
            if name in like:
                part = file.get_slice(name)  # reads nothing yet
                held = (DTYPES.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
                expected = (str(like[name].dtype), like[name].shape)
                if held != expected:
                    wrong.append(f"`{name}` is {held[0]} of shape {held[1]}, not {expected[0]} of {expected[1]}")
        if wrong:
            raise ValueError("; ".join(wrong))
        arrays = {name: file.get_tensor(name) for name in like}
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                raise ValueError(f"`{name}` holds NaN or infinity")
    return arrays


def reason(error: Exception) -> str:
    """Return what is wrong with a file as part of a line of text, of a length that the file cannot blow up."""
    text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a safetensors file, which checks all sizes in its header against the file's; name the file in any error."""
    safetensors = need("safetensors", "demos", "checkpoints")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
        if size > LARGEST_HEADER:
            raise ValueError(f"it begins like a header of {size} bytes")
        with safetensors.safe_open(path, "numpy") as file:
            yield file
    except (safetensors.SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a checkpoint of npnets, or a damaged one: {reason(error)}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")
