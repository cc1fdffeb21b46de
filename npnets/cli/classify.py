"""`npnets classify`."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npnets import _check, cam, plan
from npnets._config import use
from npnets._optional import need
from npnets.cli._arguments import words
from npnets.cli._trained import add_arguments, prepare
from npnets.models import Network
from npnets.predict import picture, report
from npnets.predict.classify import Guess, best, see
from npnets.preprocessing import Images

FORMAT = "npnets classify 1"

HELP = "say what is on photographs"

DESCRIPTION = """\
Say what is on photographs, in any format that Pillow reads: the centre of each
goes through the network, and its most probable classes are shown. Without
--weights it is the network that `npnets train` wrote last.
"""

EXAMPLES = """\
examples:
  npnets classify photo.jpg
  npnets classify cat.jpg dog.png --weights mobilenet.npz --classes names.json
  npnets classify photo.jpg --weights mobilenet.npz --explain explained.png
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets classify`."""
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a file with a picture")
    add_arguments(parser)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many classes are shown (default: 5)")
    parser.add_argument(
        "--explain",
        metavar="FILE",
        help="draw the photograph, where its classes are on it, and feature maps of some layers (PNG)",
    )
    parser.add_argument(
        "--layers",
        type=words,
        metavar="NAME",
        help="whose feature maps --explain draws, such as stem,block3.depthwise; or none",
    )


def run(arguments: argparse.Namespace) -> int:
    """Say what is on photographs: `npnets classify`."""
    _check.integer("--top", arguments.top, 1)
    _explainable(arguments)
    need("PIL.Image", "demos", "`npnets classify`")
    console = report.console()
    net, about = prepare(arguments)
    forward = plan.compile(net)
    tables = arguments.json != "-"
    if tables:
        console.print(about)
    results: list[dict[str, Any]] = []
    for path in arguments.photos:
        try:
            image = see(net, path)
        except (OSError, ValueError, ModuleNotFoundError) as error:  # the others can be read, maybe
            print(f"npnets: error: {error}", file=sys.stderr)
            results.append({"file": path, "error": str(error)})
            continue
        found = best(forward(net.preprocess(image[None]))[0], net.classes, max(arguments.top, picture.MAPS))
        guesses = found[: arguments.top]
        if tables:
            console.print(f"\n{path}")
            console.print(report.guess_table(guesses, console.width))
        results.append({"file": path, "classes": [dataclasses.asdict(guess) for guess in guesses]})
        if arguments.explain is not None:
            _explain(net, image, found[: picture.MAPS], path, arguments)
    if arguments.json is not None:
        report.write_json(arguments.json, {"format": FORMAT, "network": about, "photographs": results})
    return int(any("error" in result for result in results))


def _explainable(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be drawn, before anything is done."""
    if arguments.explain is None:
        if arguments.layers is not None:
            raise ValueError(f"`--layers` (={','.join(arguments.layers)}) goes with --explain, which draws them")
        return
    if len(arguments.photos) > 1:
        raise ValueError(
            f"`--explain` (={arguments.explain}) draws one photograph, and there are {len(arguments.photos)}"
        )
    need("matplotlib.figure", "demos", "--explain")


def _explain(net: Network, image: Images, guesses: Sequence[Guess], path: str, arguments: argparse.Namespace) -> None:
    """Draw the picture of --explain."""
    layers = cam.spread(net, image.shape) if arguments.layers is None else arguments.layers
    x, classes = net.preprocess(image[None]), [guess.index for guess in guesses]
    with use("numpy"):  # for one image this is done sooner than the layers' kernels could be compiled
        seen = cam.activations(net, x, classes=classes, layers=layers)
    figure = picture.explanation(image, guesses, seen, f"{Path(path).name}, seen by {type(net).__name__}")
    picture.draw(arguments.explain, figure)
