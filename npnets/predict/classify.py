"""What is on a photograph: from the file to the most probable classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npnets._check import Array
from npnets.data.images import decode, square
from npnets.models import Network
from npnets.preprocessing import Images

# Of the photographs that a network is shown whose weights do not say which side they were trained on.
SIDE = 224

# Rec. 601, which JPEG uses: what a network for grey images sees of red, green and blue.
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Guess:
    """A class, and how sure the network is."""

    index: int
    name: str
    probability: float
    logit: float


def see(net: Network, path: str | os.PathLike[str]) -> Images:
    """Return the photograph as the network is to see it: its centre, (S, S, C), uint8.

    Parameters
    ----------
    net
        Its `preprocessing` says how large S is, 224 if it does not; C is 1 or 3.
    path
        Of any picture that Pillow reads.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        As `npnets.data.images.decode`; or the network is one for images that are neither grey nor in colour.
    """
    if net.in_channels not in (1, 3):
        raise ValueError(f"the network takes images of {net.in_channels} channels, and photographs have 1 or 3")
    side = net.preprocessing.side or SIDE
    image = square(decode(path, least=side), side)
    return image if net.in_channels == 3 else np.rint(image @ LUMA).astype(np.uint8)[..., None]


def best(logits: Array, names: Sequence[str] | None, top: int) -> list[Guess]:
    """Return the most probable classes, the first one first, and of equals the one with the lower index.

    Parameters
    ----------
    logits
        (N,).
    names
        Of the N classes; without them a class is called by its index.
    top
        How many, N at most.

    Raises
    ------
    FloatingPointError
        A logit is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> best(np.log([1.0, 2.0, 5.0]), ["cat", "dog", "hen"], 1)
    [Guess(index=2, name='hen', probability=0.625, logit=1.6094379124341003)]
    """
    if not np.isfinite(logits).all():
        raise FloatingPointError("the logits are not finite: the weights are damaged, or not those of this network")
    exps = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = exps / exps.sum()
    return [
        Guess(int(n), f"class {n}" if names is None else names[n], float(probabilities[n]), float(logits[n]))
        for n in np.argsort(-logits, kind="stable")[:top]
    ]
