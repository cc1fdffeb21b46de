"""A linear operation and its gradient are adjoint, <dout, f(x)> = <dx, x>: a check of gradients without an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import AVERAGES, CASES, CONVOLUTIONS, DTYPES, fewer, on_each_implementation

from npnets.testing import assert_adjoint

# The output is a sum of terms, each a product of some of the inputs; the numbers are their places. A convolution is one
# product of all its inputs.
TERMS = {"linear": [(0, 1), (2,)], "bias_add": [(0,), (1,)]}


OPS = *CONVOLUTIONS, "linear", "bias_add", "channel_shuffle", *AVERAGES


def check_adjoint(case, dtypes):
    def check(dtype):
        arrays = case.arrays(dtype)
        for term in TERMS.get(case.op, [tuple(range(len(arrays)))]):
            given = [array if place in term else np.zeros_like(array) for place, array in enumerate(arrays)]
            out = case.forward(given)
            dout = case.dout(out.shape, dtype)
            gradients = case.backward(dout, given)
            assert_adjoint(dout, out, *((gradients[place], given[place]) for place in term))

    on_each_implementation(check, dtypes)


@pytest.mark.uncompiled
@pytest.mark.parametrize("op", OPS)
@fewer
@given(data=st.data())
def test_adjoint(op, data):
    check_adjoint(data.draw(CASES[op]), DTYPES[:1])


@pytest.mark.parametrize("op", OPS)
@fewer
@given(data=st.data())
def test_adjoint_in_float64(op, data):
    """Never without the compiler: the code is the same for both dtypes."""
    check_adjoint(data.draw(CASES[op]), DTYPES[1:])


@pytest.mark.quick
def test_the_wrong_adjoint_is_refused():
    x, dout = np.arange(3.0), np.array([2.0, -1.0, 1.0])
    assert_adjoint(dout, 2 * x, (2 * dout, x))
    with pytest.raises(AssertionError, match=r"<gradient, value> of pair 1 is 3.0, and <dout, out> is 2.0"):
        assert_adjoint(dout, 2 * x, (2 * dout, x), (3 * dout, x))
    with pytest.raises(AssertionError, match=r"the shapes \(1,\) and \(3,\) differ"):
        assert_adjoint(dout, x, (dout[:1], x))
