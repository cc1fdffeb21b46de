"""`npnets check` and PyTorch: its own operations conform, in its own layout, and its users' mistakes are diagnosed."""

import inspect
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torch_functions

from npnets import ops
from npnets.check import check, check_files
from npnets.testing import conforms

FORWARD = [name for name in ops.__all__ if not name.endswith("_backward")]


@pytest.mark.parametrize("name", FORWARD)
def test_pytorch_conforms(name):
    """Its operations, and the gradients of its own autograd, which have nothing in common with npnets."""
    report = check(
        name, getattr(torch_functions, name), getattr(torch_functions, f"{name}_backward", None), layout="NCHW"
    )
    assert report.conforms, str(report)
    assert len(report.findings) == 1 + (f"{name}_backward" in ops.__all__)


def test_all_of_them_are_there():
    assert {name for name, one in vars(torch_functions).items() if inspect.isfunction(one) and name[0] != "_"} == set(
        ops.__all__
    )


def test_in_a_process_of_its_own():
    """What the file imports says what it takes."""
    file = str(Path(torch_functions.__file__))
    report = check_files("depthwise_conv2d", (file, "depthwise_conv2d"), (file, "depthwise_conv2d_backward"),
                         layout="NCHW")  # fmt: skip
    assert report.conforms, str(report)
    assert "called with PyTorch tensors" in str(report)


def test_a_wrong_layout_is_seen():
    def last(x, weight, *, stride, padding, dilation):
        return torch_functions.conv2d(
            x.permute(0, 3, 1, 2),
            weight.permute(3, 2, 0, 1).contiguous(),
            stride=stride,
            padding=padding,
            dilation=dilation,
        )

    report = check("conv2d", last, arrays="torch")
    assert "the channels come first: the layout is (B, H, W, C); see --layout NCHW" in " ".join(str(report).lower().split()).replace("nhwc", "NHWC").replace("b, h, w, c", "B, H, W, C").replace("nchw", "NCHW")  # fmt: skip  # noqa: E501


def test_places_are_in_the_layout_of_the_function():
    def dropped(x, weight, *, stride, padding, dilation):
        out = F.conv2d(x, weight, None, stride, padding, dilation)
        out[:, 1:, -1] = 0
        return out

    report = check("conv2d", dropped, layout="NCHW")
    assert report.status == "differs"
    difference = report.findings[0].told[0].difference
    b, k, l, n = difference.index
    assert f"G[{b},{n},{k},{l}] should be" in str(report)
    shape = report.findings[0].run.failed.case.arguments["weight"].shape
    assert f"weight ({shape[3]}, {shape[2]}, {shape[0]}, {shape[1]})" in " ".join(str(report).split())


def test_float32_by_default_is_seen():
    """torch.zeros makes float32, whatever goes in."""

    def mine(x):
        out = torch.zeros(x.shape)
        out[x > 0] = x[x > 0].float()
        return out

    with pytest.raises(AssertionError, match="is float32, and should be float64"):
        conforms("relu", mine, arrays="torch")


def test_what_needs_gradients_can_be_returned():
    conforms("relu", lambda x: F.relu(x.requires_grad_()), arrays="torch")
