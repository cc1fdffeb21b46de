"""What networks refuse and how they say it; modes, state, seeds, and what they keep. Quick: without PyTorch."""

import inspect
import re

import numpy as np
import pytest

import npnets
from npnets import MobileNetV1, ShuffleNetV1
from npnets.models.network import Options
from npnets.testing import assert_exact

pytestmark = pytest.mark.quick

SMALL_SHUFFLENET = {
    "groups": 3, "stem_channels": 9, "stage_channels": (36,), "stage_units": (2,), "stage_strides": (2,),
}  # fmt: skip


def small_mobilenet(**options):
    return MobileNetV1(**{"rows": ((11, 1), (9, 2)), "num_classes": 3, **options})


def small_shufflenet(**options):
    return ShuffleNetV1(**{**SMALL_SHUFFLENET, "num_classes": 3, **options})


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with npnets.use("numpy"):
        yield


makes = pytest.mark.parametrize("make", [small_mobilenet, small_shufflenet])


def images(batch=2, sides=(17, 14), channels=3, dtype=np.float32):
    return np.random.default_rng(0).standard_normal((batch, *sides, channels)).astype(dtype)


def assert_same_state(one, other):
    assert list(one) == list(other)
    for name, value in one.items():
        assert_exact(value, other[name])


# -- arguments ---------------------------------------------------------------------------------------------------------

BOTH = [  # option, value, and how the message goes on
    ("num_classes", 0, "must be at least 1"),
    ("num_classes", 2.5, "must be a whole number"),
    ("in_channels", 0, "must be at least 1"),
    ("in_channels", "3", "must be a whole number"),
    ("seed", -1, "must be at least 0"),
    ("seed", None, "must be a whole number"),
    ("stem_stride", 0, "must be at least 1"),
    ("stem_stride", 1.5, "must be a whole number"),
    ("activation", "gelu", "must be one of 'relu', 'relu6', 'leaky_relu'"),
    ("activation", None, "must be one of"),
    ("negative_slope", -0.1, "must be at least 0"),
    ("negative_slope", "a", "must be a number"),
    ("padding", "full", '"same" or "valid"'),
    ("padding", -1, "must be at least 0"),
    ("padding", 0.5, "must be a whole number"),
    ("bn_eps", 0, "must be greater than 0"),
    ("bn_eps", -1e-5, "must be greater than 0"),
    ("bn_eps", "a", "must be a number"),
    ("bn_momentum", 1.5, "must be from 0 to 1"),
    ("bn_momentum", -0.1, "must be at least 0"),
    ("bn_momentum", float("nan"), "must be at least 0"),
    ("bn_momentum", "a", "must be a number"),
    ("dtype", "int32", "must be float32 or float64"),
    ("dtype", "float16", "must be float32 or float64"),
    ("dtype", ">f4", "must be float32 or float64"),
    ("dtype", "real", "must be float32 or float64"),
    ("dtype", None, "must be float32 or float64"),
]
MOBILENET = [
    ("width", 0, "must be greater than 0"),
    ("width", -1, "must be greater than 0"),
    ("width", float("inf"), "must be greater than 0 and finite"),
    ("width", "a", "must be a number"),
    ("rows", 5, "must be a sequence of pairs (channels, stride)"),
    ("rows", [64], "must be pairs (channels, stride), and holds 64"),
    ("rows", [(64, 1, 1)], "must be pairs (channels, stride), and holds (64, 1, 1)"),
    ("rows", ["64"], "must be pairs (channels, stride), and holds '64'"),
    ("rows", [(0, 1)], "(=0) must be at least 1"),
    ("rows", [(64, 0)], "(=0) must be at least 1"),
    ("rows", [(64, 1.5)], "(=1.5) must be a whole number"),
]
SHUFFLENET = [
    ("groups", 0, "must be at least 1"),
    ("groups", 3.0, "must be a whole number"),
    ("stem_channels", 0, "must be at least 1"),
    ("stem_channels", None, "go together: give both or none"),
    ("stage_channels", None, "go together: give both or none"),
    ("stage_channels", (), "must name at least one stage"),
    ("stage_channels", 36, "must name at least one stage"),
    ("stage_channels", ("36",), "must be a whole number"),
    ("stage_units", (1, 1), "must have one value for each of the 1 stages"),
    ("stage_units", 1, "must have one value for each of the 1 stages"),
    ("stage_units", (0,), "must be at least 1"),
    ("stage_strides", (2, 2), "must have one value for each of the 1 stages"),
    ("stage_strides", 2, "must have one value for each of the 1 stages"),
    ("stage_strides", (3,), "must be one of 1, 2"),
    ("stage_strides", (0,), "must be at least 1"),
    ("shortcut_pool", 4, "must be one of 2, 3"),
    ("concat", "both", "must be one of 'shortcut first', 'branch first'"),
    ("shuffle", "twice", "must be one of 'before', 'after', None"),
    ("shuffle", False, "must be one of"),
]
BAD = [(make, *row) for make in (small_mobilenet, small_shufflenet) for row in BOTH]
BAD += [(small_mobilenet, *row) for row in MOBILENET] + [(small_shufflenet, *row) for row in SHUFFLENET]


@pytest.mark.parametrize(("make", "name", "value", "rule"), BAD)
def test_bad_argument(make, name, value, rule):
    error = TypeError if re.search("be a (whole )?number|be a sequence|be float", rule) else ValueError
    with pytest.raises(error, match=re.escape(rule)) as caught:
        make(**{name: value})
    assert f"`{name}`" in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"groups": 5}, {"groups": 2, "scale": 0.5}, {"scale": 0.25}, {"groups": 3, "scale": 4.0}], ids=str
)
def test_unknown_groups_and_scale(options):
    with pytest.raises(ValueError, match=r"`groups` .*`scale` .*give the channels by `stem_channels` and `stage_cha"):
        ShuffleNetV1(**options)
    with pytest.raises(TypeError, match=r"`scale` \(='half'\) must be a number"):
        ShuffleNetV1(scale="half")


@pytest.mark.parametrize(
    ("stem", "stages", "message"),
    [
        (9, (37,), r"channels of stage 2, of which the bottleneck has a quarter, must be a positive multiple of 12"),
        (9, (39,), r"multiple of 12 with `groups` \(=3\), and are 39"),
        (10, (36,), r"channels that stage 2 adds to its 10 inputs must be a positive multiple of 3 .* and are 26"),
        (36, (36,), r"adds to its 36 inputs must be a positive multiple of 3 .* and are 0"),
        (9, (36, 24), r"stage 3 adds to its 36 inputs must be a positive multiple of 3 .* and are -12"),
    ],
)
def test_channels_that_groups_do_not_divide(stem, stages, message):
    ones = {"stage_units": [1] * len(stages), "stage_strides": [2] * len(stages)}
    with pytest.raises(ValueError, match=message):
        small_shufflenet(stem_channels=stem, stage_channels=stages, **ones)


@pytest.mark.parametrize(
    ("network", "first"), [(MobileNetV1, "width, num_classes, in_"), (ShuffleNetV1, "groups, scale, num_classes, in_")]
)
@pytest.mark.parametrize("name", ["dropout", "network", "self_", "options"])
def test_unknown_argument(network, first, name):
    """The error names the network, and what may be meant: all that it takes."""
    with pytest.raises(TypeError) as caught:
        network(**{name: 0.5})
    text = str(caught.value)
    assert text.startswith(f"{network.__name__} has no argument `{name}`; it takes {first}")
    own = [parameter for parameter in inspect.signature(network).parameters if parameter != "options"]
    assert text.partition("it takes ")[2].split(", ") == [*own, *Options.__annotations__]


# -- images ------------------------------------------------------------------------------------------------------------


@makes
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 3, 17, 14), np.float32), ValueError, r"looks like .*: use x.transpose\(0, 2, 3, 1\)"),
        (images(channels=1), ValueError, r"`x` must be \(B, H, W, 3\), and has the shape \(2, 17, 14, 1\)"),
        (images(dtype=np.float64), TypeError, r"`x` is float64 and the network float32: use x.astype\('float32'\)"),
        (images().astype(np.uint8), TypeError, r"`x` must be float32 or float64, and is uint8"),
        (images()[0], ValueError, r"`x` must have the axes \(B, H, W, C\), and has the shape \(17, 14, 3\)"),
        (images().tolist(), TypeError, r"`x` must be a NumPy array, and is a list"),
        (images(sides=(0, 14)), ValueError, r"`x` must have at least one row"),
    ],
)
def test_bad_images(make, x, error, message):
    with pytest.raises(error, match=message):
        make()(x)


def test_the_transpose_of_the_message_works():
    x = np.zeros((2, 3, 17, 14), np.float32)
    assert small_mobilenet()(x.transpose(0, 2, 3, 1)).shape == (2, 3)


@makes
def test_one_value_for_each_channel(make):
    """Batch norm cannot learn from one value; PyTorch raises too. In eval mode it is an image like any other."""
    net, x = make(), images(1, (3, 2))
    with pytest.raises(ValueError, match="at least 2 values for each channel in training, and has 1"):
        net(x)
    assert net.eval()(x).shape == (1, 3)


def test_no_image_at_all():
    with pytest.raises(ValueError, match="at least 2 values for each channel in training, and has 0"):
        small_mobilenet()(images(0))
    assert small_mobilenet().eval()(images(0)).shape == (0, 3)


def test_a_padding_that_does_not_keep_the_sides():
    """Where shortcut and branch differ in size, NumPy could broadcast one to the other."""
    net = npnets.ShuffleNetV1(
        stem_channels=12, stage_channels=[24], stage_units=[2], stem_stride=1, stem_pool=False, padding=0
    )
    with pytest.raises(ValueError, match=r"the shortcut has \d x \d pixels and the branch \d x \d, .*`padding` must"):
        net(np.zeros((2, 9, 9, 3), np.float32))


def test_the_optimizer_of_another_network():
    net, other = small_mobilenet(), small_mobilenet()
    with pytest.raises(ValueError, match="`optimizer` must be that of `net`"):
        npnets.train_step(net, npnets.SGD(other, lr=0.1), np.zeros((2, 8, 8, 3), np.float32), np.array([0, 1]))


def test_shortcut_pool_of_two_needs_even_sides():
    net = small_shufflenet(shortcut_pool=2)
    assert net(images(sides=(16, 24))).shape == (2, 3)
    for refuse in (lambda: net(images(sides=(16, 17))), lambda: npnets.cost(net, (16, 17))):
        with pytest.raises(ValueError, match=r"2 x 2 pixels and the branch 2 x 3, .*`shortcut_pool` \(=2\) needs even"):
            refuse()


@pytest.mark.parametrize(
    ("shape", "error"),
    [((224,), ValueError), ((9, 9, 1), ValueError), ((9, 0), ValueError), ((9.5, 9), TypeError), (9, TypeError)],
)
def test_cost_of_what_is_no_image(shape, error):
    with pytest.raises(error, match="`input_shape`"):
        npnets.cost(small_mobilenet(), shape)


# -- backward and what is kept -----------------------------------------------------------------------------------------


@makes
def test_backward_needs_a_forward_pass_each_time(make):
    net, dlogits = make(), np.ones((2, 3), np.float32)
    with pytest.raises(RuntimeError, match="backward needs a forward pass before it"):
        net.backward(dlogits)
    with pytest.raises(RuntimeError, match="no gradients before the first"):
        net.gradients()
    net(images())
    with pytest.raises(RuntimeError, match="no gradients before the first"):
        net.gradients()
    net.backward(dlogits)
    with pytest.raises(RuntimeError, match="one for each backward pass"):
        net.backward(dlogits)


@makes
def test_bad_gradient_of_the_logits(make):
    for dlogits, error in ((np.ones((2, 4), np.float32), ValueError), (np.ones((2, 3)), TypeError)):
        net = make()
        net(images())
        with pytest.raises(error, match="`dout`"):
            net.backward(dlogits)


@makes
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_nothing_is_kept_after_backward(make, mode):
    net = getattr(make(), mode)()
    net(images())
    kept = [name for name, layer in net.layers() if layer._kept is not None]
    assert "classifier" in kept
    assert "stem.conv" in kept
    net.backward(np.ones((2, 3), np.float32))
    assert not [name for name, layer in net.layers() if layer._kept is not None]


@makes
def test_gradients_are_named_as_the_parameters(make):
    net = make()
    net(images())
    net.backward(np.ones((2, 3), np.float32))
    names = [name for name in net.state_dict() if "running" not in name]
    assert list(net.gradients()) == names == list(net.parameters())
    for name, gradient in net.gradients().items():
        assert (gradient.shape, gradient.dtype) == (net.parameters()[name].shape, np.float32)


# -- state -------------------------------------------------------------------------------------------------------------


def norm(name):
    return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]


def block(name, *convolutions):
    return [part for conv in convolutions for part in (f"{name}.{conv}.weight", *norm(f"{name}.{conv}_norm"))]


STEM, CLASSIFIER = ["stem.conv.weight", *norm("stem.norm")], ["classifier.weight", "classifier.bias"]
NAMES = {
    small_mobilenet: [
        *STEM,
        *block("block1", "depthwise", "pointwise"),
        *block("block2", "depthwise", "pointwise"),
        *CLASSIFIER,
    ],
    small_shufflenet: [
        *STEM,
        *block("stage2_unit1", "reduce", "depthwise", "expand"),
        *block("stage2_unit2", "reduce", "depthwise", "expand"),
        *CLASSIFIER,
    ],
}


@makes
def test_names_are_in_the_order_of_the_forward_pass(make):
    assert list(make().state_dict()) == NAMES[make]


def test_nothing_of_the_state_is_left_out():
    """As many numbers as the papers' counts, which `test_counts.py` holds."""
    net = MobileNetV1(width=0.25)
    assert sum(value.size for value in net.state_dict().values()) == 475544


@makes
def test_state_is_a_copy(make):
    net = make()
    before = net.state_dict()
    for value in net.state_dict().values():
        value += 1
    assert_same_state(net.state_dict(), before)
    given = {name: value + 1 for name, value in before.items()}
    net.load_state_dict(given)
    for value in given.values():
        value += 1
    assert_same_state(net.state_dict(), {name: value + 1 for name, value in before.items()})


@makes
def test_state_moves_to_another_network(make):
    net, other = make(), make(seed=1, dtype=np.float64)
    net(images())  # moves the running statistics
    other.load_state_dict(dict(reversed(net.state_dict().items())))  # in any order
    assert_same_state(other.state_dict(), {name: value.astype(np.float64) for name, value in net.state_dict().items()})
    net.load_state_dict(other.state_dict())
    assert_same_state(other.state_dict(), {name: value.astype(np.float64) for name, value in net.state_dict().items()})


@makes
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"classifier.bias": None}, ValueError, "`classifier.bias` is missing"),
        ({"more": np.ones(3)}, ValueError, "`more` is not in this network"),
        ({"classifier.bias": np.ones(4)}, ValueError, r"has the shape \(4,\), and here \(3,\)"),
        ({"classifier.bias": np.ones((1, 3))}, ValueError, r"has the shape \(1, 3\), and here \(3,\)"),
        ({"classifier.bias": np.ones(3, int)}, TypeError, "`classifier.bias` must be float32 or float64, and is int"),
        ({"classifier.bias": [0.0] * 3}, TypeError, "`classifier.bias` must be a NumPy array, and is a list"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(make, change, error, message):
    net = make()
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()} | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(error, match=message):
        net.load_state_dict(state)
    assert_same_state(net.state_dict(), before)


def test_all_that_does_not_fit_is_named():
    net = small_mobilenet()
    state = net.state_dict() | {"more": np.ones(1), "classifier.bias": np.ones(4)}
    del state["stem.conv.weight"]
    with pytest.raises(ValueError, match=r"`classifier.bias` has .*; `more` is not .*; `stem.conv.weight` is missing"):
        net.load_state_dict(state)


# -- modes and seeds ---------------------------------------------------------------------------------------------------


@makes
def test_modes(make):
    net, x = make(), images()
    before = net.state_dict()
    assert net.eval() is net
    net(x)
    assert_same_state(net.state_dict(), before)
    assert net.train() is net
    net(x)
    changed = {name for name, value in net.state_dict().items() if (value != before[name]).any()}
    assert changed == {name for name in before if "running" in name}


@makes
def test_seeds(make):
    single, double = make(seed=4).state_dict(), make(seed=4, dtype=np.float64).state_dict()
    assert_same_state(single, make(seed=4).state_dict())
    assert_same_state(single, {name: value.astype(np.float32) for name, value in double.items()})
    other = make(seed=5).state_dict()
    assert {name for name, value in single.items() if (value != other[name]).any()} == {
        name for name, value in single.items() if value.ndim > 1
    }
