"""What both networks share: checks at the door, modes, state, and how layers are initialised."""

import inspect
from collections.abc import Mapping
from typing import Any, Self, TypedDict

import numpy as np

from npnets import _check
from npnets._check import Array, Padding
from npnets.layers import (
    Activation,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    PointwiseConvolution,
    Sequential,
)
from npnets.preprocessing import Images, Preprocessing

ALL_BUT_CLASSIFIER = "all-but-classifier"

NO_GRADIENTS = "there are no gradients before the first net.backward(dlogits)"


class Options(TypedDict, total=False):
    """What both networks accept by name, and `Builder` explains."""

    activation: str
    negative_slope: float
    padding: Padding
    bn_eps: float
    bn_momentum: float
    dtype: Any


class Builder:
    """Makes the layers of a network, which share options and one stream of random numbers.

    Weights are uniform in +-1 / sqrt(fan-in), as PyTorch's are by default, drawn in float64 in the order of the forward
    pass, so that a seed gives the same network in either dtype. Behind each convolution batch norm takes their scale
    out of the function, but not out of the training: smaller weights are turned further by the same step. On the
    Fashion-MNIST subset, five epochs gave 0.8 (MobileNet) and 2.6 points (ShuffleNet) more than with He's variance 2 /
    fan-in, which is 6 times as large.
    """

    def __init__(
        self,
        network: type["Network"],
        seed: int,
        /,
        *,
        activation: str = "relu",
        negative_slope: float = 0.01,
        padding: Padding = 1,
        bn_eps: float = 1e-5,
        bn_momentum: float = 0.1,
        dtype: Any = np.float32,
        **unknown: object,
    ) -> None:
        for name in unknown:
            raise TypeError(f"{network.__name__} has no argument `{name}`; it takes {', '.join(_arguments(network))}")
        self.random = np.random.default_rng(_check.integer("seed", seed, 0))
        self.dtype = _dtype(dtype)
        _check.number("bn_eps", bn_eps, least=0.0, strictly=True)
        if _check.number("bn_momentum", bn_momentum, least=0.0) > 1:
            raise ValueError(f"`bn_momentum` (={bn_momentum}) must be from 0 to 1: the weight of the new statistic")
        self._slope = _check.number("negative_slope", negative_slope, least=0.0)
        self._kind = activation
        self._norm: dict[str, Any] = {"eps": float(bn_eps), "momentum": float(bn_momentum), "dtype": self.dtype}
        _check.window((3, 3), (3, 3), 1, padding)  # refuses what is no padding at all
        self.padding = padding

    def conv(self, inputs: int, outputs: int, stride: int) -> Convolution:
        """Return a 3 x 3 convolution, the stem."""
        stride = _check.integer("stem_stride", stride, 1)
        return Convolution(self._uniform(9 * inputs, 3, 3, inputs, outputs), stride=stride, padding=self.padding)

    def depthwise(self, channels: int, stride: int) -> DepthwiseConvolution:
        """Return a 3 x 3 depthwise convolution."""
        return DepthwiseConvolution(self._uniform(9, 3, 3, channels), stride=stride, padding=self.padding)

    def pointwise(self, inputs: int, outputs: int, groups: int = 1) -> PointwiseConvolution:
        """Return a pointwise convolution."""
        return PointwiseConvolution(self._uniform(inputs // groups, inputs // groups, outputs), groups=groups)

    def norm(self, channels: int) -> BatchNorm:
        """Return a batch norm that does nothing yet: weight 1, bias 0."""
        return BatchNorm(channels, **self._norm)

    def activation(self) -> Activation:
        """Return the network's activation."""
        return Activation(self._kind, self._slope)

    def linear(self, inputs: int, outputs: int) -> Linear:
        """Return the classifier."""
        return Linear(self._uniform(inputs, inputs, outputs))

    def _uniform(self, fan_in: int, *shape: int) -> Array:
        bound = fan_in**-0.5
        weight: Array = self.random.uniform(-bound, bound, shape).astype(self.dtype)
        return weight


def _arguments(network: type["Network"]) -> list[str]:
    """Return what `network` accepts by name."""
    own = [name for name in inspect.signature(network).parameters if name != "options"]
    return [*own, *Options.__annotations__]


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)  # to NumPy None is float64
    except TypeError:
        found = None
    if found is None or found not in _check.FLOATS:
        raise TypeError(f"`dtype` (={dtype!r}) must be float32 or float64")
    return found


class Flat:
    """A network's parameters, their gradients and its running statistics, each kind in one flat array.

    The layers' own arrays are views of these, so that compiled code can walk through all of them at once.

    Attributes
    ----------
    params, grads, buffers
        Flat arrays, in the order of the forward pass.
    shapes
        Of the parameters, by name.
    """

    def __init__(self, net: "Network") -> None:
        self.shapes = {name: value.shape for name, value in net.parameters().items()}
        # The network itself is not among them: what holds a `Flat` is not to keep it alive.
        self._layers = [layer for _, layer in list(net.layers())[1:]]
        self._inner = [(layer, list(layer.children.values())) for layer in self._layers if layer.children]
        self._outer = list(net.children.values())
        self._at: dict[tuple[int, str], int] = {}
        self._views: list[tuple[Layer, str, str, Array]] = []
        self.params = self._gather(net, "params", net.dtype)
        self.buffers = self._gather(net, "buffers", net.dtype)
        self.grads = np.zeros(self.params.size, net.dtype)  # the system gives memory when it is written to
        self._grads = [
            (layer, "grads", name, self.grads[at : at + value.size].reshape(value.shape))
            for _, layer in net.layers()
            for name, value in layer.params.items()
            for at in [self.at(layer, name)]
        ]
        self.refresh()

    def _gather(self, net: "Network", kind: str, dtype: np.dtype[Any]) -> Array:
        held = [(layer, name) for _, layer in net.layers() for name in getattr(layer, kind)]
        flat = np.empty(sum(getattr(layer, kind)[name].size for layer, name in held), dtype)
        at = 0
        for layer, name in held:
            value = getattr(layer, kind)[name]
            self._at[id(layer), name] = at
            self._views.append((layer, kind, name, flat[at : at + value.size].reshape(value.shape)))
            at += value.size
        return flat

    def at(self, layer: Layer, name: str) -> int:
        """Return where an array of a layer begins in the flat array of its kind."""
        return self._at[id(layer), name]

    def fits(self, net: "Network") -> bool:
        """Return whether these are still the layers of the network, and the names and shapes of its arrays."""
        return (
            list(net.children.values()) == self._outer
            and all(list(layer.children.values()) == inside for layer, inside in self._inner)
            and sum(len(layer.params) + len(layer.buffers) for layer in self._layers) == len(self._views)
            and all(
                (held := getattr(layer, kind)[name]) is view or held.shape == view.shape
                for layer, kind, name, view in self._views
            )
        )

    def refresh(self) -> None:
        """Take over parameters and running statistics that somebody has put into a layer since."""
        _take_over(self._views)

    def take_gradients(self) -> None:
        """Take over gradients that the layers' own backward passes have written; frozen layers need none.

        Raises
        ------
        RuntimeError
            There has been no backward pass.
        """
        try:
            _take_over([view for view in self._grads if not view[0].frozen])
        except KeyError:
            raise RuntimeError(NO_GRADIENTS) from None

    def give_gradients(self) -> None:
        """Let the layers' gradients be those in `grads`."""
        for layer, _, name, view in self._grads:
            layer.grads[name] = view


def _take_over(views: list[tuple[Layer, str, str, Array]]) -> None:
    for layer, kind, name, view in views:
        held = getattr(layer, kind)
        if held[name] is not view:
            view[...] = held[name]
            held[name] = view


class Network(Sequential):
    """A whole network: (B, H, W, C) in, logits (B, classes) out.

    Attributes
    ----------
    in_channels, dtype
        Of the images.
    preprocessing
        What the weights expect of an image; (pixel / 255) until somebody who has loaded weights says otherwise.
    classes
        The names of the classes, where they are known.
    arguments
        What the network was built with, as given: a file that holds its weights says so with them.
    """

    classes: tuple[str, ...] | None = None
    arguments: dict[str, Any]

    def __new__(cls, *_: Any, **arguments: Any) -> Self:
        """Note the arguments, which `__init__` is given too."""
        net = super().__new__(cls)
        net.arguments = arguments
        return net

    def __init__(self, in_channels: int, dtype: np.dtype[Any], **children: Layer) -> None:
        super().__init__(**children)
        self.in_channels, self.dtype = in_channels, dtype
        self.preprocessing = Preprocessing(mean=(0.0,) * in_channels, std=(1.0,) * in_channels)
        # Now and not when it is first needed, so that what somebody has got from `parameters` stays what is trained.
        self._flat = Flat(self)

    def __call__(self, x: Array) -> Array:
        """Return the logits (B, classes) for images `x` (B, H, W, C) of the network's dtype.

        Raises
        ------
        TypeError, ValueError
            `x` is not such an array; for one in the order (B, C, H, W) the message has the transpose to use.
        """
        return self.forward(x)

    def forward(self, x: Array) -> Array:
        """Return the logits: what calling the network does."""
        return super().forward(self.images(x))

    def preprocess(self, images: Images) -> Array:
        """Return the input of the network for `images`, (B, H, W, C), uint8, RGB: see `preprocessing`."""
        return self.preprocessing(images, self.dtype)

    def images(self, x: Array) -> Array:
        """Return `x`, contiguous, where it is images for this network; calling the network says what it refuses."""
        if isinstance(x, np.ndarray) and x.ndim == 4 and x.shape[3] != self.in_channels == x.shape[1]:
            raise ValueError(
                f"`x` must be (B, H, W, {self.in_channels}), and its shape {x.shape} looks like (B, C, H, W): "
                "use x.transpose(0, 2, 3, 1)"
            )
        x = _check.array("x", x, "B H W C")
        if x.shape[3] != self.in_channels:
            raise ValueError(f"`x` must be (B, H, W, {self.in_channels}), and has the shape {x.shape}")
        if x.dtype != self.dtype:
            raise TypeError(
                f"`x` is {x.dtype} and the network {self.dtype}: use x.astype({str(self.dtype)!r}), "
                f"or build the network with dtype={str(x.dtype)!r}"
            )
        return x

    def train(self) -> Self:
        """Let batch norm use the statistics of each batch, and move its running ones; return the network."""
        return self._set_training(True)

    def eval(self) -> Self:
        """Let batch norm use its running statistics, unchanged; return the network.

        A backward pass is possible in this mode too (for fine-tuning, or to see what an image's classes depend on), so
        that the activations of the last forward pass are kept until the next one.
        """
        return self._set_training(False)

    def _set_training(self, training: bool) -> Self:
        for _, layer in self.layers():
            layer.training = training and not layer.frozen
        return self

    def freeze(self, *names: str) -> Self:
        """Let these layers stay as they are while the others are trained; return the network.

        An `SGD` that is made afterwards does not move their parameters. Their batch norms use their running statistics,
        in training mode too, and do not move them: what a frozen layer computes is the same in every step, and the same
        as after the training.

        Parameters
        ----------
        names
            Of the network's own layers, such as "stem" and "block1", or "all-but-classifier"; without any name nothing
            is frozen any longer.

        Raises
        ------
        ValueError
            The network has no such layer, or would have none left to train.

        Examples
        --------
        >>> import npnets
        >>> net = npnets.MobileNetV1(num_classes=10).freeze("stem", "block1")
        >>> [name for name, child in net.children.items() if all(layer.frozen for _, layer in child.layers())]
        ['stem', 'block1']
        """
        known = [name for name, child in self.children.items() if any(layer.params for _, layer in child.layers())]
        for name in names:
            _check.one_of("freeze", name, (*known, ALL_BUT_CLASSIFIER))
        whole = set(names)
        if ALL_BUT_CLASSIFIER in names:
            whole |= self.children.keys() - {"classifier"}
        if whole.issuperset(known):
            raise ValueError(f"`freeze` (={','.join(names)}) leaves nothing to train")
        for name, child in self.children.items():
            for _, layer in child.layers():
                layer.frozen = name in whole
        return self._set_training(self.training)

    def parameters(self) -> dict[str, Array]:
        """Return what is trained: the arrays themselves, not copies, in the order of the forward pass."""
        return {f"{path}.{name}": value for path, layer in self.layers() for name, value in layer.params.items()}

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of the last backward pass, by the names and in the order of `parameters`.

        Raises
        ------
        RuntimeError
            There has been no backward pass.
        """
        found = {}
        for path, layer in self.layers():
            for name in layer.params:
                if name not in layer.grads:
                    raise RuntimeError(NO_GRADIENTS)
                found[f"{path}.{name}"] = layer.grads[name]
        return found

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and running statistics by name, in the order of the forward pass."""
        return {name: value.copy() for name, value in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy a state into the network: all of it, or, where anything does not fit, nothing.

        Parameters
        ----------
        state
            As from `state_dict`: the same names (in any order) and shapes; float32 and float64 are converted.

        Raises
        ------
        TypeError, ValueError
            A name is missing or unknown, or a value is no float array or has another shape. The message lists them all.
        """
        own = self._state()
        wrong = [f"`{name}` is missing" for name in own if name not in state]
        wrong += [f"`{name}` is not in this network" for name in state if name not in own]
        for name in own.keys() & state.keys():
            _check.array(name, state[name], "...")
            if state[name].shape != own[name].shape:
                wrong.append(f"`{name}` has the shape {state[name].shape}, and here {own[name].shape}")
        if wrong:
            raise ValueError("the state does not fit this network: " + "; ".join(sorted(wrong)))
        for name, value in own.items():
            value[...] = state[name]

    def flat(self) -> Flat:
        """Return the flat arrays that the layers' own are views of; others where somebody has exchanged a layer."""
        if not self._flat.fits(self):
            self._flat = Flat(self)
        self._flat.refresh()
        return self._flat

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the flat arrays: what is copied or stored are the layers' own."""
        return {name: value for name, value in super().__getstate__().items() if name != "_flat"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Lay out the flat arrays of a copy."""
        self.__dict__.update(state)
        self._flat = Flat(self)

    def _state(self) -> dict[str, Array]:
        return {
            f"{path}.{name}": value
            for path, layer in self.layers()
            for name, value in (layer.params | layer.buffers).items()
        }
