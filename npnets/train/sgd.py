"""Stochastic gradient descent with momentum, Nesterov's form and weight decay: PyTorch's update.

For each parameter w with the gradient g of the loss, weight decay lambda, momentum mu and rate eta::

    g = g + lambda w
    v = mu v + g                     (v is 0 before the first step)
    w = w - eta v                    or, in Nesterov's form, w = w - eta (g + mu v)

The rate stands outside of v, so that a schedule changes the next step at once (Sutskever et al., 2013, have it inside).
"""

import math
from collections.abc import Collection, Mapping

import numpy as np

from npnets import _check
from npnets._check import Array
from npnets.kernels.sgd import update
from npnets.models import Network
from npnets.models.network import Flat

SKIPS = ("depthwise", "1d")


class SGD:
    """The optimiser of a network.

    Parameters
    ----------
    net
        Whose parameters `step` moves, by the gradients of its last backward pass; but not those of layers that are
        frozen now (`net.freeze`).
    lr
        eta, the rate; the attribute `lr` may be set between steps.
    momentum, weight_decay
        mu and lambda.
    nesterov
        Whether the step looks ahead; needs a momentum.
    skip_decay
        Which parameters weight decay leaves alone: "depthwise" (the papers: those weights are few), "1d" (biases, and
        batch norm's weight), both, or none.

    Raises
    ------
    TypeError, ValueError
        An argument breaks one of these rules; the message names it, its value and the rule.

    Examples
    --------
    >>> import npnets
    >>> net = npnets.MobileNetV1(width=0.25, num_classes=10)
    >>> optimizer = SGD(net, lr=0.1, momentum=0.9, weight_decay=4e-5, nesterov=True)
    """

    def __init__(
        self,
        net: Network,
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        skip_decay: Collection[str] = (),
    ) -> None:
        self.net = net
        self.lr = _check.number("lr", lr, least=0.0)
        self.momentum = _check.number("momentum", momentum, least=0.0)
        self.weight_decay = _check.number("weight_decay", weight_decay, least=0.0)
        self.nesterov = nesterov
        if nesterov and momentum == 0:
            raise ValueError(f"`nesterov` (={nesterov}) needs a `momentum` (={momentum}) greater than 0")
        skips = (skip_decay,) if isinstance(skip_decay, str) else skip_decay
        if not isinstance(skips, Collection) or any(skip not in SKIPS for skip in skips):
            raise ValueError(f"`skip_decay` (={skip_decay!r}) must hold only {', '.join(map(repr, SKIPS))}")
        # A depthwise weight is the only one with three axes, and what has one is a bias or batch norm's.
        axes = {3: "depthwise", 1: "1d"}
        flat, parameters = net.flat(), net.parameters()
        frozen = {f"{path}.{name}" for path, layer in net.layers() if layer.frozen for name in layer.params}
        self._shapes = flat.shapes
        self._flat_velocity = np.zeros_like(flat.params if momentum else flat.params[:0])
        runs: list[tuple[int, int, bool]] = []  # neighbours that decay, or do not: start, stop, which
        at = 0
        for name, value in parameters.items():
            start, at = at, at + value.size
            decays = axes.get(value.ndim) not in skips
            if name in frozen:
                continue
            if runs and runs[-1][1:] == (start, decays):
                start = runs.pop()[0]
            runs.append((start, at, decays))
        self._runs = np.array(runs, np.int64).reshape(-1, 3)

    def step(self) -> None:
        """Move the parameters once, in place.

        Raises
        ------
        RuntimeError
            There has been no backward pass.
        ValueError
            The network has other parameters than when the optimizer was made.
        """
        flat = self.net.flat()
        velocity, runs, _ = self.rule(flat)
        flat.take_gradients()
        for start, stop, decays in runs:
            part = slice(start, stop)
            update(flat.params[part], flat.grads[part], velocity[part], self.lr, self.momentum,
                   self.weight_decay if decays else 0.0, self.nesterov)  # fmt: skip

    def rule(self, flat: Flat) -> tuple[Array, Array, Array]:
        """Return what `kernels.training.run` takes of an optimiser: velocities; runs; eta, mu, lambda, Nesterov.

        Raises
        ------
        ValueError
            The network has other parameters than when the optimizer was made.
        """
        if flat.shapes != self._shapes:
            raise ValueError("the network has other parameters than when its optimizer was made: make another SGD(net)")
        if self.momentum and not len(self._flat_velocity):  # it has been set since
            self._flat_velocity = np.zeros_like(flat.params)
        return self._flat_velocity, self._runs, np.array([self.lr, self.momentum, self.weight_decay, self.nesterov])

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the velocities v by the names of their parameters; nothing without momentum."""
        return {name: value.copy() for name, value in self._velocity().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy velocities from `state_dict` into the optimiser: all of them, or, where one does not fit, none.

        Raises
        ------
        TypeError, ValueError
            Names or shapes are not those of this optimiser, or a value is no float array.
        """
        for name, value in state.items():
            _check.array(name, value, "...")
        own = self._velocity()
        if state.keys() != own.keys() or any(state[name].shape != value.shape for name, value in own.items()):
            raise ValueError("the optimizer's state has not the names and shapes of this network's parameters")
        for name, value in own.items():
            value[...] = state[name]

    def _velocity(self) -> dict[str, Array]:
        """Return the velocities as views: made anew, so that a copy of the optimizer has its own."""
        found, at = {}, 0
        for name, shape in self._shapes.items() if len(self._flat_velocity) else ():
            found[name] = self._flat_velocity[at : at + math.prod(shape)].reshape(shape)
            at += found[name].size
        return found
