"""SGD's update of all parameters in one walk.

::

    for i:  s = g[i] + lambda w[i],   v[i] = mu v[i] + s,   w[i] -= eta v[i]    or    eta (s + mu v[i])

It reads three arrays and writes two, at the speed of memory.
"""

from typing import Any

from npnets._check import Array
from npnets._jit import jit
from npnets._parallel import run
from npnets.kernels.simd import add, lanes, load_part, splat, store_part, subtract
from npnets.kernels.simd import multiply as times


@jit
def move(start: int, stop: int, w: Array, g: Array, v: Array, eta: Any, mu: Any, decay: Any, nesterov: bool) -> None:
    """Move the parameters start..stop."""
    W = lanes(w)
    rate, momentum, shrink = splat(w, eta), splat(w, mu), splat(w, decay)
    for i in range(start, stop, W):
        n = min(W, stop - i)
        weight, slope = load_part(w, i, n), load_part(g, i, n)
        if decay != 0:
            slope = add(slope, times(shrink, weight))
        if mu != 0:
            velocity = add(times(momentum, load_part(v, i, n)), slope)
            store_part(v, i, velocity, n)
            slope = add(slope, times(momentum, velocity)) if nesterov else velocity
        store_part(w, i, subtract(weight, times(rate, slope)), n)


def update(w: Array, g: Array, v: Array, eta: float, mu: float, decay: float, nesterov: bool) -> None:
    """Move the flat array w, and v where mu is not 0: then v is of w's length, otherwise it may be empty."""
    number = w.dtype.type
    run(move, w.size, 4 * w.size, w, g, v, number(eta), number(mu), number(decay), nesterov)
