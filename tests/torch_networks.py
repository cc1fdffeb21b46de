"""MobileNet V1 and ShuffleNet V1 as PyTorch modules, written from the papers and not from npnets: the networks' oracle.

They take the same arguments and register their parts in the order of the forward pass, as npnets names its arrays. So
two states are matched by order alone (`load`, `unload`), and what is in the wrong place does not fit or does not agree.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(
    1
)  # with more, its threads wait for a core by turning in circles: 20 times slower where one is busy

# -- pieces ------------------------------------------------------------------------------------------------------------

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU}


def pad(x, size, stride, padding, value=0.0):
    """Pad (B, C, H, W): the same number on all sides, or TensorFlow's "same", ceil(side / stride) outputs."""
    if padding != "same":
        return F.pad(x, [padding] * 4, value=value)
    margins = []
    for side in (x.shape[3], x.shape[2]):  # F.pad begins with the last axis
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        margins += [total // 2, total - total // 2]
    return F.pad(x, margins, value=value)


class Conv3x3(nn.Conv2d):
    def __init__(self, inputs, outputs, stride, padding, groups=1):
        super().__init__(inputs, outputs, 3, stride, groups=groups, bias=False)
        self.margins = padding

    def forward(self, x):
        return super().forward(pad(x, 3, self.stride[0], self.margins))


class MaxPool(nn.Module):
    def __init__(self, padding):
        super().__init__()
        self.margins = padding

    def forward(self, x):
        return F.max_pool2d(pad(x, 3, 2, self.margins, -torch.inf), 3, 2)


class AveragePool(nn.Module):
    def __init__(self, side, padding, count_include_pad):
        super().__init__()
        self.side, self.margins, self.count_include_pad = side, padding, count_include_pad

    def forward(self, x):
        mean = F.avg_pool2d(pad(x, self.side, 2, self.margins), self.side, 2)
        inside = F.avg_pool2d(pad(torch.ones_like(x), self.side, 2, self.margins), self.side, 2)
        return mean if self.count_include_pad else mean / inside


class ChannelShuffle(nn.Module):
    def __init__(self, groups, inverse):
        super().__init__()
        self.groups, self.inverse = groups, inverse

    def forward(self, x):
        B, C, H, W = x.shape
        matrix = (C // self.groups, self.groups) if self.inverse else (self.groups, C // self.groups)
        return x.view(B, *matrix, H, W).transpose(1, 2).reshape(B, C, H, W)


class Network(nn.Module):
    """The options of both networks, and their end."""

    def __init__(self, *, activation="relu", negative_slope=0.01, padding=1, bn_eps=1e-5, bn_momentum=0.1):
        super().__init__()
        slope = (negative_slope,) if activation == "leaky_relu" else ()
        self.padding = padding
        self.activation = lambda: ACTIVATIONS[activation](*slope)
        self.norm = lambda channels: nn.BatchNorm2d(channels, eps=bn_eps, momentum=bn_momentum)
        self.to(torch.float64)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


# -- MobileNet V1: arXiv 1704.04861, table 1; its last depthwise is stride 1 -------------------------------------------

TABLE_1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class MobileNetV1(Network):
    def __init__(self, *, width=1.0, num_classes=1000, in_channels=3, rows=TABLE_1, stem_stride=2, **options):
        super().__init__(**options)
        thin = [max(8, int(width * channels)) for channels in (32, *(channels for channels, _ in rows))]
        parts = [Conv3x3(in_channels, thin[0], stem_stride, self.padding), self.norm(thin[0]), self.activation()]
        for inputs, outputs, (_, stride) in zip(thin, thin[1:], rows, strict=False):
            parts += [Conv3x3(inputs, inputs, stride, self.padding, inputs), self.norm(inputs), self.activation()]
            parts += [nn.Conv2d(inputs, outputs, 1, bias=False), self.norm(outputs), self.activation()]
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Linear(thin[-1], num_classes)
        self.to(torch.float64)


# -- ShuffleNet V1: arXiv 1707.01083, table 1 and figure 2 -------------------------------------------------------------

STAGE_2 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # channels by groups; each later stage has twice as many
STEM = {0.5: 12, 1.0: 24, 2.0: 48}  # channels by scale, for three groups


class ShuffleUnit(nn.Module):
    def __init__(self, branch, shortcut, concat, activation):
        super().__init__()
        self.branch, self.shortcut, self.concat, self.activation = branch, shortcut, concat, activation

    def forward(self, x):
        branch, shortcut = self.branch(x), self.shortcut(x)
        if self.concat == "shortcut first":
            return self.activation(torch.cat([shortcut, branch], 1))
        if self.concat == "branch first":
            return self.activation(torch.cat([branch, shortcut], 1))
        return self.activation(shortcut + branch)


class ShuffleNetV1(Network):
    def __init__(
        self,
        *,
        groups=3,
        scale=1.0,
        num_classes=1000,
        in_channels=3,
        stem_channels=None,
        stage_channels=None,
        stage_units=(4, 8, 4),
        stage_strides=(2, 2, 2),
        stem_stride=2,
        stem_pool=True,
        shortcut_pool=3,
        count_include_pad=True,
        concat="shortcut first",
        shuffle="before",
        shuffle_inverse=False,
        **options,
    ):
        super().__init__(**options)
        inputs = stem_channels or STEM[scale]
        stages = stage_channels or [int(scale * STAGE_2[groups]) * times for times in (1, 2, 4)]
        pool = AveragePool(shortcut_pool, self.padding if shortcut_pool == 3 else 0, count_include_pad)

        def branch(inputs, outputs, whole, first_groups, stride):
            middle = whole // 4
            mixing = ChannelShuffle(groups, shuffle_inverse)
            return nn.Sequential(
                nn.Conv2d(inputs, middle, 1, groups=first_groups, bias=False),
                self.norm(middle),
                self.activation(),
                mixing if shuffle == "before" else nn.Identity(),
                Conv3x3(middle, middle, stride, self.padding, middle),
                self.norm(middle),
                mixing if shuffle == "after" else nn.Identity(),
                nn.Conv2d(middle, outputs, 1, groups=groups, bias=False),
                self.norm(outputs),
            )

        parts = [Conv3x3(in_channels, inputs, stem_stride, self.padding), self.norm(inputs), self.activation()]
        parts += [MaxPool(self.padding)] if stem_pool else []
        first_groups = 1  # only in the very first unit
        for outputs, units, stride in zip(stages, stage_units, stage_strides, strict=True):
            joined = branch(inputs, outputs - inputs, outputs, first_groups, stride)
            parts.append(ShuffleUnit(joined, pool if stride == 2 else nn.Identity(), concat, self.activation()))
            for _ in range(units - 1):
                added = branch(outputs, outputs, outputs, groups, 1)
                parts.append(ShuffleUnit(added, nn.Identity(), None, self.activation()))
            inputs, first_groups = outputs, groups
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Linear(inputs, num_classes)
        self.to(torch.float64)


# -- weights there and back, by the order of the forward pass ----------------------------------------------------------


def load(module, state):
    """Copy npnets' state (its order counts, its names do not) into a PyTorch module of the same network."""
    for target, value in zip(_tensors(module), state.values(), strict=True):
        converted = torch.from_numpy(to_pytorch(value, target.ndim).copy())
        assert converted.shape == target.shape
        target.copy_(converted)


def unload(module, state):
    """Return the module's state under the names of `state`."""
    return {name: to_npnets(t, state[name].ndim) for name, t in zip(state, _tensors(module), strict=True)}


def gradients(module, parameters):
    """Return the module's gradients under the names of `parameters`."""
    tensors = [parameter.grad for parameter in module.parameters()]
    return {name: to_npnets(t, parameters[name].ndim) for name, t in zip(parameters, tensors, strict=True)}


def to_pytorch(array, ndim):
    """Convert HWIO to OIHW, (KH, KW, M) to (M, 1, KH, KW), (M, N) to (N, M, 1, 1) or, for linear layers, (N, M)."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 3:
        return array.transpose(2, 0, 1)[:, None]
    return array.T.reshape(array.shape[::-1] + (1,) * (ndim - array.ndim))


def to_npnets(tensor, ndim):
    """Undo `to_pytorch`."""
    array = tensor.detach().numpy()
    if ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if ndim == 3:
        return array[:, 0].transpose(1, 2, 0)
    return array.reshape(array.shape[:ndim]).T


def _tensors(module):
    return [tensor for name, tensor in module.state_dict().items() if not name.endswith("num_batches_tracked")]


def tensor(array):
    """Return a copy in float64; images in PyTorch's order, which a gradient by them has then too."""
    values = np.asarray(array, np.float64)
    return torch.from_numpy((values.transpose(0, 3, 1, 2) if values.ndim == 4 else values).copy())


# -- the same network and its results ----------------------------------------------------------------------------------


def module(case):
    """Return the module of a case (`network_cases`), with the weights of npnets' network."""
    made = globals()[case.network](**case.options)
    load(made, case.numpy().state_dict())
    return made


def results(module, net, x, dlogits, training):
    """Return what `network_cases.results` does, of PyTorch, named as in `net`."""
    module.train(training)
    images = tensor(x).requires_grad_()
    logits = module(images)
    logits.backward(tensor(dlogits))
    named = gradients(module, net.parameters())
    return (
        logits.detach().numpy(),
        {**named, "x": images.grad.numpy().transpose(0, 2, 3, 1)},
        unload(module, net.state_dict()),
    )
