"""Batch norm folded into the convolution before it: the same function in eval mode, with fewer operations.

In eval mode batch norm is an affine map of each channel n (see `npnets.ops.batch_norm`), and a convolution is linear in
its kernel K, so that both are one convolution, with other weights and a bias::

    s[n] = gamma[n] / sqrt(v[n] + eps)

    s[n] (K * F + b)[n] + beta[n] - s[n] mu[n]  =  (K' * F)[n] + b'[n]                      (1)

    K'[..., n] = s[n] K[..., n],     b'[n] = s[n] (b[n] - mu[n]) + beta[n]                  (2)

The papers' convolutions have no b. Zeros around the image stay zeros: they are added before the convolution.
"""

import copy
from itertools import pairwise

import numpy as np

from npnets._check import Array
from npnets.layers import BatchNorm, BiasedLayer
from npnets.models.network import Network


def fold_batch_norm(net: Network) -> Network:
    """Return a network of the same function as `net.eval()`, with biased convolutions and without batch norm.

    `npnets.compile` does the same on its own. This is for what takes weights and biases alone: other programs, other
    formats, quantisation, or a look at them.

    The folded network can be trained, and hardly should be: without batch norm it learns worse.

    Parameters
    ----------
    net
        A network; it is left as it is.

    Returns
    -------
    folded
        Of the same class and dtype, in eval mode. Weights and biases are computed in float64 and rounded once. Its
        state has the names of the other without batch norm's, and `...bias` for each convolution.

    Raises
    ------
    TypeError
        `net` is not a network.
    ValueError
        A batch norm stands behind something else than a convolution; the message names it.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> net = npnets.ShuffleNetV1(scale=0.5, num_classes=10).eval()
    >>> folded = npnets.fold_batch_norm(net)
    >>> list(folded.state_dict())[:3]
    ['stem.conv.weight', 'stem.conv.bias', 'stage2_unit1.reduce.weight']
    >>> x = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype(np.float32)
    >>> bool(np.abs(folded(x) - net(x)).max() < 1e-5)
    True
    """
    if not isinstance(net, Network):
        raise TypeError(f"`net` must be a network, and is a {type(net).__name__}")
    folded = copy.deepcopy(net).eval()
    for _, layer in list(folded.layers()):
        for (_, before), (name, norm) in pairwise(list(layer.children.items())):
            if isinstance(before, BiasedLayer) and isinstance(norm, BatchNorm):
                before.params.update(zip(("weight", "bias"), _folded(before, norm), strict=True))
                layer.drop(name)
    for path, layer in folded.layers():
        if isinstance(layer, BatchNorm):
            raise ValueError(f"`net` has a batch norm, `{path}`, that stands behind no convolution")
    folded.flat()  # now, so that what somebody gets from `parameters` stays what is trained
    return folded


def _folded(convolution: BiasedLayer, norm: BatchNorm) -> tuple[Array, Array]:
    """Return weight and bias of both together: equation (2)."""
    weight = convolution.params["weight"]
    bias = convolution.params.get("bias", np.zeros(weight.shape[-1]))
    scale, shift = norm.affine()
    return (weight * scale).astype(weight.dtype), (bias * scale + shift).astype(weight.dtype)
