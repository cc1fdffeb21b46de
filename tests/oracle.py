"""PyTorch as the oracle, asked in float64: the operations under the same names, with the same arrays and options."""

import functools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def run(op: str, arrays: tuple[np.ndarray, ...], options: dict) -> tuple[np.ndarray, Callable]:
    """Return the output, and the function from dout to the gradients by all arrays."""
    inputs = [_tensor(array).requires_grad_() for array in arrays]
    out = getattr(OPS, op)(*inputs, **options)

    def backward(dout: np.ndarray) -> list[np.ndarray]:
        return [gradient.numpy() for gradient in torch.autograd.grad(out, inputs, _tensor(dout))]

    return out.detach().numpy(), backward


def _tensor(array):
    return torch.from_numpy(np.array(array, np.float64, order="C"))  # a copy, in native byte order


def _nchw(function):
    """Let a function of (B, C, H, W) take and return (B, H, W, C)."""

    @functools.wraps(function)
    def wrapped(x, *args, **options):
        return function(x.permute(0, 3, 1, 2), *args, **options).permute(0, 2, 3, 1)

    return wrapped


def _pair(value):
    return (value, value) if isinstance(value, int) else value


def _padded(x, kernel, stride, padding, dilation=1, value=0.0):
    """Pad (B, C, H, W); written anew from TensorFlow's and PyTorch's documentation, not from npnets."""
    if padding == "same":
        margins = []
        for n, k, s, d in zip(x.shape[2:], _pair(kernel), _pair(stride), _pair(dilation), strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            margins.append((total // 2, total - total // 2))
    elif padding == "valid":
        margins = [(0, 0), (0, 0)]
    else:
        margins = [_pair(side) for side in _pair(padding)]
    (top, bottom), (left, right) = margins
    return F.pad(x, (left, right, top, bottom), value=value)


@_nchw
def _conv2d(x, weight, *, stride=1, padding=0, dilation=1, groups=1):
    x = _padded(x, weight.shape[:2], stride, padding, dilation)
    weight = weight.permute(3, 2, 0, 1).contiguous()  # HWIO -> OIHW; torch 2.13 raises in backward without the copy
    return F.conv2d(x, weight, None, stride, 0, dilation, groups)


def _depthwise(x, weight, **options):
    return _conv2d(x, weight.unsqueeze(2), groups=x.shape[3], **options)


def _pointwise(x, weight, *, groups=1):
    return _conv2d(x, weight[None, None], groups=groups)


@_nchw
def _max_pool(x, kernel_size, stride=None, padding=0):
    stride = kernel_size if stride is None else stride
    if isinstance(padding, int) and 2 * padding <= min(_pair(kernel_size)):  # else PyTorch refuses
        return F.max_pool2d(x, kernel_size, stride, padding)
    return F.max_pool2d(_padded(x, kernel_size, stride, padding, value=-np.inf), kernel_size, stride)


@_nchw
def _avg_pool(x, kernel_size, stride=None, padding=0, count_include_pad=True):
    stride = kernel_size if stride is None else stride
    ones = torch.ones_like(x)

    def sums(values, outside):
        padded = _padded(values, kernel_size, stride, padding, value=outside)
        return F.avg_pool2d(padded, kernel_size, stride, divisor_override=1)

    return sums(x, 0.0) / sums(ones, float(count_include_pad))


def _batch_norm_train(x, weight, bias, *, eps):
    return F.batch_norm(x.reshape(-1, x.shape[-1]), None, None, weight, bias, True, 0.0, eps).reshape(x.shape)


OPS = SimpleNamespace(
    conv2d=_conv2d,
    group_conv2d=_conv2d,
    depthwise_conv2d=_depthwise,
    pointwise_conv2d=_pointwise,
    depthwise_separable_conv2d=lambda x, depthwise, pointwise, **options: _pointwise(
        _depthwise(x, depthwise, **options), pointwise
    ),
    bias_add=lambda x, bias: x + bias,
    linear=lambda x, weight, bias: F.linear(x, weight.T, bias),
    channel_shuffle=_nchw(F.channel_shuffle),
    relu=F.relu,
    relu6=F.relu6,
    leaky_relu=F.leaky_relu,
    max_pool2d=_max_pool,
    avg_pool2d=_avg_pool,
    global_avg_pool=lambda x: F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1).flatten(1),
    batch_norm_train=_batch_norm_train,
    softmax_cross_entropy=lambda logits, *, labels, label_smoothing: F.cross_entropy(
        logits, torch.from_numpy(labels), label_smoothing=label_smoothing
    ),
)
