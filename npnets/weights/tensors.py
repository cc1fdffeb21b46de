"""PyTorch's tensors as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npnets._check import Array

# Where training scripts put the state_dict inside of what they save.
INSIDE = ("state_dict", "model_state_dict", "model", "net")


def inside(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state_dict, where it stands inside of a checkpoint."""
    return next((held[name] for name in INSIDE if isinstance(held.get(name), Mapping)), held)


def arrays_of(held: Mapping[str, Any]) -> dict[str, Array]:
    """Return the arrays of floats of a state_dict, or of the one inside of a checkpoint.

    Raises
    ------
    TypeError
        A value is neither an array nor a tensor, or a tensor of a type that NumPy does not have.
    """
    arrays = {str(name): _array(str(name), value) for name, value in inside(held).items()}
    return {name: value for name, value in arrays.items() if value.dtype.kind == "f"}


def _array(name: str, value: Any) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"`{name}` must be an array, and is a {type(value).__name__}")
    return value.astype(np.float32) if value.dtype == np.float16 else value
