"""A network in words: what a file says of the network whose weights it holds, and the way back."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from npnets.layers import Linear
from npnets.models import MobileNetV1, Network, ShuffleNetV1
from npnets.models.network import Builder
from npnets.preprocessing import Preprocessing

NETWORKS: dict[str, type[MobileNetV1 | ShuffleNetV1]] = {
    network.__name__: network for network in (MobileNetV1, ShuffleNetV1)
}
NOT_TOLD = ("dtype", "seed")  # the arrays have the dtype, and nothing is drawn again


def describe(net: Network) -> dict[str, Any]:
    """Return everything of a network but its arrays, as JSON's types: `network_of` is the way back.

    Defaults are written out, so that a file keeps its meaning should they ever change. A classifier that somebody has
    put in the place of the first one counts.

    Raises
    ------
    TypeError
        `net` is neither of npnets' networks.
    """
    if type(net).__name__ not in NETWORKS:
        raise TypeError(f"`net` must be one of {', '.join(NETWORKS)}, and is a {type(net).__name__}")
    described = {
        "network": type(net).__name__,
        "arguments": {name: value for name, value in complete_arguments(net).items() if name not in NOT_TOLD},
        "preprocessing": vars(net.preprocessing),
        "classes": net.classes,
    }
    held: dict[str, Any] = json.loads(json.dumps(described, default=_plain, allow_nan=False))
    return held


def complete_arguments(net: Network) -> dict[str, Any]:
    """Return the arguments that a network was built with, defaults included, and the classes that it has now."""
    classifier = net.children["classifier"]
    assert isinstance(classifier, Linear)
    return {**defaults(type(net)), **net.arguments, "num_classes": classifier.params["bias"].size}


def defaults(network: type[Network]) -> dict[str, Any]:
    """Return all arguments of a network and their defaults."""
    own = inspect.signature(network.__init__).parameters.values()
    shared = inspect.signature(Builder.__init__).parameters.values()
    return {
        parameter.name: parameter.default for parameter in (*own, *shared) if parameter.kind is parameter.KEYWORD_ONLY
    }


def network_of(about: Mapping[str, Any]) -> tuple[type[MobileNetV1 | ShuffleNetV1], dict[str, Any]]:
    """Return the class of the network that `describe` described, and the arguments to call it with.

    Raises
    ------
    KeyError, TypeError, ValueError
        `about` is no such description.
    """
    name, arguments = about["network"], about["arguments"]
    if name not in NETWORKS:
        raise ValueError(f"its network {name!r} is none of {', '.join(NETWORKS)}")
    known = defaults(NETWORKS[name]).keys() - set(NOT_TOLD)
    if not isinstance(arguments, dict) or not arguments.keys() <= known:
        raise ValueError(f"the arguments of its network are not some of {', '.join(sorted(known))}")
    return NETWORKS[name], {name: _tupled(value) for name, value in arguments.items()}


def preprocessing_of(about: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that `describe` described.

    Raises
    ------
    KeyError, TypeError, ValueError
        `about` is no such description.
    """
    held = {name: _tupled(value) for name, value in about["preprocessing"].items()}
    made = Preprocessing(**held)
    for name, values in ("mean", made.mean), ("std", made.std):
        if not isinstance(values, tuple) or not all(type(value) in (int, float) for value in values):
            raise TypeError(f"its preprocessing's `{name}` (={values!r}) is not a list of numbers")
    if made.order not in ("RGB", "BGR") or not (made.side is None or (type(made.side) is int and made.side > 0)):
        raise ValueError(f"its preprocessing has the order {made.order!r} and the side {made.side!r}")
    return made


def classes_of(about: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of the classes that `describe` described, or None.

    Raises
    ------
    KeyError, TypeError
        `about` is no such description.
    """
    classes = about["classes"]
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise TypeError("its classes are not a list of names")
    return tuple(classes)


def _plain(value: object) -> object:
    """Return a NumPy number as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written to a file")


def _tupled(value: Any) -> Any:
    """Return tuples for JSON's lists."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
