"""Depthwise separable convolutions that go wrong: mostly in the depthwise step, as there."""

from types import SimpleNamespace as Given
from typing import Any

import numpy as np

from npnets.check.mistakes.kinds import Lists, own


def _depthwise(a: Any) -> Any:
    """Return the arguments of the depthwise step."""
    return Given(x=a.x, weight=a.depthwise_weight, stride=a.stride, padding=a.padding, dilation=a.dilation)


def _relu_between(a: Any) -> Any:
    middle = np.maximum(own("depthwise_conv2d")(_depthwise(a)), 0)
    return own("pointwise_conv2d")(Given(x=middle, weight=a.pointwise_weight))


_SEPARABLE = [
    ("flipped", "the depthwise kernel is turned by 180 degrees (flipped)",
     own("depthwise_separable_conv2d", depthwise_weight=lambda a: a.depthwise_weight[::-1, ::-1])),
    ("transposed", "rows and columns of the depthwise kernel are swapped (transposed)",
     own("depthwise_separable_conv2d", depthwise_weight=lambda a: a.depthwise_weight.swapaxes(0, 1))),
    ("stride ignored", "the stride is ignored", own("depthwise_separable_conv2d", stride=1)),
    ("padding ignored", "the padding is ignored", own("depthwise_separable_conv2d", padding=0)),
    ("dilation ignored", "the dilation is ignored", own("depthwise_separable_conv2d", dilation=1)),
    ("stride of rows", "the stride is used for the rows only, and not for the columns (stride on the wrong axis)",
     own("depthwise_separable_conv2d", stride=lambda a: (a.stride, 1))),
    ("stride of columns", "the stride is used for the columns only, and not for the rows (stride on the wrong axis)",
     own("depthwise_separable_conv2d", stride=lambda a: (1, a.stride))),
    ("padding before", "the padding is on one side only: above and to the left",
     own("depthwise_separable_conv2d", padding=lambda a: ((a.padding, 0), (a.padding, 0)))),
    ("padding after", "the padding is on one side only: below and to the right",
     own("depthwise_separable_conv2d", padding=lambda a: ((0, a.padding), (0, a.padding)))),
    ("depthwise only", "the pointwise step is missing",
     lambda a: own("depthwise_conv2d")(_depthwise(a))),
    ("relu between", "there is a ReLU between both steps: in MobileNet it is a layer of its own, after batch norm",
     _relu_between),
    ("stride twice", "the stride is used twice: it belongs to the depthwise step",
     lambda a: own("depthwise_separable_conv2d")(a)[:, :: a.stride, :: a.stride]),
]  # fmt: skip
_SEPARABLE_DX = [
    ("flipped", "the depthwise kernel is not turned by 180 degrees",
     own("depthwise_separable_conv2d_backward", depthwise_weight=lambda a: a.depthwise_weight[::-1, ::-1])),
]  # fmt: skip

LISTS: Lists = {
    ("depthwise_separable_conv2d", "out"): _SEPARABLE,
    ("depthwise_separable_conv2d_backward", "dx"): _SEPARABLE_DX,
}
