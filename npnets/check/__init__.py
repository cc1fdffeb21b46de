"""`npnets check`: whether a function of the reader's computes what the equation says, and what is wrong if not.

`operations` knows the arguments and the letters of each operation, `cases` makes calls of growing size, `callers` calls
the function in a process of its own (`child`), `compare` compares, `terms` finds out what a function sums, `mistakes`
holds functions that go wrong in known ways, `examine` puts it together, `words` and `report` say it.
"""

from npnets.check.examine import check, check_files
from npnets.check.report import Report

__all__ = ["Report", "check", "check_files"]
