"""A linear operation and its gradient are adjoint, <dout, f(x)> = <dx, x>: a check of gradients without an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import AVERAGES, CASES, CONVOLUTIONS, fewer, on_each_implementation

from npnets.testing import assert_adjoint

pytestmark = pytest.mark.quick

# The output is a sum of terms, each a product of some of the inputs; the numbers are their places. A convolution is one
# product of all its inputs.
TERMS = {"linear": [(0, 1), (2,)], "bias_add": [(0,), (1,)]}


@pytest.mark.parametrize("op", [*CONVOLUTIONS, "linear", "bias_add", "channel_shuffle", *AVERAGES])
@fewer
@given(data=st.data())
def test_adjoint(op, data):
    case = data.draw(CASES[op])

    def check(dtype):
        arrays = case.arrays(dtype)
        for term in TERMS.get(op, [tuple(range(len(arrays)))]):
            given = [array if place in term else np.zeros_like(array) for place, array in enumerate(arrays)]
            out = case.forward(given)
            dout = case.dout(out.shape, dtype)
            gradients = case.backward(dout, given)
            assert_adjoint(dout, out, *((gradients[place], given[place]) for place in term))

    on_each_implementation(check)


def test_the_wrong_adjoint_is_refused():
    x, dout = np.arange(3.0), np.array([2.0, -1.0, 1.0])
    assert_adjoint(dout, 2 * x, (2 * dout, x))
    with pytest.raises(AssertionError, match=r"<gradient, value> of pair 1 is 3.0, and <dout, out> is 2.0"):
        assert_adjoint(dout, 2 * x, (2 * dout, x), (3 * dout, x))
    with pytest.raises(AssertionError, match=r"the shapes \(1,\) and \(3,\) differ"):
        assert_adjoint(dout, x, (dout[:1], x))
