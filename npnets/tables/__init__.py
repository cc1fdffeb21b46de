"""The papers' tables, recomputed: what `npnets tables` shows."""

from npnets.tables import mobilenet, shufflenet
from npnets.tables.figures import Figure, Row, Table

__all__ = ["PAPERS", "Figure", "Row", "Table"]

PAPERS = {"mobilenet": mobilenet.tables, "shufflenet": shufflenet.tables}
