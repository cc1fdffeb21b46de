"""Folded networks on all implementations, compiled, trained and exported; against PyTorch and ONNX Runtime."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from network_cases import CASES, HYPERPARAMETERS, Case, assert_gradients, assert_near
from test_onnx import FLOAT32, run

import npnets
from npnets._config import IMPLEMENTATIONS
from npnets.bench.torch_network import torch_network, torch_order
from npnets.layers import BatchNorm
from npnets.ops import softmax_cross_entropy
from npnets.train import fused
from npnets.weights.onnx import model

torch.set_num_threads(1)  # more of them wait for a core by turning in circles

SOME = [
    "mobilenet, tensorflow", "mobilenet, grey, own rows", "shufflenet, authors' code", "shufflenet, tensorflow",
    "shufflenet, branch first",
]  # fmt: skip


def results(net, x, labels):
    """Return loss, logits, and the gradients by name with that of x."""
    logits = net(x)
    loss, dlogits = softmax_cross_entropy(logits, labels)
    dx = net.backward(dlogits)
    return loss, logits, {**net.gradients(), "x": dx}


def in_pytorch(net, x, labels):
    """Return the same of PyTorch, and the module."""
    module = torch_network(net)
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    logits = module(images)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    loss.backward()
    return loss.item(), logits.detach().numpy(), images.grad.numpy().transpose(0, 2, 3, 1), module


def to_pytorch(net, arrays):
    """Return arrays, named as parameters, with PyTorch's axes, in the order of the forward pass."""
    turned = {}
    for path, layer in net.layers():
        own = {name: arrays[f"{path}.{name}"] for name in layer.params}
        turned |= {f"{path}.{name}": value for name, value in torch_order(layer, own).items()}
    return turned


@pytest.mark.parametrize("name", SOME)
def test_gradients_as_pytorch(name):
    """Of every weight and every bias, in float64, by each implementation."""
    case = CASES[name]
    folded, x = npnets.fold_batch_norm(case.numpy()), case.images()
    labels = np.arange(len(x))
    loss, logits, dx, module = in_pytorch(folded, x, labels)
    expected = dict(zip(folded.parameters(), (p.grad.numpy() for p in module.parameters()), strict=True))
    assert sum(name.endswith("bias") for name in expected) == len(expected) / 2
    for implementation in IMPLEMENTATIONS:
        with npnets.use(implementation):
            own_loss, own_logits, gradients = results(folded, x, labels)
        assert_near(np.array([own_loss]), np.array([loss]))
        assert_near(own_logits, logits)
        own_dx = gradients.pop("x")
        assert_gradients({**to_pytorch(folded, gradients), "x": own_dx}, {**expected, "x": dx})


# ReLU6 keeps MobileNet's features small; without batch norm ShuffleNet's logits are large, and so are their gradients.
@pytest.mark.parametrize(("name", "lr"), [("mobilenet, tensorflow", 1e-3), ("shufflenet, half", 1e-6)])
def test_training_step(name, lr):
    """The fused program leaves such a network to its layers, which move all of it as PyTorch does."""
    case = CASES[name]
    folded, x = npnets.fold_batch_norm(case.numpy()).train(), case.images(4)
    labels = np.arange(4)
    assert fused.program_for(folded, x.shape) is None
    module = torch_network(folded)
    options = {**HYPERPARAMETERS, "lr": lr}
    theirs, own = torch.optim.SGD(module.parameters(), **options), npnets.SGD(folded, **options)
    before, images = folded.parameters()["stem.conv.bias"].copy(), torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    for _ in range(3):
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(images), torch.from_numpy(labels))
        loss.backward()
        theirs.step()
        assert_near(np.array([npnets.train_step(folded, own, x, labels)]), np.array([loss.item()]))
    assert np.abs(folded.parameters()["stem.conv.bias"] - before).max() > 1e-7
    moved = to_pytorch(folded, folded.parameters()).values()
    for one, other in zip(moved, module.parameters(), strict=True):
        assert_near(one, other.detach().numpy())


def test_a_bias_beside_batch_norm_is_left_to_the_layers():
    case = CASES["mobilenet"]
    net = case.numpy().train()
    assert fused.program_for(net, (8, 64, 64, 3)) is not None
    convolution = net.children["block1"].children["depthwise"]
    convolution.params["bias"] = np.zeros(convolution.params["weight"].shape[-1])
    assert fused.program_for(net, (8, 64, 64, 3)) is None


@pytest.mark.parametrize("name", CASES)
def test_compiled(name):
    case = CASES[name]
    net, x = case.numpy().eval(), case.images()
    assert_near(npnets.compile(npnets.fold_batch_norm(net))(x), net(x))


@pytest.mark.parametrize("name", SOME)
def test_exported(name):
    case = CASES[name]
    net, x = case.numpy(np.float32).eval(), case.images().astype(np.float32)
    with npnets.use("numpy"):
        logits = net(x)
    folded = npnets.fold_batch_norm(net)
    proto = model(folded)
    onnx.checker.check_model(proto, full_check=True)
    assert not any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    assert {one.name for one in proto.graph.initializer} >= folded.state_dict().keys()
    assert_near(run(proto.SerializeToString(), x), logits, FLOAT32)


def test_biases_and_batch_norm_together():
    """A network of somebody who gave its convolutions a bias: everybody adds it before batch norm."""
    case = CASES["mobilenet, tensorflow"]
    for dtype, limit in (np.float64, 1e-10), (np.float32, FLOAT32):
        net, x = case.numpy(dtype).eval(), case.images().astype(dtype)
        plain = net(x)
        layers = list(net.layers())
        for (_, a), (_, b) in pairwise(layers):
            if isinstance(b, BatchNorm):
                bias = np.random.default_rng(7).standard_normal(a.params["weight"].shape[-1])
                a.params["bias"] = bias.astype(dtype)
        logits = net(x)
        assert np.abs(logits - plain).max() > 0.01 * np.abs(plain).max()
        assert_near(npnets.compile(net)(x), logits, limit)
        if dtype == np.float32:
            assert_near(run(model(net).SerializeToString(), x), logits, limit)


@pytest.mark.parametrize("padding", [1, "same"])
def test_in_pytorch_with_biases(padding):
    """The peers of `npnets bench` take such a network too."""
    case = Case("MobileNetV1", {"width": 0.25, "padding": padding}, (32, 32))
    folded, x = npnets.fold_batch_norm(case.numpy()), case.images()
    with torch.inference_mode():
        logits = torch_network(folded)(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    assert_near(folded(x), logits)
