"""A check from beginning to end, and what it found."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from npnets import _check, ops
from npnets._check import Array
from npnets.check import words
from npnets.check.callers import Caller, Here, Process
from npnets.check.cases import LARGE, Case, cases
from npnets.check.child import KINDS
from npnets.check.compare import Difference, Outcome, Run, outcome, run
from npnets.check.mistakes import recognise
from npnets.check.operations import LAYOUTS, Operation, find
from npnets.check.terms import terms

CONFORMS, DIFFERS, COULD_NOT_RUN = "conforms", "differs", "could not run"
STATUS = {CONFORMS: 0, DIFFERS: 1, COULD_NOT_RUN: 2}

WIDTH = 80

# For which <dout, f(x)> = <dx, x> holds.
ADJOINT = ("conv2d", "group_conv2d", "depthwise_conv2d", "pointwise_conv2d", "depthwise_separable_conv2d",
           "channel_shuffle", "avg_pool2d", "global_avg_pool")  # fmt: skip

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
        cases_ = len(self.run.outcomes)
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
            "cases": len(self.run.outcomes),
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


def check(
    operation: str,
    function: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    layout: str = "NHWC",
    arrays: str | None = None,
) -> Report:
    """Check functions in this process, without limits: see `npnets.testing.conforms`."""
    functions = {"forward": function} | ({"backward": backward} if backward is not None else {})
    labels = {role: getattr(one, "__qualname__", repr(one)) for role, one in functions.items()}
    return _checked(operation, Here(functions), labels, layout, arrays)


def check_files(
    operation: str,
    function: tuple[str, str],
    backward: tuple[str, str] | None = None,
    *,
    layout: str = "NHWC",
    arrays: str | None = None,
    seconds: float = 10.0,
    megabytes: int = 4096,
) -> Report:
    """Check functions that stand in files, in a process of their own: what `npnets check` does."""
    functions = {"forward": function} | ({"backward": backward} if backward is not None else {})
    labels = {role: ":".join(one) for role, one in functions.items()}
    find(operation)
    caller = Process(functions, seconds, megabytes)
    try:
        caller.begin()
        return _checked(operation, caller, labels, layout, arrays)
    finally:
        caller.close()


def _checked(name: str, caller: Caller, labels: Mapping[str, str], layout: str, arrays: str | None) -> Report:
    operations = {"forward": find(name)}
    _check.one_of("layout", layout, LAYOUTS)
    if arrays is not None:
        _check.one_of("arrays", arrays, KINDS)
    if "backward" in labels:
        if f"{name}_backward" not in ops.__all__:
            raise ValueError(f"`{name}` has no gradient that could be checked: there is no `{name}_backward`")
        operations["backward"] = find(f"{name}_backward")
    findings = []
    for role, operation in operations.items():
        made = cases(operation)
        kinds = (arrays,) if arrays is not None else caller.kinds()
        done = run(caller, role, operation, layout, made, kinds)
        findings.append(_finding(caller, role, operation, labels[role], layout, done))
    notes = _adjoint(*findings) if len(findings) == 2 and name in ADJOINT else ()
    return Report(tuple(findings), notes)


def _finding(caller: Caller, role: str, operation: Operation, label: str, layout: str, done: Run) -> Finding:
    failed = done.failed
    if failed is None:
        return Finding(operation, label, CONFORMS, done, layout)
    if failed.error:
        note = words.where(done.outcomes) if not failed.ended else ""
        return Finding(operation, label, COULD_NOT_RUN, done, layout, (), (note,) if note else ())

    def again(case: Case) -> Outcome:
        return outcome(operation, case, caller.call(role, done.kind, operation, case, layout), layout)

    if not _steady(failed, again):
        note = ("Called again with the same arguments it returns something else: does it use an array before it is "
                "filled (np.empty), or keep something from call to call?")  # fmt: skip
        return Finding(operation, label, DIFFERS, done, layout, _told(operation, failed, done, layout, None), (note,))
    told = _told(operation, failed, done, layout, again)
    note = words.where(done.outcomes)
    return Finding(operation, label, DIFFERS, done, layout, told, (note,) if note else ())


def _steady(failed: Outcome, again: Callable[[Case], Outcome]) -> bool:
    """Return whether another call returns the same."""
    second = again(failed.case)
    return not second.error and all(
        (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))
        for a, b in zip(failed.found, second.found, strict=True)
    )


def _told(
    operation: Operation, failed: Outcome, done: Run, layout: str, again: Callable[[Case], Outcome] | None
) -> tuple[Told, ...]:
    """Tell what is wrong with each result that differs in the smallest case."""
    told = []
    for one in failed.differences:
        if one.result not in operation.results:
            told.append(Told(one, words.difference(operation, one, failed.case, layout, None), one.kind, ""))
            continue
        number = operation.results.index(one.result)
        value = failed.found[number]
        summed, key, text = None, "", ""
        if again is not None and one.kind in ("value", "shape"):
            mistake, explained = recognise(operation, one.result, done.outcomes)
            if mistake is not None:
                key = mistake.key
                text = f"{_capital(mistake.words)}. {_explained(mistake.key, explained)}"
        if again is not None and one.kind == "value" and value is not None:

            def result(case: Case, number: int = number) -> Array | None:
                found = again(case).found
                return found[number] if len(found) > number else None

            summed = terms(result, operation, one.result, failed.case, value)
        said = words.difference(operation, one, failed.case, layout, summed)
        if not key and one.kind == "value":
            key, text = _rounded(one)
        if not key and summed is not None:
            text = words.overview(operation, summed, layout, failed.case)
        told.append(Told(one, said, key or one.kind * (one.kind != "value"), text))
    return tuple(told)


def _capital(text: str) -> str:
    """Return a text as the beginning of a sentence; the letters of formulas stay as they are."""
    return text if text[1].isupper() or text.startswith("dx") else text[0].upper() + text[1:]


def _explained(key: str, count: int) -> str:
    where = f"in all {count} cases" if count > 1 else "there"
    which = "these two mistakes" if ", " in key else "this mistake"
    return f"Everything else is right: a function with {which} and no other returns the same as yours {where}."


def _rounded(one: Difference) -> tuple[str, str]:
    """Recognise a value that has float32's digits and no more."""
    if one.expected and abs(one.found - one.expected) <= 2.0**-20 * abs(one.expected):
        return "float32", "The first digits are right: it is computed in float32 on the way, and not in the dtype of x."
    return "", ""


def _adjoint(forward: Finding, backward: Finding) -> tuple[str, ...]:
    """Say whether the one function is the gradient of the other, right or wrong as they are."""
    held = 0
    for ahead, back in zip(forward.run.outcomes, backward.run.outcomes, strict=False):
        given = back.case.arguments
        if ahead.error or back.error or any(one is None for one in (*ahead.found, *back.found)):
            continue
        out, dout = ahead.found[0], given["dout"]
        if out is None or not back.found or out.shape != dout.shape or dout.dtype != np.float64:
            continue
        if any(abs(one).max(initial=0) >= LARGE for case in (ahead.case, back.case) for one in case.arrays().values()):
            continue  # large are the first arrays of each, which are not the same ones
        pairs = [(backward.operation.symbols[name], gradient, ahead.case.arguments[name[1:]])
                 for name, gradient in zip(backward.operation.results, back.found, strict=True)]  # fmt: skip
        if any(gradient is None or gradient.shape != value.shape for _, gradient, value in pairs):
            continue
        left = float(np.vdot(dout, out))
        for symbol, gradient, value in pairs:
            assert gradient is not None
            right = float(np.vdot(gradient, value))
            if abs(left - right) > 1e-9 * max(1.0, float(np.vdot(abs(dout), abs(out)))):
                if forward.status == CONFORMS:
                    return ()
                return (
                    f"The backward function is not the gradient of this forward function: <dG, G> = "
                    f"{words.number(left)} and <{symbol.letter}, {symbol.letter[1:]}> = {words.number(right)}, for "
                    f"{words.call(backward.operation, back.case, backward.layout)}.",
                )
        held += 1
    if not held:
        return ()
    gradients = [backward.operation.symbols[name].letter for name in backward.operation.results]
    equal = " = ".join(["<dG, G>", *(f"<{one}, {one[1:]}>" for one in gradients)])
    if forward.status == backward.status == CONFORMS:
        return (f"Adjoint: {equal} in all {held} cases.",)
    return (f"Your backward function is the gradient of your forward function ({equal} in all {held} cases): "
            "both have the same mistake.",)  # fmt: skip


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
    tried = len(done.outcomes)
    if done.outcomes[-1].ended:
        return f"Case {number + 1}, after {number} that agree:"
    bad = tried - done.agreed
    if bad == tried:
        return f"In all {tried} cases. The smallest of them:"
    return f"In {bad} of {tried} cases; the other {done.agreed} agree. The smallest of them:"


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
