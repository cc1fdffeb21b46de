"""Calling the functions that are checked: in a process of their own, with limits, or in this one."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from npnets.check import child
from npnets.check.cases import Case
from npnets.check.operations import Operation

# Bytes that an answer may have: what is asked for has a thousandth of it.
MOST_BYTES = 2**26

# Seconds to load a file in (PyTorch takes some), and how many times a call's seconds all calls may take together.
LOADING, TOGETHER = 60.0, 60

# Seconds are counted in steps of this length, so that those do not count in which a computer sleeps.
TICK = 0.1


class Answer(NamedTuple):
    """What a call gave.

    Attributes
    ----------
    results
        The arrays that were returned, in the layout of the function; None for what was None.
    lists
        Which of them were lists or plain numbers, which have no dtype.
    given
        The arrays that it got, as they were afterwards.
    error
        Why there are no results.
    ended
        Whether that is the end of its process, too.
    """

    results: list[Any]
    lists: list[bool]
    given: list[Any]
    error: str = ""
    ended: bool = False


class Caller(Protocol):
    """What calls functions by name: "forward" or "backward"."""

    def call(self, function: str, kind: str, operation: Operation, case: Case, layout: str) -> Answer:
        """Call a function with the arguments of a case, as arrays of a kind."""

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of arrays that the functions may be made for."""

    def close(self) -> None:
        """End what was begun."""


def request(
    function: str, kind: str, operation: Operation, case: Case, layout: str
) -> tuple[dict[str, Any], list[Any]]:
    """Return the header and the arrays that ask for a call."""
    arrays: list[Any] = []

    def argument(name: str) -> Any:
        value = operation.turned(name, case.arguments[name], layout)
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(value)
        return {"array": len(arrays) - 1}

    positional = [argument(name) for name in operation.positional if name in case.arguments]
    keywords = {name: argument(name) for name in case.arguments if name not in operation.positional}
    header = {"function": function, "kind": kind, "positional": positional, "keywords": keywords,
              "results": len(operation.results)}  # fmt: skip
    return header, arrays


def _answer(header: Mapping[str, Any], arrays: list[Any]) -> Answer:
    if "error" in header:
        return Answer([], [], [], str(header["error"])[:1000])
    count = int(header["results"])
    return Answer(arrays[:count], [bool(one) for one in header["lists"]], arrays[count:])


class Here:
    """Calls functions in this process, without any limit."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def call(self, function: str, kind: str, operation: Operation, case: Case, layout: str) -> Answer:
        """Call it with copies of the arrays."""
        header, arrays = request(function, kind, operation, case, layout)
        answer, results = child.answer_to(self._functions[function], header, [one.copy() for one in arrays])
        return _answer(answer, results)

    def kinds(self) -> tuple[str, ...]:
        """Return what the imported modules allow."""
        return tuple(kind for kind in child.KINDS if kind in ("numpy", "list") or kind in sys.modules)

    def close(self) -> None:
        """Nothing was begun."""


class Process:
    """Calls functions in a process of their own, which it begins anew where one has ended.

    Parameters
    ----------
    functions
        For "forward" and "backward" a file and a name in it.
    seconds, megabytes
        What one call may take, and how much data the process may hold (where the system can limit it).
    """

    def __init__(self, functions: Mapping[str, tuple[str, str]], seconds: float, megabytes: int) -> None:
        self._functions = json.dumps([[name, path, wanted] for name, (path, wanted) in functions.items()])
        self._seconds, self._bytes = seconds, megabytes * 2**20
        self._left = dict.fromkeys(functions, TOGETHER * seconds)
        self._modules: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._frames: queue.SimpleQueue[tuple[dict[str, Any], list[Any]] | None] = queue.SimpleQueue()

    def begin(self) -> None:
        """Load the files, or raise ValueError where that fails."""
        # -P: the script's own folder is not searched for modules, so that a file of any name can be imported.
        self._process = subprocess.Popen(
            [sys.executable, "-P", child.__file__, str(self._bytes), self._functions],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._frames = queue.SimpleQueue()
        threading.Thread(target=_receive, args=(self._process.stdout, self._frames), daemon=True).start()
        try:
            header, _ = self._next(LOADING, "loading it did not end")
            if "error" in header:
                raise ValueError(header["error"])
        except ValueError as error:
            self.close()
            raise ValueError(f"the file could not be loaded: {error}") from None
        self._modules = tuple(name for name in ("torch", "jax") if name in header["modules"])

    def call(self, function: str, kind: str, operation: Operation, case: Case, layout: str) -> Answer:
        """Call it there; what ends the process, or takes too long, is an answer too."""
        try:
            if self._process is None:
                self.begin()
            assert self._process is not None and self._process.stdin is not None  # noqa: PT018
            with contextlib.suppress(BrokenPipeError):  # it has ended, which `_next` will tell
                child.write(self._process.stdin, *request(function, kind, operation, case, layout))  # type: ignore[arg-type]
            begin = time.perf_counter()
            answer = _answer(*self._next(min(self._seconds, self._left[function]), "did not return"))
            self._left[function] -= time.perf_counter() - begin
        except (ValueError, KeyError, TypeError) as error:
            self.close()
            return Answer([], [], [], str(error) or "its process answered nonsense", ended=True)
        return answer

    def kinds(self) -> tuple[str, ...]:
        """Return what the modules allow that the file has imported."""
        return tuple(kind for kind in child.KINDS if kind in ("numpy", "list", *self._modules))

    def close(self) -> None:
        """End the process and what it has begun."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _next(self, seconds: float, what: str) -> tuple[dict[str, Any], list[Any]]:
        left = seconds
        while left > 0:
            try:
                frame = self._frames.get(timeout=min(left, TICK))
                break
            except queue.Empty:
                left -= TICK
        else:
            limit = f"within {seconds:g} s" if seconds >= self._seconds else "within the time for all calls together"
            raise ValueError(f"{what} {limit}")
        if frame is not None:
            return frame
        assert self._process is not None
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            raise ValueError("its process answered nonsense") from None
        if status < 0:
            raise ValueError(f"its process crashed ({signal.Signals(-status).name})")
        raise ValueError(f"its process ended with status {status} instead of an answer")


def _receive(stream: Any, frames: "queue.SimpleQueue[tuple[dict[str, Any], list[Any]] | None]") -> None:
    """Read answers until there are none, or none that can be read."""
    with contextlib.suppress(Exception):
        while (frame := child.read(stream, MOST_BYTES)) is not None:
            frames.put(frame)
    frames.put(None)


def parse(text: str, operation: str) -> tuple[str, str]:
    """Split `FILE.py:FUNCTION`; without a function it is the operation's name."""
    path, colon, name = text.rpartition(":")
    if not colon or name.endswith(".py") or os.sep in name:
        path, name = text, operation
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path} (of {text!r}, which must be FILE.py:FUNCTION)")
    return path, name or operation
