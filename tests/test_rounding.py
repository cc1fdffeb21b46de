"""On real values a result is no further from the true one than rounding can bring it: no tolerance is chosen."""

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import AVERAGES, CASES, CONVOLUTIONS, DTYPES, Case, both, fewer, on_each_implementation

import npnets
from npnets import _check, ops
from npnets.testing import Rounded, assert_within_rounding, rounding_bound

# -- sums of products: gamma_{n+1} (|x| * |w| + |b|) -------------------------------------------------------------------


def in_longdouble(function, *arrays):
    """Run the NumPy implementation, which would compute in any dtype, behind the check that lets only two through."""
    with npnets.use("numpy"), mock.patch.object(_check, "FLOATS", (np.dtype(np.longdouble),)):
        return function(*(array.astype(np.longdouble) for array in arrays))


def sum_lengths(case, out_shape):
    """Return the number of terms in each sum: of the output, then of each gradient."""
    x, *weights = case.shapes
    pixels, groups = math.prod(out_shape[:-1]), case.options.get("groups", 1)
    match case.op:
        case "conv2d" | "group_conv2d":
            KH, KW, M, N = weights[0]
            return KH * KW * M, KH * KW * N // groups, pixels
        case "depthwise_conv2d":
            taps = math.prod(weights[0][:2])
            return taps, taps, pixels
        case "pointwise_conv2d":
            M, N = weights[0]
            return M, N // groups, pixels
        case "depthwise_separable_conv2d":  # a sum of sums: (1 + gamma_a) (1 + gamma_b) <= 1 + gamma_{a+b}
            taps, (M, N) = math.prod(weights[0][:2]), weights[1]
            return taps + M, N + taps, N + pixels, taps + pixels
        case "linear":
            M, N = weights[0]
            return M, N, pixels, pixels
        case "bias_add":
            return 1, 1, pixels
        case "avg_pool2d":
            taps = math.prod(both(case.options["kernel_size"]))
            return taps, taps
        case "global_avg_pool":
            return math.prod(x[1:3]), 1
    raise NotImplementedError(case.op)


def check_sums(case, dtypes):
    def check(dtype):
        def run(*arrays):
            *inputs, dout = arrays
            return case.forward(inputs), *case.backward(dout, inputs)

        inputs = case.arrays(dtype, real=True)
        arrays = *inputs, case.dout(case.forward(inputs).shape, dtype, real=True)
        results = run(*arrays)
        references, magnitudes = in_longdouble(run, *arrays), in_longdouble(run, *map(abs, arrays))
        lengths = sum_lengths(case, results[0].shape)
        for result, reference, magnitude, n in zip(results, references, magnitudes, lengths, strict=True):
            assert_within_rounding(result, reference, magnitude, n)

    on_each_implementation(check, dtypes)


SUMS = *CONVOLUTIONS, "linear", "bias_add", *AVERAGES
LONG_SUMS = (
    Case("conv2d", ((2, 15, 14, 96), (3, 3, 96, 8)), {"padding": 1}),
    Case("depthwise_conv2d", ((4, 40, 41, 5), (3, 3, 5)), {"padding": 1, "stride": 2}),
    Case("pointwise_conv2d", ((2, 30, 31, 512), (256, 6)), {"groups": 2}),
    Case("linear", ((70, 1024), (1024, 10), (10,)), {}),
    Case("bias_add", ((3000, 7), (7,)), {}),
    Case("global_avg_pool", ((2, 50, 60, 7),), {}),
)


@pytest.mark.quick
@pytest.mark.parametrize("op", SUMS)
@fewer
@given(data=st.data())
def test_sums(op, data):
    check_sums(data.draw(CASES[op]), DTYPES[:1])


@pytest.mark.parametrize("op", SUMS)
@fewer
@given(data=st.data())
def test_sums_in_float64(op, data):
    """Not quick: the code is the same for both dtypes, and to compile it once more takes a quarter of a minute."""
    check_sums(data.draw(CASES[op]), DTYPES[1:])


@pytest.mark.quick
@pytest.mark.parametrize("case", LONG_SUMS, ids=lambda case: case.op)
def test_long_sums(case):
    check_sums(case, DTYPES[:1])


@pytest.mark.parametrize("case", LONG_SUMS, ids=lambda case: case.op)
def test_long_sums_in_float64(case):
    check_sums(case, DTYPES[1:])


@pytest.mark.quick
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_rounding_too_many_is_refused(dtype):
    """With n = 0 one rounding is allowed: to the nearest value, and not to its neighbour."""
    fine = np.array([1.0, 1 / np.longdouble(3)])
    nearest = fine.astype(dtype)
    assert_within_rounding(nearest, fine, fine, 0)
    with pytest.raises(AssertionError, match=r"2 of 2 values differ, the first at .* which is more than .* away"):
        assert_within_rounding(nearest + 2 * np.spacing(nearest), fine, fine, 0)


@pytest.mark.quick
def test_no_bound_is_refused():
    """Where the errors may be as large as the values, nothing is promised."""
    doubtful = Rounded(np.longdouble([1]), np.longdouble([1]), 2**-24)
    with pytest.raises(ValueError, match="the divisor may be 0"):
        1 / doubtful
    with pytest.raises(ValueError, match="the argument of the logarithm may be 0"):
        doubtful.log()
    with pytest.raises(ValueError, match=r"roundings of up to 5.96046e-08 each may leave nothing"):
        rounding_bound(2**24, np.float32)
    with pytest.raises(AssertionError, match=r"the shape is \(2,\) instead of \(1,\)"):
        doubtful.check(np.zeros(2))


# -- formulas: the bound is carried along, step by step ----------------------------------------------------------------


@st.composite
def batches(draw):
    """Draw (dout, x, gamma, beta, eps) for batch norm, at least two values for each channel, the mean not at 0."""
    n, C = draw(st.integers(2, 60)), draw(st.integers(1, 17))
    shape = draw(st.sampled_from([(n, C), (2, n, C), (n, 1, 2, C)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(draw(st.sampled_from([0, 1, -10])), 1, shape)
    return (
        rng.standard_normal(shape),
        x,
        rng.standard_normal(C),
        rng.standard_normal(C),
        draw(st.sampled_from([1e-3, 1e-5])),
    )


def rounded(dtype, *arrays):
    """Return the arrays in `dtype`, and as `Rounded` rows (n, C) or vectors (C,)."""
    arrays = [np.asarray(array, dtype) for array in arrays]
    return arrays, [Rounded.exact(array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array) for array in arrays]


def statistics(x, eps):
    """mu = sum x / n, c = x - mu, v = sum c^2 / n, r = 1 / sqrt(v + eps), as (mu, r, c).

    Dividing each term, as `loops` does, has the larger bound than dividing the sum.
    """
    n = len(x.value)
    mean = (x / n).sum()
    c = x - mean
    return mean, 1 / ((c * c / n).sum() + eps).sqrt(), c


def closed_form(dy, c, gamma, r):
    """dx = gamma r (dy - dbeta / n - h dgamma / n), h = c r."""
    n, h = len(c.value), c * r
    dgamma, dbeta = (dy * h).sum(), dy.sum()
    return gamma * r * (dy - dbeta / n - h * (dgamma / n)), dgamma, dbeta


def stepwise(dy, c, gamma, r):
    """Backwards through y = gamma h + beta, h = c r, r = (v + eps)^(-1/2), v = sum c^2 / n, c = x - mu."""
    n = len(c.value)
    dv = -(r * r * r) / 2 * (gamma * dy * c).sum()
    dc = r * (gamma * dy) + c * 2 / n * dv
    return dc - dc.sum() / n, (dy * (c * r)).sum(), dy.sum()


@pytest.mark.quick
@fewer
@given(batches())
def test_batch_norm_train(batch):
    check_batch_norm_train(*batch)


@pytest.mark.quick
def test_batch_norm_train_over_many_rows():
    """More than one block of rows in a chunk of them (`numba`)."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3, 1, (2, 20, 20, 3)), rng.normal(size=(2, 20, 20, 3))
    check_batch_norm_train(dy, x, rng.normal(size=3), rng.normal(size=3), 1e-5)


def check_batch_norm_train(*arguments):
    """Bounds: `statistics` and the two derivations, with the rounding error of every step carried along by `Rounded`.

    Sums in float64, as `numba` takes them, and of blocks first, round less than what the bound allows for.
    """
    *given, eps = arguments

    def check(dtype):
        arrays, (dy, x, gamma, beta) = rounded(dtype, *given)
        out, mean, inv_std = ops.batch_norm_train(*arrays[1:], eps=eps)
        mu, r, c = statistics(x, float(dtype.type(eps)))
        mu.check(mean)
        r.check(inv_std)
        (gamma * (c * r) + beta).check(out.reshape(c.value.shape))
        dx, dgamma, dbeta = ops.batch_norm_train_backward(*arrays[:3], mean, inv_std)
        derivation = stepwise if npnets.implementation() == "loops" else closed_form
        for actual, expected in zip(
            (dx.reshape(c.value.shape), dgamma, dbeta), derivation(dy, c, gamma, r), strict=True
        ):
            expected.check(actual)

    on_each_implementation(check)


@pytest.mark.quick
@fewer
@given(batches())
def test_batch_norm_eval(batch):
    """y = gamma ((x - mu) r) + beta and its gradients, r = 1 / sqrt(v + eps)."""
    *given, eps = batch
    running = np.linspace(-1, 1, len(given[2])), np.linspace(0, 2, len(given[2]))

    def check(dtype):
        arrays, (dy, x, gamma, beta, mean, var) = rounded(dtype, *given, *running)
        c, r = x - mean, 1 / (var + float(dtype.type(eps))).sqrt()
        out = ops.batch_norm_eval(*arrays[1:], eps=eps)
        (gamma * (c * r) + beta).check(out.reshape(c.value.shape))
        dx, dgamma, dbeta = ops.batch_norm_eval_backward(*arrays[:3], *arrays[4:], eps=eps)
        (gamma * r * dy).check(dx.reshape(c.value.shape))
        (dy * (c * r)).sum().check(dgamma)
        dy.sum().check(dbeta)

    on_each_implementation(check)


@st.composite
def logits(draw):
    """Draw (logits, labels, label_smoothing)."""
    B, N = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return 5 * rng.standard_normal((B, N)), rng.integers(0, N, B), draw(st.sampled_from([0.0, 0.1, 0.5]))


def cross_entropy(logits, y, e, *, target_at_once, p_from_log=False):
    """Return loss and dlogits; with (2) of ops/loss.py, t = (1 - e) [n = y] + e / N.

    The loss as the sum of N + 1 terms, the (1 - e) by itself: if it is added to its e / N first, that rounds once and
    the sum has one term less, so that this bound holds for both. For dz = (p - t) / B it makes a difference.
    """
    (B, N), z, e = logits.shape, Rounded.exact(logits), Rounded.exact(logits.dtype.type(e))
    right = np.arange(N) == y[:, None]
    share, rest = e / N, 1 - e
    shifted = z - Rounded.exact(logits.max(1, keepdims=True))  # to find a maximum rounds nothing
    exps = shifted.exp()
    total = exps.sum(1)[:, None]
    log_p = shifted - total.log()
    p = log_p.exp() if p_from_log else exps / total
    terms, extra = share * log_p, rest * log_p[right]
    losses = Rounded(
        np.column_stack([terms.value, extra.value]), np.column_stack([terms.error, extra.error]), z.unit
    ).sum(1)
    if target_at_once:
        on, off = (p - (share + rest)) / B, (p - share) / B
    else:
        off = (p - share) / B
        on = off - rest / B
    dz = Rounded(np.where(right, on.value, off.value), np.where(right, on.error, off.error), z.unit)
    return -(losses / B).sum(), dz


@pytest.mark.quick
@fewer
@given(logits())
def test_softmax_cross_entropy(batch):
    """Bounds: `cross_entropy`, with the rounding error of every step carried along by `Rounded`."""
    z, y, e = batch

    def check(dtype):
        logits = z.astype(dtype)
        at_once = npnets.implementation() != "numba"
        loss, dz = cross_entropy(logits, y, e, target_at_once=at_once)
        actual_loss, dlogits = ops.softmax_cross_entropy(logits, y, label_smoothing=e)
        loss.check(actual_loss)
        dz.check(dlogits)

    on_each_implementation(check)
