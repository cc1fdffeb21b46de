"""Threads for the kernels: `run` splits a range among a pool of Python threads.

The compiled kernels release the GIL, so ordinary Python threads run them side by side. Numba's own thread layers are
not used: workqueue aborts the process when two Python threads call it, the OpenMP one kills a forked child, and both
would make every kernel compile twice as long. A pool of `concurrent.futures` has none of these faults.

Each kernel takes `start, stop` first and writes only what belongs to that part of its range. Sums over the range are
taken in chunks whose number depends on the shape alone (`chunks`), then added in order. So the bits do not depend on
how many threads there are.
"""

import operator
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

from npnets._jit import OPTIONS

# Handing a part to another thread takes some 50 microseconds; below this many multiply-adds one thread is faster.
SERIAL_BELOW = 100_000

# Into how many parts a sum over pixels or images is cut.
CHUNKS = 32

_threads: int = OPTIONS.NUMBA_NUM_THREADS
_pool: ThreadPoolExecutor | None = None


def set_threads(n: int) -> None:
    """Set how many threads the `numba` implementation uses; the default is one for each core.

    The results have the same bits for every number of threads. NumPy's own threads (OpenBLAS), which the `numpy`
    implementation may use, are not changed: `threadpoolctl` does that.

    Parameters
    ----------
    n
        At least 1.

    Raises
    ------
    TypeError
        `n` is not a whole number.
    ValueError
        `n` is less than 1.

    Examples
    --------
    >>> import npnets
    >>> before = npnets.get_threads()
    >>> npnets.set_threads(2)
    >>> npnets.get_threads()
    2
    >>> npnets.set_threads(before)
    """
    global _threads, _pool
    if isinstance(n, bool):
        raise TypeError(f"`n` (={n!r}) must be a whole number of threads")
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"`n` (={n!r}) must be a whole number of threads") from None
    if n < 1:
        raise ValueError(f"`n` (={n}) must be at least 1 thread")
    # A pool that another Python thread is using finishes its work; it is only not handed any more.
    _threads, _pool = n, None


def get_threads() -> int:
    """Return how many threads the `numba` implementation uses."""
    return _threads


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # a forked child has the pool object and none of its threads
    os.register_at_fork(after_in_child=_forget_pool)


def chunks(items: int) -> int:
    """Return into how many parts a sum over `items` is cut: a function of the shape, never of the threads."""
    return max(1, min(items, CHUNKS))


def members(work: int) -> int:
    """Return how many threads `team` calls a program on, for so many multiply-adds."""
    return 1 if work < SERIAL_BELOW or OPTIONS.DISABLE_JIT else _threads


def team(program: Callable[..., None], work: int, *args: object) -> None:
    """Call `program(*args)` on all threads at once; they share the work by the counters in `args` (`kernels.team`).

    This thread takes part and returns when its own call does, which is when all work is done: `program` sees to that.
    Where there are fewer than `SERIAL_BELOW` multiply-adds of `work`, or no compiled code, it works alone.
    """
    helpers = [_executor().submit(program, *args) for _ in range(members(work) - 1)]
    try:
        program(*args)
    finally:
        for helper in helpers:
            helper.cancel()  # it has not begun, and there is nothing left to do


def _executor() -> ThreadPoolExecutor:
    global _pool
    pool = _pool
    if pool is None:
        pool = _pool = ThreadPoolExecutor(_threads, thread_name_prefix="npnets")
    return pool


def run(kernel: Callable[..., None], items: int, work: int, *args: object) -> None:
    """Call `kernel(start, stop, *args)` so that the parts cover range(items); `work` counts all multiply-adds."""
    parts = 1 if work < SERIAL_BELOW else min(_threads, items)
    if parts <= 1:
        kernel(0, items, *args)
        return
    pool = _executor()
    bounds = [items * part // parts for part in range(parts + 1)]
    others = [pool.submit(kernel, start, stop, *args) for start, stop in pairwise(bounds[1:])]
    try:
        kernel(bounds[0], bounds[1], *args)
    finally:
        wait(others)  # after an error, too: no thread may go on writing into the caller's arrays
    for other in others:
        other.result()
