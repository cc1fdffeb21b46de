"""The order of axes: npnets has them as its formulas do, other frameworks have the channels before rows and columns.

================  ==============================  =============================
kernel            npnets                          other frameworks
================  ==============================  =============================
convolution       (KH, KW, M/groups, N)           (N, M/groups, KH, KW)
depthwise         (KH, KW, M)                     (M, 1, KH, KW)
pointwise         (M/groups, N)                   (N, M/groups, 1, 1)
================  ==============================  =============================
"""

import numpy as np

from npnets._check import Array


def to_oihw(weight: Array) -> Array:
    """Return a convolution's kernel in the order of other frameworks, contiguous.

    Examples
    --------
    >>> to_oihw(np.zeros((3, 5, 8))).shape  # depthwise
    (8, 1, 3, 5)
    """
    if weight.ndim == 4:
        turned = weight.transpose(3, 2, 0, 1)
    elif weight.ndim == 3:
        turned = weight.transpose(2, 0, 1)[:, None]
    else:
        turned = weight.T[:, :, None, None]
    return np.ascontiguousarray(turned)


def from_oihw(weight: Array, part: str) -> Array:
    """Return the kernel of a layer (`conv`, `depthwise`, `reduce`, ...) from the order of PyTorch, a view.

    Examples
    --------
    >>> from_oihw(np.zeros((8, 1, 3, 5)), "depthwise").shape
    (3, 5, 8)
    """
    if part == "conv":
        return weight.transpose(2, 3, 1, 0)
    if part == "depthwise":
        return weight.transpose(2, 3, 1, 0)[:, :, 0]
    return weight.reshape(weight.shape[:2]).T


def from_hwio(weight: Array, part: str) -> Array:
    """Return the kernel of a layer from the order of Keras and TensorFlow, a view.

    Depthwise kernels are (KH, KW, M, 1) there, pointwise ones and classifiers (1, 1, M, N) or (M, N).
    """
    if part == "conv":
        return weight
    if part == "depthwise":
        return weight[:, :, :, 0]
    return weight.reshape(weight.shape[-2:])
