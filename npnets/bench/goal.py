"""The goal: the figures that npnets promises, each measured and held against its limit.

============================================  ======================================================================
forward, batch 1 and 8, 1 and 2 threads       at most 1.0 x the faster of ONNX Runtime and OpenVINO
training step at 224 x 224, batch 16          at most 0.5 x PyTorch's, in its faster layout and number of threads
training step at 32 x 32, batch 64            at most 0.33 x the same
memory of a training step                     at most 0.7 x PyTorch's
matrix products of the networks               at least 90 % of the measured peak of multiply-adds
`import npnets`                               at most 0.5 s more than `import numpy`
first call, warm cache / cold cache           at most 1 s / 20 s
============================================  ======================================================================
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npnets import set_threads
from npnets.bench import ours, startup
from npnets.bench.contenders import PEERS, TRAINERS
from npnets.bench.measure import Row
from npnets.bench.peak import Peaks
from npnets.bench.timing import steady
from npnets.bench.work import Work, many
from npnets.layers import PointwiseConvolution

NETS = "mobilenet", "shufflenet"
RUNTIMES = "onnxruntime", "openvino"

FORWARD = [Work(net, batch, 224) for net in NETS for batch in (1, 8)]
TRAINING = {
    Work("mobilenet", 16, 224, train=True): 0.5,
    Work("shufflenet", 16, 224, train=True): 0.5,
    Work("mobilenet:0.25", 64, 32, train=True): 0.33,
    Work("shufflenet", 64, 32, train=True): 0.33,
}
FIRST_CALLS = [Work(net, batch, 224, train) for net in NETS for batch, train in ((1, False), (2, True))]

Measure = Callable[[Work, int, Sequence[str], bool], Row]  # work, threads, against whom, whether memory too


@dataclass(frozen=True)
class Result:
    """One figure of the goal.

    Attributes
    ----------
    title, detail
        What was measured, and what the figure was computed from.
    value, unit
        The figure; "x" for a ratio, "%" for a share, "s" for seconds.
    limit, at_least
        What the figure must not go over or, with `at_least`, not under.
    """

    title: str
    value: float
    unit: str
    limit: float
    detail: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure keeps to its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return title, figure, limit, verdict and detail as text.

        Examples
        --------
        >>> Result("import", 0.25, "s", 0.5, "0.35 - 0.10").cells()
        ('import', '0.25 s', '<= 0.50 s', 'met', '0.35 - 0.10')
        """
        sign = ">=" if self.at_least else "<="
        verdict = "met" if self.met else "NOT MET"
        return self.title, f"{self.value:.2f} {self.unit}", f"{sign} {self.limit:.2f} {self.unit}", verdict, self.detail


def results(peaks: Mapping[int, Peaks], measure: Measure, say: Callable[[str], None]) -> Iterator[Result]:
    """Measure the figures of the goal one after the other.

    Parameters
    ----------
    peaks
        The machine's, for each number of threads that the forward passes are to run on.
    measure
        Gives a row of the comparison.
    say
        Is told what is going on.
    """
    for work in FORWARD:
        for threads in peaks:
            yield forward(measure(work, threads, PEERS, False))
    for work, limit in TRAINING.items():
        row = measure(work, max(peaks), TRAINERS, True)
        yield training(row, limit)
        yield memory(row)
    for net in NETS:
        for threads, peak in peaks.items():
            say(f"matrix products of {net}")
            yield products(net, threads, peak)
    say("import")
    yield imports()
    for cold in False, True:
        say(f"first calls with a {'cold' if cold else 'warm'} cache")
        yield first_calls(cold)


def forward(row: Row) -> Result:
    """Hold a forward pass against the faster of the two runtimes."""
    rival = min((row.entry(name) for name in RUNTIMES), key=lambda entry: entry.seconds.median)
    return _against(row, rival.name, 1.0)


def training(row: Row, limit: float) -> Result:
    """Hold a step of training against PyTorch's."""
    return _against(row, "torch", limit)


def _against(row: Row, rival: str, limit: float) -> Result:
    ours, theirs = row.entries[0], row.entry(rival)
    assert theirs.ratio is not None
    detail = (
        f"{1e3 * ours.seconds.median:.2f} ms by {1e3 * theirs.seconds.median:.2f} of {rival}; "
        f"quartiles {theirs.ratio.low:.2f}-{theirs.ratio.high:.2f}"
    )
    return Result(f"{row.title}, {many(row.threads, 'thread')}", theirs.ratio.median, "x", limit, detail)


def memory(row: Row) -> Result:
    """Hold the memory of a step of training against PyTorch's."""
    ours, theirs = (row.entry(name).grown or 0.0 for name in ("npnets", "torch"))
    detail = f"{ours / 2**20:.0f} MB by {theirs / 2**20:.0f} of torch"
    return Result(f"memory, {row.title}", ours / max(theirs, 1.0), "x", 0.7, detail)


def products(net: str, threads: int, peak: Peaks, side: int = 224) -> Result:
    """Hold the matrix products of a network's pointwise convolutions against the peak of multiply-adds."""
    set_threads(threads)
    steps, _ = Work(net, 1, side).network().walk((side, side, 3), "")
    random = np.random.default_rng(0)
    flops = seconds = 0.0
    for step in steps:
        if isinstance(step.layer, PointwiseConvolution):
            x = random.standard_normal((1, *step.in_shape), np.float32)
            flops += 2 * step.mult_adds
            seconds += steady(ours.product(x, step.layer.params["weight"], step.layer.groups)) / ours.TIMES
    detail = f"{flops / seconds / 1e9:.0f} of {peak.flops / 1e9:.0f} GF/s, batch 1 at {side} x {side}"
    title = f"matrix products of {net}, {many(threads, 'thread')}"
    return Result(title, 100 * flops / seconds / peak.flops, "%", 90, detail, at_least=True)


def imports() -> Result:
    """Hold the import of npnets against that of NumPy."""
    npnets, numpy = startup.import_seconds()
    return Result("import npnets, more than numpy", npnets - numpy, "s", 0.5, f"{npnets:.2f} - {numpy:.2f} s")


def first_calls(cold: bool) -> Result:
    """Hold the slowest first call of either network, forward or training, against its limit."""
    times = {work.title: startup.first_call_seconds(work, cold=cold) for work in FIRST_CALLS}
    slowest = max(times, key=lambda title: times[title])
    title = f"first call, {'cold' if cold else 'warm'} cache"
    return Result(title, times[slowest], "s", 20.0 if cold else 1.0, f"the slowest: {slowest}")
