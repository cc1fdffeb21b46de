"""What the commands that use a trained network share: which one it is, threads, JSON."""

import argparse

from npnets import _check
from npnets._parallel import set_threads
from npnets.models import Network
from npnets.predict import network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the network, its classes, the threads and a file for JSON."""
    parser.add_argument(
        "--weights", metavar="FILE", help="a file or hub id for npnets.from_pretrained (default: the last training)"
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="names of the classes, for weights without: one on each line, a JSON list, or Keras' list of ImageNet's",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of the kernels (default: one for each core)")
    parser.add_argument("--json", metavar="FILE", help="write all as JSON; - prints it in the place of the tables")


def prepare(arguments: argparse.Namespace) -> tuple[Network, str]:
    """Set the threads; return the network, and a line that says what it is."""
    if arguments.threads is not None:
        set_threads(_check.integer("--threads", arguments.threads, 1))
    return network.load(arguments.weights, arguments.classes)
