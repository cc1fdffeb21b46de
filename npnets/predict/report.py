"""What `npnets classify` and `npnets evaluate` print."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npnets._optional import need
from npnets.predict.classify import Guess
from npnets.predict.evaluate import Score
from npnets.train.checkpoint import replace

UNCUT = 500  # columns where there is no terminal
NARROW = 40  # with fewer there is no place for bars and mistakes

# Up to so many classes the confusion matrix is printed, and each class on a line of its own.
MATRIX, EACH = 12, 50
TAKEN_FOR = "taken for"


def console() -> Any:
    """Return what prints to the terminal, or uncut where there is none; names are not markup."""
    made = need("rich.console", "demos", "a table in the terminal").Console(
        highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    if not made.is_terminal:
        made.width = UNCUT
    return made


def guess_table(guesses: Sequence[Guess], width: int) -> Any:
    """Return the classes as a table, each with a bar as long as it is probable, for `width` columns."""
    bar = need("rich.progress_bar", "demos", "`npnets classify`").ProgressBar
    table = _table()
    table.add_column(min_width=4, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    colours = {"style": "bright_black", "complete_style": "cyan", "finished_style": "cyan"}
    for guess in guesses:
        cells = [guess.name, _percent(guess.probability)]
        if width >= NARROW:
            cells.append(bar(total=1.0, completed=guess.probability, width=min(30, width // 3), **colours))
        table.add_row(*cells)
    return _indented(table)


def batches(console: Any, images: int, size: int) -> Iterable[slice]:
    """Return which images go through a network together, `size` at once, with a bar where there is a terminal."""
    slices = [slice(start, start + size) for start in range(0, images, size)]
    if not console.is_interactive:
        return slices
    track = need("rich.progress", "demos", "`npnets evaluate`").track
    shown: Iterable[slice] = track(slices, "evaluating", console=console, transient=True)
    return shown


def summary(score: Score) -> str:
    """Return the figures of an evaluation, on two lines."""
    top = "" if score.among_top is None else f", among the top 5 {_percent(score.among_top / score.images)}"
    return (
        f"accuracy {_percent(score.right / score.images)} ({score.right:,} of {score.images:,}){top}\n"
        f"{score.images / score.seconds:,.0f} images/s"
    )


def score_table(score: Score, width: int) -> Any:
    """Return how each class fared: as the confusion matrix where it fits into `width` columns, or else a list."""
    digits = max(4, len(str(score.confusion.max())))
    longest = max(len(TAKEN_FOR), *map(len, score.classes))
    if len(score.classes) <= MATRIX and 2 + longest + 1 + (digits + 1) * len(score.classes) + 8 <= width:
        return _matrix(score, digits)
    return _list(score, width)


def _matrix(score: Score, digits: int) -> Any:
    text = need("rich.text", "demos", "tables").Text
    table = _table(header=True)
    table.padding = (0, 1, 0, 0)
    table.add_column(TAKEN_FOR, no_wrap=True)
    for name in score.classes:
        table.add_column(name[:digits], justify="right", no_wrap=True, width=digits)
    table.add_column("right", justify="right", no_wrap=True)
    for a, (name, row) in enumerate(zip(score.classes, score.confusion, strict=True)):
        cells = [text(str(count) if count else ".", "bold" if a == b else "") for b, count in enumerate(row)]
        table.add_row(name, *cells, _percent(row[a] / row.sum()) if row.any() else "")
    return _indented(table)


def _list(score: Score, width: int) -> Any:
    rows = score.by_class()
    title = "class"
    if len(rows) > EACH:
        title = f"the worst {EACH} of {len(rows)}"
        rows = sorted(rows, key=lambda row: row.right / row.images)[:EACH]
    table = _table(header=True)
    table.add_column(title, overflow="fold")
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("right", justify="right", no_wrap=True)
    if width >= NARROW:
        table.add_column(TAKEN_FOR, overflow="fold")
    for row in rows:
        cells = [row.name, str(row.images), _percent(row.right / row.images), row.mistake or ""]
        table.add_row(*cells[: len(table.columns)])
    return _indented(table)


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Write everything as JSON, at once; to the standard output where the path is "-"."""
    text = json.dumps(content, indent=1, allow_nan=False)
    if path == "-":
        print(text)
    else:
        replace(path, text.encode())


def _table(*, header: bool = False) -> Any:
    table = need("rich.table", "demos", "tables").Table(box=None, show_header=header, header_style="")
    table.pad_edge, table.padding = False, (0, 2, 0, 0)
    return table


def _indented(table: Any) -> Any:
    return need("rich.padding", "demos", "tables").Padding(table, (0, 0, 0, 2), expand=False)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
