"""Files of weights, told apart by their first bytes and not by their names.

A file is a claim made by whoever wrote it. Nothing in it is run, so that a pickle is refused, and nothing is allocated
for a size that it only claims.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeGuard

import numpy as np

from npnets._check import Array
from npnets.train.checkpoint import LARGEST_HEADER, reason
from npnets.weights import hdf5, npz, safetensors, tensors, torch_file

FORMATS = ("weights 1", "checkpoint 1")  # what npnets writes: `save_weights`, and the trainer


File: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]

DAMAGES = (ValueError, TypeError, KeyError, OverflowError, RecursionError, EOFError, MemoryError)


class Held(NamedTuple):
    """What a file holds: arrays by its own names and in its order, and what npnets wrote about them, if it did."""

    arrays: dict[str, Array]
    about: dict[str, Any] | None


def of(file: File) -> Held:
    """Return what a file holds, or the arrays that are given by name: NumPy's, or PyTorch's tensors.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError, TypeError, ValueError
        As `read`; or what is given is neither a path nor arrays by name.
    """
    if isinstance(file, str | os.PathLike):
        return read(file)
    if not isinstance(file, Mapping):
        raise TypeError(f"`file` must be a path or arrays by name, and is a {type(file).__name__}")
    return Held(tensors.arrays_of(file), None)


@contextmanager
def named(file: File) -> Iterator[None]:
    """Name the file in an error about what it holds."""
    try:
        yield
    except DAMAGES as error:
        if not isinstance(file, str | os.PathLike):
            raise
        raise ValueError(f"{os.fspath(file)}: {reason(error)}") from None


def read(path: str | os.PathLike[str]) -> Held:
    """Read a file of weights.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModuleNotFoundError
        The package that reads such files is not installed.
    ValueError
        The file is of no kind that is known here, or damaged, or one that would run code; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        arrays, text = _read(path)
        return Held(*_own(arrays, text))
    except DAMAGES as error:
        raise ValueError(f"{path} cannot be read as weights: {reason(error)}") from None


def is_tflite(file: File) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether a file is one of TFLite, which holds a whole network and not only weights."""
    return isinstance(file, str | os.PathLike) and Path(file).is_file() and _start(Path(file))[4:8] == b"TFL3"


def _start(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(16)


def _read(path: Path) -> tuple[dict[str, Array], str | None]:
    """Return a file's arrays and npnets' text, by the reader of its kind."""
    start = _start(path)
    if start.startswith(b"PK"):
        names = npz.names(path)
        if hdf5.WEIGHTS in names:
            return hdf5.read_archive(path), None
        return (torch_file.read(path), None) if any(name.endswith("data.pkl") for name in names) else npz.read(path)
    if start.startswith(hdf5.MAGIC):
        return hdf5.read(path), None
    if start.startswith(torch_file.OLD_MAGIC):
        return torch_file.read(path), None
    if start[8:9] == b"{":
        return safetensors.read(path)
    if start[4:8] == b"TFL3":
        raise ValueError("a TFLite file says which network it is of: use from_pretrained")
    if start.startswith(b"\x80"):
        raise ValueError("it is a pickle, which can run any code: convert it to safetensors where you trust it")
    raise ValueError(f"it begins with the bytes {start[:8].hex(' ') or '(none)'}, like no kind that is known")


def _own(arrays: dict[str, Array], text: str | None) -> tuple[dict[str, Array], dict[str, Any] | None]:
    """Return the network's arrays and what npnets wrote about them."""
    if text is None:
        return arrays, None
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"its description is longer than {LARGEST_HEADER} characters")
    about = json.loads(text, parse_constant=_refuse)
    if not isinstance(about, dict) or about.get("format") not in FORMATS:
        raise ValueError(f"its description has none of the formats {FORMATS}")
    if about["format"] == "checkpoint 1":  # beside the network stands the optimiser's state
        arrays = {name.removeprefix("net."): value for name, value in arrays.items() if name.startswith("net.")}
    return arrays, about


def check_finite(arrays: Mapping[str, Array], names: Mapping[str, str]) -> None:
    """Refuse weights that are no numbers, or a variance below 0; `names` are those of the file."""
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise ValueError(f"`{names.get(name, name)}` holds NaN or infinity")
        if name.endswith(".running_var") and (value < 0).any():
            raise ValueError(f"`{names.get(name, name)}` holds a variance below 0")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")
