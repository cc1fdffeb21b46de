"""ShuffleNet V1: a table from the paper (ShuffleNet, arXiv 1707.01083, table 1) and the loop that builds it."""

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets.layers import AveragePool, ChannelShuffle, GlobalAveragePool, Layer, MaxPool, Sequential, Shape, Step
from npnets.models.network import Builder, Network, Options

# (scale, groups): stem channels, channels of the stages 2, 3 and 4. The 1x row is table 1; the other pairs are those
# whose printed mult-adds (tables 2 and 5) these channels give. The stem does not scale linearly, and at other pairs
# channels and groups do not divide: there the channels must be given.
CHANNELS = {
    (1.0, 1): (24, (144, 288, 576)),
    (1.0, 2): (24, (200, 400, 800)),
    (1.0, 3): (24, (240, 480, 960)),
    (1.0, 4): (24, (272, 544, 1088)),
    (1.0, 8): (24, (384, 768, 1536)),
    (0.5, 3): (12, (120, 240, 480)),
    (1.5, 3): (24, (360, 720, 1440)),
    (2.0, 3): (48, (480, 960, 1920)),
    (0.5, 8): (16, (192, 384, 768)),
    (1.5, 8): (24, (576, 1152, 2304)),
    (2.0, 8): (48, (768, 1536, 3072)),
}
UNITS = (4, 8, 4)


class ShuffleUnit(Layer):
    """A ShuffleNet unit (the paper's figure 2), a bottleneck beside a shortcut.

    ::

        branch: pointwise group convolution - norm - activation - shuffle - depthwise - norm -
                pointwise group convolution - norm
        out = activation(x + branch(x))                        where nothing changes shape, or
        out = activation(concat(pool(x), branch(x)))           in a stage's first unit: the branch gives out - in
        channels

    The bottleneck has a quarter of the unit's output channels.
    """

    def __init__(
        self,
        build: Builder,
        inputs: int,
        outputs: int,
        *,
        groups: int,
        first_groups: int,
        stride: int,
        joins: bool,
        pool: AveragePool | None,
        shuffle: ChannelShuffle | None,
        shuffle_before: bool,
        shortcut_first: bool,
    ) -> None:
        middle, expanded = outputs // 4, outputs - inputs if joins else outputs
        mixing: dict[str, Layer] = {} if shuffle is None else {"shuffle": shuffle}
        self.branch = Sequential(
            reduce=build.pointwise(inputs, middle, first_groups),
            reduce_norm=build.norm(middle),
            activation=build.activation(),
            **(mixing if shuffle_before else {}),
            depthwise=build.depthwise(middle, stride),
            depthwise_norm=build.norm(middle),
            **({} if shuffle_before else mixing),
            expand=build.pointwise(middle, expanded, groups),
            expand_norm=build.norm(expanded),
        )
        self.pool, self.joins, self.shortcut_first = pool, joins, shortcut_first
        self.after = build.activation()
        shortcut: dict[str, Layer] = {} if pool is None else {"pool": pool}
        super().__init__(**self.branch.children, **shortcut, after=self.after)

    def forward(self, x: Array) -> Array:
        """Return the unit's output."""
        branch = self.branch.forward(x)
        shortcut = x if self.pool is None else self.pool.forward(x)
        _same_sides(shortcut.shape[1:], branch.shape[1:], x.shape[1:])
        if not self.joins:
            return self.after.forward(shortcut + branch)
        self._keep(shortcut.shape[3])
        return self.after.forward(np.concatenate([shortcut, branch] if self.shortcut_first else [branch, shortcut], 3))

    def backward(self, dout: Array) -> Array:
        """Return the gradient of the input: what flows through the branch and through the shortcut, added."""
        dout = self.after.backward(dout)
        dbranch = dshortcut = dout
        if self.joins:
            (channels,) = self._take()
            if self.shortcut_first:
                dshortcut, dbranch = dout[..., :channels], dout[..., channels:]
            else:
                dbranch, dshortcut = dout[..., :-channels], dout[..., -channels:]
        return self.branch.backward(dbranch) + (dshortcut if self.pool is None else self.pool.backward(dshortcut))

    def drop(self, name: str) -> None:
        """Take the child of this name, one of the branch, out."""
        super().drop(name)
        self.branch.drop(name)

    def walk(self, shape: Shape, name: str) -> tuple[list[Step], Shape]:
        """Return the steps of the branch, the shortcut and the last activation, and the shape that comes out."""
        steps, out = self.branch.walk(shape, name)
        shortcut = shape
        if self.pool is not None:
            pooling, shortcut = self.pool.walk(shape, f"{name}.pool")
            steps += pooling
        _same_sides(shortcut, out, shape)
        if self.joins:
            out = *out[:2], shape[2] + out[2]
        steps += self.after.walk(out, f"{name}.after")[0]
        return steps, out


def _same_sides(shortcut: Shape, branch: Shape, x: Shape) -> None:
    """Refuse shapes (H, W, C) of shortcut and branch that cannot be added or joined."""
    if shortcut[:2] != branch[:2]:
        raise ValueError(
            f"the shortcut has {shortcut[0]} x {shortcut[1]} pixels and the branch {branch[0]} x {branch[1]}, "
            f'for an input of {x[0]} x {x[1]}: `padding` must keep the sides of a 3 x 3 convolution (1 or "same"), '
            "and `shortcut_pool` (=2) needs even sides wherever the stride is 2"
        )


class ShuffleNetV1(Network):
    """ShuffleNet V1: a 3 x 3 convolution, max pool, three stages of shuffle units, global average pool, classifier.

    With the defaults it is the paper's network. Known variants are arguments: the authors' own code shuffles after the
    depthwise with the inverse order (`shuffle="after"`, `shuffle_inverse=True`); networks for 32 x 32 images have
    `stem_stride=1, stem_pool=False`; pytorchcv joins with `concat="branch first"`.

    Parameters
    ----------
    groups, scale
        g and the scale factor; their channels are looked up in `CHANNELS`, which holds the pairs that the paper's
        counts pin down. Any other pair needs `stem_channels` and `stage_channels`.
    num_classes, in_channels, seed
        How many logits; channels of the images; of the random initialisation.
    stem_channels, stage_channels
        Channels of the first convolution, and of the units of each stage; instead of the table's.
    stage_units
        How many units each stage has, the first one included.
    stage_strides
        The stride of each stage's first unit, 1 or 2. Where it is 1 the shortcut is not pooled.
    stem_stride, stem_pool
        Stride of the first convolution; whether the 3 x 3 max pool of stride 2 follows it.
    shortcut_pool
        The side of the shortcut's average pool of stride 2: 3, with padding, or 2, without, which needs even sides.
    count_include_pad
        Whether the shortcut's mean counts the zeros around the image (PyTorch, Caffe) or not (TensorFlow).
    concat
        "shortcut first" (the paper), or "branch first".
    shuffle, shuffle_inverse
        "before" the depthwise convolution (the paper), "after" it, or None for no shuffle (the paper's table 3);
        whether it is the inverse permutation.
    activation, negative_slope, padding, bn_eps, bn_momentum, dtype
        As in `MobileNetV1`.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules, or channels and groups do not divide; the message names it, its value and
        the rule.

    Examples
    --------
    >>> import numpy as np
    >>> net = ShuffleNetV1(groups=3, scale=0.5, num_classes=10)
    >>> net(np.zeros((2, 65, 57, 3), np.float32)).shape
    (2, 10)
    """

    def __init__(
        self,
        *,
        groups: int = 3,
        scale: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        seed: int = 0,
        stem_channels: int | None = None,
        stage_channels: Sequence[int] | None = None,
        stage_units: Sequence[int] | None = None,
        stage_strides: Sequence[int] | None = None,
        stem_stride: int = 2,
        stem_pool: bool = True,
        shortcut_pool: Literal[2, 3] = 3,
        count_include_pad: bool = True,
        concat: Literal["shortcut first", "branch first"] = "shortcut first",
        shuffle: Literal["before", "after"] | None = "before",
        shuffle_inverse: bool = False,
        **options: Unpack[Options],
    ) -> None:
        groups = _check.integer("groups", groups, 1)
        stem, stages = channels_of(groups, scale, stem_channels, stage_channels)
        units = _each_stage("stage_units", UNITS if stage_units is None else stage_units, stages)
        strides = _each_stage("stage_strides", [2] * len(stages) if stage_strides is None else stage_strides, stages)
        _check.one_of("stage_strides", max(strides), (1, 2))
        _check.one_of("shortcut_pool", shortcut_pool, (2, 3))
        _check.one_of("concat", concat, ("shortcut first", "branch first"))
        _check.one_of("shuffle", shuffle, ("before", "after", None))
        build = Builder(type(self), seed, **options)

        stem_layers: dict[str, Layer] = {
            "conv": build.conv(_check.integer("in_channels", in_channels, 1), stem, stem_stride),
            "norm": build.norm(stem),
            "activation": build.activation(),
        }
        if stem_pool:
            stem_layers["pool"] = MaxPool(3, stride=2, padding=build.padding)
        layers: dict[str, Layer] = {"stem": Sequential(**stem_layers)}

        inputs = stem
        for stage, (outputs, count, stride) in enumerate(zip(stages, units, strides, strict=True), 2):
            _divides(stage, inputs, outputs, groups)
            for unit in range(1, count + 1):
                first = unit == 1
                pools = first and stride == 2
                order = outputs // 4 // groups if shuffle_inverse else groups
                layers[f"stage{stage}_unit{unit}"] = ShuffleUnit(
                    build,
                    inputs,
                    outputs,
                    groups=groups,
                    # the stem's few channels are not grouped (section 3.2)
                    first_groups=1 if first and stage == 2 else groups,
                    stride=stride if first else 1,
                    joins=first,
                    pool=_shortcut_pool(shortcut_pool, build, count_include_pad) if pools else None,
                    shuffle=None if shuffle is None else ChannelShuffle(order),
                    shuffle_before=shuffle == "before",
                    shortcut_first=concat == "shortcut first",
                )
                inputs = outputs
        layers["pool"] = GlobalAveragePool()
        layers["classifier"] = build.linear(inputs, _check.integer("num_classes", num_classes, 1))
        super().__init__(in_channels, build.dtype, **layers)


def channels_of(
    groups: int, scale: float, stem_channels: int | None, stage_channels: Sequence[int] | None
) -> tuple[int, tuple[int, ...]]:
    """Return the channels of the stem and of each stage."""
    if (stem_channels is None) != (stage_channels is None):
        raise ValueError(
            f"`stem_channels` (={stem_channels}) and `stage_channels` (={stage_channels}) go together: "
            "give both or none"
        )
    if stem_channels is not None and stage_channels is not None:
        if not isinstance(stage_channels, Sequence) or len(stage_channels) < 1:
            raise ValueError(f"`stage_channels` (={stage_channels!r}) must name at least one stage")
        return (
            _check.integer("stem_channels", stem_channels, 1),
            tuple(_check.integer("stage_channels", channels, 1) for channels in stage_channels),
        )
    scale = _check.number("scale", scale, least=0.0)
    if (scale, groups) not in CHANNELS:
        known = ", ".join(f"{g} at {s:g}" for s, g in sorted(CHANNELS))
        raise ValueError(
            f"`groups` (={groups}) at `scale` (={scale}) is not in the paper's tables (they have {known}): "
            "give the channels by `stem_channels` and `stage_channels`"
        )
    return CHANNELS[scale, groups]


def _divides(stage: int, inputs: int, outputs: int, groups: int) -> None:
    """Refuse channels of a stage that its groups do not divide."""
    rules = [
        (outputs, 4 * groups, f"the channels of stage {stage}, of which the bottleneck has a quarter,"),
        (outputs - inputs, groups, f"the channels that stage {stage} adds to its {inputs} inputs"),
    ]
    if stage > 2:
        rules.append((inputs, groups, f"the input channels of stage {stage}"))
    for channels, divisor, what in rules:
        if channels < 1 or channels % divisor:
            raise ValueError(
                f"{what} must be a positive multiple of {divisor} with `groups` (={groups}), and are {channels}: "
                "see `stem_channels` and `stage_channels`"
            )


def _each_stage(name: str, values: Sequence[int], stages: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(values, Sequence) or len(values) != len(stages):
        raise ValueError(f"`{name}` (={values!r}) must have one value for each of the {len(stages)} stages")
    return tuple(_check.integer(name, value, 1) for value in values)


def _shortcut_pool(side: int, build: Builder, count_include_pad: bool) -> AveragePool:
    return AveragePool(side, stride=2, padding=build.padding if side == 3 else 0, count_include_pad=count_include_pad)
