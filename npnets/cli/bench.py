"""`npnets bench`."""

import argparse

from npnets.bench.run import Options
from npnets.bench.run import run as run_bench
from npnets.cli._arguments import numbers, words

HELP = "measure speed and memory against other frameworks"

DESCRIPTION = """\
Measure how long npnets and other frameworks take for the same work with the
same weights. They take turns in one run, each with the best of its settings;
first their results are compared. Lists are separated by commas. The other
frameworks come with the extra: pip install "npnets[bench]".
"""

EXAMPLES = """\
examples:
  npnets bench
  npnets bench --net mobilenet:0.5,shufflenet --batch 1,8 --threads 1,2
  npnets bench --train --batch 16 --memory --json training.json
  npnets bench --net mobilenet --against none --layers
  npnets bench --scaling --plot scaling.png
  npnets bench --goal
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets bench`."""
    default = Options()

    group = parser.add_argument_group("work")
    group.add_argument(
        "--net",
        type=words,
        metavar="NET",
        help="mobilenet[:WIDTH], shufflenet[:SCALE[:GROUPS]] (default: mobilenet,shufflenet)",
    )
    group.add_argument("--batch", type=numbers, metavar="N", help="images at once (default: 1,8; with --train 16)")
    group.add_argument("--side", type=numbers, metavar="N", help="pixels of an image's side (default: 224)")
    group.add_argument(
        "--threads",
        type=numbers,
        metavar="N",
        help="at most so many, of npnets and of each peer (default: one for each core)",
    )
    group.add_argument("--train", action="store_true", help="a step of training instead of a forward pass")
    group.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default=default.dtype,
        help="of weights and images (default: float32)",
    )
    group.add_argument(
        "--classes", type=int, default=default.classes, metavar="N", help="that the networks tell apart (default: 1000)"
    )

    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--against",
        type=words,
        metavar="PEER",
        help="torch, onnxruntime, openvino, or none (default: all that can do the work)",
    )
    group.add_argument(
        "--seconds", type=float, default=default.seconds, metavar="S", help="for the turns of one row (default: 10)"
    )
    group.add_argument("--rounds", type=int, metavar="N", help="play so many rounds, however long they take")

    group = parser.add_argument_group("more")
    group.add_argument(
        "--layers",
        action="store_true",
        help="the time of each layer of npnets, or of each phase of its training step, against the roofline",
    )
    group.add_argument("--memory", action="store_true", help="by how much a process grows that does the work ten times")
    group.add_argument(
        "--scaling", action="store_true", help="instead: time and memory from batch 1 to 64 and from side 96 to 320"
    )
    group.add_argument("--goal", action="store_true", help="instead: what npnets promises, and whether it is so")
    group.add_argument("--json", metavar="FILE", help="write everything, with a description of the machine")
    group.add_argument("--plot", metavar="FILE", help="draw it (PNG)")


def run(arguments: argparse.Namespace) -> int:
    """Measure against other frameworks: `npnets bench`."""
    run_bench(Options(**{name: value for name, value in vars(arguments).items() if name != "command"}))
    return 0
