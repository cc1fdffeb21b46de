"""`npnets explain`."""

import argparse
import webbrowser
from pathlib import Path

from npnets.explain.network import describe
from npnets.explain.page import page
from npnets.train.checkpoint import replace

HELP = "see the convolutions at work, in the browser"

DESCRIPTION = """\
Write one page that holds everything, and open it in the browser: every kind of
convolution with its sums, gradients, loops and costs, to step through and to
point at; how groups are wired, with and without shuffle. With weights and a
photograph also that network's layers: feature maps, kernels, cost.
"""

EXAMPLES = """\
examples:
  npnets explain
  npnets explain --out lecture.html --no-open
  npnets explain --weights mobilenet.npz cat.jpg
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets explain`."""
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="a picture for the network to look at")
    parser.add_argument("--weights", metavar="FILE", help="weights of a network, in any format that npnets reads")
    parser.add_argument(
        "--out", metavar="FILE", default="npnets-explain.html", help="the page (default: npnets-explain.html)"
    )
    parser.add_argument("--no-open", action="store_true", help="only write it")


def run(arguments: argparse.Namespace) -> int:
    """Write the page and open it: `npnets explain`."""
    if (arguments.weights is None) != (arguments.photo is None):
        raise ValueError(
            f"`--weights` (={arguments.weights}) and `PHOTO` (={arguments.photo}) go together: give both or none"
        )
    network = None if arguments.weights is None else describe(arguments.weights, arguments.photo)
    content = page(network).encode()
    out = Path(arguments.out)
    replace(out, content)
    print(f"{out}: {len(content) / 1e3:.0f} kB, one page that needs nothing else")
    if not arguments.no_open and not webbrowser.open(out.resolve().as_uri()):
        print("no browser was found: open the page in one")
    return 0
