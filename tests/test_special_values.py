"""NaN, infinities, kinks, huge logits, constant channels, nothing at all: what PyTorch does, and without a warning."""

import dataclasses

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES, Case, fewer, on_each_implementation

from npnets import ops
from npnets.testing import assert_exact

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 6.0, -6.0, 2.0**-99, -(2.0**-99), 2.0**99, -(2.0**99), 5.0, 7.0]
)


@pytest.mark.parametrize("op", ["relu", "relu6", "leaky_relu"])
@pytest.mark.parametrize("upstream", [3.0, np.inf, np.nan])
@pytest.mark.parametrize("slope", [0.0, 0.5, 4.0])
def test_activations_as_pytorch(op, upstream, slope):
    options = {"negative_slope": slope} if op == "leaky_relu" else {}
    # Value by value: at NaN PyTorch's gradient of relu6 differs in long tensors and in short ones (its issue 195075).
    pairs = [oracle.run(op, (SPECIAL[i : i + 1],), options) for i in range(len(SPECIAL))]
    out = np.concatenate([out for out, _ in pairs])
    dx = np.concatenate([backward(np.array([upstream]))[0] for _, backward in pairs])

    def check(dtype):
        x, dout = SPECIAL.astype(dtype), np.full(SPECIAL.shape, upstream, dtype)
        assert_exact(getattr(ops, op)(x, **options), out.astype(dtype))
        assert_exact(getattr(ops, op + "_backward")(dout, x, **options), dx.astype(dtype))

    on_each_implementation(check)


@pytest.mark.parametrize(
    ("op", "x", "derivative"),
    [("relu", 0, 0), ("relu", -0.0, 0), ("relu6", 0, 0), ("relu6", 6, 0), ("leaky_relu", 0, 0.25)],
)
def test_derivative_at_the_kink(op, x, derivative):
    options = {"negative_slope": 0.25} if op == "leaky_relu" else {}

    def check(dtype):
        dx = getattr(ops, op + "_backward")(np.full(1, 8, dtype), np.full(1, x, dtype), **options)
        assert_exact(dx, np.full(1, 8 * derivative, dtype))

    on_each_implementation(check)


@fewer
@given(seed=st.integers(0, 2**32 - 1), padded=st.booleans(), size=st.integers(2, 3), stride=st.integers(1, 3))
def test_max_pool_as_pytorch(seed, padded, size, stride):
    """NaN is the largest, the last one receives the gradient; a window of nothing but -inf gives it to the first."""
    rng = np.random.default_rng(seed)
    x = rng.choice([np.nan, -np.inf, np.inf, 1.0, 2.0], (2, 5, 6, 3), p=rng.dirichlet([0.3] * 5))
    options = {"stride": stride, "padding": size // 2 if padded else 0}
    out, backward = oracle.run("max_pool2d", (x,), {"kernel_size": size, **options})
    dout = rng.integers(1, 9, out.shape).astype(float)
    (dx,) = backward(dout)

    def check(dtype):
        assert_exact(ops.max_pool2d(x.astype(dtype), size, **options), out.astype(dtype))
        assert_exact(ops.max_pool2d_backward(dout.astype(dtype), x.astype(dtype), size, **options), dx.astype(dtype))

    on_each_implementation(check)


@pytest.mark.parametrize("op", CASES)
@fewer
@given(data=st.data())
def test_no_warning(op, data):
    """Infinities and NaN pass through silently in every implementation; pytest makes an error of each warning."""
    case = data.draw(CASES[op])

    def check(dtype):
        def special(array):
            return np.asarray(SPECIAL[array.astype(int) % len(SPECIAL)], dtype)

        arrays = [special(array) for array in case.arrays()]
        out = case.forward(arrays)
        case.backward(special(case.dout(out.shape)), arrays)

    on_each_implementation(check)


# -- softmax cross-entropy ---------------------------------------------------------------------------------------------


def cross_entropy(logits, dtype, *, label=0, smoothing=0.0):
    return ops.softmax_cross_entropy(np.array([logits], dtype), np.array([label]), label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_softmax_of_huge_logits(smoothing):
    """A shift of all logits changes nothing, not a bit where the shifted ones are exact; no exponential overflows."""

    def check(dtype):
        near, dnear = cross_entropy([1, 3, -2], dtype, smoothing=smoothing)
        for shift in (2.0**20, -(2.0**20)):
            far, dfar = cross_entropy([1 + shift, 3 + shift, -2 + shift], dtype, smoothing=smoothing)
            assert_exact(far, near)
            assert_exact(dfar, dnear)
        loss, dlogits = cross_entropy([2e4, -2e4, 2e4], dtype, label=1)
        assert_exact(loss, dtype.type(4e4) + np.log(dtype.type(2)))
        assert_exact(dlogits, np.array([[0.5, -1, 0.5]], dtype))

    on_each_implementation(check)


def test_softmax_of_an_impossible_class():
    """A logit of -inf is a class of probability 0: as if it were not there, unless it is the right one."""

    def check(dtype):
        loss, dlogits = cross_entropy([1, -np.inf, 2], dtype)
        without, dwithout = cross_entropy([1, 2], dtype)
        assert_exact(loss, without)
        assert_exact(dlogits, np.insert(dwithout, 1, 0, 1))
        assert cross_entropy([1, -np.inf, 2], dtype, label=1)[0] == np.inf
        assert cross_entropy([1, -np.inf, 2], dtype, smoothing=0.5)[0] == np.inf

    on_each_implementation(check)


@pytest.mark.parametrize("logits", [[1, np.nan, 2], [np.nan, 1, 2], [np.inf, 1, 2], [-np.inf] * 3])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_softmax_of_nan(logits, label, smoothing):
    """The loss and all of the gradient are NaN where PyTorch's are."""
    options = {"labels": np.array([label]), "label_smoothing": smoothing}
    loss, backward = oracle.run("softmax_cross_entropy", (np.array([logits]),), options)
    (dlogits,) = backward(np.float64(1))

    def check(dtype):
        actual_loss, actual = cross_entropy(logits, dtype, label=label, smoothing=smoothing)
        assert np.isnan(loss) == np.isnan(actual_loss)
        assert_exact(np.isnan(actual), np.isnan(dlogits))

    on_each_implementation(check)


# -- batch norm --------------------------------------------------------------------------------------------------------


def test_batch_norm_of_a_constant_channel():
    """Variance 0: the output is the shift, and the gradient finite. All values here are powers of 2, so exact."""

    def check(dtype):
        x, gamma, beta = np.full((8, 2), 4, dtype), np.array([2, -1], dtype), np.array([3, 5], dtype)
        out, mean, inv_std = ops.batch_norm_train(x, gamma, beta, eps=2**-10)
        assert_exact(out, np.tile(beta, (8, 1)))
        assert_exact(mean, np.array([4, 4], dtype))
        assert_exact(inv_std, np.array([32, 32], dtype))
        dout = np.zeros((8, 2), dtype)
        dout[0] = 8
        dx, dgamma, dbeta = ops.batch_norm_train_backward(dout, x, gamma, mean, inv_std)
        assert_exact(dx, (dout - 1) * gamma * 32)
        assert_exact(dgamma, np.zeros(2, dtype))
        assert_exact(dbeta, np.full(2, 8, dtype))

    on_each_implementation(check)


def test_batch_norm_of_one_value_raises():
    """As in PyTorch: its output would be the shift, whatever the value."""
    one = np.ones(3)

    def check(dtype):
        x, vector = np.ones((1, 1, 1, 3), dtype), one.astype(dtype)
        with pytest.raises(ValueError, match="at least 2 values for each channel in training, and has 1"):
            ops.batch_norm_train(x, vector, vector)
        with pytest.raises(ValueError, match="at least 2 values for each channel in training, and has 0"):
            ops.batch_norm_train_backward(x[:0], x[:0], vector, vector, vector)

    on_each_implementation(check)


def test_batch_norm_with_nan_leaves_other_channels_alone():
    def check(dtype):
        x = np.array([[1, np.nan], [3, 1], [5, np.inf]], dtype)
        vector = np.ones(2, dtype)
        out, mean, inv_std = ops.batch_norm_train(x, vector, vector)
        dx, dgamma, dbeta = ops.batch_norm_train_backward(x[:, :1].repeat(2, 1), x, vector, mean, inv_std)
        for result in (out, mean, inv_std, dx, dgamma):
            assert np.isfinite(result[..., 0]).all()
            assert np.isnan(result[..., 1]).all()
        assert_exact(dbeta, np.array([9, 9], dtype))

    on_each_implementation(check)


# -- shapes at the limit -----------------------------------------------------------------------------------------------

SMALL = {
    "conv2d": Case("conv2d", ((2, 1, 1, 3), (1, 1, 3, 2)), {}),
    "conv2d, kernel larger than the image": Case("conv2d", ((2, 1, 1, 3), (3, 5, 3, 2)), {"padding": (1, 2)}),
    "group_conv2d": Case("group_conv2d", ((2, 1, 1, 4), (3, 3, 2, 2)), {"groups": 2, "padding": "same", "stride": 2}),
    "depthwise_conv2d": Case("depthwise_conv2d", ((2, 1, 1, 3), (3, 3, 3)), {"padding": 1}),
    "pointwise_conv2d": Case("pointwise_conv2d", ((2, 1, 1, 4), (2, 6)), {"groups": 2}),
    "separable": Case("depthwise_separable_conv2d", ((2, 1, 1, 3), (3, 3, 3), (3, 2)), {"padding": 1}),
    "bias_add": Case("bias_add", ((2, 1, 1, 3), (3,)), {}),
    "linear": Case("linear", ((2, 1), (1, 1), (1,)), {}),
    "channel_shuffle": Case("channel_shuffle", ((2, 1, 1, 6),), {"groups": 3}),
    "relu": Case("relu", ((2, 1, 1, 3),), {}),
    "relu6": Case("relu6", ((2, 1, 1, 3),), {}),
    "leaky_relu": Case("leaky_relu", ((2, 1, 1, 3),), {"negative_slope": 0.5}),
    "max_pool2d": Case("max_pool2d", ((2, 1, 1, 3),), {"kernel_size": 3, "padding": 1}),
    "avg_pool2d": Case("avg_pool2d", ((2, 1, 1, 3),), {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    "global_avg_pool": Case("global_avg_pool", ((2, 1, 1, 3),), {}),
}


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("name", SMALL)
def test_one_pixel(name, batch):
    """Images of 1 x 1, kernels that only fit with the padding, and batches of nothing."""
    case = SMALL[name]
    case = dataclasses.replace(case, shapes=((batch, *case.shapes[0][1:]), *case.shapes[1:]))
    out, backward = oracle.run(case.op, case.arrays(), case.options)
    gradients = backward(case.dout(out.shape))

    def check(dtype):
        arrays, dout = case.arrays(dtype), case.dout(out.shape, dtype)
        for result, expected in zip(
            (case.forward(arrays), *case.backward(dout, arrays)), (out, *gradients), strict=True
        ):
            assert_exact(result, expected.astype(dtype))

    on_each_implementation(check)


def test_batch_norm_eval_of_nothing():
    def check(dtype):
        x, vector = np.ones((0, 4, 4, 3), dtype), np.ones(3, dtype)
        assert ops.batch_norm_eval(x, vector, vector, vector, vector).shape == x.shape
        dx, dgamma, dbeta = ops.batch_norm_eval_backward(x, x, vector, vector, vector)
        assert dx.shape == x.shape
        assert_exact(dgamma, np.zeros(3, dtype))
        assert_exact(dbeta, np.zeros(3, dtype))

    on_each_implementation(check)


def test_softmax_cross_entropy_of_nothing_raises():
    """PyTorch's mean over nothing is NaN; here it is refused."""
    with pytest.raises(ValueError, match="at least one row and one class"):
        ops.softmax_cross_entropy(np.ones((0, 3)), np.ones(0, int))
