"""One row of the comparison: a piece of work, npnets and its peers on at most so many threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npnets._check import Array
from npnets.bench import memory, ours
from npnets.bench.contenders import OURS, Contender, candidates
from npnets.bench.machine import Others
from npnets.bench.peak import Peaks
from npnets.bench.timing import Summary, alternate, ratio, summary
from npnets.bench.work import Work

# By how much results may differ, relative to the largest number. A step of training differs more: where the input of
# a ReLU is 0 but for rounding, one side lets the whole gradient pass and the other nothing, and batch norm spreads it.
# PyTorch's channels_last step of MobileNet, 224 x 224, batch 16, is 0.05 from its own in float64, where it agrees with
# npnets to 1e-12; a step without momentum, or with one gradient wrong, is another number altogether.
LIMITS = {
    (False, "float32"): 1e-4,
    (False, "float64"): 1e-10,
    (True, "float32"): 0.2,
    (True, "float64"): 1e-8,
}

TRIALS = 3  # rounds in which a peer's best settings are found


@dataclass(frozen=True)
class Entry:
    """What one contender did.

    Attributes
    ----------
    name, settings
        Who, and with what layout and how many threads: the best of those tried.
    seconds
        Of one call.
    times
        One for each round.
    flops
        Floating-point operations a second, by the papers' formula.
    of_peak
        Their share of the machine's peak on as many threads as the row allows.
    ratio
        npnets' time by this one's: the ratio of the medians, and the quartiles of the rounds' ratios. None for npnets.
    difference
        The largest difference of the results, relative to the largest result. None for npnets.
    grown
        By how many bytes a process grows that does the work ten times; None where it was not measured.
    """

    name: str
    settings: str
    seconds: Summary
    times: Sequence[float]
    flops: float
    of_peak: float
    ratio: Summary | None = None
    difference: float | None = None
    grown: float | None = None


@dataclass(frozen=True)
class Row:
    """A piece of work and what each contender did.

    Attributes
    ----------
    title, work, threads
        What was done, and on how many threads at most.
    entries
        npnets' first, then the peers'.
    moved
        Bytes that npnets must read and write at least, a second, as a share of the memory's peak; None in training.
    others
        How many cores other processes kept busy meanwhile: times on several threads are worth nothing with 0.5.
    """

    title: str
    work: Work
    threads: int
    entries: Sequence[Entry]
    moved: float | None
    others: float

    def entry(self, name: str) -> Entry:
        """Return the entry of this contender."""
        return next(entry for entry in self.entries if entry.name == name)


def measure(
    work: Work,
    threads: int,
    against: Sequence[str],
    peaks: Peaks,
    seconds: float,
    rounds: int | None = None,
    memory_runs: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Row:
    """Compare npnets with its peers.

    Parameters
    ----------
    work, threads
        What is done, on at most so many threads.
    against
        The peers.
    peaks
        The machine's, on so many threads.
    seconds, rounds
        How long the rounds may take, or how many there are.
    memory_runs
        In how many processes each contender's memory is measured.
    say
        Is told what is going on.

    Raises
    ------
    ModuleNotFoundError
        A peer is not installed.
    ValueError
        A peer cannot do this work, or its result is not npnets'.
    """
    others = Others()
    say("building")
    us = candidates(OURS, work, threads)[0]
    us.prepare()
    expected = us.result()
    field = [us]
    differences: list[float | None] = [None]
    for name in against:
        say(f"looking for the best settings of {name}")
        tried = candidates(name, work, threads)
        differences.append(max(compared(one, expected, work) for one in tried))
        field.append(best(tried))
    say("taking turns")
    times = alternate(field, seconds, rounds)
    row = _row(work, threads, field, times, peaks, differences, others.cores())
    if not memory_runs:
        return row
    say("measuring memory")
    grown = [memory.growth(work, who, memory_runs) for who in field]
    entries = [replace(entry, grown=size) for entry, size in zip(row.entries, grown, strict=True)]
    return replace(row, entries=entries)


def _row(
    work: Work,
    threads: int,
    field: Sequence[Contender],
    times: Sequence[Sequence[float]],
    peaks: Peaks,
    differences: Sequence[float | None],
    others: float,
) -> Row:
    entries, work_flops = [], work.flops()
    for who, own, difference in zip(field, times, differences, strict=True):
        seconds = summary(own)
        flops = work_flops / seconds.median
        compare = None if who.name == OURS else ratio(times[0], own)
        entries.append(Entry(who.name, who.settings, seconds, own, flops, flops / peaks.flops, compare, difference))
    if work.train:
        return Row(work.title, work, threads, entries, None, others)
    moved = work.batch * sum(layer.moved for layer in ours.profile(work.network(), work.images()))
    return Row(work.title, work, threads, entries, moved / entries[0].seconds.median / peaks.bytes, others)


def best(tried: Sequence[Contender]) -> Contender:
    """Return the fastest of several contenders, as far as a few rounds tell."""
    if len(tried) == 1:
        return tried[0]
    medians = [summary(times).median for times in alternate(tried, 0, TRIALS)]
    return tried[int(np.argmin(medians))]


def compared(who: Contender, expected: Array, work: Work) -> float:
    """Return how far the contender's result is from npnets', relative to its largest number.

    Raises
    ------
    ValueError
        So far that it is another result: then nothing should be timed.
    """
    who.prepare()
    result = who.result()
    difference = float(np.abs(result - expected).max() / np.abs(result).max()) if result.shape == expected.shape else 1
    limit = LIMITS[work.train, work.dtype]
    if not difference <= limit:
        raise ValueError(
            f"{work.title}: the result of {who.name} differs from npnets' by {difference:.1e} of its largest number, "
            f"and may by {limit:g}: it does something else, so that its time would say nothing"
        )
    return difference
