"""What a network costs: mult-adds, parameters, activations and bytes moved, forward and backward, layer by layer.

A mult-add is one multiplication with the addition that follows. As in the papers only those of convolutions and of the
classifier count by default, a convolution's by D_K^2 (M/g) N D_F^2 (`npnets.formulas`), with the taps that fall outside
of the image included. What else others count is a `Convention`.

Backward, a convolution has two gradients, each with as many mult-adds as the convolution itself, whatever its groups;
the first layer needs no gradient of its input, the image. The same holds for what else a convention counts: once for
each gradient. (A bias has one, batch norm is taken as the scale and shift that it is after the training.)

What counters print for MobileNet 1.0 at 224 x 224, whose paper's formulas give 568740352; each is in `CONVENTIONS`:

=========================  ==========  ======================================================================
counter                    prints      for besides the mult-adds of convolutions and classifier it counts
=========================  ==========  ======================================================================
fvcore 0.1.5               578875904   2 for each value of batch norm; 1 for each that the global pool reads
thop 0.1.1                 588962304   4 for each value of batch norm; the sums and divisions of average pools
ptflops 0.7.5              589012456   2 for each value of batch norm; ReLU and pools, twice; the bias
ptflops 0.7.5 ("aten")     568741352   the bias
torchinfo 1.8.0            568763240   each parameter of batch norm once, whatever the size of the image; the bias
torch.utils.flop_counter   1137480704  nothing, but each mult-add as two operations
=========================  ==========  ======================================================================

PyTorch's counter can count the backward pass as well, and is wrong there: forward and backward together it gives
11910801408 where 3390766080 is true (ShuffleNet 1x, g = 3: 2093922048 for 808507008). Its gradient of the weight
ignores groups, so that a depthwise convolution's has as many operations as a standard one's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from npnets import _check
from npnets.formulas import taps_inside
from npnets.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    PointwiseConvolution,
    Shape,
    Step,
)
from npnets.models import Network


class Per(NamedTuple):
    """Operations of a layer for each value that it takes, for each that it gives, and for each of its parameters."""

    input: int = 0
    output: int = 0
    parameter: int = 0


@dataclass(frozen=True)
class Convention:
    """What counts as how many operations.

    Attributes
    ----------
    mult_add
        1, or 2 where the multiplication and the addition count each.
    classifier
        Whether the mult-adds of linear layers count.
    others
        What counts besides mult-adds, by type of layer; of a linear layer that is its bias.
    """

    mult_add: int = 1
    classifier: bool = True
    others: Mapping[type[Layer], Per] = field(default_factory=dict)


BIAS: dict[type[Layer], Per] = {Linear: Per(output=1)}

CONVENTIONS = {
    "mult-adds": Convention(),
    "convolutions": Convention(classifier=False),
    "bias": Convention(others=BIAS),
    "batch-norm": Convention(others={**BIAS, BatchNorm: Per(output=1)}),
    "double": Convention(mult_add=2),
    "fvcore": Convention(others={BatchNorm: Per(output=2), GlobalAveragePool: Per(input=1)}),
    "thop": Convention(
        others={BatchNorm: Per(output=4), AveragePool: Per(output=1), GlobalAveragePool: Per(input=1, output=1)}
    ),
    "ptflops": Convention(
        others={
            **BIAS,
            BatchNorm: Per(output=2),
            Activation: Per(output=2),
            **dict.fromkeys((MaxPool, AveragePool, GlobalAveragePool), Per(input=2)),
        }
    ),
    "torchinfo": Convention(others={**BIAS, BatchNorm: Per(parameter=1)}),
}

# What a backward pass reads besides the gradient that flows in: the layer's input, or its output.
NEEDED = {
    **dict.fromkeys((Convolution, DepthwiseConvolution, PointwiseConvolution, Linear, BatchNorm, MaxPool), "input"),
    Activation: "output",
}


class LayerCost(NamedTuple):
    """What one layer costs.

    Attributes
    ----------
    name, layer, in_shape, out_shape
        Which one, and the shapes (H, W, C) or (C,) of an image.
    mult_adds
        By the papers' formula.
    outside
        Of these, the ones whose tap falls outside of the image: `loops` leaves them out, others multiply with zeros.
    forward, backward
        Operations, as the convention counts them.
    parameters
        Everything that is trained.
    activations
        The values that it gives.
    bytes, bytes_backward
        What it reads and writes by itself, at least: input, parameters and output; then the gradients of all three, and
        what they are computed of. (`npnets.compile` moves less, as it fuses layers.)
    """

    name: str
    layer: Layer
    in_shape: Shape
    out_shape: Shape
    mult_adds: int
    outside: int
    forward: int
    backward: int
    parameters: int
    activations: int
    bytes: int
    bytes_backward: int


class Cost(NamedTuple):
    """What a batch of images costs, one image by default, and what a network stores.

    Attributes
    ----------
    mult_adds
        Of convolutions and classifier, by the papers' formula.
    convolutions
        Of convolutions alone, which is what some of the papers' entries count.
    parameters
        Everything that is trained: weights, biases, batch norm's weight and bias.
    weights
        The weights of convolutions and classifier alone.
    running_statistics
        Batch norm's running means and variances.
    layers
        A `LayerCost` for each layer, in the order of the forward pass.
    outside, forward, backward, activations, bytes, bytes_backward
        The sums of the layers'. (The addition or concatenation of a shortcut is no layer, and moves more bytes.)
    """

    mult_adds: int
    convolutions: int
    parameters: int
    weights: int
    running_statistics: int
    layers: tuple[LayerCost, ...]
    outside: int
    forward: int
    backward: int
    activations: int
    bytes: int
    bytes_backward: int


def cost(net: Network, input_shape: Shape, convention: str | Convention = "mult-adds", *, batch: int = 1) -> Cost:
    """Count what `net` costs.

    Parameters
    ----------
    net
        A network.
    input_shape
        (H, W, C) or (H, W).
    convention
        What `forward` and `backward` count: a name of `CONVENTIONS`, or a `Convention`.
    batch
        How many images. Parameters are read once for all of them, everything else grows with it.

    Returns
    -------
    Cost
        Its docstring names the fields.

    Raises
    ------
    TypeError, ValueError
        The shape is not that of an image of the network, or there is no such convention.

    Examples
    --------
    >>> import npnets
    >>> count = npnets.cost(npnets.MobileNetV1(), (224, 224, 3))
    >>> count.mult_adds, count.convolutions, count.parameters
    (568740352, 567716352, 4231976)

    Of these 864608 multiply with the zeros around an image. A step of training has nearly three times as many:

    >>> count.outside, count.forward + count.backward
    (864608, 1695383040)
    >>> npnets.cost(npnets.MobileNetV1(), (224, 224, 3), "fvcore").forward
    578875904
    """
    shape = _shape(net, input_shape)
    if not isinstance(convention, Convention):
        _check.one_of("convention", convention, CONVENTIONS)
        convention = CONVENTIONS[convention]
    steps, _ = net.walk(shape, "")
    layers = tuple(_layers(steps, convention, _check.integer("batch", batch, 1), net.dtype.itemsize))
    own = [layer for _, layer in net.layers()]

    def total(name: str) -> int:
        return sum(getattr(layer, name) for layer in layers)

    return Cost(
        mult_adds=total("mult_adds"),
        convolutions=sum(layer.mult_adds for layer in layers if not isinstance(layer.layer, Linear)),
        parameters=total("parameters"),
        weights=sum(value.size for layer in own for value in layer.params.values() if value.ndim > 1),
        running_statistics=sum(value.size for layer in own for value in layer.buffers.values()),
        layers=layers,
        **{name: total(name) for name in ("outside", "forward", "backward", "activations", "bytes", "bytes_backward")},
    )


def _layers(steps: list[Step], convention: Convention, batch: int, itemsize: int) -> Iterator[LayerCost]:
    trained = False  # whether anything before has parameters, so that a gradient must flow back through this layer
    for step in steps:
        layer, taken, given = step.layer, batch * prod(step.in_shape), batch * prod(step.out_shape)
        parameters = sum(value.size for value in layer.params.values())
        statistics = sum(value.size for value in layer.buffers.values())
        gradients = trained + bool(parameters)
        mult_adds = batch * step.mult_adds
        counted = convention.mult_add * mult_adds * (convention.classifier or not isinstance(layer, Linear))
        per = convention.others.get(type(layer), Per())
        other = per.input * taken + per.output * given + per.parameter * parameters
        kept = {"input": taken, "output": given}.get(NEEDED.get(type(layer), ""), 0)
        back = given + kept + trained * taken + gradients * parameters
        yield LayerCost(
            step.name,
            layer,
            step.in_shape,
            step.out_shape,
            mult_adds,
            outside=mult_adds - batch * _inside(step),
            forward=counted + other,
            backward=gradients * counted + (1 if isinstance(layer, Linear) else gradients) * other,
            parameters=parameters,
            activations=given,
            bytes=itemsize * (taken + parameters + statistics + given),
            bytes_backward=itemsize * back * bool(gradients),
        )
        trained = trained or bool(parameters)


def _inside(step: Step) -> int:
    """Return the mult-adds of the taps inside of the image."""
    window: dict[str, Any] | None = getattr(step.layer, "window", None)
    if window is None or not step.mult_adds:
        return step.mult_adds
    weight = step.layer.params["weight"]
    sides, kernel = (step.in_shape[0], step.in_shape[1]), (weight.shape[0], weight.shape[1])
    place = _check.window(sides, kernel, **window)
    rows, columns = (
        taps_inside(sides[a], kernel[a], place.out[a], stride=place.stride[a], before=place.before[a]) for a in (0, 1)
    )
    return weight.size // prod(kernel) * rows * columns


def _shape(net: Network, input_shape: Shape) -> Shape:
    """Return the shape of an image, which may have been given without its channels."""
    if not isinstance(input_shape, tuple | list):
        raise TypeError(f"`input_shape` (={input_shape!r}) must be (H, W, {net.in_channels})")
    sides = tuple(_check.integer("input_shape", side, 1) for side in input_shape)
    if len(sides) not in (2, 3) or sides[2:] not in ((), (net.in_channels,)):
        raise ValueError(f"`input_shape` (={input_shape}) must be (H, W, {net.in_channels})")
    return *sides[:2], net.in_channels
