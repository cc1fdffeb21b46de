"""Batches made ahead: the order and the bits of `map`, exceptions where they belong, and threads that end."""

import gc
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npnets.data import ahead

pytestmark = pytest.mark.quick


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("npnets-ahead")]


def settled():
    """Wait for threads that end by themselves."""
    for _ in range(500):
        if not workers():
            return True
        time.sleep(0.01)
    return False


@given(count=st.integers(0, 12), batches=st.integers(1, 5), seed=st.integers(0, 9))
def test_it_is_map(count, batches, seed):
    def make(position):
        return np.random.default_rng([seed, position]).random(3)

    for made, expected in zip(ahead(make, range(count), batches=batches), map(make, range(count)), strict=True):
        assert made.tobytes() == expected.tobytes()
    assert settled()


def test_no_more_are_made_than_may_wait():
    made = []
    batches = ahead(made.append, range(100), batches=3)
    assert made == []
    next(batches)
    time.sleep(0.05)
    assert len(made) <= 4
    batches.close()


def test_they_are_made_in_another_thread_while_the_caller_works():
    began, names = threading.Event(), []

    def make(position):
        names.append(threading.current_thread().name)
        if position:
            began.set()
        return position

    batches = ahead(make, range(3))
    assert next(batches) == 0
    assert began.wait(10)  # the second is made although nobody has asked for it
    assert list(batches) == [1, 2]
    assert all(name.startswith("npnets-ahead") for name in names)


def test_an_exception_is_raised_in_its_place():
    def make(position):
        if position == 2:
            raise OSError("the disk is gone")
        return position

    batches = ahead(make, range(10))
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert settled()
    assert list(batches) == []


@pytest.mark.parametrize("how", ["close", "forget", "throw"])
def test_it_ends_when_nobody_wants_more(how):
    batches = ahead(lambda position: position, range(1000))
    next(batches)
    assert workers()
    if how == "close":
        batches.close()
    elif how == "throw":
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt)
    del batches
    gc.collect()
    assert settled()


def test_messages():
    with pytest.raises(ValueError, match=r"^`batches` \(=0\) must be at least 1$"):
        ahead(str, [], batches=0)
