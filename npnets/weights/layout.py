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
