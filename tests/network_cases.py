"""Networks, weights and images that several files test, and when two results are the same; nothing of PyTorch."""

from typing import Any, NamedTuple

import numpy as np

import npnets
from npnets.train import fused

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

    @property
    def fused(self):
        """Whether the fused training step knows this network."""
        return self.options.get("activation") != "leaky_relu" and self.options.get("shuffle") != "after"

    def images(self, batch=None):
        shape = (batch or self.batch, *self.sides, self.options.get("in_channels", 3))
        return np.random.default_rng(2).standard_normal(shape)


def results(net, x, dlogits, training):
    """Return npnets' logits, gradients by name with that of x, and the state after the forward pass."""
    net.train() if training else net.eval()
    logits = net(x)
    dx = net.backward(dlogits)
    return logits, {**net.gradients(), "x": dx}, net.state_dict()


def fused_results(net, x, dlogits):
    """Return logits, gradients and state of the fused program, which has no gradient of x."""
    program = fused.program_for(net.train(), x.shape)
    assert program is not None
    logits = program.forward(x)
    program.backward(dlogits)
    return logits, {name: value.copy() for name, value in net.gradients().items()}, net.state_dict()


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

HYPERPARAMETERS = {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 4e-5}
