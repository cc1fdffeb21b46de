"""The fused training step against the layers' own, whatever the shapes, forms and threads; nothing of PyTorch.

What it computes is compared with PyTorch in `test_networks`.
"""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from network_cases import CASES, Case, assert_gradients, assert_near, assert_same, fused_results, results

import npnets
from npnets._jit import OPTIONS
from npnets.kernels import training as k
from npnets.layers import Activation, BatchNorm, Linear
from npnets.train import fused
from npnets.train.fused import program_for

KNOWN = [name for name, case in CASES.items() if case.fused]


@pytest.fixture(autouse=True)
def _as_it_was():
    """End with the threads and the implementation that the test began with."""
    before = npnets.get_threads()
    with npnets.use("numba"):
        yield
    npnets.set_threads(before)


def layered(net, x, dlogits):
    """Return logits, gradients and state of the layers under NumPy."""
    with npnets.use("numpy"):
        logits, gradients, state = results(net, x, dlogits, True)
    del gradients["x"]
    return logits, gradients, state


def upstream(case, batch=None):
    shape = batch or case.batch, case.options.get("num_classes", 1000)
    return np.random.default_rng(3).standard_normal(shape)


def assert_as_layers(case, batch=None):
    x, dlogits = case.images(batch), upstream(case, batch)
    assert_same(fused_results(case.numpy(), x, dlogits), layered(case.numpy(), x, dlogits))


# -- every shape -------------------------------------------------------------------------------------------------------

ROWS = ((16, 2), (24, 1))
UNITS = {"num_classes": 5, "stage_units": (2, 2), "stage_strides": (2, 2)}


def grouped(groups, sides=(31, 18), **others):
    channels = {"stem_channels": 3 * groups, "stage_channels": (12 * groups, 20 * groups)}
    return Case("ShuffleNetV1", UNITS | channels | {"groups": groups} | others, sides, 3)


SHAPES = {
    "one image": Case("MobileNetV1", {"rows": ROWS, "width": 0.5}, (16, 19), 1),
    "one image, units": Case("ShuffleNetV1", {"scale": 0.5, "num_classes": 4}, (65, 64), 1),
    "eight channels": Case("MobileNetV1", {"width": 0.01, "num_classes": 3}, (65, 33), 2, 1.5),
    "two pixels": Case("MobileNetV1", {"rows": ROWS, "num_classes": 3}, (3, 7), 1, 1.5),
    "one row": Case("MobileNetV1", {"rows": ROWS, "num_classes": 3}, (1, 23), 2),
    "one column": Case("MobileNetV1", {"rows": ROWS, "num_classes": 3}, (23, 1), 2),
    "one class": Case("MobileNetV1", {"rows": ROWS, "num_classes": 1}, (9, 9), 2),
    "no rows": Case("MobileNetV1", {"rows": ((8, 1),), "num_classes": 3, "stem_stride": 3}, (20, 20), 2),
    "more than a vector of rows": Case("MobileNetV1", {"rows": ((100, 1), (70, 2), (33, 1))}, (21, 20), 3),
    "large strides": Case("MobileNetV1", {"rows": ((16, 3), (24, 5)), "stem_stride": 1}, (41, 37), 3),
    "padding 0": Case("MobileNetV1", {"rows": ROWS, "padding": 0}, (23, 21), 3),
    "padding 2": Case("MobileNetV1", {"rows": ROWS, "padding": 2}, (12, 13), 3),
    "padding valid": Case("MobileNetV1", {"rows": ROWS, "padding": "valid", "activation": "relu6"}, (22, 25), 3),
    "padding of each side": Case("MobileNetV1", {"rows": ROWS, "padding": ((0, 2), (1, 5))}, (12, 13), 3),
    "many images": Case("MobileNetV1", {"rows": ROWS, "num_classes": 3}, (12, 9), 37),
    **{f"{channels} image channels": Case("MobileNetV1", {"rows": ROWS, "in_channels": channels}, (15, 14), 2)
       for channels in (1, 2, 4, 5, 6, 7, 19)},
    **{f"{groups} groups": grouped(groups) for groups in (1, 2, 3, 4, 8)},
    "groups of 7 channels": grouped(3, stage_channels=(84, 132)),
    "no pool, first stage with stride 1": grouped(2, stem_pool=False, stage_strides=(1, 2)),
    "no pool, branch first": grouped(2, stem_pool=False, concat="branch first", stem_stride=1),
    "no pool, relu6": grouped(4, (32, 24), stem_pool=False, shortcut_pool=2, activation="relu6"),
    "pool, first stage with stride 1": grouped(3, stage_strides=(1, 1)),
    "units of one stage": grouped(4, stage_channels=(48,), stage_units=(1,), stage_strides=(2,)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    assert_as_layers(SHAPES[name])


@pytest.mark.parametrize("name", KNOWN)
def test_all_known_networks(name):
    assert_as_layers(CASES[name])


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet, tensorflow, even", "shufflenet", "shufflenet, half"])
def test_float32(name):
    """Eight images, as batch norm over few values magnifies roundings without limit."""
    case = CASES[name]
    x, dlogits = case.images(8), upstream(case, 8)
    expected = layered(case.numpy(), x, dlogits)
    actual = fused_results(case.numpy(np.float32), x.astype(np.float32), dlogits.astype(np.float32))
    assert actual[0].dtype == np.float32
    assert {value.dtype for part in actual[1:] for value in part.values()} == {np.dtype(np.float32)}
    assert_near(actual[0], expected[0], 1e-4)


# The kinds of phases; each must be met below.
KINDS = {getattr(k, name) for name in (
    "PACK", "STEM", "PRODUCT", "DEPTHWISE", "FINISH", "MAX_POOL", "JOIN", "MEAN_POOL", "MEAN_POOL_BACK", "JOIN_BACK",
    "SHORTCUT_BACK", "PRODUCT_BACK", "DEPTHWISE_BACK", "STEM_BACK", "FINISH_BACK", "REDUCE", "MAX_POOL_BACK", "KEEP",
    "KEEP_BACK", "MOVE",
)}  # fmt: skip

TINY = {
    "groups": 2, "stem_channels": 4, "stage_channels": (8, 16), "stage_units": (2, 1), "stage_strides": (2, 2),
    "num_classes": 2,
}  # fmt: skip
OTHER = {
    "stage_strides": (1, 2), "stem_pool": False, "count_include_pad": False, "concat": "branch first",
    "activation": "relu6", "shuffle": None,
}  # fmt: skip
TINIEST = [
    Case("MobileNetV1", {"rows": ((9, 2), (8, 1)), "num_classes": 2}, (6, 5), 2, 1.5),
    Case("MobileNetV1", {"rows": ((9, 1),), "num_classes": 2, "in_channels": 6, "padding": 2}, (3, 4), 1),
    Case("ShuffleNetV1", TINY, (13, 11), 2, 1.5),
    Case("ShuffleNetV1", TINY | OTHER, (7, 6), 2, 1.5),
]


@pytest.mark.quick
@pytest.mark.parametrize("streams", [False, True], ids=["cached", "past the caches"])
def test_every_kind_of_phase(monkeypatch, streams):
    """On networks so small that plain Python walks through them in seconds."""
    if streams:
        monkeypatch.setattr(fused, "CACHED_BYTES", 0)
    met = set()
    for case in TINIEST:
        assert_as_layers(case)
        program = program_for(case.numpy(), case.images().shape)
        met |= set(program.phases[:, k.KIND])
        assert set(program.maps[1:, k.STREAMS]) == {int(streams)}
    assert met == KINDS


@pytest.mark.parametrize("name", ["mobilenet, odd channels", "shufflenet, half", "shufflenet, cifar"])
def test_blocks_and_tasks_of_other_sizes(monkeypatch, name):
    case = CASES[name]
    expected = layered(case.numpy(), case.images(), upstream(case))
    for sizes in (
        {"CACHED_BYTES": 0},
        {"FORWARD_VALUES": 2**9, "BACKWARD_VALUES": 2**9, "MOST_PIXELS": 31},
        {"FORWARD_TASKS": 1, "MOST_PIXELS": 10**4, "FORWARD_VALUES": 2**22, "BACKWARD_VALUES": 2**22},
        {"LEAST_TASKS": 1},
        {"LEAST_TASKS": 64},
    ):
        with monkeypatch.context() as patch:
            for constant, value in sizes.items():
                patch.setattr(fused, constant, value)
            assert_same(fused_results(case.numpy(), case.images(), upstream(case)), expected)


# -- every form of vectors ---------------------------------------------------------------------------------------------

FORM = """
import sys
from test_fused import SHAPES, TINIEST, assert_as_layers
from npnets._jit import FORM
assert FORM == sys.argv[1], FORM
for case in [*TINIEST, *(SHAPES[name] for name in sys.argv[2:])]:
    assert_as_layers(case)
"""
NEEDS = {"avx512": "avx512f", "avx2": "avx2", "neon": None, "plain": None}  # LLVM makes 4-wide vectors for any CPU


@pytest.mark.skipif(OPTIONS.DISABLE_JIT, reason="the compiler is off")
@pytest.mark.parametrize("form", NEEDS)
def test_in_each_form(form):
    if NEEDS[form] and not binding.get_host_cpu_features().get(NEEDS[form]):
        pytest.skip(f"this CPU has no {NEEDS[form]}")
    shapes = "5 image channels", "more than a vector of rows", "groups of 7 channels", "padding of each side"
    run(FORM, form, *shapes, NPNETS_SIMD=form)


@pytest.mark.skipif(OPTIONS.DISABLE_JIT, reason="this is the compiler's absence already")
def test_without_the_compiler():
    run(FORM, "plain", NUMBA_DISABLE_JIT="1")


def run(code, *arguments, **variables):
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(npnets.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- what the program does not know ------------------------------------------------------------------------------------

UNKNOWN = {
    "leaky ReLU": Case("MobileNetV1", {"rows": ROWS, "activation": "leaky_relu"}, (15, 14), 3),
    "shuffle after": grouped(2, shuffle="after"),
    "padding 3": Case("MobileNetV1", {"rows": ROWS, "padding": 3}, (15, 14), 3),
    "padding 3 before": Case("MobileNetV1", {"rows": ROWS, "padding": ((3, 0), (1, 1))}, (15, 14), 3),
}


def step(net, case, batch=None, **options):
    labels = np.arange(batch if batch is not None else case.batch) % case.options.get("num_classes", 1000)
    images = case.images(batch or None)[: len(labels)].astype(net.dtype)
    loss = npnets.train_step(net, npnets.SGD(net, lr=1e-3, momentum=0.9), images, labels, **options)
    return loss, {name: value.copy() for name, value in net.gradients().items()}, net.state_dict()


@pytest.mark.parametrize("name", UNKNOWN)
def test_layers_take_the_step(name):
    case = UNKNOWN[name]
    net = case.numpy().train()
    assert program_for(net, case.images().shape) is None
    loss, gradients, state = step(net, case)
    with npnets.use("numpy"):
        other = step(case.numpy().train(), case)
    assert abs(loss - other[0]) <= 1e-10 * other[0]
    assert_gradients(gradients, other[1])
    for value, expected in zip(state.values(), other[2].values(), strict=True):
        assert_near(value, expected)


class Own(npnets.MobileNetV1):
    """What a subclass does, the program cannot know."""


def test_neither_eval_mode_nor_a_class_of_ones_own():
    case = SHAPES["padding 0"]
    shape = case.images().shape
    net = case.numpy().train()
    assert program_for(net, shape) is not None
    assert program_for(net.eval(), shape) is None
    assert program_for(net.train(), shape) is not None
    norm = next(layer for _, layer in net.layers() if isinstance(layer, BatchNorm))
    norm.training = False  # fine-tuning with one norm's statistics frozen
    assert program_for(net, shape) is None
    assert program_for(Own(**case.options, dtype=np.float64), shape) is None


ERRORS = {
    "no image": (np.zeros((0, 9, 9, 3)), np.zeros(0, int)),
    "one value per channel": (np.zeros((1, 2, 2, 3)), np.zeros(1, int)),
    "other channels": (np.zeros((2, 9, 9, 4)), np.zeros(2, int)),
    "PyTorch's order": (np.zeros((2, 3, 9, 9)), np.zeros(2, int)),
    "float32": (np.zeros((2, 9, 9, 3), np.float32), np.zeros(2, int)),
    "three axes": (np.zeros((9, 9, 3)), np.zeros(2, int)),
    "no pixels": (np.zeros((2, 0, 9, 3)), np.zeros(2, int)),
    "no array": ([[1.0]], np.zeros(2, int)),
    "too few labels": (np.zeros((2, 9, 9, 3)), np.zeros(1, int)),
    "a label too large": (np.zeros((2, 9, 9, 3)), np.array([0, 9])),
    "labels of floats": (np.zeros((2, 9, 9, 3)), np.zeros(2)),
}


@pytest.mark.parametrize("network", ["MobileNetV1", "ShuffleNetV1"])
@pytest.mark.parametrize("name", ERRORS)
def test_the_same_error(name, network):
    options = {"rows": ROWS} if network == "MobileNetV1" else TINY | {"stem_pool": False}
    seen = []
    for implementation in "numpy", "numba":
        net = Case(network, {**options, "num_classes": 3}).numpy().train()
        with npnets.use(implementation), pytest.raises((ValueError, TypeError)) as raised:
            npnets.train_step(net, npnets.SGD(net, lr=0.1), *ERRORS[name])
        seen.append((raised.type, str(raised.value)))
    assert seen[0] == seen[1]


def test_a_nan_is_seen():
    for case in SHAPES["padding 0"], grouped(2), grouped(2, stem_pool=False):
        for value in np.nan, np.inf:
            net, x = case.numpy().train(), case.images()
            x[0, 3, 3, 0] = value
            assert program_for(net, x.shape) is not None
            labels = np.zeros(len(x), int)
            with npnets.use("numba"):
                assert np.isnan(npnets.train_step(net, npnets.SGD(net, lr=0.1), x, labels))


# -- training goes on as it would --------------------------------------------------------------------------------------


class Training:
    """Steps of a network on its own images, each step another batch."""

    def __init__(self, case, dtype=np.float64, seed=0):
        self.net = case.numpy(dtype).train()
        self.optimizer = npnets.SGD(self.net, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=1e-3)
        self.rng, self.case, self.losses = np.random.default_rng(seed), case, []

    def step(self, batch=None, sides=None):
        shape = (batch or self.case.batch, *(sides or self.case.sides), self.case.options.get("in_channels", 3))
        x = self.rng.standard_normal(shape).astype(self.net.dtype)
        labels = self.rng.integers(0, self.case.options.get("num_classes", 1000), len(x))
        self.losses.append(npnets.train_step(self.net, self.optimizer, x, labels))
        return self

    def steps(self, count):
        for _ in range(count):
            self.step()
        return self

    def bits(self):
        arrays = [
            *self.net.gradients().values(),
            *self.net.state_dict().values(),
            *self.optimizer.state_dict().values(),
        ]
        return [np.array(self.losses).tobytes(), *(one.tobytes() for one in arrays)]


BOTH = [Case("MobileNetV1", {"rows": ((40, 2), (70, 1)), "num_classes": 5, "in_channels": 2}, (33, 28), 6),
        grouped(3, num_classes=5)._replace(sides=(65, 40), batch=6)]  # fmt: skip
both = pytest.mark.parametrize("case", BOTH, ids=["mobilenet", "shufflenet"])


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_do_not_depend_on_the_threads(case, dtype, monkeypatch):
    parts, submit, seen = [], ThreadPoolExecutor.submit, []
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *given: parts.append(given) or submit(*given))
    for threads in 1, 2, 4:
        npnets.set_threads(threads)
        seen.append(Training(case, dtype).steps(3).bits())
        assert bool(parts) == (threads > 1), "too small to be shared"
    assert seen[0] == seen[1] == seen[2]


def test_two_networks_in_two_threads():
    npnets.set_threads(2)
    alone = [Training(case).steps(6).bits() for case in BOTH]
    trainings = [Training(case) for case in BOTH]
    with ThreadPoolExecutor(2) as callers:
        running = [callers.submit(training.steps, 6) for training in trainings]
        assert [one.result(120).bits() for one in running] == alone


def test_the_number_of_threads_may_change_meanwhile():
    right, stop = Training(BOTH[0]).steps(5).bits(), time.monotonic() + 1.5

    def trains():
        while time.monotonic() < stop:
            assert Training(BOTH[0]).steps(5).bits() == right

    with ThreadPoolExecutor(1) as caller:
        running = caller.submit(trains)
        while time.monotonic() < stop:
            for threads in 1, 4, 2:
                npnets.set_threads(threads)
                time.sleep(0.001)
        running.result(60)


@pytest.mark.parametrize("more", [0, 1, 3])
def test_more_threads_than_room(monkeypatch, more):
    """The number has grown between making room and starting: who finds none waits, and returns when all is done."""
    npnets.set_threads(2)
    right = Training(BOTH[0]).steps(2).bits()
    monkeypatch.setattr(fused, "get_threads", lambda: 1)
    npnets.set_threads(1 + more)
    assert Training(BOTH[0]).steps(2).bits() == right


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_trains():
    npnets.set_threads(2)
    right, training = Training(BOTH[1]).steps(4).bits(), Training(BOTH[1]).steps(2)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(training.steps(2).bits() != right)
        finally:
            os._exit(status)  # no clean-up of pytest's in the child
    until = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert training.steps(2).bits() == right


def test_shapes_in_turn():
    """More of them than programs are kept, and the same bits as with a program for each step."""
    shapes = [(6, None), (5, None), (6, (20, 31)), (6, None), (2, (9, 9)), (5, None)]
    kept, fresh = Training(BOTH[0]), Training(BOTH[0])
    for shape in shapes:
        kept.step(*shape)
        fused._programs.pop(fresh.net, None)
        fresh.step(*shape)
    assert kept.bits() == fresh.bits()
    assert len(fused._programs[kept.net]) == fused.KEPT_PROGRAMS


@both
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_a_copy_trains_on_its_own(case, copied):
    """The optimizer is copied with its network, and both go on with the same bits; the network alone stands still."""
    right, training = Training(case).steps(4).bits(), Training(case).steps(2)
    twin, still = copied(training), copied(training.net)
    before = {name: value.copy() for name, value in still.state_dict().items()}
    assert training.steps(2).bits() == right
    assert twin.steps(2).bits() == right
    for name, value in still.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@both
def test_state_loaded_between_steps(case):
    training, other = Training(case).steps(2), Training(case, seed=1).steps(1)
    other.net.load_state_dict(training.net.state_dict())
    other.optimizer.load_state_dict(training.optimizer.state_dict())
    other.rng, other.losses = copy.deepcopy(training.rng), list(training.losses)
    assert other.steps(2).bits() == training.steps(2).bits()


@both
def test_an_array_put_into_a_layer_is_trained(case):
    right, training = Training(case).steps(4).bits(), Training(case).steps(2)
    for _, layer in training.net.layers():
        layer.params = {name: value.copy() for name, value in layer.params.items()}
        for name in layer.buffers:
            layer.buffers[name] = layer.buffers[name].copy()
    assert training.steps(2).bits() == right


@both
@pytest.mark.parametrize("implementation", ["loops", "numpy"])
def test_implementations_in_turn(case, implementation):
    mixed, expected = Training(case), Training(case)
    for turn in range(4):
        with npnets.use("numba" if turn % 2 else implementation):
            mixed.step()
        with npnets.use("numpy"):
            expected.step()
    for one, other in zip(mixed.losses, expected.losses, strict=True):
        assert abs(one - other) <= 1e-10 * other
    for one, other in zip(mixed.net.state_dict().values(), expected.net.state_dict().values(), strict=True):
        assert_near(one, other)


def test_an_optimizer_made_after_the_first_step():
    training = Training(BOTH[0])
    training.optimizer.lr = 0.0
    training.step()
    training.optimizer = npnets.SGD(training.net, lr=1e-2, momentum=0.9)
    before = training.net.state_dict()
    training.steps(2)
    assert all((before[name] != value).any() for name, value in training.net.parameters().items())


def test_parameters_got_at_first_are_those_that_are_trained():
    net = BOTH[0].numpy().train()
    got = net.parameters()
    step(net, BOTH[0])
    for name, value in net.parameters().items():
        assert np.shares_memory(got[name], value), name
        np.testing.assert_array_equal(got[name], value)


def test_settings_of_layers_are_read_at_each_step():
    """A schedule may move batch norm's momentum; an activation may be another one."""
    training, expected = Training(BOTH[0]), Training(BOTH[0])
    for momentum, kind in (0.1, "relu"), (0.5, "relu6"), (0.0, "leaky_relu"), (0.2, "relu"):
        for one in training, expected:
            for _, layer in one.net.layers():
                if isinstance(layer, BatchNorm):
                    layer.momentum, layer.eps = momentum, 1e-5 + momentum / 10
                if isinstance(layer, Activation):
                    layer.kind = kind
        training.step()
        with npnets.use("numpy"):
            expected.step()
        for one, other in zip(training.net.state_dict().values(), expected.net.state_dict().values(), strict=True):
            assert_near(one, other)


def test_another_classifier():
    """For fine-tuning: the program and a new optimizer see it, and the old optimizer says that it does not fit."""
    training = Training(BOTH[0]).step()
    new = np.random.default_rng(5).standard_normal((70, 2)) / 8
    training.net.children["classifier"] = Linear(new.copy())
    labels = np.arange(6) % 2
    with pytest.raises(ValueError, match="the network has other parameters than when its optimizer was made"):
        npnets.train_step(training.net, training.optimizer, BOTH[0].images(), labels)
    optimizer = npnets.SGD(training.net, lr=0.1)
    assert np.isfinite(npnets.train_step(training.net, optimizer, BOTH[0].images(), labels))
    assert (training.net.children["classifier"].params["weight"] != new).all()


def test_a_momentum_set_later():
    training = Training(BOTH[0])
    training.optimizer = npnets.SGD(training.net, lr=0.01)
    training.step()
    training.optimizer.momentum = 0.9
    training.steps(2)
    assert np.isfinite(training.losses).all()
    assert list(training.optimizer.state_dict()) == list(training.net.parameters())


def test_a_network_that_nobody_needs_is_gone():
    training = Training(BOTH[0]).step()
    gone = weakref.ref(training.net)
    del training
    gc.collect()
    assert gone() is None


# -- Flat --------------------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize("case", TINIEST)
def test_flat(case):
    net = case.numpy()
    flat = net.flat()
    assert flat is net.flat()
    for kind, array in ("params", flat.params), ("buffers", flat.buffers):
        at = 0
        for _, layer in net.layers():
            for name, value in getattr(layer, kind).items():
                assert np.shares_memory(value, array)
                assert flat.at(layer, name) == at
                np.testing.assert_array_equal(array[at : at + value.size], value.ravel())
                at += value.size
        assert at == len(array)
    assert flat.shapes == {name: value.shape for name, value in net.parameters().items()}
    assert len(flat.grads) == len(flat.params)

    layer = net.children["classifier"]
    layer.params["bias"] = np.array([5.0, 7.0], np.float32)
    flat.refresh()
    assert layer.params["bias"].dtype == np.float64
    np.testing.assert_array_equal(flat.params[-2:], [5, 7])
    with pytest.raises(RuntimeError, match="no gradients before the first"):
        flat.take_gradients()
    flat.give_gradients()
    layer.grads["bias"] = np.array([3.0, 4.0])
    flat.take_gradients()
    np.testing.assert_array_equal(flat.grads[-2:], [3, 4])
    assert np.shares_memory(layer.grads["bias"], flat.grads)

    assert flat.fits(net)
    layer.params["bias"] = np.zeros(3)
    assert not flat.fits(net)
    layer.params["bias"] = np.zeros(2)
    assert flat.fits(net)
    stem = net.children["stem"]
    stem.children["activation"] = Activation("relu", 0.0)
    assert not flat.fits(net)
    other = net.flat()
    assert other is not flat
    assert not np.shares_memory(other.params, flat.params)
