"""Start-up: what the import costs, and the first call with a warm cache of compiled code, or with an empty one.

Each figure comes from processes of their own. OPENBLAS_CORETYPE, which some machines set, slows NumPy down and is taken
out of their environment.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

import npnets
from npnets.bench import ours
from npnets.bench.work import SGD_OPTIONS, Work

RUNS = 5

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
CHILD = "from npnets.bench import startup; startup.child()"


def import_seconds() -> tuple[float, float]:
    """Return the median seconds of `import npnets` and of `import numpy`, measured in turns."""
    modules = "npnets", "numpy"
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(RUNS + 1):
        for module in modules:
            times[module].append(float(output(IMPORT.format(module))))
    ours, numpys = (statistics.median(times[module][1:]) for module in modules)  # the first one reads from the disk
    return ours, numpys


def first_call_seconds(work: Work, *, cold: bool) -> float:
    """Return the seconds from the network to the first result: compile and run it, or take one step of training.

    With a warm cache this is the median of several processes, behind one that fills it; a cold one is empty.
    """
    task = json.dumps(asdict(work))
    if cold:
        with tempfile.TemporaryDirectory() as empty:
            return float(output(CHILD, task, NUMBA_CACHE_DIR=empty))
    times = [float(output(CHILD, task)) for _ in range(RUNS + 1)]
    return statistics.median(times[1:])


def child() -> None:
    """Do the work that the process's argument describes for the first time, and print the seconds."""
    print(first_call(Work(**json.loads(sys.argv[1]))))


def first_call(work: Work) -> float:
    """Return the seconds that the work takes in this process."""
    net, x, labels = work.network(), work.images(), work.labels()
    optimizer = npnets.SGD(net, **SGD_OPTIONS)
    start = time.perf_counter()
    if work.train:
        npnets.train_step(net, optimizer, x, labels)
    else:
        ours.compiled(net)(x)
    return time.perf_counter() - start


def output(code: str, *arguments: str, **environment: str) -> str:
    """Run Python code in a process of its own, and return the last word that it prints.

    Raises
    ------
    ChildProcessError
        It failed; the message is the last line of its complaint.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=inherited | environment,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ChildProcessError(f"a process that measures failed: {last}")
    return done.stdout.split()[-1]
