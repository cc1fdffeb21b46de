"""Batches that are made while the network works on the one before: in the same order, with the same bits."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from npnets import _check

Given = TypeVar("Given")
Made = TypeVar("Made")


def ahead(make: Callable[[Given], Made], given: Iterable[Given], *, batches: int = 2) -> Iterator[Made]:
    """Yield make(x) for each x, as `map` does, and have another thread make the next ones already.

    What `make` returns must depend on its argument alone, on the seed of a batch's random numbers for example; then no
    thread can change anything. An exception in `make` is raised where its result is asked for. The thread ends with the
    last batch, with the first exception, and as soon as the iterator is closed or forgotten.

    Parameters
    ----------
    make
        Is called in another thread, one call at a time.
    given
        Its arguments, in order.
    batches
        How many results may wait; at least 1.

    Yields
    ------
    The results, in order.

    Raises
    ------
    TypeError, ValueError
        `batches` is no whole number of at least 1.

    Examples
    --------
    >>> list(ahead(str.upper, ["a", "b", "c"]))
    ['A', 'B', 'C']
    """
    return _ahead(make, given, _check.integer("batches", batches, 1))


def _ahead(make: Callable[[Given], Made], given: Iterable[Given], batches: int) -> Iterator[Made]:
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1, "npnets-ahead") as thread:
        try:
            for x in given:
                waiting.append(thread.submit(make, x))
                if len(waiting) > batches:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
