"""Every error of the operations: the kind and the whole text, the same from all three implementations."""

import inspect
import re

import numpy as np
import pytest

import npnets
from npnets import _config, _parallel, ops

pytestmark = pytest.mark.quick


@pytest.fixture(params=_config.IMPLEMENTATIONS, autouse=True)
def implementation(request):
    with npnets.use(request.param):
        yield


def a(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


X, K, D, P, C = a(2, 6, 5, 4), a(3, 3, 4, 6), a(3, 3, 4), a(4, 6), a(4)
LABELS = np.array([0, 2])

# One call of each operation that is right.
RIGHT = {
    "conv2d": {"x": X, "weight": K},
    "conv2d_backward": {"dout": a(2, 4, 3, 6), "x": X, "weight": K},
    "group_conv2d": {"x": X, "weight": a(3, 3, 2, 6), "groups": 2},
    "group_conv2d_backward": {"dout": a(2, 4, 3, 6), "x": X, "weight": a(3, 3, 2, 6), "groups": 2},
    "depthwise_conv2d": {"x": X, "weight": D},
    "depthwise_conv2d_backward": {"dout": a(2, 4, 3, 4), "x": X, "weight": D},
    "pointwise_conv2d": {"x": X, "weight": P},
    "pointwise_conv2d_backward": {"dout": a(2, 6, 5, 6), "x": X, "weight": P},
    "depthwise_separable_conv2d": {"x": X, "depthwise_weight": D, "pointwise_weight": P},
    "depthwise_separable_conv2d_backward": {
        "dout": a(2, 4, 3, 6), "x": X, "depthwise_weight": D, "pointwise_weight": P,
    },
    "channel_shuffle": {"x": X, "groups": 2},
    "channel_shuffle_backward": {"dout": X, "groups": 2},
    "bias_add": {"x": X, "bias": C},
    "bias_add_backward": {"dout": X},
    "batch_norm_train": {"x": X, "weight": C, "bias": C},
    "batch_norm_train_backward": {"dout": X, "x": X, "weight": C, "mean": C, "inv_std": C},
    "batch_norm_eval": {"x": X, "weight": C, "bias": C, "running_mean": C, "running_var": C},
    "batch_norm_eval_backward": {"dout": X, "x": X, "weight": C, "running_mean": C, "running_var": C},
    "relu": {"x": X},
    "relu_backward": {"dout": X, "x": X},
    "relu6": {"x": X},
    "relu6_backward": {"dout": X, "x": X},
    "leaky_relu": {"x": X},
    "leaky_relu_backward": {"dout": X, "x": X},
    "max_pool2d": {"x": X, "kernel_size": 2},
    "max_pool2d_backward": {"dout": a(2, 3, 2, 4), "x": X, "kernel_size": 2},
    "avg_pool2d": {"x": X, "kernel_size": 2},
    "avg_pool2d_backward": {"dout": a(2, 3, 2, 4), "x_shape": X.shape, "kernel_size": 2},
    "global_avg_pool": {"x": X},
    "global_avg_pool_backward": {"dout": a(2, 4), "x_shape": X.shape},
    "linear": {"x": a(2, 4), "weight": P, "bias": a(6)},
    "linear_backward": {"dout": a(2, 6), "x": a(2, 4), "weight": P},
    "softmax_cross_entropy": {"logits": a(2, 3), "labels": LABELS},
}  # fmt: skip

ARRAYS = [
    (op, name)
    for op, arguments in RIGHT.items()
    for name, value in arguments.items()
    if isinstance(value, np.ndarray) and name != "labels"
]


def refuse(kind, message, op, **changed):
    """Call `op` with some of its right arguments changed, and expect this error and no other."""
    with pytest.raises((TypeError, ValueError)) as caught:
        getattr(ops, op)(**RIGHT[op] | changed)
    assert (type(caught.value), str(caught.value)) == (kind, message)


def test_the_table_has_every_operation_and_is_right():
    assert set(RIGHT) == set(ops.__all__)
    with npnets.use("numpy"):  # nothing to compile, and who checks the arguments is the same
        for op, arguments in RIGHT.items():
            getattr(ops, op)(**arguments)


# -- arrays ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_not_an_array(op, name):
    for value in ([[1.0]], 1.0, None, memoryview(b"1")):
        kind = type(value).__name__
        refuse(TypeError, f"`{name}` must be a NumPy array, and is a {kind}", op, **{name: value})


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_not_a_float(op, name):
    for dtype in "int32", "float16", "complex64", "bool", "object", "uint16", "longdouble":
        value = RIGHT[op][name].astype(dtype)
        refuse(TypeError, f"`{name}` must be float32 or float64, and is {value.dtype}", op, **{name: value})


@pytest.mark.parametrize(
    ("op", "name"), [(op, name) for op, name in ARRAYS if [one for one, _ in ARRAYS].count(op) > 1]
)
def test_two_dtypes(op, name):
    value = RIGHT[op][name].astype(np.float64)
    if name == "dout":
        refuse(TypeError, "`dout` must be float32 like the other arrays, and is float64", op, dout=value)
    elif name != "x":
        refuse(TypeError, f"`{name}` is float64 and `x` is float32: both must be the same", op, **{name: value})
    else:  # the others are measured by x: the first of them is named
        with pytest.raises(TypeError, match=r"is float32 and `x` is float64|`dout` must be float64 like the other"):
            getattr(ops, op)(**RIGHT[op] | {name: value})


AXES = {
    "x": ("B, H, W, C", 4),
    "dout": ("B, H, W, C", 4),
    "bias": ("C", 1),
    "mean": ("C", 1),
    "inv_std": ("C", 1),
    "running_mean": ("C", 1),
    "running_var": ("C", 1),
    "depthwise_weight": ("KH, KW, C", 3),
    "pointwise_weight": ("C, N", 2),
    "logits": ("B, N", 2),
    ("conv2d", "weight"): ("KH, KW, C/groups, N", 4),
    ("conv2d_backward", "weight"): ("KH, KW, C/groups, N", 4),
    ("group_conv2d", "weight"): ("KH, KW, C/groups, N", 4),
    ("group_conv2d_backward", "weight"): ("KH, KW, C/groups, N", 4),
    ("depthwise_conv2d", "weight"): ("KH, KW, C", 3),
    ("depthwise_conv2d_backward", "weight"): ("KH, KW, C", 3),
    ("pointwise_conv2d", "weight"): ("C/groups, N", 2),
    ("pointwise_conv2d_backward", "weight"): ("C/groups, N", 2),
    ("batch_norm_train", "weight"): ("C", 1),
    ("batch_norm_train_backward", "weight"): ("C", 1),
    ("batch_norm_eval", "weight"): ("C", 1),
    ("batch_norm_eval_backward", "weight"): ("C", 1),
    ("bias_add", "bias"): ("N", 1),
    ("linear", "bias"): ("N", 1),
    ("linear", "x"): ("B, M", 2),
    ("linear", "weight"): ("M, N", 2),
    ("linear_backward", "x"): ("B, M", 2),
    ("linear_backward", "weight"): ("M, N", 2),
    ("global_avg_pool_backward", "dout"): ("B, C", 2),
}
ANY_SHAPE = ("relu", "leaky", "batch_norm", "bias_add")  # what they say of `x` and `dout` is tested below
OWN_DOUT = {"channel_shuffle_backward", "avg_pool2d_backward", "global_avg_pool_backward"}  # dout has axes of its own


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (op, name)
        for op, name in ARRAYS
        if not (name in ("x", "dout") and op.startswith(ANY_SHAPE)) and not (name == "dout" and op not in OWN_DOUT)
    ],
)
def test_number_of_axes(op, name):
    axes, count = AXES.get((op, name)) or AXES[name]
    for value in a(*[1] * (count - 1)), a(*[1] * (count + 1)):
        refuse(
            ValueError, f"`{name}` must have the axes ({axes}), and has the shape {value.shape}", op, **{name: value}
        )


@pytest.mark.parametrize(
    "op", [op for op, name in ARRAYS if name == "dout" and op not in OWN_DOUT | {"bias_add_backward"}]
)
def test_gradients_of_the_wrong_shape(op):
    right = RIGHT[op]["dout"].shape
    for wrong in (right[0] + 1, *right[1:]), (*right[:-1], 1), right[:-1], (1, *right), ():
        message = f"`dout` must have the shape {right}, that of the output, and has {wrong}"
        refuse(ValueError, message, op, dout=a(*wrong))


def test_gradients_of_the_wrong_shape_with_axes_of_their_own():
    refuse(ValueError, "`dout` must have the shape (2, 3, 2, 4), that of the output, and has (2, 3, 3, 4)",
           "avg_pool2d_backward", dout=a(2, 3, 3, 4))  # fmt: skip
    refuse(ValueError, "`dout` must have the shape (2, 4), that of the output, and has (2, 5)",
           "global_avg_pool_backward", dout=a(2, 5))  # fmt: skip


@pytest.mark.parametrize("op", [op for op, name in ARRAYS if name == "x" and not op.startswith((*ANY_SHAPE, "linear"))])
def test_empty_images(op):
    for empty in (2, 0, 5, 4), (2, 6, 0, 4), (2, 6, 5, 0):
        message = f"`x` must have at least one row, column and channel, and has the shape {empty}"
        if op.startswith("depthwise_separable") and not empty[3]:
            message = (
                "`depthwise_weight` (KH, KW, C) of shape (3, 3, 4) takes 4 input channels, "
                "and `x` (B, H, W, C) of shape (2, 6, 5, 0) has 0"
            )
        refuse(ValueError, message, op, x=a(*empty))


@pytest.mark.parametrize(("op", "name"), [(op, name) for op, name in ARRAYS if op.startswith(ANY_SHAPE[2:])])
def test_no_channels(op, name):
    if name == "x" or op == "bias_add_backward":
        for empty in (), (3, 0):
            message = f"`{name}` must have a last axis of at least one channel, and has the shape {empty}"
            refuse(ValueError, message, op, **{name: a(*empty)})
    elif name != "dout":
        message = f"`{name}` must have the shape (4,), one value for each channel of `x`, and has (3,)"
        refuse(ValueError, message, op, **{name: a(3)})


@pytest.mark.parametrize(
    ("op", "name"), [(op, name) for op, name in ARRAYS if "weight" in name and not op.startswith("batch_norm")]
)
def test_empty_kernels(op, name):
    right = RIGHT[op][name].shape
    for axis in range(len(right)):
        empty = tuple(0 if at == axis else side for at, side in enumerate(right))
        message = f"`{name}` must have at least one entry along each axis, and has the shape {empty}"
        refuse(ValueError, message, op, **{name: a(*empty)})


# -- channels and groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "changed", "message"),
    [
        (
            "conv2d",
            {"x": a(1, 4, 6, 6)},
            "`weight` (KH, KW, C/groups, N) of shape (3, 3, 4, 6) with `groups` (=1) takes 4 input channels, "
            "and `x` (B, H, W, C) of shape (1, 4, 6, 6) has 6",
        ),
        (
            "group_conv2d",
            {"weight": K},
            "`weight` (KH, KW, C/groups, N) of shape (3, 3, 4, 6) with `groups` (=2) takes 8 input channels, "
            "and `x` (B, H, W, C) of shape (2, 6, 5, 4) has 4",
        ),
        (
            "pointwise_conv2d",
            {"x": a(1, 4, 6, 6)},
            "`weight` (C/groups, N) of shape (4, 6) with `groups` (=1) takes 4 input channels, "
            "and `x` (B, H, W, C) of shape (1, 4, 6, 6) has 6",
        ),
        (
            "depthwise_conv2d",
            {"x": a(1, 4, 6, 6)},
            "`weight` (KH, KW, C) of shape (3, 3, 4) has kernels for 4 channels, "
            "and `x` (B, H, W, C) of shape (1, 4, 6, 6) has 6",
        ),
        (
            "depthwise_separable_conv2d",
            {"pointwise_weight": a(6, 4)},
            "`pointwise_weight` (C, N) of shape (6, 4) takes 6 input channels, "
            "and `x` (B, H, W, C) of shape (2, 6, 5, 4) has 4",
        ),
        (
            "depthwise_separable_conv2d_backward",
            {"depthwise_weight": a(4, 3, 3)},
            "`depthwise_weight` (KH, KW, C) of shape (4, 3, 3) takes 3 input channels, "
            "and `x` (B, H, W, C) of shape (2, 6, 5, 4) has 4",
        ),
        (
            "linear",
            {"weight": a(6, 4)},
            "`weight` (M, N) of shape (6, 4) takes 6 inputs, and `x` (B, M) of shape (2, 4) has 4",
        ),
        (
            "linear",
            {"bias": a(5)},
            "`bias` must have the shape (6,), one value for each column of `weight`, and has (5,)",
        ),
        (
            "group_conv2d",
            {"x": a(1, 3, 3, 64), "weight": a(3, 3, 21, 66), "groups": 3},
            "`groups` (=3) must divide the input channels (=64)",
        ),
        (
            "conv2d",
            {"x": a(1, 3, 3, 66), "weight": a(3, 3, 22, 64), "groups": 3},
            "`groups` (=3) must divide the output channels (=64)",
        ),
        ("pointwise_conv2d", {"groups": 3}, "`groups` (=3) must divide the input channels (=4)"),
        ("pointwise_conv2d_backward", {"groups": 4}, "`groups` (=4) must divide the output channels (=6)"),
        ("channel_shuffle", {"groups": 3}, "`groups` (=3) must divide the input channels (=4)"),
        ("channel_shuffle_backward", {"groups": 8}, "`groups` (=8) must divide the input channels (=4)"),
        (
            "channel_shuffle_backward",
            {"dout": a(1, 0, 2, 4)},
            "`dout` must have at least one row, column and channel, and has the shape (1, 0, 2, 4)",
        ),
    ],
)
def test_channels_that_do_not_fit(op, changed, message):
    refuse(ValueError, message, op, **changed)


GROUPED = [op for op in RIGHT if "groups" in inspect.signature(getattr(ops, op)).parameters]


@pytest.mark.parametrize("op", GROUPED)
def test_groups(op):
    refuse(ValueError, "`groups` (=0) must be at least 1", op, groups=0)
    refuse(ValueError, "`groups` (=-2) must be at least 1", op, groups=-2)
    for value in 2.0, True, "2", None, (1, 2), np.float32(2), np.True_:
        refuse(TypeError, f"`groups` (={value!r}) must be a whole number", op, groups=value)


# -- stride, padding, dilation, kernel_size ----------------------------------------------------------------------------


def having(name: str) -> list[str]:
    return [op for op in RIGHT if name in inspect.signature(getattr(ops, op)).parameters]


@pytest.mark.parametrize(("op", "name"), [(op, n) for n in ("stride", "dilation", "kernel_size") for op in having(n)])
def test_pairs(op, name):
    for value, bad in (0, 0), (-1, -1), ((1, 0), 0), ((-3, 1), -3), ([0, 1], 0):
        refuse(ValueError, f"`{name}` (={bad}) must be at least 1", op, **{name: value})
    for value, bad in (1.0, 1.0), (True, True), ("1", "1"), ((1, 1.5), 1.5), ((1, None), None), ([False, 1], False):
        refuse(TypeError, f"`{name}` (={bad!r}) must be a whole number", op, **{name: value})
    for value in (), (1,), (1, 1, 1):
        message = f"`{name}` (={value!r}) must be a whole number or a pair (vertical, horizontal)"
        refuse(ValueError, message, op, **{name: value})


@pytest.mark.parametrize("op", having("padding"))
def test_padding(op):
    for value, bad in (-1, -1), ((0, -2), -2), (((0, 0), (0, -3)), -3):
        refuse(ValueError, f"`padding` (={bad}) must be at least 0", op, padding=value)
    for value, bad in (1.0, 1.0), (True, True), (None, None), ((1, "1"), "1"), (((0, 0), (0, 0.5)), 0.5):
        refuse(TypeError, f"`padding` (={bad!r}) must be a whole number", op, padding=value)
    for value in "SAME", "full", "", (), (1,), (1, 1, 1, 1), ((1, 1), 1), (1, (1, 1)), ((1, 1),), ((1,), (1, 1)):
        message = (
            f"`padding` (={value!r}) must be a whole number, a pair (vertical, horizontal), "
            '((top, bottom), (left, right)), "same" or "valid"'
        )
        refuse(ValueError, message, op, padding=value)


@pytest.mark.parametrize("op", having("kernel_size"))
def test_padding_of_pools(op):
    for value in 2, (0, 2), ((0, 2), (0, 0)):
        message = f"`padding` (={value!r}) must be less than `kernel_size` (=(2, 2)): a window would be empty"
        refuse(ValueError, message, op, padding=value)


@pytest.mark.parametrize(
    ("op", "changed", "message"),
    [
        (
            "conv2d",
            {"x": a(1, 2, 5, 4)},
            "the kernel covers 3 x 3 pixels (kernel (3, 3), `dilation` (1, 1)), more than the padded input of 2 x 5",
        ),
        (
            "conv2d_backward",
            {"dilation": (1, 4), "padding": (0, 1)},
            "the kernel covers 3 x 9 pixels (kernel (3, 3), `dilation` (1, 4)), more than the padded input of 6 x 7",
        ),
        (
            "depthwise_conv2d",
            {"padding": ((0, 0), (0, 1)), "dilation": 3},
            "the kernel covers 7 x 7 pixels (kernel (3, 3), `dilation` (3, 3)), more than the padded input of 6 x 6",
        ),
        (
            "max_pool2d",
            {"kernel_size": 7},
            "the kernel covers 7 x 7 pixels (kernel (7, 7), `dilation` (1, 1)), more than the padded input of 6 x 5",
        ),
        (
            "avg_pool2d_backward",
            {"kernel_size": (1, 8), "padding": (0, 1)},
            "the kernel covers 1 x 8 pixels (kernel (1, 8), `dilation` (1, 1)), more than the padded input of 6 x 7",
        ),
    ],
)
def test_kernels_larger_than_the_image(op, changed, message):
    refuse(ValueError, message, op, **changed)


@pytest.mark.parametrize("op", ["avg_pool2d_backward", "global_avg_pool_backward"])
def test_x_shape(op):
    for value in None, 4, (2, 6, 5), (2, 6, 5, 4, 1), "BHWC", np.array([2, 6, 5, 4]):
        refuse(ValueError, f"`x_shape` (={value!r}) must be (B, H, W, C)", op, x_shape=value)
    refuse(ValueError, "`x_shape` (=-1) must be at least 0", op, x_shape=(2, -1, 5, 4))
    refuse(TypeError, "`x_shape` (=6.0) must be a whole number", op, x_shape=(2, 6.0, 5, 4))
    message = "`x_shape` must have at least one row, column and channel, and has the shape (2, 6, 0, 4)"
    refuse(ValueError, message, op, x_shape=(2, 6, 0, 4))


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "name", "good", "bad", "rule"),
    [
        *((op, "eps", 1, (0, 0.0, -1e-5), "greater than 0 and finite") for op in having("eps")),
        *((op, "negative_slope", 0, (-0.5, -1), "at least 0 and finite") for op in having("negative_slope")),
        ("softmax_cross_entropy", "label_smoothing", 0, (1, 1.0, 1.5, -0.1), "at least 0 and less than 1"),
    ],
)
def test_numbers(op, name, good, bad, rule):
    for kind in int, float, np.int8, np.float32, np.float64:
        getattr(ops, op)(**RIGHT[op] | {name: kind(good)})
    for value in (*bad, float("nan"), float("inf"), -float("inf")):
        refuse(ValueError, f"`{name}` (={value}) must be {rule}", op, **{name: value})
    for value in "0.1", None, True, 1j, [0.1], np.ones(1):
        refuse(TypeError, f"`{name}` (={value!r}) must be a number", op, **{name: value})


@pytest.mark.parametrize("op", having("running_var"))
def test_negative_variance(op):
    message = "`running_var` must not be negative, and has the value -0.5"
    refuse(ValueError, message, op, running_var=np.float32([1, 0, -0.5, -0.25]))


@pytest.mark.parametrize("op", ["batch_norm_train", "batch_norm_train_backward"])
def test_one_value_has_no_variance(op):
    for shape in (1, 1, 1, 4), (1, 4), (4,):
        message = f"`x` must have at least 2 values for each channel in training, and has 1: shape {shape}"
        refuse(ValueError, message, op, x=a(*shape))
    message = "`x` must have at least 2 values for each channel in training, and has 0: shape (0, 3, 3, 4)"
    refuse(ValueError, message, op, x=a(0, 3, 3, 4))


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        (TypeError, [0, 1], "`labels` must be a NumPy array, and is a list"),
        (TypeError, np.array([0.0, 1.0]), "`labels` must have an integer dtype, and has float64"),
        (TypeError, np.array([True, False]), "`labels` must have an integer dtype, and has bool"),
        (
            ValueError,
            np.array([0, 1, 2]),
            "`labels` must have the shape (2,), one for each row of `logits`, and has (3,)",
        ),
        (
            ValueError,
            np.eye(2, 3, dtype=int),
            "`labels` must have the shape (2,), one for each row of `logits`, and has (2, 3)",
        ),
        (ValueError, np.array([0, 3]), "`labels` must be from 0 to 2, the last class, and has the value 3"),
        (ValueError, np.array([-1, 0]), "`labels` must be from 0 to 2, the last class, and has the value -1"),
        (
            ValueError,
            np.array([0, 2**64 - 1], np.uint64),
            "`labels` must be from 0 to 2, the last class, and has the value 18446744073709551615",
        ),
    ],
)
def test_labels(kind, labels, message):
    refuse(kind, message, "softmax_cross_entropy", labels=labels)


def test_no_logits():
    for shape in (0, 3), (2, 0):
        message = f"`logits` must have at least one row and one class, and has the shape {shape}"
        refuse(ValueError, message, "softmax_cross_entropy", logits=a(*shape))


# -- choices of the process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch", "", None, 3, ["loops"], "Numba"])
def test_use(name):
    before = npnets.implementation()
    with pytest.raises(ValueError, match=re.escape(f"`name` (={name!r}) must be one of 'loops', 'numpy', 'numba'")):
        npnets.use(name)
    assert npnets.implementation() == before


def test_use_ends_with_its_block_whatever_happens():
    before = npnets.implementation()
    with pytest.raises(ValueError, match="stride"), npnets.use("loops"), npnets.use("numpy"):
        ops.conv2d(X, K, stride=0)
    assert npnets.implementation() == before


@pytest.mark.parametrize(
    ("n", "kind", "message"),
    [
        (0, ValueError, "`n` (=0) must be at least 1 thread"),
        (-1, ValueError, "`n` (=-1) must be at least 1 thread"),
        (True, TypeError, "`n` (=True) must be a whole number of threads"),
        (1.5, TypeError, "`n` (=1.5) must be a whole number of threads"),
        ("2", TypeError, "`n` (='2') must be a whole number of threads"),
        (None, TypeError, "`n` (=None) must be a whole number of threads"),
    ],
)
def test_set_threads(n, kind, message):
    before = npnets.get_threads()
    with pytest.raises(kind) as caught:
        npnets.set_threads(n)
    assert str(caught.value) == message
    assert _parallel.get_threads() == before


# -- what is not an error ----------------------------------------------------------------------------------------------


def test_whole_numbers_of_numpy_are_whole_numbers():
    one, two = np.int64(1), np.uint8(2)
    options = {"stride": two, "padding": (one, two), "dilation": one, "groups": two}
    with npnets.use("numpy"):
        assert ops.conv2d(X, a(3, 3, 2, 6), **options).shape == (2, 3, 4, 6)
        assert ops.max_pool2d(X, two, stride=[one, two], padding="same").shape == (2, 6, 3, 4)
        assert ops.global_avg_pool_backward(a(2, 4), [two, one, one, np.int16(4)]).shape == (2, 1, 1, 4)
        assert ops.channel_shuffle(X, two).shape == X.shape


def test_an_error_leaves_the_arguments_alone():
    x = X.copy()
    with pytest.raises(ValueError, match="stride"):
        ops.conv2d(x, K, stride=0)
    assert np.array_equal(x, X)


def test_numbers_that_no_machine_has():
    for name in "stride", "dilation", "padding":
        with pytest.raises(ValueError, match=rf"`{name}` \(={10**30}\) must be at most 2147483647"):
            ops.conv2d(X, K, **{name: 10**30})
    one = np.ones(1, np.float32)
    with pytest.raises(ValueError, match=r"`eps` \(=1e-50\) must be greater than 0, and is 0 in float32"):
        ops.batch_norm_train(np.zeros((3, 1), np.float32), one, one, eps=1e-50)
