"""The starter file of an exercise: the equation, the shapes, functions to be written, and tests that are seen."""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from npnets import ops
from npnets._check import Array
from npnets.check.cases import Case, example
from npnets.check.operations import Operation, find

HEAD = '''\
"""Exercise: {name}.

Write the {functions} below, with loops or with NumPy. How far you are is said by

    pytest {file}
    {command}
"""

import numpy as np

from npnets.testing import conforms


'''

TEST = """\
def test_{name}_conforms():
    conforms(
        "{name}",
        {arguments},
    )
"""

# Characters of an array in one line.
LINE = 60

# What is said of these elsewhere, in the words of an operation that this one points to.
OPTIONS = {
    "x, weight, groups, stride, padding, dilation": "F, (B, H, W, C); K, (KH, KW, C/groups, N); g, which divides C and "
    "N; s, p and d, whole numbers: p rows and columns of zeros are around the image; d is the distance of neighbouring "
    "kernel entries on it. H' = floor((H + 2 p - d (KH - 1) - 1) / s) + 1. Output channel n belongs to group "
    "n // (N/groups).",
    "stride, padding, dilation": "s, p and d, whole numbers: p rows and columns of zeros are around the image; d is "
    "the distance of neighbouring kernel entries on it. H' = floor((H + 2 p - d (KH - 1) - 1) / s) + 1.",
    "kernel_size, stride, padding": "Whole numbers: the window's side, s and p.",
    "kernel_size": "A whole number: the window's side.",
    "stride": "s, a whole number.",
    "padding": "p, a whole number: so many rows and columns around the image.",
}


def exercise(name: str, file: str) -> str:
    """Return the text of a starter file.

    Parameters
    ----------
    name
        An operation of `npnets.ops`, or the gradient of one: the file has both.
    file
        What the file is called.
    """
    names = [find(name).forward]
    command = f"npnets check {names[0]} {file}"
    if f"{names[0]}_backward" in ops.__all__:
        names.append(f"{names[0]}_backward")
        command += f" --backward {file}"
    parts = [_function(find(one)) for one in names] + [_test(find(one)) for one in names]
    arguments = ",\n        ".join(f'f"{{__file__}}:{one}"' for one in names)
    parts.append(TEST.format(name=names[0], arguments=arguments))
    functions = "function" if len(names) == 1 else "functions"
    return HEAD.format(name=names[0], functions=functions, file=file, command=command) + "\n\n".join(parts)


def write(path: Path, text: str) -> None:
    """Write the file, which must not exist yet."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"`--out` (={path}) exists already, and is not overwritten: name another file") from None


def _function(operation: Operation) -> str:
    """Return a function without a body, with the documentation of the real one."""
    names = [*operation.arrays, *operation.options]
    keywords = [name for name in names if name not in operation.positional]
    positional = [name for name in operation.positional if name in names]
    signature = ", ".join(positional + (["*", *keywords] if keywords else []))
    body = textwrap.indent(
        f'"""{_documentation(operation)}\n"""\nraise NotImplementedError\n', "    ", lambda line: bool(line.strip())
    )
    return f"def {operation.name}({signature}):\n{body}"


def _documentation(operation: Operation) -> str:
    """Return equation, arguments and results, without what stands elsewhere."""
    text = inspect.getdoc(getattr(ops, operation.name)) or ""
    text = re.split(r"\n\n(?:Raises|Notes|Examples)\n-+\n", text)[0].replace("\\", "\\\\")
    text = re.sub(r": equations? [^\n]*(?:at the top of this file|above)\.", ".", text, count=1)
    for names, words in OPTIONS.items() if operation.name == operation.forward else ():
        said = textwrap.indent(textwrap.fill(words, 110), "    ")
        text = re.sub(rf"^{names}((?:, groups)?)\n(?:    .*\n?)+", rf"{names}\1\n{said}\n", text, flags=re.MULTILINE)
    return re.sub(r"\n(Returns\n-)", r"\n\1", re.sub(r"(?<!\n)\n(Returns\n-)", r"\n\n\1", text))


def _test(operation: Operation) -> str:
    """Return a test with one example, written out."""
    case: Case = example(operation)
    lines = [f"def test_{operation.name}():"]
    lines += [f"    {name} = {_literal(value)}" for name, value in case.arrays().items()]
    written = {name: name for name in case.arrays()} | {name: repr(value) for name, value in case.options().items()}
    positional = [written[name] for name in operation.positional if name in written]
    keywords = [f"{name}={text}" for name, text in written.items() if name not in operation.positional]
    call = f"{operation.name}({', '.join(positional + keywords)})"
    lines.append(f"    {', '.join(operation.results)} = {call}")
    for name, value in zip(operation.results, operation.correct(case.arguments), strict=True):
        tolerance = "" if (value == value.round()).all() else ", rtol=1e-6"
        lines.append(f"    np.testing.assert_allclose({name}, {_literal(value)}{tolerance})")
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    """Return an array as Python: a row of the image in brackets, then the shape if it has more axes."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    if not value.ndim:
        return _number(value[()])
    rows = (
        value.reshape(-1, value.shape[-1]) if value.ndim < 3 else value.reshape(-1, value.shape[-1] * value.shape[-2])
    )
    lists = [f"[{', '.join(map(_number, row))}]" for row in _image_rows(value, rows)]
    inside = lists[0] if value.ndim == 1 else f"[{', '.join(lists)}]"
    if len(inside) > LINE:
        inside = "[" + "".join(f"\n        {one}," for one in lists) + "\n    ]"
    text = f"np.array({inside}{', float' if value.dtype.kind == 'f' else ''})"
    return text if value.ndim < 3 else f"{text}.reshape({', '.join(map(str, value.shape))})"


def _image_rows(value: Array, rows: Array) -> Array:
    """Return the rows of an image, or of a kernel (KH, KW, ...), as they are seen."""
    if value.ndim > 2 and value.shape[0] > 1 and value.ndim == 3:
        return value.reshape(len(value), -1)
    return rows


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else f"{float(value):.9g}"
