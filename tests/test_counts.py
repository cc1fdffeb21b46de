"""The papers' tables: mult-adds, parameters and the shape of every stage, exactly. Quick: nothing is computed."""

import functools

import numpy as np
import pytest

from npnets import MobileNetV1, ShuffleNetV1, cost, use
from npnets.layers import Convolution, DepthwiseConvolution, GlobalAveragePool, Linear, PointwiseConvolution, Sequential
from npnets.models import Network
from npnets.models.mobilenet_v1 import BODY

pytestmark = pytest.mark.quick

mobilenet, shufflenet = functools.cache(MobileNetV1), functools.cache(ShuffleNetV1)
SHALLOW = (*BODY[:6], *BODY[11:])  # without the five blocks of 512 channels


def parameters(count):
    """Weights alone, with biases and batch norm, with running statistics."""
    return count.weights, count.parameters, count.parameters + count.running_statistics


def empty(*shape):
    """Weights that take no memory."""
    return np.broadcast_to(np.float32(0), shape)


# -- MobileNet ---------------------------------------------------------------------------------------------------------

MOBILENETS = [  # width, mult-adds at 224, 192, 160, 128, parameters (tables 6 and 7)
    (1.0, (568740352, 418121728, 290675200, 186400768), (4209088, 4231976, 4253864)),
    (0.75, (325400448, 239273472, 166396800, 106770432), (2568144, 2585560, 2601976)),
    (0.5, (149497088, 109970432, 76524800, 49160192), (1319648, 1331592, 1342536)),
    (0.25, (41030272, 30212608, 21059200, 13570048), (463600, 470072, 475544)),
]


@pytest.mark.parametrize(("width", "mult_adds", "params"), MOBILENETS)
def test_mobilenet(width, mult_adds, params):
    counts = [cost(mobilenet(width=width), (side, side, 3)) for side in (224, 192, 160, 128)]
    assert tuple(count.mult_adds for count in counts) == mult_adds
    assert {parameters(count) for count in counts} == {params}
    assert {count.mult_adds - count.convolutions for count in counts} == {int(1024 * width) * 1000}


def test_mobilenet_convolutions_alone():
    assert cost(mobilenet(width=1.0), (224, 224)).convolutions == 567716352


def test_the_shallow_mobilenet():  # table 5: 307 M, 2.9 M
    count = cost(mobilenet(rows=SHALLOW), (224, 224))
    assert (count.mult_adds, count.convolutions, count.weights) == (307323392, 306299392, 2875328)


def test_mobilenet_of_own_rows_by_hand():
    net = MobileNetV1(rows=((11, 1), (26, 2), (13, 1)), stem_stride=1, in_channels=1, num_classes=7)
    convolutions = 65 * 57 * (9 * 32 + 9 * 32 + 32 * 11) + 33 * 29 * (9 * 11 + 11 * 26 + 9 * 26 + 26 * 13)
    count = cost(net, (65, 57, 1))
    assert (count.convolutions, count.mult_adds) == (convolutions, convolutions + 13 * 7) == (4354089, 4354180)
    assert parameters(count) == (1976, 1976 + 2 * 151 + 7, 1976 + 4 * 151 + 7)  # 151 channels have a batch norm


def test_mobilenet_of_standard_convolutions():  # table 4: 4866 M, 29.3 M
    channels = [32, *(out for out, _ in BODY)]
    layers = [Convolution(empty(3, 3, 3, 32), stride=2, padding=1)]
    for inputs, (outputs, stride) in zip(channels, BODY, strict=False):
        layers.append(Convolution(empty(3, 3, inputs, outputs), stride=stride, padding=1))
    layers += [GlobalAveragePool(), Linear(empty(1024, 1000))]
    count = cost(Network(3, np.dtype(np.float32), **{f"layer{n}": layer for n, layer in enumerate(layers)}), (224, 224))
    assert (count.mult_adds, count.convolutions, count.weights) == (4867293184, 4866269184, 29281120)


TABLE_2 = {  # per cent of mult-adds and weights; the paper prints 1.19 for 1.906, and its column does not add up to 100
    PointwiseConvolution: (94.857, 74.591),
    DepthwiseConvolution: (3.057, 1.061),
    Convolution: (1.906, 0.021),
    Linear: (0.180, 24.328),
}


@pytest.mark.parametrize("kind", TABLE_2)
def test_what_kinds_of_layers_cost(kind):
    count = cost(mobilenet(width=1.0), (224, 224))
    steps = [step for step in count.layers if type(step.layer) is kind]
    mult_adds = sum(step.mult_adds for step in steps) / count.mult_adds
    weights = sum(step.layer.params["weight"].size for step in steps) / count.weights
    assert (round(100 * mult_adds, 3), round(100 * weights, 3)) == TABLE_2[kind]


def separable(channels):
    return (DepthwiseConvolution(empty(3, 3, channels), padding=1), PointwiseConvolution(empty(channels, channels)))


ONE_BLOCK = {  # layers, side and channels, mult-adds, weights
    "table 3: standard": ((Convolution(empty(3, 3, 512, 512), padding=1),), (14, 512), 462422016, 2359296),
    "table 3: separable": (separable(512), (14, 512), 52283392, 266752),
    "table 3: width .75": (separable(384), (14, 384), 29578752, 150912),
    "table 3: resolution .714": (separable(384), (10, 384), 15091200, 150912),
    "ShuffleNet unit": (
        (
            PointwiseConvolution(empty(160, 120), groups=3),
            DepthwiseConvolution(empty(3, 3, 120), padding=1),
            PointwiseConvolution(empty(40, 480), groups=3),
        ),
        (14, 480),
        7738080,
        39480,
    ),
    "ResNet bottleneck": (
        (
            PointwiseConvolution(empty(480, 120)),
            Convolution(empty(3, 3, 120, 120), padding=1),
            PointwiseConvolution(empty(120, 480)),
        ),
        (14, 480),
        47980800,
        244800,
    ),
    "ResNeXt": (
        (
            PointwiseConvolution(empty(480, 120)),
            Convolution(empty(3, 3, 40, 120), padding=1, groups=3),
            PointwiseConvolution(empty(120, 480)),
        ),
        (14, 480),
        31046400,
        158400,
    ),
}


@pytest.mark.parametrize("name", ONE_BLOCK)
def test_one_block(name):
    layers, (side, channels), mult_adds, weights = ONE_BLOCK[name]
    block = Sequential(**{f"layer{n}": layer for n, layer in enumerate(layers)})
    steps, out = block.walk((side, side, channels), "block")
    assert out == (side, side, channels)
    assert sum(step.mult_adds for step in steps) == mult_adds
    assert sum(step.layer.params["weight"].size for step in steps) == weights


# -- ShuffleNet --------------------------------------------------------------------------------------------------------

SHUFFLENETS = [  # groups, scale, convolutions, with classifier, parameters without running statistics (tables 1 and 5)
    (1, 1.0, 142502976, 143078976, 1531936),
    (2, 1.0, 140036512, 140836512, 1733848),
    (3, 1.0, 136500672, 137460672, 1865728),
    (4, 1.0, 133251776, 134339776, 1968344),
    (8, 1.0, 136829952, 138365952, 2434768),
    (3, 0.5, 37109856, 37589856, 718324),
    (3, 1.5, 291003552, 292443552, 3442168),
    (3, 2.0, 522125184, 524045184, 5450776),
    (8, 0.5, 39701760, 40469760, 1011448),
    (8, 1.5, 287884800, 290188800, 4269952),
    (8, 2.0, 518870016, 521942016, 6522232),
]


@pytest.mark.parametrize(("groups", "scale", "convolutions", "mult_adds", "params"), SHUFFLENETS)
def test_shufflenet(groups, scale, convolutions, mult_adds, params):
    count = cost(shufflenet(groups=groups, scale=scale), (224, 224, 3))
    assert (count.convolutions, count.mult_adds, count.parameters) == (convolutions, mult_adds, params)


# -- shapes ------------------------------------------------------------------------------------------------------------

STAGES = {  # where a stage ends, and what comes out, at 224 (MobileNets, table 1; ShuffleNet, table 1)
    MobileNetV1: {
        "stem": (112, 112, 32), "block1": (112, 112, 64), "block2": (56, 56, 128), "block3": (56, 56, 128),
        "block4": (28, 28, 256), "block5": (28, 28, 256), **{f"block{n}": (14, 14, 512) for n in range(6, 12)},
        "block12": (7, 7, 1024), "block13": (7, 7, 1024), "pool": (1024,), "classifier": (1000,),
    },
    ShuffleNetV1: {
        "stem": (56, 56, 24), **{f"stage2_unit{n}": (28, 28, 240) for n in range(1, 5)},
        **{f"stage3_unit{n}": (14, 14, 480) for n in range(1, 9)},
        **{f"stage4_unit{n}": (7, 7, 960) for n in range(1, 5)}, "pool": (960,), "classifier": (1000,),
    },
}  # fmt: skip


@pytest.mark.parametrize("network", STAGES)
def test_shape_of_every_stage(network):
    last = {step.name.split(".")[0]: step.out_shape for step in cost(network(), (224, 224)).layers}
    assert last == STAGES[network]
    assert list(last) == list(STAGES[network])


@pytest.mark.parametrize(
    "net",
    [
        MobileNetV1(width=0.25, num_classes=7, padding="same"),
        MobileNetV1(rows=((11, 1), (26, 2), (13, 1)), stem_stride=1, num_classes=7, in_channels=1),
        ShuffleNetV1(scale=0.5, num_classes=7),
        ShuffleNetV1(scale=0.5, stem_pool=False, stage_strides=(1, 2, 2), concat="branch first", num_classes=7),
        ShuffleNetV1(stem_channels=9, stage_channels=(36,), stage_units=(2,), stage_strides=(1,), num_classes=7),
    ],
    ids=lambda net: type(net).__name__,
)
def test_counted_shapes_are_the_computed_ones(net):
    """Odd sides: each step's shapes are those of what its layer takes and returns."""
    steps, seen = cost(net, (65, 57)).layers, {}

    def watch(step):
        forward = step.layer.forward

        def watched(x):
            out = forward(x)
            seen[step.name] = (x.shape[1:], out.shape[1:])
            return out

        step.layer.forward = watched

    for step in steps:
        watch(step)
    with use("numpy"):  # the shapes are the layers', whatever computes
        net(np.zeros((2, 65, 57, net.in_channels), np.float32))
    assert list(seen) == [step.name for step in steps]
    assert list(seen.values()) == [(step.in_shape, step.out_shape) for step in steps]
