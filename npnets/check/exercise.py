"""The starter file of an exercise: the equation, the shapes, functions to be written, and tests that are seen."""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from npnets import ops
from npnets.check.cases import Case, cases
from npnets.check.operations import Operation, find

# An example has a few values in its result, and is not the very smallest.
LEAST_VALUES, MOST_VALUES = 4, 30


def exercise(name: str, module: str) -> str:
    """Return the text of a starter file.

    Parameters
    ----------
    name
        An operation of `npnets.ops`, or the gradient of one: the file has both.
    module
        What the file is called, without `.py`.
    """
    forward = find(find(name).forward)
    operations = [forward]
    if f"{forward.name}_backward" in ops.__all__:
        operations.append(find(f"{forward.name}_backward"))
    checked = f'    conforms({forward.name!r}, f"{{__file__}}:{forward.name}"'
    if len(operations) > 1:
        checked += f', f"{{__file__}}:{operations[1].name}"'
    command = f"npnets check {forward.name} {module}.py" + (f" --backward {module}.py" if len(operations) > 1 else "")
    head = f'''"""Exercise: {forward.name}.

Write the {"functions" if len(operations) > 1 else "function"} below, with loops or with NumPy. Two ways to see how far you are:

    pytest {module}.py
    {command}
"""

import numpy as np
from npnets.testing import conforms

'''
    functions = "\n\n".join(_function(one) for one in operations)
    tests = "\n\n".join(_test(one) for one in operations)
    return f"{head}\n{functions}\n\n{tests}\n\ndef test_{forward.name}_conforms():\n{checked})\n"


def write(path: Path, text: str) -> None:
    """Write the file, which must not exist yet."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"`--out` (={path}) exists already, and is not overwritten: name another file") from None


def _function(operation: Operation) -> str:
    """Return a function without a body, with the documentation of the real one."""
    documentation = inspect.getdoc(getattr(ops, operation.name)) or ""
    documentation = re.split(r"\n\n(?:Raises|Examples|Notes)\n-+\n", documentation)[0]
    names = [name for name in operation.positional if name in (*operation.arrays, *operation.options)]
    keywords = [name for name in operation.options if name not in names]
    signature = ", ".join([*names, *(["*", *keywords] if keywords else [])])
    body = textwrap.indent(f'"""{documentation}\n"""\nraise NotImplementedError', "    ")
    return re.sub(r"[ \t]+$", "", f"def {operation.name}({signature}):\n{body}\n", flags=re.MULTILINE)


def _test(operation: Operation) -> str:
    """Return a test with one example, written out."""
    case = _example(operation)
    lines = [f"def test_{operation.name}():"]
    for name, value in case.arguments.items():
        lines.append(f"    {name} = {_literal(value)}")
    given = [name for name in operation.positional if name in case.arguments]
    keywords = [f"{name}={name}" for name in case.arguments if name not in given]
    expected = operation.correct(case.arguments)
    single = len(expected) == 1
    lines.append(f"    {', '.join(operation.results)} = {operation.name}({', '.join([*given, *keywords])})")
    for name, value in zip(operation.results, expected, strict=True):
        del single
        single = len(expected) == 1
        lines.append(f"    np.testing.assert_allclose({name}, {_literal(value)})")
    return "\n".join(lines) + "\n"


def _example(operation: Operation) -> Case:
    """Return a small case in which most of the options do something."""
    found = [case for case in cases(operation) if _fits(operation, case)]
    return max(found, key=lambda case: (_busy(case), -sum(one.size for one in case.arrays().values())))


def _fits(operation: Operation, case: Case) -> bool:
    size = sum(one.size for one in case.arrays().values())
    results = operation.correct(case.arguments)
    largest = max(float(abs(one).max(initial=0)) for one in case.arrays().values())
    return size <= MOST_VALUES and results[0].size >= min(LEAST_VALUES, size) and largest < 100


def _busy(case: Case) -> int:
    """Count the options that are not the plainest: in what is seen first, the padding and the stride."""
    given = case.options()
    return (given.get("padding", 0) == 1) + (given.get("stride", 1) == 2) + (given.get("groups", 1) == 2)


def _literal(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    numbers = [int(one) if float(one).is_integer() else float(one) for one in value.ravel()]
    if value.dtype.kind != "f":
        return f"np.array({numbers})"
    if not value.ndim:
        return repr(float(value))
    reshape = f".reshape({', '.join(map(str, value.shape))})" if value.ndim > 1 else ""
    return f"np.array({numbers}, float){reshape}"
