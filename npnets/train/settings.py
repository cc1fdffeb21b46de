"""What a training is: its settings, and the network that they describe."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from npnets import _check
from npnets.models import MobileNetV1, Network, ShuffleNetV1
from npnets.models.mobilenet_v1 import BODY
from npnets.train.schedule import SCHEDULES
from npnets.train.sgd import SKIPS

MODELS = ("mobilenet", "shufflenet")
BODIES = ("small", "paper")

# For images of up to 64 pixels a side: no stride in the stem, and fewer strides in the body.
SMALL_ROWS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
SMALL_STAGES, SMALL_UNITS, SMALL_STEM = (60, 120), (2, 3), 12

# Nobody comes near these; a checkpoint that asks for more is damaged or worse.
MOST = 16  # of width, scale and groups
MOST_EPOCHS = 5_000


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result of a training, apart from the data itself.

    Attributes
    ----------
    model
        "mobilenet" or "shufflenet".
    body
        "paper": the paper's network; "small": one for images of up to 64 pixels a side.
    width
        MobileNet's width multiplier.
    groups, scale
        ShuffleNet's groups and scale factor.
    init, freeze
        The weights that the training begins with, if not with random ones: of them come the network itself (and not of
        model, body, width, groups and scale) and its preprocessing. Which of its layers stay as they are: see
        `Network.freeze`.
    data, side
        A name or folder for `npnets.data.load`; the side of the squares that its images are resized to, if they are.
    epochs, batch_size
        How often each image is seen; how many images a step. An incomplete last batch is left out.
    lr, schedule
        The highest learning rate, and its course: see `npnets.train.schedule`.
    momentum, nesterov, weight_decay, skip_decay
        Of `SGD`.
    label_smoothing
        Of `ops.softmax_cross_entropy`.
    resized_crop
        The least share of an image that is cut out at random and resized to the whole; 0 for none.
    crop, flip
        By how many pixels images are moved at random, and whether they are mirrored at random.
    seed
        Of the weights, the order of the images, crops and flips.
    """

    model: str = "mobilenet"
    body: str = "small"
    width: float = 0.5
    groups: int = 3
    scale: float = 1.0
    init: str = ""
    freeze: tuple[str, ...] = ()
    data: str = "fashion-mnist"
    side: int | None = None
    epochs: int = 5
    batch_size: int = 64
    lr: float = 0.2
    schedule: str = "one-cycle"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 4e-5
    skip_decay: tuple[str, ...] = ()
    label_smoothing: float = 0.0
    resized_crop: float = 0.0
    crop: int = 0
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("model", MODELS), ("body", BODIES), ("schedule", tuple(SCHEDULES))):
            _check.one_of(name, getattr(self, name), allowed)
        for name in ("skip_decay", "freeze"):
            if not isinstance(getattr(self, name), tuple):
                raise TypeError(f"`{name}` (={getattr(self, name)!r}) must be a tuple")
        if not all(skip in SKIPS for skip in self.skip_decay):
            raise ValueError(f"`skip_decay` (={self.skip_decay!r}) must hold only {', '.join(map(repr, SKIPS))}")
        for name in ("width", "scale"):
            if not 0 < _check.number(name, getattr(self, name), least=0.0) <= MOST:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be greater than 0 and at most {MOST}")
        for name, least in (("groups", 1), ("epochs", 1), ("batch_size", 2), ("crop", 0), ("seed", 0)):
            _check.integer(name, getattr(self, name), least)
        for name, most in (("groups", MOST), ("epochs", MOST_EPOCHS)):
            if getattr(self, name) > most:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at most {most}")
        if self.side is not None:
            _check.integer("side", self.side, 1)
        for name in ("lr", "momentum", "weight_decay", "resized_crop"):
            _check.number(name, getattr(self, name), least=0.0)
        if self.resized_crop > 1:
            raise ValueError(f"`resized_crop` (={self.resized_crop}) must be at most 1")
        _check.number("label_smoothing", self.label_smoothing, least=0.0, below=1.0)
        for name, kind in (("init", str), ("data", str), ("nesterov", bool), ("flip", bool)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"`{name}` (={getattr(self, name)!r}) must be a {kind.__name__}")

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON's types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that `as_json` gave, checked.

        Raises
        ------
        TypeError, ValueError
            A setting is missing, unknown or out of its range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, Mapping):
            raise TypeError(f"the settings are a {type(values).__name__}, not a table")
        if values.keys() != names:
            raise ValueError(f"the settings differ from npnets' in {', '.join(sorted(values.keys() ^ names))}")
        lists = {name: values[name] for name in ("skip_decay", "freeze")}
        for name, value in lists.items():
            if not isinstance(value, list | tuple):
                raise TypeError(f"`{name}` (={value!r}) must be a list")
        return cls(**{**values, **{name: tuple(value) for name, value in lists.items()}})

    def least_parameters(self) -> int:
        """Return a number that the network's parameters reach at least, without building it."""
        if self.model == "shufflenet" or self.init:
            return 0  # no scale and groups that are allowed make it large; nor do weights that are there
        rows = SMALL_ROWS if self.body == "small" else BODY
        channels = [int(self.width * out) for out, _ in rows]
        return sum(a * b for a, b in pairwise(channels))  # the pointwise weights

    def network(self, image_shape: tuple[int, int, int], num_classes: int) -> Network:
        """Build the network for images (H, W, C).

        Raises
        ------
        ValueError
            Channels and groups do not divide.
        """
        shared: dict[str, Any] = {"num_classes": num_classes, "in_channels": image_shape[2], "seed": self.seed}
        if self.model == "mobilenet":
            small: dict[str, Any] = {"rows": SMALL_ROWS, "stem_stride": 1} if self.body == "small" else {}
            return MobileNetV1(width=self.width, **small, **shared)
        if self.body == "paper":
            return ShuffleNetV1(groups=self.groups, scale=self.scale, **shared)
        return ShuffleNetV1(
            groups=self.groups,
            stem_channels=_nearest(SMALL_STEM * self.scale, self.groups),
            stage_channels=[_nearest(channels * self.scale, 4 * self.groups) for channels in SMALL_STAGES],
            stage_units=SMALL_UNITS,
            stem_stride=1,
            stem_pool=False,
            **shared,
        )


def _nearest(channels: float, divisor: int) -> int:
    """Return the multiple of `divisor` nearest to `channels`, but not 0."""
    return max(1, round(channels / divisor)) * divisor


def body_for(image_shape: tuple[int, int, int]) -> str:
    """Return which body suits images (H, W, C): "small" up to 64 pixels a side, else "paper"."""
    return "small" if max(image_shape[:2]) <= 64 else "paper"
