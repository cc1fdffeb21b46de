"""Keras' files: HDF5 with names (`.h5`), without (`.weights.h5`), and a zip archive around the latter (`.keras`).

Keras' `.weights.h5` numbers the layers of each type and the arrays of each layer. MobileNet's have only one order: a
convolution is the stem, a block's pointwise one, or the classifier, and batch norms alternate. So the names come back.
"""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from npnets._check import Array
from npnets._optional import need
from npnets.weights import npz

MAGIC = b"\x89HDF\r\n\x1a\n"
WEIGHTS = "model.weights.h5"  # the member of a .keras archive
MOST = 10_000  # arrays

NUMBERED = re.compile(r"(?:.*/)?layers/(conv2d|depthwise_conv2d|batch_normalization)(?:_(\d{1,4}))?/vars/(\d)")
OPTIMISER = re.compile(r"(^|/)optimizer/")  # its arrays stand beside those of the layers
CONVOLUTION, NORM = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")


def read(path: Path) -> dict[str, Array]:
    """Return the arrays of an HDF5 file by Keras' names, such as `conv_dw_1_bn/gamma`.

    Raises
    ------
    ModuleNotFoundError
        h5py is not installed.
    ValueError
        The file is damaged, or claims much more than it holds.
    """
    return _read(path, path.stat().st_size)


def read_archive(path: Path) -> dict[str, Array]:
    """Return the same of a `.keras` archive, and raise the same."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = path.stat().st_size
            npz.check_sizes(archive.infolist(), size)
            content = archive.read(WEIGHTS)
    except npz.ERRORS as error:
        raise ValueError(f"a damaged archive: {error}") from None
    return _read(io.BytesIO(content), len(content))


def _read(file: Path | io.BytesIO, size: int) -> dict[str, Array]:
    h5py = need("h5py", "weights", "reading a file of Keras")
    try:
        with h5py.File(file, "r") as opened:
            root = opened.get("model_weights", opened)
            found = _datasets(h5py, root)
            npz.check_claim(sum(dataset.nbytes for dataset in found.values()), size)
            arrays = {name: np.asarray(dataset[()]) for name, dataset in found.items() if dataset.dtype.kind == "f"}
    except (OSError, RuntimeError, AttributeError) as error:
        raise ValueError(f"a damaged HDF5 file: {error}") from None
    if any(NUMBERED.fullmatch(name) for name in arrays):
        return _named({name: value for name, value in arrays.items() if not OPTIMISER.search(name)})
    return {"/".join(name.split("/")[-2:]).removesuffix(":0"): value for name, value in arrays.items()}


def _datasets(h5py: Any, root: Any) -> dict[str, Any]:
    """Return all arrays below a group; links out of the file are not followed."""
    found: dict[str, Any] = {}

    def visit(name: str, held: Any) -> None:
        if not isinstance(held, h5py.Dataset) or held.dtype.kind not in "fiu":
            return
        if held.external is not None or held.is_virtual:
            raise ValueError(f"`{name}` lies in another file")
        found[name] = held
        if len(found) > MOST:
            raise ValueError(f"it holds more than {MOST} arrays")

    root.visititems(visit)
    return found


def _named(arrays: dict[str, Array]) -> dict[str, Array]:
    """Return numbered arrays under the names that Keras' MobileNet gives its layers, and all others as they are."""
    keys = {name: found.groups() for name in arrays if (found := NUMBERED.fullmatch(name))}
    numbers = {(kind, int(number or 0)) for kind, number, _ in keys.values()}
    blocks = sum(kind == "depthwise_conv2d" for kind, _ in numbers)
    layers: dict[str, Callable[[int], str]] = {
        "conv2d": lambda n: "conv1" if n == 0 else "conv_preds" if n == blocks + 1 else f"conv_pw_{n}",
        "depthwise_conv2d": lambda n: f"conv_dw_{n + 1}",
        "batch_normalization": lambda n: "conv1_bn" if n == 0 else f"conv_{'pd'[n % 2]}w_{(n + 1) // 2}_bn",
    }
    named = {name: value for name, value in arrays.items() if name not in keys}
    for name, (kind, number, array) in keys.items():
        parts = NORM if kind == "batch_normalization" else CONVOLUTION
        if int(array) >= len(parts):
            raise ValueError(f"`{name}` is one array more than such a layer has")
        named[f"{layers[kind](int(number or 0))}/{parts[int(array)]}"] = arrays[name]
    return named
