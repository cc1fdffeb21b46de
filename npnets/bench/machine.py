"""What the figures were measured on, and whether somebody else was using it meanwhile."""

import importlib.metadata
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

from llvmlite import binding

from npnets._optional import need

# What changes the speed of NumPy, of thread pools or of compiled code; names of folders do not.
VARIABLES = re.compile(r"^(OPENBLAS|OMP|GOMP|KMP|MKL|NUMBA|TBB|ONEDNN|DNNL|ATEN|TORCH|MALLOC)_(?!.*DIR$)")

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "onnx", "onnxruntime", "openvino", "psutil", "threadpoolctl")

CPUINFO = Path("/proc/cpuinfo")


def describe() -> dict[str, Any]:
    """Return processor, cores, memory, system, versions, environment and the thread pools that are loaded."""
    psutil = need("psutil", "bench", "`npnets bench`")
    pools = need("threadpoolctl", "bench", "`npnets bench`").threadpool_info()
    return {
        "processor": processor(),
        "llvm_name": binding.get_host_cpu_name(),
        "cores": os.cpu_count(),
        "cores_allowed": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else None,
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "environment": {name: value for name, value in sorted(os.environ.items()) if VARIABLES.match(name)},
        # without the files' places, which belong to nobody else
        "thread_pools": [{key: value for key, value in pool.items() if key != "filepath"} for pool in pools],
    }


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    if CPUINFO.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", CPUINFO.read_text("utf-8", "replace"), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """Return the version of a package, or None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class Others:
    """How much of the machine other processes use from the moment that this is made."""

    def __init__(self) -> None:
        self._start = _clocks()

    def cores(self) -> float:
        """Return how many cores others have kept busy since then, on average."""
        (wall, busy, own), (wall_before, busy_before, own_before) = _clocks(), self._start
        elapsed = max(wall - wall_before, 1e-9)
        return max(0.0, ((busy - busy_before) - (own - own_before)) / elapsed)


def _clocks() -> tuple[float, float, float]:
    """Return seconds on the wall, seconds of all cores' work, and of this process's work."""
    times = need("psutil", "bench", "`npnets bench`").cpu_times()
    work = {key: value for key, value in times._asdict().items() if key not in IDLE}
    return time.perf_counter(), sum(work.values()), time.process_time()


IDLE = ("idle", "iowait", "guest", "guest_nice")  # guests are counted as users already
