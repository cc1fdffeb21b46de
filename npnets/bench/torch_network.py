"""A network of npnets as an ordinary PyTorch module, with the same weights: what a user of PyTorch would run.

Each layer becomes the module of `torch.nn` that does the same; activations work in place, as torchvision's do.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets._optional import need
from npnets.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    PointwiseConvolution,
    Sequential,
)
from npnets.models import Network
from npnets.models.shufflenet_v1 import ShuffleUnit
from npnets.weights.layout import to_oihw


def torch_network(net: Network) -> Any:
    """Return the network as a `torch.nn.Module` from images (B, C, H, W) to logits, with copies of its weights."""
    torch = need("torch", "bench", "the comparison with PyTorch")
    return _Modules(torch).of(net)


class _Modules:
    """Makes modules of layers."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.nn = torch, torch.nn

    def of(self, layer: Layer) -> Any:
        """Return the module that does what the layer does."""
        nn = self.nn
        if isinstance(layer, ShuffleUnit):
            return self._shuffle_unit(layer)
        if isinstance(layer, Sequential):
            return nn.Sequential(*map(self.of, layer.children.values()))
        if isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution):
            return self._convolution(layer)
        if isinstance(layer, BatchNorm):
            made = nn.BatchNorm2d(layer.params["weight"].size, layer.eps, layer.momentum)
            return self._filled(made, layer.params | layer.buffers)
        if isinstance(layer, Activation):
            kinds = {"relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU}
            return kinds[layer.kind](**layer._options, inplace=True)
        if isinstance(layer, ChannelShuffle):
            return nn.ChannelShuffle(layer.groups)
        if isinstance(layer, MaxPool):
            return self._pool(layer)
        if isinstance(layer, GlobalAveragePool):
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        if isinstance(layer, Linear):
            made = nn.Linear(*layer.params["weight"].shape)
            return self._filled(made, {"weight": layer.params["weight"].T, "bias": layer.params["bias"]})
        raise TypeError(f"a {type(layer).__name__} has no counterpart in PyTorch here")

    def _filled(self, module: Any, values: dict[str, Array]) -> Any:
        module.load_state_dict({k: self.torch.from_numpy(v.copy()) for k, v in values.items()}, strict=False)
        return module

    def _convolution(self, layer: Any):
        ...
