"""Class activation maps: what each place adds to a logit, exactly; and the recorded feature maps."""

import numpy as np
import pytest
from network_cases import CASES, Case
from training import IMPLEMENTATION

import npnets
from npnets import cam
from npnets.testing import rounding_bound

pytestmark = pytest.mark.uncompiled

NAMES = ("mobilenet, grey, own rows", "shufflenet, one stage")


@pytest.fixture(autouse=True)
def _implementation():
    with npnets.use(IMPLEMENTATION):
        yield


def network(name, dtype=np.float64):
    case = CASES[name]
    return case.numpy(dtype).eval(), case.images().astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_a_map_and_the_bias_are_the_logit(name, dtype):
    """Equation (4), within the roundings of both sides.

    With n pixels and M channels, a product goes through at most n + 1 roundings in the pool (n - 1 sums, the mean's
    factor and its product) and M + 1 in the classifier on its way into the logit, and M into the map; the bias through
    M + 1. The mean over the map is taken in a finer dtype.
    """
    net, x = network(name, dtype)
    last = list(net.children)[-3]
    seen = cam.activations(net, x, layers=[last])
    A = seen.features[last].astype(np.longdouble)
    weight, bias = (net.parameters()[f"classifier.{what}"].astype(np.longdouble) for what in ("weight", "bias"))
    n, M = A.shape[1] * A.shape[2], A.shape[3]
    mean = seen.maps.astype(np.longdouble).mean((1, 2)) + bias
    magnitude = np.einsum("bklm,mn->bn", abs(A), abs(weight)) / n
    bound = (rounding_bound(n + M + 2, dtype) + rounding_bound(M, dtype)) * magnitude
    bound += rounding_bound(M + 1, dtype) * abs(bias)
    assert seen.maps.dtype == seen.logits.dtype == dtype
    assert (abs(mean - seen.logits) <= bound).all()
    assert (abs(seen.logits) > 100 * bound).any()  # it says something


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_the_gradient_times_the_features(name):
    """dlogit[n]/dA[k,l,m] = W[m,n] / (K L): the gradient, written for training, gives the same map."""
    net, x = network(name)
    *_, last, pool, classifier = net.children
    seen = cam.activations(net, x, classes=[3, 1], layers=[last])
    A = seen.features[last]
    for column, n in enumerate([3, 1]):
        net(x)
        dlogits = np.zeros_like(seen.logits)
        dlogits[:, n] = 1
        dA = net.children[pool].backward(net.children[classifier].backward(dlogits))
        by_gradient = A.shape[1] * A.shape[2] * (dA * A).sum(3)
        np.testing.assert_allclose(seen.maps[..., column], by_gradient, 1e-12, 1e-12 * abs(seen.maps).max())


@pytest.mark.parametrize("use", ["loops", "numpy", "numba"])
def test_features_are_the_layers_outputs(use):
    case = Case(
        "MobileNetV1", {"rows": ((8, 1), (16, 2)), "stem_stride": 1, "in_channels": 1, "num_classes": 3}, (7, 5)
    )
    net, x = case.numpy().eval(), case.images()
    with npnets.use(use):
        seen = cam.activations(net, x, classes=[2], layers=["block2", "block2.depthwise", "stem"])
        children = dict(net.children)
        stem = children["stem"].forward(x)
        block1 = children["block1"].forward(stem)
        depthwise = children["block2"].children["depthwise"].forward(block1)
        block2 = children["block2"].forward(block1)
        logits = net(x)
    assert list(seen.features) == ["block2", "block2.depthwise", "stem"]
    for name, expected in (("stem", stem), ("block2.depthwise", depthwise), ("block2", block2)):
        assert np.array_equal(seen.features[name], expected), name
    assert np.array_equal(seen.logits, logits)
    assert seen.maps.shape == (2, 4, 3, 1)


def test_inside_of_a_shuffle_unit():
    net, x = network("shufflenet, one stage")
    features = cam.activations(net, x, layers=["stage2_unit2.shuffle", "stage2_unit2"]).features
    assert features["stage2_unit2.shuffle"].shape[3] == 44
    assert features["stage2_unit2"].shape[3] == 176


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ["block9"]}, "`layers`: 'block9' is not one of this network's: stem, block1, block2, .*or a part"),
        ({"layers": [""]}, "`layers`: '' is not one of"),
        ({"layers": ["stem", "pool"]}, r"`layers`: 'pool' gives no feature maps, but an array of the shape \(3, 19\)"),
        ({"classes": [7]}, r"`classes` \(=\[7\]\) must be from 0 to 6"),
        ({"classes": [-1]}, r"`classes` \(=\[-1\]\) must be from 0 to 6"),
    ],
)
def test_errors_leave_the_network_as_it_was(arguments, message):
    net, x = network("mobilenet, grey, own rows")
    with pytest.raises(ValueError, match=message):
        cam.activations(net, x, **arguments)
    with pytest.raises(ValueError, match="must be"):
        cam.activations(net, x[..., :0], layers=["stem"])
    assert not any("forward" in vars(layer) for _, layer in net.layers())


def test_networks_of_another_end_are_refused():
    net, x = network("mobilenet, grey, own rows")
    net.children["flat"] = net.children.pop("pool")
    with pytest.raises(TypeError, match="global average pool and a linear classifier"):
        cam.activations(net, x)


def test_spread():
    assert cam.spread(npnets.MobileNetV1(rows=(), num_classes=2), (9, 9, 3)) == ["stem"]
    net = npnets.MobileNetV1(width=0.25)
    assert cam.spread(net, (224, 224, 3), 2) == ["stem", "block13"]
    assert cam.spread(net, (224, 224, 3), 99) == ["stem", "block1", "block3", "block5", "block11", "block13"]
    small = npnets.train.Settings().network((28, 28, 1), 10)
    assert cam.spread(small, (28, 28, 1)) == ["stem", "block1", "block3", "block5"]
