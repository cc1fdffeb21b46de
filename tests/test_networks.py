"""Whole networks against PyTorch: logits, every gradient by name, running statistics, ten losses; and pytorchcv's."""

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_networks
from pytorchcv.models import mobilenet, shufflenet

import npnets
from npnets._config import IMPLEMENTATIONS
from npnets.ops import softmax_cross_entropy

implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])

# -- what is within the rounding of float64 ----------------------------------------------------------------------------


def assert_near(actual, expected, relative=1e-10):
    """|a - b| <= relative max|b|."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= relative * np.abs(expected).max()


def assert_gradients(actual, expected):
    """|a - b| <= 1e-9 max|b| + 1e-12 G for each array, G being the largest gradient of any parameter.

    G is for those that are 0 but for rounding: see `test_bias_of_the_depthwise_norm`.
    """
    largest = max(np.abs(b).max() for name, b in expected.items() if name != "x")
    assert list(actual) == list(expected)
    for name, b in expected.items():
        assert actual[name].shape == b.shape, name
        assert np.abs(actual[name] - b).max() <= 1e-9 * np.abs(b).max() + 1e-12 * largest, name


# -- pairs of networks with the same weights ---------------------------------------------------------------------------


def random_state(net, largest):
    """Draw every array, biases and running statistics too, so that signals neither fade nor grow in eval mode."""
    rng = np.random.default_rng(1)

    def draw(name, shape):
        if name.endswith("norm.weight"):
            return rng.uniform(0.5, largest, shape)
        if name.endswith("running_var"):
            return rng.uniform(1, 5, shape)
        if len(shape) == 1:
            return 0.3 * rng.standard_normal(shape)
        fan_in = 9 if len(shape) == 3 else np.prod(shape[:-1])
        return np.sqrt(2 / fan_in) * rng.standard_normal(shape)

    return {name: draw(name, value.shape) for name, value in net.state_dict().items()}


class Case(NamedTuple):
    network: str
    options: dict[str, Any]
    sides: tuple[int, int] = (65, 57)
    batch: int = 2
    largest: float = 2.5  # weight of a batch norm: wide enough for relu6 to meet its 6

    def numpy(self, dtype=np.float64):
        net = getattr(npnets, self.network)(**self.options, dtype=dtype)
        net.load_state_dict(random_state(net, self.largest))
        return net

    def torch(self, **others):
        module = getattr(torch_networks, self.network)(**{**self.options, **others})
        torch_networks.load(module, self.numpy().state_dict())
        return module

    def images(self, batch=None):
        shape = (batch or self.batch, *self.sides, self.options.get("in_channels", 3))
        return np.random.default_rng(2).standard_normal(shape)


def results(net, x, dlogits, training):
    """Return npnets' logits, gradients by name with that of x, and the state after the forward pass."""
    net.train() if training else net.eval()
    logits = net(x)
    dx = net.backward(dlogits)
    return logits, {**net.gradients(), "x": dx}, net.state_dict()


def torch_results(module, net, x, dlogits, training):
    """Return the same of PyTorch, named as in `net`."""
    module.train(training)
    images = torch_networks.tensor(x).requires_grad_()
    logits = module(images)
    logits.backward(torch_networks.tensor(dlogits))
    gradients = torch_networks.gradients(module, net.parameters())
    return (
        logits.detach().numpy(),
        {**gradients, "x": images.grad.numpy().transpose(0, 2, 3, 1)},
        torch_networks.unload(module, net.state_dict()),
    )


def assert_same(actual, expected):
    for a, b in zip(actual[0::2], expected[0::2], strict=True):
        for one, other in zip(a.values(), b.values(), strict=True) if isinstance(a, dict) else [(a, b)]:
            assert_near(one, other)
    assert_gradients(actual[1], expected[1])


# -- the cases ---------------------------------------------------------------------------------------------------------

OWN_ROWS = ((11, 1), (26, 2), (13, 1), (19, 2))
STAGES = {"stem_channels": 9, "stage_channels": (36, 84), "stage_units": (2, 3), "stage_strides": (2, 2)}

CASES = {
    "mobilenet": Case("MobileNetV1", {"width": 0.25}),
    "mobilenet, odd channels": Case("MobileNetV1", {"width": 0.3, "num_classes": 7}, (63, 33)),
    "mobilenet, tensorflow": Case(
        "MobileNetV1", {"width": 0.25, "activation": "relu6", "padding": "same", "bn_eps": 1e-3, "bn_momentum": 0.01}
    ),
    "mobilenet, tensorflow, even": Case(
        "MobileNetV1", {"width": 0.25, "activation": "relu6", "padding": "same", "bn_eps": 1e-3}, (64, 96)
    ),
    "mobilenet, grey, own rows": Case(
        "MobileNetV1",
        {"rows": OWN_ROWS, "stem_stride": 1, "in_channels": 1, "num_classes": 7, "activation": "leaky_relu"},
        (17, 13),
        3,
    ),
    "mobilenet, steep leak": Case(
        "MobileNetV1", {"rows": OWN_ROWS, "width": 0.5, "activation": "leaky_relu", "negative_slope": 0.3}, (20, 31)
    ),
    "shufflenet": Case("ShuffleNetV1", {}),
    "shufflenet, half": Case("ShuffleNetV1", {"scale": 0.5}),
    "shufflenet, one group": Case("ShuffleNetV1", {"groups": 1, "num_classes": 7}, (33, 47)),
    "shufflenet, eight groups": Case("ShuffleNetV1", {"groups": 8}, (64, 64)),
    "shufflenet, authors' code": Case(
        "ShuffleNetV1", {"scale": 0.5, "shuffle": "after", "shuffle_inverse": True}, (64, 49)
    ),
    "shufflenet, inverse before": Case("ShuffleNetV1", {**STAGES, "shuffle_inverse": True}, (33, 31), 3),
    "shufflenet, no shuffle": Case("ShuffleNetV1", {**STAGES, "shuffle": None}, (33, 31), 3),
    "shufflenet, tensorflow": Case(
        "ShuffleNetV1", {**STAGES, "padding": "same", "count_include_pad": False, "activation": "relu6"}, (40, 33)
    ),
    "shufflenet, same, padding counted": Case("ShuffleNetV1", {**STAGES, "padding": "same", "bn_eps": 1e-3}, (64, 32)),
    "shufflenet, padding not counted": Case("ShuffleNetV1", {**STAGES, "count_include_pad": False}, (33, 31)),
    "shufflenet, branch first": Case("ShuffleNetV1", {**STAGES, "concat": "branch first"}, (33, 31), 3),
    "shufflenet, cifar": Case(
        "ShuffleNetV1",
        {
            "scale": 0.5,
            "num_classes": 10,
            "stem_stride": 1,
            "stem_pool": False,
            "stage_strides": (1, 2, 2),
            "shortcut_pool": 2,
            "concat": "branch first",
        },
        (32, 32),
    ),
    "shufflenet, grey, leaky": Case(
        "ShuffleNetV1",
        {
            **STAGES,
            "in_channels": 1,
            "num_classes": 7,
            "activation": "leaky_relu",
            "negative_slope": 0.2,
            "stem_pool": False,
            "bn_momentum": 0.3,
        },
        (19, 28),
    ),
    "shufflenet, one stage": Case(
        "ShuffleNetV1",
        {"groups": 2, "stem_channels": 6, "stage_channels": (176,), "stage_units": (3,), "stage_strides": (1,)},
        (21, 17),
    ),
}


@functools.cache
def reference(name, training):
    """Return what PyTorch says, once for the three implementations."""
    case = CASES[name]
    x, net = case.images(), case.numpy()
    dlogits = np.random.default_rng(3).standard_normal((case.batch, case.options.get("num_classes", 1000)))
    return x, dlogits, torch_results(case.torch(), net, x, dlogits, training)


@implementations
@modes
@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name, training, implementation):
    x, dlogits, expected = reference(name, training)
    with npnets.use(implementation):
        actual = results(CASES[name].numpy(), x, dlogits, training)
    assert_same(actual, expected)
    assert not training or any(
        (before != after).any()
        for before, after in zip(CASES[name].numpy().state_dict().values(), actual[2].values(), strict=True)
    )


@pytest.mark.parametrize("name", ["mobilenet, grey, own rows", "shufflenet, branch first"])
@pytest.mark.parametrize(("forward", "backward"), list(itertools.permutations(IMPLEMENTATIONS, 2)))
def test_the_implementation_may_change_between_forward_and_backward(name, forward, backward):
    """It is chosen call by call: what one forward pass keeps is what every backward pass takes."""
    x, dlogits, (_, gradients, _) = reference(name, True)
    net = CASES[name].numpy().train()
    with npnets.use(forward):
        net(x)
    with npnets.use(backward):
        dx = net.backward(dlogits)
    assert_gradients({**net.gradients(), "x": dx}, gradients)


def test_full_width():
    case = Case("MobileNetV1", {}, (64, 64))
    x, net, dlogits = case.images(), case.numpy(), np.random.default_rng(3).standard_normal((2, 1000))
    assert_same(results(net, x, dlogits, True), torch_results(case.torch(), net, x, dlogits, True))


OTHERS = {
    "mobilenet": [
        {"activation": "relu6"}, {"activation": "leaky_relu"}, {"padding": "same"}, {"bn_eps": 1e-3},
    ],
    "shufflenet, half": [
        {"activation": "relu6"}, {"activation": "leaky_relu"}, {"bn_eps": 1e-3}, {"shuffle": "after"},
        {"shuffle": None}, {"shuffle_inverse": True}, {"concat": "branch first"}, {"count_include_pad": False},
    ],
    "shufflenet, same, padding counted": [{"padding": 1}, {"count_include_pad": False}, {"shortcut_pool": 2}],
    "shufflenet, cifar": [{"stem_stride": 2, "stage_strides": (1, 2, 1)}],
}  # fmt: skip


@pytest.mark.parametrize(("name", "others"), [(name, others) for name, many in OTHERS.items() for others in many])
def test_each_argument_is_seen(name, others):
    """The comparison fails where one side has another value: no argument is lost on the way, on either side."""
    x, dlogits, expected = reference(name, True)
    other = CASES[name]._replace(options=CASES[name].options | others)
    with pytest.raises(AssertionError):
        assert_near(other.numpy()(x), expected[0])
    with pytest.raises(AssertionError):
        assert_gradients(results(other.numpy(), x, dlogits, True)[1], expected[1])


@implementations
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("shufflenet")])
def test_bias_of_the_depthwise_norm(name, implementation):
    """In training the bias of ShuffleNet's depthwise norm has no effect, and gradient 0.

    Behind it stands a pointwise convolution (perhaps a shuffle), which makes of a shift of its input, the same at every
    pixel, a shift of its output, and then batch norm, which takes the mean off. So the true gradient is 0, and what is
    computed is the rounding of sums of terms that cancel: nothing relative to itself, but less than 1e-12 of G. The
    same bias has a gradient in eval mode, where the mean that is taken off is a constant.
    """
    x, dlogits, _ = reference(name, True)
    with npnets.use(implementation):
        for training in True, False:
            gradients = results(CASES[name].numpy(), x, dlogits, training)[1]
            del gradients["x"]
            largest = max(np.abs(gradient).max() for gradient in gradients.values())
            biases = [np.abs(g).max() for name, g in gradients.items() if name.endswith("depthwise_norm.bias")]
            others = [np.abs(g).max() for name, g in gradients.items() if not name.endswith("depthwise_norm.bias")]
            assert biases
            assert min(others) > 1e-6 * largest
            assert max(biases) <= 1e-12 * largest if training else min(biases) > 1e-6 * largest


# -- training ----------------------------------------------------------------------------------------------------------

HYPERPARAMETERS = {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 4e-5}

# Training is chaotic: whoever computes, each step makes the difference of two runs larger, by up to ten times where the
# last batch norms see few values (here 72 a channel; with 24, and wide weights, 1e-15 grows to 1e-7 in ten steps).
TEN_STEPS = {
    "mobilenet": (Case("MobileNetV1", {"width": 0.25}, (65, 57), 12, 1.5), IMPLEMENTATIONS),
    "shufflenet": (Case("ShuffleNetV1", {"scale": 0.5, "num_classes": 10}, (33, 40), 6, 1.5), IMPLEMENTATIONS),
    "mobilenet, batch 32": (Case("MobileNetV1", {"width": 0.25}, (96, 96), 32, 1.5), ["numba"]),
    "shufflenet, batch 32": (Case("ShuffleNetV1", {"scale": 0.5}, (96, 96), 32, 1.5), ["numba"]),
}


@pytest.mark.parametrize("name", TEN_STEPS)
def test_ten_steps(name):
    case, implementations = TEN_STEPS[name]
    classes = case.options.get("num_classes", 1000)
    x, labels = case.images(), np.random.default_rng(3).integers(0, classes, case.batch)

    module = case.torch().train()
    optimizer = torch.optim.SGD(module.parameters(), **HYPERPARAMETERS)
    expected = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(module(torch_networks.tensor(x)), torch.from_numpy(labels), label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert expected[9] < expected[0]

    for implementation in implementations:
        with npnets.use(implementation):
            net = case.numpy().train()
            own = npnets.SGD(net, **HYPERPARAMETERS)
            losses = [npnets.train_step(net, own, x, labels, label_smoothing=0.1) for _ in range(10)]
        for actual, loss in zip(losses, expected, strict=True):
            assert abs(actual - loss) <= 1e-10 * loss
        state = net.state_dict()
        for array, other in zip(state.values(), torch_networks.unload(module, state).values(), strict=True):
            assert_near(array, other)


@implementations
@pytest.mark.parametrize("name", ["mobilenet", "shufflenet, half"])
def test_gradients_of_the_loss(name, implementation):
    case = CASES[name]
    x, labels = case.images(8), np.arange(8) * 123
    module, images = case.torch(), torch_networks.tensor(x).requires_grad_()
    expected = F.cross_entropy(module(images), torch.from_numpy(labels))
    expected.backward()
    with npnets.use(implementation):
        net = case.numpy()
        loss, dlogits = softmax_cross_entropy(net(x), labels)
        dx = net.backward(dlogits)
    assert_near(np.array([loss]), np.array([expected.item()]))
    others = torch_networks.gradients(module, net.parameters())
    assert_gradients({**net.gradients(), "x": dx}, {**others, "x": images.grad.numpy().transpose(0, 2, 3, 1)})


# -- float32, threads, batches -----------------------------------------------------------------------------------------


@functools.cache
def eight_images(name, training, dtype):
    """Return logits; eight images, as batch norm over few values magnifies roundings without limit."""
    case = CASES[name]
    net = case.numpy(dtype)
    return (net.train() if training else net.eval())(case.images(8).astype(dtype))


@implementations
@modes
@pytest.mark.parametrize("name", ["mobilenet", "mobilenet, tensorflow, even", "shufflenet", "shufflenet, half"])
def test_float32(name, training, implementation):
    expected = eight_images(name, training, np.float64)
    with npnets.use(implementation):
        logits = eight_images.__wrapped__(name, training, np.float32)
    assert logits.dtype == np.float32
    assert_near(logits, expected, 1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("implementation", ["loops", "numba"])
@pytest.mark.parametrize("name", ["mobilenet", "shufflenet"])
def test_same_bits_on_any_number_of_threads(name, implementation, dtype):
    before, x, labels = npnets.get_threads(), CASES[name].images(3).astype(dtype), np.array([1, 2, 3])
    states = []
    try:
        for threads in 1, 2, 4:
            npnets.set_threads(threads)
            with npnets.use(implementation):
                net = CASES[name].numpy(dtype).train()
                loss = npnets.train_step(net, npnets.SGD(net, lr=0.1), x, labels)
            states.append([np.array(loss), *net.state_dict().values()])
    finally:
        npnets.set_threads(before)
    for others in states[1:]:
        for one, other in zip(states[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@implementations
@pytest.mark.parametrize("name", ["mobilenet", "shufflenet, half"])
def test_an_image_alone_and_among_others(name, implementation):
    """In eval mode an image's logits do not depend on the batch: the same bits, but for BLAS (`numpy`)."""
    x, net = CASES[name].images(5), CASES[name].numpy().eval()
    with npnets.use(implementation):
        together = net(x)
        alone = np.concatenate([net(image[None]) for image in x])
        np.testing.assert_array_equal(net(x), together)
    assert_near(alone, together)
    if implementation != "numpy":
        np.testing.assert_array_equal(alone, together)


# -- pytorchcv's networks, with our weights ----------------------------------------------------------------------------

FOREIGN = {
    "mobilenet_w1": (mobilenet.mobilenet_w1, Case("MobileNetV1", {}, (64, 64))),
    **{
        f"shufflenet_g{g}_w1": (
            getattr(shufflenet, f"shufflenet_g{g}_w1"),
            Case("ShuffleNetV1", {"groups": g, "concat": "branch first"}, (64, 64)),
        )
        for g in (1, 2, 3, 4, 8)
    },
}


@modes
@pytest.mark.parametrize("name", FOREIGN)
def test_as_pytorchcv(name, training):
    make, case = FOREIGN[name]
    module, net = make().double(), case.numpy()
    module.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)  # theirs is 7 x 7, for 224 x 224 images only
    torch_networks.load(module, net.state_dict())
    x, dlogits = case.images(), np.random.default_rng(3).standard_normal((case.batch, 1000))
    assert_same(results(net, x, dlogits, training), torch_results(module, net, x, dlogits, training))
