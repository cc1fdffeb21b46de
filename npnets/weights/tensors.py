"""PyTorch's tensors as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npnets._check import Array

# Where training scripts put the state_dict inside of what they save.
INSIDE = ("state_dict", "model_state_dict", "model", "net")


def arrays_of(held: Mapping[str, Any]) -> dict[str, Array]:
    """Return the arrays of floats among the values of a state_dict, or of the one inside of a checkpoint.

    Raises
    ------
    TypeError
        There are none, or a value is neither an array nor a tensor.
    """
    for name in INSIDE:
        if isinstance(held.get(name), Mapping):
            held = held[name]
            break
    arrays = {str(name): _array(str(name), value) for name, value in held.items()}
    return {name: value for name, value in arrays.items() if value.dtype.kind == "f"}


def _array(name: str, value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "detach"):
        raise TypeError(f"`{name}` must be an array, and is a {type(value).__name__}")
    array: Array = value.detach().cpu().numpy()
    return array
