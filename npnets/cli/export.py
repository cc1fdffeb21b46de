"""`npnets export`."""

import argparse
from pathlib import Path

from npnets.layers import BatchNorm
from npnets.models import Network, fold_batch_norm
from npnets.train.run import latest
from npnets.weights import from_pretrained
from npnets.weights.onnx import OPSET, export

HELP = "write a trained network as an ONNX file"

DESCRIPTION = """\
Write a trained network as an ONNX file, which ONNX Runtime, OpenVINO and
others run: it takes a batch of images of any size, normalised as the command
says, and gives the logits. Without --weights: what `npnets train` wrote last.
ONNX comes with the extra: pip install "npnets[export]".
"""

EXAMPLES = """\
examples:
  npnets export clothes.onnx
  npnets export mobilenet.onnx --weights mobilenet_v1_0.25_128_quant.tflite
  npnets export shuffle.onnx --weights runs/shuffle --fold --layout NCHW
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets export`."""
    parser.add_argument("file", metavar="FILE", help="what to write, such as net.onnx; an old one is replaced")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="whatever npnets.from_pretrained takes: a checkpoint or weights of npnets or of another framework, the "
        "folder of a training, a model's id on the Hugging Face hub (default: the last training in runs)",
    )
    parser.add_argument("--fold", action="store_true", help="without batch norm: it is taken into weights and biases")
    parser.add_argument(
        "--layout",
        choices=("NHWC", "NCHW"),
        default="NHWC",
        help="of the images: rows, columns, channels, as npnets has them, or channels first (default: NHWC)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a network as an ONNX file: `npnets export`."""
    file = Path(arguments.file)
    if file.suffix != ".onnx":
        raise ValueError(f"`FILE` (={file}) must end in .onnx")
    if not file.parent.is_dir():
        raise ValueError(f"`FILE` (={file}) must stand in a folder that is there, and {file.parent} is not")
    weights = latest() if arguments.weights is None else arguments.weights
    net = from_pretrained(weights)
    if arguments.fold:
        net = fold_batch_norm(net)
    export(net, file, layout=arguments.layout)
    print(f"wrote {file}: {file.stat().st_size / 1e6:.1f} MB, ONNX opset {OPSET}")
    norm = "" if any(isinstance(layer, BatchNorm) for _, layer in net.layers()) else " without batch norm"
    print(f"    net     {type(net).__name__}{norm}, from {weights}")
    print(_described(net, arguments.layout))
    return 0


def _described(net: Network, layout: str) -> str:
    """Say what goes in and what comes out."""
    axes = {"N": "batch", "H": "height", "W": "width", "C": str(net.in_channels)}
    pixels, order = net.preprocessing, "grey" if net.in_channels == 1 else net.preprocessing.order
    trained = "" if pixels.side is None else f", trained on {pixels.side} x {pixels.side}"
    mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (pixels.mean, pixels.std))
    return "\n".join(
        [
            f"    input   images ({', '.join(axes[axis] for axis in layout)}), {net.dtype}{trained}",
            f"            (pixel / 255 - mean) / std, {order}",
            f"            mean {mean}",
            f"            std {std}",
            f"    output  logits (batch, {net.arguments['num_classes']}), {net.dtype}",
        ]
    )
