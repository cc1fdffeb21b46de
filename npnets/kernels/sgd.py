"""SGD's update of all parameters in one walk.

::

    for i:  g[i] + lambda w[i] -> g,   v[i] = mu v[i] + g,   w[i] -= eta v[i]    or    eta (g + mu v[i])
"""

from typing import Any

from npnets._check import Array
from npnets._jit import jit
from npnets._parallel import run


@jit
def move(start: int, stop: int, w: Array, g: Array, v: Array, eta: Any, mu: Any, decay: Any, nesterov: bool) -> None:
    """Move the parameters start..stop."""
    zero = w.dtype.type(0)
    for i in range(start, stop):
        slope = g[i] + decay * w[i] if decay != zero else g[i]
        if mu != zero:
            v[i] = mu * v[i] + slope
            slope = slope + mu * v[i] if nesterov else v[i]
        w[i] -= eta * slope


def update(w: Array, g: Array, v: Array, eta: float, mu: float, decay: float, nesterov: bool) -> None:
    """Move the flat array w, and v where mu is not 0: then v is of w's length, otherwise it may be empty."""
    number = w.dtype.type
    run(move, w.size, 4 * w.size, w, g, v, number(eta), number(mu), number(decay), nesterov)
