"""What `npnets check` knows of each operation: its arguments, its results, and the letters that its formula gives them.

The letters are those at the top of each file of `npnets.ops`: G[b,k,l,n] is the output, K[i,j,m,n] the kernel. The
gradient of an array has a d before its letter and the same axes.
"""

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from npnets import ops
from npnets._check import Array
from npnets._config import Function, use
from npnets.weights.layout import to_oihw

LAYOUTS = ("NHWC", "NCHW")


class Symbol(NamedTuple):
    """An array in the formula: `K` with the axes `ijm`, in npnets' layout; no axes where any shape will do."""

    letter: str
    axes: str = ""


IMAGE = {"x": "F bklm", "out": "G bklm"}
WINDOW = {"x": "F brcm", "out": "G bklm"}
ELEMENTS = {"x": "F", "out": "G"}
NORM = {"x": "x", "weight": "gamma m", "bias": "beta m", "out": "y", "mean": "mu m", "inv_std": "r m",
        "running_mean": "mu m", "running_var": "v m"}  # fmt: skip
FORMULAS: dict[str, dict[str, str]] = {
    "conv2d": {"x": "F brcm", "weight": "K ijmn", "out": "G bkln"},
    "group_conv2d": {"x": "F brcm", "weight": "K ijmn", "out": "G bkln"},
    "depthwise_conv2d": {"x": "F brcm", "weight": "K ijm", "out": "G bklm"},
    "pointwise_conv2d": {"x": "F bklm", "weight": "K mn", "out": "G bkln"},
    "depthwise_separable_conv2d": {
        "x": "F brcm", "depthwise_weight": "D ijm", "pointwise_weight": "P mn", "out": "G bkln",
    },
    "linear": {"x": "F bm", "weight": "K mn", "bias": "v n", "out": "G bn"},
    "bias_add": {"x": "F", "bias": "b n", "out": "G"},
    "channel_shuffle": IMAGE,
    "relu": ELEMENTS,
    "relu6": ELEMENTS,
    "leaky_relu": ELEMENTS,
    "max_pool2d": WINDOW,
    "avg_pool2d": WINDOW,
    "global_avg_pool": {"x": "F bklm", "out": "G bm"},
    "batch_norm_train": NORM,
    "batch_norm_eval": NORM,
    "softmax_cross_entropy": {"logits": "z bn", "labels": "y b", "loss": "loss", "dlogits": "dz bn"},
}  # fmt: skip

# What an operation returns, where it is not `out`.
RETURNS = {"batch_norm_train": ("out", "mean", "inv_std"), "softmax_cross_entropy": ("loss", "dlogits")}

# The arrays whose products an operation sums, where they are not all of them.
FACTORS: dict[str, tuple[str, ...]] = {
    "bias_add": ("x",),
    "linear": ("x", "weight"),
    "depthwise_separable_conv2d": ("x",),
    **dict.fromkeys(("max_pool2d", "relu", "relu6", "leaky_relu", "softmax_cross_entropy"), ()),
    **dict.fromkeys(("batch_norm_train", "batch_norm_eval"), ()),
}


class Operation(NamedTuple):
    """An operation, or the gradient of one.

    Attributes
    ----------
    name, forward
        As in `npnets.ops`; of a gradient `forward` is the operation that it is the gradient of.
    arrays, options
        Its arguments: those that are arrays, and the other ones.
    positional
        Those of both that it takes by position; the others are keywords.
    results
        The names of what it returns.
    symbols
        Of arrays and results.
    """

    name: str
    forward: str
    arrays: tuple[str, ...]
    options: tuple[str, ...]
    positional: tuple[str, ...]
    results: tuple[str, ...]
    symbols: Mapping[str, Symbol]

    def factors(self, result: str) -> tuple[str, ...]:
        """Return the arrays whose products one result sums, if it is such a sum: for dx the kernel and dout."""
        summed = FACTORS.get(self.forward, find(self.forward).arrays if self.name != self.forward else self.arrays)
        if self.name == self.forward or not summed:
            return summed
        others = (name for name in summed if "d" + name != result and name in self.arrays)
        return ("dout",) if result == "dbias" else ("dout", *others)

    def correct(self, arguments: Mapping[str, Any]) -> tuple[Array, ...]:
        """Return what npnets itself returns: its NumPy implementation, which nothing has to compile."""
        function: Function = getattr(ops, self.name)
        with use("numpy"):
            results = function(**arguments)
        return tuple(np.asarray(one) for one in (results if isinstance(results, tuple) else (results,)))

    def turned(self, name: str, value: Any, layout: str) -> Any:
        """Return an argument or a result in a layout: feature maps and kernels as npnets or as PyTorch has them."""
        if layout == "NHWC" or name in ("kernel_size", "labels"):
            return value
        if name == "x_shape":
            return (value[0], value[3], *value[1:3])
        if not isinstance(value, np.ndarray):
            return value
        axes = self.symbols[name].axes
        if axes in ("ijmn", "ijm") or (axes == "mn" and self.forward != "linear"):
            return to_oihw(value)
        if axes == "mn":
            return np.ascontiguousarray(value.T)
        return np.ascontiguousarray(np.moveaxis(value, -1, 1)) if value.ndim > 2 else value

    def turned_back(self, name: str, value: Array, layout: str) -> Array:
        """Return a result that has the axes of `layout` in npnets' own; one with other axes as it is."""
        axes = self.symbols[name].axes
        if layout == "NHWC":
            return value
        if axes == "mn" and self.forward == "linear":
            return value.T
        if axes in ("ijmn", "ijm", "mn"):
            if value.ndim != 4:
                return value
            back: Array = value.transpose(2, 3, 1, 0)
            return back if axes == "ijmn" else back[:, :, 0] if axes == "ijm" else back[0, 0]
        return np.moveaxis(value, 1, -1) if value.ndim > 2 else value

    def place(self, name: str, index: Sequence[int], shape: tuple[int, ...], layout: str) -> str:
        """Return how a value of an array is written: `K[2,2,0]`."""
        letter = self.symbols[name].letter
        if not shape:
            return letter
        flat = self.turned(name, np.arange(np.prod(shape)).reshape(shape), layout)
        (found,) = np.argwhere(flat == np.ravel_multi_index(tuple(index), shape))
        return f"{letter}[{','.join(map(str, found))}]"


@cache
def find(name: str) -> Operation:
    """Return what is known of an operation, or raise ValueError."""
    if name not in ops.__all__:
        raise ValueError(f"`{name}` is not an operation of npnets: there are {', '.join(ops.__all__)}")
    forward = name.removesuffix("_backward")
    symbols = {key: Symbol(*text.split()) for key, text in FORMULAS[forward].items()}
    out = symbols.get("out", Symbol(""))
    symbols |= {"dout": Symbol("d" + out.letter, out.axes)}
    symbols |= {"d" + key: Symbol("d" + one.letter, one.axes) for key, one in symbols.items()}
    parameters = inspect.signature(getattr(ops, name)).parameters.values()
    # A standard convolution has one group; with more of them it is `group_conv2d`.
    names = tuple(one.name for one in parameters if (forward, one.name) != ("conv2d", "groups"))
    arrays = tuple(one for one in names if one in symbols)
    results = RETURNS.get(name, ("out",))
    if name != forward:
        own = inspect.signature(getattr(ops, forward)).parameters
        results = tuple("d" + one for one in own if one in symbols and not one.startswith("running"))
    return Operation(
        name,
        forward,
        arrays,
        tuple(one for one in names if one not in arrays),
        tuple(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD),
        results,
        symbols,
    )


def options_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are no arrays."""
    return {name: value for name, value in arguments.items() if not isinstance(value, np.ndarray)}
