"""`npnets.use(relu=mine)`: a function of the reader's inside of the networks, and where it goes wrong."""

import threading

import numpy as np
import pytest
from wrong_functions import WRONG, depthwise, gradients

import npnets
from npnets import _config, ops
from npnets.ops._replace import replaceable
from npnets.testing import first_difference

pytestmark = pytest.mark.quick


def forward(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation)


def backward(dout, x, weight, *, stride, padding, dilation):
    return gradients(dout, x, weight, stride, padding, dilation)


class Counted:
    """Calls a function, and counts how often."""

    def __init__(self, function):
        self.function, self.calls = function, []

    def __call__(self, *args, **kwargs):
        self.calls.append(kwargs)
        return self.function(*args, **kwargs)


@pytest.fixture
def pair():
    return Counted(forward), Counted(backward)


@pytest.fixture(autouse=True)
def _numpy():
    """Nothing is compiled here."""
    with npnets.use("numpy"):
        yield


@pytest.fixture
def net():
    return npnets.MobileNetV1(width=0.25, num_classes=3, rows=((64, 1), (128, 2)), seed=1, dtype=np.float64)


def images(dtype=np.float64, side=8):
    return np.random.default_rng(0).random((3, side, side, 3)).astype(dtype)


# -- in the place of an operation --------------------------------------------------------------------------------------


def test_every_operation_can_be_replaced():
    assert _config.replaceable_names == set(ops.__all__)


def test_it_is_called_instead(pair):
    x, weight = np.random.default_rng(0).random((2, 5, 6, 3)), np.ones((3, 2, 3))
    expected = ops.depthwise_conv2d(x, weight, stride=2, padding=1)
    gradients_ = ops.depthwise_conv2d_backward(expected, x, weight, stride=2, padding=1)
    with npnets.use(depthwise_conv2d=pair):
        found = ops.depthwise_conv2d(x, weight, stride=(2, 2), padding=1)
        np.testing.assert_allclose(found, expected)
        for one, right in zip(
            ops.depthwise_conv2d_backward(expected, x, weight, stride=2, padding=1), gradients_, strict=True
        ):
            np.testing.assert_allclose(one, right)
    assert [one.calls for one in pair] == [[{"stride": 2, "padding": 1, "dilation": 1}]] * 2
    ops.depthwise_conv2d(x, weight)
    assert len(pair[0].calls) == 1


@pytest.mark.parametrize("padding", ["same", "valid", (1, 0), ((0, 1), (2, 0)), (2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_other_paddings_are_made_before(pair, padding, stride):
    """The function knows whole numbers only: what is no such padding is put around the image for it."""
    x, weight = np.random.default_rng(0).random((2, 5, 6, 3)), np.random.default_rng(1).random((3, 2, 3))
    options = {"stride": stride, "padding": padding}
    expected = ops.depthwise_conv2d(x, weight, **options)
    right = ops.depthwise_conv2d_backward(expected, x, weight, **options)
    with npnets.use(depthwise_conv2d=pair):
        np.testing.assert_allclose(ops.depthwise_conv2d(x, weight, **options), expected)
        for one, other in zip(ops.depthwise_conv2d_backward(expected, x, weight, **options), right, strict=True):
            np.testing.assert_allclose(one, other)
            assert one.flags.c_contiguous
    assert all(isinstance(call["padding"], int) for one in pair for call in one.calls)


def test_choices_nest_and_are_restored():
    x = np.array([-1.0, 2.0])
    with npnets.use(relu=abs):
        assert npnets.implementation() == "numpy"
        assert ops.relu(x)[0] == 1
        with npnets.use(relu6=lambda x: x):
            assert (ops.relu(x)[0], ops.relu6(x)[0]) == (1, -1)
            with npnets.use("loops"):  # a name is for every operation
                assert not _config.functions()
            with npnets.use("loops", relu6=abs):
                assert npnets.implementation() == "loops"
                assert list(_config.functions()) == ["relu6"]
            assert (ops.relu(x)[0], ops.relu6(x)[0]) == (1, -1)
        assert ops.relu6(x)[0] == 0
    assert ops.relu(x)[0] == 0
    with npnets.use(relu_backward=lambda dout, x: dout), npnets.use(relu=(None, lambda dout, x: -dout)):
        assert ops.relu_backward(x, x).tolist() == [1, -2]


def test_inside_of_it_npnets_is_npnets():
    """It may begin with the operation that it replaces, in whichever thread."""

    def mine(x):
        return ops.relu(x) + 1

    found = []
    with npnets.use(relu=mine):
        threads = [threading.Thread(target=lambda: found.append(ops.relu(np.array([-1.0, 2.0])))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [one.tolist() for one in found] == [[1, 3]] * 4


def test_a_standard_convolution_has_one_group():
    x, weight = np.ones((1, 2, 2, 2)), np.ones((1, 1, 1, 2))
    with npnets.use(conv2d=lambda x, weight, *, stride, padding, dilation: np.zeros((1, 2, 2, 2))):
        assert ops.conv2d(x, weight, groups=2).sum() == 8
        assert ops.conv2d(x, np.ones((1, 1, 2, 2))).sum() == 0


def test_losses_and_statistics_can_be_replaced():
    """What returns a number, and what returns several arrays."""

    def loss(logits, labels, *, label_smoothing):
        return 7.0, np.zeros_like(logits)

    def norm(x, weight, bias, *, eps):
        return x, np.zeros_like(weight), np.ones_like(weight)

    x = np.ones((3, 2), np.float32)
    with npnets.use(softmax_cross_entropy=loss, batch_norm_train=norm):
        value, dlogits = ops.softmax_cross_entropy(x, np.array([0, 1, 0]))
        assert (value, type(value), dlogits.sum()) == (7, np.float32, 0)
        out, _, inv_std = ops.batch_norm_train(x, x[0], x[0])
        assert (out.sum(), inv_std.sum()) == (6, 2)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ValueError, "`name` (=None) must be one of 'loops', 'numpy', 'numba'"),
        ({"nothing": abs}, ValueError, "`nothing` is not an operation of npnets.ops"),
        ({"relu": 3}, TypeError, "`relu` (=3) must be a function, or a pair"),
        ({"relu": (abs,)}, ValueError, "must be a function, or a pair"),
        ({"relu_backward": (abs, abs)}, ValueError, "`relu_backward` has no `relu_backward_backward`"),
        ({"name": "cuda"}, ValueError, "`name` (='cuda') must be one of"),
    ],
)
def test_what_cannot_be_used(given, error, words):
    before = _config._current
    with pytest.raises(error) as caught:
        npnets.use(**given)
    assert words in str(caught.value)
    assert _config._current is before


@pytest.mark.parametrize(
    ("op", "function", "words"),
    [
        ("relu", lambda x: x[:1], "must return float64 of the shape (2, 2), and returned float64 of the shape (1, 2)"),
        ("relu", lambda x: x.astype(np.float32), "and returned float32 of the shape (2, 2)"),
        ("relu", lambda x: None, "and returned object of the shape ()"),
        ("linear_backward", lambda dout, x, weight: (x, weight), "must return 3 values, and returned 2"),
        (
            "linear_backward",
            lambda dout, x, weight: x,
            "must return 3 values, and returned float64 of the shape (2, 2)",
        ),
    ],
)
def test_what_it_returns_is_checked(op, function, words):
    x = np.ones((2, 2))
    with npnets.use(**{op: function}), pytest.raises(ValueError, match="the function for") as caught:
        getattr(ops, op)(*[x] * len(ops.__dict__[op].__wrapped__.__code__.co_varnames[: 3 if "linear" in op else 1]))
    assert words in str(caught.value)


def test_what_goes_in_is_checked_as_ever(pair):
    with npnets.use(depthwise_conv2d=pair):
        with pytest.raises(ValueError, match="has kernels for 2 channels"):
            ops.depthwise_conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 2)))
        with pytest.raises(ValueError, match=r"`stride` \(=\(1, 2\)\) must be one number"):
            ops.depthwise_conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1)), stride=(1, 2))
        with pytest.raises(TypeError, match="unexpected keyword"):
            ops.depthwise_conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1)), strides=1)
    assert not pair[0].calls
    with npnets.use(max_pool2d=lambda x, kernel_size, *, stride, padding: x):
        with pytest.raises(ValueError, match=r"`padding` \(='same'\) must be a whole number"):
            ops.max_pool2d(np.ones((1, 4, 4, 1)), 2, padding="same")
        assert ops.max_pool2d(np.ones((1, 4, 4, 1)), 1).sum() == 16  # the stride is the size


def test_the_name_and_the_documentation_stay():
    @replaceable
    def relu(x):
        """Say it."""
        return x

    assert (relu.__name__, relu.__doc__, relu(3)) == ("relu", "Say it.", 3)


# -- in the networks ---------------------------------------------------------------------------------------------------


def test_a_network_classifies_with_it(net, pair):
    expected = net.eval()(images())
    with npnets.use(depthwise_conv2d=pair):
        np.testing.assert_allclose(net(images()), expected, rtol=1e-10)
    assert len(pair[0].calls) == 2


def test_a_network_trains_with_it(net, pair):
    other = npnets.MobileNetV1(width=0.25, num_classes=3, rows=((64, 1), (128, 2)), seed=1, dtype=np.float64)
    labels = np.array([0, 1, 2])
    losses = []
    for one, functions in ((net.train(), {"depthwise_conv2d": pair}), (other.train(), {})):
        optimizer = npnets.SGD(one, lr=0.05)
        with npnets.use("numpy", **functions):
            losses.append([npnets.train_step(one, optimizer, images(), labels) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-8)
    assert (len(pair[0].calls), len(pair[1].calls)) == (6, 6)


# -- where it goes wrong -----------------------------------------------------------------------------------------------


def test_no_difference(net, pair):
    with npnets.use(depthwise_conv2d=pair):
        assert first_difference(net.train(), images()) is None
        assert first_difference(net.eval(), images(np.float32)) is None
    assert len(pair[1].calls) == 4


@pytest.mark.parametrize(
    ("functions", "layer", "result"),
    [
        ({"depthwise_conv2d": WRONG["stride_late"][2]}, "block2.depthwise", "out"),  # the first one has stride 1
        ({"depthwise_conv2d": (forward, WRONG["not_accumulated"][2])}, "block2.depthwise", "dx"),
        ({"depthwise_conv2d": (forward, WRONG["mean_over_the_batch"][2])}, "block2.depthwise", "dweight"),
        ({"relu": lambda x: np.minimum(np.maximum(x, 0), 1)}, "stem.activation", "out"),
        ({"batch_norm_train": WRONG["unbiased"][2]}, "stem.norm", "out"),
        ({"linear_backward": WRONG["linear_mean"][2]}, "classifier", "dweight"),
    ],
)
def test_the_first_difference_is_named(net, functions, layer, result):
    before = net.state_dict()
    x = images(side=16)
    with npnets.use(**functions):
        place = first_difference(net.train(), x)
    assert (place.layer, place.result) == (layer, result)
    assert str(place).startswith(f"{layer}: {result}[")
    assert place.expected != place.found
    for name, value in net.state_dict().items():  # it was a copy
        assert np.array_equal(value, before[name])


def test_the_index_is_that_of_the_first_value(net):
    def mine(x):
        out = np.maximum(x, 0)
        out[1, 2, 0, 3] += 5
        return out

    with npnets.use(relu=mine):
        place = first_difference(net, images())
    assert place.layer == "stem.activation"
    assert place.index == (1, 2, 0, 3)
    assert place.found == pytest.approx(place.expected + 5)


def test_nothing_to_compare(net):
    with pytest.raises(ValueError, match="there is nothing to compare"):
        first_difference(net, images())


def test_what_it_raises_names_the_layer(net):
    with npnets.use(depthwise_conv2d=WRONG["no_stride"][2]), pytest.raises(ValueError, match="must return") as caught:
        first_difference(net, images())
    assert caught.value.__notes__ == ["in the layer `block2.depthwise`"]


def test_in_a_shufflenet():
    net = npnets.ShuffleNetV1(groups=3, scale=0.5, num_classes=2)
    with npnets.use(channel_shuffle=WRONG["inverse_shuffle"][2]):
        place = first_difference(net, images(side=32))
    assert place.layer.endswith(".shuffle")
