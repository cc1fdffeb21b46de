"""A network from a file: the right one, with the weights that the file holds."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from npnets.models import MobileNetV1, Network, ShuffleNetV1, fold_batch_norm
from npnets.models.description import classes_of, network_of, preprocessing_of
from npnets.models.geometry import arguments_of, check_fits
from npnets.train.settings import Settings
from npnets.weights import formats, hub, tflite
from npnets.weights.formats import File
from npnets.weights.load import fill
from npnets.weights.match import Match, match

PLAIN = re.compile(r"(features\.\d+(\.branch\.\d+)?|classifier)\.\w+")  # as `to_pytorch` writes them
ASSUMED = (
    "the names of these arrays are of no source that npnets knows: they are matched by order and shape, and taken for "
    "the paper's network as PyTorch has it (padding 1, eps 1e-5, ReLU, pixels from 0 to 1)"
)


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

    Warns
    -----
    UserWarning
        The names match no source, and order and shape did, so that the paper's network with PyTorch's padding was
        built.

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
    file = hub.local(file)
    given = {"activation": activation, "padding": padding, "bn_eps": bn_eps}
    overrides = {name: value for name, value in given.items() if value is not None}
    if formats.is_tflite(file):
        if overrides:
            raise ValueError(f"`{next(iter(overrides))}` cannot be given: a TFLite file says all of its network")
        return tflite.load(file, dtype)
    held = formats.of(file)
    with formats.named(file):
        found = match(held.arrays)
        if found.by_order and not all(PLAIN.fullmatch(name) for name in found.names.values()):
            warnings.warn(ASSUMED, stacklevel=2)
        shapes = {name: value.shape for name, value in found.arrays.items()}
        if held.about is None:
            network: type[MobileNetV1 | ShuffleNetV1] = found.source.network
            arguments = {**arguments_of(network, shapes), **found.source.options}
        else:
            network, arguments = _described(held.about)
            check_fits(network, arguments, shapes)
        net: Network = network(**{**arguments, **overrides, "dtype": dtype})
        if "stem.conv.bias" in shapes:
            net = fold_batch_norm(net)
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
