"""A network as an ordinary PyTorch module with the same weights: what a user of PyTorch would write and run.

Each layer becomes the module of `torch.nn` that does the same; activations work in place, as torchvision's do.
"""

import functools
from types import SimpleNamespace
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
from npnets.models.shufflenet_v1 import ShuffleUnit
from npnets.weights.layout import to_oihw


def torch_network(layer: Layer) -> Any:
    """Return the layer or network as a `torch.nn.Module` on (B, C, H, W), with copies of its arrays.

    Its parameters come in the order of npnets'.

    Raises
    ------
    ModuleNotFoundError
        PyTorch is not installed.
    TypeError
        There is no counterpart of the layer here.
    """
    nn = need("torch.nn", "bench", "the comparison with PyTorch")
    if isinstance(layer, ShuffleUnit):
        return _own_modules().ShuffleUnit(layer)
    if isinstance(layer, Sequential):
        return nn.Sequential(*map(torch_network, layer.children.values()))
    if type(layer) not in MODULES:
        raise TypeError(f"a {type(layer).__name__} has no counterpart in PyTorch here")
    return MODULES[type(layer)](nn, layer)


def torch_order(layer: Layer, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return a layer's own arrays with the axes in PyTorch's order."""
    if isinstance(layer, Linear):
        return {name: value.T for name, value in arrays.items()}
    convolves = isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution)
    return {name: to_oihw(value) if convolves and name == "weight" else value for name, value in arrays.items()}


def _filled(module: Any, layer: Layer) -> Any:
    """Copy the layer's arrays into the module, which takes their dtype."""
    torch = need("torch", "bench", "the comparison with PyTorch")
    arrays = torch_order(layer, layer.params | layer.buffers)
    values = {name: torch.from_numpy(np.array(value, order="C")) for name, value in arrays.items()}
    module.to(next(iter(values.values())).dtype).load_state_dict(values, strict=False)
    return module


def _convolution(nn: Any, layer: Any) -> Any:
    weight = to_oihw(layer.params["weight"])
    outputs, inputs, *kernel = weight.shape
    groups = outputs if isinstance(layer, DepthwiseConvolution) else layer.groups
    window = {} if isinstance(layer, PointwiseConvolution) else layer.window
    padding = window.get("padding", 0)
    own = padding if isinstance(padding, int) else 0
    options = {"stride": window.get("stride", 1), "padding": own, "groups": groups, "bias": "bias" in layer.params}
    made = _filled(nn.Conv2d(inputs * groups, outputs, kernel, **options), layer)
    return made if padding == own else _own_modules().Padded(made, tuple(kernel), window)


def _batch_norm(nn: Any, layer: Any) -> Any:
    return _filled(nn.BatchNorm2d(layer.params["weight"].size, layer.eps, layer.momentum), layer)


def _activation(nn: Any, layer: Any) -> Any:
    kind = {"relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU}[layer.kind]
    return kind(**layer._options, inplace=True)


def _pool(nn: Any, layer: Any) -> Any:
    size, stride, padding = _check.pair("kernel_size", layer.size, 1), layer.window["stride"], layer.window["padding"]
    own = padding if isinstance(padding, int) and padding <= min(size) // 2 else 0  # PyTorch's limit
    if isinstance(layer, AveragePool):
        counts = own == padding and layer.count_include_pad
        made = nn.AvgPool2d(size, stride, own, count_include_pad=counts)
        outside = 0.0 if layer.count_include_pad else None
    else:
        made, outside = nn.MaxPool2d(size, stride, own), -np.inf
    return made if own == padding else _own_modules().Padded(made, size, layer.window, outside)


def _linear(nn: Any, layer: Any) -> Any:
    return _filled(nn.Linear(*layer.params["weight"].shape), layer)


MODULES = {
    Convolution: _convolution,
    DepthwiseConvolution: _convolution,
    PointwiseConvolution: _convolution,
    BatchNorm: _batch_norm,
    Activation: _activation,
    ChannelShuffle: lambda nn, layer: nn.ChannelShuffle(layer.groups),
    MaxPool: _pool,
    AveragePool: _pool,
    GlobalAveragePool: lambda nn, layer: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    Linear: _linear,
}


@functools.cache
def _own_modules() -> SimpleNamespace:
    """Return the two modules that `torch.nn` does not have."""
    torch = need("torch", "bench", "the comparison with PyTorch")

    class ShuffleUnit(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A ShuffleNet unit: the branch beside the shortcut, added or joined."""

        def __init__(self, unit: Any) -> None:
            super().__init__()
            self.branch = torch_network(unit.branch)
            self.pool = torch.nn.Identity() if unit.pool is None else torch_network(unit.pool)
            self.after = torch_network(unit.after)
            self.joins, self.shortcut_first = unit.joins, unit.shortcut_first

        def forward(self, x: Any) -> Any:
            branch, shortcut = self.branch(x), self.pool(x)
            if not self.joins:
                return self.after(shortcut + branch)
            return self.after(torch.cat([shortcut, branch] if self.shortcut_first else [branch, shortcut], 1))

    class Padded(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A padding that `torch.nn` does not have, such as "same" with a stride, before another module.

        Where `outside` is None the module is an average pool that does not count the padding.
        """

        def __init__(self, inner: Any, kernel: _check.Ints, window: dict[str, Any], outside: float | None = 0) -> None:
            super().__init__()
            self.inner, self.kernel, self.window, self.outside = inner, kernel, window, outside

        def forward(self, x: Any) -> Any:
            laid = _check.window(tuple(x.shape[2:]), self.kernel, **self.window)
            margins: list[int] = []
            for axis in (1, 0):  # PyTorch begins with the last axis
                before, side = laid.before[axis], x.shape[2 + axis]
                margins += [before, (laid.out[axis] - 1) * laid.stride[axis] + self.kernel[axis] - side - before]
            pad = functools.partial(torch.nn.functional.pad, pad=margins, value=self.outside or 0)
            out = self.inner(pad(x))
            return out if self.outside is not None else out / self.inner(pad(torch.ones_like(x)))

    return SimpleNamespace(ShuffleUnit=ShuffleUnit, Padded=Padded)
