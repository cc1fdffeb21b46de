"""MobileNet V1: a table from the paper (MobileNets, arXiv 1704.04861, table 1) and the loop that builds it."""

from collections.abc import Sequence
from typing import Unpack

from npnets import _check
from npnets.layers import GlobalAveragePool, Layer, Sequential
from npnets.models.network import Builder, Network, Options

# One row for each block: depthwise 3 x 3 with this stride, then pointwise to so many channels.
# The paper prints "s2" for the last depthwise too, with 7 x 7 in and out: it is stride 1.
BODY = (
    # out, stride      side at 224
    (64, 1),  #        112
    (128, 2),  #        56
    (128, 1),
    (256, 2),  #        28
    (256, 1),
    (512, 2),  #        14
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),  #        7
    (1024, 1),
)
STEM = 32


class MobileNetV1(Network):
    """MobileNet V1: a 3 x 3 convolution, depthwise separable blocks, global average pool, classifier.

    Every convolution is followed by batch norm and activation and has no bias. With the defaults it is the paper's
    network, with symmetric padding 1 (as in PyTorch; TensorFlow's is `padding="same"`).

    Parameters
    ----------
    width
        The width multiplier alpha: every layer has max(8, int(alpha channels)) channels.
    num_classes
        How many logits.
    in_channels
        Of the images: 3 for colour, 1 for grey.
    seed
        Of the random initialisation.
    rows
        The body, a pair (channels, stride) for each block, before the width multiplier; `BODY` is the paper's.
    stem_stride
        2, or 1 for small images.
    activation
        "relu" (the paper), "relu6" (TensorFlow, Keras, timm) or "leaky_relu", with `negative_slope`.
    padding
        Of all 3 x 3 convolutions: 1, or "same" (TensorFlow: at stride 2 on an even side, 0 above and 1 below).
    bn_eps, bn_momentum
        Of batch norm: added to the variance; the weight of the new statistic in the running one.
    dtype
        float32 or float64: of parameters, and so of images.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> net = MobileNetV1(width=0.25, num_classes=10)
    >>> net(np.zeros((2, 65, 57, 3), np.float32)).shape
    (2, 10)
    >>> list(net.state_dict())[:6]
    ['stem.conv.weight', 'stem.norm.weight', 'stem.norm.bias', 'stem.norm.running_mean', 'stem.norm.running_var', \
'block1.depthwise.weight']
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        seed: int = 0,
        rows: Sequence[tuple[int, int]] = BODY,
        stem_stride: int = 2,
        **options: Unpack[Options],
    ) -> None:
        build = Builder(type(self), seed, **options)
        channels, *outputs = channels_of(width, rows)
        layers: dict[str, Layer] = {
            "stem": Sequential(
                conv=build.conv(_check.integer("in_channels", in_channels, 1), channels, stem_stride),
                norm=build.norm(channels),
                activation=build.activation(),
            )
        }
        for number, (out, (_, stride)) in enumerate(zip(outputs, rows, strict=True), 1):
            layers[f"block{number}"] = Sequential(
                depthwise=build.depthwise(channels, stride),
                depthwise_norm=build.norm(channels),
                depthwise_activation=build.activation(),
                pointwise=build.pointwise(channels, out),
                pointwise_norm=build.norm(out),
                pointwise_activation=build.activation(),
            )
            channels = out
        layers["pool"] = GlobalAveragePool()
        layers["classifier"] = build.linear(channels, _check.integer("num_classes", num_classes, 1))
        super().__init__(in_channels, build.dtype, **layers)


def channels_of(width: float, rows: Sequence[tuple[int, int]]) -> list[int]:
    """Return the channels of the stem and of each block, after the width multiplier."""
    _check.number("width", width, least=0.0, strictly=True)
    if not isinstance(rows, Sequence):
        raise TypeError(f"`rows` (={rows!r}) must be a sequence of pairs (channels, stride)")
    return [max(8, int(width * channels)) for channels in (STEM, *(_row(row)[0] for row in rows))]


def _row(row: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(row, tuple | list) or len(row) != 2:
        raise ValueError(f"`rows` must be pairs (channels, stride), and holds {row!r}")
    return _check.integer("rows", row[0], 1), _check.integer("rows", row[1], 1)
