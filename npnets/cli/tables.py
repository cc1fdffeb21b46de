"""`npnets tables`."""

import argparse

from npnets import _picture, _text
from npnets.bench.machine import processor
from npnets.tables import PAPERS, plot, select, show, time

HELP = "the papers' tables, recomputed"

DESCRIPTION = """\
Show every table of both papers that says what something costs: what is printed
beside what the architecture gives, what each figure counts, and what is wrong.
Or measure with --time, on this machine, why so many times fewer mult-adds do
not take as many times less time.
"""

EXAMPLES = """\
examples:
  npnets tables
  npnets tables mobilenet 2
  npnets tables shufflenet --markdown > shufflenet.md
  npnets tables --plot accuracy.png
  npnets tables --time --plot time.png
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets tables`."""
    parser.add_argument("paper", nargs="?", choices=PAPERS, help="mobilenet or shufflenet (default: both)")
    parser.add_argument("number", nargs="?", type=int, metavar="N", help="of one table (default: all)")
    parser.add_argument("--markdown", action="store_true", help="in Markdown")
    parser.add_argument("--plot", metavar="FILE", help="draw accuracy against mult-adds, or with --time times (PNG)")
    parser.add_argument(
        "--time", action="store_true", help="instead: mult-adds against measured time by kind of layer, on this machine"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the papers' tables: `npnets tables`."""
    if arguments.time:
        return _time(arguments)
    tables = select(arguments.paper, arguments.number)
    figure = None if arguments.plot is None else plot.accuracy(tables)
    if arguments.markdown:
        print(show.markdown(tables))
    else:
        console = _text.console("demos", "`npnets tables`")
        for part in show.text(tables):
            _text.show(console, part)
    if figure is not None:
        _picture.write(arguments.plot, figure)
    return 0


def _time(arguments: argparse.Namespace) -> int:
    if arguments.number is not None or arguments.markdown:
        raise ValueError("--time cannot go with N and --markdown: it shows no table of a paper")
    console = _text.console("demos", "`npnets tables --time`")
    measured = [time.measure(net) for net in time.NETS if arguments.paper in (None, net)]
    for part in time.text(measured):
        _text.show(console, part)
    if arguments.plot is not None:
        _picture.write(arguments.plot, time.draw(measured, processor()))
    return 0
