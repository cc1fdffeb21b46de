"""Where the time of a fused training step goes: each phase of its program, timed by itself."""

import time
from typing import NamedTuple

import numpy as np

from npnets._check import Array
from npnets.kernels import training as k
from npnets.models import Network
from npnets.train.fused import Program
from npnets.train.sgd import SGD

NAMES = {
    k.STEM: "stem", k.PRODUCT: "product", k.DEPTHWISE: "depthwise", k.MAX_POOL: "max pool", k.JOIN: "join",
    k.MEAN_POOL: "mean pool", k.KEEP: "keep", k.STEM_BACK: "stem, back", k.PRODUCT_BACK: "product, back",
    k.DEPTHWISE_BACK: "depthwise, back", k.MAX_POOL_BACK: "max pool, back", k.JOIN_BACK: "join, back",
    k.SHORTCUT_BACK: "shortcut, back", k.MEAN_POOL_BACK: "mean pool, back", k.KEEP_BACK: "keep, back",
}  # fmt: skip
# Small ones, between the walks over the maps: all of a kind are shown as one.
BETWEEN = {
    k.PACK: "weights, packed", k.FINISH: "statistics", k.FINISH_BACK: "norms, back", k.REDUCE: "weights, back: sums",
    k.MOVE: "SGD",
}  # fmt: skip
FORWARD = (k.STEM, k.PRODUCT, k.DEPTHWISE, k.MAX_POOL, k.JOIN, k.MEAN_POOL, k.KEEP)


class PhaseTime(NamedTuple):
    """A phase: what it does, its seconds, its multiply-adds, and the bytes that it reads and writes at least."""

    name: str
    seconds: float
    mult_adds: int
    moved: int


def profile(net: Network, x: Array, *, repeats: int = 10) -> tuple[PhaseTime, ...]:
    """Time each phase of the fused training step of `net` with images `x`, on all threads.

    Each phase alone includes handing it to the threads, some 20 microseconds that a whole step takes only twice.

    Parameters
    ----------
    net
        A network in training mode that has a fused step; its parameters stay as they are, its running statistics move.
    x
        (B, H, W, C).
    repeats
        How often each phase is timed, the whole step from first to last each time; the median counts.
    """
    program = Program(net, x.shape)
    optimizer = SGD(net, lr=0.0, momentum=0.9)
    program.backward(np.zeros_like(program.forward(x)), optimizer)  # compiles, and is not counted
    phases = range(len(program.phases))
    seconds = np.zeros((repeats, len(phases)))
    for row in seconds:
        for phase in phases:
            begin = time.perf_counter()
            program.run(x, phase, phase + 1, optimizer)
            row[phase] = time.perf_counter() - begin
    found: dict[str, PhaseTime] = {}
    for phase, taken in zip(phases, np.median(seconds, 0), strict=True):
        name, mult_adds, moved = _describe(program, phase)
        before = found.get(name, PhaseTime(name, 0.0, 0, 0))
        found[name] = PhaseTime(name, before.seconds + float(taken), before.mult_adds + mult_adds, before.moved + moved)
    return tuple(found.values())


def _describe(program: Program, phase: int) -> tuple[str, int, int]:
    """Return a name, the multiply-adds and the bytes of a phase; phases alike have one name."""
    f = program.phases[phase]
    kind, size = f[k.KIND], program.arena.itemsize
    source, target = program.maps[f[k.SOURCE]], program.maps[f[k.TARGET]]
    weight = int(f[k.DEPTH] * f[k.WIDTH] * max(1, f[k.GROUPS]))
    if kind in BETWEEN:
        values = {k.PACK: 3 * weight, k.REDUCE: int(f[k.COUNTED] + 1) * weight, k.MOVE: 5 * len(program.flat.params)}
        return BETWEEN[kind], 0, size * values.get(kind, 0)
    seen, made = _values(program, source), _values(program, target)
    if kind in (k.PRODUCT, k.STEM, k.PRODUCT_BACK, k.STEM_BACK):
        mult_adds = weight * int(f[k.COUNTED]) * (2 if kind == k.PRODUCT_BACK else 1)
    elif kind in (k.DEPTHWISE, k.DEPTHWISE_BACK):
        mult_adds = 9 * made * (2 if kind == k.DEPTHWISE_BACK else 1)
    else:
        mult_adds = 0
    moved = seen + made
    if kind not in FORWARD:  # and the gradients of both, of which the images have none
        moved += made if kind == k.STEM_BACK else seen + made
    shapes = " to ".join("x".join(str(n) for n in row[[k.HEIGHT, k.COLUMNS_, k.CHANNELS]]) for row in (source, target))
    return f"{NAMES[kind]}, {shapes}", mult_adds, size * moved


def _values(program: Program, row: Array) -> int:
    return program.batch * int(row[k.HEIGHT] * row[k.COLUMNS_] * row[k.CHANNELS])
