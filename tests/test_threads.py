"""Threads: the same bits on 1, 2 and 4, calls from several Python threads at once, forks, errors inside a part."""

import inspect
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import npnets
from npnets import _parallel, ops

quick = pytest.mark.quick


@pytest.fixture(autouse=True)
def _threads():
    """End with the threads that the test began with."""
    before = npnets.get_threads()
    yield
    npnets.set_threads(before)


def arrays(dtype: type = np.float32) -> dict[str, np.ndarray]:
    """Odd shapes: no side is a multiple of the threads, the blocks or the chunks."""
    rng = np.random.default_rng(0)

    def real(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    return {
        "x": real(5, 19, 17, 66), "dense": real(3, 3, 66, 10), "grouped": real(3, 3, 22, 15),
        "depthwise": real(3, 3, 66), "pointwise": real(66, 21), "pointwise_grouped": real(11, 42),
        "channel": real(66), "positive": real(66) ** 2 + 1,
        "rows": real(37, 101), "matrix": real(101, 53), "bias": real(53), "logits": real(1999, 7),
        "labels": rng.integers(0, 7, 1999),
    }  # fmt: skip


# The forward call of each operation: which of `arrays` it takes, and its options.
CALLS = {
    "conv2d": (("x", "dense"), {"stride": (2, 1), "padding": 1}),
    "group_conv2d": (("x", "grouped"), {"groups": 3, "padding": "same"}),
    "depthwise_conv2d": (("x", "depthwise"), {"stride": 2, "padding": 1, "dilation": (1, 2)}),
    "pointwise_conv2d": (("x", "pointwise_grouped"), {"groups": 6}),
    "depthwise_separable_conv2d": (("x", "depthwise", "pointwise"), {"padding": 1}),
    "channel_shuffle": (("x",), {"groups": 3}),
    "bias_add": (("x", "channel"), {}),
    "batch_norm_train": (("x", "channel", "channel"), {}),
    "batch_norm_eval": (("x", "channel", "channel", "channel", "positive"), {}),
    "relu": (("x",), {}),
    "relu6": (("x",), {}),
    "leaky_relu": (("x",), {}),
    "max_pool2d": (("x",), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "avg_pool2d": (("x",), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    "global_avg_pool": (("x",), {}),
    "linear": (("rows", "matrix", "bias"), {}),
    "softmax_cross_entropy": (("logits", "labels"), {"label_smoothing": 0.1}),
}


def results(op: str, a: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return everything that `op` and its gradient return."""
    names, options = CALLS[op]
    given = [a[name] for name in names]
    out = getattr(ops, op)(*given, **options)
    held = list(out) if isinstance(out, tuple) else [out]
    backward = getattr(ops, f"{op}_backward", None)
    if backward is not None:
        dout = np.random.default_rng(1).standard_normal(held[0].shape).astype(held[0].dtype)
        parameters = inspect.signature(backward).parameters
        at_hand = dict(zip(inspect.signature(getattr(ops, op)).parameters, given, strict=False)) | options
        at_hand |= {"dout": dout, "x_shape": given[0].shape}
        at_hand |= dict(zip(("mean", "inv_std"), held[1:], strict=False))
        gradients = backward(**{name: at_hand[name] for name in parameters if name in at_hand})
        held += gradients if isinstance(gradients, tuple) else [gradients]
    return [np.asarray(one) for one in held]


def bits(held: list[np.ndarray]) -> list[bytes]:
    return [one.tobytes() for one in held]


@quick
def test_every_operation_is_called():
    assert set(ops.__all__) == set(CALLS) | {f"{op}_backward" for op in CALLS if op != "softmax_cross_entropy"}


@quick
@pytest.mark.parametrize("implementation", ["loops", "numba"])
@pytest.mark.parametrize("op", CALLS)
def test_the_bits_do_not_depend_on_the_threads(op, implementation, monkeypatch):
    parts = []
    run = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *given: parts.append(given) or run(*given))
    a, seen = arrays(), []
    with npnets.use(implementation):
        for threads in 1, 2, 4:
            npnets.set_threads(threads)
            seen.append(bits(results(op, a)))
            splits = threads > 1 and implementation == "numba" and op != "softmax_cross_entropy"  # which is NumPy's
            assert bool(parts) == splits, "too small to be split"
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("op", CALLS)
def test_the_threads_compute_the_same_as_numpy(op):
    """Splitting the work may give the same bits each time, and the same wrong ones."""
    a = arrays(np.float64)
    npnets.set_threads(3)
    fast = results(op, a)
    with npnets.use("numpy"):
        for one, other in zip(fast, results(op, a), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * abs(other).max())


@quick
def test_every_pool_may_be_split_anywhere(monkeypatch):
    """Below the serial threshold, too: with more threads than items, and with none."""
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    a = {name: value[:2] if name in ("x", "rows", "logits", "labels") else value for name, value in arrays().items()}
    for op in CALLS:
        npnets.set_threads(1)
        once = bits(results(op, a))
        npnets.set_threads(7)
        assert bits(results(op, a)) == once, op


# -- several Python threads --------------------------------------------------------------------------------------------


@quick
def test_calls_from_several_threads_at_once():
    a = arrays()
    npnets.set_threads(2)
    right = {op: bits(results(op, a)) for op in CALLS}
    start, wrong = threading.Barrier(3), []

    def calls(first: int) -> None:
        start.wait()
        order = list(CALLS)[first:] + list(CALLS)[:first]
        wrong.extend(op for _ in range(2) for op in order if bits(results(op, a)) != right[op])

    with ThreadPoolExecutor(3) as callers:
        for done in [callers.submit(calls, first) for first in (0, 5, 10)]:
            done.result(60)
    assert not wrong


@quick
def test_the_number_of_threads_may_change_while_others_compute():
    a = arrays()
    right = bits(results("pointwise_conv2d", a))
    stop = time.monotonic() + 1

    def calls() -> int:
        count = 0
        while time.monotonic() < stop:
            assert bits(results("pointwise_conv2d", a)) == right
            count += 1
        return count

    with ThreadPoolExecutor(2) as callers:
        running = [callers.submit(calls) for _ in range(2)]
        while time.monotonic() < stop:
            for threads in 1, 2, 4:
                npnets.set_threads(threads)
                time.sleep(0.001)
        assert all(one.result(60) for one in running)


@quick
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_computes():
    a = arrays()
    npnets.set_threads(2)
    ops_here = "conv2d", "batch_norm_train", "relu"
    right = {op: bits(results(op, a)) for op in ops_here}  # the pool has its threads now
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(any(bits(results(op, a)) != right[op] for op in ops_here))
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
    assert bits(results("relu", a)) == right["relu"]  # and the parent still does


# -- run ---------------------------------------------------------------------------------------------------------------


@quick
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("items", [0, 1, 2, 3, 7, 100])
def test_the_parts_cover_the_range_once(threads, items):
    npnets.set_threads(threads)
    seen, lock = [], threading.Lock()

    def kernel(start: int, stop: int) -> None:
        with lock:
            seen.append((start, stop))

    _parallel.run(kernel, items, _parallel.SERIAL_BELOW)
    assert sorted(place for start, stop in seen for place in range(start, stop)) == list(range(items))
    assert len(seen) == max(1, min(threads, items))
    seen.clear()
    _parallel.run(kernel, items, _parallel.SERIAL_BELOW - 1)
    assert seen == [(0, items)]


@quick
@pytest.mark.parametrize("part", [0, 1, 3])
def test_an_error_in_a_part_is_raised_when_all_parts_have_ended(part):
    npnets.set_threads(4)
    ended = []

    def kernel(start: int, stop: int) -> None:
        if start == part:
            raise FloatingPointError(f"part {part}")
        time.sleep(0.05)
        ended.append(start)  # nobody writes into the caller's arrays after the call

    with pytest.raises(FloatingPointError, match=f"^part {part}$"):
        _parallel.run(kernel, 4, _parallel.SERIAL_BELOW)
    assert sorted(ended) == sorted({0, 1, 2, 3} - {part})
    _parallel.run(lambda start, stop: None, 4, _parallel.SERIAL_BELOW)  # the pool works on


@quick
def test_errors_in_all_parts_raise_the_first():
    npnets.set_threads(4)

    def kernel(start: int, stop: int) -> None:
        raise FloatingPointError(start)

    with pytest.raises(FloatingPointError, match=r"^[0-3]$"):
        _parallel.run(kernel, 4, _parallel.SERIAL_BELOW)


@quick
def test_chunks_depend_on_the_items_alone():
    for threads in 1, 2, 4:
        npnets.set_threads(threads)
        assert [_parallel.chunks(items) for items in (0, 1, 31, 32, 33, 10**6)] == [1, 1, 31, 32, 32, 32]


@quick
def test_no_new_pool_for_the_number_that_is_set():
    npnets.set_threads(2)
    results("relu", arrays())
    running = threading.active_count()
    for _ in range(20):
        npnets.set_threads(2)
        results("relu", arrays())
    assert threading.active_count() <= running + 1
