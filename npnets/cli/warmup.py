"""`npnets warmup`."""

import argparse

from npnets import warmup

HELP = "compile everything beforehand"

DESCRIPTION = """\
Compile all kernels for the processor of this machine, and keep them; it takes
half a minute. From then on npnets begins at once. Without this command all is
compiled and kept when it is first needed. What is kept already is only loaded.
"""
EXAMPLES = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets warmup`."""
    parser.add_argument(
        "--dtype",
        choices=(*warmup.DTYPES, "both"),
        default="float32",
        help="of the networks and images (default: float32)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compile everything beforehand: `npnets warmup`."""
    warmup.run(warmup.DTYPES if arguments.dtype == "both" else (arguments.dtype,))
    return 0
