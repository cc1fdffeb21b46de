"""What commands print: tables for the terminal and in Markdown."""

from collections.abc import Sequence
from typing import Any

from npnets._optional import need

WIDE = 200  # characters: a file has no right edge


def console(extra: str, purpose: str) -> Any:
    """Return a console that prints text as it is, and cuts no line where there is no terminal."""
    made = need("rich.console", extra, purpose).Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def show(screen: Any, part: Any) -> None:
    """Print text in lines as long as the console's, or a table as wide as it is: a narrow terminal breaks its lines."""
    width = screen.width
    try:
        screen.width = width if isinstance(part, str) else WIDE
        screen.print(part, crop=False)
    finally:
        screen.width = width


def table(headers: Sequence[str], words: Sequence[int], wrapped: Sequence[int], extra: str, purpose: str) -> Any:
    """Return an empty table: which columns hold words, where the others hold numbers, and which may take two lines."""
    rich_box, rich_table = (need(f"rich.{part}", extra, purpose) for part in ("box", "table"))
    made = rich_table.Table(box=rich_box.SIMPLE_HEAD)
    made.pad_edge, made.padding = False, (0, 1, 0, 0)  # so that 80 columns are enough for most
    for number, header in enumerate(headers):
        made.add_column(header, justify="left" if number in words else "right", no_wrap=number not in wrapped)
    return made


def markdown(headers: Sequence[str], words: Sequence[int], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; `words` are the columns that are no numbers.

    Examples
    --------
    >>> print(markdown(["layer", "mult-adds"], [0], [["conv", "27"]]))
    | layer | mult-adds |
    | --- | ---: |
    | conv | 27 |
    """
    rule = ["---" if number in words else "---:" for number in range(len(headers))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headers, rule, *rows))
