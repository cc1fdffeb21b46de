"""The training loop, one step at a time, so that it can stop and go on anywhere.

The order of an epoch's images depends on the seed and the epoch, a batch's crops and flips on the seed, the epoch and
the position in it: `numpy.random.default_rng([seed, epoch, position])`. So seed, epoch and position *are* the state of
all random numbers, and a training that was resumed takes the same steps, bit for bit, as one that never stopped.
"""

import copy
import math
import os
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets.data import Dataset, channel_statistics, random_crop_flip, random_resized_crop
from npnets.models import Network, fold_batch_norm
from npnets.models.description import describe, network_of, preprocessing_of
from npnets.models.geometry import check_fits
from npnets.ops import softmax_cross_entropy
from npnets.preprocessing import Images, Preprocessing
from npnets.train import checkpoint
from npnets.train.schedule import rate
from npnets.train.settings import Settings
from npnets.train.sgd import SGD
from npnets.train.step import fused_features, split, step_from, step_with_logits

# Images of a batch, and pixels: of large images fewer, for a forward pass through the layers keeps all that is between.
EVALUATION_BATCH, EVALUATION_PIXELS = 250, 2**20


class Epoch(NamedTuple):
    """One row of the log: means over the epoch's steps, and the result on the test images after it."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    images_per_second: float


class Evaluation(NamedTuple):
    """The result on the test images; `confusion[a, b]` counts those of class a that were taken for class b."""

    loss: float
    accuracy: float
    confusion: Array


@dataclass
class Running:
    """What an epoch has summed up so far."""

    steps: int = 0
    loss: float = 0.0
    right: int = 0
    seconds: float = 0.0


@dataclass
class Trainer:
    """A network, its optimiser and its data, at some position of a training.

    Attributes
    ----------
    settings, dataset
        What is trained, and on what.
    epoch, position
        How many epochs are complete; how many steps of the next one have been taken.
    running
        The sums of the incomplete epoch.
    history
        A row for each complete epoch.
    start
        The network to begin with; by default the one that the settings describe. What it expects of an image stays as
        it is.
    """

    settings: Settings
    dataset: Dataset
    epoch: int = 0
    position: int = 0
    running: Running = field(default_factory=Running)
    history: list[Epoch] = field(default_factory=list)
    start: InitVar[Network | None] = None

    def __post_init__(self, start: Network | None) -> None:
        settings, images = self.settings, len(self.dataset.x_train)
        if settings.batch_size > images:
            raise ValueError(
                f"`batch_size` (={settings.batch_size}) must be at most the number of training images (={images})"
            )
        side = min(self.dataset.image_shape[:2])
        if settings.crop >= side:
            raise ValueError(f"`crop` (={settings.crop}) must be less than the images' shorter side (={side})")
        self.mean, self.std = channel_statistics(self.dataset.x_train)
        self.net = self._fresh() if start is None else start
        self.net.classes = self.dataset.classes
        self.net.freeze(*settings.freeze)
        self.optimizer = self._optimizer(self.net)

    def _fresh(self) -> Network:
        """Return the network that the settings describe, for images as these are."""
        net = self.settings.network(self.dataset.image_shape, len(self.dataset.classes))
        mean, std = tuple(self.mean.tolist()), tuple(self.std.tolist())
        net.preprocessing = Preprocessing(mean, std, side=self.dataset.side)
        return net

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches the training images make."""
        return len(self.dataset.x_train) // self.settings.batch_size

    @property
    def steps(self) -> int:
        """How many steps the whole training has."""
        return self.settings.epochs * self.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """How many of them have been taken."""
        return self.epoch * self.steps_per_epoch + self.position

    def step(self) -> float:
        """Take the next step, and return its loss.

        Raises
        ------
        FloatingPointError
            The loss is not finite: the training has diverged, and nothing that follows would be of use.
        RuntimeError
            The epoch is complete.
        """
        if self.position == self.steps_per_epoch:
            raise RuntimeError("the epoch is complete: call finish_epoch() before its next step")
        self.optimizer.lr = self._rate(self.steps_done)
        x, labels = self._batch(self.position)
        self.net.train()
        with np.errstate(all="ignore"):  # what overflows here shows in the loss
            loss, logits = self._take(self.net, self.optimizer, x, labels)
        self._finite("loss", loss, self.position + 1)
        self.position += 1
        self.running.steps += 1
        self.running.loss += loss
        self.running.right += int((logits.argmax(1) == labels).sum())
        return loss

    def finish_epoch(self) -> Evaluation:
        """Evaluate, and add the epoch's row to `history`.

        Raises
        ------
        FloatingPointError
            As `step`, for the loss on the test images.
        """
        if self.position < self.steps_per_epoch:
            raise RuntimeError(f"the epoch has {self.steps_per_epoch} steps, and {self.position} are done")
        with np.errstate(all="ignore"):
            evaluation = self.evaluate()
        self._finite("loss on the test images", evaluation.loss, self.position)
        running, batch = self.running, self.settings.batch_size
        images = running.steps * batch
        self.history.append(
            Epoch(
                epoch=self.epoch + 1,
                lr=self._rate(self.steps_done - 1),
                train_loss=running.loss / running.steps,
                train_accuracy=running.right / images,
                test_loss=evaluation.loss,
                test_accuracy=evaluation.accuracy,
                seconds=running.seconds,
                images_per_second=images / running.seconds if running.seconds else 0.0,
            )
        )
        self.epoch, self.position, self.running = self.epoch + 1, 0, Running()
        return evaluation

    def evaluate(self) -> Evaluation:
        """Run the test images through the network in eval mode."""
        net, data = self.net.eval(), self.dataset
        classes = len(data.classes)
        total, confusion = 0.0, np.zeros((classes, classes), np.int64)
        for start in range(0, len(data.x_test), self._evaluation_batch):
            part = slice(start, start + self._evaluation_batch)
            labels = data.y_test[part]
            if self._features is None:
                logits = net(net.preprocess(data.x_test[part]))
            else:
                logits = split(net)[1].forward(self._test_features[part])
            total += float(softmax_cross_entropy(logits, labels)[0]) * len(labels)
            np.add.at(confusion, (labels, logits.argmax(1)), 1)
        images = len(data.x_test)
        return Evaluation(total / images, int(confusion.trace()) / images, confusion)

    def probe(self) -> Network:
        """Take one step with a copy of the network on a batch of this epoch, to learn what it costs; change nothing."""
        net = copy.deepcopy(self.net).train()
        with np.errstate(all="ignore"):
            self._take(net, self._optimizer(net), *self._batch(0))
        return net

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of everything that the rest of the training depends on.

        Raises
        ------
        OSError, ModuleNotFoundError
            As `checkpoint.save`.
        """
        about: dict[str, Any] = {
            **describe(self.net),
            "settings": self.settings.as_json(),
            "epoch": self.epoch,
            "position": self.position,
            "running": vars(self.running),
            "history": self.history,
            "image_shape": self.dataset.image_shape,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }
        checkpoint.save(path, self._arrays(), about)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], dataset: Dataset, settings: Settings | None = None) -> Self:
        """Return the trainer that `save` wrote, ready for its next step.

        Parameters
        ----------
        path
            Of the checkpoint.
        dataset
            The same data as then.
        settings
            The checkpoint's if None; otherwise these, for more epochs, say.

        Raises
        ------
        FileNotFoundError, ModuleNotFoundError
            As `checkpoint.load`.
        ValueError
            The file is no checkpoint, or a damaged one, or one of other data or another network.
        """
        about = checkpoint.about(path)
        try:
            trainer = cls._described(about, dataset, settings, path)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path} cannot be resumed: {checkpoint.reason(error)}") from None
        arrays = checkpoint.load(path, trainer._arrays())
        for part, load in (("net.", trainer.net.load_state_dict), ("velocity.", trainer.optimizer.load_state_dict)):
            load({name.removeprefix(part): value for name, value in arrays.items() if name.startswith(part)})
        return trainer

    @classmethod
    def _described(
        cls, about: dict[str, Any], dataset: Dataset, settings: Settings | None, path: str | os.PathLike[str]
    ) -> Self:
        """Return a trainer at the position that the checkpoint describes, with fresh weights."""
        given, size = Settings.from_json(about["settings"]), os.path.getsize(path)
        if 4 * given.least_parameters() > size:
            raise ValueError(f"its {size} bytes cannot hold the network that its settings describe")
        if (tuple(about["image_shape"]), tuple(about["classes"])) != (dataset.image_shape, dataset.classes):
            raise ValueError(f"it was trained on other images or classes than those of {dataset.name!r}")
        trainer = cls(
            given if settings is None else settings,
            dataset,
            _check.integer("epoch", about["epoch"], 0),
            _check.integer("position", about["position"], 0),
            Running(**about["running"]),
            [Epoch(*row) for row in about["history"]],
            _described_network(about, path) if given.init else None,
        )
        if [about["mean"], about["std"]] != [trainer.mean.tolist(), trainer.std.tolist()]:
            raise ValueError(f"it was trained on other images than those of {dataset.name!r}")
        described = describe(trainer.net)
        if {name: about[name] for name in described} != described:
            raise ValueError("its description is of another network than its settings")
        running, history = trainer.running, trainer.history
        if trainer.position > trainer.steps_per_epoch or running.steps != trainer.position:
            raise ValueError(f"`position` (={trainer.position}) is not one of its training")
        if [row.epoch for row in history] != list(range(1, trainer.epoch + 1)):
            raise ValueError(f"its history is not one of {trainer.epoch} epochs")
        numbers = [running.steps, running.loss, running.right, running.seconds, *(x for row in history for x in row)]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("its log holds something that is not a number")
        begun = trainer.epoch + (trainer.position > 0)
        if begun > trainer.settings.epochs:
            raise ValueError(f"`epochs` (={trainer.settings.epochs}) must be at least those begun already (={begun})")
        return trainer

    def _arrays(self) -> dict[str, Array]:
        """Return what a checkpoint holds: the network's state and the velocities, by name."""
        parts = {"net": self.net.state_dict(), "velocity": self.optimizer.state_dict()}
        return {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}

    def _finite(self, what: str, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the training has diverged: the {what} is {loss} in epoch {self.epoch + 1}, step {step}; "
                f"a smaller `lr` (={self.settings.lr:g}) may help"
            )

    def _optimizer(self, net: Network) -> SGD:
        settings = self.settings
        return SGD(
            net,
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov and settings.momentum > 0,
            skip_decay=settings.skip_decay,
        )

    def _rate(self, step: int) -> float:
        return rate(self.settings.schedule, self.settings.lr, step, self.steps)

    def _take(self, net: Network, optimizer: SGD, x: Array, labels: Array) -> tuple[float, Array]:
        """Take a step with what `_batch` gives."""
        if self._features is None:
            return step_with_logits(net, optimizer, x, labels, self.settings.label_smoothing)
        return step_from(x, split(net)[1], optimizer, labels, self.settings.label_smoothing)

    def _batch(self, position: int) -> tuple[Array, Array]:
        """Return the input of a step of this epoch, and the labels.

        These are images, cut out, moved, mirrored and normalised; or, where only the classifier is trained, features.
        """
        settings, data = self.settings, self.dataset
        order = np.random.default_rng([settings.seed, self.epoch]).permutation(len(data.x_train))
        chosen = order[position * settings.batch_size :][: settings.batch_size]
        labels = data.y_train[chosen]
        if self.once:
            return self._train_features[chosen], labels
        images, rng = data.x_train[chosen], np.random.default_rng([settings.seed, self.epoch, position])
        if settings.resized_crop:
            images = random_resized_crop(images, rng, settings.resized_crop)
        if settings.crop or settings.flip:
            images = random_crop_flip(images, rng, padding=settings.crop, flip=settings.flip)
        x = self.net.preprocess(images)
        return x if self._features is None else self._features(x), labels

    @cached_property
    def once(self) -> bool:
        """Whether each image goes only once through the layers that come before the classifier: nothing is new there.

        That is so where only the classifier is trained, and no image is changed at random.
        """
        settings = self.settings
        return self._features is not None and not (settings.resized_crop or settings.crop or settings.flip)

    @cached_property
    def _features(self) -> Callable[[Array], Array] | None:
        return fused_features(self.net) if list(split(self.net)[1].children) == ["classifier"] else None

    @cached_property
    def _train_features(self) -> Array:
        return self._all_features(self.dataset.x_train)

    @cached_property
    def _test_features(self) -> Array:
        return self._all_features(self.dataset.x_test)

    def _all_features(self, images: Images) -> Array:
        assert self._features is not None
        step = self._evaluation_batch
        parts = [self._features(self.net.preprocess(images[at : at + step])) for at in range(0, len(images), step)]
        return np.concatenate(parts)

    @property
    def _evaluation_batch(self) -> int:
        height, width, _ = self.dataset.image_shape
        return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // (height * width)))


def _described_network(about: dict[str, Any], path: str | os.PathLike[str]) -> Network:
    """Return the network that a checkpoint describes and whose weights it holds, without them."""
    network, arguments = network_of(about)
    shapes = checkpoint.shapes(path)
    check_fits(network, arguments, {name.removeprefix("net."): shape for name, shape in shapes.items()})
    net: Network = network(**arguments)
    if "net.stem.conv.bias" in shapes:
        net = fold_batch_norm(net)
    net.preprocessing = preprocessing_of(about)
    return net


def saved_settings(path: str | os.PathLike[str]) -> Settings:
    """Return the settings of a checkpoint.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError, ValueError
        As `checkpoint.load`; also where the settings are damaged.
    """
    about = checkpoint.about(path)
    try:
        return Settings.from_json(about["settings"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} cannot be resumed: {checkpoint.reason(error)}") from None
