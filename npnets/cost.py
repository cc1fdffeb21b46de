"""What a network costs: mult-adds and parameters, layer by layer, by the papers' formulas.

A mult-add is one multiplication with the addition that follows. As in the papers only those of convolutions and of the
classifier count; batch norm, activations, pools and biases do not. A convolution counts D_K^2 (M/g) N D_F^2, with the
taps that fall outside of the image included.
"""

from typing import NamedTuple

from npnets import _check
from npnets.layers import Linear, Shape, Step
from npnets.models import Network


class Cost(NamedTuple):
    """What one image costs, and what a network stores.

    Attributes
    ----------
    mult_adds
        Of convolutions and classifier.
    convolutions
        Of convolutions alone, which is what some of the papers' entries count.
    parameters
        Everything that is trained: weights, biases, batch norm's weight and bias.
    weights
        The weights of convolutions and classifier alone.
    running_statistics
        Batch norm's running means and variances.
    layers
        A `Step` for each layer: name, layer, in_shape, out_shape, mult_adds.
    """

    mult_adds: int
    convolutions: int
    parameters: int
    weights: int
    running_statistics: int
    layers: tuple[Step, ...]


def cost(net: Network, input_shape: Shape) -> Cost:
    """Count what `net` costs for one image.

    Parameters
    ----------
    net
        A network.
    input_shape
        (H, W, C) or (H, W).

    Returns
    -------
    Cost
        Its docstring names the fields.

    Raises
    ------
    TypeError, ValueError
        The shape is not that of an image of the network.

    Examples
    --------
    >>> import npnets
    >>> count = npnets.cost(npnets.MobileNetV1(), (224, 224, 3))
    >>> count.mult_adds, count.convolutions, count.parameters
    (568740352, 567716352, 4231976)
    """
    if not isinstance(input_shape, tuple | list):
        raise TypeError(f"`input_shape` (={input_shape!r}) must be (H, W, {net.in_channels})")
    sides = tuple(_check.integer("input_shape", side, 1) for side in input_shape)
    if len(sides) not in (2, 3) or sides[2:] not in ((), (net.in_channels,)):
        raise ValueError(f"`input_shape` (={input_shape}) must be (H, W, {net.in_channels})")
    steps, _ = net.walk((*sides[:2], net.in_channels), "")
    total = sum(step.mult_adds for step in steps)
    own = [layer for _, layer in net.layers()]
    return Cost(
        mult_adds=total,
        convolutions=total - sum(step.mult_adds for step in steps if isinstance(step.layer, Linear)),
        parameters=sum(value.size for layer in own for value in layer.params.values()),
        weights=sum(value.size for layer in own for value in layer.params.values() if value.ndim > 1),
        running_statistics=sum(value.size for layer in own for value in layer.buffers.values()),
        layers=tuple(steps),
    )
