"""`npnets.compile` against the network itself: logits, the same bits on any threads, what it refuses. Without PyTorch.

Tests against PyTorch and of the paper's networks stand in test_plan_networks.py.
"""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import npnets
from npnets import MobileNetV1, ShuffleNetV1, _parallel, layers, plan
from npnets._jit import OPTIONS
from npnets.kernels import inference
from npnets.kernels.product import vector
from npnets.models import Network

pytestmark = pytest.mark.uncompiled

dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])

# max|a - b| <= LIMIT max|b|, as for whole networks elsewhere. Signals neither fade nor grow (`randomised`).
LIMIT = {np.float64: 1e-10, np.float32: 1e-4}


@pytest.fixture(autouse=True)
def _threads():
    """End with the threads that the test began with."""
    before = npnets.get_threads()
    yield
    npnets.set_threads(before)


def randomised(net):
    """Draw biases and running statistics too, so that a part that is left out shows."""
    rng, state = np.random.default_rng(1), net.state_dict()
    for name, value in state.items():
        if name.endswith(("norm.weight", "running_var")):
            value[...] = rng.uniform(0.5, 1.5, value.shape)
        elif value.ndim == 1:
            value[...] = 0.3 * rng.standard_normal(value.shape)
        else:
            value[...] = rng.standard_normal(value.shape) * (2 / (value.size // value.shape[-1])) ** 0.5
    net.load_state_dict(state)
    return net.eval()


def mobilenet(**options):
    return randomised(MobileNetV1(**{"rows": ((11, 1), (18, 2), (9, 1)), "num_classes": 5, **options}))


def shufflenet(**options):
    stages = {"groups": 2, "stem_channels": 6, "stage_channels": (16, 32), "stage_units": (2, 2)}
    return randomised(ShuffleNetV1(**{**stages, "num_classes": 5, **options}))


def images(batch, sides=(13, 10), channels=3, dtype=np.float64):
    return np.random.default_rng(2).standard_normal((batch, *sides, channels)).astype(dtype)


def logits_of(net, x):
    with npnets.use("numpy"):
        return net(x)


def assert_near(actual, expected, dtype):
    assert actual.shape == expected.shape
    assert actual.dtype == dtype
    assert np.abs(actual - expected).max() <= LIMIT[dtype] * np.abs(expected).max()


# -- logits ------------------------------------------------------------------------------------------------------------

CASES = {
    "mobilenet": (mobilenet, {}),
    "mobilenet, relu6": (mobilenet, {"activation": "relu6"}),
    "mobilenet, leaky": (mobilenet, {"activation": "leaky_relu", "negative_slope": 0.3}),
    "mobilenet, same": (mobilenet, {"padding": "same"}),
    "mobilenet, padding of a pair": (mobilenet, {"padding": ((2, 0), (0, 1))}),
    "mobilenet, valid": (mobilenet, {"padding": "valid", "stem_stride": 1, "rows": ((11, 1),)}),
    "mobilenet, wide padding": (mobilenet, {"padding": 3}),
    "mobilenet, stride 3": (mobilenet, {"rows": ((11, 3), (18, 1))}),
    "mobilenet, stem of stride 1": (mobilenet, {"stem_stride": 1}),
    "mobilenet, no blocks": (mobilenet, {"rows": ()}),
    "mobilenet, grey": (mobilenet, {"in_channels": 1}),
    "mobilenet, many channels in": (mobilenet, {"in_channels": 21}),
    "mobilenet, many classes": (mobilenet, {"num_classes": 135}),
    "mobilenet, many channels": (mobilenet, {"rows": ((97, 2), (300, 2))}),
    "shufflenet": (shufflenet, {}),
    "shufflenet, leaky": (shufflenet, {"activation": "leaky_relu"}),
    "shufflenet, relu6": (shufflenet, {"activation": "relu6"}),
    "shufflenet, same": (shufflenet, {"padding": "same"}),
    "shufflenet, inverse": (shufflenet, {"shuffle_inverse": True}),
    "shufflenet, shuffle after": (shufflenet, {"shuffle": "after"}),
    "shufflenet, no shuffle": (shufflenet, {"shuffle": None}),
    "shufflenet, branch first": (shufflenet, {"concat": "branch first"}),
    "shufflenet, counted inside": (shufflenet, {"count_include_pad": False}),
    "shufflenet, pool of two": (shufflenet, {"shortcut_pool": 2, "sides": (32, 48)}),
    "shufflenet, no pools": (shufflenet, {"stem_pool": False, "stem_stride": 1, "stage_strides": (1, 2)}),
    "shufflenet, leaky, branch first": (
        shufflenet, {"activation": "leaky_relu", "concat": "branch first", "stage_strides": (2, 1)},
    ),
}  # fmt: skip


def case(name, dtype):
    make, options = CASES[name]
    options = dict(options)
    sides = options.pop("sides", (13, 10))
    net = make(**options, dtype=dtype)
    return net, images(3, sides, options.get("in_channels", 3), dtype)


@dtypes
@pytest.mark.parametrize("name", CASES)
def test_logits(name, dtype):
    net, x = case(name, dtype)
    assert_near(npnets.compile(net)(x), logits_of(net, x), dtype)


@pytest.mark.parametrize("sides", [(3, 3), (1, 1), (1, 40), (40, 1), (7, 5), (32, 31)])
@pytest.mark.parametrize("make", [mobilenet, shufflenet])
def test_sides(make, sides):
    net, x = make(dtype=np.float64), images(2, sides)
    assert_near(npnets.compile(net)(x), logits_of(net, x), np.float64)


def test_images_of_other_sizes_in_turn():
    """Buffers that one size leaves behind are another one's."""
    net = shufflenet(dtype=np.float64)
    fast = npnets.compile(net)
    for sides in (13, 10), (32, 9), (5, 5), (13, 10), (9, 32), (13, 10):
        x = images(2, sides)
        assert_near(fast(x), logits_of(net, x), np.float64)


# -- batches and threads -----------------------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("make", [mobilenet, shufflenet])
def test_the_bits_depend_on_the_image_alone(make, dtype, monkeypatch):
    """Not on the threads, nor on the batch: images one by one by all threads, or each by one."""
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    fast, x = npnets.compile(make(dtype=dtype)), images(8, dtype=dtype)
    npnets.set_threads(1)
    right = np.concatenate([fast(image[None]) for image in x])
    for threads in 1, 2, 3, 4, 7:
        npnets.set_threads(threads)
        for batch in 0, 1, 2, 3, 5, 8:
            out = fast(x[:batch])
            assert out.shape == (batch, 5)
            assert out.dtype == dtype
            np.testing.assert_array_equal(out, right[:batch])


@dtypes
def test_the_features_of_an_image_touch_no_other_image(dtype):
    """They are written as whole vectors, by whichever thread has the image, in any order."""
    fast = npnets.compile(mobilenet(dtype=dtype))
    plan, _ = fast._layout((13, 10, 3))
    assert plan.features >= 9
    assert plan.features % vector(np.dtype(dtype)) == 0


def test_more_images_than_the_classifier_takes_at_a_time():
    net, x = mobilenet(rows=(), dtype=np.float64), images(inference.END_IMAGES * 2 + 3, (5, 5))
    assert_near(npnets.compile(net)(x), logits_of(net, x), np.float64)


def test_calls_from_several_threads_at_once(monkeypatch):
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    npnets.set_threads(2)
    fast, start = npnets.compile(shufflenet(dtype=np.float64)), threading.Barrier(3)
    batches = [images(1, (13, 10)), images(3, (13, 10)), images(2, (9, 16))]
    right = [fast(x) for x in batches]

    def calls(first):
        start.wait()
        order = [(first + n) % 3 for n in range(12)]
        return all(np.array_equal(fast(batches[n]), right[n]) for n in order)

    with ThreadPoolExecutor(3) as callers:
        assert all(done.result(60) for done in [callers.submit(calls, first) for first in range(3)])


def test_the_number_of_threads_may_change_while_others_compute(monkeypatch):
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    fast, x = npnets.compile(mobilenet(dtype=np.float64)), images(3)
    right, stop = fast(x), time.monotonic() + 1

    def calls():
        count = 0
        while time.monotonic() < stop:
            np.testing.assert_array_equal(fast(x), right)
            count += 1
        return count

    with ThreadPoolExecutor(2) as callers:
        running = [callers.submit(calls) for _ in range(2)]
        while time.monotonic() < stop:
            for threads in 1, 2, 4:
                npnets.set_threads(threads)
                time.sleep(0.001)
        assert all(one.result(60) for one in running)


def test_a_thread_too_many_leaves_the_work_to_the_others(monkeypatch):
    """There is room for as many threads as there were when the call began."""
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    fast, x = npnets.compile(mobilenet(dtype=np.float64)), images(3)
    npnets.set_threads(1)
    right = fast(x)

    def crowded(program, work, *arguments):
        npnets.set_threads(4)
        _parallel.team(program, work, *arguments)

    monkeypatch.setattr(plan, "team", crowded)
    for _ in range(20):
        npnets.set_threads(2)
        np.testing.assert_array_equal(fast(x), right)


def test_the_caller_may_be_the_one_too_many(monkeypatch):
    """It returns when the others are done, and not before."""
    fast, x = npnets.compile(mobilenet(dtype=np.float64)), images(2 if OPTIONS.DISABLE_JIT else 64, (97, 65))
    right = fast(x)
    fast(-x)  # or the workspace would hold the right logits already

    others = ThreadPoolExecutor(2)

    def last(program, work, *given):
        counts, until = given[7], time.monotonic() + 30
        for _ in range(2):
            others.submit(program, *given)
        while counts[0] < 2 and time.monotonic() < until:
            time.sleep(0)
        program(*given)

    monkeypatch.setattr(plan, "members", lambda work: 2)
    monkeypatch.setattr(plan, "team", last)
    try:
        np.testing.assert_array_equal(fast(x), right)
    finally:
        others.shutdown()


@pytest.mark.parametrize("make", [mobilenet, shufflenet])
@pytest.mark.parametrize("come", [1, 2, 3, 5])
def test_threads_that_come_when_all_is_done(make, come, monkeypatch):
    """There is room for three: the first does everything, whatever part of the batch is done together."""
    fast, x = npnets.compile(make(dtype=np.float64)), images(5)
    right = fast(x)
    monkeypatch.setattr(plan, "members", lambda work: 3)
    monkeypatch.setattr(plan, "team", lambda program, work, *given: [program(*given) for _ in range(come)])
    for batch in 1, 3, 5:
        np.testing.assert_array_equal(fast(x[:batch]), right[:batch])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_computes(monkeypatch):
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    npnets.set_threads(2)
    fast, x = npnets.compile(mobilenet(dtype=np.float64)), images(3)
    right = fast(x)  # the pool has its threads now
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(not np.array_equal(fast(x), right))
        finally:
            os._exit(status)  # no clean-up of pytest's in the child
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    np.testing.assert_array_equal(fast(x), right)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [mobilenet, shufflenet])
@pytest.mark.parametrize("activation", ["relu", "relu6", "leaky_relu"])
def test_special_values_reach_their_own_image_and_no_other(make, activation, value):
    net, x = make(activation=activation, dtype=np.float64), images(3)
    fast = npnets.compile(net)
    right = fast(x)
    x[1, 4, 4, 1] = value
    for _ in range(2):  # the second time with buffers that have seen them
        out, expected = fast(x), logits_of(net, x)
        np.testing.assert_array_equal(out[[0, 2]], right[[0, 2]])
        np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))
        np.testing.assert_array_equal(fast(x[[0, 2]]), right[[0, 2]])
    assert not np.array_equal(out[1], right[1], equal_nan=True)


def test_the_input_stays_and_the_logits_are_fresh():
    fast, x = npnets.compile(mobilenet(dtype=np.float64)), images(2)
    before = x.copy()
    x.flags.writeable = False
    first = fast(x)
    kept = first.copy()
    first[...] = 7
    np.testing.assert_array_equal(fast(x), kept)
    np.testing.assert_array_equal(first, 7)
    np.testing.assert_array_equal(x, before)


def test_other_layouts_of_the_input():
    fast, x = npnets.compile(mobilenet(dtype=np.float64)), images(4)
    right = fast(x)
    np.testing.assert_array_equal(fast(x[::2]), right[::2])
    np.testing.assert_array_equal(fast(np.asfortranarray(x)), right)
    np.testing.assert_array_equal(fast(x.astype(">f8")), right)


@pytest.mark.parametrize("make", [mobilenet, shufflenet])
def test_the_weights_are_those_of_the_moment_of_compiling(make):
    net, x = make(dtype=np.float64), images(2)
    fast = npnets.compile(net)
    right = fast(x)
    net.train()  # has no effect either: running statistics are what counts
    np.testing.assert_array_equal(npnets.compile(net)(x), right)
    for value in (*net.parameters().values(), *(v for _, layer in net.layers() for v in layer.buffers.values())):
        value += 1
    np.testing.assert_array_equal(fast(x), right)
    assert np.abs(npnets.compile(net)(x) - right).max() > 0.1
    assert_near(npnets.compile(net)(x), logits_of(net.eval(), x), np.float64)


# -- what is refused ---------------------------------------------------------------------------------------------------

BAD = [
    np.zeros((2, 13, 10, 4)), np.zeros((13, 10, 3)), np.zeros((2, 3, 13, 10)), np.zeros((2, 13, 10, 3), np.float32),
    np.zeros((2, 13, 10, 3), np.int64), [[1.0]], None, np.zeros((2, 0, 10, 3)), np.zeros((0, 13, 0, 3)),
]  # fmt: skip


@pytest.mark.parametrize("x", BAD, ids=lambda x: str(getattr(x, "shape", x)))
@pytest.mark.parametrize("make", [mobilenet, shufflenet])
def test_bad_images_as_the_network(make, x):
    net = make(dtype=np.float64)
    with pytest.raises((TypeError, ValueError)) as expected:
        net(x)
    with pytest.raises(expected.type, match=f"^{re.escape(str(expected.value))}$"):
        npnets.compile(net)(x)


@pytest.mark.parametrize("options", [{"padding": "valid"}, {"shortcut_pool": 2}, {"padding": 0}])
@pytest.mark.parametrize("batch", [0, 2])
def test_bad_sides_as_the_network(options, batch):
    net, x = shufflenet(**options, dtype=np.float64), images(batch)
    with pytest.raises(ValueError, match="input") as expected:
        net(x)
    with pytest.raises(ValueError, match=f"^{re.escape(str(expected.value))}$"):
        npnets.compile(net)(x)


@pytest.mark.parametrize("net", [None, layers.Sequential(), MobileNetV1, "mobilenet"])
def test_what_is_no_network(net):
    with pytest.raises(TypeError, match=r"^`net` must be a network such as MobileNetV1 or ShuffleNetV1, and is a"):
        npnets.compile(net)


class Squared(layers.Layer):
    def forward(self, x):
        return x * x


class OwnActivation(layers.Activation):
    pass


class OwnForward(MobileNetV1):
    def forward(self, x):
        return super().forward(x) + 1


def network(**children):
    """A stem, these layers, and the end."""
    stem = layers.Convolution(np.ones((3, 3, 3, 8)), stride=2, padding=1)
    ends = {"mean": layers.GlobalAveragePool(), "classifier": layers.Linear(np.ones((8, 2)))}
    return Network(
        3, np.dtype(np.float64), stem=stem, **{**children, **{k: v for k, v in ends.items() if k not in children}}
    )


def depthwise():
    return layers.DepthwiseConvolution(np.ones((3, 3, 8)), padding=1)


def pointwise():
    return layers.PointwiseConvolution(np.ones((8, 8)))


UNKNOWN = [
    (network(own=Squared()), "`own`, a Squared, which compile does not know"),
    (network(own=OwnActivation("relu")), "`own`, a OwnActivation, which"),
    (network(block=layers.Sequential(inner=Squared())), "`block.inner`, a Squared, which"),
    (network(norm=layers.BatchNorm(8, eps=1, momentum=0, dtype=np.float64), act=layers.Activation("relu"),
             more=layers.Activation("relu")), "`more`, a Activation, which"),
    (network(norm=layers.BatchNorm(8, eps=1, momentum=0, dtype=np.float64),
             more=layers.BatchNorm(8, eps=1, momentum=0, dtype=np.float64)), "`more`, a BatchNorm, which"),
    (network(shuffle=layers.ChannelShuffle(2), pool=layers.MaxPool(3, stride=2)), "`pool`, a MaxPool, which"),
    (network(shuffle=layers.ChannelShuffle(2)), "`mean`, a GlobalAveragePool, which"),
    (network(depthwise=depthwise()), "a pointwise convolution behind `depthwise`"),
    (network(one=depthwise(), two=depthwise(), three=pointwise()), "a pointwise convolution behind `one`"),
    (network(one=depthwise(), two=layers.Convolution(np.ones((3, 3, 8, 8)), padding=1)),
     "a pointwise convolution behind `one`"),
    (network(mean=layers.MaxPool(2, stride=2)), "must begin with a convolution and end with"),
    (network(classifier=layers.Sequential()), "must begin with a convolution and end with"),
    (network(more=layers.GlobalAveragePool(), last=pointwise()), "must begin with a convolution and end with"),
    (Network(3, np.dtype(np.float64)), "must begin with a convolution and end with"),
    (Network(8, np.dtype(np.float64), pool=layers.MaxPool(3, stride=2), mean=layers.GlobalAveragePool(),
             classifier=layers.Linear(np.ones((8, 2)))), "must begin with a convolution"),
    (OwnForward(rows=()), "`net` is a OwnForward with its own `forward`, which compile does not know"),
]  # fmt: skip


@pytest.mark.parametrize(("net", "message"), UNKNOWN, ids=[message for _, message in UNKNOWN])
def test_layers_that_compile_does_not_know(net, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        npnets.compile(net)


def test_a_network_of_known_layers():
    """Not only the two: layers in the usual order, with kernels of other sizes."""
    rng = np.random.default_rng(0)
    net = Network(
        3, np.dtype(np.float64),
        stem=layers.Convolution(rng.standard_normal((5, 2, 3, 8)), stride=(2, 1), padding=(3, 1)),
        activation=layers.Activation("relu"),
        pool=layers.MaxPool((3, 2), stride=(1, 2), padding=(1, 0)),
        depthwise=layers.DepthwiseConvolution(rng.standard_normal((2, 5, 8)), padding=2),
        pointwise=layers.PointwiseConvolution(rng.standard_normal((4, 10)), groups=2),
        wide=layers.DepthwiseConvolution(rng.standard_normal((1, 3, 10)), stride=2),
        shuffle=layers.ChannelShuffle(5), back=layers.ChannelShuffle(2), again=layers.ChannelShuffle(5),
        grouped=layers.Convolution(rng.standard_normal((1, 1, 5, 6)), groups=2),
        second=layers.Convolution(rng.standard_normal((3, 3, 2, 9)), groups=3, padding=1),
        shrink=layers.AveragePool(2, stride=2),
        mean=layers.GlobalAveragePool(),
        classifier=layers.Linear(rng.standard_normal((9, 4))),
    )  # fmt: skip
    x = images(2, (17, 19))
    assert_near(npnets.compile(net)(x), logits_of(net, x), np.float64)


# -- profile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mobilenet, shufflenet])
def test_profile(make):
    net, x = make(dtype=np.float64), images(1, (33, 31))
    fast = npnets.compile(net)
    right, steps = fast(x), fast.profile(x, repeats=2)
    np.testing.assert_array_equal(fast(x), right)
    cost = npnets.cost(net, x.shape[1:])
    assert sum(step.mult_adds for step in steps) == cost.mult_adds
    names = [name for step in steps for name in step.name.split(" + ")]
    assert len(names) == len(set(names))
    assert {step.name for step in cost.layers if step.mult_adds} <= set(names)
    assert set(names) <= {step.name for step in cost.layers}
    assert all(step.seconds > 0 for step in steps)
    ends = x.nbytes, 8 * 5  # the image is read, the logits are written
    weights = 8 * sum(value.size for name, value in net.parameters().items() if value.ndim > 1)
    assert sum(step.bytes for step in steps) > sum(ends) + weights


@pytest.mark.parametrize(
    ("x", "repeats", "message"),
    [(images(2), 1, "`x` must be one image, "), (images(0), 1, "`x` must be one image, "), (images(1), 0, "`repeats`")],
)
def test_bad_arguments_of_profile(x, repeats, message):
    with pytest.raises(ValueError, match=message):
        npnets.compile(mobilenet(dtype=np.float64)).profile(x, repeats=repeats)


# -- the words of depthwise convolution --------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 5, 8, 16, 21])
@pytest.mark.parametrize("count", [1, 4, 5, 6, 7, 9, 23, 45])
def test_depthwise_words_are_the_formula(dtype, stride, channels, count):
    """Both ways to do it, exact on integers, from any pixel of any row on, `count` of them at most."""
    rng, lanes, (H, W) = np.random.default_rng(0), vector(np.dtype(dtype)), (5, 9)
    vectors = -(-channels // lanes)
    pitch = vectors * lanes
    x, w, start = (rng.integers(-9, 10, shape) for shape in ((2 * H + 2, 2 * W + 2, pitch), (9, pitch), (1, pitch)))
    expected = start + sum(
        w[3 * i + j] * x[i : i + stride * H : stride, j : j + stride * W : stride] for i in range(3) for j in range(3)
    )
    expected = np.clip(expected.reshape(H * W, pitch), -200, 300)
    row, out_at = x.shape[1] * pitch, x.size
    work = np.concatenate([x.ravel(), np.zeros((count + 6) * pitch)]).astype(dtype)
    b = np.concatenate([start, w]).reshape(10, vectors, lanes).transpose(1, 0, 2).ravel().astype(dtype)
    rows = np.add.outer(np.arange(H) * stride * row, np.arange(W) * stride * pitch).ravel()
    taps, out_rows = np.add.outer(np.arange(3) * row, np.arange(3) * pitch).ravel(), np.arange(count) * pitch
    for p0 in range(0, H * W, 4):
        last = min(count, H * W - p0)
        low, high = dtype(-200), dtype(300)
        for way in range(2):
            work[out_at:] = 0
            if way == 0:
                inference._weigh(work, 0, rows[p0:], last, taps, 0, 9, b, 0, out_at, out_rows, vectors, low, high)
            else:
                inference._weigh_rows(work, 0, rows[p0:], p0, last, W, stride, row, pitch, 3, b, 0, out_at, pitch,
                                      vectors, low, high)  # fmt: skip
            np.testing.assert_array_equal(work[out_at:].reshape(-1, pitch)[:last], expected[p0 : p0 + last])


def test_the_largest_keeps_what_is_no_number():
    values = np.array([1.0, -np.inf, np.nan, 3.0, np.inf])
    work = np.zeros(3 * 16)
    for x in values:
        for y in values:
            work[:16], work[16:32] = x, y
            inference._pool(True, work, 0, np.array([0]), 1, np.array([0, 16]), 0, 2, work, 0, 32, np.array([0]), 3,
                            -np.inf, np.inf)  # fmt: skip
            np.testing.assert_array_equal(work[32:35], np.full(3, np.maximum(x, y)))
            np.testing.assert_array_equal(work[35:], 0)
