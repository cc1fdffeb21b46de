"""What is said of a difference: in the letters of the formula, so that it can be followed on paper."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from npnets._check import Array
from npnets.check.cases import Case
from npnets.check.compare import Difference, Outcome
from npnets.check.mistakes import Mistake
from npnets.check.operations import Operation
from npnets.check.terms import Terms

# So many terms of a sum are written down, and arrays of so many values.
SHOWN_TERMS, SHOWN_VALUES = 3, 48

TIMES = "\N{MULTIPLICATION SIGN}"


def number(value: Any) -> str:
    """Write a number: a whole one without a point."""
    if not isinstance(value, float | np.floating):
        return str(value)
    return str(int(value)) if float(value).is_integer() and abs(float(value)) < 1e15 else f"{float(value):.6g}"


def call(operation: Operation, case: Case, layout: str) -> str:
    """Return `x (1, 3, 3, 1), weight (2, 2, 1), stride=1, padding=1, dilation=1`."""
    shapes = [f"{name} {operation.turned(name, value, layout).shape}" for name, value in case.arrays().items()]
    options = [f"{name}={operation.turned(name, value, layout)}" for name, value in case.options().items()]
    dtypes = {str(value.dtype) for value in case.arrays().values()} & {"float32"}
    return ", ".join([*shapes, *options, *sorted(dtypes)])


def arrays(operation: Operation, case: Case, layout: str) -> list[str]:
    """Return the values of small arrays, image by image: `F[0,:,:,0] = [[1 2]]`."""
    lines: list[str] = []
    if sum(one.size for one in case.arrays().values()) > SHOWN_VALUES:
        return lines
    for name, given in case.arrays().items():
        letter, axes = operation.symbols[name]
        value = operation.turned(name, given, layout)
        first = layout == "NCHW" and value.ndim == 4  # the channels
        image = [2, 3] if first else [axis for axis, at in enumerate(axes) if at in "klijrc"]
        if len(image) != 2:
            lines += _rows(letter, value)
            continue
        channels = 1 if first else value.ndim - 1
        if (first or image[1] == channels - 1) and value.shape[image[0]] == value.shape[image[1]] == 1:
            image = [channels]  # of one pixel
        others = [axis for axis in range(value.ndim) if axis not in image]
        for index in np.ndindex(*(value.shape[axis] for axis in others)):
            where: list[Any] = [slice(None)] * value.ndim
            for axis, at in zip(others, index, strict=True):
                where[axis] = at
            label = ",".join(":" if isinstance(at, slice) else str(at) for at in where)
            lines += _rows(f"{letter}[{label}]", value[tuple(where)])
    return lines


def _rows(label: str, value: Array) -> list[str]:
    width = max(len(number(one)) for one in value.flat)
    formatter: Any = {"all": lambda one: number(one).rjust(width)}
    text = np.array2string(value, formatter=formatter, separator=" ")
    first, *rest = text.splitlines()
    return [f"{label} = {first}", *(" " * (len(label) + 3) + line for line in rest)]


def difference(operation: Operation, one: Difference, case: Case, layout: str, found: Terms | None) -> str:
    """Return what differs, as a sentence."""
    name = one.result
    match one.kind:
        case "count":
            many = "value" if one.expected == 1 else "values"
            return f"It should return {one.expected} {many}, {', '.join(operation.results)}, and returns {one.found}."
        case "changed":
            return f"`{name}` is not what it was before the call: a function must leave its arguments as they are."
        case "missing":
            return f"`{name}` should be an array of the shape {one.expected}, and is None."
        case "shape":
            return f"`{name}` should have the shape {one.expected} and has {one.found}."
        case "dtype":
            return (
                f"`{name}` has the right values but is {one.found}, and should be {one.expected} as the arrays that go "
                "in: np.zeros(shape, x.dtype)."
            )
    shape = operation.correct(case.arguments)[operation.results.index(name)].shape
    place = operation.place(name, one.index, shape, layout)
    text = f"{place} should be {number(one.expected)} and is {number(one.found)}"
    if one.kind == "nan" and np.isinf(one.found) and abs(one.expected) > float(np.finfo(np.float16).max):
        return text + ": float16 ends at 65504."
    if one.kind == "nan":
        return text + ": is something too large (overflow), divided by 0, or used before it is filled (np.empty)?"
    told = sentence(operation, found, case, one.index, shape, layout) if found is not None else ""
    if not told:
        told = _input_there(operation, case, one.index, layout)
    return f"{text}{told}."


def _input_there(operation: Operation, case: Case, index: tuple[int, ...], layout: str) -> str:
    """Return the value of x at the place, for what is computed element by element."""
    x = case.arguments.get("x")
    if operation.forward not in ("relu", "relu6", "leaky_relu") or x is None or x.ndim != len(index):
        return ""
    names = [name for name in ("dout", "x") if name in case.arrays()]
    return ", where " + " and ".join(
        f"{operation.place(name, index, x.shape, layout)} = {number(case.arguments[name][index])}" for name in names
    )


def sentence(
    operation: Operation, found: Terms, case: Case, index: tuple[int, ...], shape: tuple[int, ...], layout: str
) -> str:
    """Return which terms of one value are missing, and which do not belong there."""
    at = int(np.ravel_multi_index(index, shape)) if shape else 0
    right, wrong = found.expected[..., at], found.found[..., at]
    missing = [tuple(one) for one in np.argwhere((right != 0) & (wrong == 0))]
    extra = [tuple(one) for one in np.argwhere((right == 0) & (wrong != 0))]
    factors = [tuple(one) for one in np.argwhere((right != 0) & (wrong != 0) & ~np.isclose(right, wrong))]
    teller = _Teller(operation, found.names, case, layout)
    parts = []
    if len(found.names) == 2 and (moved := _moved(teller, missing, extra)):
        missing, extra = [], []
        parts.append(_listed([teller.moved(*one) for one in moved], "and "))
    if missing:
        many = (
            f"{len(missing)} of its {np.count_nonzero(right)} terms are missing: " if len(missing) > 1 else "the term "
        )
        parts.append(
            many + _listed([teller.term(one) for one in missing]) + (" is missing" if len(missing) == 1 else "")
        )
    if extra:
        many = f"{len(extra)} terms do not belong there: " if len(extra) > 1 else "the term "
        parts.append(many + _listed([teller.term(one) for one in extra])
                     + (" does not belong there" if len(extra) == 1 else ""))  # fmt: skip
    if factors and not missing and not extra:
        one = factors[0]
        parts.append(f"the term {teller.term(one)} counts {number(wrong[one])} times instead of {number(right[one])}")
    return ": " + "; ".join(parts) if parts else ""


def _moved(teller: "_Teller", missing: Sequence[Any], extra: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return pairs of a missing term and the one in its place, if all of them are such pairs."""
    key = teller.key
    by_key: dict[Any, list[Any]] = {}
    for one in extra:
        by_key.setdefault(one[key], []).append(one)
    pairs = [(one, by_key[one[key]][0]) for one in missing if len(by_key.get(one[key], ())) == 1]
    return pairs if len(pairs) == len(missing) == len(extra) else []


class _Teller:
    """Writes terms: `i=2, j=2, m=0 (K=1 x F=2)`, with a sign of multiplication."""

    def __init__(self, operation: Operation, names: tuple[str, ...], case: Case, layout: str) -> None:
        self._operation, self._names, self._case, self._layout = operation, names, case, layout
        # What the indices of a term are taken from: the kernel, or dout where the kernel's gradient is looked at.
        self.key = next((at for at, name in enumerate(names) if name.endswith("weight")), 0)

    def term(self, one: Sequence[int]) -> str:
        values = [self._value(at, place) for at, place in enumerate(one)]
        if len(one) == 1:
            return f"{self._place(0, one[0])} ({values[0]})"
        return f"{self._indices(one)} ({values[self.key]} {TIMES} {values[1 - self.key]})"

    def moved(self, right: Sequence[int], wrong: Sequence[int]) -> str:
        other = 1 - self.key
        return (
            f"{self._indices(right)} meets {self._place(other, wrong[other])} "
            f"instead of {self._place(other, right[other])}"
        )

    def _array(self, at: int) -> Array:
        array: Array = self._case.arguments[self._names[at]]
        return array

    def _value(self, at: int, place: int) -> str:
        return f"{self._operation.symbols[self._names[at]].letter}={number(self._array(at).flat[place])}"

    def _place(self, at: int, place: int) -> str:
        array = self._array(at)
        index = tuple(int(one) for one in np.unravel_index(place, array.shape))
        return self._operation.place(self._names[at], index, array.shape, self._layout)

    def _indices(self, one: Sequence[int]) -> str:
        axes = self._operation.symbols[self._names[self.key]].axes
        index = np.unravel_index(one[self.key], self._array(self.key).shape)
        return ", ".join(f"{letter}={at}" for letter, at in zip(axes, index, strict=True))


def _listed(parts: Sequence[str], last: str = "") -> str:
    shown = list(parts[:SHOWN_TERMS])
    if len(parts) > SHOWN_TERMS:
        shown.append(f"and {len(parts) - SHOWN_TERMS} more")
    elif last and len(shown) > 1:
        shown[-1] = last + shown[-1]
    return "; ".join(shown)


def overview(operation: Operation, found: Terms, layout: str, case: Case) -> str:
    """Return what the terms of a whole result have in common; "" for nothing."""
    right, wrong = found.expected != 0, found.found != 0
    if (wrong & ~right).any() or not np.allclose(found.found[wrong], found.expected[wrong]) or (right == wrong).all():
        return ""
    teller = _Teller(operation, found.names, case, layout)
    for at in range(len(found.names)):
        axes = tuple(axis for axis in range(right.ndim) if axis != at)
        unread = np.flatnonzero(right.any(axes) & ~wrong.any(axes))
        if 0 < len(unread) < right.any(axes).sum():
            places = [teller._place(at, int(one)) for one in unread]
            verb = "is" if len(places) == 1 else "are"
            return f"{_listed(places)} {verb} read nowhere; every term that is summed is in its place."
    return "Every term that is summed is in its place: only some are missing."


def mistake(one: Mistake, result: str, cases: int, alone: bool) -> str:
    """Return what is said of a mistake that explains a result in so many cases; `alone`: no other result is wrong."""
    text = one.words if one.words[1].isupper() or one.words.startswith("dx") else one.words[0].upper() + one.words[1:]
    which = "these two mistakes" if ", " in one.key else "this mistake"
    where = f"in all {cases} cases" if cases > 1 else "there"
    if alone:
        return (
            f"{text}. Everything else is right: a function with {which} and no other returns the same as yours {where}."
        )
    return f"{text}. A function with {which} and no other returns the same `{result}` as yours {where}."


Test = Callable[[Mapping[str, Any]], bool]


def _image(given: Mapping[str, Any]) -> tuple[int, ...]:
    shape: tuple[int, ...] = next((given[name].shape for name in ("x", "dout", "logits") if name in given), ())
    return shape


def _kernel(given: Mapping[str, Any]) -> tuple[int, ...]:
    weight = given.get("weight", given.get("depthwise_weight"))
    return weight.shape[:2] if weight is not None and weight.ndim > 2 else (1, 1)


# What may tell the cases that agree from those that do not: the words for both, and the test of the second.
FEATURES: tuple[tuple[str, str, Test], ...] = (
    ("dilation=1", "dilation > 1", lambda given: given.get("dilation", 1) > 1),
    ("padding=0", "padding > 0", lambda given: given.get("padding", 0) > 0),
    ("stride=1", "stride > 1", lambda given: given.get("stride", 1) > 1),
    ("groups=1", "groups > 1", lambda given: given.get("groups", 1) > 1),
    ("count_include_pad=True", "count_include_pad=False", lambda given: not given.get("count_include_pad", True)),
    ("label_smoothing=0", "label_smoothing > 0", lambda given: given.get("label_smoothing", 0) > 0),
    ("a batch of 1", "a batch of 2 or more", lambda given: len(_image(given)) > 0 and _image(given)[0] > 1),
    ("one channel", "several channels", lambda given: _image(given)[-1:] > (1,)),
    ("square images", "images that are not square",
     lambda given: len(_image(given)) == 4 and _image(given)[1] != _image(given)[2]),
    ("square kernels", "kernels that are not square", lambda given: _kernel(given)[0] != _kernel(given)[1]),
    ("kernels of 1 x 1", "larger kernels", lambda given: max(_kernel(given)) > 1),
    ("float64", "float32", lambda given: next(iter(given.values())).dtype == np.float32),
    ("small numbers", "large numbers, whose sums float32 cannot hold",
     lambda given: abs(next(iter(given.values()))).max(initial=0) > 2**24),
)  # fmt: skip


def where(outcomes: Sequence[Outcome]) -> str:
    """Return which feature the cases that differ have in common, and those that agree have not; "" for none."""
    agree = [one.case.arguments for one in outcomes if one.agrees]
    differ = [one.case.arguments for one in outcomes if not one.agrees]
    for without, having, test in FEATURES if agree else ():
        if all(map(test, differ)) and not any(map(test, agree)):
            return (
                f"It agrees in all {len(agree)} cases with {without}, and differs in all {len(differ)} with {having}."
            )
    for without, having, test in FEATURES if agree else ():
        if all(map(test, differ)) and sum(map(test, agree)) < len(agree):
            quiet = sum(not test(one) for one in agree)
            return (
                f"It agrees in all {quiet} cases with {without}, and differs in {len(differ)} of "
                f"{len(outcomes) - quiet} with {having}."
            )
    return ""
