"""Hypothesis strategies: for each operation whose results are exact on whole numbers, calls of it that are valid.

Shapes and options are drawn, the values come from a seed. Nothing is drawn and then thrown away.
"""

import math
import os
from dataclasses import dataclass
from unittest import mock

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import npnets
from npnets import _parallel, ops

IMPLEMENTATIONS = os.environ.get("NPNETS_IMPLEMENTATIONS", "loops numpy numba threads").split()
DTYPES = np.dtype(np.float32), np.dtype(np.float64)

# For checks that repeat on other values what the exact ones prove: the shapes are the same.
fewer = settings(max_examples=max(20, settings.default.max_examples // 5))


def on_each_implementation(check, dtypes=DTYPES):
    """Call `check(dtype)` under each implementation; "threads" is numba with each call split, however small it is."""
    for name in IMPLEMENTATIONS:
        threads, alone = name == "threads", _parallel.SERIAL_BELOW
        with (
            npnets.use("numba" if threads else name),
            mock.patch.object(_parallel, "SERIAL_BELOW", 0 if threads else alone),
        ):
            for dtype in dtypes[-1:] if threads else dtypes:  # each part runs the same code for both
                try:
                    check(dtype)
                except Exception as error:
                    error.add_note(f"implementation: {name}, {dtype}")
                    raise


# -- a call of an operation --------------------------------------------------------------------------------------------

LAYOUTS = "C", "F", "strided", "reversed", "read-only", "big-endian", "unaligned"


def lay(array, layout):
    """Return the same values as another kind of array."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided" and array.ndim:
        every_second = np.full((*array.shape[:-1], 2 * array.shape[-1]), 99, array.dtype)[..., ::2]
        every_second[...] = array
        return every_second
    if layout == "reversed" and array.ndim:
        return np.flip(np.flip(array).copy())
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    if layout == "big-endian":
        return array.astype(array.dtype.newbyteorder(">"))
    if layout == "unaligned":
        moved = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    return array


@dataclass(frozen=True, eq=False)
class Case:
    """One call: `op(*arrays, **options)`; the values are whole multiples of `unit`, at most `largest` of them."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    options: dict
    seed: int = 0
    layout: str = "C"
    unit: int = 1
    largest: int = 4

    def arrays(self, dtype=np.float64, real=False):
        """Return the inputs, the first being x; `real` ones are normally distributed instead."""
        rng = np.random.default_rng(self.seed)
        return tuple(lay(self._values(rng, shape, dtype, real), self.layout) for shape in self.shapes)

    def dout(self, shape, dtype=np.float64, real=False):
        """Return a gradient of the output's shape."""
        return lay(self._values(np.random.default_rng(self.seed + 1), shape, dtype, real), self.layout)

    def _values(self, rng, shape, dtype, real):
        if real:
            return np.asarray(rng.standard_normal(shape)).astype(dtype)
        return np.asarray(self.unit * rng.integers(-self.largest, self.largest, shape, endpoint=True)).astype(dtype)

    def forward(self, arrays):
        """Call the operation."""
        return getattr(ops, self.op)(*arrays, **self.options)

    def backward(self, dout, arrays):
        """Return the gradients by all arrays, in a tuple."""
        needed = {
            "bias_add": (),
            "channel_shuffle": (),
            "linear": arrays[:2],
            "avg_pool2d": (arrays[0].shape,),
            "global_avg_pool": (arrays[0].shape,),
        }.get(self.op, arrays)
        gradients = getattr(ops, self.op + "_backward")(dout, *needed, **self.options)
        return gradients if isinstance(gradients, tuple) else (gradients,)


# -- the pieces --------------------------------------------------------------------------------------------------------

# Around the widths of vectors and of the kernels' blocks.
CHANNELS = 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33
BATCHES = st.integers(0, 3)
SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def channels(most=33):
    """Draw a number of channels."""
    return st.sampled_from([number for number in CHANNELS if number <= most])


def int_or_pair(least, most):
    """Draw an int or a pair of ints."""
    number = st.integers(least, most)
    return number | st.tuples(number, number)


def both(value):
    """Return the pair that an int or pair stands for."""
    return (value, value) if isinstance(value, int) else value


@st.composite
def windows(draw, pooling=False):
    """Draw (kernel, sides, options): a kernel, an image that it fits on once padded, and how it is laid."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilation = 1 if pooling else draw(int_or_pair(1, 3))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, both(dilation), strict=True)]
    most = [k - 1 for k in kernel] if pooling else [3, 3]  # a pool's windows must not be empty
    vertical, horizontal = (st.integers(0, number) for number in most)
    padding = draw(
        st.integers(0, min(most))
        | st.tuples(vertical, horizontal)
        | st.tuples(st.tuples(vertical, vertical), st.tuples(horizontal, horizontal))
        | st.sampled_from(["same", "valid"])
    )
    margins = [sum(both(side)) for side in both(0 if isinstance(padding, str) else padding)]
    least = [1 if padding == "same" else max(1, n - m) for n, m in zip(spans, margins, strict=True)]
    sides = tuple(draw(st.integers(n, max(n, 9))) for n in least)
    options = {"stride": draw(int_or_pair(1, 3)), "padding": padding}
    return kernel, sides, options if pooling else {**options, "dilation": dilation}


@st.composite
def cases(draw, op, make, **fixed):
    """Draw a Case; `make(draw)` returns the shapes, the options and, where it is not 1, the unit."""
    shapes, options, *unit = make(draw)
    seed, layout = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(LAYOUTS))
    return Case(op, shapes, options, seed, layout, *unit, **fixed)


def _groups(draw, most):
    g = draw(st.sampled_from([1, 2, 3, 4, 8][:most]))
    return g, draw(channels(33 // g)), draw(channels(33 // g))


def _conv2d(draw, most=1):
    kernel, sides, options = draw(windows())
    g, M, N = _groups(draw, most)
    options = options if most == 1 else {**options, "groups": g}
    return ((draw(BATCHES), *sides, g * M), (*kernel, M, g * N)), options


def _depthwise(draw):
    kernel, sides, options = draw(windows())
    C = draw(channels())
    return ((draw(BATCHES), *sides, C), (*kernel, C)), options


def _pointwise(draw):
    g, M, N = _groups(draw, 5)
    return ((draw(BATCHES), *draw(SIDES), g * M), (M, g * N)), {"groups": g}


def _separable(draw):
    (x, depthwise), options = _depthwise(draw)
    return (x, depthwise, (x[3], draw(channels()))), options


def _any_shape(draw):
    return draw(st.lists(st.integers(0, 9), min_size=0, max_size=3).map(tuple))


def _bias(draw):
    C = draw(channels())
    return ((*_any_shape(draw), C), (C,)), {}


def _linear(draw):
    M, N = draw(channels()), draw(channels())
    return ((draw(st.integers(0, 9)), M), (M, N), (N,)), {}


def _shuffle(draw):
    g = draw(st.integers(1, 9))
    return ((draw(BATCHES), *draw(SIDES), g * draw(st.integers(1, 9))),), {"groups": g}


def _activation(draw):
    return (_any_shape(draw),), {}


def _leaky(draw):
    return (_any_shape(draw),), {"negative_slope": draw(st.sampled_from([0.0, 0.125, 0.5, 1.0, 2.0]))}


def _max_pool(draw):
    size, sides, options = draw(windows(pooling=True))
    if draw(st.booleans()) and size[0] == size[1]:
        size = size[0]
    if draw(st.booleans()) and isinstance(options["padding"], int):
        del options["stride"]  # the default is the window's size
    return ((draw(BATCHES), *sides, draw(channels())),), {"kernel_size": size, **options}


def _avg_pool(draw):
    shapes, options = _max_pool(draw)
    options["count_include_pad"] = draw(st.booleans())
    # divisible by the number of pixels in any part of the window, so that the mean is a whole number
    unit = math.prod(math.lcm(*range(1, k + 1)) for k in both(options["kernel_size"]))
    return shapes, options, unit


def _global(draw):
    H, W = draw(SIDES)
    return ((draw(BATCHES), H, W, draw(channels())),), {}, H * W


CONVOLUTIONS = {
    "conv2d": cases("conv2d", _conv2d),
    "group_conv2d": cases("group_conv2d", lambda draw: _conv2d(draw, 5)),
    "depthwise_conv2d": cases("depthwise_conv2d", _depthwise),
    "pointwise_conv2d": cases("pointwise_conv2d", _pointwise),
    "depthwise_separable_conv2d": cases("depthwise_separable_conv2d", _separable),
}
AVERAGES = {
    "avg_pool2d": cases("avg_pool2d", _avg_pool),
    "global_avg_pool": cases("global_avg_pool", _global),
}
CASES = {
    **CONVOLUTIONS,
    "bias_add": cases("bias_add", _bias),
    "linear": cases("linear", _linear),
    "channel_shuffle": cases("channel_shuffle", _shuffle),
    "relu": cases("relu", _activation, largest=8),
    "relu6": cases("relu6", _activation, largest=8),
    "leaky_relu": cases("leaky_relu", _leaky, largest=8),
    "max_pool2d": cases("max_pool2d", _max_pool),
    **AVERAGES,
}
