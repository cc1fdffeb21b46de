"""The papers' tables for the terminal and in Markdown."""

from collections.abc import Iterator, Sequence
from typing import Any

from npnets import _text
from npnets.tables.figures import Figure, Table

LEGEND = (
    ("paper", "the printed figure; the computed one stands beside it"),
    ("top-1", "accuracy on ImageNet, % (ShuffleNet prints the error)"),
    ("=", "the computed figure, rounded, is the printed one"),
    ("~", "printed is a budget that several networks were fitted to"),
    ("!", "the printed figure is another one: see the note"),
    ("quoted", "the paper does not say what could be computed"),
    ("conv+fc", "mult-adds of convolutions and classifier"),
    ("conv", "of convolutions alone"),
    ("weights", "without biases and batch norm"),
    ("body", "and without the classifier's"),
)

WORDS = ("", "counts")


def text(tables: Sequence[Table]) -> Iterator[Any]:
    """Yield what the terminal shows: text, and tables of rich.

    Raises
    ------
    ModuleNotFoundError
        rich is not installed.
    """
    for table in tables:
        headers, rows = laid_out(table)
        words = [number for number, header in enumerate(headers) if header in WORDS]
        made = _text.table(headers, words, (), "demos", "`npnets tables`")
        made.padding, made.show_edge = 0, False  # so that most have 80 columns
        for row in rows:
            made.add_row(*row)
        yield title(table)
        yield ""
        yield made
        yield "\n".join([*notes(table), ""])
    yield "\n".join(f"{sign:<8}{meaning}" for sign, meaning in legend(tables))


def markdown(tables: Sequence[Table]) -> str:
    """Return the tables in Markdown."""
    parts = []
    for table in tables:
        headers, rows = laid_out(table)
        words = [number for number, header in enumerate(headers) if header in WORDS]
        notes_ = "".join(f"- {note}\n" for note in notes(table))
        parts.append(f"### {title(table)}\n\n{_text.markdown(headers, words, rows)}\n\n{notes_}")
    return "\n".join([*parts, *(f"- `{sign}`: {meaning}" for sign, meaning in legend(tables))])


def legend(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Return the signs that stand in these tables, and what they mean."""
    cells = [cell for headers, rows in map(laid_out, tables) for row in (headers, *rows) for cell in row]
    words = {word for cell in cells for word in cell.split()}
    return [(sign, meaning) for sign, meaning in LEGEND if sign in words]


def title(table: Table) -> str:
    """Return "MobileNets, table 6: Width multiplier"."""
    return f"{table.paper}, table {table.number}: {table.title}"


def notes(table: Table) -> list[str]:
    """Return the remarks, those on single lines with the number that the line has."""
    numbered = [f"[{number}] {note}" for number, note in enumerate(_noted(table), 1)]
    return [*numbered, *([table.note] if table.note else [])]


def laid_out(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return the headers and cells of a table, without the columns in which nothing stands."""
    headers = ["", table.quality, "paper", "mult-adds", "counts", "paper", "params", "counts"]
    noted = _noted(table)
    rows = []
    for row in table.rows:
        mark = f" [{noted.index(row.note) + 1}]" if row.note else ""
        rows.append([row.label + mark, row.quality, *_cells(row.mult_adds), *_cells(row.parameters)])
    used = [number for number in range(len(headers)) if any(row[number] for row in rows)]
    return [headers[number] for number in used], [[row[number] for number in used] for row in rows]


def _noted(table: Table) -> list[str]:
    return list(dict.fromkeys(row.note for row in table.rows if row.note))


def _cells(figure: Figure) -> list[str]:
    """Return what is printed, what is computed, and what that counts."""
    printed = f"{figure.printed} {figure.unit}" if figure.printed else ""
    if figure.exact is None:
        return [printed, "quoted" if printed else "", ""]
    exact = f"{100 * float(figure.exact):.3f} %" if figure.unit == "%" else f"{figure.exact:,}"
    return [printed, f"{figure.status} {exact}".strip(), figure.counts]
