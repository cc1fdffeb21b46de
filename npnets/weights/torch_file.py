"""PyTorch's `.pth` and `.tar`: pickles, which PyTorch itself reads, and only as far as they hold tensors."""

import zipfile
from pathlib import Path
from typing import Any

from npnets._check import Array
from npnets._optional import need
from npnets.weights import npz, tensors

# What torch.save wrote before it wrote zip archives begins with this number, pickled.
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read(path: Path) -> dict[str, Array]:
    """Return the tensors of a state_dict, or of the one inside of a checkpoint.

    Raises
    ------
    ModuleNotFoundError
        PyTorch is not installed.
    ValueError
        The file is damaged, or holds more than tensors, numbers and texts.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            npz.check_sizes(archive.infolist(), path.stat().st_size)
    torch = need("torch", "bench", "reading a file of PyTorch")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling comes upon
        if "weights_only" in str(error):
            raise ValueError("it holds more than tensors, numbers and texts, and that could run any code") from None
        raise ValueError(f"damaged: {error}") from None
    if not isinstance(held, dict):
        raise ValueError(f"it holds a {type(held).__name__}, not tensors by name")
    held = tensors.inside(held)
    for name, value in held.items():
        _check_claim(name, value)
    return tensors.arrays_of(held)


def _check_claim(name: str, value: Any) -> None:
    """Refuse a tensor that repeats a few bytes to any size."""
    if hasattr(value, "untyped_storage") and value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"`{name}` claims {value.numel()} numbers, more than it holds")
