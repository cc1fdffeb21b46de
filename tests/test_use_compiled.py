"""`npnets.use(depthwise_conv2d=mine)` where everything is fused: it is not passed by."""

import numpy as np
import pytest
from shared_data import shared
from test_use import Counted, backward, forward, images

import npnets
from npnets.testing import first_difference


@pytest.fixture
def pair():
    return Counted(forward), Counted(backward)


@pytest.fixture
def net():
    return npnets.MobileNetV1(width=0.25, num_classes=3, rows=((64, 1), (128, 2)), seed=1, dtype=np.float64)


@pytest.mark.parametrize("training", [True, False])
def test_a_compiled_network_goes_through_the_layers(net, pair, training):
    """What is compiled while a function is in use calls it, with the weights of then, in eval mode."""
    net = net.train() if training else net.eval()
    expected = npnets.MobileNetV1(width=0.25, num_classes=3, rows=((64, 1), (128, 2)), seed=1, dtype=np.float64).eval()(
        images()
    )
    before = npnets.compile(net)
    with npnets.use(depthwise_conv2d=pair):
        fast = npnets.compile(net)
        net.parameters()["stem.conv.weight"][...] = 0
        np.testing.assert_allclose(fast(images()), expected, rtol=1e-10)
        assert len(pair[0].calls) == 2
        with pytest.raises(RuntimeError, match=r"compiled before npnets\.use\(depthwise_conv2d, depthwise_conv2d_back"):
            before(images())
        with pytest.raises(ValueError, match=r"use x\.transpose"):
            fast(images().transpose(0, 3, 1, 2))
    np.testing.assert_allclose(before(images()), expected, rtol=1e-10)
    np.testing.assert_allclose(fast(images()), expected, rtol=1e-10)
    assert len(pair[0].calls) == 2


def test_a_fused_training_step_goes_through_the_layers(net, pair):
    with npnets.use("numba", depthwise_conv2d=pair):
        npnets.train_step(net.train(), npnets.SGD(net, lr=0.1), images(), np.array([0, 1, 2]))
    assert [len(one.calls) for one in pair] == [2, 2]


def strided(x, weight, *, stride, padding, dilation):
    KH, KW, _ = weight.shape
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (dilation * (KH - 1) + 1, dilation * (KW - 1) + 1), (1, 2))
    windows = windows[:, ::stride, ::stride, :, ::dilation, ::dilation]
    return np.einsum("bklmij,ijm->bklm", windows, weight)


def test_a_photograph_is_classified_with_it():
    """Real weights, whose padding at stride 2 is on two sides only, and photographs: the stored logits come out."""
    net = npnets.from_pretrained(shared("mobilenet_v1_025_224_tf.npz"))
    with np.load(shared("photos_224_ref.npz"), allow_pickle=False) as held:
        photos, logits = held["x"], held["logits_mobilenet_v1_025_tf"]
    mine = Counted(strided)
    with npnets.use(depthwise_conv2d=(mine, None)):
        found = npnets.compile(net)(net.preprocess(photos))
        assert first_difference(net, net.preprocess(photos[:1, :64, :64]), backward=False) is None
    assert len(mine.calls) == 26
    assert all(call["padding"] == 0 for call in mine.calls)  # "same" is made before
    assert (found.argmax(1) == logits.argmax(1)).all()
    wrong = Counted(lambda *arrays, **options: strided(*arrays, **options)[:, :, ::-1])
    with npnets.use(depthwise_conv2d=wrong):
        assert first_difference(net, net.preprocess(photos[:1, :64, :64])).layer == "block1.depthwise"
