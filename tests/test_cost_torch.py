"""PyTorch's own counter: right about the forward pass, and wrong about a step of training."""

import pytest
import torch
import torch_networks
from torch.utils.flop_counter import FlopCounterMode

import npnets


def torch_counts(net):
    """Return what PyTorch counts for an image forward, and forward and backward; on shapes, without computing."""
    net, x = net.to("meta"), torch.empty(1, 3, 224, 224, dtype=torch.float64, device="meta")
    with FlopCounterMode(display=False) as forward:
        loss = net(x).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


def groups(layer):
    """Return how many times too many PyTorch counts for the gradient of a layer's weight."""
    if isinstance(layer, npnets.layers.DepthwiseConvolution):
        return layer.params["weight"].shape[2]
    return getattr(layer, "groups", 1)


@pytest.mark.parametrize(
    ("name", "options", "printed", "true"),
    [("MobileNetV1", {}, 11910801408, 3390766080), ("ShuffleNetV1", {"groups": 3}, 2093922048, 808507008)],
)
def test_flop_counter_ignores_groups_in_the_gradient_of_the_weight(name, options, printed, true):
    count = npnets.cost(getattr(npnets, name)(**options), (224, 224), "double")
    forward, both = torch_counts(getattr(torch_networks, name)(**options))
    assert forward == count.forward
    assert (both, count.forward + count.backward) == (printed, true)
    too_many = sum(layer.forward * (groups(layer.layer) - 1) for layer in count.layers if layer.mult_adds)
    assert both - true == too_many
