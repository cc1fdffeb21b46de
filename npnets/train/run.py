"""A training as `npnets train` runs it: what is to come, a live bar, a row for each epoch, and the files it leaves."""

import os
import signal
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from npnets._optional import need
from npnets._parallel import get_threads
from npnets.cost import cost
from npnets.train.report import draw_confusion, draw_curves, write_log
from npnets.train.settings import Settings
from npnets.train.trainer import Epoch, Trainer

# Where `npnets train` makes a folder for each training, and what it leaves there.
RUNS = "runs"
CHECKPOINT, LOG, CURVES, CONFUSION = "checkpoint.safetensors", "log.csv", "curves.png", "confusion.png"

# How many lines an epoch prints where there is no terminal for a bar.
PLAIN_LINES = 4

# In an epoch of the paper's networks a power cut must not cost an hour.
SECONDS_BETWEEN_SAVES = 60

# 80 columns hold it.
HEADER = "epoch       lr  train loss  train acc.  test loss  test acc.  images/s  seconds"


def check_optional() -> None:
    """Refuse to begin what could not be finished: ask for all optional packages before the first step.

    Raises
    ------
    ModuleNotFoundError
        One is not installed; the message names it and the command that installs it.
    """
    for module in ("rich", "matplotlib", "safetensors"):
        need(module, "demos", "`npnets train`")


def latest(folder: str | os.PathLike[str] = RUNS) -> Path:
    """Return the checkpoint that `npnets train` wrote last: the youngest of `folder`/*/checkpoint.safetensors.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    found = [path for path in Path(folder).glob(f"*/{CHECKPOINT}") if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"there is no training in the folder {folder}: `npnets train` leaves one, or name a file with --weights"
        )
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path))


def describe(settings: Settings) -> str:
    """Name the network that the settings describe.

    Examples
    --------
    >>> describe(Settings())
    'MobileNet V1, small body, width 0.5'
    """
    if settings.init:
        return f"{'MobileNet' if settings.model == 'mobilenet' else 'ShuffleNet'} V1 from {settings.init}"
    if settings.model == "mobilenet":
        return f"MobileNet V1, {settings.body} body, width {settings.width:g}"
    return f"ShuffleNet V1, {settings.body} body, {settings.groups} groups, scale {settings.scale:g}"


def run(trainer: Trainer, out: Path, note: str = "") -> bool:
    """Train to the end, or until Ctrl-C, and leave log, pictures and checkpoint in the folder `out`.

    Parameters
    ----------
    trainer
        At any position of its training.
    out
        An existing folder.
    note
        What there is to say about the network, beside what the trainer knows.

    Returns
    -------
    Whether the training is complete; if not, the checkpoint holds where it stopped.
    """
    console = _console()
    say: Callable[[str], None] = console.print
    _introduce(trainer, console, note)
    say("")
    say(HEADER)
    for row in trainer.history:
        say(_row(row))
    evaluation = None
    with _until_interrupted() as interrupted:
        while trainer.epoch < trainer.settings.epochs:
            _train_epoch(trainer, console, interrupted, out / CHECKPOINT)
            if trainer.position < trainer.steps_per_epoch:
                trainer.save(out / CHECKPOINT)
                say(f"stopped in epoch {trainer.epoch + 1} after step {trainer.position}, and saved. Go on with")
                say(f"    npnets train --resume {_quoted(out)}")
                return False
            with _status(console, f"epoch {trainer.epoch + 1}: testing"):
                evaluation = trainer.finish_epoch()
            trainer.save(out / CHECKPOINT)
            write_log(out / LOG, trainer.history)
            say(_row(trainer.history[-1]))
    evaluation = evaluation or trainer.evaluate()
    write_log(out / LOG, trainer.history)  # again: it may have been killed between a save and its log
    draw_curves(out / CURVES, trainer.history, f"{describe(trainer.settings)} on {trainer.dataset.name}")
    draw_confusion(out / CONFUSION, evaluation.confusion, trainer.dataset.classes)
    say("")
    say(f"in {out}: {LOG}, {CURVES}, {CONFUSION}, {CHECKPOINT}")
    say(f"test accuracy {100 * evaluation.accuracy:.1f} %")
    return True


def _console() -> Any:
    """Return what prints; names of folders and classes may look like markup, and are not."""
    return need("rich.console", "demos", "`npnets train`").Console(
        highlight=False, markup=False, emoji=False, soft_wrap=True
    )


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Show, on a terminal, that data is being read."""
    with _status(_console(), f"reading {source}"):
        yield


def _introduce(trainer: Trainer, console: Any, note: str) -> None:
    """Say what will be trained, on what, and what it will take, as far as a few steps tell."""
    settings, data = trainer.settings, trainer.dataset
    count = cost(trainer.net, data.image_shape)
    side = " x ".join(map(str, data.image_shape))
    console.print(describe(settings))
    if note:
        console.print(f"    {note}")
    if settings.freeze:
        trained = sum(
            value.size for _, layer in trainer.net.layers() if not layer.frozen for value in layer.params.values()
        )
        console.print(f"    frozen: {', '.join(settings.freeze)}; {trained:,} parameters are trained")
        if trainer.once:
            console.print("    each image goes once through the frozen layers, and then only through the classifier")
    console.print(f"    {count.parameters:,} parameters, {count.mult_adds:,} mult-adds an image")
    console.print(
        f"    {data.name}: {len(data.x_train):,} training and {len(data.x_test):,} test images, {side}, "
        f"{len(data.classes)} classes"
    )
    console.print(
        f"    {_many(settings.epochs, 'epoch')} of {_many(trainer.steps_per_epoch, 'step')} of "
        f"{settings.batch_size} images, lr {settings.lr:g} ({settings.schedule}), seed {settings.seed}, "
        f"{_many(get_threads(), 'thread')}"
    )
    if trainer.steps_done >= trainer.steps:
        console.print("    complete already; --epochs with a larger number trains on")
        return
    if trainer.steps_done:
        console.print(f"    goes on in epoch {trainer.epoch + 1} after step {trainer.position}")
    with _status(console, "taking a few steps; the first time they are compiled, which takes some 30 s"):
        start = time.perf_counter()
        trainer.probe()
        first = time.perf_counter() - start
        tracemalloc.start()
        trainer.probe()
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            trainer.probe()
            times.append(time.perf_counter() - start)
    step = statistics.median(times)
    # without gradients an image costs a third
    seconds = (trainer.steps - trainer.steps_done) * step
    seconds += (settings.epochs - trainer.epoch) * len(data.x_test) * step / settings.batch_size / 3
    console.print(f"    ready after {first:.1f} s; expected: {_duration(seconds)}, {memory / 2**20:.0f} MB for arrays")


def _train_epoch(trainer: Trainer, console: Any, interrupted: Callable[[], bool], path: Path) -> None:
    """Take the steps of an epoch that are left, show them, save now and then; stop early when interrupted."""
    title = f"epoch {trainer.epoch + 1}/{trainer.settings.epochs}"
    saved = time.perf_counter()
    with _bar(console, title, trainer.steps_per_epoch, trainer.position) as show:
        while trainer.position < trainer.steps_per_epoch and not interrupted():
            start = time.perf_counter()
            trainer.step()
            running = trainer.running
            running.seconds += time.perf_counter() - start
            images = running.steps * trainer.settings.batch_size
            show(
                trainer.position,
                f"loss {running.loss / running.steps:.3f}  accuracy {100 * running.right / images:5.1f} %  "
                f"{images / running.seconds:5.0f} images/s",
            )
            if time.perf_counter() - saved > SECONDS_BETWEEN_SAVES:
                trainer.save(path)
                saved = time.perf_counter()


@contextmanager
def _bar(console: Any, title: str, steps: int, done: int) -> Iterator[Callable[[int, str], None]]:
    """Give a function show(step, text): a live bar, or a few plain lines where there is no terminal."""
    if not console.is_interactive:
        every = max(1, steps // PLAIN_LINES)

        def line(step: int, text: str) -> None:
            if step % every == 0:
                console.print(f"{title}  step {step}/{steps}  {text}")

        yield line
        return
    progress = need("rich.progress", "demos", "`npnets train`")
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        # Some columns stay free: the "^C" that a terminal shows must not wrap the line, which is then not erased.
        progress.BarColumn(bar_width=max(4, min(40, console.width - len(title) - 62))),
        progress.TextColumn("{task.fields[text]}", markup=False),
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("left"),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=steps, completed=done, text="")
        yield lambda step, text: bar.update(task, completed=step, text=text)


@contextmanager
def _status(console: Any, text: str) -> Iterator[None]:
    """Show what is being waited for, where there is a terminal."""
    if not console.is_interactive:
        yield
        return
    with console.status(f"    {text}", spinner="line"):
        yield


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that can be asked between two steps; the second one ends the process."""
    seen = []

    def note(number: int, frame: object) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


def _row(row: Epoch) -> str:
    return (
        f"{row.epoch:5d}  {row.lr:7.2g}  {row.train_loss:10.4f}  {100 * row.train_accuracy:8.1f} %  "
        f"{row.test_loss:9.4f}  {100 * row.test_accuracy:7.1f} %  {row.images_per_second:8.0f}  {row.seconds:7.1f}"
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _quoted(path: Path) -> str:
    """Return the path as a shell takes it, on Windows too."""
    return f'"{path}"' if " " in str(path) else str(path)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
