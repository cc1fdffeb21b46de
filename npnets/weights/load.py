"""Weights into a network that is there already."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from npnets.models import MobileNetV1, Network, ShuffleNetV1
from npnets.models.description import classes_of, complete_arguments, defaults, network_of, preprocessing_of
from npnets.preprocessing import Preprocessing
from npnets.weights import formats, hub
from npnets.weights.formats import File
from npnets.weights.match import Match, match
from npnets.weights.sources import Source

# Arguments that shapes tell, and those that do not change the function.
OF_SHAPE = ("in_channels", "num_classes", "width", "groups", "scale", "stem_channels", "stage_channels", "stage_units")
OF_TRAINING = ("seed", "bn_momentum", "dtype")


@dataclass(frozen=True)
class Report:
    """What became of the arrays of a file.

    Attributes
    ----------
    source
        Whose names they have; "order" where the names matched no source, and order and shape did.
    mapped
        npnets' name: the file's.
    left_over
        The file's names of arrays that the network has no place for.
    missing
        npnets' names of arrays that the file does not have.
    differences
        Arguments in which the network differs from the one that such weights are for: name, its value, theirs. It
        gives other logits, then, than they gave there.
    """

    source: str
    mapped: dict[str, str]
    left_over: tuple[str, ...]
    missing: tuple[str, ...]
    differences: tuple[tuple[str, Any, Any], ...]

    def __str__(self) -> str:
        """Return the numbers in one line, and a line for each array without its counterpart and each difference."""
        lines = [
            f"{self.source}: {len(self.mapped)} arrays mapped, {len(self.left_over)} left over, "
            f"{len(self.missing)} missing"
        ]
        lines += [f"left over: {name}" for name in self.left_over]
        lines += [f"missing: {name}" for name in self.missing]
        lines += [f"`{name}` is {own!r} here, and {theirs!r} there" for name, own, theirs in self.differences]
        return "\n".join(lines)

    @property
    def by_order(self) -> bool:
        """Whether order and shape told which array is which, since the names did not."""
        return self.source == "order"


def load_weights(net: Network, file: File, source: str | None = None, strict: bool = True) -> Report:
    """Load weights into a network: all of them, or, where anything does not fit, nothing.

    The network takes over what the weights expect of an image (`net.preprocessing`) and the names of their classes,
    where these are known.

    Parameters
    ----------
    net
        The network; its dtype stays.
    file
        A file of any kind that `npnets.weights` lists, or the arrays themselves by name, such as a PyTorch state_dict.
    source
        Whose names the arrays have, one of `npnets.weights.NAMES`; told from the names by default. Names of no source
        are matched by order and shape, where these fit exactly.
    strict
        Whether each array must have its place, and each place its array. Shapes must fit in any case.

    Returns
    -------
    Report

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError
        There is no such file; the package that reads it is not installed.
    ValueError
        The file is damaged; names or shapes do not fit; it holds NaN. The message lists what is wrong, of a file as
        much as a few lines hold.

    Examples
    --------
    >>> import npnets
    >>> trained, fresh = (npnets.MobileNetV1(width=0.25, seed=seed) for seed in (1, 2))
    >>> print(load_weights(fresh, trained.state_dict()))
    npnets: 137 arrays mapped, 0 left over, 0 missing
    """
    if not isinstance(net, Network):
        raise TypeError(f"`net` must be a network, and is a {type(net).__name__}")
    file = hub.local(file)
    held = formats.of(file)
    with formats.named(file):
        found = match(held.arrays, source)
        network = found.source.network
        if isinstance(net, MobileNetV1 | ShuffleNetV1) and not isinstance(net, network):
            raise ValueError(f"its arrays are of a {network.__name__}, and `net` is a {type(net).__name__}")
        preprocessing, classes = told(net, held.about, found.source)
        report = fill(net, found, strict, expected_options(held.about, found.source))
        net.preprocessing, net.classes = preprocessing, classes
    return report


def told(net: Network, about: Mapping[str, Any] | None, source: Source) -> tuple[Preprocessing, tuple[str, ...] | None]:
    """Return what weights expect of an image and their classes: the network's own, where neither file nor names tell.

    Raises
    ------
    KeyError, TypeError, ValueError
        What the file says does not go with the network.
    """
    if about is None:
        return _for_channels(source.preprocessing, net.in_channels) or net.preprocessing, net.classes
    preprocessing, classes = preprocessing_of(about), classes_of(about)
    if not len(preprocessing.mean) == len(preprocessing.std) == net.in_channels:
        raise ValueError(f"its preprocessing is not for the network's {net.in_channels} channels")
    outputs = complete_arguments(net)["num_classes"]
    if classes is not None and len(classes) != outputs:
        raise ValueError(f"it names {len(classes)} classes, and the network has {outputs}")
    return preprocessing, classes or net.classes


def _for_channels(preprocessing: Preprocessing | None, channels: int) -> Preprocessing | None:
    """Return the same for so many channels; None where they are others than those that it has values for."""
    if preprocessing is None or len(preprocessing.mean) == channels:
        return preprocessing
    mean, std = set(preprocessing.mean), set(preprocessing.std)
    if (len(mean), len(std)) != (1, 1):
        return None
    return dataclasses.replace(preprocessing, mean=(*mean,) * channels, std=(*std,) * channels)


def fill(net: Network, found: Match, strict: bool, options: dict[str, Any]) -> Report:
    """Copy matched arrays into the network, and report; `options` are the arguments that such weights are for."""
    own, units = net.state_dict(), [name for name in net.children if "_unit" in name]

    def place(name: str) -> str:
        """unit5.reduce.weight -> stage3_unit1.reduce.weight."""
        layer, _, rest = name.partition(".")
        number = int(layer.removeprefix("unit")) if layer.startswith("unit") else 0
        return f"{units[number - 1]}.{rest}" if 0 < number <= len(units) else name

    arrays = {place(name): value for name, value in found.arrays.items()}
    names = {place(name): there for name, there in found.names.items()}
    left_over = found.left_over + tuple(names[name] for name in names if name not in own)
    missing = tuple(name for name in own if name not in arrays)
    wrong = [
        f"`{names.get(name, name)}` has, in npnets' order, the shape {there.shape}, and `{name}` here {own[name].shape}"
        for name, there in arrays.items()
        if name in own and there.shape != own[name].shape
    ]
    if strict:
        wrong += [f"`{name}` is missing" for name in missing]
        wrong += [f"`{name}` is left over" for name in left_over]
    if wrong:
        raise ValueError("the weights do not fit this network: " + "; ".join(wrong))
    with np.errstate(over="ignore"):  # what is finite in float64 alone
        fitting = {name: value.astype(net.dtype) for name, value in arrays.items() if name in own}
    formats.check_finite(fitting, names)
    net.load_state_dict(own | fitting)
    given = complete_arguments(net)
    differences = [
        (name, given[name], value)
        for name, value in options.items()
        if _decisive(name, given[name]) != _decisive(name, value)
    ]
    return Report(
        found.source.name,
        {name: names[name] for name in own if name in names},
        left_over,
        missing,
        tuple(differences),
    )


def expected_options(about: Mapping[str, Any] | None, source: Source) -> dict[str, Any]:
    """Return the arguments of the network that the weights are for, as far as shapes do not tell them, if known."""
    if about is None and source.untold:
        return {}
    options = {**defaults(source.network), **(source.options if about is None else network_of(about)[1])}
    return {name: value for name, value in options.items() if name not in (*OF_SHAPE, *OF_TRAINING)}


def _decisive(name: str, value: Any) -> Any:
    """Return what of an argument can make a difference between networks whose arrays have the same shapes."""
    if name == "rows":
        return [stride for _, stride in value]
    return list(value) if name == "stage_strides" and value is not None else value
