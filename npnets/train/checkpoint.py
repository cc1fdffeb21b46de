"""Checkpoints: one safetensors file, written so that at any moment either the old or the new one is there.

The file is written under another name in the same folder, synced to the disk, and renamed over the old one: on every
system that Python runs on the rename is atomic. A process that is killed on the way leaves the old file as it was, and
a temporary one that the next save overwrites.

safetensors holds numbers and a text, nothing that runs: a checkpoint from elsewhere can be wrong, but not dangerous.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from npnets._check import Array
from npnets._optional import need

FORMAT = "npnets checkpoint 1"


def save(path: str | os.PathLike[str], arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write a checkpoint: the old file or the new one, whatever happens.

    Parameters
    ----------
    path
        Of the file; its folder must exist.
    arrays
        float32 or float64, by name.
    about
        What belongs to them, of JSON's types.

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed.
    OSError
        The disk is full, the folder missing or read-only.
    """
    write = need("safetensors.numpy", "demos", "checkpoints").save
    content = write(
        {name: np.ascontiguousarray(value) for name, value in arrays.items()},
        {"format": FORMAT, "about": json.dumps(about)},
    )
    replace(path, content)


def replace(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to a file at once: the old file or the new one, whatever happens."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if hasattr(os, "O_DIRECTORY"):  # the new name, too, is to outlive a power cut; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what `save` wrote: the arrays and what belongs to them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is truncated, was not written by npnets, or its header promises more than the file holds.
    ModuleNotFoundError
        safetensors is not installed.
    """
    safetensors = need("safetensors", "demos", "checkpoints")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safetensors.safe_open(path, "numpy") as file:  # checks all sizes against the file's before it reads any
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}, not {FORMAT!r}")
            about = json.loads(metadata["about"])
            if not isinstance(about, dict):
                raise ValueError("its description is not a table")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a checkpoint of npnets, or a damaged one: {error}") from None
    return arrays, about
