"""Real networks on real pictures: the logits that PyTorch gave in float64, and the accuracy that was published."""

import numpy as np
import pytest
from network_cases import assert_near
from shared_data import shared

import npnets
from npnets.weights import from_pretrained, load_weights, save_weights, tflite

# What the references are good for: their float64 has some 1e-15, and float32 loses what test_networks allows it.
RELATIVE = {np.float64: 1e-9, np.float32: 1e-4}

NETWORKS = {
    "mobilenet": ("mobilenet_v1_025_224_tf.npz", "photos_224_ref.npz", "logits_mobilenet_v1_025_tf", "label"),
    "shufflenet": ("shufflenet_v1_05_g3_cifar10.npz", "cifar10_test_250_ref.npz", "logits_shufflenet_v1_05_g3", "y"),
}
SLOW, FEW, BATCH = ("loops", "numpy"), 20, 10  # on all 250 images these take a quarter of a minute


def references(name):
    """Return the weights' path, images, the stored logits and labels."""
    weights, pictures, logits, labels = NETWORKS[name]
    with np.load(shared(pictures), allow_pickle=False) as held:
        return shared(weights), held["x"], held[logits], held[labels]


def test_tflite_files_are_read_too(tmp_path):
    path = shared("mobilenet_v1_0.25_128_quant.tflite")
    net = from_pretrained(path)
    assert (net.arguments["width"], net.arguments["num_classes"], net.preprocessing.side) == (0.25, 1001, 128)
    save_weights(net, tmp_path / "net.npz")
    for other in from_pretrained(tmp_path / "net.npz"), tflite.load(path):
        assert all((value == net.state_dict()[name]).all() for name, value in other.state_dict().items())
        assert other.preprocessing == net.preprocessing
    with pytest.raises(ValueError, match=r"^`padding` cannot be given: a TFLite file says all of its network$"):
        from_pretrained(path, padding=1)
    with pytest.raises(ValueError, match=r"a TFLite file says which network it is of: use from_pretrained$"):
        load_weights(net, path)


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("way", ["loops", "numpy", "numba", "compiled"])
def test_logits_and_accuracy(way, name, dtype):
    weights, images, logits, labels = references(name)
    some = slice(FEW if way in SLOW else None)
    images, logits, labels = images[some], logits[some], labels[some]
    net = from_pretrained(weights, dtype=dtype)
    forward = npnets.compile(net) if way == "compiled" else net
    with npnets.use("numba" if way == "compiled" else way):
        out = np.concatenate([forward(net.preprocess(images[i : i + BATCH])) for i in range(0, len(images), BATCH)])
    assert out.dtype == dtype
    assert_near(out.astype(np.float64), logits, RELATIVE[dtype])
    assert (out.argmax(1) == logits.argmax(1)).all()
    if len(images) == 250:
        assert (out.argmax(1) == labels).mean() == 0.908
