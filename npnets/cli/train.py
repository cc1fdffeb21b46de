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
from npnets.cli._arguments import INTERRUPTED, switch, words
from npnets.data import Dataset
from npnets.data.folder import SIDE
from npnets.data.sources import load_named
from npnets.models import MobileNetV1
from npnets.train.finetune import fitted
from npnets.train.run import CHECKPOINT, RUNS, check_optional, reading
from npnets.train.run import run as run_training
from npnets.train.schedule import SCHEDULES
from npnets.train.settings import BODIES, MODELS, Settings, body_for
from npnets.train.sgd import SKIPS
from npnets.train.trainer import Trainer, saved_settings
from npnets.weights import from_pretrained

HELP = "train a network on pictures"

DESCRIPTION = """\
Train a MobileNet or a ShuffleNet, and leave in a folder: the log (CSV), the
training curves and the confusion matrix (PNG), and a checkpoint. Without
options: a small MobileNet on a part of Fashion-MNIST, in a minute or two.
With --init the training begins with a network that is trained already.
Ctrl-C saves, and says how to go on.
"""

EXAMPLES = """\
examples:
  npnets train
  npnets train --model shufflenet --groups 3 --epochs 10 --out runs/shuffle
  npnets train --data digits --crop 1 --lr 0.1 --schedule cosine
  npnets train --resume runs/shuffle --epochs 20
  npnets train --init weights.npz --data photos --lr 0.02
  npnets train --init weights.npz --data photos --freeze all-but-classifier
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

    setting(
        group,
        "init",
        "begin with these weights, and the network that they are of: any file that npnets.from_pretrained reads "
        "(default: random ones)",
        metavar="FILE",
    )
    setting(
        group,
        "freeze",
        "with --init: layers that stay as they are, such as stem,block1 or all-but-classifier (default: none)",
        words,
        metavar="NAMES",
    )

    group = parser.add_argument_group("data")
    setting(
        group,
        "data",
        "fashion-mnist (a tenth of it comes with npnets), fashion-mnist-full, digits, cifar10, a folder of IDX files, "
        "or one with a folder of pictures for each class",
        metavar="NAME|DIR",
    )
    setting(
        group,
        "side",
        "resize the images to squares of this side (default: pictures to at most 224; with --init to what the weights "
        "were trained on)",
        int,
        metavar="PIXELS",
    )
    setting(
        group,
        "resized_crop",
        "cut at random so small a share out of each image, or more, and resize it to the whole; 0.08 is usual for "
        "photographs (default: 0, none)",
        float,
        metavar="SHARE",
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
    if "init" in given:
        trainer, note = _begun(given)
    else:
        _suits_model(given)
        dataset, note = _load(given.get("data", Settings.data), given.get("side")), ""
        trainer = Trainer(Settings(**{"body": body_for(dataset.image_shape), **given}), dataset)
    # Last, so that no folder is left behind by a training that cannot begin.
    with _new_folder(arguments.out, f"{trainer.settings.model}-{trainer.dataset.name}") as out:
        return 0 if run_training(trainer, out, note) else INTERRUPTED


def _begun(given: dict[str, Any]) -> tuple[Trainer, str]:
    """Return a trainer that begins with the weights of `--init`, and what became of their classifier."""
    for name in "model", "body", "width", "groups", "scale":
        if name in given:
            raise ValueError(f"`--{name}` (={given[name]}) cannot go with --init: the weights say what the network is")
    net = from_pretrained(given["init"])
    side = given.get("side", net.preprocessing.side or SIDE)
    dataset = _load(given.get("data", Settings.data), side)
    model = "mobilenet" if isinstance(net, MobileNetV1) else "shufflenet"
    settings = Settings(**{**given, "model": model, "side": side})
    net, note = fitted(net, dataset, settings.seed)
    return Trainer(settings, dataset, start=net), note


def _load(source: str, side: int | None, name: str = "--data") -> Dataset:
    with reading(source):
        return load_named(name, source, side)


def _suits_model(given: dict[str, Any]) -> None:
    """Refuse what only the other network has, and this one would ignore, and what is for trained ones."""
    if given.get("freeze"):
        raise ValueError(f"`--freeze` (={','.join(given['freeze'])}) needs --init: random layers would stay random")
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
    dataset = _load(settings.data, settings.side, "data")
    return Trainer.resume(checkpoint, dataset, settings), checkpoint.parent


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
