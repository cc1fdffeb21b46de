"""Threads that work through one list of phases together, inside of compiled code.

A phase is a number of tasks that do not depend on each other; a phase begins when the one before it is complete. Each
thread runs::

    for phase in phases:
        while (task := take_near(counters, phase, tasks(phase), mine)) < tasks(phase):
            do(task)
            complete(counters, phase)
        wait(counters, phase, tasks(phase))

Going from one phase to the next takes a microsecond or two, where handing a part to another Python thread takes fifty.
Who comes late finds the tasks taken and joins where the others are; one thread alone does everything. So nobody ever
waits for a thread that the system has not started: with other busy pools in the process, or none, it only gets slower
by what is missing. What each task does and writes is fixed by the shapes, so that the bits are the same whoever does
it.

Waiting spins for a microsecond, then asks whether another thread wants the core (`sched_yield`): where none does, that
takes a third of a microsecond, and where the one that is waited for does, it gets it.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from npnets._check import Array
from npnets._jit import OPTIONS, jit

IR: Any = cgutils  # it has no types

# Counters stand a cache line apart: two of them for each phase, tasks taken and tasks complete.
LINE = 8
SPINS = 200
YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"


def counters(phases: int) -> Array:
    """Return fresh counters, one set for each run of the list."""
    return np.zeros(2 * LINE * phases, np.int64)


def _added(counts: Array, i: int, value: int) -> int:
    """Add to counts[i], and return what it was before, as one step that no other thread can come between."""
    before: int = counts[i]
    counts[i] = before + value
    return before


def _seen(counts: Array, i: int) -> int:
    """Return counts[i] as the other threads have left it, and with it all that they wrote before."""
    return counts[i]  # type: ignore[no-any-return]


def _let_others_run() -> None:
    """Give the core to another thread that is ready."""


if not OPTIONS.DISABLE_JIT:

    @intrinsic
    def _added(typing: Any, counts: Any, i: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array, index, number = values
            place = builder.gep(context.make_array(counts)(context, builder, array).data, [index])
            return builder.atomic_rmw("add", place, number, "seq_cst")

        return types.int64(counts, types.int64, types.int64), codegen

    @intrinsic
    def _seen(typing: Any, counts: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array, index = values
            place = builder.gep(context.make_array(counts)(context, builder, array).data, [index])
            return builder.load_atomic(place, "acquire", 8)

        return types.int64(counts, types.int64), codegen

    @intrinsic
    def _let_others_run(typing: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(IR.get_or_insert_function(builder.module, kind, YIELD), [])
            return context.get_dummy_value()

        return types.void(), codegen


@jit
def take(counts: Array, phase: int) -> int:
    """Return the number of a task that nobody else has; it may be one too many."""
    return _added(counts, 2 * LINE * phase, 1)


@jit
def take_near(counts: Array, phase: int, tasks: int, mine: int) -> int:
    """Return the number of a task that nobody else has, or `tasks` where none is left.

    Every other thread takes them from the end: in each phase it has about the same half of the pixels, and finds in its
    own cache what it wrote in the phase before. Both ends are counted in the halves of one number.
    """
    taken = _added(counts, 2 * LINE * phase, 1 if mine % 2 == 0 else 1 << 32)
    front, back = taken & 0xFFFFFFFF, taken >> 32
    if front + back >= tasks:
        return tasks
    return front if mine % 2 == 0 else tasks - 1 - back


@jit
def complete(counts: Array, phase: int) -> None:
    """Say that a task is done; whoever sees it sees all that the task wrote."""
    _added(counts, 2 * LINE * phase + LINE, 1)


@jit
def wait(counts: Array, phase: int, tasks: int) -> None:
    """Wait until so many tasks of the phase are done."""
    spins = 0
    while _seen(counts, 2 * LINE * phase + LINE) < tasks:
        spins += 1
        if spins > SPINS:
            _let_others_run()
