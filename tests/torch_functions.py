"""PyTorch's own operations, in its own layout, with the arguments of npnets': all of them are right."""

import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def conv2d(x, weight, *, stride, padding, dilation):
    return F.conv2d(x, weight, None, stride, padding, dilation)


def group_conv2d(x, weight, *, groups, stride, padding, dilation):
    return F.conv2d(x, weight, None, stride, padding, dilation, groups)


def depthwise_conv2d(x, weight, *, stride, padding, dilation):
    return F.conv2d(x, weight, None, stride, padding, dilation, x.shape[1])


def pointwise_conv2d(x, weight, *, groups):
    return F.conv2d(x, weight, groups=groups)


def depthwise_separable_conv2d(x, depthwise_weight, pointwise_weight, *, stride, padding, dilation):
    filtered = depthwise_conv2d(x, depthwise_weight, stride=stride, padding=padding, dilation=dilation)
    return F.conv2d(filtered, pointwise_weight)


def linear(x, weight, bias):
    return F.linear(x, weight, bias)


def bias_add(x, bias):
    return x + bias.reshape(-1, *[1] * (x.ndim - 2)) if x.ndim > 2 else x + bias


def channel_shuffle(x, groups):
    return F.channel_shuffle(x, groups)


def relu(x):
    return F.relu(x)


def relu6(x):
    return F.relu6(x)


def leaky_relu(x, negative_slope):
    return F.leaky_relu(x, negative_slope)


def max_pool2d(x, kernel_size, *, stride, padding):
    return F.max_pool2d(x, kernel_size, stride, padding)


def avg_pool2d(x, kernel_size, *, stride, padding, count_include_pad):
    return F.avg_pool2d(x, kernel_size, stride, padding, count_include_pad=count_include_pad)


def global_avg_pool(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def batch_norm_train(x, weight, bias, *, eps):
    axes = [axis for axis in range(x.ndim) if axis != 1]
    mean, var = x.mean(axes), x.var(axes, correction=0)
    return F.batch_norm(x, None, None, weight, bias, True, 0.0, eps), mean, torch.rsqrt(var + eps)


def batch_norm_eval(x, weight, bias, running_mean, running_var, *, eps):
    return F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, eps)


def softmax_cross_entropy(logits, labels, *, label_smoothing):
    logits = logits.detach().requires_grad_()
    loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return loss, torch.autograd.grad(loss, logits)[0]


def _gradients(function, dout, *arrays, **options):
    arrays = [array.detach().clone().requires_grad_() for array in arrays]
    return torch.autograd.grad(function(*arrays, **options), arrays, dout)


def conv2d_backward(dout, x, weight, **options):
    return _gradients(conv2d, dout, x, weight, **options)


def group_conv2d_backward(dout, x, weight, **options):
    return _gradients(group_conv2d, dout, x, weight, **options)


def depthwise_conv2d_backward(dout, x, weight, **options):
    return _gradients(depthwise_conv2d, dout, x, weight, **options)


def pointwise_conv2d_backward(dout, x, weight, **options):
    return _gradients(pointwise_conv2d, dout, x, weight, **options)


def depthwise_separable_conv2d_backward(dout, x, depthwise_weight, pointwise_weight, **options):
    return _gradients(depthwise_separable_conv2d, dout, x, depthwise_weight, pointwise_weight, **options)


def linear_backward(dout, x, weight):
    return _gradients(linear, dout, x, weight, torch.zeros(len(weight), dtype=x.dtype))


def bias_add_backward(dout):
    channels = dout.shape[1] if dout.ndim > 1 else dout.shape[0]
    return _gradients(bias_add, dout, dout, torch.zeros(channels, dtype=dout.dtype))


def channel_shuffle_backward(dout, groups):
    return _gradients(lambda x: F.channel_shuffle(x, groups), dout, dout)[0]


def relu_backward(dout, x):
    return _gradients(relu, dout, x)[0]


def relu6_backward(dout, x):
    return _gradients(relu6, dout, x)[0]


def leaky_relu_backward(dout, x, negative_slope):
    return _gradients(lambda x: F.leaky_relu(x, negative_slope), dout, x)[0]


def max_pool2d_backward(dout, x, kernel_size, *, stride, padding):
    return _gradients(lambda x: F.max_pool2d(x, kernel_size, stride, padding), dout, x)[0]


def avg_pool2d_backward(dout, x_shape, kernel_size, *, stride, padding, count_include_pad):
    def pool(x):
        return F.avg_pool2d(x, kernel_size, stride, padding, count_include_pad=count_include_pad)

    return _gradients(pool, dout, torch.zeros(x_shape, dtype=dout.dtype))[0]


def global_avg_pool_backward(dout, x_shape):
    return _gradients(global_avg_pool, dout, torch.zeros(x_shape, dtype=dout.dtype))[0]


def batch_norm_train_backward(dout, x, weight, mean, inv_std):
    def norm(x, weight, bias):  # the variance, and so eps, is in inv_std
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        eps = 1 / inv_std.square() - x.detach().var(axes, correction=0)
        centred = x - x.mean(axes, keepdim=True)
        var = x.var(axes, correction=0) + eps
        return weight.reshape(shape) * centred / var.sqrt().reshape(shape) + bias.reshape(shape)

    return _gradients(norm, dout, x, weight, torch.zeros_like(weight))


def batch_norm_eval_backward(dout, x, weight, running_mean, running_var, *, eps):
    def norm(x, weight, bias):
        return batch_norm_eval(x, weight, bias, running_mean, running_var, eps=eps)

    return _gradients(norm, dout, x, weight, torch.zeros_like(weight))
