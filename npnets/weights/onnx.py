"""ONNX: a network as a file that ONNX Runtime, OpenVINO and others read.

The graph is written layer by layer: each layer of npnets is one node of ONNX, but for the channel shuffle (reshape,
transpose, reshape) and the global pool (mean, then flatten). Batch norm is written as it stands, with its running
statistics: the runtimes fold it into the convolution before it. Batch, rows and columns are left open, so that one file
serves every size that the network itself takes. ONNX keeps batch norm's eps and the slope of LeakyReLU in float32, also
in a graph of float64.
"""

import os
from collections.abc import Callable
from typing import Any, Literal

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
from npnets.train.checkpoint import replace
from npnets.weights.layout import to_oihw

OPSET, IR_VERSION = 21, 10  # of 2024: the operators used here are the same in later ones, and older runtimes know them


def export(net: Network, path: str | os.PathLike[str], *, layout: Literal["NHWC", "NCHW"] = "NHWC") -> None:
    """Write the network, as it is in eval mode, to an ONNX file: the old file or the new one, whatever happens.

    The graph's input is `images`, its output `logits` (B, classes), both of the network's dtype.

    Parameters
    ----------
    net
        A network; the file holds its weights and running statistics of this moment.
    path
        Of the file; its folder must exist.
    layout
        Of the images: "NHWC" as npnets takes them, (B, H, W, C), or "NCHW" as most frameworks do, which saves the
        runtime a transpose.

    Raises
    ------
    ModuleNotFoundError
        The package onnx is not installed.
    TypeError, ValueError
        `net` is not a network, or holds a layer without a counterpart here; `layout` is not one of the two.
    OSError
        The folder is missing or read-only, or the disk is full.

    Examples
    --------
    >>> import npnets
    >>> export(npnets.MobileNetV1(width=0.25, num_classes=10), "mobilenet.onnx")  # doctest: +SKIP
    """
    replace(path, model(net, layout=layout).SerializeToString())


def model(net: Network, *, layout: Literal["NHWC", "NCHW"] = "NHWC") -> Any:
    """Return what `export` writes, as an `onnx.ModelProto`; `net`, `layout` and the errors are the same."""
    if not isinstance(net, Network):
        raise TypeError(f"`net` must be a network, and is a {type(net).__name__}")
    if layout not in ("NHWC", "NCHW"):
        raise ValueError(f"`layout` (={layout!r}) must be 'NHWC' or 'NCHW'")
    graph = _Graph(net.dtype)
    x = "images"
    graph.channels[x] = net.in_channels
    if layout == "NHWC":
        x = graph.node("Transpose", "images_nchw", [x], perm=[0, 3, 1, 2])
    out = _write(graph, "", net, x)
    graph.node("Identity", "logits", [out])  # names the output, and is gone once a runtime has read the graph
    return graph.model(net, layout)


class _Graph:
    """The nodes and constants of a graph that grows, and how many channels each node gives."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._helper = need("onnx.helper", "export", "the export to ONNX")
        self._numpy_helper = need("onnx.numpy_helper", "export", "the export to ONNX")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.channels: dict[str, int] = {}

    def constant(self, name: str, value: Array) -> str:
        """Add a constant, and return its name."""
        self._constants.append(self._numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, name: str, inputs: list[str], channels: int | None = None, **attributes: Any) -> str:
        """Add a node, with the channels of its first input unless told, and return its output, which has its name."""
        self._nodes.append(self._helper.make_node(operator, inputs, [name], name, **attributes))
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        return name

    def model(self, net: Network, layout: str) -> Any:
        """Return the whole as a model from `images` to `logits`."""
        kind = self._helper.np_dtype_to_tensor_dtype(net.dtype)
        axes = {"N": "batch", "H": "height", "W": "width", "C": net.in_channels}
        classes = [layer for _, layer in net.layers() if isinstance(layer, Linear)][-1].params["bias"].size
        graph = self._helper.make_graph(
            self._nodes,
            type(net).__name__,
            [self._helper.make_tensor_value_info("images", kind, [axes[axis] for axis in layout])],
            [self._helper.make_tensor_value_info("logits", kind, ["batch", classes])],
            self._constants,
        )
        operators = [self._helper.make_opsetid("", OPSET)]
        return self._helper.make_model(graph, producer_name="npnets", opset_imports=operators, ir_version=IR_VERSION)


def _write(graph: _Graph, name: str, layer: Layer, x: str) -> str:
    """Write a layer that reads `x`, and return the name of its output."""
    if type(layer) not in WRITERS and not isinstance(layer, Sequential):
        raise TypeError(f"`net` holds a {type(layer).__name__} (`{name}`), which has no counterpart in ONNX here")
    return WRITERS.get(type(layer), _sequential)(graph, name, layer, x)


def _sequential(graph: _Graph, name: str, layer: Layer, x: str) -> str:
    for child_name, child in layer.children.items():
        x = _write(graph, f"{name}.{child_name}" if name else child_name, child, x)
    return x


def _shuffle_unit(graph: _Graph, name: str, unit: Any, x: str) -> str:
    branch = _sequential(graph, name, unit.branch, x)
    shortcut = x if unit.pool is None else _write(graph, f"{name}.pool", unit.pool, x)
    if unit.joins:
        both = [shortcut, branch] if unit.shortcut_first else [branch, shortcut]
        channels = sum(graph.channels[part] for part in both)
        joined = graph.node("Concat", f"{name}.concat", both, channels, axis=1)
    else:
        joined = graph.node("Add", f"{name}.add", [shortcut, branch])
    return _write(graph, f"{name}.after", unit.after, joined)


def _convolution(graph: _Graph, name: str, layer: Any, x: str) -> str:
    weight = layer.params["weight"]
    if isinstance(layer, DepthwiseConvolution):
        groups, options = weight.shape[2], _window(weight.shape[:2], **layer.window)
    elif isinstance(layer, PointwiseConvolution):
        groups, options = layer.groups, {}
    else:
        groups, options = layer.groups, _window(weight.shape[:2], **layer.window)
    values = {**layer.params, "weight": to_oihw(weight)}
    inputs = [x, *(graph.constant(f"{name}.{key}", value) for key, value in values.items())]
    return graph.node("Conv", name, inputs, weight.shape[-1], group=groups, **options)


def _batch_norm(graph: _Graph, name: str, layer: Any, x: str) -> str:
    values = [graph.constant(f"{name}.{key}", value) for key, value in (layer.params | layer.buffers).items()]
    return graph.node("BatchNormalization", name, [x, *values], epsilon=layer.eps)


def _activation(graph: _Graph, name: str, layer: Any, x: str) -> str:
    if layer.kind == "relu6":
        limits = [
            graph.constant(f"{name}.{key}", np.array(value, graph.dtype)) for key, value in (("min", 0), ("max", 6))
        ]
        return graph.node("Clip", name, [x, *limits])
    if layer.kind == "leaky_relu":
        return graph.node("LeakyRelu", name, [x], alpha=layer._options["negative_slope"])
    return graph.node("Relu", name, [x])


def _channel_shuffle(graph: _Graph, name: str, layer: Any, x: str) -> str:
    """Lay the channels out as a matrix of `groups` rows, transpose it, and put them back in line."""
    shape = graph.node("Shape", f"{name}.shape", [x])
    split = np.array([0, layer.groups, graph.channels[x] // layer.groups, -1])  # 0: as it is, -1: all that is left
    matrix = graph.node("Reshape", f"{name}.matrix", [x, graph.constant(f"{name}.split", split)])
    turned = graph.node("Transpose", f"{name}.turned", [matrix], perm=[0, 2, 1, 3])
    return graph.node("Reshape", name, [turned, shape], channels=graph.channels[x])


def _pool(graph: _Graph, name: str, layer: Any, x: str) -> str:
    size = _check.pair("kernel_size", layer.size, 1)
    options = {"kernel_shape": size, **_window(size, **layer.window)}
    if isinstance(layer, AveragePool):
        return graph.node("AveragePool", name, [x], count_include_pad=int(layer.count_include_pad), **options)
    return graph.node("MaxPool", name, [x], **options)


def _global_average_pool(graph: _Graph, name: str, layer: Any, x: str) -> str:
    return graph.node("Flatten", name, [graph.node("GlobalAveragePool", f"{name}.mean", [x])])


def _linear(graph: _Graph, name: str, layer: Any, x: str) -> str:
    return graph.node("Gemm", name, [x, *(graph.constant(f"{name}.{key}", v) for key, v in layer.params.items())])


WRITERS: dict[type[Layer], Callable[[_Graph, str, Any, str], str]] = {
    ShuffleUnit: _shuffle_unit,
    Convolution: _convolution,
    DepthwiseConvolution: _convolution,
    PointwiseConvolution: _convolution,
    BatchNorm: _batch_norm,
    Activation: _activation,
    ChannelShuffle: _channel_shuffle,
    MaxPool: _pool,
    AveragePool: _pool,
    GlobalAveragePool: _global_average_pool,
    Linear: _linear,
}


def _window(kernel: _check.Ints, *, stride: _check.Pair, padding: _check.Padding) -> dict[str, Any]:
    """Return stride and padding as ONNX's attributes."""
    strides = _check.pair("stride", stride, 1)
    if padding == "same":
        return {"strides": strides, "auto_pad": "SAME_UPPER"}  # for any size of the image
    # An explicit padding does not depend on the size: the smallest image that the kernel fits on will do.
    (top, bottom), (left, right) = _check._margins(padding, kernel, kernel, strides)
    return {"strides": strides, "pads": [top, left, bottom, right]}
