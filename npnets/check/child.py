"""The process in which a function is called that may do anything: run as a script, which needs NumPy and nothing else.

It is told on its standard input what to call, and answers on its standard output, in frames: the length of a header,
the header in JSON, and the bytes of the arrays one after the other. What the function prints goes nowhere. All that the
answers need is taken before the function's file is loaded, which may change NumPy as it likes.
"""

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

try:
    import resource
except ImportError:  # on Windows, where there is no such limit
    resource = None  # type: ignore[assignment]

KINDS = ("numpy", "torch", "jax", "list")

# As they are before a file is loaded.
_asarray, _frombuffer, _ndarray, _float64 = np.asarray, np.frombuffer, np.ndarray, np.float64
_dumps, _loads, _exit = json.dumps, json.loads, os._exit  # which leaves behind what the function may have started

LENGTH = 8  # bytes


class Unsuitable(Exception):
    """What a file or a result is not."""


def main() -> None:
    """Load the functions that the arguments name, then call them until there is nothing more to read."""
    given, answers = _take_over()
    _limit_memory(int(sys.argv[1]))
    try:
        functions = {name: load(path, wanted) for name, path, wanted in _loads(sys.argv[2])}
    except BaseException as error:
        write(answers, {"error": explain(error, "")}, [])
        _exit(0)
    write(answers, {"modules": [name for name in ("torch", "jax") if name in sys.modules]}, [])
    while (request := read(given)) is not None:
        header, arrays = request
        answer, results = answer_to(functions[header["function"]], header, arrays)
        write(answers, answer, results)
    _exit(0)


def _take_over() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for ourselves; who reads or prints finds nothing."""
    given, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return given, answers


def _limit_memory(limit: int) -> None:
    """Let the system refuse more than so many bytes of data, where it can."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def load(path: str, name: str) -> Callable[..., Any]:
    """Return the function of this name from a file; its neighbours can be imported, as when it is run."""
    file = Path(path).resolve()
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise Unsuitable(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise Unsuitable(f"{path} has no function `{name}`: there is {', '.join(there) or 'none'}")
        found = getattr(found, part)
    if not callable(found):
        raise Unsuitable(f"`{name}` in {path} is a {type(found).__name__}, and no function")
    return found  # type: ignore[no-any-return]


def answer_to(
    function: Callable[..., Any], header: Mapping[str, Any], arrays: list[Any]
) -> tuple[dict[str, Any], list[Any]]:
    """Call the function, and return the header of the answer with the arrays that follow it.

    The request's header has `kind`, `positional` and `keywords`; an argument is a number, or the number of an array in
    a list. The answer has first the results, then the arrays that were given, as they are afterwards.
    """
    kind = header["kind"]
    try:
        given = [convert(kind, array) for array in arrays]

        def argument(value: Any) -> Any:
            return (
                given[value["array"]] if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
            )

        returned = function(
            *(argument(one) for one in header["positional"]),
            **{name: argument(one) for name, one in header["keywords"].items()},
        )
        several = isinstance(returned, tuple) or (isinstance(returned, list) and header["results"] > 1)
        results = list(returned) if several else [returned]
        lists = [isinstance(one, list | int | float) for one in results]
        back = [plain(one) for one in results] + [plain(one) for one in given]
    except BaseException as error:
        return {"error": explain(error, function.__code__.co_filename if hasattr(function, "__code__") else "")}, []
    return {"results": len(results), "lists": lists}, back


def convert(kind: str, array: Any) -> Any:
    """Return an array as what the function works with."""
    if kind == "torch":
        return sys.modules["torch"].from_numpy(array)
    if kind == "jax":
        return sys.modules["jax"].numpy.asarray(array)
    return array.tolist() if kind == "list" else array


def plain(value: Any) -> Any:
    """Return a result as a NumPy array."""
    if value is None:
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, _ndarray):
        value = _asarray(value, _float64) if isinstance(value, list | int | float) else _asarray(value)
    if value.dtype.kind not in "biufc":
        raise Unsuitable(f"what it returns must be arrays of numbers, and one has the dtype {value.dtype}")
    return value


def explain(error: BaseException, file: str) -> str:
    """Return what was raised and the last line of the function's file where it came from."""
    if isinstance(error, Unsuitable):
        return str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:500]
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.line and one.filename != __file__]
    own = [one for one in frames if one.filename == file] or frames[-1:]
    return f"{text} ({os.path.basename(own[-1].filename)}, line {own[-1].lineno}: {own[-1].line})" if own else text


def write(stream: BinaryIO, header: dict[str, Any], arrays: list[Any]) -> None:
    """Write a frame; None stands for an array that is missing."""
    shapes = [None if one is None else [one.dtype.str, list(one.shape)] for one in arrays]
    text = _dumps({**header, "arrays": shapes}).encode()
    stream.write(len(text).to_bytes(LENGTH, "big") + text)
    for one in arrays:
        if one is not None:
            stream.write(one.tobytes())
    stream.flush()


def read(stream: BinaryIO, most: int = 2**40) -> tuple[dict[str, Any], list[Any]] | None:
    """Read a frame of at most so many bytes; None where there is no more."""
    start = stream.read(LENGTH)
    if len(start) < LENGTH:
        return None
    header = _loads(_exactly(stream, int.from_bytes(start, "big"), most))
    arrays: list[Any] = []
    for one in header.pop("arrays"):
        if one is None:
            arrays.append(None)
            continue
        dtype, shape = np.dtype(one[0]), tuple(int(side) for side in one[1])
        count = 1
        for side in shape:
            count *= side
        if dtype.kind not in "biufc" or min(shape, default=0) < 0:
            raise ValueError("not an array of numbers")
        arrays.append(_frombuffer(_exactly(stream, count * dtype.itemsize, most), dtype).reshape(shape).copy())
    return header, arrays


def _exactly(stream: BinaryIO, count: int, most: int) -> bytes:
    if count > most:
        raise ValueError(f"an answer of {count} bytes")
    found = stream.read(count)
    if len(found) < count:
        raise EOFError
    return found


if __name__ == "__main__":
    main()
