"""The command `npnets bench`: it measures row by row, shows each as it comes, and writes what was asked for."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import npnets
from npnets import _check, _text
from npnets._optional import need
from npnets.bench import goal, ours, report
from npnets.bench.contenders import PEERS, able, check
from npnets.bench.machine import describe
from npnets.bench.measure import Row, measure
from npnets.bench.memory import RUNS
from npnets.bench.peak import Peaks, peaks
from npnets.bench.work import CLASSES, Work, many

NETS = ("mobilenet", "shufflenet")
FORWARD_BATCHES, TRAINING_BATCH, SIDE = (1, 8), 16, 224
MANY_BATCHES, MANY_SIDES = (1, 2, 4, 8, 16, 32, 64), (96, 128, 160, 192, 224, 256, 288, 320)


@dataclass(frozen=True)
class Options:
    """What to measure, as the command line has it; None stands for what it does not say.

    Attributes
    ----------
    net, batch, side, threads
        Of the rows, each combined with each.
    train, dtype, classes
        Of all rows.
    against
        The peers; by default all that can do the work.
    seconds, rounds
        How long the turns of each row may take, or how many rounds there are.
    layers, memory
        What to measure besides.
    scaling, goal
        What to measure instead of these rows.
    json, plot
        Files to write.
    """

    net: Sequence[str] | None = None
    batch: Sequence[int] | None = None
    side: Sequence[int] | None = None
    threads: Sequence[int] | None = None
    train: bool = False
    dtype: str = "float32"
    classes: int = CLASSES
    against: Sequence[str] | None = None
    seconds: float = 10.0
    rounds: int | None = None
    layers: bool = False
    memory: bool = False
    scaling: bool = False
    goal: bool = False
    json: str | None = None
    plot: str | None = None


@dataclass(frozen=True)
class Session:
    """What belongs to one run: how it is measured and shown."""

    options: Options
    against: Sequence[str]
    peaks: Mapping[int, Peaks]
    console: Any
    say: Callable[[str], None]

    def row(self, work: Work, threads: int, against: Sequence[str], memory_runs: int) -> Row:
        """Measure a row and show it."""

        def say(text: str) -> None:
            self.say(f"{work.title}, {many(threads, 'thread')}: {text}")

        seconds, rounds = self.options.seconds, self.options.rounds
        row = measure(work, threads, against, self.peaks[threads], seconds, rounds, memory_runs, say)
        self.show(f"{row.title}, {many(threads, 'thread')}", report.row_table(row))
        for remark in report.remarks(row):
            self.show(f"    {remark}")
        return row

    def show(self, text: str, table: Any = None) -> None:
        """Print text, or a table with a title."""
        # Text is not cut into lines, so that it can be copied.
        self.console.print(text, soft_wrap=True, style=None if table is None else "bold")
        if table is not None:
            self.console.print(table)


def run(options: Options) -> None:
    """Measure, show and write.

    Raises
    ------
    ModuleNotFoundError
        A package is missing; the message has the command that installs it.
    TypeError, ValueError, OSError
        An option breaks its rule, a peer cannot do the work or does something else, or a file cannot be written.
    """
    against = _checked(options)
    console = _text.console("bench", "`npnets bench`")
    before = npnets.get_threads()
    try:
        with _telling(console) as say:
            say("measuring the peaks of the machine")
            measured = {threads: peaks(threads, options.dtype) for threads in _threads(options)}
            session = Session(options, against, measured, console, say)
            session.show(report.introduction(describe(), measured, against))
            content = (_goal if options.goal else _scaling if options.scaling else _rows)(session)
    finally:
        npnets.set_threads(before)
    if options.json is not None:
        shown = {threads: peak._asdict() for threads, peak in measured.items()}
        asked = {name: value for name, value in asdict(options).items() if name not in ("json", "plot")}
        about = {"npnets": npnets.__version__, "options": asked, "machine": describe(), "peaks": shown}
        report.write_json(options.json, {**about, **content})
    for path in options.json, options.plot:
        if path is not None:
            console.print(f"written: {path}")


def _rows(session: Session) -> dict[str, Any]:
    """Measure each combination of networks, sizes, batches and threads."""
    options = session.options
    batches = options.batch or ((TRAINING_BATCH,) if options.train else FORWARD_BATCHES)
    works = [
        Work(net, batch, side, options.train, options.dtype, options.classes)
        for net, side, batch in product(options.net or NETS, options.side or (SIDE,), batches)
    ]
    rows = []
    layers: dict[str, Any] = {}
    for work, threads in product(works, session.peaks):
        rows.append(session.row(work, threads, session.against, RUNS if options.memory else 0))
        if options.layers and options.train:
            title = f"{work.title}: the phases of npnets' step, each timed alone on {many(threads, 'thread')}"
            npnets.set_threads(threads)
            layers[title] = ours.profile(work.network(), work.images())
            session.show(title, report.layer_table(layers[title], session.peaks[threads]))
        elif options.layers and threads == min(session.peaks):
            title = f"{work.title}: the fused steps of npnets' forward pass, one image on one thread"
            layers[title] = ours.profile(work.network(), work.images())
            one = session.peaks[1] if 1 in session.peaks else peaks(1, options.dtype)
            session.show(title, report.layer_table(layers[title], one))
    if len(rows) > 1:
        session.show(report.summary(rows))
    _draw(session, rows)
    return {"rows": rows, "layers": {title: [row._asdict() for row in found] for title, found in layers.items()}}


def _goal(session: Session) -> dict[str, Any]:
    """Measure what the goal names, and say of each figure whether it is met."""
    rows: list[Row] = []

    def measured(work: Work, threads: int, against: Sequence[str], with_memory: bool) -> Row:
        rows.append(session.row(work, threads, against, RUNS if with_memory else 0))
        return rows[-1]

    found = list(goal.results(session.peaks, measured, session.say))
    session.show("The goal", report.goal_table(found))
    session.show(f"met: {sum(result.met for result in found)} of {len(found)}")
    _draw(session, rows)
    return {"rows": rows, "goal": [{**asdict(result), "met": result.met} for result in found]}


def _scaling(session: Session) -> dict[str, Any]:
    """Measure time and memory over the batch at the usual side, and over the side at the smallest batch."""
    options = session.options
    threads, batches, sides = max(session.peaks), options.batch or MANY_BATCHES, options.side or MANY_SIDES
    usual = SIDE if SIDE in sides else max(sides)
    points = []
    for net in options.net or NETS:
        series = [("batch", batch, usual) for batch in batches]
        series += [("side", min(batches), side) for side in sides]
        for name, batch, side in series:
            work = Work(net, batch, side, options.train, options.dtype, options.classes)
            row = session.row(work, threads, session.against, 1)
            points += [
                {
                    "series": name, "net": work.name, "batch": batch, "side": side, "name": entry.name,
                    "seconds": entry.seconds.median, "grown": entry.grown,
                }
                for entry in row.entries
            ]  # fmt: skip
    if options.plot is not None:
        report.draw_scaling(options.plot, points, _title(session))
    return {"scaling": points}


def _draw(session: Session, rows: Sequence[Row]) -> None:
    if session.options.plot is not None:
        report.draw_rows(session.options.plot, rows, _title(session))


def _title(session: Session) -> str:
    machine = describe()
    return f"{machine['processor']}, {many(machine['cores'], 'core')}, npnets {npnets.__version__}"


def _threads(options: Options) -> Sequence[int]:
    """Return the numbers of threads to measure on: for the goal one and two, else as many as there are cores."""
    cores = os.cpu_count() or 1
    return options.threads or (sorted({1, min(2, cores)}) if options.goal else (cores,))


def _checked(options: Options) -> Sequence[str]:
    """Refuse options that break a rule or cannot go together, and return the peers, all of which are installed."""
    for module in ("rich", "psutil", "threadpoolctl", *(("matplotlib",) if options.plot else ())):
        need(module, "bench", "`npnets bench`")
    for name in ("batch", "side", "threads"):
        for value in getattr(options, name) or ():
            _check.integer(name, value, 1)
    _check.integer("classes", options.classes, 1)
    _check.number("seconds", options.seconds, least=0.0, strictly=True)
    if options.rounds is not None:
        _check.integer("rounds", options.rounds, 1)
    for net in options.net or ():
        Work(net, 1, 1).network()  # which has its own rules
    for path in filter(None, (options.json, options.plot)):  # to find out now, and not after some minutes
        if not Path(path).parent.is_dir() or Path(path).is_dir():
            raise ValueError(f"`{path}` cannot be written: its folder does not exist, or it is one itself")
    _refuse_together(options)
    fit = able(options.train, options.dtype)
    against = fit if options.against is None else options.against
    for name in against:
        if name not in PEERS:
            raise ValueError(f"`against` (={name!r}) must be of {', '.join(PEERS)}, or none")
        if name not in fit:
            raise ValueError(f"`against` (={name!r}) cannot go with --train or --dtype float64: torch can")
        check(name)
    return against


def _refuse_together(options: Options) -> None:
    """Refuse options that say nothing beside another one."""
    given = {field.name for field in fields(options) if getattr(options, field.name) != field.default}
    rules = {
        "goal": {"seconds", "rounds", "json", "plot", "threads"},
        "scaling": {
            "net",
            "batch",
            "side",
            "threads",
            "train",
            "dtype",
            "classes",
            "against",
            "seconds",
            "rounds",
            "json",
            "plot",
        },
    }
    for name, allowed in rules.items():
        if name in given and (others := sorted(given - allowed - {name})):
            raise ValueError(f"--{name} cannot go with {', '.join('--' + other for other in others)}")


@contextmanager
def _telling(console: Any) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being waited for, where there is a terminal."""
    if not console.is_interactive:
        yield lambda text: None
        return
    # Drawn when something is said, and never meanwhile: a thread that draws would disturb what is timed.
    with need("rich.live", "bench", "`npnets bench`").Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(need("rich.text", "bench", "it").Text(text, no_wrap=True), refresh=True)
