"""What a check found, as text and as JSON."""

import inspect
import textwrap
from typing import Any, NamedTuple

import numpy as np

from npnets import ops
from npnets.check import words
from npnets.check.compare import Difference, Run
from npnets.check.operations import Operation

CONFORMS, DIFFERS, COULD_NOT_RUN = "conforms", "differs", "could not run"
STATUS = {CONFORMS: 0, DIFFERS: 1, COULD_NOT_RUN: 2}

WIDTH = 80

NAMES = {"numpy": "NumPy arrays", "torch": "PyTorch tensors", "jax": "JAX arrays", "list": "lists of lists"}


class Told(NamedTuple):
    """What is said of one result that differs.

    Attributes
    ----------
    difference
        The difference in the smallest case.
    text
        It as a sentence.
    mistake, words
        The key and the words of the mistake that explains it in all cases; "" where none does.
    """

    difference: Difference
    text: str
    mistake: str
    words: str


class Finding(NamedTuple):
    """What was found out about one function.

    Attributes
    ----------
    operation, function
        What it should compute, and what it is called.
    status
        `CONFORMS`, `DIFFERS` or `COULD_NOT_RUN`.
    run
        All outcomes.
    layout
        Of the function's arrays.
    told
        What is said of its results.
    notes
        What else is known.
    """

    operation: Operation
    function: str
    status: str
    run: Run
    layout: str
    told: tuple[Told, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the text."""
        cases_ = self.run.cases
        kind = f", called with {NAMES[self.run.kind]}" if self.run.kind != "numpy" else ""
        if self.status == CONFORMS:
            exact = all(one.exact for one in self.run.outcomes)
            how = "to the bit" if exact else "within rounding"
            return _wrapped(f"{self.operation.name}: {self.function} conforms, {how}, in all {cases_} cases{kind}.", 0)
        failed = self.run.failed
        assert failed is not None
        lines = [f"{self.operation.name}: {self.function} {self.status}{kind}.", "", *_equation(self.operation), ""]
        lines += _wrapped(_which(self.run), 2)
        lines += ["", *_wrapped(words.call(self.operation, failed.case, self.layout), 4)]
        if shown := words.arrays(self.operation, failed.case, self.layout):
            lines += ["", *("    " + line for line in shown)]
        lines.append("")
        if failed.error:
            lines += _wrapped(f"There it {_verb(failed.error)}", 2)
        for at, one in enumerate(self.told):
            lines += [*_wrapped(one.text, 2), ""]
            if one.words and one.words not in [later.words for later in self.told[at + 1 :]]:  # once for all of them
                lines += [*_wrapped(one.words, 2), ""]
        for note in self.notes:
            lines += _wrapped(note, 2)
        return lines

    def json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        failed = self.run.failed
        return {
            "operation": self.operation.name,
            "function": self.function,
            "status": self.status,
            "arrays": self.run.kind,
            "layout": self.layout,
            "cases": self.run.cases,
            "agreed": self.run.agreed,
            "exact": self.status == CONFORMS and all(one.exact for one in self.run.outcomes),
            "case": None if failed is None else {
                name: value.tolist() if isinstance(value, np.ndarray) else value
                for name in failed.case.arguments
                for value in [self.operation.turned(name, failed.case.arguments[name], self.layout)]
            },
            "error": failed.error if failed is not None else "",
            "differences": [
                {
                    "result": one.difference.result,
                    "kind": one.difference.kind,
                    "index": list(one.difference.index),
                    "expected": one.difference.expected,
                    "found": _plain(one.difference.found),
                    "text": one.text,
                    "mistake": one.mistake,
                    "words": one.words,
                }
                for one in self.told
            ],
            "notes": list(self.notes),
        }  # fmt: skip


def _plain(value: Any) -> Any:
    """Return what JSON has: neither complex numbers nor NaN are in it."""
    if isinstance(value, float | complex) and not (np.isfinite(value) and value == value.real):
        return str(value)
    return value


class Report(NamedTuple):
    """What a check found: of the function, and of the one for the gradient if it was given."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The worst of both."""
        return max((one.status for one in self.findings), key=lambda status: STATUS[status])

    @property
    def conforms(self) -> bool:
        """Whether all is right."""
        return self.status == CONFORMS

    def __str__(self) -> str:
        """Return the text, at most 80 columns wide."""
        lines: list[str] = []
        for one in self.findings:
            lines += [*one.lines(), ""]
        for note in self.notes:
            lines += [*_wrapped(note, 0), ""]
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join(line.rstrip() for line in lines).replace("\n\n\n", "\n\n")

    def json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {"status": self.status, "functions": [one.json() for one in self.findings], "notes": list(self.notes)}


def _equation(operation: Operation) -> list[str]:
    """Return the equation, which is in the first line of the operation's documentation, or after it."""
    text = inspect.getdoc(getattr(ops, operation.name.replace("group_", ""))) or ""
    first, _, rest = text.partition("\n")
    if rest.startswith("\n::\n"):
        lines = textwrap.dedent(rest.split("\n\n")[1]).replace(",    ", "\n").splitlines()  # several in a line
    else:
        _, colon, equation = first.rstrip(".").partition(": ")
        lines = [equation if colon and "=" in equation else first]
    if operation.forward == "conv2d":  # of one group
        lines = [line.replace("q(n) + m", "m") for line in lines]
    elif any("q(n)" in line for line in lines):
        lines.append("with q(n) = (n // (N/g)) C/g, the first channel of the group of n")
    return [part for line in lines for part in _wrapped(line, 2)]


def _which(done: Run) -> str:
    number = next(at for at, one in enumerate(done.outcomes) if not one.agrees)
    tried = done.cases
    if done.outcomes[-1].ended:
        return f"Case {number + 1}, after {number} that agree:"
    bad = tried - done.agreed
    if bad == tried:
        return f"In all {tried} cases. The smallest of them:"
    other = "one agrees" if done.agreed == 1 else f"{done.agreed} agree"
    return f"In {bad} of {tried} cases; the other {other}. The smallest of them:"


def _verb(error: str) -> str:
    """Return what an error does, as the rest of a sentence that begins with "it"."""
    if error.startswith("did not"):
        return error + "."
    if error.startswith("its process"):
        return "came to no end: " + error + "."
    return f"raised {error}" if not error.startswith("what it returns") else f"cannot be compared: {error}."


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space, break_long_words=False)
