"""`npnets explain`."""

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from npnets.explain.network import describe
from npnets.explain.page import page
from npnets.predict import network
from npnets.predict.classify import see
from npnets.train.checkpoint import replace

HELP = "see the convolutions at work, in the browser"

DESCRIPTION = """\
Write one page that holds everything, and open it in the browser: every kind of
convolution with its sums, gradients, loops and costs, to step through and to
point at; how groups are wired, with and without shuffle. With a photograph
also the layers of a network: feature maps, kernels, costs. Without --weights
it is the network that `npnets train` wrote last.
"""

EXAMPLES = """\
examples:
  npnets explain
  npnets explain --out lecture.html --no-open
  npnets explain --weights mobilenet.npz photo.png
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets explain`."""
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="a file with a picture, for a network to look at")
    parser.add_argument(
        "--weights", metavar="FILE", help="a file or hub id for npnets.from_pretrained (default: the last training)"
    )
    parser.add_argument(
        "--classes", metavar="FILE", help="names of the classes, for weights without: a JSON list, or one on each line"
    )
    parser.add_argument(
        "--out", metavar="FILE", default="npnets-explain.html", help="the page (default: npnets-explain.html)"
    )
    parser.add_argument("--no-open", action="store_true", help="write the page, and do not open it")


def run(arguments: argparse.Namespace) -> int:
    """Write the page and open it: `npnets explain`."""
    out = Path(arguments.out)
    content = page(_network(arguments)).encode()
    replace(out, content)
    print(f"wrote {out} ({len(content) / 1e6:.1f} MB)")
    if not arguments.no_open and not webbrowser.open(out.resolve().as_uri()):
        print("no browser was found: open that file in one")
    return 0


def _network(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Return what the page shows of a network, if it is to show one."""
    if arguments.photo is None:
        for name in ("weights", "classes"):
            if getattr(arguments, name) is not None:
                raise ValueError(f"`--{name}` (={getattr(arguments, name)}) needs a photograph: give PHOTO as well")
        return None
    net, about = network.load(arguments.weights, arguments.classes)
    source = Path(about.partition(": ")[0]).name  # the page may go to others: whose folders they are is not in it
    return describe(net, see(net, arguments.photo), source)
