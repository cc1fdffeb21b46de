"""Fine-tuning: a network that has been trained on something else is where a training begins."""

import copy
import dataclasses

from npnets.data import Dataset
from npnets.layers import BatchNorm
from npnets.models import Network
from npnets.models.network import Builder

# Weights of TensorFlow come with .01, and a fine-tuning has a few hundred steps: their statistics would remain those of
# other pictures, and the network would be right in training mode only.
BN_MOMENTUM = 0.1


def fitted(net: Network, dataset: Dataset, seed: int) -> tuple[Network, str]:
    """Return the network for the classes of this data, and in a few words what became of its classifier.

    Where the classes are others a new classifier is in the place of the old one, with random weights. They are the same
    where both have the same names in the same order; of a network that does not name its classes, where there are as
    many. Batch norm's momentum is that of any other training here. Of a pixel the network expects what it did, and its
    images are from now on of the size that these have.

    Raises
    ------
    ValueError
        The images have another number of channels than the network takes.
    """
    channels = dataset.image_shape[2]
    if channels != net.in_channels:
        raise ValueError(
            f"the images of {dataset.name!r} have {channels} channels, and the network to begin with takes "
            f"{net.in_channels}"
        )
    before, now = net.children["classifier"].params["bias"].size, len(dataset.classes)
    same = net.classes == dataset.classes or (net.classes is None and before == now)
    if net.classes == dataset.classes:
        note = f"its classifier is kept: the classes are the same {now}"
    elif same:
        note = f"its classifier is kept: it has {now} classes too, and does not name them"
    else:
        note = f"its classifier of {before} classes is replaced by a new one of {now}"
    made = copy.deepcopy(net)
    made.preprocessing = dataclasses.replace(net.preprocessing, side=dataset.side)
    made.arguments |= {"num_classes": now, "bn_momentum": BN_MOMENTUM}
    for _, layer in made.layers():
        if isinstance(layer, BatchNorm):
            layer.momentum = BN_MOMENTUM
    if not same:
        features = len(net.children["classifier"].params["weight"])
        made.children["classifier"] = Builder(type(net), seed, dtype=net.dtype).linear(features, now)
        made.flat()  # now, so that what somebody gets from `parameters` stays what is trained
    return made, note
