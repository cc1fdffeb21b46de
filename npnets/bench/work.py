"""What is measured: a network, a size of image, a batch, and whether one forward pass or one step of training."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from npnets import _check, cost
from npnets._check import Array
from npnets.models import Network
from npnets.models.by_name import named

# Of each step of training, on all sides: PyTorch's optimiser does the same with them.
SGD_OPTIONS: dict[str, Any] = {"lr": 0.001, "momentum": 0.9, "weight_decay": 4e-5, "nesterov": True}

CLASSES = 1000  # ImageNet's

# A step is counted as three forward passes: each product has two gradients, of the same size.
PASSES_OF_A_STEP = 3


@dataclass(frozen=True)
class Work:
    """One piece of work, the same for npnets and its peers.

    Attributes
    ----------
    net
        "mobilenet[:WIDTH]" or "shufflenet[:SCALE[:GROUPS]]".
    batch, side
        How many images, of how many pixels a side.
    train
        A step of training (forward, backward, SGD), or else a forward pass in eval mode.
    dtype
        "float32" or "float64".
    classes
        What the network tells apart.
    """

    net: str
    batch: int
    side: int
    train: bool = False
    dtype: str = "float32"
    classes: int = CLASSES

    def __post_init__(self) -> None:
        named(self.net)
        _check.integer("batch", self.batch, 1)
        _check.integer("side", self.side, 1)
        _check.integer("classes", self.classes, 1)

    @property
    def name(self) -> str:
        """Name the network."""
        return named(self.net).title

    @property
    def title(self) -> str:
        """Say in a few words what is done.

        Examples
        --------
        >>> Work("shufflenet:0.5", batch=8, side=224).title
        'ShuffleNet V1 0.5x g=3, 224 x 224, batch 8, forward'
        """
        what = "training step" if self.train else "forward"
        classes = "" if self.classes == CLASSES else f", {many(self.classes, 'class', 'es')}"
        double = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{self.name}, {self.side} x {self.side}, batch {self.batch}{classes}, {what}{double}"

    def network(self) -> Network:
        """Build the network, with weights and running statistics drawn so that signals neither fade nor grow."""
        net = named(self.net).build(dtype=self.dtype, num_classes=self.classes)
        random = np.random.default_rng(0)
        net.load_state_dict({name: _drawn(random, name, value) for name, value in net.state_dict().items()})
        return net.train() if self.train else net.eval()

    def images(self) -> Array:
        """Return the batch of images (B, H, W, 3)."""
        shape = self.batch, self.side, self.side, 3
        images: Array = np.random.default_rng(1).standard_normal(shape).astype(self.dtype)
        return images

    def labels(self) -> Array:
        """Return the labels (B,)."""
        return np.random.default_rng(2).integers(0, self.classes, self.batch)

    def flops(self) -> int:
        """Return the floating-point operations of convolutions and classifier: two for each mult-add."""
        mult_adds = cost(self.network(), (self.side, self.side)).mult_adds
        return 2 * mult_adds * self.batch * (PASSES_OF_A_STEP if self.train else 1)


def many(count: int, what: str, ending: str = "s") -> str:
    """Return a number with its unit.

    Examples
    --------
    >>> many(1, "thread"), many(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{count} {what}{ending * (count != 1)}"


def _drawn(random: np.random.Generator, name: str, value: Array) -> Array:
    """Draw an array for the one of this name: He's variance for weights, statistics that batch norm must undo."""
    if name.endswith("norm.weight"):
        drawn = random.uniform(0.5, 1.5, value.shape)
    elif name.endswith("running_var"):
        drawn = random.uniform(0.5, 2, value.shape)
    elif value.ndim == 1:
        drawn = 0.1 * random.standard_normal(value.shape)
    else:
        fan_in = 9 if value.ndim == 3 else prod(value.shape[:-1])
        drawn = (2 / fan_in) ** 0.5 * random.standard_normal(value.shape)
    return drawn.astype(value.dtype)
