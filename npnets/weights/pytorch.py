"""Weights to PyTorch: a state_dict for a plain module of the same network.

::

    MobileNet    features   0 conv  1 norm  2 ReLU    then for each block
                            depthwise  norm  ReLU  pointwise  norm  ReLU
    ShuffleNet   features   0 conv  1 norm  2 ReLU  3 max pool, if there is one    then for each unit its `branch`
                            0 reduce  1 norm  2 ReLU  3 shuffle  4 depthwise  5 norm  6 shuffle  7 expand  8 norm
    both         classifier

At one of a branch's two places for the shuffle stands `nn.Identity`; and in the place of each norm where batch norm is
folded, behind a convolution with a bias.
"""

import re
from typing import Any

import numpy as np

from npnets._check import Array
from npnets._optional import need
from npnets.models import Network, ShuffleNetV1
from npnets.weights.layout import to_oihw

STEM = {"stem.conv": 0, "stem.norm": 1}
BLOCK = {"depthwise": 0, "depthwise_norm": 1, "pointwise": 3, "pointwise_norm": 4}
BRANCH = {"reduce": 0, "reduce_norm": 1, "depthwise": 4, "depthwise_norm": 5, "expand": 7, "expand_norm": 8}


def to_pytorch(net: Network) -> dict[str, Any]:
    """Return the network's parameters and running statistics as a PyTorch state_dict, bit for bit.

    `load_weights(net, state)` is the way back.

    Returns
    -------
    state
        Tensors, copies, in the order of the forward pass; kernels are (N, M/groups, KH, KW). The names are those of a
        module with `features`, an `nn.Sequential`, and `classifier`, an `nn.Linear`: see `npnets.weights.pytorch`.

    Raises
    ------
    ModuleNotFoundError
        PyTorch is not installed.

    Examples
    --------
    >>> import npnets
    >>> state = to_pytorch(npnets.MobileNetV1(width=0.25, num_classes=10))
    >>> state["features.3.weight"].shape, state["classifier.weight"].shape
    (torch.Size([8, 1, 3, 3]), torch.Size([10, 256]))
    """
    torch = need("torch", "bench", "to_pytorch")
    state: dict[str, Any] = {}
    for name, value in net.state_dict().items():
        layer, _, array = name.rpartition(".")
        there = _layer(net, layer)
        state[f"{there}.{array}"] = torch.from_numpy(np.ascontiguousarray(_turned(layer, array, value)))
        if array == "running_var":
            state[f"{there}.num_batches_tracked"] = torch.tensor(0)
    return state


def _layer(net: Network, name: str) -> str:
    """Return PyTorch's name of a layer."""
    if name == "classifier":
        return name
    if name in STEM:
        return f"features.{STEM[name]}"
    parent, _, part = name.partition(".")
    if found := re.fullmatch(r"block(\d+)", parent):
        return f"features.{3 + 6 * (int(found[1]) - 1) + BLOCK[part]}"
    assert isinstance(net, ShuffleNetV1)
    stem = 3 + ("pool" in net.children["stem"].children)
    units = [child for child in net.children if "_unit" in child]
    return f"features.{stem + units.index(parent)}.branch.{BRANCH[part]}"


def _turned(layer: str, array: str, value: Array) -> Array:
    if array != "weight" or layer.endswith("norm"):
        return value
    return value.T if layer == "classifier" else to_oihw(value)
