"""`npnets train`."""

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from npnets import _check
from npnets._config import IMPLEMENTATIONS, use
from npnets._parallel import set_threads
from npnets.cli._arguments import INTERRUPTED, switch
from npnets.data.sources import load_named
from npnets.train.run import CHECKPOINT, RUNS, check_optional
from npnets.train.run import run as run_training
from npnets.train.schedule import SCHEDULES
from npnets.train.settings import BODIES, MODELS, Settings, body_for
from npnets.train.sgd import SKIPS
from npnets.train.trainer import Trainer, saved_settings

HELP = "train a network on pictures"

DESCRIPTION = """\
Train a MobileNet or a ShuffleNet, and leave in a folder: the log (CSV), the
training curves and the confusion matrix (PNG), and a checkpoint. Without
options: a small MobileNet on a part of Fashion-MNIST, in a minute or two.
Ctrl-C saves, and says how to go on.
"""

EXAMPLES = """\
examples:
  npnets train
  npnets train --model shufflenet --groups 3 --epochs 10 --out runs/shuffle
  npnets train --data digits --crop 1 --lr 0.1 --schedule cosine
  npnets train --resume runs/shuffle --epochs 20
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `npnets train`."""
    default = Settings()

    def setting(
        group: argparse._ArgumentGroup, name: str, about: str, kind: Callable[[str], object] = str, **more: object
    ) -> None:
        value = getattr(default, name)
        shown = int(value) if isinstance(value, bool) else value
        about = about if "default" in about else f"{about} (default: {shown})"
        group.add_argument("--" + name.replace("_", "-"), type=kind, help=about, **more)  # type: ignore[arg-type]

    group = parser.add_argument_group("network")
    setting(group, "model", "which of the two", choices=MODELS)
    setting(group, "width", "MobileNet's width multiplier", float, metavar="ALPHA")
    setting(group, "groups", "ShuffleNet's groups", int, metavar="G")
    setting(group, "scale", "ShuffleNet's scale factor", float, metavar="S")
    setting(
        group, "body", "the paper's network, or a small one (default: small up to 64 pixels a side)", choices=BODIES
    )

    group = parser.add_argument_group("data")
    setting(
        group,
        "data",
        "fashion-mnist (a tenth of it comes with npnets), fashion-mnist-full, digits, or a folder of IDX files",
        metavar="NAME|DIR",
    )
    setting(group, "crop", "move each image at random by up to so many pixels", int, metavar="PIXELS")
    setting(group, "flip", "mirror images at random: 1 or 0", switch, metavar="0|1")

    group = parser.add_argument_group("training")
    setting(
        group,
        "epochs",
        "how often each image is seen; more of them after --resume stretch the schedule",
        int,
        metavar="N",
    )
    setting(group, "batch_size", "images a step", int, metavar="N")
    setting(group, "lr", "the highest learning rate", float, metavar="RATE")
    setting(group, "schedule", "the course of the rate", choices=tuple(SCHEDULES))
    setting(group, "momentum", "of SGD, in Nesterov's form; 0 for none", float, metavar="MU")
    setting(group, "weight_decay", "of SGD", float, metavar="LAMBDA")
    setting(
        group,
        "skip_decay",
        "parameters without weight decay: depthwise weights, one-dimensional ones (default: none)",
        choices=SKIPS,
        nargs="+",
    )
    setting(group, "label_smoothing", "share of the target that all classes have in common", float, metavar="E")
    setting(group, "seed", "of weights, order, crops and flips: the same seed, the same bits", int, metavar="N")

    group = parser.add_argument_group("run")
    group.add_argument("--threads", type=int, metavar="N", help="of the kernels (default: one for each core)")
    group.add_argument("--use", choices=IMPLEMENTATIONS, default="numba", help="implementation (default: numba)")
    group.add_argument("--out", metavar="DIR", help="folder for the results (default: a new one in runs)")
    group.add_argument("--resume", metavar="DIR", help="go on with the training that stopped in this folder")


def run(arguments: argparse.Namespace) -> int:
    """Train a network: `npnets train`."""
    check_optional()
    given = {name: value for name, value in vars(arguments).items() if name in _SETTINGS and value is not None}
    if arguments.threads is not None:
        set_threads(_check.integer("--threads", arguments.threads, 1))
    use(arguments.use)
    if arguments.resume is not None:
        if arguments.out is not None:
            raise ValueError(f"`--out` (={arguments.out}) cannot go with --resume, which goes on in its folder")
        trainer, out = _resumed(Path(arguments.resume), given)
        return 0 if run_training(trainer, out) else INTERRUPTED
    if arguments.out is not None and (Path(arguments.out) / CHECKPOINT).exists():
        raise ValueError(f"`--out` (={arguments.out}) holds a training already: see --resume, or name another folder")
    if "skip_decay" in given:
        given["skip_decay"] = tuple(given["skip_decay"])
    _suits_model(given)
    dataset = load_named("--data", given.get("data", Settings.data))
    trainer = Trainer(Settings(**{"body": body_for(dataset.image_shape), **given}), dataset)
    # Last, so that no folder is left behind by a training that cannot begin.
    with _new_folder(arguments.out, f"{trainer.settings.model}-{dataset.name}") as out:
        return 0 if run_training(trainer, out) else INTERRUPTED


def _suits_model(given: dict[str, Any]) -> None:
    """Refuse what only the other network has, and this one would ignore."""
    model = given.get("model", Settings.model)
    for name, owner in (("width", "mobilenet"), ("groups", "shufflenet"), ("scale", "shufflenet")):
        if name in given and owner != model:
            raise ValueError(f"`--{name}` (={given[name]}) goes with --model {owner}, and the model is {model}")


def _resumed(where: Path, given: dict[str, object]) -> tuple[Trainer, Path]:
    """Return the trainer that stopped in the folder `where`, and the folder."""
    checkpoint = where / CHECKPOINT if where.is_dir() else where
    settings = saved_settings(checkpoint)
    others = sorted(given.keys() - {"epochs"})
    if others:
        flags = ", ".join("--" + name.replace("_", "-") for name in others)
        raise ValueError(
            f"{flags} cannot go with --resume: the checkpoint holds the settings; only --epochs may change"
        )
    if isinstance(epochs := given.get("epochs"), int):
        settings = dataclasses.replace(settings, epochs=epochs)
    return Trainer.resume(checkpoint, load_named("data", settings.data), settings), checkpoint.parent


@contextmanager
def _new_folder(wanted: str | None, name: str) -> Iterator[Path]:
    """Make the folder for the results, and take it away again if nothing was put into it."""
    out = Path(wanted) if wanted is not None else _unused(Path(RUNS) / name)
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"`--out` (={out}) is not a folder, or one above it is not") from None
    if not os.access(out, os.W_OK):  # to find out now, and not after the first epoch
        raise PermissionError(f"`--out` (={out}) is a folder that cannot be written to")
    try:
        yield out
    finally:
        for folder in missing:
            with suppress(OSError):  # not empty
                folder.rmdir()


def _unused(folder: Path) -> Path:
    number = 1
    while (out := folder if number == 1 else folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return out


_SETTINGS = {field.name for field in dataclasses.fields(Settings)}
