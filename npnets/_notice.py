"""A word to whoever waits: kernels are compiled when they are first needed, which takes seconds, and kept."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from npnets._jit import CACHE_FOLDER

# Loading kernels that are kept from before takes a fraction of a second, compiling them some.
PATIENCE = 1.0


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """Say on a terminal, or in a notebook, what is being compiled meanwhile, if it takes longer than `PATIENCE`."""
    text = f"npnets: compiling {what}, which takes some seconds"
    if CACHE_FOLDER is None:
        text += ", and each time, as the folder for compiled code cannot be written: NUMBA_CACHE_DIR names another"
    else:
        text += " and is kept for the next time; `npnets warmup` does it beforehand"
    message = threading.Timer(PATIENCE, print, [text], {"file": sys.stderr, "flush": True})
    message.daemon = True
    if sys.stderr is not None and (sys.stderr.isatty() or hasattr(sys, "ps1")):  # ps1: somebody types
        message.start()
    try:
        yield
    finally:
        message.cancel()
