"""Every form of vectors: the tests of words and networks in each, and the machine code of the innermost loops.

A form is chosen before the package is imported, so each runs in a process of its own. The four-wide form `neon` runs on
any CPU, as LLVM makes what it has of it; its machine code for ARM is made here too, and only read. The training step
has its forms in `test_fused`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding

import npnets
from npnets._jit import FORM

# What a form needs of the CPU. This process's own is what all other tests run in.
NEEDS = {"avx512": "avx512f", "avx2": "avx2", "neon": None, "plain": None}
FEATURES = binding.get_host_cpu_features()
FORMS = [form for form, needed in NEEDS.items() if form != FORM and (not needed or FEATURES.get(needed))] + ["off"]


def run(code, *arguments, form):
    """Run Python in a process that has this form; `off` is plain without the compiler."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(npnets.__file__).parent.parent)])
    forced = {"NPNETS_SIMD": form, "NUMBA_DISABLE_JIT": "0"} if form != "off" else {"NUMBA_DISABLE_JIT": "1"}
    begin = f"from npnets._jit import FORM\nassert FORM == {form.replace('off', 'plain')!r}, FORM\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", begin + code, *arguments],
        env={"NPNETS_EXAMPLES": "50", **os.environ, "PYTHONPATH": paths, **forced},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


WORDS = """
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "test_simd.py"]))
"""
# Within 1e-10 of the layers under NumPy, as float64 is (`test_plan`), in all kinds of steps.
COMPILED = """
import numpy as np, npnets
from npnets import _parallel
from test_plan import assert_near, case, logits_of
_parallel.SERIAL_BELOW = 0  # by several threads
for name in ("mobilenet, relu6", "mobilenet, leaky", "mobilenet, many channels in", "shufflenet",
             "shufflenet, leaky, branch first", "shufflenet, counted inside"):
    net, x = case(name, np.float64)
    assert_near(npnets.compile(net)(x), logits_of(net, x), np.float64)
"""


@pytest.mark.parametrize("form", FORMS)
def test_words(form):
    assert re.search(r"\n\d+ passed in", run(WORDS, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_compiled_networks(form):
    run(COMPILED, form=form)


# -- machine code ------------------------------------------------------------------------------------------------------

# Compile the kernels as Numba does here, then make machine code of LLVM's result for another machine. Without Numba's
# counting of references, which no kernel needs, there is nothing in it that is of this machine alone.
ASSEMBLY = r"""
import re, sys
import numba
from llvmlite import binding
from test_simd import COLUMNS, multiply, weigh, weigh_in_a_row

triple, cpu = sys.argv[1:3]
binding.initialize_all_targets()
binding.initialize_all_asmprinters()
machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
for dtype in numba.float32, numba.float64:
    kinds = {"A": dtype[::1], "I": numba.int64[::1], "i": numba.int64, "f": dtype, "b": numba.boolean}
    for kernel, signature in (
        (multiply, "AIiiiIiiAiiAIbAIiffAiiii"), (weigh, "iAIiiiIiiAiAIiiff"), (weigh_in_a_row, "iiAiiiiAiAiiiff"),
    ):
        compiled = numba.njit(nogil=True, error_model="numpy", _nrt=False, no_cpython_wrapper=True,
                              no_cfunc_wrapper=True)(kernel.py_func)
        compiled.compile(tuple(kinds[letter] for letter in signature))
        (text,) = compiled.inspect_llvm().values()
        text = re.sub(r"^target datalayout.*$", "", text, flags=re.MULTILINE)
        text = re.sub(r'^target triple.*$', f'target triple = "{triple}"', text, flags=re.MULTILINE)
        text = re.sub(r'"target-(cpu|features)"="[^"]*"', "", text)
        print("KERNEL", kernel.py_func.__name__, COLUMNS)
        print(machine.emit_assembly(binding.parse_assembly(text)))
"""
X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
MACHINES = [
    ("avx512", X86, "x86-64-v4"), ("avx512", X86, "znver4"), ("avx512", X86, "skylake-avx512"),
    ("avx2", X86, "x86-64-v3"), ("avx2", X86, "znver2"),
    ("neon", ARM, "generic"), ("neon", ARM, "neoverse-n1"), ("neon", ARM, "apple-m1"),
]  # fmt: skip
# A fused multiply-add of whole registers; what touches the stack, and which of it is a vector.
FMA = {
    "avx512": r"\tvfmadd\d+p[sd]\t.*%zmm\d+$",
    "avx2": r"\tvfmadd\d+p[sd]\t.*%ymm\d+$",
    "neon": r"\tfmla\tv\d+\.(4s|2d),.*$",
}
STACK, VECTOR = r"\(%rsp|\[sp", r"%[xyz]mm|\t[qv]\d"


def innermost_loops(assembly):
    """Return the lines of each block that ends with a jump to its own beginning, where it has multiply-adds."""
    loops = []
    for label, block in re.findall(r"^(\.L\w+):\n((?:[^.\n].*\n|\n)+)", assembly, re.MULTILINE):
        back = re.search(rf"\t(j|b\.|cb|tb).*\b{re.escape(label[1:])}\n", block)
        if back and "fm" in block[: back.end()]:
            loops.append(block[: back.end()].splitlines())
    return loops


def matching(pattern, lines):
    return [line for line in lines if re.search(pattern, line)]


@pytest.mark.parametrize(("form", "triple", "cpu"), MACHINES)
def test_the_innermost_loops(form, triple, cpu):
    """Each multiply-add of a tile is one instruction on whole registers, and no vector goes to the stack and back.

    x86 has too few registers for whole numbers: one or two addresses of a tile's rows may be read from the stack at
    each turn. ARM has enough for all.
    """
    kernels = run(ASSEMBLY, triple, cpu, form=form).split("KERNEL ")[1:]
    assert len(kernels) == 6
    for kernel in kernels:
        name, columns = kernel.split("\n", 1)[0].split()
        loops = innermost_loops(kernel)
        counts = sorted(len(matching(FMA[form], loop)) for loop in loops)
        if name == "multiply":
            assert counts == sorted(R * C for R in (5, 6) for C in range(1, int(columns) + 1))
        else:  # by one turn, or a few at a time
            sums = (5, 6) if name == "weigh" else (3 * 4, 3 * 7)
            assert len(counts) >= len(sums)
            assert all(any(count and count % one == 0 for one in sums) for count in counts), counts
        for loop in loops:
            on_stack = matching(STACK, loop)
            assert not matching(VECTOR, on_stack), on_stack
            assert len(on_stack) <= (2 if triple == X86 else 0), on_stack
