"""`npnets check`: right functions conform, wrong ones are diagnosed, and whatever a function does, it does not pass."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from wrong_functions import WRONG, depthwise, gradients

import npnets
from npnets import cli, ops
from npnets.check import check
from npnets.check.cases import cases
from npnets.check.compare import Outcome
from npnets.check.operations import find
from npnets.testing import conforms

pytestmark = pytest.mark.uncompiled  # nothing is: a hundred diagnoses of a tenth of a second


def said(report):
    return " ".join(str(report).split())


# -- right functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ops.__all__)
def test_npnets_own_conform(name):
    """Every operation can be checked, and has cases; that it is right in them is for the functions below to say."""
    with npnets.use("numpy"):
        report = check(name, getattr(ops, name))
    assert report.conforms, str(report)
    assert len(report.findings[0].run.outcomes) >= 20


def strided(x, weight, *, stride, padding, dilation):
    """The way of NumPy's sliding windows: nothing in common with npnets."""
    KH, KW, _ = weight.shape
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (dilation * (KH - 1) + 1, dilation * (KW - 1) + 1), (1, 2))
    windows = windows[:, ::stride, ::stride, :, ::dilation, ::dilation]
    return np.einsum("bklmij,ijm->bklm", windows, weight)


def fourier(x, weight, *, stride, padding, dilation):
    """By Fourier transforms: right, but for rounding."""
    KH, KW, M = weight.shape
    spread = np.zeros((dilation * (KH - 1) + 1, dilation * (KW - 1) + 1, M))
    spread[::dilation, ::dilation] = weight
    x64 = np.pad(x.astype(float), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    sides = x64.shape[1:3]
    product = np.fft.rfft2(x64, sides, (1, 2)) * np.fft.rfft2(spread, sides, (0, 1)).conj()
    full = np.fft.irfft2(product, sides, (1, 2))
    return full[:, : sides[0] - len(spread) + 1 : stride, : sides[1] - spread.shape[1] + 1 : stride].astype(x.dtype)


def lists(x, weight, *, stride, padding, dilation):
    """Lists of lists, which NumPy arrays would not do for: they are joined by +."""
    KH, KW, M = len(weight), len(weight[0]), len(weight[0][0])
    out = []
    for image in x:
        W = len(image[0]) + 2 * padding
        nothing = [[[0.0] * M] * W] * padding
        side = [[0.0] * M] * padding
        image = nothing + [side + row + side for row in image] + nothing
        out.append([
            [
                [
                    sum(weight[i][j][m] * image[k + dilation * i][l + dilation * j][m]
                        for i in range(KH) for j in range(KW))
                    for m in range(M)
                ]
                for l in range(0, W - dilation * (KW - 1), stride)
            ]
            for k in range(0, len(image) - dilation * (KH - 1), stride)
        ])  # fmt: skip
    return out


@pytest.mark.parametrize(("function", "words"), [(strided, "to the bit"), (fourier, "within rounding"),
                                                 (lists, "lists of lists")])  # fmt: skip
def test_others_conform(function, words):
    report = check("depthwise_conv2d", function)
    assert report.conforms, str(report)
    assert words in str(report)


def test_a_right_pair_is_adjoint():
    def backward(dout, x, weight, *, stride, padding, dilation):
        return gradients(dout, x, weight, stride, padding, dilation)

    report = check("depthwise_conv2d", strided, backward)
    assert report.conforms, str(report)
    assert "Adjoint: <dG, G> = <dF, F> = <dK, K> in all" in str(report)


@pytest.fixture
def jax(monkeypatch):
    """As JAX is by default: whatever goes in, there is float32 only."""

    def asarray(array):
        return array.astype(np.float32) if array.dtype.kind == "f" else array

    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(numpy=SimpleNamespace(asarray=asarray)))


def only_float32(function):
    def run(*arrays, **options):
        assert {one.dtype for one in arrays} == {np.dtype(np.float32)}
        return function(*arrays, *options.values())

    return run


def test_what_knows_float32_only_conforms(jax):
    report = check("depthwise_conv2d", only_float32(depthwise), only_float32(gradients))
    assert report.conforms, str(report)
    assert [one.run.kind for one in report.findings] == ["jax", "jax"]
    assert "Adjoint" in str(report)


def test_what_knows_float32_only_is_diagnosed(jax):
    report = check("depthwise_conv2d", only_float32(lambda x, weight, *more: depthwise(x, weight[::-1, ::-1], *more)))
    assert "The kernel is turned by 180 degrees" in str(report)


# -- wrong functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG)
def test_wrong_functions_are_diagnosed(name):
    op, words, function = WRONG[name]
    report = check(op, function)
    assert report.status == "differs"
    text = said(report)
    for word in words:
        assert word.lower() in text.lower(), str(report)
    assert max(map(len, str(report).splitlines())) <= 80
    json.dumps(report.json(), allow_nan=False)


def test_there_are_enough_of_them():
    assert len(WRONG) >= 60


def test_an_unknown_mistake_is_told_by_its_terms():
    """No name, but all the rest: the smallest case, the values, the term."""

    def knight(x, weight, *, stride, padding, dilation):
        weight = weight.copy()
        if weight.shape[0] == 3:
            weight[2, 1:2] = 0
        return depthwise(x, weight, stride, padding, dilation)

    report = check("depthwise_conv2d", knight)
    assert "the term i=2, j=1, m=0 (K=" in said(report), str(report)
    assert "is missing" in said(report)
    assert "is read nowhere; every term that is summed is in its place" in said(report)
    assert report.findings[0].told[0].mistake == ""


def test_two_mistakes_at_once_are_named():
    def two(x, weight, *, stride, padding, dilation):
        return depthwise(x, weight[::-1, ::-1], stride, padding, 1)

    text = said(check("depthwise_conv2d", two))
    assert "(flipped): K[i,j] belongs to the pixel s k + d i - p, s l + d j - p; and the dilation is ignored." in text
    assert "a function with these two mistakes and no other returns the same as yours in all" in text


def test_all_results_that_differ_are_told():
    """One in the smallest case, the other only elsewhere: nothing is said to be right that is not."""

    def backward(dout, x, weight, *, stride, padding, dilation):
        dx, _ = gradients(dout, x, weight, 1, padding, dilation)
        return dx, gradients(dout, x, weight, stride, padding, dilation)[1] * 2

    text = said(check("depthwise_conv2d_backward", backward))
    assert "Everything else is right" not in text
    assert "It is twice as large: everything is added twice. A function with this mistake and no other" in text
    assert "the same `dweight` as yours in all" in text
    assert "`dx` differs in 37 other cases: The stride is ignored where the pixel is chosen" in text


def test_a_beginning_without_options_is_recognised():
    def beginning(x, weight, *, stride, padding, dilation):
        return depthwise(x, weight, 1, 0, 1)

    assert "Stride, padding and dilation are ignored." in said(check("depthwise_conv2d", beginning))


def test_the_first_failing_case_is_a_smallest_one():
    """Of all cases in which it differs none has fewer values, with what is around the image."""
    _, _, function = WRONG["true_convolution"]
    run = check("depthwise_conv2d", function).findings[0].run
    sizes = []
    for case in (one.case for one in run.outcomes if not one.agrees):
        B, H, W, M = case.arguments["x"].shape
        p = case.arguments["padding"]
        sizes.append(B * H * W * M + case.arguments["weight"].size + p * (H + W))
    assert sizes[0] == min(sizes) == 4


def channels_first(x, weight, *, stride, padding, dilation):
    """A convolution in PyTorch's layout."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    sides = [dilation * (side - 1) + 1 for side in weight.shape[2:]]
    windows = np.lib.stride_tricks.sliding_window_view(x, sides, (2, 3))
    return np.einsum("bmklij,nmij->bnkl", windows[:, :, ::stride, ::stride, ::dilation, ::dilation], weight)


def test_the_other_layout_is_tried():
    """PyTorch's layout without saying so goes wrong first, and the shapes or errors there are of no help."""

    def careful(x, weight, **options):
        assert x.shape[1] == weight.shape[1], "other channels"
        return channels_first(x, weight, **options)

    for function, status in (channels_first, "differs"), (careful, "could not run"):
        assert check("conv2d", function, layout="NCHW").conforms
        report = check("conv2d", function)
        assert report.status == status
        assert "With --layout NCHW it conforms." in said(report)
    assert "With --layout NHWC it conforms." in said(check("depthwise_conv2d", strided, layout="NCHW"))
    wrong = check("conv2d", lambda x, weight, **_: channels_first(x, weight, stride=1, padding=0, dilation=1))
    assert "it conforms" not in said(wrong)


def test_too_large_for_half_precision():
    def half(x, weight, **options):
        with np.errstate(over="ignore"):
            return strided(x.astype(np.float16), weight.astype(np.float16), **options).astype(x.dtype)

    report = check("depthwise_conv2d", half)
    assert "should be 503316495 and is inf: float16 ends at 65504." in said(report)


def test_a_pair_of_which_one_cannot_run_is_not_said_to_belong_together():
    def forward(x, weight, **options):
        return 2 * strided(x, weight, **options)

    def backward(dout, x, weight, **options):
        if x.size == 1:
            raise NotImplementedError
        dx, dweight = ops.depthwise_conv2d_backward(dout, x, weight, **options)
        return 2 * dx, 2 * dweight

    report = check("depthwise_conv2d", forward, backward)
    assert [one.status for one in report.findings] == ["differs", "could not run"]
    assert report.notes == ()


def test_a_pair_with_the_same_mistake_on_both_sides():
    def forward(x, weight, *, stride, padding, dilation):
        return depthwise(x, weight[::-1, ::-1], stride, padding, dilation)

    def backward(dout, x, weight, *, stride, padding, dilation):
        dx, dweight = gradients(dout, x, weight[::-1, ::-1], stride, padding, dilation)
        return dx, dweight[::-1, ::-1].copy()

    text = said(check("depthwise_conv2d", forward, backward))
    assert "Your backward function is the gradient of your forward function" in text
    assert "The backward function is not the gradient" in said(
        check("depthwise_conv2d", forward, lambda *args, **options: gradients(*args, *options.values()))
    )


# -- in a test ---------------------------------------------------------------------------------------------------------


def test_conforms():
    conforms("relu", lambda x: np.maximum(x, 0))
    with pytest.raises(AssertionError, match="The kernel is turned by 180 degrees"):
        conforms("depthwise_conv2d", WRONG["true_convolution"][2])
    with pytest.raises(AssertionError, match="not added up where windows overlap"):
        conforms("depthwise_conv2d", strided, WRONG["not_accumulated"][2])
    with pytest.raises(ValueError, match="is not an operation"):
        conforms("convolution", strided)
    with pytest.raises(ValueError, match="`layout`"):
        conforms("relu", abs, layout="CHWN")
    with pytest.raises(ValueError, match="`arrays`"):
        conforms("relu", abs, arrays="cupy")
    with pytest.raises(TypeError, match="must both be functions, or both be strings"):
        conforms("relu", abs, "file.py:f")


def test_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["check", "--help"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for phrase in (
        "it is no sandbox",
        "exit status: 0 conforms, 1 differs, 2 could not run",
        "always with all keywords",
        "mine(x, weight, *, groups, stride, padding, dilation)",
    ):
        assert phrase in " ".join(out.split())


# -- layouts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ops.__all__)
def test_layouts_are_turned_and_turned_back(name):
    operation = find(name)
    case = cases(operation)[40 if name.startswith(("conv", "depth", "group")) else -1]
    for key, value in (*case.arrays().items(), *zip(operation.results, operation.correct(case.arguments), strict=True)):
        turned = operation.turned(key, value, "NCHW")
        assert turned.size == value.size
        back = operation.turned_back(key, turned, "NCHW")
        assert back.shape == value.shape
        assert np.array_equal(back, value)


def test_places_are_those_of_the_layout():
    operation = find("conv2d")
    assert operation.place("out", (1, 2, 3, 4), (2, 5, 5, 5), "NHWC") == "G[1,2,3,4]"
    assert operation.place("out", (1, 2, 3, 4), (2, 5, 5, 5), "NCHW") == "G[1,4,2,3]"
    assert operation.place("weight", (1, 2, 0, 3), (2, 3, 1, 4), "NCHW") == "K[3,0,1,2]"


def test_an_outcome_knows_whether_it_is_exact():
    one = np.ones(2)
    case = cases(find("relu"))[0]
    assert Outcome(case, (one,), (one,), ()).exact
    assert not Outcome(case, (one,), (one + 1e-15,), ()).exact
