"""SGD against torch.optim.SGD and against its formula, within the rounding of each; its state and its errors."""

import numpy as np
import pytest
import torch

import npnets
from npnets import SGD
from npnets.testing import Rounded, assert_exact

RATES = 0.1, 0.05, 0.05, 0.3  # lr changes between steps
SKIPS = {"depthwise": 3, "1d": 1}  # which parameters, by their number of axes


def small_net(dtype=np.float64, seed=0):
    net = npnets.MobileNetV1(rows=((11, 1), (9, 2)), num_classes=3, seed=seed, dtype=dtype)
    return net, np.random.default_rng(seed + 1)


def set_gradients(net, rng):
    """Put random gradients in the place of those of a backward pass."""
    for _, layer in net.layers():
        layer.grads = {name: rng.standard_normal(p.shape).astype(p.dtype) for name, p in layer.params.items()}


def formula(start, gradients, dtype, momentum, weight_decay, nesterov):
    """Return what the docstring of `sgd.py` says after all steps, with a bound on the rounding."""
    w, v = Rounded.exact(start), Rounded.exact(np.zeros_like(start))
    for rate, gradient in zip(RATES, gradients, strict=True):
        g = Rounded.exact(gradient) + w * dtype(weight_decay)
        v = v * dtype(momentum) + g
        w = w - (g + v * dtype(momentum) if nesterov else v) * dtype(rate)
    return w


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("skips", [(), "depthwise", "1d", ("depthwise", "1d")], ids=str)
@pytest.mark.parametrize(
    ("momentum", "nesterov", "weight_decay"),
    [(0.0, False, 0.0), (0.0, False, 4e-2), (0.9, False, 0.0), (0.9, False, 4e-2), (0.9, True, 0.0), (0.9, True, 4e-2)],
)
def test_as_pytorch(momentum, nesterov, weight_decay, skips, dtype):
    net, rng = small_net(dtype)
    start = {name: value.copy() for name, value in net.parameters().items()}
    tensors = {name: torch.from_numpy(value.copy()) for name, value in start.items()}
    axes = {SKIPS[skip] for skip in ([skips] if isinstance(skips, str) else skips)}
    decays = {name: 0.0 if value.ndim in axes else weight_decay for name, value in start.items()}

    own = SGD(net, lr=9, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, skip_decay=skips)
    groups = [{"params": [tensors[name]], "weight_decay": decay} for name, decay in decays.items()]
    theirs = torch.optim.SGD(groups, lr=9, momentum=momentum, nesterov=nesterov)
    history = []
    for rate in RATES:
        set_gradients(net, rng)
        history.append(net.gradients())
        for name, gradient in net.gradients().items():
            tensors[name].grad = torch.from_numpy(gradient.copy())
        own.lr = rate
        for group in theirs.param_groups:
            group["lr"] = rate
        own.step()
        theirs.step()

    for name, value in net.parameters().items():
        gradients = [step[name] for step in history]
        expected = formula(start[name], gradients, dtype, momentum, decays[name], nesterov)
        assert value.dtype == dtype
        expected.check(value)
        expected.check(tensors[name].numpy())


def test_gradients_are_not_changed():
    net, rng = small_net()
    set_gradients(net, rng)
    before = {name: value.copy() for name, value in net.gradients().items()}
    optimizer = SGD(net, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    optimizer.step()
    optimizer.step()
    for name, value in net.gradients().items():
        assert_exact(value, before[name])


def test_running_statistics_are_not_trained():
    net, rng = small_net()
    set_gradients(net, rng)
    before = net.state_dict()
    SGD(net, lr=0.1, weight_decay=0.1).step()
    changed = {name for name, value in net.state_dict().items() if (value != before[name]).any()}
    assert changed == {name for name in before if "running" not in name} == set(net.parameters())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_continues_a_run_to_the_bit(dtype):
    def optimizer(net):
        return SGD(net, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)

    (net, rng), (other, _) = small_net(dtype), small_net(dtype, seed=5)
    own, its = optimizer(net), optimizer(other)
    set_gradients(net, rng)
    own.step()
    state = own.state_dict()
    assert list(state) == list(net.parameters())
    other.load_state_dict(net.state_dict())
    its.load_state_dict(dict(reversed(state.items())))  # in any order
    set_gradients(net, np.random.default_rng(8))
    set_gradients(other, np.random.default_rng(8))
    own.step()
    its.step()
    for name, value in own.state_dict().items():
        assert (value != state[name]).any()  # what state_dict gave are copies
        assert_exact(value, its.state_dict()[name])
    for name, value in net.parameters().items():
        assert_exact(value, other.parameters()[name])


def test_no_state_without_momentum():
    net, _ = small_net()
    assert SGD(net, lr=0.1).state_dict() == {}
    SGD(net, lr=0.1).load_state_dict({})


BAD_ARGUMENTS = [
    ({"lr": -0.1}, ValueError, r"`lr` \(=-0.1\) must be at least 0"),
    ({"lr": float("nan")}, ValueError, r"`lr` \(=nan\)"),
    ({"lr": float("inf")}, ValueError, r"`lr` \(=inf\) must be .* finite"),
    ({"lr": "fast"}, TypeError, r"`lr` \(='fast'\) must be a number"),
    ({"momentum": -0.9}, ValueError, r"`momentum` \(=-0.9\)"),
    ({"momentum": True}, TypeError, r"`momentum` \(=True\)"),
    ({"weight_decay": -1}, ValueError, r"`weight_decay` \(=-1\)"),
    ({"nesterov": True}, ValueError, r"`nesterov` \(=True\) needs a `momentum` \(=0.0\)"),
    ({"skip_decay": "bias"}, ValueError, r"`skip_decay` \(='bias'\) must hold only 'depthwise', '1d'"),
    ({"skip_decay": ("1d", "bias")}, ValueError, r"`skip_decay` \(=\('1d', 'bias'\)\)"),
    ({"skip_decay": 1}, ValueError, r"`skip_decay` \(=1\)"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_ARGUMENTS)
def test_bad_argument(options, error, message):
    with pytest.raises(error, match=message):
        SGD(small_net()[0], **{"lr": 0.1, **options})


def test_step_before_backward():
    with pytest.raises(RuntimeError, match=r"no gradients before the first net.backward"):
        SGD(small_net()[0], lr=0.1).step()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda state: state.pop("stem.conv.weight"), ValueError, "names and shapes"),
        (lambda state: state.update(more=np.ones(3)), ValueError, "names and shapes"),
        (lambda state: state.update({"classifier.bias": np.ones(4)}), ValueError, "names and shapes"),
        (
            lambda state: state.update({"classifier.bias": np.ones(3, int)}),
            TypeError,
            "`classifier.bias` must be float",
        ),
        (lambda state: state.update({"classifier.bias": [1.0] * 3}), TypeError, "`classifier.bias` must be a NumPy"),
    ],
)
def test_bad_state_changes_nothing(change, error, message):
    optimizer = SGD(small_net()[0], lr=0.1, momentum=0.9)
    state = {name: value + 1 for name, value in optimizer.state_dict().items()}
    change(state)
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(state)
    assert not any(value.any() for value in optimizer.state_dict().values())
