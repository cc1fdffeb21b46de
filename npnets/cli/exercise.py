"""`npnets exercise`."""

import argparse
from pathlib import Path

from npnets.check.exercise import exercise, write
from npnets.check.operations import find

HELP = "write the starter file of an exercise"

DESCRIPTION = """\
Write a file with an operation's equation and shapes, functions that are still
to be written, and tests: an example of each that can be followed on paper, and
all that `npnets check` checks. OP is a name in npnets.ops.
"""

EXAMPLES = """\
examples:
  npnets exercise depthwise_conv2d
  pytest depthwise_conv2d.py
  npnets check depthwise_conv2d depthwise_conv2d.py
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets exercise`."""
    parser.add_argument("operation", metavar="OP", help="conv2d, channel_shuffle, batch_norm_train, ...")
    parser.add_argument(
        "--out", metavar="FILE", help="where to (default: OP.py; an existing file is never overwritten)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a starter file: `npnets exercise`."""
    name = find(arguments.operation).forward
    path = Path(arguments.out if arguments.out is not None else f"{name}.py")
    write(path, exercise(name, path.name))
    print(f"{path}: write the functions, then run `pytest {path}`")
    return 0
