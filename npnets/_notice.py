"""A word to whoever waits: kernels are compiled when they are first needed, which takes seconds, and kept.

Numba itself says when it begins to compile and when it ends, so that nothing is said of what is loaded, however long
that takes. The word is a record of the logger "npnets", which stands in the way of `logging`: on standard error, or
where the program sends its log to; `logging.getLogger("npnets").setLevel("ERROR")` silences it.
"""

import logging
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from numba.core import event

LOG = logging.getLogger("npnets")

# Seconds of compiling, in all, before something is said: a small kernel takes a part of one.
PATIENCE = 0.5


class Notice(event.Listener):
    """Listens to what is compiled of npnets, counts it, and says so, once.

    Numba compiles one function at a time, with those that it calls inside of it, whichever threads ask.

    Attributes
    ----------
    kept
        Whether compiled code is kept for the next process.
    said
        Whether the word has been said, or nobody needs it.
    functions
        How many functions have been compiled.
    """

    def __init__(self, kept: bool) -> None:
        self.kept, self.said, self.functions = kept, False, 0
        self._depth, self._since, self._spent = 0, 0.0, 0.0
        self._timer = threading.Timer(0, self.say)

    def on_start(self, what: Any) -> None:
        """Count a function; with the outermost one the waiting begins."""
        if not _ours(what):
            return
        self.functions += 1
        self._depth += 1
        if self._depth == 1 and not self.said:
            self._since = time.perf_counter()
            self._timer = threading.Timer(max(0.0, PATIENCE - self._spent), self.say)
            self._timer.daemon = True
            self._timer.start()

    def on_end(self, what: Any) -> None:
        """Stop waiting with the end of the outermost function."""
        if not _ours(what):
            return
        self._depth -= 1
        if self._depth == 0 and not self.said:
            self._timer.cancel()
            self._spent += time.perf_counter() - self._since

    def say(self) -> None:
        """Say it where somebody looks, which is a terminal or a notebook, or where there is a log."""
        if self.said:
            return
        self.said = True
        text = "npnets: compiling for this processor, some 20 s, "
        if self.kept:
            text += "once; see `npnets warmup`"
        else:
            text += "each time: the folder for compiled code cannot be written; NUMBA_CACHE_DIR names another"
        with suppress(ValueError, AttributeError):  # standard error is closed, or there is none
            if LOG.hasHandlers() or sys.stderr.isatty() or hasattr(sys, "ps1"):  # ps1: somebody types
                LOG.warning(text)


def _ours(what: Any) -> bool:
    """Return whether a function of npnets is compiled, and not one of Numba's or the user's."""
    return str(what.data["dispatcher"].py_func.__module__).startswith("npnets.")
