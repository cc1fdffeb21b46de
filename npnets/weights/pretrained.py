"""A network from a file: the right one, with the weights that the file holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from npnets.models import MobileNetV1, Network, ShuffleNetV1
from npnets.train.settings import Settings
from npnets.weights import formats
from npnets.weights.description import classes_of, network_of, preprocessing_of
from npnets.weights.formats import File
from npnets.weights.geometry import arguments_of, check_fits
from npnets.weights.load import fill
from npnets.weights.match import Match, match


def from_pretrained(
    file: File,
    *,
    dtype: npt.DTypeLike = np.float32,
    activation: str | None = None,
    padding: Any = None,
    bn_eps: float | None = None,
) -> Network:
    """Build the network whose weights a file holds, in eval mode.

    A file that npnets wrote (`save_weights`, `npnets train`) says everything about its network. For any other one the
    names tell whose it is and so what it does at borders, after convolutions and with pixels, and the shapes tell how
    wide it is and how many groups and classes it has: see the table of `npnets.weights`.

    Parameters
    ----------
    file
        A file of any kind that `npnets.weights` lists, the arrays themselves by name, or the id of a model on the
        Hugging Face hub, such as "timm/mobilenetv1_100.ra4_e3600_r224_in1k".
    dtype
        Of the network: float32 or float64.
    activation, padding, bn_eps
        Instead of those that the weights are for: as in `MobileNetV1`.

    Returns
    -------
    Network
        With `preprocessing` and, where they are known, `classes`.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError
        There is no such file; the package that reads it is not installed.
    ValueError
        The file is damaged, or of no network that npnets knows; the message lists what is wrong.

    Examples
    --------
    >>> import npnets
    >>> trained = npnets.MobileNetV1(width=0.25, num_classes=10, padding="same")
    >>> net = from_pretrained(trained.state_dict(), padding="same")
    >>> net.arguments["width"], net.arguments["num_classes"], net.training
    (0.25, 10, False)
    """
    held = formats.of(file)
    given = {"activation": activation, "padding": padding, "bn_eps": bn_eps}
    overrides = {name: value for name, value in given.items() if value is not None}
    with formats.named(file):
        found = match(held.arrays)
        shapes = {name: value.shape for name, value in found.arrays.items()}
        if held.about is None:
            network: type[MobileNetV1 | ShuffleNetV1] = found.source.network
            arguments = {**arguments_of(network, shapes), **found.source.options}
        else:
            network, arguments = _described(held.about)
            check_fits(network, arguments, shapes)
        net = network(**{**arguments, **overrides, "dtype": dtype})
        fill(net, found, True, {})
        _about(net, held.about, found)
    return net.eval()


def _described(about: Mapping[str, Any]) -> tuple[type[MobileNetV1 | ShuffleNetV1], dict[str, Any]]:
    """Return the network that npnets described, in a file of weights or in a checkpoint of a training."""
    if "network" in about:
        return network_of(about)
    sides = about["image_shape"]
    if not isinstance(sides, list) or len(sides) != 3:
        raise ValueError(f"its images' shape is {sides!r}")
    height, width, channels = sides
    return Settings.from_json(about["settings"]).network_arguments((height, width, channels), len(about["classes"]))


def _about(net: Network, about: Mapping[str, Any] | None, found: Match) -> None:
    """Tell the network what its weights expect of an image, and its classes."""
    if about is None:
        net.preprocessing = found.source.preprocessing or net.preprocessing
        return
    if "preprocessing" in about:
        net.preprocessing = preprocessing_of(about)
    else:
        held = {"mean": about["mean"], "std": about["std"], "side": about["image_shape"][0]}
        net.preprocessing = preprocessing_of({"preprocessing": held})
    net.classes = classes_of(about)
    if not len(net.preprocessing.mean) == len(net.preprocessing.std) == net.in_channels:
        raise ValueError(f"its preprocessing is not for the network's {net.in_channels} channels")
    if net.classes is not None and len(net.classes) != net.arguments["num_classes"]:
        raise ValueError(f"it names {len(net.classes)} classes, and its network has {net.arguments['num_classes']}")
