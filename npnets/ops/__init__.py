"""The mathematics: one file for each equation, forward and backward.

Every file reads in the same order: the equation with its symbols and the derivation of its gradient; `loops`, the
formula index for index; `numpy`; and the public functions, which check their arguments once and call the implementation
that `npnets.use` chose. The third implementation, `numba`, stands in `npnets.kernels`.

Feature maps are (B, H, W, C), kernels (KH, KW, C/groups, N); the gradient of `name` is `dname`; inputs are never
changed, results are fresh arrays in the dtype of the input.
"""

from npnets.ops.activation import leaky_relu, leaky_relu_backward, relu, relu6, relu6_backward, relu_backward
from npnets.ops.batch_norm import (
    batch_norm_eval,
    batch_norm_eval_backward,
    batch_norm_train,
    batch_norm_train_backward,
)
from npnets.ops.bias import bias_add, bias_add_backward
from npnets.ops.channel_shuffle import channel_shuffle, channel_shuffle_backward
from npnets.ops.conv2d import conv2d, conv2d_backward, group_conv2d, group_conv2d_backward
from npnets.ops.depthwise import depthwise_conv2d, depthwise_conv2d_backward
from npnets.ops.linear import linear, linear_backward
from npnets.ops.loss import softmax_cross_entropy
from npnets.ops.pointwise import pointwise_conv2d, pointwise_conv2d_backward
from npnets.ops.pool import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool,
    global_avg_pool_backward,
    max_pool2d,
    max_pool2d_backward,
)
from npnets.ops.separable import depthwise_separable_conv2d, depthwise_separable_conv2d_backward

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm_eval",
    "batch_norm_eval_backward",
    "batch_norm_train",
    "batch_norm_train_backward",
    "bias_add",
    "bias_add_backward",
    "channel_shuffle",
    "channel_shuffle_backward",
    "conv2d",
    "conv2d_backward",
    "depthwise_conv2d",
    "depthwise_conv2d_backward",
    "depthwise_separable_conv2d",
    "depthwise_separable_conv2d_backward",
    "global_avg_pool",
    "global_avg_pool_backward",
    "group_conv2d",
    "group_conv2d_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "pointwise_conv2d",
    "pointwise_conv2d_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "softmax_cross_entropy",
]
