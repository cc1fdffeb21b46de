"""Where in a network a function of the reader's goes wrong: `npnets.use(...)` against npnets' own, layer by layer."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from npnets._check import Array
from npnets._config import functions, implementation, use
from npnets.layers import Layer
from npnets.models import Network

# As in `npnets check`: so many units in the last place of the largest value are rounding, and a mistake is more.
UNITS = 2**14


@dataclass(frozen=True)
class Place:
    """Where a function differs from npnets, and by how much.

    Attributes
    ----------
    layer
        The layer's full name.
    result
        "out", "dx", or a parameter's gradient, such as "dweight".
    index
        The first value that differs.
    expected, found
        The two values.
    """

    layer: str
    result: str
    index: tuple[int, ...]
    expected: float
    found: float

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"{self.layer}: {self.result}{list(self.index)} should be {self.expected:.6g} and is {self.found:.6g}"


def first_difference(net: Network, x: Array, *, backward: bool = True) -> Place | None:
    """Return the first place in a network where the functions that `npnets.use` was given differ from npnets.

    Each layer runs twice on the same input, which is what npnets' own operations have made of `x`: with the functions
    and without. So the first place is where the mistake is made, and not where it shows. All of it happens in float64,
    in which rounding cannot be taken for a mistake, and on a copy of the network.

    Parameters
    ----------
    net
        The network, in training mode or not.
    x
        Images (B, H, W, C); a small one will do.
    backward
        Whether to go back, too, with a random gradient of the logits.

    Returns
    -------
    The first place in the order of the computation, or None where there is no difference.

    Raises
    ------
    ValueError
        There are no functions in use.
    Exception
        What a function raises; a note says in which layer.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> net = npnets.MobileNetV1(width=0.25, num_classes=2, rows=((64, 1),))
    >>> x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    >>> with npnets.use(relu=lambda x: np.minimum(x, 1)):
    ...     place = first_difference(net, x)
    >>> place.layer, place.result, round(place.expected, 6)
    ('stem.activation', 'out', 0.0)
    """
    if not functions():
        raise ValueError("there is nothing to compare: call it inside of `with npnets.use(depthwise_conv2d=mine):`")
    net = _double(net)
    found: list[Place] = []
    for name, layer in net.layers():
        if not layer.children:
            _watch(name, layer, found)
    with use(implementation()):
        logits = net(np.asarray(x, np.float64))
        if backward and not found:
            net.backward(np.random.default_rng(0).standard_normal(logits.shape))
    return found[0] if found else None


def _double(net: Network) -> Network:
    """Return a copy of the network in float64."""
    net = copy.deepcopy(net)
    for _, layer in net.layers():
        for kind in (layer.params, layer.buffers):
            kind.update({name: value.astype(np.float64) for name, value in kind.items()})
    net.dtype = np.dtype(np.float64)
    return net


def _watch(name: str, layer: Layer, found: list[Place]) -> None:
    """Let a layer run twice, with the functions in use and without, and note the first difference."""
    mine: dict[str, Any] = dict(functions())
    forward, backward = layer.forward, layer.backward

    def other(method: str, value: Array) -> tuple[Layer, Array]:
        """Return what the functions give: a twin of the layer, and its output or dx."""
        twin = object.__new__(type(layer))  # a copy would not have what `forward` has kept
        twin.__dict__ |= layer.__dict__ | {"grads": {}}
        try:
            with use(**mine):
                result: Array = getattr(type(layer), method)(twin, value)
        except Exception as error:
            error.add_note(f"in the layer `{name}`")
            raise
        return twin, result

    def both_forward(x: Array) -> Array:
        if found:
            return forward(x)
        _, result = other("forward", x)
        out = forward(x)
        found.extend(_differences(name, {"out": out}, {"out": result}))
        return out

    def both_backward(dout: Array) -> Array:
        if found:
            return backward(dout)
        twin, result = other("backward", dout)
        dx = backward(dout)
        right = {"dx": dx} | {f"d{key}": value for key, value in layer.grads.items()}
        found.extend(
            _differences(name, right, {"dx": result} | {f"d{key}": value for key, value in twin.grads.items()})
        )
        return dx

    layer.forward, layer.backward = both_forward, both_backward  # type: ignore[method-assign]


def _differences(name: str, right: dict[str, Array], found: dict[str, Array]) -> list[Place]:
    places = []
    for key, expected in right.items():
        actual = found[key]
        slack = UNITS * np.finfo(np.float64).eps * max(1e-300, float(abs(expected).max(initial=0)))
        wrong = np.argwhere(~(abs(actual - expected) <= slack))
        if len(wrong):
            index = tuple(int(at) for at in wrong[0])
            places.append(Place(name, key, index, float(expected[index]), float(actual[index])))
    return places
