"""A check from beginning to end: the cases are run, and what differs is explained."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from npnets import _check, ops
from npnets._check import Array
from npnets.check import words
from npnets.check.callers import Caller, Here, Process
from npnets.check.cases import LARGE, Case, cases
from npnets.check.child import KINDS
from npnets.check.compare import UNITS, Difference, Outcome, Run, outcome, run
from npnets.check.mistakes import recognise
from npnets.check.operations import LAYOUTS, Operation, find
from npnets.check.report import CONFORMS, COULD_NOT_RUN, DIFFERS, Finding, Report, Told
from npnets.check.terms import Terms, terms

# Of a value: what float32 may be off by.
FLOAT32 = 2.0**-20

# For which <dout, f(x)> = <dx, x> holds.
ADJOINT = ("conv2d", "group_conv2d", "depthwise_conv2d", "pointwise_conv2d", "depthwise_separable_conv2d",
           "channel_shuffle", "avg_pool2d", "global_avg_pool")  # fmt: skip


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
        if failed.ended:
            return Finding(operation, label, COULD_NOT_RUN, done, layout)
        known = words.where(done.outcomes), _turned(caller, role, operation, layout, done)
        return Finding(operation, label, COULD_NOT_RUN, done, layout, (), tuple(note for note in known if note))

    def again(case: Case) -> Outcome:
        return outcome(operation, case, caller.call(role, done.kind, operation, case, layout), layout)

    if not _steady(failed, again):
        note = ("Called again with the same arguments it returns something else: does it use an array before it is "
                "filled (np.empty), or keep something from call to call?")  # fmt: skip
        return Finding(operation, label, DIFFERS, done, layout, _told(operation, failed, done, layout, None), (note,))
    told = _told(operation, failed, done, layout, again)
    strange = any(one.difference.kind == "shape" and not one.words for one in told)
    turned = _turned(caller, role, operation, layout, done) if strange else ""
    notes = *_others(operation, failed, done), words.where(done.outcomes), turned
    return Finding(operation, label, DIFFERS, done, layout, told, tuple(note for note in notes if note))


def _turned(caller: Caller, role: str, operation: Operation, layout: str, done: Run) -> str:
    """Say so if the function is right in the other layout, which may be why it fails or returns other shapes."""
    (other,) = set(LAYOUTS) - {layout}
    there = run(caller, role, operation, other, cases(operation), (done.kind,))
    return f"With --layout {other} it conforms." if there.failed is None else ""


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
    wrong = {one.result for each in done.outcomes for one in each.differences}
    told = []
    for one in failed.differences:
        if again is None or one.result not in operation.results:
            told.append(Told(one, words.difference(operation, one, failed.case, layout, None), one.kind, ""))
            continue
        summed = _terms(operation, one, failed, again)
        said = words.difference(operation, one, failed.case, layout, summed)
        key, text = _named(operation, one, done, alone=len(wrong) == 1)
        if not key and summed is not None:
            text = words.overview(operation, summed, layout, failed.case)
        told.append(Told(one, said, key, text))
    return tuple(told)


def _terms(operation: Operation, one: Difference, failed: Outcome, again: Callable[[Case], Outcome]) -> Terms | None:
    number = operation.results.index(one.result)
    value = failed.found[number]
    if one.kind != "value" or value is None:
        return None

    def result(case: Case) -> Array | None:
        found = again(case).found
        return found[number] if len(found) > number else None

    return terms(result, operation, one.result, failed.case, value)


def _named(operation: Operation, one: Difference, done: Run, alone: bool) -> tuple[str, str]:
    """Return the key of the mistake, and what is said of it; "" twice where none is known."""
    if one.kind in ("value", "nan", "shape"):
        mistake, explained = recognise(operation, one.result, done.outcomes)
        if mistake is not None:
            return mistake.key, words.mistake(mistake, one.result, explained, alone)
        if one.expected and one.kind == "value" and abs(one.found - one.expected) <= FLOAT32 * abs(one.expected):
            return "float32", (
                "The first digits are right: it is computed in float32 on the way, and not in the dtype of x."
            )
    return (one.kind, "") if one.kind != "value" else ("", "")


def _others(operation: Operation, failed: Outcome, done: Run) -> list[str]:
    """Say which results are right in the smallest case, and wrong in another."""
    first = {one.result for one in failed.differences}
    notes = []
    for name in operation.results:
        found = [one for each in done.outcomes for one in each.differences if one.result == name]
        if found and name not in first:
            _, text = _named(operation, found[0], done, alone=False)
            notes.append(f"`{name}` differs in {len(found)} other cases{': ' + text if text else '.'}")
    return notes


def _adjoint(forward: Finding, backward: Finding) -> tuple[str, ...]:
    """Say whether the one function is the gradient of the other, right or wrong as they are."""
    if COULD_NOT_RUN in (forward.status, backward.status):
        return ()
    held = 0
    for ahead, back in zip(forward.run.outcomes, backward.run.outcomes, strict=False):
        given = back.case.arguments
        if not ahead.found or not back.found or any(one is None for one in (*ahead.found, *back.found)):
            continue
        out, dout = ahead.found[0], given["dout"]
        if out is None or out.shape != dout.shape:
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
            if abs(left - right) > UNITS * float(np.finfo(dout.dtype).eps) * float(np.vdot(abs(dout), abs(out))):
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
