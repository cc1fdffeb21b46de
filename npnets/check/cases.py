"""What a function is called with: small whole numbers in growing shapes, so that the first case that fails is small.

The cases of an operation are not drawn at random. `GRIDS` names the values that each feature of a call can have (the
sides of the image, the kernel, the stride, ...). Of all their combinations, sorted by the size of the arrays, those are
kept that show a pair of values that no smaller one has shown: what goes wrong wherever two features meet is met in its
smallest case.
"""

import math
from collections.abc import Iterator
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np

from npnets._check import Array
from npnets.check.operations import Operation, find

# The factor of inputs whose sums float64 holds exactly and float32 does not.
LARGE = 2**25 + 1


class Case(NamedTuple):
    """One call: the arguments by name, arrays and options, in the order of the operation's own."""

    arguments: dict[str, Any]

    def arrays(self) -> dict[str, Array]:
        """Return the arguments that are arrays."""
        return {name: value for name, value in self.arguments.items() if isinstance(value, np.ndarray)}

    def options(self) -> dict[str, Any]:
        """Return the others."""
        return {name: value for name, value in self.arguments.items() if not isinstance(value, np.ndarray)}

    def cast(self, dtype: Any) -> "Case":
        """Return the same call in another dtype."""
        return Case({name: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
                     for name, value in self.arguments.items()})  # fmt: skip


Features = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]

SIDES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (2, 3), (3, 3), (4, 4), (5, 4), (4, 5))
KERNELS = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (3, 3))
WINDOWS: Features = {"B": (1, 2), "sides": SIDES, "kernel": KERNELS, "stride": (1, 2, 3), "padding": (0, 1, 2),
                     "dilation": (1, 2)}  # fmt: skip
POOLS: Features = {"B": (1, 2), "sides": SIDES, "C": (1, 2), "kernel_size": (1, 2, 3), "stride": (1, 2, 3),
                   "padding": (0, 1)}  # fmt: skip
ANY: Features = {"shape": ((2,), (3,), (2, 2), (3, 2), (2, 1, 2), (1, 2, 2, 2), (2, 2, 3, 3))}
GROUPS: Features = {"groups": (1, 2, 3), "M": (1, 2), "N": (1, 2)}
# What the small ones may not show: all options, on one image that is large enough for them.
LAST: Features = {"B": (2,), "sides": ((7, 6),), "kernel": ((3, 3), (2, 3)), "M": (2,), "N": (2,), "C": (3,)}
GRIDS: dict[str, Features] = {
    "conv2d": WINDOWS | {"M": (1, 2, 3), "N": (1, 2, 3)},
    "group_conv2d": WINDOWS | GROUPS,
    "depthwise_conv2d": WINDOWS | {"C": (1, 2, 3)},
    "depthwise_separable_conv2d": WINDOWS | {"C": (1, 2), "N": (1, 2)},
    "pointwise_conv2d": {"B": (1, 2), "sides": SIDES[:6]} | GROUPS,
    "linear": {"B": (1, 2, 3), "M": (1, 2, 3, 4), "N": (1, 2, 3, 4)},
    "bias_add": ANY,
    "channel_shuffle": {"B": (1, 2), "sides": SIDES[:5], "groups": (1, 2, 3, 4), "n": (1, 2, 3, 4)},
    "relu": ANY,
    "relu6": ANY,
    "leaky_relu": ANY | {"negative_slope": (0.5, 0.0, 0.25, 0.01)},
    "max_pool2d": POOLS,
    "avg_pool2d": POOLS | {"count_include_pad": (True, False)},
    "global_avg_pool": {"B": (1, 2, 3), "sides": SIDES[:8], "C": (1, 2, 3)},
    "batch_norm_train": ANY | {"eps": (0.5, 1e-5)},
    "batch_norm_eval": ANY | {"eps": (0.5, 1e-5)},
    "softmax_cross_entropy": {"B": (1, 2, 3), "N": (2, 1, 3, 4), "label_smoothing": (0.0, 0.25)},
}


def cases(operation: Operation) -> tuple[Case, ...]:
    """Return the cases of an operation, in float64, from small to large; then some of large numbers or in float32.

    Small means few values in the arrays, and then small strides, paddings and so on. The arrays cannot be written to.
    """
    return _cases(operation.name)


@cache
def _cases(name: str) -> tuple[Case, ...]:
    made = tuple(_made(find(name)))
    for case in made:
        for array in case.arrays().values():
            array.flags.writeable = False
    return made


def _made(operation: Operation) -> Iterator[Case]:
    grid = GRIDS[operation.forward]
    features = [found for found in _combinations(grid) if _fits(found)]
    features.sort(key=lambda found: (_size(operation.forward, found), sum(_numbers(found))))
    features = list(_covering(features))
    if "padding" in grid:
        last = grid | {name: values for name, values in LAST.items() if name in grid}
        features += [found for found in _combinations(last) if _fits(found)]
    chosen = [_case(operation, found, seed) for seed, found in enumerate(features)]
    yield from chosen
    if operation.forward not in ("batch_norm_train", "batch_norm_eval", "softmax_cross_entropy"):
        yield from (_larger(operation, case) for case in chosen[:: -(-len(chosen) // 8)])
    if operation.forward == "softmax_cross_entropy":  # whose exp overflows unless the largest logit is subtracted
        yield from (Case(case.arguments | {"logits": case.arguments["logits"] + 1000}) for case in chosen[::4])
    yield from (case.cast(np.float32) for case in chosen[:: -(-len(chosen) // 16)])


# What an example shows: everything does something, and all of it can be followed on paper.
EXAMPLE: Features = {
    "B": 1, "sides": (3, 3), "kernel": (2, 2), "stride": 2, "padding": 1, "dilation": 1, "kernel_size": 2, "C": 1,
    "M": 2, "N": 3, "n": 3, "groups": 2, "shape": (3, 2), "eps": 0.5, "negative_slope": 0.25, "label_smoothing": 0.0,
    "count_include_pad": True,
}  # fmt: skip


def example(operation: Operation) -> Case:
    """Return a case to show."""
    grid = GRIDS[operation.forward]
    found = {name: EXAMPLE[name] for name in grid}
    if "sides" not in grid and "B" in grid:
        found["B"] = 2
    elif "N" in grid:
        found["N"] = 1
    if "sides" in grid and "stride" not in grid:
        found["sides"] = 1, 2
    return _case(operation, found, seed=1)


def _combinations(grid: Features) -> Iterator[Features]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _covering(features: list[Features]) -> Iterator[Features]:
    """Keep what shows two values together that nothing before it has shown."""
    seen: set[Any] = set()
    for found in features:
        pairs: set[Any] = set(combinations(found.items(), 2)) or set(found.items())
        if not pairs <= seen:
            seen |= pairs
            yield found


def _fits(found: Features) -> bool:
    """Return whether the window lies in the image; PyTorch's pools want a padding of at most half of it, too."""
    if "sides" not in found or "stride" not in found:
        return found.get("shape", (2, 2))[:-1] != () or "eps" not in found  # batch norm: two values for each channel
    kernel = found.get("kernel", (found.get("kernel_size"),) * 2)
    d, p = found.get("dilation", 1), found["padding"]
    if "kernel_size" in found and 2 * p > kernel[0]:
        return False
    if d > 1 and kernel == (1, 1):  # nothing is spread
        return False
    return all(side + 2 * p >= d * (k - 1) + 1 for side, k in zip(found["sides"], kernel, strict=True))


def _numbers(found: Features) -> Iterator[float]:
    return (value for value in found.values() if not isinstance(value, tuple))


def _size(forward: str, found: Features) -> int:
    shapes = _shapes(forward, found)
    size = sum(math.prod(shape) for shape in shapes.values())
    return size + (found["padding"] * sum(found["sides"]) if "padding" in found else 0)


def _shapes(forward: str, found: Features) -> Shapes:
    """Return the shapes of an operation's arrays."""
    B, C, g = found.get("B", 1), found.get("C", 1), found.get("groups", 1)
    M, N, sides = found.get("M", 1), found.get("N", 1), found.get("sides", ())
    kernel = found.get("kernel", ())
    match forward:
        case "conv2d" | "group_conv2d":
            return {"x": (B, *sides, g * M), "weight": (*kernel, M, g * N)}
        case "depthwise_conv2d":
            return {"x": (B, *sides, C), "weight": (*kernel, C)}
        case "depthwise_separable_conv2d":
            return {"x": (B, *sides, C), "depthwise_weight": (*kernel, C), "pointwise_weight": (C, N)}
        case "pointwise_conv2d":
            return {"x": (B, *sides, g * M), "weight": (M, g * N)}
        case "linear":
            return {"x": (B, M), "weight": (M, N), "bias": (N,)}
        case "channel_shuffle":
            return {"x": (B, *sides, g * found["n"])}
        case "softmax_cross_entropy":
            return {"logits": (B, N), "labels": (B,)}
        case "bias_add" | "batch_norm_train" | "batch_norm_eval":
            shape = found["shape"]
            more = ("running_mean", "running_var") if forward == "batch_norm_eval" else ()
            names = ("bias",) if forward == "bias_add" else ("weight", "bias", *more)
            return {"x": shape, **dict.fromkeys(names, shape[-1:])}
        case _:
            return {"x": found.get("shape", (B, *sides, C))}


def _case(operation: Operation, found: Features, seed: int) -> Case:
    """Return the call of an operation with these features; a gradient gets what its operation got and returned."""
    rng = np.random.default_rng(seed)
    forward = find(operation.forward)
    arrays = {name: _values(rng, forward, name, shape, found) for name, shape in _shapes(forward.name, found).items()}
    given = arrays | {name: found[name] for name in forward.options}
    if operation.name == operation.forward:
        return Case({name: given[name] for name in (*operation.arrays, *operation.options)})
    results = dict(zip(forward.results, forward.correct(given), strict=True))
    dout = results["out"]
    given |= results | {"x_shape": arrays["x"].shape}
    unit = _unit(found) if forward.name in ("avg_pool2d", "global_avg_pool") else 1
    given["dout"] = unit * _whole(rng, dout.shape)
    return Case({name: given[name] for name in (*operation.arrays, *operation.options)})


def _values(rng: np.random.Generator, forward: Operation, name: str, shape: tuple[int, ...], found: Features) -> Array:
    if name == "labels":
        return rng.integers(0, found["N"], shape)
    if name == "running_var":
        return np.abs(_whole(rng, shape))
    if forward.name in ("relu", "relu6", "leaky_relu"):  # every value of interest, from the kinks on
        first = [0, 6, -1, 2, 7, 1, -3, 5]
        return np.resize(np.roll(first, -rng.integers(2)), shape).astype(np.float64)
    if forward.name == "max_pool2d":  # no two alike in the small ones, some in the larger ones
        size = math.prod(shape)
        numbers = rng.permutation(size) - size // 2
        return (numbers if size < 24 else numbers // 3).reshape(shape).astype(np.float64)
    values: Array = _unit(found) * _whole(rng, shape)
    return values


def _whole(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return whole numbers from -9 to 9, without 0, and no two alike if they are few: each term of a sum shows."""
    size = math.prod(shape)
    numbers = 1 + (rng.permutation(9)[:size] if size <= 9 else rng.integers(9, size=size))
    signed: Array = numbers * rng.choice([-1.0, 1.0, 1.0], size)
    return signed.reshape(shape)


def _unit(found: Features) -> int:
    """Return what makes all means whole numbers: a multiple of the pixels that a window can have."""
    if "kernel_size" in found:
        return math.lcm(*range(1, found["kernel_size"] + 1)) ** 2
    return math.prod(found["sides"]) if set(found) == {"B", "sides", "C"} else 1


def _larger(operation: Operation, case: Case) -> Case:
    """Make the first array large: float64 still holds all sums, float32 does not."""
    first = operation.arrays[0]
    return Case(case.arguments | {first: case.arguments[first] * LARGE})
