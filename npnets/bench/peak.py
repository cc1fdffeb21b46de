"""What the machine can do at most, measured: multiply-adds a second, and bytes a second to and from memory.

*Multiply-adds.* Chains acc = a * acc + b, each waiting for itself and for no other: `CHAINS` of them hide that a result
takes 4 cycles (with 2 units 8 would do). A chain is a vector register, as wide as the CPU has them, so that nothing is
loaded or stored. They are written as LLVM's instructions: from a product and a sum in Python no compiler may make one.

*Memory.* The triad a[i] = b[i] + s c[i] over arrays too large for the caches. The three arrays are counted, and not
that each line of a may be read before it is written.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from npnets._jit import OPTIONS, jit

IR: Any = cgutils  # it has no types

CHAINS = 12  # with the two factors 14 registers, of the 16 that the smallest CPUs have
STEPS = 2_000_000  # of each chain: some 15 ms
TRIES = 30  # a second in all, in which others may be quiet for a moment
TRIAD_BYTES = 64 << 20  # of each of the three arrays


class Peaks(NamedTuple):
    """Floating-point operations and bytes a second, at most."""

    flops: float
    bytes: float


def peaks(threads: int, dtype: str = "float32") -> Peaks:
    """Measure both on so many threads, and return the best of several tries.

    Raises
    ------
    ValueError
        Numba's compiler is switched off.
    """
    if OPTIONS.DISABLE_JIT:
        raise ValueError("the peaks of the machine need Numba's compiler, and NUMBA_DISABLE_JIT is set")
    return Peaks(_flops(threads, np.dtype(dtype)), _bytes(threads))


def lanes(bits: int) -> int:
    """Return how many numbers of so many bits a register of this CPU holds."""
    features = binding.get_host_cpu_features()
    width = 512 if features.get("avx512f") else 256 if features.get("fma") else 128
    return width // bits


def _flops(threads: int, dtype: np.dtype[Any]) -> float:
    factors = dtype.type(0.999), dtype.type(0.001)
    done = 2 * lanes(8 * dtype.itemsize) * CHAINS * STEPS * threads
    return done / _best(threads, lambda part: _chains(*factors, STEPS))


def _bytes(threads: int) -> float:
    arrays = np.ones((3, threads, TRIAD_BYTES // 8 // threads))
    return arrays.nbytes / _best(threads, lambda part: _triad(*arrays[:, part]))


def _best(threads: int, work: Callable[[int], object]) -> float:
    """Return the least seconds that all parts take together, each on a thread of its own."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))  # compiles
        times = []
        for _ in range(TRIES):
            start = time.perf_counter()
            list(pool.map(work, range(threads)))
            times.append(time.perf_counter() - start)
    return min(times)


@jit
def _triad(out: Any, b: Any, c: Any) -> None:
    for i in range(len(out)):
        out[i] = b[i] + 3.0 * c[i]


@jit
def _chains(a: Any, b: Any, steps: int) -> Any:
    return _fma_chains(a, b, steps)  # type: ignore[call-arg]


@intrinsic
def _fma_chains(typing: Any, a: Any, b: Any, steps: Any) -> Any:
    """Run `CHAINS` chains of so many steps, and return a number that depends on them all."""

    def splat(builder: Any, value: Any, vector: Any) -> Any:
        """Put a value into each lane."""
        nothing, lane = ir.Constant(vector, ir.Undefined), ir.IntType(32)
        first = builder.insert_element(nothing, value, ir.Constant(lane, 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(lane, vector.count), None))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = arguments[0].type
        bits = 64 if number == ir.DoubleType() else 32
        vector = ir.VectorType(number, lanes(bits))
        name = f"llvm.fma.v{vector.count}f{bits}"
        fma = builder.module.declare_intrinsic(name, fnty=ir.FunctionType(vector, [vector] * 3))
        factors = [splat(builder, value, vector) for value in arguments[:2]]
        chains = [IR.alloca_once(builder, vector) for _ in range(CHAINS)]
        for k, chain in enumerate(chains):  # equal chains would be computed once
            builder.store(ir.Constant(vector, [float(k)] * vector.count), chain)
        with IR.for_range(builder, arguments[2]):
            for chain in chains:
                builder.store(builder.call(fma, [builder.load(chain), *factors]), chain)
        total = builder.load(chains[0])
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return a(a, b, types.intp), generate
