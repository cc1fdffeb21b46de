"""Where weights come from: the names that each framework gives, and how its network differs from the paper's, as data.

A layer's name is a pattern in which # is a number, and stands beside the name of npnets' layer. Units and blocks are
numbered through all stages here, in the order of their numbers there. What the differences mean stands in the table of
`npnets.weights`.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from npnets._check import Array
from npnets.models import MobileNetV1, ShuffleNetV1
from npnets.preprocessing import Preprocessing
from npnets.weights.layout import from_hwio, from_oihw

# A layer's arrays, as Keras, TensorFlow and PyTorch call them.
ARRAYS = {
    **{name: "weight" for name in ("weight", "gamma", "kernel", "weights", "depthwise_kernel", "depthwise_weights")},
    **{name: "bias" for name in ("bias", "beta", "biases")},
    **{name: "running_mean" for name in ("running_mean", "moving_mean")},
    **{name: "running_var" for name in ("running_var", "moving_variance")},
}

# Counters, and what only training needs: they say nothing about the function.
IGNORED = re.compile(r"(^|[./])(num_batches_tracked|global_step|ExponentialMovingAverage|Momentum|RMSProp(_1)?)$")


class Place(NamedTuple):
    """Where an array belongs: layer `stem`, `block`, `unit` or `classifier`; its numbers; its part, such as `norm`."""

    layer: str
    numbers: tuple[int, ...]
    part: str
    array: str


@dataclass(frozen=True)
class Source:
    """One way to name the arrays of a network, and what such weights expect of it.

    Attributes
    ----------
    name, network
        As `load_weights` takes it; the class of the network.
    layers
        Pattern of the layer's name there: name here.
    turn
        Turns a kernel into npnets' order of axes.
    options
        Arguments of the network in which these weights differ from its defaults.
    preprocessing
        What they expect of an image.
    without_bias
        Whether the classifier has none.
    """

    name: str
    network: type[MobileNetV1 | ShuffleNetV1]
    layers: Mapping[str, str]
    turn: Callable[[Array, str], Array]
    options: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    without_bias: bool = False

    @property
    def untold(self) -> bool:
        """Whether such names say nothing of the network: it has any options."""
        return self.name in ("npnets", "order")

    def place(self, name: str) -> Place | None:
        """Return where the array of this name belongs, or None."""
        found = re.fullmatch(r"(.+)[./](\w+)", name.removesuffix(":0"))
        if not found or found[2] not in ARRAYS:
            return None
        for pattern, layer in self.layers.items():
            if numbers := _compiled(pattern).fullmatch(found[1]):
                where, _, part = layer.partition(".")
                return Place(where, tuple(map(int, numbers.groups())), part, ARRAYS[found[2]])
        return None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\#", r"(\d{1,4})"))


def _unturned(weight: Array, part: str) -> Array:
    return weight


def _float32(*values: float) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)


TENSORFLOW = {"activation": "relu6", "padding": "same", "bn_eps": 1e-3, "bn_momentum": 0.01}
FROM_MINUS_1_TO_1 = Preprocessing((0.5,) * 3, (0.5,) * 3, side=224)
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), side=224)

SOURCES = (
    Source(
        "npnets",
        MobileNetV1,
        {
            "stem.conv": "stem.conv",
            "stem.norm": "stem.norm",
            "block#.depthwise": "block.depthwise",
            "block#.depthwise_norm": "block.depthwise_norm",
            "block#.pointwise": "block.pointwise",
            "block#.pointwise_norm": "block.pointwise_norm",
            "classifier": "classifier",
        },
        _unturned,
    ),
    Source(
        "npnets",
        ShuffleNetV1,
        {
            "stem.conv": "stem.conv",
            "stem.norm": "stem.norm",
            "stage#_unit#.reduce": "unit.reduce",
            "stage#_unit#.reduce_norm": "unit.reduce_norm",
            "stage#_unit#.depthwise": "unit.depthwise",
            "stage#_unit#.depthwise_norm": "unit.depthwise_norm",
            "stage#_unit#.expand": "unit.expand",
            "stage#_unit#.expand_norm": "unit.expand_norm",
            "classifier": "classifier",
        },
        _unturned,
    ),
    Source(
        "keras",
        MobileNetV1,
        {
            "conv1": "stem.conv",
            "conv1_bn": "stem.norm",
            "conv_dw_#": "block.depthwise",
            "conv_dw_#_bn": "block.depthwise_norm",
            "conv_pw_#": "block.pointwise",
            "conv_pw_#_bn": "block.pointwise_norm",
            "conv_preds": "classifier",
        },
        from_hwio,
        TENSORFLOW,
        FROM_MINUS_1_TO_1,
    ),
    Source(
        "tf-slim",
        MobileNetV1,
        {
            "MobilenetV1/Conv2d_0": "stem.conv",
            "MobilenetV1/Conv2d_0/BatchNorm": "stem.norm",
            "MobilenetV1/Conv2d_#_depthwise": "block.depthwise",
            "MobilenetV1/Conv2d_#_depthwise/BatchNorm": "block.depthwise_norm",
            "MobilenetV1/Conv2d_#_pointwise": "block.pointwise",
            "MobilenetV1/Conv2d_#_pointwise/BatchNorm": "block.pointwise_norm",
            "MobilenetV1/Logits/Conv2d_1c_1x1": "classifier",
        },
        from_hwio,
        TENSORFLOW,
        FROM_MINUS_1_TO_1,
    ),
    Source(
        "timm",
        MobileNetV1,
        {
            "conv_stem": "stem.conv",
            "bn1": "stem.norm",
            "blocks.#.#.conv_dw": "block.depthwise",
            "blocks.#.#.bn1": "block.depthwise_norm",
            "blocks.#.#.conv_pw": "block.pointwise",
            "blocks.#.#.bn2": "block.pointwise_norm",
            "classifier": "classifier",
        },
        from_oihw,
        {"activation": "relu6"},
        FROM_MINUS_1_TO_1,
    ),
    Source(
        "pytorchcv",
        MobileNetV1,
        {
            "features.init_block.conv": "stem.conv",
            "features.init_block.bn": "stem.norm",
            "features.stage#.unit#.dw_conv.conv": "block.depthwise",
            "features.stage#.unit#.dw_conv.bn": "block.depthwise_norm",
            "features.stage#.unit#.pw_conv.conv": "block.pointwise",
            "features.stage#.unit#.pw_conv.bn": "block.pointwise_norm",
            "output": "classifier",
        },
        from_oihw,
        preprocessing=IMAGENET,
    ),
    Source(
        "pytorchcv",
        ShuffleNetV1,
        {
            "features.init_block.conv": "stem.conv",
            "features.init_block.bn": "stem.norm",
            "features.stage#.unit#.compress_conv1": "unit.reduce",
            "features.stage#.unit#.compress_bn1": "unit.reduce_norm",
            "features.stage#.unit#.dw_conv2": "unit.depthwise",
            "features.stage#.unit#.dw_bn2": "unit.depthwise_norm",
            "features.stage#.unit#.expand_conv3": "unit.expand",
            "features.stage#.unit#.expand_bn3": "unit.expand_norm",
            "output": "classifier",
        },
        from_oihw,
        {"concat": "branch first"},
        IMAGENET,
    ),
    Source(
        "megvii",
        ShuffleNetV1,
        {
            "first_conv.0": "stem.conv",
            "first_conv.1": "stem.norm",
            "features.#.branch_main_1.0": "unit.reduce",
            "features.#.branch_main_1.1": "unit.reduce_norm",
            "features.#.branch_main_1.3": "unit.depthwise",
            "features.#.branch_main_1.4": "unit.depthwise_norm",
            "features.#.branch_main_2.0": "unit.expand",
            "features.#.branch_main_2.1": "unit.expand_norm",
            "classifier.0": "classifier",
        },
        from_oihw,
        {"shuffle": "after", "shuffle_inverse": True},
        Preprocessing((0.0,) * 3, (1 / 255,) * 3, "BGR", 224),
        without_bias=True,
    ),
    Source(
        "cifar10-shufflenet",
        ShuffleNetV1,
        {
            "conv1": "stem.conv",
            "bn1": "stem.norm",
            "stage#.#.gconv1": "unit.reduce",
            "stage#.#.bn1": "unit.reduce_norm",
            "stage#.#.dwconv": "unit.depthwise",
            "stage#.#.bn": "unit.depthwise_norm",
            "stage#.#.gconv2": "unit.expand",
            "stage#.#.bn2": "unit.expand_norm",
            "fc": "classifier",
        },
        from_oihw,
        {
            "stem_stride": 1,
            "stem_pool": False,
            "stage_strides": (1, 2, 2),
            "shortcut_pool": 2,
            "concat": "branch first",
        },
        Preprocessing(
            _float32(0.53129727, 0.5259391, 0.52069134), _float32(0.28938246, 0.28505746, 0.27971658), side=32
        ),
    ),
)

NAMES = tuple(dict.fromkeys(source.name for source in SOURCES))
