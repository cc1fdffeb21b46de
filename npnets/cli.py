"""The command `npnets`: one short function for each subcommand."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from npnets import __version__, _check, warmup
from npnets._config import IMPLEMENTATIONS, use
from npnets._parallel import set_threads
from npnets.bench.run import Options
from npnets.bench.run import run as run_bench
from npnets.data.sources import load_named
from npnets.train.run import CHECKPOINT, check_optional, run
from npnets.train.schedule import SCHEDULES
from npnets.train.settings import BODIES, MODELS, Settings, body_for
from npnets.train.sgd import SKIPS
from npnets.train.trainer import Trainer, saved_settings

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `npnets` with these arguments, or with the process's own, and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal in cp1252 or cp949 shows "?" for what it cannot show
            stream.reconfigure(errors="replace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        status: int = arguments.command(arguments)
    except (ValueError, TypeError, OSError, ModuleNotFoundError, FloatingPointError, MemoryError) as error:
        text = " ".join(str(error).splitlines()) or "out of memory"  # the only one without a text
        print(f"npnets: error: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("npnets: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def train(arguments: argparse.Namespace) -> int:
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
        return 0 if run(trainer, out) else INTERRUPTED
    if arguments.out is not None and (Path(arguments.out) / CHECKPOINT).exists():
        raise ValueError(f"`--out` (={arguments.out}) holds a training already: see --resume, or name another folder")
    if "skip_decay" in given:
        given["skip_decay"] = tuple(given["skip_decay"])
    _suits_model(given)
    dataset = load_named("--data", given.get("data", Settings.data))
    trainer = Trainer(Settings(**{"body": body_for(dataset.image_shape), **given}), dataset)
    # Last, so that no folder is left behind by a training that cannot begin.
    with _new_folder(arguments.out, f"{trainer.settings.model}-{dataset.name}") as out:
        return 0 if run(trainer, out) else INTERRUPTED


def bench(arguments: argparse.Namespace) -> int:
    """Measure against other frameworks: `npnets bench`."""
    run_bench(Options(**{name: value for name, value in vars(arguments).items() if name != "command"}))
    return 0


def warm(arguments: argparse.Namespace) -> int:
    """Compile everything beforehand: `npnets warmup`."""
    warmup.run(warmup.DTYPES if arguments.dtype == "both" else (arguments.dtype,))
    return 0


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
    out = Path(wanted) if wanted is not None else _unused(Path("runs") / name)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="npnets",
        description="MobileNet V1 and ShuffleNet V1 from scratch, in NumPy and Numba.",
        epilog="`npnets COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"npnets {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(command=None)
    _train_parser(commands.add_parser("train", help="train a network on pictures", description=_TRAIN, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter))  # fmt: skip
    _bench_parser(commands.add_parser("bench", help="measure speed and memory against other frameworks",
        description=_BENCH, epilog=_BENCH_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter))  # fmt: skip
    _warmup_parser(commands.add_parser("warmup", help="compile everything beforehand", description=_WARMUP,
        formatter_class=argparse.RawDescriptionHelpFormatter))  # fmt: skip
    return parser


_TRAIN = """\
Train a MobileNet or a ShuffleNet, and leave in a folder: the log (CSV), the
training curves and the confusion matrix (PNG), and a checkpoint. Without
options: a small MobileNet on a part of Fashion-MNIST, in a minute or two.
Ctrl-C saves, and says how to go on.
"""

_EXAMPLES = """\
examples:
  npnets train
  npnets train --model shufflenet --groups 3 --epochs 10 --out runs/shuffle
  npnets train --data digits --crop 1 --lr 0.1 --schedule cosine
  npnets train --resume runs/shuffle --epochs 20
"""


def _train_parser(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=train)
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
    setting(group, "flip", "mirror images at random: 1 or 0", _switch, metavar="0|1")

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


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise argparse.ArgumentTypeError(f"must be 0 or 1, not {text!r}")
    return text == "1"


_BENCH = """\
Measure how long npnets and other frameworks take for the same work with the
same weights. They take turns in one run, each with the best of its settings;
first their results are compared. Lists are separated by commas. The other
frameworks come with the extra: pip install "npnets[bench]".
"""

_BENCH_EXAMPLES = """\
examples:
  npnets bench
  npnets bench --net mobilenet:0.5,shufflenet --batch 1,8 --threads 1,2
  npnets bench --train --batch 16 --memory --json training.json
  npnets bench --net mobilenet --against none --layers
  npnets bench --scaling --plot scaling.png
  npnets bench --goal
"""


def _bench_parser(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=bench)
    default = Options()

    group = parser.add_argument_group("work")
    group.add_argument(
        "--net",
        type=_words,
        metavar="NET",
        help="mobilenet[:WIDTH], shufflenet[:SCALE[:GROUPS]] (default: mobilenet,shufflenet)",
    )
    group.add_argument("--batch", type=_numbers, metavar="N", help="images at once (default: 1,8; with --train 16)")
    group.add_argument("--side", type=_numbers, metavar="N", help="pixels of an image's side (default: 224)")
    group.add_argument(
        "--threads",
        type=_numbers,
        metavar="N",
        help="at most so many, of npnets and of each peer (default: one for each core)",
    )
    group.add_argument("--train", action="store_true", help="a step of training instead of a forward pass")
    group.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default=default.dtype,
        help="of weights and images (default: float32)",
    )
    group.add_argument(
        "--classes", type=int, default=default.classes, metavar="N", help="that the networks tell apart (default: 1000)"
    )

    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--against",
        type=_words,
        metavar="PEER",
        help="torch, onnxruntime, openvino, or none (default: all that can do the work)",
    )
    group.add_argument(
        "--seconds", type=float, default=default.seconds, metavar="S", help="for the turns of one row (default: 10)"
    )
    group.add_argument("--rounds", type=int, metavar="N", help="play so many rounds, however long they take")

    group = parser.add_argument_group("more")
    group.add_argument("--layers", action="store_true", help="the time of each layer of npnets against the roofline")
    group.add_argument("--memory", action="store_true", help="by how much a process grows that does the work ten times")
    group.add_argument(
        "--scaling", action="store_true", help="instead: time and memory from batch 1 to 64 and from side 96 to 320"
    )
    group.add_argument("--goal", action="store_true", help="instead: what npnets promises, and whether it is so")
    group.add_argument("--json", metavar="FILE", help="write everything, with a description of the machine")
    group.add_argument("--plot", metavar="FILE", help="draw it (PNG)")


_WARMUP = """\
Compile all kernels, for the processor of this machine, and keep them: about a
minute. Later runs of npnets begin at once. Without this command everything is
compiled and kept when it is first needed. What is kept already is only loaded.
"""


def _warmup_parser(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=warm)
    parser.add_argument(
        "--dtype",
        choices=(*warmup.DTYPES, "both"),
        default="float32",
        help="of the networks and images (default: float32)",
    )


def _words(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(word.strip() for word in text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers, separated by commas, not {text!r}") from None
