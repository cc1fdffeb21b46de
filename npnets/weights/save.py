"""Weights to a file that says everything about their network."""

import json
import os
from pathlib import Path

from npnets.models import Network
from npnets.models.description import describe
from npnets.train.checkpoint import replace
from npnets.weights import npz, safetensors

FORMAT = "weights 1"
WRITERS = {".safetensors": safetensors.write, ".npz": npz.write}


def save_weights(net: Network, file: str | os.PathLike[str]) -> None:
    """Write a network to a file, from which `from_pretrained` builds the very same one.

    The file holds the arrays as they are, by npnets' names, and a text that has the network's arguments, its
    preprocessing and its classes. At any moment the old file is there or the new one. The same network gives the same
    bytes.

    Parameters
    ----------
    net
        A network, of either dtype; it may be folded (`fold_batch_norm`).
    file
        Ends in .safetensors or .npz; its folder must exist.

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed.
    OSError
        The disk is full, the folder missing or read-only.
    TypeError, ValueError
        `net` is not a network of npnets, or `file` ends in something else.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import npnets
    >>> net = npnets.ShuffleNetV1(scale=0.5, num_classes=10, concat="branch first")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "shufflenet.npz")
    ...     save_weights(net, path)
    ...     same = npnets.from_pretrained(path)
    >>> same.arguments["concat"]
    'branch first'
    """
    ending = Path(file).suffix
    if ending not in WRITERS:
        raise ValueError(f"`file` (={os.fspath(file)!r}) must end in {' or '.join(WRITERS)}")
    text = json.dumps({"format": FORMAT, **describe(net)}, allow_nan=False)
    replace(file, WRITERS[ending](net.state_dict(), text))
