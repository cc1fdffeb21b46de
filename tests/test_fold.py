"""`npnets.fold_batch_norm`: exact where sums are, elsewhere each layer within its rounding; and what it leaves.

On NumPy; the other implementations, PyTorch and ONNX Runtime are in test_fold_peers.py.
"""

import copy
from itertools import pairwise

import numpy as np
import pytest
from network_cases import CASES, OWN_ROWS, STAGES, Case, assert_near

import npnets
from npnets.layers import BatchNorm, BiasedLayer
from npnets.preprocessing import Preprocessing

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def _numpy():
    with npnets.use("numpy"):
        yield


def pairs(net):
    """Return (name, convolution, batch norm) for each batch norm of a network."""
    layers = list(net.layers())
    return [(name, a, b) for (name, a), (_, b) in pairwise(layers) if isinstance(b, BatchNorm)]


# -- exact -------------------------------------------------------------------------------------------------------------

EXACT = {
    "mobilenet": ("MobileNetV1", {"rows": OWN_ROWS}),
    "mobilenet, tensorflow": ("MobileNetV1", {"rows": OWN_ROWS, "activation": "relu6", "padding": "same"}),
    "mobilenet, leaky": (
        "MobileNetV1", {"rows": OWN_ROWS[:2], "activation": "leaky_relu", "negative_slope": 0.25, "in_channels": 1},
    ),
    **{
        f"shufflenet, {name}": ("ShuffleNetV1", {**STAGES, "stage_units": (2, 1), "shortcut_pool": 2, **options})
        for name, options in {
            "as the paper": {},
            "one group": {"groups": 1},
            "shuffle after": {"shuffle": "after"},
            "inverse after": {"shuffle": "after", "shuffle_inverse": True},
            "inverse before": {"shuffle_inverse": True},
            "no shuffle": {"shuffle": None},
            "branch first": {"concat": "branch first"},
            "relu6, same": {"activation": "relu6", "padding": "same"},
            "no stem pool": {"stem_pool": False, "stem_stride": 1},
            "stride 1": {"stage_strides": (1, 2)},
        }.items()
    },
}  # fmt: skip


def whole_numbers(net):
    """Draw powers of 2 for what scales, small whole numbers for all else, and at most three weights for an output.

    A forward pass needs no more bits for these than float64 has.
    """
    random, state = np.random.default_rng(4), net.state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value[...] = random.choice([0.75, 3.75], value.shape)  # with eps .25 the roots are 1 and 2
        elif name.endswith("norm.weight"):
            value[...] = random.choice([-1, 0.5, 1, 2], value.shape)
        elif value.ndim == 1:
            value[...] = random.integers(-2, 3, value.shape)
        else:
            flat = value.reshape(-1, value.shape[-1])
            flat[...] = 0
            for _ in range(3):
                flat[random.integers(0, len(flat), flat.shape[1]), np.arange(flat.shape[1])] = random.choice([-1, 1])
    net.load_state_dict(state)
    return net.eval()


@pytest.mark.parametrize("name", EXACT)
def test_exact(name):
    network, options = EXACT[name]
    net = whole_numbers(getattr(npnets, network)(**options, num_classes=5, bn_eps=0.25, dtype=np.float64))
    x = np.random.default_rng(5).integers(-4, 5, (2, 16, 16, net.in_channels)).astype(np.float64)
    logits = net(x)
    assert np.abs(logits).max() > 1
    np.testing.assert_array_equal(npnets.fold_batch_norm(net)(x), logits)


# -- each layer within its rounding ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, np.float64) for name in CASES]
    + [(name, np.float32) for name in ("mobilenet, tensorflow", "shufflenet, half", "shufflenet, authors' code")],
)
def test_each_layer_within_its_rounding(name, dtype):
    """Of the same sum both sides make roundings, n for the sum of n products, and less than 8 for all else.

    unfolded    a = gamma ((K * F) - mu) r + beta,  r = 1 / sqrt(v + eps)
    folded      b = (K s) * F + (beta - mu s),  s = gamma r

    |a - b| <= 2 gamma_{n+8} (|K s| * |F| + |mu s| + |beta|), with gamma_n = n u / (1 - n u).
    """
    net = CASES[name].numpy(dtype).eval()
    folded = dict(npnets.fold_batch_norm(net).layers())
    unit, random = np.finfo(dtype).eps / 2, np.random.default_rng(6)
    for path, convolution, norm in pairs(net):
        weight = convolution.params["weight"]
        inputs = weight.shape[-1] if weight.ndim == 3 else weight.shape[-2] * convolution.groups
        x = random.standard_normal((2, 5, 4, inputs)).astype(dtype)
        a, b = norm.forward(convolution.forward(x)), folded[path].forward(x)
        assert a.dtype == b.dtype == dtype

        scale, _ = norm.affine()
        absolute = copy.deepcopy(convolution)
        absolute.params["weight"] = np.abs(weight.astype(np.float64) * scale)
        n = weight[..., 0].size + 8
        bound = absolute.forward(np.abs(x.astype(np.float64)))
        bound += np.abs(norm.buffers["running_mean"] * scale) + np.abs(norm.params["bias"])
        assert (np.abs(a.astype(np.float64) - b) <= 2 * n * unit / (1 - n * unit) * bound).all(), path


@pytest.mark.parametrize("name", CASES)
def test_whole_networks(name):
    """As all whole networks elsewhere: 1e-10 of the largest logit."""
    case = CASES[name]
    net, x = case.numpy().eval(), case.images()
    assert_near(npnets.fold_batch_norm(net)(x), net(x))


# -- what comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mobilenet, odd channels", "shufflenet", "shufflenet, authors' code"])
def test_what_it_is_made_of(name):
    net = CASES[name].numpy(np.float32).train()
    net.classes, net.preprocessing = ("a", "b"), Preprocessing((0.5,) * 3, (0.5,) * 3, side=65)
    before = net.state_dict()
    folded = npnets.fold_batch_norm(net)

    assert type(folded) is type(net)
    assert (folded.dtype, folded.classes, folded.preprocessing) == (net.dtype, net.classes, net.preprocessing)
    assert not folded.training
    assert net.training
    assert list(before) == list(net.state_dict())
    assert all((before[key] == value).all() for key, value in net.state_dict().items())

    names = {path: layer for path, layer in folded.layers() if isinstance(layer, BiasedLayer)}
    assert not any(isinstance(layer, BatchNorm) for _, layer in folded.layers())
    assert list(names) == [path for path, _, _ in pairs(net)]
    kept = [key for key in before if key.rpartition(".")[0] in names or key.startswith("classifier")]
    assert sorted(folded.state_dict()) == sorted([*kept, *(f"{path}.bias" for path in names)])

    one, other = npnets.cost(net, (64, 64)), npnets.cost(folded, (64, 64))
    assert (one.mult_adds, one.weights) == (other.mult_adds, other.weights)
    assert other.running_statistics == 0
    assert other.parameters == one.parameters - sum(len(layer.params["bias"]) for layer in names.values())
    assert [step.name for step in other.layers] == [step.name for step in one.layers if "norm" not in step.name]


def test_state_there_and_back():
    folded = npnets.fold_batch_norm(CASES["shufflenet, half"].numpy())
    other = npnets.fold_batch_norm(npnets.ShuffleNetV1(scale=0.5, dtype=np.float64))
    other.load_state_dict(folded.state_dict())
    x = CASES["shufflenet, half"].images()
    np.testing.assert_array_equal(other(x), folded(x))
    with pytest.raises(ValueError, match=r"`stem.conv.bias` is not in this network; `stem.norm.bias` is missing"):
        CASES["shufflenet, half"].numpy().load_state_dict(folded.state_dict())


def test_once_more_changes_nothing():
    once = npnets.fold_batch_norm(CASES["mobilenet, grey, own rows"].numpy())
    twice = npnets.fold_batch_norm(once)
    assert all((value == twice.state_dict()[key]).all() for key, value in once.state_dict().items())


def test_a_bias_before_batch_norm():
    """A network of somebody who gave its convolutions a bias: it is scaled like what it is added to."""
    case = CASES["mobilenet, grey, own rows"]
    net, x = case.numpy().eval(), case.images()
    logits = net(x)
    for _, convolution, _ in pairs(net):
        convolution.params["bias"] = np.random.default_rng(7).standard_normal(convolution.params["weight"].shape[-1])
    biased = net(x)
    assert np.abs(biased - logits).max() > 0.01 * np.abs(logits).max()
    assert_near(npnets.fold_batch_norm(net)(x), biased)


def test_what_a_forward_pass_kept_is_not_copied():
    net = Case("MobileNetV1", {"rows": OWN_ROWS}).numpy().eval()
    net(np.zeros((2, 16, 16, 3)))
    assert any(layer._kept is not None for _, layer in net.layers())
    folded = npnets.fold_batch_norm(net)
    assert all(layer._kept is None for _, layer in folded.layers())
    with pytest.raises(RuntimeError, match="backward needs a forward pass before it"):
        folded.backward(np.zeros((2, 1000)))


def test_its_parameters_are_what_is_trained():
    case = CASES["mobilenet, grey, own rows"]
    folded = npnets.fold_batch_norm(case.numpy(np.float32)).train()
    held = folded.parameters()
    before = {name: value.copy() for name, value in held.items()}
    optimizer = npnets.SGD(folded, lr=0.01, momentum=0.9)
    npnets.train_step(folded, optimizer, case.images().astype(np.float32), np.arange(3))
    assert all((held[name] != value).any() for name, value in before.items())
    assert all(held[name] is value for name, value in folded.parameters().items())


def test_errors():
    with pytest.raises(TypeError, match=r"^`net` must be a network, and is a str$"):
        npnets.fold_batch_norm("mobilenet")
    net = npnets.MobileNetV1(width=0.25)
    block = net.children["block2"].children
    block.update(pointwise_norm=block.pop("pointwise_norm"))  # behind the activation
    with pytest.raises(
        ValueError, match=r"^`net` has a batch norm, `block2.pointwise_norm`, that stands behind no convolution$"
    ):
        npnets.fold_batch_norm(net)
