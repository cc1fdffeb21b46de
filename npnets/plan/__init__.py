"""Inference: a network with its weights of now as one call."""

import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from npnets._check import Array, Ints
from npnets._parallel import get_threads, team
from npnets.kernels import inference
from npnets.kernels.team import counters
from npnets.models import Network
from npnets.plan._layout import END_IMAGES, Layout, layout
from npnets.plan._lower import Program, aligned, lower


class Step(NamedTuple):
    name: str
    seconds: float
    mult_adds: int
    bytes: int


class Plan:
    """A network compiled for inference: see `compile`."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._program: Program = lower(net)
        self._layouts: dict[Ints, Layout] = {}
        self._work: deque[Array] = deque(maxlen=4)

    def __call__(self, x: Array) -> Array:
        """Return the logits (B, classes) of images x (B, H, W, C)."""
        call = self._call(x)
        team(inference.infer, len(x) * 10**9, *call.args)
        out = call.logits.copy()
        self._work.append(call.work)
        return out

    def _call(self, x: Array) -> "_Call":
        x = self._net.checked(x)
        sides = x.shape[1], x.shape[2]
        plan = self._layouts.get(sides)
        if plan is None:
            plan = self._layouts[sides] = layout(self._program, sides)
        threads, B = get_threads(), len(x)
        whole = B if threads == 1 else B - B % threads
        features = -(-(B * plan.features + 64) // 16) * 16
        logits = features
        shared = logits + -(-(B * plan.classes + 64) // 16) * 16
        images = threads + 1
        scratch_at = shared + images * plan.image
        size = scratch_at + threads * plan.scratch + 64
        work = self._workspace(size, x.dtype)
        steps = plan.steps.copy()
        steps[-inference.STEP + inference.OUT_AT] = logits
        spaces = np.array([threads, shared, plan.image, scratch_at, plan.scratch])
        phases = len(plan.names)
        counts = counters(3 + (B - whole) * phases)
        args = (steps, plan.phases, plan.tables, plan.params, x.reshape(-1), work, counts, B, whole, 0, phases,
                -(-B // END_IMAGES), spaces)  # fmt: skip
        return _Call(args, work, work[logits : logits + B * plan.classes].reshape(B, plan.classes), plan)

    def _workspace(self, size: int, dtype: np.dtype[Any]) -> Array:
        try:
            work = self._work.pop()
        except IndexError:
            return aligned(size, dtype)
        return work if len(work) >= size else aligned(size, dtype)

    def profile(self, x: Array, repeats: int = 10) -> list[Step]:
        call = self._call(x)
        args = list(call.args)
        names = call.plan.names
        seconds = np.zeros((repeats + 1, len(names)))
        for r in range(repeats + 1):
            for f in range(len(names)):
                args[6] = counters(3 + len(x) * 4)
                args[8] = len(x)
                args[9], args[10] = f, f + 1
                t = time.perf_counter()
                inference.infer(*args)
                seconds[r, f] = time.perf_counter() - t
        return [Step(n, s, 0, 0) for n, s in zip(names, np.median(seconds[1:], 0), strict=True)]


class _Call(NamedTuple):
    args: tuple[Any, ...]
    work: Array
    logits: Array
    plan: Layout


def compile(net: Network) -> Plan:
    """Return a callable."""
    return Plan(net)
