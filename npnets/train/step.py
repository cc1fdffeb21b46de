"""One step of training."""

import copy
from collections.abc import Callable

import numpy as np

from npnets._check import Array
from npnets._config import implementation
from npnets.layers import Layer, Linear, Sequential
from npnets.models import Network
from npnets.ops import softmax_cross_entropy
from npnets.plan import compile
from npnets.train.fused import program_for
from npnets.train.sgd import SGD


def train_step(net: Network, optimizer: SGD, x: Array, labels: Array, *, label_smoothing: float = 0.0) -> float:
    """Forward, loss, backward, step: move the network once against the gradient of the batch.

    The first step on a machine compiles its kernels, as `npnets.compile` does; `npnets warmup` does it beforehand.
    Where layers are frozen (`net.freeze`) the step goes through the layers, which takes longer for those that are
    trained; there is no backward pass through those that come before them all.

    Parameters
    ----------
    net
        A network; it should be in training mode (`net.train()`).
    optimizer
        The `SGD` of this network.
    x
        Images (B, H, W, C), of the network's dtype.
    labels
        (B,), whole numbers from 0 to classes - 1.
    label_smoothing
        As in `ops.softmax_cross_entropy`.

    Returns
    -------
    loss
        The batch's mean cross-entropy before the step, in nats.

    Raises
    ------
    TypeError, ValueError
        As the network and the loss do; also where the optimizer is another network's.

    Examples
    --------
    >>> import numpy as np, npnets
    >>> net = npnets.MobileNetV1(width=0.25, num_classes=2, rows=((64, 1), (128, 2))).train()
    >>> optimizer = npnets.SGD(net, lr=0.05)
    >>> x, labels = np.random.default_rng(0).random((4, 16, 16, 3), np.float32), np.array([0, 1, 0, 1])
    >>> losses = [npnets.train_step(net, optimizer, x, labels) for _ in range(8)]
    >>> losses[-1] < losses[0]
    True
    """
    return step_with_logits(net, optimizer, x, labels, label_smoothing)[0]


def step_with_logits(
    net: Network, optimizer: SGD, x: Array, labels: Array, label_smoothing: float
) -> tuple[float, Array]:
    """Do what `train_step` does, and return the loss and the logits (B, classes) from before the step."""
    if optimizer.net is not net:
        raise ValueError("`optimizer` must be that of `net`, and moves the parameters of another network")
    x = net.images(x)
    frozen, trained = split(net)
    if any(layer.frozen for _, layer in net.layers()):
        return step_from(frozen.forward(x), trained, optimizer, labels, label_smoothing)
    program = program_for(net, x.shape) if implementation() == "numba" else None
    if program is None:
        return step_from(x, trained, optimizer, labels, label_smoothing)
    logits = program.forward(x)
    loss, dlogits = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
    program.backward(dlogits, optimizer)
    return float(loss), logits


def step_from(x: Array, trained: Layer, optimizer: SGD, labels: Array, label_smoothing: float) -> tuple[float, Array]:
    """Take the step from the input of the layers that are trained on."""
    logits = trained.forward(x)
    loss, dlogits = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
    trained.backward(dlogits)
    optimizer.step()
    return float(loss), logits


def split(net: Network) -> tuple[Sequential, Sequential]:
    """Return the layers that come before all that is trained, and the others: their own, not copies."""
    frozen, trained = {}, dict(net.children)
    while all(layer.frozen or not layer.params for _, layer in next(iter(trained.values())).layers()):
        name = next(iter(trained))
        frozen[name] = trained.pop(name)
    return Sequential(**frozen), Sequential(**trained)


def fused_features(net: Network) -> Callable[[Array], Array]:
    """Return a function of images that computes the classifier's input, with the weights of now: the fused network.

    It has a classifier that passes each feature on.
    """
    if implementation() != "numba":
        return split(net)[0].forward
    network = copy.deepcopy(net).eval()
    features = len(network.children["classifier"].params["weight"])
    network.children["classifier"] = Linear(np.eye(features, dtype=net.dtype))
    return compile(network)
