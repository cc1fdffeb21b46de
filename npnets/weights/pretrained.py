"""A network from a file: the right one, with the weights that the file holds."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from npnets.models import MobileNetV1, Network, ShuffleNetV1, fold_batch_norm
from npnets.models.description import network_of
from npnets.models.geometry import arguments_of, check_fits
from npnets.weights import formats, hub, tflite
from npnets.weights.formats import File
from npnets.weights.load import fill, told
from npnets.weights.match import match

ASSUMED = (
    "{} and do not tell what network they are for: it is taken for the paper's as PyTorch has it (ReLU, padding 1, eps "
    "1e-5, pixels from 0 to 1), but for what you give; where it is another, build it, and use load_weights"
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
        The names match no source, and order and shape did; or they are npnets' own, in no file of `save_weights`. They
        tell nothing of what the network does, so that the paper's with PyTorch's padding was built.

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
    >>> net = from_pretrained("mobilenet_v1_025_224_tf.npz")  # doctest: +SKIP
    >>> net.arguments["width"], net.arguments["padding"], net.preprocessing.mean  # doctest: +SKIP
    (0.25, 'same', (0.5, 0.5, 0.5))
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
        if held.about is None and found.source.untold:
            what = "the names of these arrays are npnets' own"
            if found.source.name == "order":
                what = "these arrays are matched by order and shape, as their names are of no source that npnets knows,"
            warnings.warn(ASSUMED.format(what), stacklevel=2)
        shapes = {name: value.shape for name, value in found.arrays.items()}
        if held.about is None:
            network: type[MobileNetV1 | ShuffleNetV1] = found.source.network
            arguments = {**arguments_of(network, shapes), **found.source.options}
        else:
            network, arguments = network_of(held.about)
            check_fits(network, arguments, shapes)
        net: Network = network(**{**arguments, **overrides, "dtype": dtype})
        if "stem.conv.bias" in shapes:
            net = fold_batch_norm(net)
        net.preprocessing, net.classes = told(net, held.about, found.source)
        fill(net, found, True, {})
    return net.eval()
