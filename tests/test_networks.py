"""Whole networks against PyTorch: logits, every gradient by name, running statistics, ten losses; and pytorchcv's."""

import functools
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_networks
from network_cases import (
    CASES,
    HYPERPARAMETERS,
    Case,
    assert_gradients,
    assert_near,
    assert_same,
    fused_results,
    results,
)
from pytorchcv.models import mobilenet, shufflenet

import npnets
from npnets._config import IMPLEMENTATIONS
from npnets.layers import BatchNorm
from npnets.ops import softmax_cross_entropy

implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@functools.cache
def reference(name, training):
    """Return what PyTorch says, once for the three implementations."""
    case = CASES[name]
    x, net = case.images(), case.numpy()
    dlogits = np.random.default_rng(3).standard_normal((case.batch, case.options.get("num_classes", 1000)))
    return x, dlogits, torch_networks.results(torch_networks.module(case), net, x, dlogits, training)


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


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.fused])
def test_fused_as_pytorch(name):
    x, dlogits, (logits, gradients, state) = reference(name, True)
    expected = logits, {name: value for name, value in gradients.items() if name != "x"}, state
    assert_same(fused_results(CASES[name].numpy(), x, dlogits), expected)


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
    expected = torch_networks.results(torch_networks.module(case), net, x, dlogits, True)
    assert_same(results(net, x, dlogits, True), expected)
    del expected[1]["x"]
    assert_same(fused_results(case.numpy(), x, dlogits), expected)


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

    module = torch_networks.module(case).train()
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


FROZEN = {
    "the first layers": (
        Case("MobileNetV1", {"width": 0.25, "num_classes": 10}, (65, 57), 12, 1.5),
        ("stem", "block1"),
    ),
    "some between": (Case("MobileNetV1", {"width": 0.25, "num_classes": 10}, (65, 57), 12, 1.5), ("block2", "block7")),
    "units": (Case("ShuffleNetV1", {"scale": 0.5, "num_classes": 10}, (33, 40), 6, 1.5), ("stem", "stage3_unit1")),
    "the classifier": (Case("ShuffleNetV1", {"scale": 0.5, "num_classes": 10}, (33, 40), 6, 1.5), ("classifier",)),
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_steps(name):
    """PyTorch's parameters without gradients, and its batch norms in eval mode."""
    case, names = FROZEN[name]
    net = case.numpy().train().freeze(*names)
    module = torch_networks.module(case).train()
    for parameter, path in zip(module.parameters(), net.parameters(), strict=True):
        parameter.requires_grad_(path.split(".")[0] not in names)
    norms = [path for path, layer in net.layers() if isinstance(layer, BatchNorm)]
    for norm, path in zip([m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)], norms, strict=True):
        norm.train(path.split(".")[0] not in names)
    theirs = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], **HYPERPARAMETERS)
    own = npnets.SGD(net, **HYPERPARAMETERS)
    x, labels = case.images(), np.arange(case.batch) % 10
    for _ in range(3):
        theirs.zero_grad()
        loss = F.cross_entropy(module(torch_networks.tensor(x)), torch.from_numpy(labels))
        loss.backward()
        theirs.step()
        assert abs(npnets.train_step(net, own, x, labels) - loss.item()) <= 1e-10 * loss.item()
    state = net.state_dict()
    for array, other in zip(state.values(), torch_networks.unload(module, state).values(), strict=True):
        assert_near(array, other)


@implementations
@pytest.mark.parametrize("name", ["mobilenet", "shufflenet, half"])
def test_gradients_of_the_loss(name, implementation):
    case = CASES[name]
    x, labels = case.images(8), np.arange(8) * 123
    module, images = torch_networks.module(case), torch_networks.tensor(x).requires_grad_()
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
    assert_same(results(net, x, dlogits, training), torch_networks.results(module, net, x, dlogits, training))
