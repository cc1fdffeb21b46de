"""On small whole numbers every sum is exact in any order: all implementations agree with PyTorch to the last bit."""

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES, DTYPES, Case, fewer, on_each_implementation
from test_rounding import batches, closed_form, cross_entropy, logits, statistics, stepwise

import npnets
from npnets import _check, ops
from npnets.testing import Rounded, assert_exact


def check_against_pytorch(case):
    """Compare the output and every gradient; inputs must be untouched, results fresh and plain."""
    out, backward = oracle.run(case.op, case.arrays(), case.options)
    gradients = backward(case.dout(out.shape))

    def check(dtype):
        arrays, dout = case.arrays(dtype), case.dout(out.shape, dtype)
        before = [array.copy() for array in (*arrays, dout)]
        results = case.forward(arrays), *case.backward(dout, arrays)
        for result, expected in zip(results, [out, *gradients], strict=True):
            assert_exact(result, expected.astype(dtype))
            assert result.flags.c_contiguous
            assert result.flags.writeable
            assert not any(np.shares_memory(result, array) for array in (*arrays, dout))
        for array, copy in zip((*arrays, dout), before, strict=True):
            assert_exact(array, copy)

    on_each_implementation(check)


@pytest.mark.parametrize("op", CASES)
@given(data=st.data())
def test_as_pytorch(op, data):
    check_against_pytorch(data.draw(CASES[op]))


# Wrong results that were released elsewhere.
NAMED = {
    "PyTorch 50042: dweight of a depthwise convolution, 24 channels, stride 2": Case(
        "depthwise_conv2d", ((2, 14, 14, 24), (3, 3, 24)), {"stride": 2, "padding": 1}
    ),
    "PyTorch 19912: 4 to 16 channels in 2 groups": Case(
        "group_conv2d", ((2, 8, 8, 4), (3, 3, 2, 16)), {"padding": 1, "groups": 2}
    ),
    "PyTorch 25101: dx of a 5 x 5 kernel with stride 3": Case(
        "conv2d", ((2, 11, 13, 3), (5, 5, 3, 4)), {"stride": 3, "padding": 2}
    ),
    "a channel multiplier": Case("group_conv2d", ((2, 5, 6, 3), (3, 3, 1, 6)), {"groups": 3}),
    "rows and columns that no window reaches": Case("conv2d", ((1, 6, 7, 2), (2, 2, 2, 3)), {"stride": 3}),
    "a stride longer than the kernel": Case("depthwise_conv2d", ((1, 7, 8, 3), (1, 1, 3)), {"stride": 3}),
    "a kernel larger than the image": Case("conv2d", ((1, 2, 1, 2), (5, 4, 2, 3)), {"padding": (2, 2)}),
    "a 1 x 1 kernel with padding": Case("conv2d", ((1, 3, 2, 3), (1, 1, 3, 2)), {"padding": 1}),
    "an even kernel with as many outputs as pixels": Case("conv2d", ((2, 4, 3, 2), (2, 2, 2, 3)), {"padding": "same"}),
    "as many windows as pixels of each kind": Case("conv2d", ((1, 6, 6, 2), (3, 3, 2, 3)), {"stride": 3, "padding": 1}),
    # What the fast kernels cut into blocks.
    "more pixels than are summed at once, in two parts": Case(
        "pointwise_conv2d", ((3, 19, 19, 4), (2, 6)), {"groups": 2}
    ),
    "more terms than are summed at once": Case("conv2d", ((1, 4, 3, 60), (3, 3, 60, 2)), {}),
    "more columns than a task has": Case("pointwise_conv2d", ((1, 2, 3, 133), (133, 130)), {}),
    "pixels of 1 KB": Case("depthwise_conv2d", ((2, 9, 9, 256), (2, 2, 256)), {}),
    "a dilation far larger than the image": Case(
        "depthwise_conv2d", ((1, 3, 4, 3), (2, 3, 3)), {"dilation": (1, 50), "padding": (0, 51)}
    ),
    "more windows than are gathered at once": Case("group_conv2d", ((1, 24, 25, 96), (3, 3, 12, 8)), {"groups": 8}),
    "windows that overlap, all values equal": Case(
        "max_pool2d", ((2, 6, 5, 3),), {"kernel_size": 3, "stride": 1}, unit=0
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_case(name):
    check_against_pytorch(NAMED[name])


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (np.zeros(2), np.zeros(3), r"the shape is \(2,\) instead of \(3,\)"),
        (np.zeros(2), np.zeros(2, np.float32), "the dtype is float64 instead of float32"),
        (np.array([[0, 1, 2.0]]), np.array([[0, 1.5, np.nan]]), r"2 of 3 .* first at \[0, 1\]: 1.0 instead of 1.5"),
    ],
)
def test_what_differs_is_refused(actual, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_exact(actual, expected)


def test_channel_shuffle_of_twelve():
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    x = np.arange(12.0).reshape(1, 1, 1, 12)

    def check(dtype):
        assert_exact(ops.channel_shuffle(x.astype(dtype), 4).ravel(), np.array(order, dtype))
        assert_exact(ops.channel_shuffle_backward(x[..., order].astype(dtype), 4), x.astype(dtype))

    on_each_implementation(check)


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "dilation", "before", "out"),
    [  # TensorFlow's rule by hand: ceil(side / stride) outputs, the odd pixel of padding behind
        (5, 3, 1, 1, 1, 5),
        (6, 3, 2, 1, 0, 3),
        (7, 3, 2, 1, 1, 4),
        (224, 3, 2, 1, 0, 112),
        (5, 2, 1, 1, 0, 5),
        (5, 4, 1, 1, 1, 5),
        (7, 5, 3, 1, 2, 3),
        (8, 1, 2, 1, 0, 4),
        (9, 2, 3, 1, 0, 3),
        (5, 3, 1, 2, 2, 5),
        (1, 5, 1, 1, 2, 1),
    ],
)
def test_same_padding_is_tensorflows(side, kernel, stride, dilation, before, out):
    window = _check.window((side, side), (kernel, kernel), stride, "same", dilation)
    assert (window.before, window.out) == ((before, before), (out, out))


# -- not whole numbers, so not exact: as close to PyTorch as the rounding errors of both programs allow ----------------


def assert_as_close(ours, bound, theirs, their_bound):
    Rounded(theirs.astype(np.longdouble), bound.error + their_bound.error, bound.unit).check(ours)


def pytorchs_batch_norm_gradients(dy, c, gamma, r):
    """dx = (dy - dbeta / n - c k) r gamma, k = r^2 (sum c dy) / n: PyTorch's arrangement of the closed form."""
    n, dot, dbeta = len(c.value), (c * dy).sum(), dy.sum()
    return (dy - dbeta / n - c * (dot * r * r / n)) * (r * gamma), dot * r, dbeta


@fewer
@given(batches())
def test_batch_norm_as_pytorch(batch):
    *given, eps = batch
    given = [array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array for array in given]
    dout, x, gamma, beta = given
    out, backward = oracle.run("batch_norm_train", (x, gamma, beta), {"eps": eps})
    theirs = out, *backward(dout)
    dy, x_, gamma_, beta_ = map(Rounded.exact, given)
    _, r, c = statistics(x_, eps)
    forward = gamma_ * (c * r) + beta_
    their_bounds = forward, *pytorchs_batch_norm_gradients(dy, c, gamma_, r)

    def check(dtype):
        derivation = stepwise if npnets.implementation() == "loops" else closed_form
        bounds = forward, *derivation(dy, c, gamma_, r)
        out, mean, inv_std = ops.batch_norm_train(x, gamma, beta, eps=eps)
        results = out, *ops.batch_norm_train_backward(dout, x, gamma, mean, inv_std)
        for ours, *others in zip(results, bounds, theirs, their_bounds, strict=True):
            assert_as_close(ours, *others)

    on_each_implementation(check, DTYPES[1:])


@fewer
@given(logits())
def test_softmax_cross_entropy_as_pytorch(batch):
    """PyTorch's gradient goes through log_softmax: p is exp(log p) there, with the error of log p."""
    z, labels, smoothing = batch
    loss, backward = oracle.run("softmax_cross_entropy", (z,), {"labels": labels, "label_smoothing": smoothing})
    (dlogits,) = backward(np.float64(1))
    their_loss, their_dlogits = cross_entropy(z, labels, smoothing, target_at_once=True, p_from_log=True)

    def check(dtype):
        at_once = npnets.implementation() != "numba"
        bounds = cross_entropy(z, labels, smoothing, target_at_once=at_once)
        ours = ops.softmax_cross_entropy(z, labels, label_smoothing=smoothing)
        assert_as_close(ours[0], bounds[0], loss, their_loss)
        assert_as_close(ours[1], bounds[1], dlogits, their_dlogits)

    on_each_implementation(check, DTYPES[1:])
