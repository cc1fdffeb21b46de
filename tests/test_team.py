"""`kernels.team` and `_parallel.team`: every task is done once, by whomever, and sees what was done before.

Whole networks on any number of threads, from several callers and after a fork stand in `test_fused` and `test_plan`.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import npnets
from npnets import _parallel
from npnets._jit import OPTIONS, jit
from npnets.kernels.team import LINE, complete, counters, take, take_near, wait

pytestmark = pytest.mark.quick

THREADS = 1, 2, 3, 5
MODULUS = 1_000_003


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """Share all work, however small; end with the threads that the test began with."""
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 0)
    before = npnets.get_threads()
    yield
    npnets.set_threads(before)


@jit
def chain(counts, tasks, values, done):
    """Let each task of a phase sum what all tasks of the phase before have left, and count itself."""
    mine = take(counts, len(tasks))
    for phase in range(len(tasks)):
        task = take_near(counts, phase, tasks[phase], mine)
        while task < tasks[phase]:
            total = task + 1
            if phase > 0:
                for other in range(tasks[phase - 1]):
                    total += (other + 1) * values[phase - 1, other]
            values[phase, task] = total % MODULUS
            done[phase, task] += 1
            complete(counts, phase)
            task = take_near(counts, phase, tasks[phase], mine)
        wait(counts, phase, tasks[phase])


LISTS = {
    "one": [1],
    "many": [40],
    "fewer and more": [1, 7, 2, 60, 1, 1, 33, 3, 64],
    "none": [5, 0, 4],
    "long": [3] * 100,
}


def expected(tasks):
    """The same, one after the other."""
    values = np.zeros((len(tasks), 64), np.int64)
    for phase, count in enumerate(tasks):
        values[phase, :count] = np.arange(1, count + 1)
        if phase:
            values[phase, :count] += np.arange(1, 65) @ values[phase - 1]
        values[phase] %= MODULUS
    return values


def run_chain(tasks):
    values, done = np.zeros((2, len(tasks), 64), np.int64)
    _parallel.team(chain, 1, counters(len(tasks) + 1), np.array(tasks), values, done)
    np.testing.assert_array_equal(done, np.arange(64) < np.array(tasks)[:, None])
    np.testing.assert_array_equal(values, expected(tasks))


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", LISTS)
def test_every_task_once_and_after_those_before(name, threads):
    npnets.set_threads(threads)
    for _ in range(1 if OPTIONS.DISABLE_JIT else 20):
        run_chain(LISTS[name])


def test_tasks_are_taken_from_both_ends():
    counts = counters(1)
    assert [take_near(counts, 0, 5, mine) for mine in (0, 1, 3, 2, 0, 1, 0, 1)] == [0, 4, 3, 1, 2, 5, 5, 5]


def test_from_several_threads_at_once():
    npnets.set_threads(2)
    start = threading.Barrier(3)

    def calls():
        start.wait()
        for _ in range(10):
            run_chain(LISTS["fewer and more"])

    with ThreadPoolExecutor(3) as callers:
        for done in [callers.submit(calls) for _ in range(3)]:
            done.result(60)


@jit
def meet(counts, threads):
    """Return when so many threads are here."""
    take(counts, 0)
    complete(counts, 0)
    wait(counts, 0, threads)


@pytest.mark.parametrize("threads", THREADS)
def test_all_threads_are_there_at_the_same_time(threads):
    npnets.set_threads(threads)
    together, counts = _parallel.members(1), counters(1)
    assert together == (1 if OPTIONS.DISABLE_JIT else threads)
    _parallel.team(meet, 1, counts, together)
    assert take(counts, 0) == together


def test_waiting():
    counts = counters(2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait, counts, 1, 2)
        for _ in range(2):
            time.sleep(0.02)
            assert not waiting.done()
            complete(counts, 0)  # of another phase
            complete(counts, 1)
        waiting.result(60)


def test_little_work_is_done_alone(monkeypatch):
    monkeypatch.setattr(_parallel, "SERIAL_BELOW", 10)
    monkeypatch.setattr(_parallel, "_executor", lambda: pytest.fail("nobody else is needed"))
    npnets.set_threads(4)
    _parallel.team(meet, 9, counters(1), 1)


@pytest.fixture
def busy(monkeypatch):
    """Three threads that have other things to do, and what is asked of them meanwhile."""
    asked, submit, release = [], ThreadPoolExecutor.submit, threading.Event()

    def ask(*given):
        asked.append(submit(*given))
        return asked[-1]

    npnets.set_threads(3)
    others = [_parallel._executor().submit(release.wait, 60) for _ in range(3)]
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ask)
    yield asked
    release.set()
    assert all(other.result() for other in others)


def test_nobody_waits_for_a_thread_that_has_not_begun(busy):
    """It is told that it need not begin."""
    run_chain(LISTS["fewer and more"])
    assert len(busy) == _parallel.members(1) - 1
    assert all(helper.cancelled() for helper in busy)


def test_an_error_is_raised_and_nobody_begins(busy):
    def fails(counts):
        raise FloatingPointError("here")

    with pytest.raises(FloatingPointError, match=r"^here$"):
        _parallel.team(fails, 1, counters(1))
    assert len(busy) == _parallel.members(1) - 1
    assert all(helper.cancelled() for helper in busy)


def test_counters_are_zero_and_stand_a_line_apart():
    counts, phases = counters(3), range(3)
    assert counts.dtype == np.int64
    assert not counts.any()
    for phase in phases:
        assert [take(counts, phase) for _ in phases] == [0, 1, 2]
    for phase in phases:
        for _ in range(phase + 4):
            complete(counts, phase)
    (places,) = counts.nonzero()
    assert list(counts[places]) == [3, 4, 3, 5, 3, 6]
    assert (np.diff(places) * counts.itemsize >= 64).all()
    assert LINE * counts.itemsize == 64
    for phase in phases:
        wait(counts, phase, phase + 4)  # returns, as all are done
