"""Layers: an operation together with its parameters, their gradients, and what the backward pass needs.

A layer's `forward` keeps, once, what its `backward` will ask for; `backward` takes the gradient of the loss by the
layer's output, writes the gradients of its parameters and returns the one of its input. The mathematics stands in
`npnets.ops`, and nothing of it here.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from npnets import _check, ops
from npnets._check import Array, Padding, Pair

Shape = tuple[int, ...]


class Step(NamedTuple):
    """What one layer does to one image: shapes without the batch, (H, W, C) or (C,)."""

    name: str
    layer: "Layer"
    in_shape: Shape
    out_shape: Shape
    mult_adds: int


class Layer:
    """What all layers have in common.

    Attributes
    ----------
    params, grads, buffers
        The layer's own arrays by name: what is trained, the gradients of the last backward pass under the same names,
        and what belongs to the state without being trained (running statistics).
    children
        The layers inside of this one by name, in the order of the forward pass.
    training
        Whether batch norm uses the statistics of the batch.
    frozen
        Whether the layer stays as it is: see `Network.freeze`.
    """

    def __init__(self, **children: "Layer") -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.children = children
        self.training = True
        self.frozen = False
        self._kept: Any = None

    def forward(self, x: Array) -> Array:
        """Return the output for `x`, and keep what `backward` needs."""
        raise NotImplementedError

    def backward(self, dout: Array) -> Array:
        """Return the gradient of the input; those of the parameters are then in `grads`."""
        raise NotImplementedError

    def out_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for one image of `shape`, both without the batch."""
        return shape

    def mult_adds(self, shape: Shape) -> int:
        """Return how many multiply-adds the papers' formula counts for one image of `shape`."""
        return 0

    def walk(self, shape: Shape, name: str) -> tuple[list[Step], Shape]:
        """Return a step for each layer inside, in the order of the forward pass, and the shape that comes out."""
        out = self.out_shape(shape)
        return [Step(name, self, shape, out, self.mult_adds(shape))], out

    def layers(self, name: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yield this layer and all inside of it with their full names, in the order of the forward pass."""
        yield name, self
        for child_name, child in self.children.items():
            yield from child.layers(f"{name}.{child_name}" if name else child_name)

    def drop(self, name: str) -> None:
        """Take the child of this name out."""
        del self.children[name]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a forward pass keeps: a copy has had none, and large batches are not copied."""
        return self.__dict__ | {"_kept": None}

    def _keep(self, *values: Any) -> None:
        self._kept = values

    def _take(self) -> Any:
        """Return what `forward` kept, and let go of it: the memory is free as soon as the gradient is computed."""
        if self._kept is None:
            raise RuntimeError("backward needs a forward pass before it, one for each backward pass")
        kept, self._kept = self._kept, None
        return kept


class Sequential(Layer):
    """One layer after the other."""

    def forward(self, x: Array) -> Array:
        """Return the last layer's output."""
        for child in self.children.values():
            x = child.forward(x)
        return x

    def backward(self, dout: Array) -> Array:
        """Return the gradient of the first layer's input."""
        for child in reversed(self.children.values()):
            dout = child.backward(dout)
        return dout

    def walk(self, shape: Shape, name: str) -> tuple[list[Step], Shape]:
        """Return the steps of all layers, and the shape that the last one gives."""
        steps = []
        for child_name, child in self.children.items():
            inside, shape = child.walk(shape, f"{name}.{child_name}" if name else child_name)
            steps += inside
        return steps, shape


class BiasedLayer(Layer):
    """A layer with a weight and, where there is one, a bias for each channel of its output.

    The papers' convolutions have none, as batch norm would take it off; `fold_batch_norm` makes one of what it adds.
    """

    def __init__(self, weight: Array, bias: Array | None = None) -> None:
        super().__init__()
        self.params["weight"] = weight
        if bias is not None:
            self.params["bias"] = bias

    def _add_bias(self, out: Array) -> Array:
        return ops.bias_add(out, self.params["bias"]) if "bias" in self.params else out

    def _add_bias_backward(self, dout: Array) -> Array:
        if "bias" in self.params:
            dout, self.grads["bias"] = ops.bias_add_backward(dout)
        return dout


class Convolution(BiasedLayer):
    """Standard or group convolution, weight (KH, KW, M/groups, N), bias (N,) or none."""

    def __init__(
        self, weight: Array, bias: Array | None = None, *, stride: Pair = 1, padding: Padding = 0, groups: int = 1
    ) -> None:
        super().__init__(weight, bias)
        self.window: dict[str, Any] = {"stride": stride, "padding": padding}
        self.groups = groups

    def forward(self, x: Array) -> Array:
        """Return `ops.conv2d` of x, plus the bias."""
        self._keep(x)
        return self._add_bias(ops.conv2d(x, self.params["weight"], groups=self.groups, **self.window))

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.conv2d_backward`."""
        (x,) = self._take()
        dx, self.grads["weight"] = ops.conv2d_backward(
            self._add_bias_backward(dout), x, self.params["weight"], groups=self.groups, **self.window
        )
        return dx

    def out_shape(self, shape: Shape) -> Shape:
        """Return (H', W', N)."""
        weight = self.params["weight"]
        return *_check.window((shape[0], shape[1]), weight.shape[:2], **self.window).out, weight.shape[3]

    def mult_adds(self, shape: Shape) -> int:
        """Return KH KW (M/g) N H' W'."""
        return self.params["weight"].size * prod(self.out_shape(shape)[:2])


class DepthwiseConvolution(BiasedLayer):
    """Depthwise convolution, weight (KH, KW, M), bias (M,) or none."""

    def __init__(self, weight: Array, bias: Array | None = None, *, stride: Pair = 1, padding: Padding = 0) -> None:
        super().__init__(weight, bias)
        self.window: dict[str, Any] = {"stride": stride, "padding": padding}

    def forward(self, x: Array) -> Array:
        """Return `ops.depthwise_conv2d` of x, plus the bias."""
        self._keep(x)
        return self._add_bias(ops.depthwise_conv2d(x, self.params["weight"], **self.window))

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.depthwise_conv2d_backward`."""
        (x,) = self._take()
        dx, self.grads["weight"] = ops.depthwise_conv2d_backward(
            self._add_bias_backward(dout), x, self.params["weight"], **self.window
        )
        return dx

    def out_shape(self, shape: Shape) -> Shape:
        """Return (H', W', M)."""
        weight = self.params["weight"]
        return *_check.window((shape[0], shape[1]), weight.shape[:2], **self.window).out, weight.shape[2]

    def mult_adds(self, shape: Shape) -> int:
        """Return KH KW M H' W'."""
        return self.params["weight"].size * prod(self.out_shape(shape)[:2])


class PointwiseConvolution(BiasedLayer):
    """Pointwise convolution, weight (M/groups, N), bias (N,) or none."""

    def __init__(self, weight: Array, bias: Array | None = None, *, groups: int = 1) -> None:
        super().__init__(weight, bias)
        self.groups = groups

    def forward(self, x: Array) -> Array:
        """Return `ops.pointwise_conv2d` of x, plus the bias."""
        self._keep(x)
        return self._add_bias(ops.pointwise_conv2d(x, self.params["weight"], groups=self.groups))

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.pointwise_conv2d_backward`."""
        (x,) = self._take()
        dx, self.grads["weight"] = ops.pointwise_conv2d_backward(
            self._add_bias_backward(dout), x, self.params["weight"], groups=self.groups
        )
        return dx

    def out_shape(self, shape: Shape) -> Shape:
        """Return (H, W, N)."""
        return *shape[:2], self.params["weight"].shape[1]

    def mult_adds(self, shape: Shape) -> int:
        """Return (M/g) N H W."""
        return self.params["weight"].size * prod(shape[:2])


class BatchNorm(Layer):
    """Batch normalisation with running statistics.

    `momentum` weighs the new statistic, as in PyTorch: running = (1 - momentum) running + momentum new. What is stored
    as variance is the unbiased one, n / (n - 1) times the variance that normalises the batch, again as in PyTorch.
    """

    def __init__(self, channels: int, *, eps: float, momentum: float, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.params = {"weight": np.ones(channels, dtype), "bias": np.zeros(channels, dtype)}
        self.buffers = {"running_mean": np.zeros(channels, dtype), "running_var": np.ones(channels, dtype)}

    def forward(self, x: Array) -> Array:
        """Return `ops.batch_norm_train` of x and move the running statistics, or `ops.batch_norm_eval`."""
        weight, bias = self.params.values()
        if not self.training:
            self._keep(x, None)
            return ops.batch_norm_eval(x, weight, bias, **self.buffers, eps=self.eps)
        out, mean, inv_std = ops.batch_norm_train(x, weight, bias, eps=self.eps)
        self._keep(x, (mean, inv_std))
        n = x.size // x.shape[-1]
        biased = np.maximum(1 / inv_std.astype(np.float64) ** 2 - self.eps, 0)
        self._move("running_mean", mean)
        self._move("running_var", biased * (n / (n - 1)))
        return out

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.batch_norm_train_backward` or `ops.batch_norm_eval_backward`, after the forward's mode."""
        x, statistics = self._take()
        weight = self.params["weight"]
        if statistics is None:
            gradients = ops.batch_norm_eval_backward(dout, x, weight, **self.buffers, eps=self.eps)
        else:
            gradients = ops.batch_norm_train_backward(dout, x, weight, *statistics)
        dx, self.grads["weight"], self.grads["bias"] = gradients
        return dx

    def affine(self) -> tuple[Array, Array]:
        """Return scale and shift, in float64: in eval mode the output is scale x + shift."""
        weight, bias, mean, variance = (
            value.astype(np.float64) for value in (*self.params.values(), *self.buffers.values())
        )
        scale = weight / np.sqrt(variance + self.eps)
        return scale, bias - mean * scale

    def _move(self, name: str, new: Array) -> None:
        running = self.buffers[name]
        running *= 1 - self.momentum
        running += (self.momentum * new).astype(running.dtype)


class Activation(Layer):
    """ReLU, ReLU6 or LeakyReLU.

    What is kept is the output, which the next layer keeps as its input anyway: the gradient needs only to know where it
    is positive (and less than 6).
    """

    KINDS = ("relu", "relu6", "leaky_relu")

    def __init__(self, kind: str, negative_slope: float = 0.01) -> None:
        super().__init__()
        _check.one_of("activation", kind, self.KINDS)
        self.kind, self.negative_slope = kind, negative_slope
        self._options = {"negative_slope": negative_slope} if kind == "leaky_relu" else {}

    def forward(self, x: Array) -> Array:
        """Return the activation of x."""
        out: Array = getattr(ops, self.kind)(x, **self._options)
        self._keep(out)
        return out

    def backward(self, dout: Array) -> Array:
        """Return dx."""
        (out,) = self._take()
        dx: Array = getattr(ops, f"{self.kind}_backward")(dout, out, **self._options)
        return dx


class ChannelShuffle(Layer):
    """Channel shuffle among `groups` groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Array) -> Array:
        """Return `ops.channel_shuffle` of x."""
        return ops.channel_shuffle(x, self.groups)

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.channel_shuffle_backward`."""
        return ops.channel_shuffle_backward(dout, self.groups)


class MaxPool(Layer):
    """Max pooling."""

    def __init__(self, kernel_size: Pair, *, stride: Pair, padding: Padding = 0) -> None:
        super().__init__()
        self.size = kernel_size
        self.window: dict[str, Any] = {"stride": stride, "padding": padding}

    def forward(self, x: Array) -> Array:
        """Return `ops.max_pool2d` of x."""
        self._keep(x)
        return ops.max_pool2d(x, self.size, **self.window)

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.max_pool2d_backward`."""
        (x,) = self._take()
        return ops.max_pool2d_backward(dout, x, self.size, **self.window)

    def out_shape(self, shape: Shape) -> Shape:
        """Return (H', W', C)."""
        size = _check.pair("kernel_size", self.size, 1)
        return *_check.window((shape[0], shape[1]), size, **self.window, pooling=True).out, shape[2]


class AveragePool(MaxPool):
    """Average pooling."""

    def __init__(
        self, kernel_size: Pair, *, stride: Pair, padding: Padding = 0, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: Array) -> Array:
        """Return `ops.avg_pool2d` of x."""
        self._keep(x.shape)
        return ops.avg_pool2d(x, self.size, count_include_pad=self.count_include_pad, **self.window)

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.avg_pool2d_backward`."""
        (shape,) = self._take()
        return ops.avg_pool2d_backward(dout, shape, self.size, count_include_pad=self.count_include_pad, **self.window)


class GlobalAveragePool(Layer):
    """The mean of each channel over the image."""

    def forward(self, x: Array) -> Array:
        """Return `ops.global_avg_pool` of x, (B, C)."""
        self._keep(x.shape)
        return ops.global_avg_pool(x)

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.global_avg_pool_backward`."""
        (shape,) = self._take()
        return ops.global_avg_pool_backward(dout, shape)

    def out_shape(self, shape: Shape) -> Shape:
        """Return (C,)."""
        return shape[2:]


class Linear(Layer):
    """Linear layer, weight (M, N) and bias (N,)."""

    def __init__(self, weight: Array) -> None:
        super().__init__()
        self.params = {"weight": weight, "bias": np.zeros(weight.shape[1], weight.dtype)}

    def forward(self, x: Array) -> Array:
        """Return `ops.linear` of x."""
        self._keep(x)
        return ops.linear(x, *self.params.values())

    def backward(self, dout: Array) -> Array:
        """Return dx of `ops.linear_backward`."""
        (x,) = self._take()
        dx, self.grads["weight"], self.grads["bias"] = ops.linear_backward(dout, x, self.params["weight"])
        return dx

    def out_shape(self, shape: Shape) -> Shape:
        """Return (N,)."""
        return self.params["weight"].shape[1:]

    def mult_adds(self, shape: Shape) -> int:
        """Return M N."""
        return self.params["weight"].size
