"""Memory: by how much a process grows while it works, each contender in a process of its own.

What counts is the peak of the resident size after `CALLS` calls, less the resident size when all was built and ready:
network, optimiser, images. So libraries and weights are left out, and everything that the work itself needs is in.
"""

import json
import os
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from npnets._optional import need
from npnets.bench.contenders import Contender, contender
from npnets.bench.startup import output
from npnets.bench.work import Work

CALLS = 10
RUNS = 3
CHILD = "from npnets.bench import memory; memory.child()"


def growth(work: Work, who: Contender, runs: int) -> float:
    """Return by how many bytes a process grows that does this work ten times: the median of several processes."""
    task = json.dumps({"name": who.name, "work": asdict(work), "layout": who.layout, "threads": who.threads})
    return statistics.median(float(output(CHILD, task)) for _ in range(runs))


def child() -> None:
    """Do the work that the process's argument describes, and print how many bytes it took."""
    task = json.loads(sys.argv[1])
    print(grown(contender(task["name"], Work(**task["work"]), task["layout"], task["threads"])))


def grown(who: Contender) -> int:
    """Return by how many bytes this process grows while it works."""
    who.prepare()
    forget_peak()
    before = resident()
    for _ in range(CALLS):
        who.call()
    return max(0, peak_resident() - before)


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Let the peak begin again from here, on Linux; elsewhere what was needed for building counts, too."""
    if CLEAR.exists() and os.access(CLEAR, os.W_OK):
        CLEAR.write_text("5")


def resident() -> int:
    """Return the resident size of this process in bytes."""
    size: int = need("psutil", "bench", "the measurement of memory").Process().memory_info().rss
    return size


def peak_resident() -> int:
    """Return the largest resident size that this process has had."""
    if STATUS.exists():
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        return int(fields["VmHWM"].split()[0]) * 1024
    info = need("psutil", "bench", "the measurement of memory").Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return int(info.peak_wset)
    usage = need("resource", "bench", "the measurement of memory")
    return int(usage.getrusage(usage.RUSAGE_SELF).ru_maxrss)  # macOS, in bytes
