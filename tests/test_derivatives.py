"""The gradients of smooth operations against central differences in float64, with a random dout, away from kinks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import DTYPES, fewer, on_each_implementation

from npnets import ops
from npnets.testing import assert_gradient

pytestmark = pytest.mark.uncompiled

FLOAT64 = DTYPES[1:]


def spread(rng, shape):
    """Return values that differ by 0.3 or more along the first axis: no channel is nearly constant."""
    ranks = rng.permuted(np.broadcast_to(np.arange(shape[0])[:, None], shape), axis=0)
    return 0.5 * ranks + rng.uniform(-0.1, 0.1, shape)


@st.composite
def batches(draw):
    """Draw dout, x, gamma, beta and a direction for x; batch norm of 2 to 6 values in each of 1 to 4 channels."""
    shape = draw(st.tuples(st.integers(2, 6), st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.standard_normal(shape), spread(rng, shape), *rng.standard_normal((2, shape[1]))


@fewer
@given(batches())
def test_batch_norm_train(batch):
    dout, x, gamma, beta = batch

    def check(dtype):
        _, mean, inv_std = ops.batch_norm_train(x, gamma, beta)
        size = abs(gamma) * (abs(x) + abs(mean)) * inv_std + abs(beta)
        dx, dgamma, dbeta = ops.batch_norm_train_backward(dout, x, gamma, mean, inv_std)
        assert_gradient(lambda x: ops.batch_norm_train(x, gamma, beta)[0], x, dout, dx, magnitude=size)
        assert_gradient(lambda gamma: ops.batch_norm_train(x, gamma, beta)[0], gamma, dout, dgamma, magnitude=size)
        assert_gradient(lambda beta: ops.batch_norm_train(x, gamma, beta)[0], beta, dout, dbeta, magnitude=size)

    on_each_implementation(check, FLOAT64)


@fewer
@given(batches())
def test_batch_norm_eval(batch):
    dout, x, gamma, beta = batch
    mean, var = beta + 1, gamma**2
    size = abs(gamma) * (abs(x) + abs(mean)) / np.sqrt(var + 0.1) + abs(beta)

    def out(x, gamma, beta):
        return ops.batch_norm_eval(x, gamma, beta, mean, var, eps=0.1)

    def check(dtype):
        dx, dgamma, dbeta = ops.batch_norm_eval_backward(dout, x, gamma, mean, var, eps=0.1)
        assert_gradient(lambda x: out(x, gamma, beta), x, dout, dx, magnitude=size)
        assert_gradient(lambda gamma: out(x, gamma, beta), gamma, dout, dgamma, magnitude=size)
        assert_gradient(lambda beta: out(x, gamma, beta), beta, dout, dbeta, magnitude=size)

    on_each_implementation(check, FLOAT64)


def test_batch_norm_along_one_direction():
    """One random direction checks the gradient by all of a large input."""
    rng = np.random.default_rng(0)
    x, dout, direction = rng.standard_normal((3, 2, 9, 8, 5))
    gamma, beta = rng.standard_normal((2, 5))

    def check(dtype):
        _, mean, inv_std = ops.batch_norm_train(x, gamma, beta)
        dx, _, _ = ops.batch_norm_train_backward(dout, x, gamma, mean, inv_std)
        assert_gradient(lambda x: ops.batch_norm_train(x, gamma, beta)[0], x, dout, dx, direction=direction)

    on_each_implementation(check, FLOAT64)


@fewer
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.7]), st.integers(0, 2**32 - 1))
def test_softmax_cross_entropy(B, N, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits, labels, dloss = 2 * rng.standard_normal((B, N)), rng.integers(0, N, B), rng.standard_normal(())
    magnitude = 2 * abs(logits).max() + np.log(N)  # of max z, of z[n], and of log sum exp(z - max z)

    def check(dtype):
        loss = lambda z: ops.softmax_cross_entropy(z, labels, label_smoothing=smoothing)  # noqa: E731
        assert_gradient(lambda z: loss(z)[0], logits, dloss, dloss * loss(logits)[1], magnitude=magnitude)

    on_each_implementation(check, FLOAT64)


@pytest.mark.parametrize(("op", "kinks"), [("relu", (0,)), ("relu6", (0, 6)), ("leaky_relu", (0,))])
@fewer
@given(seed=st.integers(0, 2**32 - 1))
def test_activations(op, kinks, seed):
    rng = np.random.default_rng(seed)
    x, dout = rng.uniform(-9, 9, 20), rng.standard_normal(20)
    for kink in kinks:
        x[abs(x - kink) < 0.01] += 0.02

    def check(dtype):
        assert_gradient(getattr(ops, op), x, dout, getattr(ops, op + "_backward")(dout, x))

    on_each_implementation(check, FLOAT64)


def test_a_wrong_gradient_is_refused():
    x, dout = np.array([0.5, 2.0]), np.array([1.0, -3.0])
    assert_gradient(np.exp, x, dout, dout * np.exp(x))
    with pytest.raises(AssertionError, match=r"1 of 2 values differ, the first at \[1\]"):
        assert_gradient(np.exp, x, dout, dout * np.exp(x) * [1, 1 + 1e-7])
    with pytest.raises(AssertionError, match="1 of 1 values differ"):
        assert_gradient(np.exp, x, dout, dout * np.exp(x) * [1, 1 + 1e-7], direction=np.array([1.0, 2.0]))


def test_a_kink_is_refused():
    """Next to a kink differences of two widths disagree: they could let any gradient pass."""
    with pytest.raises(AssertionError, match="is there a kink near x"):
        assert_gradient(ops.relu, np.array([1e-6]), np.array([1.0]), np.array([1.0]))
