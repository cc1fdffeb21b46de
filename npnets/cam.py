r"""Where in an image a network sees a class: class activation maps (Zhou and others 2016, arXiv 1512.04150).

Both networks end in a global average pool and a linear classifier. With the last feature maps A, of K x L pixels and M
channels, the classifier's weight W and bias b, the logit of class n is::

    F[m] = 1/(K L) sum_{k,l} A[k,l,m]                                                       (1)
    logit[n] = sum_m W[m,n] F[m] + b[n]                                                     (2)

Put (1) into (2): both are sums, and sums change places::

    logit[n] = 1/(K L) sum_{k,l} ( sum_m W[m,n] A[k,l,m] ) + b[n]                           (3)
             = mean_{k,l} map[k,l,n] + b[n],    map[k,l,n] = sum_m W[m,n] A[k,l,m]          (4)

So the map says exactly how much each place adds to the logit or takes from it; nothing is approximated. (4) is a
pointwise convolution of A with W: the classifier asked at each place before the mean, and not once after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from npnets import ops
from npnets._check import Array
from npnets.layers import GlobalAveragePool, Layer, Linear, Shape
from npnets.models import Network


class Activations(NamedTuple):
    """What a network made of images.

    Attributes
    ----------
    logits
        (B, N).
    maps
        map of (4), (B, K, L, N) or as many classes as were asked for.
    features
        The outputs of the layers that were asked for, by name: (B, H, W, C).
    """

    logits: Array
    maps: Array
    features: dict[str, Array]


def activations(
    net: Network, x: Array, *, classes: Sequence[int] | None = None, layers: Sequence[str] = ()
) -> Activations:
    """Return logits, class activation maps and feature maps of one forward pass.

    Parameters
    ----------
    net
        In eval mode, for the maps that an image has by itself.
    x
        Images (B, H, W, C) of the network's dtype.
    classes
        Whose maps; all if None.
    layers
        Whose outputs: names such as "stem", "block3" or "block3.depthwise", as `net.layers()` gives them.

    Returns
    -------
    Activations
        Fresh arrays; maps.mean((1, 2)) + bias are the logits, but for rounding.

    Raises
    ------
    TypeError
        The network does not end in a global average pool and a linear classifier.
    ValueError
        A class or a layer is not one of the network; or as the network itself.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> net = npnets.MobileNetV1(width=0.25, num_classes=5).eval()
    >>> x = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    >>> seen = activations(net, x, layers=["block3"])
    >>> seen.maps.shape, seen.features["block3"].shape
    ((1, 2, 2, 5), (1, 16, 16, 32))
    >>> bias = net.parameters()["classifier.bias"]
    >>> bool(np.abs(seen.maps.mean((1, 2)) + bias - seen.logits).max() < 1e-6)
    True
    """
    match list(net.children.items()):
        case [*_, (last, _), (_, GlobalAveragePool()), (_, Linear() as classifier)]:
            weight = classifier.params["weight"]  # (M, N)
        case _:
            raise TypeError(
                "`net` must end in feature maps, a global average pool and a linear classifier: only then are class "
                "activation maps exact"
            )
    chosen = list(range(weight.shape[1]) if classes is None else classes)
    if not all(0 <= n < weight.shape[1] for n in chosen):
        raise ValueError(f"`classes` (={chosen}) must be from 0 to {weight.shape[1] - 1}")
    with _recorded(net, {last, *layers}) as outputs:
        logits = net(x)
    for name in layers:
        if outputs[name].ndim != 4:
            raise ValueError(
                f"`layers`: {name!r} gives no feature maps, but an array of the shape {outputs[name].shape}"
            )
    maps = ops.pointwise_conv2d(outputs[last], weight[:, chosen])  # (B, K, L, M) (M, N) -> (B, K, L, N)
    return Activations(logits, maps, {name: outputs[name] for name in layers})


def spread(net: Network, shape: Shape, count: int = 4) -> list[str]:
    """Return layers whose feature maps tell the most: the first, and the last ones of a size, evenly spread.

    Parameters
    ----------
    net
        The network.
    shape
        Of an image, (H, W, C).
    count
        At most so many, at least 2.

    Examples
    --------
    >>> import npnets
    >>> spread(npnets.MobileNetV1(), (224, 224, 3))
    ['stem', 'block3', 'block5', 'block13']
    >>> spread(npnets.ShuffleNetV1(), (224, 224, 3))
    ['stem', 'stage2_unit4', 'stage3_unit8', 'stage4_unit4']
    """
    names = list(net.children)[:-2]
    last: dict[Shape, str] = {}
    for name in names:
        shape = net.children[name].walk(shape, name)[1]
        last[shape[:2]] = name
    found = list(dict.fromkeys([*names[:1], *last.values()]))
    if len(found) <= count:
        return found
    return [found[round(i * (len(found) - 1) / (count - 1))] for i in range(count)]


@contextmanager
def _recorded(net: Network, names: Iterable[str]) -> Iterator[dict[str, Array]]:
    """Keep the outputs of these layers in the forward passes inside of the `with`."""
    layers = dict(net.layers())
    outputs: dict[str, Array] = {}

    def record(name: str, layer: Layer) -> None:
        forward = layer.forward

        def recording(x: Array) -> Array:
            outputs[name] = forward(x)
            return outputs[name]

        layer.forward = recording  # type: ignore[method-assign]

    names = sorted(names)
    for name in names:
        if name not in layers or name == "":
            raise ValueError(
                f"`layers`: {name!r} is not one of this network's: {', '.join(net.children)}, or a part of one, such "
                "as stem.conv"
            )
    for name in names:
        record(name, layers[name])
    try:
        yield outputs
    finally:
        for name in names:
            del layers[name].forward
