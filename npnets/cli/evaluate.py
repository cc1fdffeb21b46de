"""`npnets evaluate`."""

import argparse

import numpy as np

from npnets import _check, plan
from npnets._config import IMPLEMENTATIONS, use
from npnets._optional import need
from npnets.cli._trained import add_arguments, prepare
from npnets.data.dataset import Dataset, Labels
from npnets.data.sources import load_named
from npnets.models import Network
from npnets.predict import network, report
from npnets.predict.evaluate import evaluate, outputs_of
from npnets.preprocessing import Images
from npnets.train.report import draw_confusion

FORMAT = "npnets evaluate 1"
PARTS = ("test", "train", "all")

HELP = "count how often a network is right on labelled images"

DESCRIPTION = """\
Count how often a network is right: in all, among its five most probable
classes, and class by class; and what it takes for what. Without --weights it
is the network that `npnets train` wrote last.
"""

EXAMPLES = """\
examples:
  npnets evaluate fashion-mnist
  npnets evaluate photos --part all --weights mobilenet.npz --plot confusion.png
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets evaluate`."""
    parser.add_argument("data", metavar="NAME|DIR", help="what `npnets train --data` takes")
    add_arguments(parser)
    parser.add_argument("--part", choices=PARTS, default="test", help="of the data (default: test)")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images at once (default: 64)")
    parser.add_argument(
        "--use", choices=IMPLEMENTATIONS, default="numba", help="implementation (default: numba, which is fused)"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the confusion matrix (PNG)")


def run(arguments: argparse.Namespace) -> int:
    """Count how often a network is right: `npnets evaluate`."""
    _check.integer("--batch", arguments.batch, 1)
    if arguments.plot is not None:
        need("matplotlib.figure", "demos", "--plot")
    console = report.console()
    net, about = prepare(arguments)
    data = load_named("data", arguments.data, net.preprocessing.side)
    images, labels = _part(net, data, arguments.part)
    outputs = outputs_of(data.classes, net.classes, network.outputs(net))
    tables = arguments.json != "-"
    if tables:
        H, W, C = data.image_shape
        console.print(about)
        console.print(
            f"{data.name}: {len(images):,} images ({arguments.part}), {H} x {W} x {C}, {len(data.classes)} classes"
        )
    with use(arguments.use):
        forward = plan.compile(net) if arguments.use == "numba" else net
        score = evaluate(
            lambda part: forward(net.preprocess(part)), images, outputs[labels], net.classes or data.classes,
            report.batches(console, len(images), arguments.batch),
        )  # fmt: skip
    if tables:
        console.print()
        console.print(report.score_table(score, console.width))
        console.print(f"\n{report.summary(score)}")
    if arguments.plot is not None:
        draw_confusion(arguments.plot, score.confusion, score.classes)
    if arguments.json is not None:
        about_data = {"network": about, "data": data.name, "part": arguments.part}
        report.write_json(arguments.json, {"format": FORMAT, **about_data, **score.as_json()})
    return 0


def _part(net: Network, data: Dataset, part: str) -> tuple[Images, Labels]:
    """Return the images and labels of a part of the data."""
    if data.image_shape[2] != net.in_channels:
        raise ValueError(f"{data.name} has {data.image_shape[2]} channels, and the network takes {net.in_channels}")
    parts = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    chosen = list(parts.values()) if part == "all" else [parts[part]]
    images, labels = (np.concatenate(arrays) for arrays in zip(*chosen, strict=True))
    return images, labels
