"""What students hand in: functions that are wrong, each in one way, written as people write them.

The name of the operation is the argument of the decorator; then come words that the diagnosis must have.
"""

import numpy as np

WRONG = {}


def wrong(op, *words):
    """Register a function."""

    def register(function):
        assert function.__name__ not in WRONG
        WRONG[function.__name__] = (op, words, function)
        return function

    return register


def size(n, k, s, p, d):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def pad(x, p, **mode):
    return np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), **mode)


def depthwise(x, weight, s, p, d):
    """A right one, for those that begin with it."""
    KH, KW, M = weight.shape
    oh, ow = size(x.shape[1], KH, s, p, d), size(x.shape[2], KW, s, p, d)
    x = pad(x, p)
    out = np.zeros((len(x), oh, ow, M), x.dtype)
    for i in range(KH):
        for j in range(KW):
            out += x[:, d * i : d * i + s * (oh - 1) + 1 : s, d * j : d * j + s * (ow - 1) + 1 : s] * weight[i, j]
    return out


# -- the kernel --------------------------------------------------------------------------------------------------------


@wrong("depthwise_conv2d", "turned by 180 degrees (flipped)", "meets F")
def true_convolution(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight[::-1, ::-1], stride, padding, dilation)


@wrong("depthwise_conv2d", "rows and columns of the kernel are swapped (transposed)")
def transposed_kernel(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight.transpose(1, 0, 2), stride, padding, dilation)


@wrong("depthwise_conv2d", "the last column of the kernel is not read", "is missing")
def last_kernel_column(x, weight, *, stride, padding, dilation):
    B, H, W, M = x.shape
    KH, KW, _ = weight.shape
    oh, ow = size(H, KH, stride, padding, dilation), size(W, KW, stride, padding, dilation)
    out = np.zeros((B, oh, ow, M), x.dtype)
    for k in range(oh):
        for l in range(ow):
            for i in range(KH):
                for j in range(KW - 1):
                    r, c = stride * k + dilation * i - padding, stride * l + dilation * j - padding
                    if 0 <= r < H and 0 <= c < W:
                        out[:, k, l] += weight[i, j] * x[:, r, c]
    return out


@wrong("depthwise_conv2d", "the kernel of channel 0 is used for all output channels")
def one_kernel(x, weight, *, stride, padding, dilation):
    return depthwise(x, np.repeat(weight[:, :, :1], weight.shape[2], 2), stride, padding, dilation)


# -- stride ------------------------------------------------------------------------------------------------------------


@wrong("depthwise_conv2d", "the stride is ignored", "should have the shape")
def no_stride(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, 1, padding, dilation)


@wrong("depthwise_conv2d", "for the rows only", "stride on the wrong axis")
def stride_of_rows(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, 1, padding, dilation)[:, ::stride]


@wrong("depthwise_conv2d", "for the columns only", "stride on the wrong axis")
def stride_of_columns(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, 1, padding, dilation)[:, :, ::stride]


@wrong("depthwise_conv2d", "the stride multiplies i and j too")
def stride_everywhere(x, weight, *, stride, padding, dilation):
    B, H, W, M = x.shape
    KH, KW, _ = weight.shape
    oh, ow = size(H, KH, stride, padding, dilation), size(W, KW, stride, padding, dilation)
    out = np.zeros((B, oh, ow, M), x.dtype)
    for k, l, i, j in np.ndindex(oh, ow, KH, KW):
        r, c = stride * (k + dilation * i) - padding, stride * (l + dilation * j) - padding
        if 0 <= r < H and 0 <= c < W:
            out[:, k, l] += weight[i, j] * x[:, r, c]
    return out


@wrong("depthwise_conv2d", "the stride thins out the image before the convolution")
def stride_first(x, weight, *, stride, padding, dilation):
    return depthwise(x[:, ::stride, ::stride], weight, 1, padding, dilation)


@wrong("depthwise_conv2d", "the stride begins at s - 1 instead of 0")
def stride_late(x, weight, *, stride, padding, dilation):
    full = depthwise(x, weight, 1, padding, dilation)
    out = depthwise(x, weight, stride, padding, dilation)
    late = np.zeros_like(out)
    part = full[:, stride - 1 :: stride, stride - 1 :: stride]
    KH, KW, _ = weight.shape
    for k, l, i, j in np.ndindex(*out.shape[1:3], KH, KW):
        r, c = stride * k + stride - 1 + dilation * i - padding, stride * l + stride - 1 + dilation * j - padding
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            late[:, k, l] += weight[i, j] * x[:, r, c]
    late[:, : part.shape[1], : part.shape[2]] = part
    return late


# -- padding -----------------------------------------------------------------------------------------------------------


@wrong("depthwise_conv2d", "the padding is ignored")
def no_padding(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, 0, dilation)


@wrong("depthwise_conv2d", "the padding is on one side only: above and to the left")
def padding_before(x, weight, *, stride, padding, dilation):
    return depthwise(np.pad(x, ((0, 0), (padding, 0), (padding, 0), (0, 0))), weight, stride, 0, dilation)


@wrong("depthwise_conv2d", "the padding is on one side only: all 2 p of it below and to the right")
def padding_after(x, weight, *, stride, padding, dilation):
    return depthwise(np.pad(x, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0))), weight, stride, 0, dilation)


@wrong("conv2d", "the padding is only above and below")
def padding_of_rows(x, weight, *, stride, padding, dilation):
    return conv(np.pad(x, ((0, 0), (padding, padding), (0, 0), (0, 0))), weight, stride, 0, dilation)


@wrong("depthwise_conv2d", "the pixels of the edge are repeated", "does not belong there")
def padded_with_edge(x, weight, *, stride, padding, dilation):
    return depthwise(pad(x, padding, mode="edge"), weight, stride, 0, dilation)


@wrong("depthwise_conv2d", "the padding is 1, not 0")
def padded_with_ones(x, weight, *, stride, padding, dilation):
    return depthwise(pad(x, padding, constant_values=1), weight, stride, 0, dilation)


@wrong("depthwise_conv2d", "a row or column below 0 is read from the other end")
def negative_index(x, weight, *, stride, padding, dilation):
    B, H, W, M = x.shape
    KH, KW, _ = weight.shape
    oh, ow = size(H, KH, stride, padding, dilation), size(W, KW, stride, padding, dilation)
    out = np.zeros((B, oh, ow, M), x.dtype)
    for k, l, i, j in np.ndindex(oh, ow, KH, KW):
        r, c = stride * k + dilation * i - padding, stride * l + dilation * j - padding
        if r < H and c < W:
            out[:, k, l] += weight[i, j] * x[:, r % H, c % W]
    return out


@wrong("depthwise_conv2d", "windows that reach over the edge of the image are left out")
def only_whole_windows(x, weight, *, stride, padding, dilation):
    B, H, W, M = x.shape
    KH, KW, _ = weight.shape
    oh, ow = size(H, KH, stride, padding, dilation), size(W, KW, stride, padding, dilation)
    out = np.zeros((B, oh, ow, M), x.dtype)
    for k, l in np.ndindex(oh, ow):
        r, c = stride * k - padding, stride * l - padding
        if r >= 0 and c >= 0 and r + dilation * (KH - 1) < H and c + dilation * (KW - 1) < W:
            window = x[:, r : r + dilation * (KH - 1) + 1 : dilation, c : c + dilation * (KW - 1) + 1 : dilation]
            out[:, k, l] = (window * weight).sum((1, 2))
    return out


@wrong("depthwise_conv2d", "off by one", "counted from 1")
def counted_from_one(x, weight, *, stride, padding, dilation):
    B, H, W, M = x.shape
    KH, KW, _ = weight.shape
    oh, ow = size(H, KH, stride, padding, dilation), size(W, KW, stride, padding, dilation)
    out = np.zeros((B, oh, ow, M), x.dtype)
    for k, l, i, j in np.ndindex(oh, ow, KH, KW):
        r, c = stride * k + dilation * i - padding - 1, stride * l + dilation * j - padding - 1
        if 0 <= r < H and 0 <= c < W:
            out[:, k, l] += weight[i, j] * x[:, r, c]
    return out


# -- dilation, the output, sums ----------------------------------------------------------------------------------------


@wrong("depthwise_conv2d", "the dilation is ignored", "It agrees in all", "dilation=1")
def no_dilation(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, 1)


@wrong("depthwise_conv2d", "spread by d + 1 instead of d")
def one_zero_too_many(x, weight, *, stride, padding, dilation):
    KH, KW, M = weight.shape
    step = dilation + 1
    spread = np.zeros((step * (KH - 1) + 1, step * (KW - 1) + 1, M), x.dtype)
    spread[::step, ::step] = weight
    return depthwise(x, spread, stride, padding, 1)


@wrong("depthwise_conv2d", "off by one at the edge: the output has a row and a column less")
def output_too_small(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation)[:, :-1, :-1]


@wrong("depthwise_conv2d", "off by one at the edge: the last row and the last column of the output are not computed")
def last_output_missing(x, weight, *, stride, padding, dilation):
    out = depthwise(x, weight, stride, padding, dilation)
    out[:, -1] = 0
    out[:, :, -1] = 0
    return out


@wrong("depthwise_conv2d", "the terms are not added up", "= instead of +=")
def assigned(x, weight, *, stride, padding, dilation):
    B, H, W, M = x.shape
    KH, KW, _ = weight.shape
    oh, ow = size(H, KH, stride, padding, dilation), size(W, KW, stride, padding, dilation)
    out = np.zeros((B, oh, ow, M), x.dtype)
    for k, l, i, j in np.ndindex(oh, ow, KH, KW):
        r, c = stride * k + dilation * i - padding, stride * l + dilation * j - padding
        if 0 <= r < H and 0 <= c < W:
            out[:, k, l] = weight[i, j] * x[:, r, c]
    return out


@wrong("depthwise_conv2d", "divided by KH KW")
def mean_of_window(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation) / (weight.shape[0] * weight.shape[1])


@wrong("depthwise_conv2d", "a depthwise convolution keeps them apart")
def summed_channels(x, weight, *, stride, padding, dilation):
    out = depthwise(x, weight, stride, padding, dilation)
    return np.repeat(out.sum(3, keepdims=True), x.shape[3], 3)


@wrong("depthwise_conv2d", "rows and columns are swapped in the result")
def transposed_output(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation).transpose(0, 2, 1, 3)


@wrong("depthwise_conv2d", "only the first image of the batch is computed")
def first_image(x, weight, *, stride, padding, dilation):
    out = depthwise(x, weight, stride, padding, dilation)
    out[1:] = 0
    return out


@wrong("depthwise_conv2d", "the channels come first")
def channels_first(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation).transpose(0, 3, 1, 2)


# -- what is returned --------------------------------------------------------------------------------------------------


@wrong("depthwise_conv2d", "is int64, and should be float64")
def whole_numbers(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation).astype(int)


@wrong("depthwise_conv2d", "is float64, and should be float32")
def always_float64(x, weight, *, stride, padding, dilation):
    return depthwise(x.astype(float), weight, stride, padding, dilation)


@wrong("depthwise_conv2d", "computed in float32 on the way")
def float32_inside(x, weight, *, stride, padding, dilation):
    out = depthwise(x.astype(np.float32), weight.astype(np.float32), stride, padding, dilation)
    return out.astype(x.dtype)


@wrong("depthwise_conv2d", "`x` is not what it was before the call")
def changes_its_input(x, weight, *, stride, padding, dilation):
    out = depthwise(x, weight, stride, padding, dilation)
    x *= 2
    return out


@wrong("depthwise_conv2d", "`out` should be an array", "is None")
def returns_nothing(x, weight, *, stride, padding, dilation):
    depthwise(x, weight, stride, padding, dilation)


@wrong("depthwise_conv2d", "Called again with the same arguments it returns something else")
def keeps_a_sum(x, weight, *, stride, padding, dilation, kept=[0.0]):  # noqa: B006
    kept[0] += 1
    return depthwise(x, weight, stride, padding, dilation) + kept[0]


@wrong("depthwise_conv2d", "should be 15 and is True")
def booleans(x, weight, *, stride, padding, dilation):
    return depthwise(x, weight, stride, padding, dilation) > 0


@wrong("relu_backward", "is True", "dout is left out")
def mask(dout, x):
    return x > 0


@wrong("depthwise_conv2d", "should be 15 and is 15j")
def imaginary(x, weight, *, stride, padding, dilation):
    return 1j * depthwise(x, weight, stride, padding, dilation)


@wrong("depthwise_conv2d", "is nan", "divided by 0")
def not_a_number(x, weight, *, stride, padding, dilation):
    with np.errstate(all="ignore"):
        out = depthwise(x, weight, stride, padding, dilation)
        return out * (np.zeros(1) / np.zeros(1) if padding else 1)


# -- standard and group convolution ------------------------------------------------------------------------------------


def conv(x, weight, s, p, d, channel=None):
    """A right one, where `channel` does not say which input channel (m, n) meets."""
    KH, KW, M, N = weight.shape
    g = x.shape[3] // M
    channel = channel or (lambda m, n: n // (N // g) * M + m)
    B, H, W, _ = x.shape
    out = np.zeros((B, size(H, KH, s, p, d), size(W, KW, s, p, d), N), x.dtype)
    for k, l, i, j in np.ndindex(*out.shape[1:3], KH, KW):
        r, c = s * k + d * i - p, s * l + d * j - p
        if 0 <= r < H and 0 <= c < W:
            for m, n in np.ndindex(M, N):
                out[:, k, l, n] += weight[i, j, m, n] * x[:, r, c, channel(m, n)]
    return out


@wrong("conv2d", "turned by 180 degrees (flipped)")
def true_convolution_of_all(x, weight, *, stride, padding, dilation):
    return conv(x, weight[::-1, ::-1], stride, padding, dilation)


@wrong("conv2d", "only the last input channel counts")
def last_input_channel(x, weight, *, stride, padding, dilation):
    return conv(x[..., -1:], weight[:, :, -1:], stride, padding, dilation)


@wrong("group_conv2d", "the groups are interleaved: output n is given the channels of group n mod g")
def interleaved_outputs(x, weight, *, groups, stride, padding, dilation):
    M = weight.shape[2]
    return conv(x, weight, stride, padding, dilation, lambda m, n: n % groups * M + m)


@wrong("group_conv2d", "the groups are interleaved: group a is given the input channels a, a + g")
def interleaved_inputs(x, weight, *, groups, stride, padding, dilation):
    N = weight.shape[3]
    return conv(x, weight, stride, padding, dilation, lambda m, n: m * groups + n // (N // groups))


@wrong("group_conv2d", "the outputs of the groups are interleaved")
def stacked_outputs(x, weight, *, groups, stride, padding, dilation):
    M, N = weight.shape[2:]
    out = conv(x, weight, stride, padding, dilation, lambda m, n: n // (N // groups) * M + m)
    return np.stack(np.split(out, groups, -1), -1).reshape(out.shape)


@wrong("pointwise_conv2d", "every group reads the channels of the first one", "groups=1")
def first_group(x, weight, *, groups):
    return x[..., : len(weight)] @ weight


# -- gradients of convolutions -----------------------------------------------------------------------------------------


def gradients(dout, x, weight, s, p, d, add=True):
    KH, KW, _ = weight.shape
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for k, l, i, j in np.ndindex(*dout.shape[1:3], KH, KW):
        r, c = s * k + d * i - p, s * l + d * j - p
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            dx[:, r, c] = dx[:, r, c] * add + weight[i, j] * dout[:, k, l]
            dweight[i, j] += (x[:, r, c] * dout[:, k, l]).sum(0)
    return dx, dweight


@wrong("depthwise_conv2d_backward", "not added up where windows overlap", "dF[")
def not_accumulated(dout, x, weight, *, stride, padding, dilation):
    return gradients(dout, x, weight, stride, padding, dilation, add=False)


@wrong("depthwise_conv2d_backward", "the kernel is not turned by 180 degrees")
def kernel_not_turned(dout, x, weight, *, stride, padding, dilation):
    dx, _ = gradients(dout, x, weight[::-1, ::-1], stride, padding, dilation)
    return dx, gradients(dout, x, weight, stride, padding, dilation)[1]


@wrong("depthwise_conv2d_backward", "divided by the size of the batch")
def mean_over_the_batch(dout, x, weight, *, stride, padding, dilation):
    dx, dweight = gradients(dout, x, weight, stride, padding, dilation)
    return dx, dweight / len(x)


@wrong("depthwise_conv2d_backward", "the stride is ignored where the pixel is chosen")
def backward_without_stride(dout, x, weight, *, stride, padding, dilation):
    return gradients(dout, x, weight, 1, padding, dilation)


@wrong("depthwise_conv2d_backward", "the padding is cut off on one side only")
def cut_on_one_side(dout, x, weight, *, stride, padding, dilation):
    dx, _ = gradients(dout, pad(x, padding), weight, stride, 0, dilation)
    return dx[:, : x.shape[1], : x.shape[2]].copy(), gradients(dout, x, weight, stride, padding, dilation)[1]


@wrong("depthwise_conv2d_backward", "dx, dweight is the order")
def wrong_order(dout, x, weight, *, stride, padding, dilation):
    return gradients(dout, x, weight, stride, padding, dilation)[::-1]


@wrong("depthwise_conv2d_backward", "It should return 2 values, dx, dweight, and returns 1")
def one_gradient(dout, x, weight, *, stride, padding, dilation):
    return gradients(dout, x, weight, stride, padding, dilation)[0]


# -- the others --------------------------------------------------------------------------------------------------------


@wrong("linear", "the bias is added twice")
def bias_twice(x, weight, bias):
    return x @ weight + bias + bias


@wrong("linear_backward", "divided by the size of the batch")
def linear_mean(dout, x, weight):
    return dout @ weight.T, x.T @ dout / len(x), dout.sum(0)


@wrong("bias_add_backward", "only the first axis is summed over")
def bias_of_the_batch(dout):
    return dout.copy(), dout.sum(0)


@wrong("channel_shuffle", "it is the inverse shuffle")
def inverse_shuffle(x, groups):
    B, H, W, C = x.shape
    return x.reshape(B, H, W, C // groups, groups).swapaxes(3, 4).reshape(x.shape)


@wrong("channel_shuffle_backward", "it is the shuffle itself")
def shuffled_again(dout, groups):
    B, H, W, C = dout.shape
    return dout.reshape(B, H, W, groups, C // groups).swapaxes(3, 4).reshape(dout.shape)


@wrong("relu", "negative values are not 0")
def leaky(x):
    return np.where(x > 0, x, 0.01 * x).astype(x.dtype)


@wrong("relu_backward", "at x = 0 the gradient is let through", "] = 0")
def at_the_kink(dout, x):
    return dout * (x >= 0)


@wrong("relu_backward", "the sign of dout decides")
def sign_of_dout(dout, x):
    return dout * (dout > 0)


@wrong("relu6_backward", "above 6 the gradient is let through")
def without_the_bound(dout, x):
    return dout * (x > 0)


@wrong("leaky_relu", "the slope is always 0.01")
def fixed_slope(x, negative_slope):
    return np.where(x > 0, x, x * x.dtype.type(0.01))


def windows(x, n, s, p, value=0.0):
    padded = pad(x, p, constant_values=value)
    for k in range(size(x.shape[1], n, s, p, 1)):
        for l in range(size(x.shape[2], n, s, p, 1)):
            yield k, l, padded[:, s * k : s * k + n, s * l : s * l + n]


@wrong("max_pool2d", "the padding counts as 0", "padding > 0")
def padded_maximum(x, kernel_size, *, stride, padding):
    sides = (size(side, kernel_size, stride, padding, 1) for side in x.shape[1:3])
    out = np.zeros((len(x), *sides, x.shape[3]), x.dtype)
    for k, l, window in windows(x, kernel_size, stride, padding):
        out[:, k, l] = window.max((1, 2))
    return out


@wrong("max_pool2d_backward", "each of them gets the whole gradient")
def all_the_largest(dout, x, kernel_size, *, stride, padding):
    dpadded = np.zeros_like(pad(x, padding))
    for k, l, window in windows(x, kernel_size, stride, padding, -np.inf):
        mask = window == window.max((1, 2), keepdims=True)
        r, c = stride * k, stride * l
        dpadded[:, r : r + kernel_size, c : c + kernel_size] += mask * dout[:, k, l][:, None, None]
    return dpadded[:, padding : padding + x.shape[1], padding : padding + x.shape[2]].copy()


@wrong("avg_pool2d", "the zeros of the padding are always counted")
def always_counted(x, kernel_size, *, stride, padding, count_include_pad):
    sides = (size(side, kernel_size, stride, padding, 1) for side in x.shape[1:3])
    out = np.zeros((len(x), *sides, x.shape[3]), x.dtype)
    for k, l, window in windows(x, kernel_size, stride, padding):
        out[:, k, l] = window.mean((1, 2))
    return out


@wrong("global_avg_pool", "the division by H W is missing")
def sum_of_pixels(x):
    return x.sum((1, 2))


@wrong("batch_norm_train", "the variance is the unbiased one")
def unbiased(x, weight, bias, *, eps):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    inv_std = 1 / np.sqrt(var + x.dtype.type(eps))
    n = x.size // x.shape[-1]
    normal = (x - mean) / np.sqrt(var * x.dtype.type(n / (n - 1)) + x.dtype.type(eps))
    return weight * normal + bias, mean, inv_std


@wrong("batch_norm_train", "eps is added to the standard deviation")
def eps_outside(x, weight, bias, *, eps):
    axes = tuple(range(x.ndim - 1))
    mean, std = x.mean(axes), x.std(axes)
    return weight * (x - mean) / (std + eps) + bias, mean, 1 / np.sqrt(std**2 + eps)


@wrong("batch_norm_train_backward", "mean and variance are taken to be constants")
def constant_statistics(dout, x, weight, mean, inv_std):
    axes = tuple(range(x.ndim - 1))
    return weight * inv_std * dout, (dout * (x - mean) * inv_std).sum(axes), dout.sum(axes)


@wrong("batch_norm_eval", "divided by the variance, and not by its square root")
def no_root(x, weight, bias, running_mean, running_var, *, eps):
    return weight * (x - running_mean) / (running_var + eps) + bias


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@wrong("softmax_cross_entropy", "the 1/B is forgotten")
def sum_of_losses(logits, labels, *, label_smoothing):
    B, N = logits.shape
    target = (1 - label_smoothing) * np.eye(N)[labels] + label_smoothing / N
    p = softmax(logits)
    return -(target * np.log(p)).sum() / B, p - target


@wrong("softmax_cross_entropy", "the label smoothing is ignored")
def no_smoothing(logits, labels, *, label_smoothing):
    B, N = logits.shape
    p, target = softmax(logits), np.eye(N)[labels]
    return -(target * np.log(p)).sum() / B, (p - target) / B


@wrong("softmax_cross_entropy", "exp overflows where the logits are large")
def no_maximum(logits, labels, *, label_smoothing):
    B, N = logits.shape
    with np.errstate(over="ignore", invalid="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (1 - label_smoothing) * np.eye(N)[labels] + label_smoothing / N
    return -(target * np.log(p)).sum() / B, ((p - target) / B).astype(logits.dtype)


@wrong("depthwise_separable_conv2d", "there is a ReLU between both steps")
def relu_between(x, depthwise_weight, pointwise_weight, *, stride, padding, dilation):
    return np.maximum(depthwise(x, depthwise_weight, stride, padding, dilation), 0) @ pointwise_weight


@wrong("depthwise_separable_conv2d", "the pointwise step is missing")
def depthwise_alone(x, depthwise_weight, pointwise_weight, *, stride, padding, dilation):
    return depthwise(x, depthwise_weight, stride, padding, dilation)
