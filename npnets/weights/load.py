"""Weights into a network that is there already."""

from dataclasses import dataclass
from typing import Any

from npnets.models import Network
from npnets.models.description import complete_arguments, network_of, preprocessing_of
from npnets.weights import formats, hub
from npnets.weights.formats import File, Held
from npnets.weights.match import Match, match

# What of a source's options changes the function; the momentum of batch norm only changes training.
OF_TRAINING = ("bn_momentum",)


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

    The network takes over what the weights expect of an image (`net.preprocessing`), where that is known.

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
        The file is damaged; names or shapes do not fit; it holds NaN. The message lists all that is wrong.

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
        report = fill(net, found, strict, expected_options(held, found))
        if held.about is not None and "preprocessing" in held.about:
            net.preprocessing = preprocessing_of(held.about)
        elif found.source.preprocessing is not None:
            net.preprocessing = found.source.preprocessing
    return report


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
    fitting = {name: value for name, value in arrays.items() if name in own}
    formats.check_finite(fitting, names)
    net.load_state_dict(own | fitting)
    given = complete_arguments(net)
    return Report(
        found.source.name,
        {name: names[name] for name in own if name in names},
        left_over,
        missing,
        tuple((name, given[name], value) for name, value in options.items() if given[name] != value),
    )


def expected_options(held: Held, found: Match) -> dict[str, Any]:
    """Return the arguments, apart from channels and classes, of the network that the weights are for."""
    defaults = {"activation": "relu", "padding": 1, "bn_eps": 1e-5}
    options = defaults | dict(found.source.options)
    if held.about is not None and "network" in held.about:
        options = network_of(held.about)[1]
    elif found.source.name == "npnets":
        return {}
    shape = ("in_channels", "num_classes", "width", "rows", "groups", "scale", "stem_channels", "stage_channels")
    return {name: value for name, value in options.items() if name not in (*shape, *OF_TRAINING)}
