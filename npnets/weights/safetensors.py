"""safetensors: numbers and a text, nothing that runs; npnets' own format, and that of timm and the hub."""

from pathlib import Path

import numpy as np

from npnets._check import Array
from npnets._optional import need
from npnets.train.checkpoint import LARGEST_HEADER

DTYPES = ("F16", "F32", "F64")


def read(path: Path) -> tuple[dict[str, Array], str | None]:
    """Return the arrays of a file, without those of whole numbers, and what npnets wrote about them.

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed.
    ValueError
        The file is damaged, or its header claims more than it holds.
    """
    safetensors = need("safetensors", "weights", "reading .safetensors")
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER:
        raise ValueError(f"it begins like a header of {size} bytes")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            parts = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            for name, dtype in parts.items():
                if dtype.startswith("BF") or dtype.startswith("F8"):
                    raise ValueError(f"`{name}` is of the type {dtype}, and must be one of {', '.join(DTYPES)}")
            arrays = {name: _floats(file.get_tensor(name)) for name, dtype in parts.items() if dtype in DTYPES}
            return arrays, (file.metadata() or {}).get("npnets")
    except safetensors.SafetensorError as error:
        raise ValueError(error) from None


def write(arrays: dict[str, Array], text: str) -> bytes:
    """Return the bytes of a file; the same content gives the same bytes."""
    save = need("safetensors.numpy", "weights", "writing .safetensors").save
    written: bytes = save({name: np.asarray(value, order="C") for name, value in arrays.items()}, {"npnets": text})
    return written


def _floats(value: Array) -> Array:
    return value.astype(np.float32) if value.dtype == np.float16 else value
