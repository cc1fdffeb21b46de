"""The papers' tables, recomputed: what `npnets tables` shows."""

from npnets.tables import mobilenet, shufflenet
from npnets.tables.figures import Figure, Row, Table

__all__ = ["PAPERS", "Figure", "Row", "Table", "select"]

PAPERS = {"mobilenet": mobilenet.tables, "shufflenet": shufflenet.tables}


def select(paper: str | None = None, number: int | None = None) -> tuple[Table, ...]:
    """Return the tables of both papers, or of one ("mobilenet", "shufflenet"), or a single one by its number.

    Raises
    ------
    ValueError
        The paper has no such table that says what something costs.
    """
    found = [table for name, tables in PAPERS.items() if paper in (None, name) for table in tables()]
    if number is None:
        return tuple(found)
    known = [table.number for table in found]
    if number not in known:
        raise ValueError(f"`number` (={number}) must be one of {', '.join(map(str, known))}")
    return (found[known.index(number)],)
