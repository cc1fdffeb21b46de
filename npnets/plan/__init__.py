"""Inference: a network, with its weights of now, as one fused call.

`_lower` makes a list of operations of the tree of layers, with batch norm folded into the weights; `_layout` plans, for
images of one size, where everything lies and in which order it is done; `kernels.inference` does it.
"""

import copy
import time
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npnets._check import FLOATS, Array, image, integer
from npnets._config import functions
from npnets._parallel import members, team
from npnets.kernels import inference
from npnets.kernels.team import counters
from npnets.models import MobileNetV1, Network
from npnets.plan._layout import LINE, Layout, layout
from npnets.plan._lower import aligned, lower

__all__ = ["Compiled", "FusedStep", "compile", "prepare"]

# How many sizes of images a compiled network keeps plans for, and workspaces of past calls.
LAYOUTS, WORKSPACES = 16, 4


class FusedStep(NamedTuple):
    """What a fused step of a compiled network costs, for one image on one thread.

    Attributes
    ----------
    name
        The layers that it stands for, joined by " + ".
    seconds
        The median of the repeats.
    mult_adds
        Counted as by `npnets.cost`.
    bytes
        What it reads and writes in memory at least: inputs, weights, outputs.
    """

    name: str
    seconds: float
    mult_adds: int
    bytes: int


class Compiled:
    """A network compiled for inference: what `compile` returns. Calling it gives logits."""

    def __init__(self, net: Network) -> None:
        self._net, self._program = net, lower(net)
        self._layers = copy.deepcopy(net).eval() if functions() else None  # which the program knows nothing of
        self._layout = lru_cache(LAYOUTS)(self._plan)
        self._workspaces: deque[Array] = deque(maxlen=WORKSPACES)  # of past calls, for the next ones

    def __call__(self, x: Array) -> Array:
        """Return the logits (B, classes), a fresh array, for images `x` (B, H, W, C) of the network's dtype.

        Raises
        ------
        TypeError, ValueError
            As the network itself.
        """
        x = self._images(x)
        if functions():
            return self._through_layers(x)
        plan, mult_adds = self._layout(x.shape[1:])
        work = len(x) * sum(mult_adds.values())
        call = _Call(plan, self._program.params, x, members(work), self._workspaces)
        with np.errstate(all="ignore"):  # as compiled code does
            team(inference.infer, work, *call.arguments())
        return call.logits()

    def profile(self, x: Array, *, repeats: int = 20) -> tuple[FusedStep, ...]:
        """Time each fused step for one image, on one thread; step by step, so that each finds its caches cold-ish.

        Parameters
        ----------
        x
            One image, (1, H, W, C).
        repeats
            How often each step is timed, the whole network from first to last each time.

        Returns
        -------
        One `FusedStep` for each step, in order; the median of the repeats.

        Raises
        ------
        TypeError, ValueError
            `x` is not one image of the network, or `repeats` no whole number of at least 1.
        """
        x, repeats = self._images(x), integer("repeats", repeats, 1)
        if len(x) != 1:
            raise ValueError(f"`x` must be one image, (1, H, W, {x.shape[3]}), and has the shape {x.shape}")
        plan, mult_adds = self._layout(x.shape[1:])
        call = _Call(plan, self._program.params, x, 1, self._workspaces)
        seconds = np.zeros((repeats + 1, len(plan.operations)))  # the first time does not count
        for row in seconds:
            for step in range(len(row)):
                arguments = call.arguments(step, step + 1)
                begin = time.perf_counter()
                inference.infer(*arguments)
                row[step] = time.perf_counter() - begin
        call.logits()
        steps = []
        for ops, bytes_, median in zip(plan.operations, plan.bytes, np.median(seconds[1:], 0), strict=True):
            names = [name for op in ops for name in op.names]
            steps.append(FusedStep(" + ".join(names), float(median), sum(mult_adds.get(n, 0) for n in names), bytes_))
        return tuple(steps)

    def _through_layers(self, x: Array) -> Array:
        """Return the logits with the functions that `npnets.use` has put in the place of operations."""
        if self._layers is None:
            names = ", ".join(sorted(functions()))
            raise RuntimeError(f"this network was compiled before npnets.use({names}): compile it again, after that")
        return self._layers(x)

    def _images(self, x: Array) -> Array:
        """Return `x` as kernels take it, or raise what the network does."""
        x = self._net.images(x)
        image("x", x.shape)
        return x

    def _plan(self, shape: tuple[int, int, int]) -> tuple[Layout, dict[str, int]]:
        """Return the plan for images of a shape, and each layer's multiply-adds; or raise what the network does."""
        steps, _ = self._net.walk(shape, "")
        return layout(self._program, shape[:2]), {step.name: step.mult_adds for step in steps}


class _Call:
    """One call: a workspace, and the arguments of `inference.infer`."""

    def __init__(self, plan: Layout, params: Array, x: Array, threads: int, workspaces: deque[Array]) -> None:
        self._plan, self._params, self._x, self._workspaces = plan, params, x, workspaces
        B = len(x)
        self._whole = B if threads == 1 else B - B % threads
        # features of all images | their logits | buffers of an image for each thread, and of one more | scratches
        self._at = _lines(B * plan.features)
        images = self._at + _lines(B * plan.classes)
        scratches = images + (threads + 1) * plan.image
        size = scratches + threads * plan.scratch + 2 * LINE
        self._spaces = np.array([threads, images, plan.image, scratches, plan.scratch])
        self._work = self._workspace(size, x.dtype)
        self._steps = plan.steps.copy()
        self._steps[-inference.STEP + inference.OUT_AT] = self._at

    def arguments(self, first: int = 0, last: int | None = None) -> tuple[Any, ...]:
        """Return the arguments for the phases first..last, all of them by default, with fresh counters."""
        plan, B = self._plan, len(self._x)
        phases = len(plan.operations)
        counts = counters(2 + (B - self._whole + 1) * phases)
        return (self._steps, plan.phases, plan.tables, self._params, plan.values, self._x.reshape(-1), self._work,
                counts, self._spaces, B, self._whole, first, phases if last is None else last)  # fmt: skip

    def logits(self) -> Array:
        """Return the logits, and leave the workspace to other calls. A thread that is late does not touch it."""
        B, N = len(self._x), self._plan.classes
        logits = self._work[self._at : self._at + B * N].reshape(B, N).copy()
        self._workspaces.append(self._work)
        return logits

    def _workspace(self, size: int, dtype: np.dtype[Any]) -> Array:
        try:
            work = self._workspaces.pop()
        except IndexError:
            return aligned(size, dtype)
        return work if len(work) >= size else aligned(size, dtype)


def compile(net: Network) -> Compiled:
    """Compile a network for inference: the same logits as `net.eval()(x)`, several times as fast.

    Batch norm is folded into the weights (in float64, rounded once), bias and activation are part of the product that
    they follow, depthwise and pointwise convolution one step, the channel shuffle only another order of reading. All
    buffers are planned once for each size of images and used again.

    The weights and running statistics are those of the moment of compiling: training the network or loading another
    state does not change what was compiled. Where `npnets.use` has put a function of yours in an operation's place,
    nothing is fused: the layers run one by one, so that it is called.

    Calls from several Python threads at once are safe. Each uses the threads of `npnets.set_threads`, and the bits do
    not depend on how many there are, nor on the other images of the batch.

    On a machine that has not done so before, the kernels are compiled first, which takes some ten seconds, and kept for
    the next time; in a terminal or a notebook a line says so (`logging.getLogger("npnets")` can silence it). The
    command `npnets warmup` does it beforehand.

    Parameters
    ----------
    net
        A `MobileNetV1` or `ShuffleNetV1`, or another network made of their layers in the same order.

    Returns
    -------
    A callable that takes images (B, H, W, C) of the network's dtype and returns logits (B, classes), a fresh array. It
    raises for other arrays what the network raises. `profile` times its steps.

    Raises
    ------
    TypeError
        `net` is no network, or holds a layer that compile does not know, which the message names.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> net = npnets.MobileNetV1(width=0.25, num_classes=10).eval()
    >>> x = np.random.default_rng(0).standard_normal((2, 65, 57, 3)).astype(np.float32)
    >>> fast = npnets.compile(net)
    >>> fast(x).shape, bool(np.abs(fast(x) - net(x)).max() < 1e-4)
    ((2, 10), True)
    """
    if not isinstance(net, Network):
        raise TypeError(f"`net` must be a network such as MobileNetV1 or ShuffleNetV1, and is a {type(net).__name__}")
    for method in ("__call__", "forward", "images"):
        if getattr(type(net), method) is not getattr(Network, method):
            raise TypeError(f"`net` is a {type(net).__name__} with its own `{method}`, which compile does not know")
    prepare(net.dtype)
    return Compiled(net)


def prepare(dtype: np.dtype[Any]) -> None:
    """Load the kernels for a dtype, or compile and keep them; `compile` does so itself, a warm-up may come first."""
    dtype = np.dtype(dtype)
    if dtype in _prepared or dtype not in FLOATS:
        return
    Compiled(MobileNetV1(rows=(), width=0.25, num_classes=1, dtype=dtype))(np.zeros((1, 3, 3, 3), dtype))
    _prepared.add(dtype)


_prepared: set[np.dtype[Any]] = set()


def _lines(values: int) -> int:
    return -(-values // LINE) * LINE
