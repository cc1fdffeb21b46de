"""Checks for code like this one: exact results, adjoints, rounding errors and derivatives. No tolerance is hand-picked.

For a function that should be an operation of `npnets.ops`, `conforms` does it all, and says what is wrong: a line in a
test of a class of students. `first_difference` says where in a network such a function goes wrong. For other code:

=======================  ===============================================================================================
check                    when
=======================  ===============================================================================================
assert_exact             on small whole numbers every sum is exact in any order: all correct programs agree to the last
                         bit
assert_adjoint           a linear map and its gradient: <dout, f(x)> = <dx, x>, with no second program to compare with
assert_within_rounding   a sum of products of real values: as far from the true value as rounding can bring it, no more
Rounded                  the same for a formula: it carries the bound along, step by step
assert_gradient          a smooth function: its gradient against central differences
=======================  ===============================================================================================

Choose them in this order: the first that applies is the sharpest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from npnets.check.callers import parse
from npnets.check.examine import check, check_files
from npnets.check.networks import Place, first_difference

__all__ = [
    "Place",
    "Rounded",
    "assert_adjoint",
    "assert_exact",
    "assert_gradient",
    "assert_within_rounding",
    "conforms",
    "first_difference",
    "numeric_gradient",
    "rounding_bound",
]

Array: TypeAlias = npt.NDArray[Any]

# The step of the central differences: about the cube root of float64's 2**-52, where truncation (step**2) and rounding
# (2**-52 / step) are equally small. A power of two, so that dividing by it is exact.
STEP = 2.0**-17

# An exponential or logarithm is not rounded correctly: NumPy's vectorised ones promise 4 units in the last place.
LIBRARY_ULPS = 4


def conforms(
    operation: str,
    function: Callable[..., Any] | str,
    backward: Callable[..., Any] | str | None = None,
    *,
    layout: str = "NHWC",
    arrays: str | None = None,
    seconds: float = 10.0,
    megabytes: int = 4096,
) -> None:
    """Assert that a function computes an operation of `npnets.ops`: what `npnets check` does, in a test.

    Parameters
    ----------
    operation
        A name in `npnets.ops`, such as "depthwise_conv2d" or "relu_backward".
    function
        The function, which is then called in this process, or "FILE.py:FUNCTION": then it is called in a process of its
        own, with the limits below. `npnets check --help` says with which arguments.
    backward
        The same for the gradient of the operation, if that is to be checked too.
    layout
        "NHWC", or "NCHW" for feature maps and kernels as PyTorch has them.
    arrays
        What the functions take, "numpy", "torch", "jax" or "list"; None for that with which they do best.
    seconds, megabytes
        What one call may take and hold.

    Raises
    ------
    AssertionError
        It does not conform; the message has the smallest case that fails, and says what is wrong with it.
    ValueError
        There is no such operation, file or function.

    Examples
    --------
    >>> import numpy as np
    >>> conforms("relu", lambda x: np.maximum(x, 0))
    >>> conforms("relu_backward", lambda dout, x: dout * (x >= 0))
    Traceback (most recent call last):
    AssertionError: relu_backward: <lambda> differs.
    <BLANKLINE>
      Return the gradient dx of `relu`: dout where x > 0, else 0 (also at 0).
    ...
      At x = 0 the gradient is let through: npnets and PyTorch have 0 there (x > 0,
      not x >= 0). Everything else is right: a function with this mistake and no
      other returns the same as yours in all 21 cases.
    """
    __tracebackhide__ = True
    if backward is not None and isinstance(function, str) != isinstance(backward, str):
        raise TypeError("`function` and `backward` must both be functions, or both be strings FILE.py:FUNCTION")
    if isinstance(function, str):
        where = parse(backward, f"{operation}_backward") if isinstance(backward, str) else None
        report = check_files(operation, parse(function, operation), where, layout=layout, arrays=arrays,
                             seconds=seconds, megabytes=megabytes)  # fmt: skip
    else:
        assert not isinstance(backward, str)
        report = check(operation, function, backward, layout=layout, arrays=arrays)
    if not report.conforms:
        raise AssertionError(str(report))


def assert_exact(actual: npt.ArrayLike, expected: npt.ArrayLike) -> None:
    """Assert that two arrays have the same shape, dtype and values; NaN equals NaN, and -0 equals 0.

    Parameters
    ----------
    actual, expected
        Arrays of any shape and dtype.

    Raises
    ------
    AssertionError
        They differ; the message names the first index and both values.

    Examples
    --------
    >>> import numpy as np
    >>> assert_exact(np.array([1.0, np.nan]), np.array([1.0, np.nan]))
    >>> assert_exact(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    Traceback (most recent call last):
    AssertionError: 1 of 2 values differ, the first at [1]: 2.0 instead of 3.0
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    _same_shape(actual, expected)
    if actual.dtype != expected.dtype:
        raise AssertionError(f"the dtype is {actual.dtype} instead of {expected.dtype}")
    _no_difference(actual, expected, (actual == expected) | ((actual != actual) & (expected != expected)))


def assert_adjoint(dout: Array, out: Array, *pairs: tuple[Array, Array]) -> None:
    """Assert that <dout, out> = <dx, x> for each pair (dx, x), exactly: give small whole numbers.

    For a map f that is linear in x this says that dx is the gradient of <dout, f(x)>: f(x) = A x and dx = A^T dout make
    <dout, A x> = <A^T dout, x>. A convolution is linear in its input and in its kernel, so that both products equal the
    first.

    Parameters
    ----------
    dout, out
        Arrays of one shape: any values, and f(x).
    pairs
        (dx, x): the gradient that backward returned, and what it is the gradient by.

    Raises
    ------
    AssertionError
        A product differs.

    Examples
    --------
    >>> import numpy as np
    >>> from npnets.ops import conv2d, conv2d_backward
    >>> x, weight = np.arange(9.0).reshape(1, 3, 3, 1), np.arange(4.0).reshape(2, 2, 1, 1)
    >>> dout = np.array([3.0, -1.0, 2.0, 5.0]).reshape(1, 2, 2, 1)
    >>> dx, dweight = conv2d_backward(dout, x, weight)
    >>> assert_adjoint(dout, conv2d(x, weight), (dx, x), (dweight, weight))
    """
    expected = _inner(dout, out)
    for number, (gradient, value) in enumerate(pairs):
        actual = _inner(gradient, value)
        if actual != expected:
            raise AssertionError(f"<gradient, value> of pair {number} is {actual}, and <dout, out> is {expected}")


def rounding_bound(n: int, dtype: npt.DTypeLike) -> float:
    """Return gamma_n = n u / (1 - n u): the largest relative error of n roundings in a row.

    u, the largest relative error of one, is 2**-24 for float32 and 2**-53 for float64 (Higham, Accuracy and Stability
    of Numerical Algorithms, lemma 3.1).

    Parameters
    ----------
    n
        How many roundings.
    dtype
        A floating-point dtype.

    Raises
    ------
    ValueError
        n u is 1 or more: so many roundings may leave nothing.

    Examples
    --------
    >>> import numpy as np
    >>> round(rounding_bound(576, np.float32), 7)
    3.43e-05
    """
    return _gamma(n, _unit(dtype))


def assert_within_rounding(actual: Array, reference: Array, magnitude: Array, n: int) -> None:
    """Assert that a sum of `n` products is no further from the truth than rounding explains.

    A sum of n products in any order has |actual - truth| <= gamma_n (|x| * |w|) (Higham, equation 3.5); one more
    rounding is for a bias that is added or a count that is divided by: gamma_{n+1} (|x| * |w| + |b|). The reference is
    such a sum itself, in a finer dtype, so its own bound is added.

    Parameters
    ----------
    actual
        What is tested, float32 or float64.
    reference
        The same in a finer dtype.
    magnitude
        The same operation on the absolute values of all inputs, in the finer dtype.
    n
        The number of terms in each sum.

    Raises
    ------
    AssertionError
        A value is further away; the message names the first index, both values and the bound.

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.linspace(-1, 1, 100, dtype=np.float32), np.linspace(0, 1, 100, dtype=np.float32)
    >>> x64, w64 = x.astype(np.float64), w.astype(np.float64)
    >>> assert_within_rounding(x @ w, x64 @ w64, abs(x64) @ abs(w64), 100)
    """
    actual, reference = np.asarray(actual), np.asarray(reference)
    gamma = rounding_bound(n + 1, actual.dtype) + rounding_bound(n + 1, reference.dtype)
    _near(actual, reference, gamma * np.asarray(magnitude))


@dataclass(frozen=True, eq=False)
class Rounded:
    """Values of a formula, and how far off a program can be that computes it with roundings of at most `unit`.

    Write a formula with it as the program does. Each step rounds once, fl(a op b) = (a op b)(1 + delta) with |delta| <=
    u, and passes on the errors a' and b' that came in::

        a + b, a - b    a' + b'
        a b             |a| b' + |b| a' + a' b'
        a / b           (|a| b' + |b| a') / (|b| (|b| - b')),         from a''/b'' - a/b = (a'' b - a b'') / (b b'')
        sqrt a          sqrt a - sqrt(a - a')                         the slope is largest on the left
        exp a           exp(a) (exp(a') - 1),  and 4 units in the last place for the library
        log a           log a - log(a - a'),   likewise
        sum of n        the sum of a', then gamma_{n-1} sum (|a| + a'), in any order of summation

    This is running error analysis (Higham, section 3.3). The values are computed here in longdouble; their own errors,
    as they follow the same rules, are counted by adding their unit to that of `dtype`.

    Parameters
    ----------
    value, error, unit
        The value, the bound on how far from it a program may be, and u.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.1, 0.2, 0.3], np.float32)
    >>> mean = Rounded.exact(x).sum() / 3
    >>> mean.check(x.mean())
    >>> mean.check(x[:2].mean())
    Traceback (most recent call last):
    AssertionError: 1 of 1 values differ, the first at []: 0.15... instead of 0.2..., which is more than 3.5...e-08 away
    """

    value: Array
    error: Array
    unit: float

    @classmethod
    def exact(cls, value: npt.ArrayLike) -> "Rounded":
        """Return inputs of a program, which have no error yet; it computes in their dtype."""
        given = np.asarray(value)
        fine = given.astype(np.longdouble)
        return cls(fine, np.zeros_like(fine), _unit(given.dtype) + _unit(np.longdouble))

    def check(self, actual: npt.ArrayLike) -> None:
        """Assert that `actual` is within the bound."""
        _near(np.asarray(actual), self.value, self.error)

    def __add__(self, other: "Rounded | float") -> "Rounded":
        other = self._like(other)
        return self._round(self.value + other.value, self.error + other.error)

    def __neg__(self) -> "Rounded":
        return Rounded(-self.value, self.error, self.unit)

    def __sub__(self, other: "Rounded | float") -> "Rounded":
        return self + -self._like(other)

    def __rsub__(self, other: float) -> "Rounded":
        return self._like(other) - self

    def __mul__(self, other: "Rounded | float") -> "Rounded":
        other = self._like(other)
        a, b = abs(self.value), abs(other.value)
        return self._round(self.value * other.value, a * other.error + b * self.error + self.error * other.error)

    def __truediv__(self, other: "Rounded | float") -> "Rounded":
        other = self._like(other)
        a, b = abs(self.value), abs(other.value)
        if (b <= other.error).any():
            raise ValueError("the divisor may be 0 within its error")
        return self._round(self.value / other.value, (a * other.error + b * self.error) / (b * (b - other.error)))

    def __rtruediv__(self, other: float) -> "Rounded":
        return self._like(other) / self

    def __getitem__(self, index: Any) -> "Rounded":
        return Rounded(self.value[index], self.error[index], self.unit)

    def sqrt(self) -> "Rounded":
        """Return the square roots."""
        root = np.sqrt(self.value)
        return self._round(root, root - np.sqrt(np.maximum(self.value - self.error, 0)))

    def exp(self) -> "Rounded":
        """Return the exponentials."""
        value = np.exp(self.value)
        return self._round(value, value * np.expm1(self.error), 2 * LIBRARY_ULPS)

    def log(self) -> "Rounded":
        """Return the logarithms."""
        if (self.value <= self.error).any():
            raise ValueError("the argument of the logarithm may be 0 within its error")
        return self._round(np.log(self.value), -np.log1p(-self.error / self.value), 2 * LIBRARY_ULPS)

    def sum(self, axis: int = 0) -> "Rounded":
        """Return the sums along an axis, added in any order."""
        error = self.error.sum(axis)
        spread = _gamma(max(self.value.shape[axis] - 1, 0), self.unit) * (abs(self.value).sum(axis) + error)
        return Rounded(self.value.sum(axis), error + spread, self.unit)

    def _like(self, other: "Rounded | float") -> "Rounded":
        if isinstance(other, Rounded):
            return other
        return Rounded(np.asarray(other, np.longdouble), np.zeros((), np.longdouble), self.unit)

    def _round(self, value: Array, error: Array, units: int = 1) -> "Rounded":
        return Rounded(value, error + units * self.unit * (abs(value) + error), self.unit)


def numeric_gradient(
    f: Callable[[Array], npt.ArrayLike], x: Array, dout: Array, *, direction: Array | None = None, step: float = STEP
) -> Array:
    """Return the gradient of <dout, f(x)> by x from central differences, (f(x + h e) - f(x - h e)) / (2 h).

    Parameters
    ----------
    f
        A function of one array; it is called twice for each entry of `x`, or twice with a direction.
    x
        Where, float64.
    dout
        The gradient of the loss by f(x): random values, never all ones, which batch norm maps to 0.
    direction
        Of the shape of `x`: then only the derivative along it is computed, <gradient, direction>, at any size.
    step
        h.

    Returns
    -------
    gradient
        Of the shape of `x`; with a direction a 0-d array.

    Examples
    --------
    >>> import numpy as np
    >>> numeric_gradient(lambda x: x**2, np.array([1.0, 3.0]), np.array([1.0, 10.0])).round(6)
    array([ 2., 60.])
    """
    if direction is not None:
        ahead, behind = (_inner(dout, f(x + sign * step * direction)) for sign in (1, -1))
        return np.asarray((ahead - behind) / (2 * step))
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        one = np.zeros_like(x)
        one[index] = 1
        gradient[index] = numeric_gradient(f, x, dout, direction=one, step=step)
    return gradient


def assert_gradient(
    f: Callable[[Array], npt.ArrayLike],
    x: Array,
    dout: Array,
    dx: Array,
    *,
    direction: Array | None = None,
    magnitude: npt.ArrayLike | None = None,
) -> None:
    """Assert that `dx` is the gradient of <dout, f(x)> by `x`, as far as central differences can tell.

    The tolerance. Let D(h) be the central difference and D its limit. By Taylor D(h) = D + c h^2 + O(h^4), so that
    D(2h) - D(h) = 3 c h^2 + O(h^4) measures the truncation: D(h) is off by a third of it, and all of it is allowed,
    which leaves room for the higher terms. Rounding: a value of f is off by at most gamma_n M, if it is a sum over all
    of x, n = x.size, of terms that add up to M in absolute value, and a library function or two (4 units each) were
    applied; and x + h e is rounded too, which moves <dout, f> by u <|dx|, |x|>. <dout, f> itself is summed in
    longdouble, with a gamma of its own. Two such products over the 2 h of the denominator::

        |D(h) - dx| <= |D(2h) - D(h)| + (gamma_{x.size + 16} + gamma_dout.size) (<|dout|, M> + <|dx|, |x|>) / h

    Parameters
    ----------
    f, x, dout, direction
        As in `numeric_gradient`.
    dx
        The gradient to be tested.
    magnitude
        M, of the shape of f(x); None for |f(x)|, which will do where no large terms cancel.

    Raises
    ------
    AssertionError
        An entry is further away; or D(2h) and D(h) share less than half of their digits, as near a kink of f, so that
        they could tell nothing.

    Examples
    --------
    >>> import numpy as np
    >>> x, dout = np.array([1.0, 3.0]), np.array([1.0, 10.0])
    >>> assert_gradient(lambda x: x**3, x, dout, 3 * x**2 * dout)
    """
    near, far = (numeric_gradient(f, x, dout, direction=direction, step=h) for h in (STEP, 2 * STEP))
    terms = abs(np.asarray(f(x))) if magnitude is None else magnitude
    size = _inner(abs(dout), terms) + _inner(abs(dx), abs(x))
    truncation = abs(far - near)
    if (truncation > np.sqrt(_unit(np.float64)) * max(1.0, size)).any():
        raise AssertionError("the differences share less than half of their digits: is there a kink near x?")
    roundings = x.size + 4 * LIBRARY_ULPS
    rounding = (rounding_bound(roundings, np.float64) + rounding_bound(dout.size, np.longdouble)) * size / STEP
    _near(dx if direction is None else np.asarray(_inner(dx, direction)), near, truncation + rounding)


def _unit(dtype: npt.DTypeLike) -> float:
    return float(np.finfo(dtype).eps) / 2


def _gamma(n: int, unit: float) -> float:
    if n * unit >= 1:
        raise ValueError(f"`n` (={n}) roundings of up to {unit:g} each may leave nothing")
    return n * unit / (1 - n * unit)


def _inner(a: npt.ArrayLike, b: npt.ArrayLike) -> Any:
    a, b = np.asarray(a, np.longdouble), np.asarray(b, np.longdouble)
    if a.shape != b.shape:
        raise AssertionError(f"the shapes {a.shape} and {b.shape} differ")
    return np.vdot(a, b)


def _same_shape(actual: Array, expected: Array) -> None:
    if actual.shape != expected.shape:
        raise AssertionError(f"the shape is {actual.shape} instead of {expected.shape}")


def _near(actual: Array, reference: Array, bound: Array) -> None:
    _same_shape(actual, reference)
    _no_difference(actual, reference, abs(actual - reference) <= bound, bound)


def _no_difference(actual: Array, expected: Array, same: Array, bound: Array | None = None) -> None:
    if np.all(same):
        return
    index = tuple(int(i) for i in np.argwhere(~np.asarray(same))[0])
    message = (
        f"{np.size(same) - np.count_nonzero(same)} of {np.size(same)} values differ, "
        f"the first at {list(index)}: {actual[index]} instead of {expected[index]}"
    )
    if bound is not None:
        message += f", which is more than {np.broadcast_to(bound, np.shape(same))[index]:.3g} away"
    raise AssertionError(message)
