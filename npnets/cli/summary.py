"""`npnets summary`."""

import argparse

from npnets import _text, summary
from npnets.cost import CONVENTIONS, cost
from npnets.models.by_name import named

HELP = "what a network costs, layer by layer"

DESCRIPTION = """\
Show a network layer by layer: output, parameters, mult-adds and their share,
activations; then the same for each kind of layer, and the totals. Batch norm
and activation are in the line of the convolution that they follow.
"""

EXAMPLES = """\
examples:
  npnets summary mobilenet
  npnets summary shufflenet:1:8 --input 160x224 --batch 8
  npnets summary mobilenet:0.25 --classes 10 --all
  npnets summary shufflenet --backward --convention double
  npnets summary mobilenet --markdown > cost.md
"""


def sides(text: str) -> tuple[int, int]:
    """Read HxW, or one number for both."""
    try:
        height, width = map(int, text.split("x") if "x" in text else (text, text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be HxW, such as 224x224, not {text!r}") from None
    return height, width


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets summary`."""
    parser.add_argument("net", metavar="NET", help="mobilenet[:WIDTH], shufflenet[:SCALE[:GROUPS]]")
    parser.add_argument(
        "--input", type=sides, default=(224, 224), metavar="HxW", help="size of the images (default: 224x224)"
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images at once (default: 1)")
    parser.add_argument(
        "--classes", type=int, default=1000, metavar="N", help="that the network tells apart (default: 1000)"
    )
    parser.add_argument("--channels", type=int, default=3, metavar="N", help="of the images (default: 3)")
    parser.add_argument("--all", action="store_true", help="batch norm and activation in lines of their own")
    parser.add_argument("--backward", action="store_true", help="mult-adds of the backward pass, not activations")
    parser.add_argument(
        "--convention",
        default="mult-adds",
        metavar="NAME",
        help=f"what counts as mult-adds: {', '.join(CONVENTIONS)} (default: mult-adds, as in the papers)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything that was counted, as JSON")
    form.add_argument("--markdown", action="store_true", help="the table in Markdown")


def run(arguments: argparse.Namespace) -> int:
    """Show what a network costs: `npnets summary`."""
    net = named(arguments.net)
    shape = (*arguments.input, arguments.channels)
    built = net.build(num_classes=arguments.classes, in_channels=arguments.channels)
    count = cost(built, shape, arguments.convention, batch=arguments.batch)
    how = {"each": arguments.all, "backward": arguments.backward}
    title = f"{net.title}, {shape[0]} x {shape[1]}, batch {arguments.batch}"
    if arguments.convention != "mult-adds":
        title += f", counted by the convention {arguments.convention!r}"
    if arguments.json:
        about = {"net": arguments.net, "input": shape, "batch": arguments.batch, "convention": arguments.convention}
        print(summary.as_json(count, about))
    elif arguments.markdown:
        print(summary.markdown(count, title, **how))
    else:
        console = _text.console("demos", "`npnets summary`")
        for part in summary.text(count, title, **how):
            _text.show(console, part)
    return 0
