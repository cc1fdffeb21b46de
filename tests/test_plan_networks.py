"""`npnets.compile` against PyTorch and the papers' networks."""

import numpy as np
import pytest
import torch
import torch_networks
from test_networks import CASES, Case, assert_near, implementations

import npnets

PAPERS = {
    "mobilenet at 224": Case("MobileNetV1", {}, (224, 224), 1),
    "mobilenet 0.75 at 160": Case("MobileNetV1", {"width": 0.75}, (160, 160), 1),
    "shufflenet at 224": Case("ShuffleNetV1", {}, (224, 224), 1),
    "shufflenet 2x, eight groups": Case("ShuffleNetV1", {"scale": 2.0, "groups": 8}, (96, 64), 1),
}


@pytest.mark.parametrize("name", CASES | PAPERS)
def test_as_pytorch(name):
    case = (CASES | PAPERS)[name]
    x, module = case.images(), torch_networks.module(case).eval()
    with torch.inference_mode():
        expected = module(torch_networks.tensor(x)).numpy()
    assert_near(npnets.compile(case.numpy())(x), expected)
    single = npnets.compile(case.numpy(np.float32))(x.astype(np.float32))
    assert single.dtype == np.float32
    assert_near(single, expected, 1e-4)


@implementations
@pytest.mark.parametrize("name", CASES)
def test_as_the_network(name, implementation):
    case = CASES[name]
    net, x = case.numpy().eval(), case.images(3)
    with npnets.use(implementation):
        assert_near(npnets.compile(net)(x), net(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["mobilenet at 224", "shufflenet at 224"])
def test_same_bits_on_any_number_of_threads(name, dtype):
    before, x = npnets.get_threads(), PAPERS[name].images(8).astype(dtype)
    fast = npnets.compile(PAPERS[name].numpy(dtype))
    try:
        npnets.set_threads(1)
        right = fast(x)
        for threads in 1, 2, 4:
            npnets.set_threads(threads)
            for batch in 1, 2, 3, 5, 8:
                np.testing.assert_array_equal(fast(x[:batch]), right[:batch])
    finally:
        npnets.set_threads(before)
