"""`npnets check`."""

import argparse
import json
import sys

from npnets import _check
from npnets.check.callers import parse
from npnets.check.child import KINDS
from npnets.check.examine import check_files
from npnets.check.operations import LAYOUTS, find
from npnets.check.report import COULD_NOT_RUN, STATUS

HELP = "check a function of yours against an operation's equation"

DESCRIPTION = """\
Call a function of yours with small whole numbers, compare what it returns with
what the equation says, and say in the equation's letters what is wrong: the
smallest case that fails, the terms that are missing, and the mistake, if it is
one of those that are usual.

OP is a name in npnets.ops. A convolution is called

  mine(x, weight, *, stride, padding, dilation)         conv2d, depthwise_conv2d
  mine(x, weight, *, groups, stride, padding, dilation)            group_conv2d
  mine(x, weight, *, groups)                                   pointwise_conv2d
  mine(x, depthwise_weight, pointwise_weight, *, stride, padding, dilation)

always with all keywords, each a whole number; every other operation with all
arguments of the one in npnets.ops. A gradient gets dout first, and returns
dx, dweight, ... in a tuple. Feature maps are (B, H, W, C), kernels
(KH, KW, C/groups, N); with --layout NCHW they are PyTorch's.

The function runs in a process of its own, with limits of time and memory, and
what it prints is not shown. That guards against accidents; it is no sandbox:
do not check code that you would not run.
"""

EXAMPLES = """\
examples:
  npnets check depthwise_conv2d mycode.py:mine
  npnets check conv2d mycode.py:conv --backward mycode.py:conv_backward
  npnets check group_conv2d torchcode.py:mine --layout NCHW
  npnets check batch_norm_train_backward mycode.py:norm_backward --json

exit status: 0 conforms, 1 differs, 2 could not run
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets check`."""
    parser.add_argument("operation", metavar="OP", help="conv2d, depthwise_conv2d, relu_backward, ...")
    parser.add_argument(
        "function", metavar="FILE.py[:FUNCTION]", help="where it stands (without a name: called as the operation)"
    )
    parser.add_argument("--backward", metavar="FILE.py[:FUNCTION]", help="the function for the gradient")
    parser.add_argument("--layout", choices=LAYOUTS, default="NHWC", help="of your arrays (default: NHWC)")
    parser.add_argument(
        "--arrays", choices=KINDS, help="what your function takes (default: that with which it does best)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="that one call may take (default: 10)")
    parser.add_argument(
        "--memory", type=int, default=4096, metavar="MB", help="that it may hold, on Linux (default: 4096)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check a function: `npnets check`."""
    try:
        _check.number("--seconds", arguments.seconds, 0.0, strictly=True)
        _check.integer("--memory", arguments.memory, 100)
        backward = arguments.backward
        find(arguments.operation)
        report = check_files(
            arguments.operation,
            parse(arguments.function, arguments.operation),
            None if backward is None else parse(backward, f"{arguments.operation}_backward"),
            layout=arguments.layout,
            arrays=arguments.arrays,
            seconds=arguments.seconds,
            megabytes=arguments.memory,
        )
    except ValueError as error:
        if arguments.json:
            print(json.dumps({"status": COULD_NOT_RUN, "functions": [], "notes": [str(error)]}))
        print(f"npnets: error: {error}", file=sys.stderr)
        return STATUS[COULD_NOT_RUN]
    print(json.dumps(report.json(), indent=1) if arguments.json else report)
    return STATUS[report.status]
