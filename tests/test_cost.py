"""What networks cost, and the formulas: exactly, and as the loops themselves count. Quick, and without PyTorch."""

import functools
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npnets
from npnets import MobileNetV1, ShuffleNetV1, cost, formulas, ops
from npnets.cost import CONVENTIONS, Convention, Per
from npnets.counting import counting
from npnets.layers import Activation, BatchNorm, Convolution, DepthwiseConvolution, Linear, PointwiseConvolution

pytestmark = pytest.mark.quick

NETS = {"mobilenet": functools.cache(MobileNetV1), "shufflenet": functools.cache(ShuffleNetV1)}


def count(name, *arguments, **options):
    return cost(NETS[name](), (224, 224), *arguments, **options)


# -- conventions -------------------------------------------------------------------------------------------------------

# What each counter printed for the same network, built of torch.nn modules: fvcore 0.1.5, thop 0.1.1, ptflops 0.7.5,
# torchinfo 1.8.0, PyTorch 2.13.
PRINTED = {
    "fvcore": (578875904, 143505312),
    "thop": (588962304, 149593248),
    "ptflops": (589012456, 150200104),
    "bias": (568741352, 137461672),  # ptflops' other backend, "aten"
    "torchinfo": (568763240, 137486152),
    "double": (1137480704, 274921344),  # torch.utils.flop_counter
    "mult-adds": (568740352, 137460672),  # the papers
    "convolutions": (567716352, 136500672),
}


@pytest.mark.parametrize("convention", PRINTED)
def test_what_counters_print(convention):
    assert tuple(count(name, convention).forward for name in NETS) == PRINTED[convention]


def test_batch_norm_counts_its_values():
    values = sum(prod(layer.out_shape) for layer in count("mobilenet").layers if isinstance(layer.layer, BatchNorm))
    assert values == 5042688
    assert count("mobilenet", "batch-norm").forward == 568740352 + values + 1000


@pytest.mark.parametrize(("name", "both"), [("mobilenet", 3390766080), ("shufflenet", 808507008)])
def test_forward_and_backward(name, both):
    counted = count(name, "double")
    assert counted.forward + counted.backward == both


def test_the_first_layer_needs_no_gradient_of_the_image():
    first, *others = [layer for layer in count("mobilenet").layers if layer.mult_adds]
    assert first.backward == first.forward == 10838016
    assert all(layer.backward == 2 * layer.forward for layer in others)


def test_backward_of_what_else_counts():
    """Batch norm has two gradients, the others one: ReLU's input, the bias."""
    everything = {BatchNorm: Per(output=1), Activation: Per(output=1), Linear: Per(output=1)}
    counted = count("mobilenet", Convention(others=everything))
    plain = count("mobilenet")
    values, classes = 5042688, 1000
    assert counted.forward - plain.forward == 2 * values + classes
    assert counted.backward - plain.backward == 3 * values + classes


# -- what else is counted ----------------------------------------------------------------------------------------------


def test_activations():
    """fvcore counts the values that convolutions and classifier give, and finds so many."""
    for name, values in (("mobilenet", 5043688), ("shufflenet", 2999800)):
        counted = count(name)
        assert sum(layer.activations for layer in counted.layers if layer.mult_adds) == values
        assert counted.activations == sum(prod(layer.out_shape) for layer in counted.layers)


def test_bytes_by_hand():
    net = MobileNetV1(rows=((16, 2),), width=0.25, num_classes=5, dtype="float64")
    layers = {layer.name: layer for layer in cost(net, (8, 6), batch=3).layers}
    # images, weights and outputs; then the gradient of the output, the images again, the gradient of the weights
    stem = layers["stem.conv"]
    assert stem.bytes == 8 * (3 * 8 * 6 * 3 + 9 * 3 * 8 + 3 * 4 * 3 * 8)
    assert stem.bytes_backward == 8 * (3 * 4 * 3 * 8 + 3 * 8 * 6 * 3 + 9 * 3 * 8)
    # here the weights are read too, and the gradient of the input is written
    pointwise = layers["block1.pointwise"]
    assert pointwise.bytes == 8 * (3 * 2 * 2 * 8 + 8 * 8 + 3 * 2 * 2 * 8)
    assert pointwise.bytes_backward == 8 * (3 * 2 * 2 * 8 + 3 * 2 * 2 * 8 + 8 * 8 + 3 * 2 * 2 * 8 + 8 * 8)
    # weight, bias, mean and variance; the gradients of two of them
    norm = layers["block1.pointwise_norm"]
    assert norm.bytes == 8 * (2 * 3 * 2 * 2 * 8 + 4 * 8)
    assert norm.bytes_backward == 8 * (3 * 3 * 2 * 2 * 8 + 2 * 2 * 8)
    # what ReLU gave; the pool needs to know nothing
    assert layers["block1.pointwise_activation"].bytes_backward == 8 * 3 * (3 * 2 * 2 * 8)
    assert layers["pool"].bytes_backward == 8 * 3 * (8 + 2 * 2 * 8)


@pytest.mark.parametrize("name", NETS)
def test_totals_and_batches(name):
    one, many = count(name, "ptflops"), count(name, "ptflops", batch=7)
    for field in ("mult_adds", "outside", "forward", "backward", "parameters", "activations", "bytes"):
        assert getattr(one, field) == sum(getattr(layer, field) for layer in one.layers)
    for field in ("mult_adds", "convolutions", "outside", "forward", "backward", "activations"):
        assert getattr(many, field) == 7 * getattr(one, field)
    assert (many.parameters, many.weights) == (one.parameters, one.weights)
    stored = one.parameters + one.running_statistics
    assert many.bytes == 7 * one.bytes - 6 * 4 * stored  # float32
    assert one.parameters == sum(value.size for value in NETS[name]().parameters().values())


def test_what_is_no_convention():
    with pytest.raises(ValueError, match=r"^`convention` \(='flops'\) must be one of 'mult-adds', 'convolutions', "):
        count("mobilenet", "flops")
    with pytest.raises(ValueError, match=r"^`batch` \(=0\) must be at least 1$"):
        count("mobilenet", batch=0)


def test_every_convention_is_explained():
    assert set(PRINTED) | {"batch-norm"} == set(CONVENTIONS)
    for name in ("fvcore", "thop", "ptflops", "torchinfo"):
        assert str(PRINTED[name][0]) in npnets.cost.__globals__["__doc__"]


# -- formulas ----------------------------------------------------------------------------------------------------------

sizes = st.integers(1, 40)


@given(D_K=sizes, M=sizes, N=sizes, D_F=sizes, g=st.integers(1, 5))
def test_formulas_are_consistent(D_K, M, N, D_F, g):
    standard, separable = formulas.standard(D_K, M, N, D_F), formulas.separable(D_K, M, N, D_F)
    assert formulas.ratio(D_K, N) == Fraction(separable, standard)
    assert formulas.multipliers(D_K, M, N, D_F) == separable
    assert formulas.multipliers(D_K, 2 * M, 2 * N, 3 * D_F, 0.5, Fraction(1, 3)) == separable
    assert formulas.group(D_K, g * M, g * N, D_F, g) == g * standard
    assert formulas.group(D_K, M, M, D_F, M) == formulas.depthwise(D_K, M, D_F)
    assert formulas.group(1, M, N, D_F, 1) == formulas.pointwise(M, N, D_F)
    c, m = g * M, g * N
    reduce, expand = formulas.group(1, c, m, D_F, g), formulas.group(1, m, c, D_F, g)
    unit = reduce + formulas.depthwise(3, m, D_F) + expand
    assert formulas.shufflenet_unit(D_F, D_F, c, m, g) == unit
    assert formulas.resnext_unit(D_F, D_F, c, m, 1) == formulas.resnet_unit(D_F, D_F, c, m)
    dense = formulas.pointwise(c, m, D_F) + formulas.group(3, m, m, D_F, g) + formulas.pointwise(m, c, D_F)
    assert formulas.resnext_unit(D_F, D_F, c, m, g) == dense


def test_the_worked_example():
    """Two channels to three, a kernel of 3 x 3."""
    assert formulas.ratio(3, 3) == Fraction(4, 9)
    assert formulas.separable(3, 2, 3, 1) == 9 * 2 + 2 * 3 == 24
    assert formulas.standard(3, 2, 3, 1) == 9 * 2 * 3 == 54


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: formulas.standard(3, 0, 1, 1), r"`M` \(=0\) must be at least 1"),
        (lambda: formulas.group(1, 4, 6, 1, 3), r"`groups` \(=3\) must divide the input channels \(=4\)"),
        (lambda: formulas.shufflenet_unit(1, 1, 6, 4, 3), r"`groups` \(=3\) must divide the output channels \(=4\)"),
        (lambda: formulas.multipliers(1, 1, 1, 1, alpha=0), r"`alpha` \(=0.0\) must be greater than 0"),
    ],
)
def test_formulas_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- the counted truth -------------------------------------------------------------------------------------------------


def whole(random, *shape):
    """Small whole numbers, whose sums are exact in any order."""
    return random.integers(-8, 9, shape).astype(np.float32)


def window(draw, most_dilation):
    def pair(least, most):
        return draw(st.tuples(st.integers(least, most), st.integers(least, most)))

    return {"stride": pair(1, 3), "dilation": pair(1, most_dilation), "padding": (pair(0, 4), pair(0, 4))}


def executed(place, sides, kernel, out, outputs_and_inputs):
    """Tap by tap, without a formula for how many are inside."""
    (top, _), (left, _) = place["padding"]
    inside = 0
    for k, l, i, j in np.ndindex(*out, *kernel):
        r = place["stride"][0] * k + place["dilation"][0] * i - top
        c = place["stride"][1] * l + place["dilation"][1] * j - left
        inside += 0 <= r < sides[0] and 0 <= c < sides[1]
    return inside * outputs_and_inputs


@st.composite
def convolutions(draw, most_dilation=3):
    """Return the operation, its options, x, weight, and the executed and the formula's mult-adds of a batch."""
    kind = draw(st.sampled_from(["conv2d", "depthwise_conv2d", "pointwise_conv2d"]))
    g, M, N, B = (draw(st.integers(1, 3)) for _ in range(4))
    sides, kernel = draw(st.tuples(*[st.integers(1, 6)] * 2)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    if kind == "pointwise_conv2d":
        total = B * prod(sides) * M * g * N
        return kind, {"groups": g}, whole(random, B, *sides, g * M), whole(random, M, g * N), total, total
    place = window(draw, most_dilation)
    spans = [d * (size - 1) + 1 for d, size in zip(place["dilation"], kernel, strict=True)]
    sides = tuple(map(max, sides, spans))
    out = tuple((sides[a] + sum(place["padding"][a]) - spans[a]) // place["stride"][a] + 1 for a in (0, 1))
    if kind == "depthwise_conv2d":
        x, weight, channels = whole(random, B, *sides, M), whole(random, *kernel, M), M
    else:
        x, weight, channels = whole(random, B, *sides, g * M), whole(random, *kernel, M, g * N), M * g * N
        place["groups"] = g
    formula = B * prod(out) * prod(kernel) * channels
    return kind, place, x, weight, B * executed(place, sides, kernel, out, channels), formula


@given(convolutions())
@settings(max_examples=40)
def test_executed_multiplications(case):
    """Forward and both gradients multiply as often as the formula says, but for the taps outside of the image."""
    kind, options, x, weight, inside, formula = case
    forward, backward = getattr(ops, kind), getattr(ops, f"{kind}_backward")
    with counting() as calls:
        out = forward(x, weight, **options)
        gradients = backward(out, x, weight, **options)
    assert [call.multiplications for call in calls] == [inside] * 3
    assert inside <= formula
    # and what was counted is the operation itself
    with npnets.use("numpy"):
        assert np.array_equal(out, forward(x, weight, **options))
        for counted, expected in zip(gradients, backward(out, x, weight, **options), strict=True):
            assert np.array_equal(counted, expected)


def layer_of(kind, weight, options):
    if kind == "pointwise_conv2d":
        return PointwiseConvolution(weight, **options)
    place = {name: options[name] for name in ("stride", "padding")}
    if kind == "depthwise_conv2d":
        return DepthwiseConvolution(weight, **place)
    return Convolution(weight, **place, groups=options["groups"])


@given(convolutions(most_dilation=1))  # layers have none
@settings(max_examples=40)
def test_cost_says_how_many_taps_are_outside(case):
    kind, options, x, weight, inside, formula = case
    net = npnets.models.Network(x.shape[3], x.dtype, only=layer_of(kind, weight, options))
    counted = cost(net, x.shape[1:], batch=len(x))
    assert (counted.mult_adds - counted.outside, counted.mult_adds) == (inside, formula)


TINY = {
    "mobilenet": MobileNetV1(width=0.25, rows=((32, 1), (44, 2), (44, 1)), num_classes=5, dtype="float64"),
    "shufflenet": ShuffleNetV1(
        stem_channels=6, stage_channels=(36, 72), stage_units=(2, 1), num_classes=4, padding="same", dtype="float64"
    ),
}


@pytest.mark.parametrize("name", TINY)
def test_a_whole_network_executes_what_cost_says(name):
    """Forward and backward, layer by layer, on an image with odd sides."""
    net = TINY[name].train()
    x = np.random.default_rng(0).standard_normal((2, 11, 13, 3))
    counted = cost(net, x.shape[1:], batch=2)
    layers = [layer for layer in counted.layers if layer.mult_adds]
    with counting() as forward:
        logits = net(x)
    assert [call.multiplications for call in forward] == [layer.mult_adds - layer.outside for layer in layers]
    assert sum(call.multiplications for call in forward) == counted.mult_adds - counted.outside
    assert counted.outside > 0
    with npnets.use("numpy"):
        expected = net(x)
    assert np.abs(logits - expected).max() < 1e-10 * np.abs(expected).max()
    with counting() as backward:
        net.backward(np.ones_like(logits))
    # the first layer's gradient of the image, which nothing needs, is computed by a layer on its own
    stem = layers[0].mult_adds - layers[0].outside
    assert sum(call.multiplications for call in backward) - stem == sum(
        layer.backward - (2 if layer is not layers[0] else 1) * layer.outside for layer in layers
    )


def test_counting_ends():
    x, weight = np.ones((1, 3, 3, 1), np.float32), np.ones((3, 3, 1), np.float32)
    with pytest.raises(ValueError, match="weight"), counting():
        ops.depthwise_conv2d(x, weight[:, :, [0, 0]])
    with npnets.use("numpy"):
        with counting() as calls:
            ops.depthwise_conv2d(x, weight)
        ops.depthwise_conv2d(x, weight)
        assert npnets.implementation() == "numpy"
    assert [call.multiplications for call in calls] == [9]
