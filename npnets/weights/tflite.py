"""TFLite: MobileNet V1 of every width and size from a file of TensorFlow Lite, quantised or float.

The file is a graph of tensors and operators, which the package `tflite` reads. It must be MobileNet V1's: a
convolution, 13 times a depthwise and a pointwise one, the mean of each channel, a classifier. Batch norm is folded
already, so that the network that comes out is a folded one (`fold_batch_norm`).

A quantised tensor holds whole numbers q, with a scale S and a zero point Z for the whole tensor, or for each channel; a
bias has Z = 0, and S is that of the input times that of the weight::

    w = S (q - Z)                                                                           (1)

What is computed here is the function of these real numbers. The quantised graph itself rounds each feature map to the
256 numbers that its tensor can hold, and so clamps it to their range. Where that is from 0 to 6, it is ReLU6, whether
the file says so or not, and taken over. Any other range is no part of the function, for it is as wide as the images
were that somebody chose it by, and is left out. So results differ from a quantised runtime's by what that rounds.
"""

import math
import os
import re
import struct
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npnets._check import Array
from npnets._optional import need
from npnets.models import MobileNetV1, Network, fold_batch_norm
from npnets.models.mobilenet_v1 import BODY, channels_of
from npnets.preprocessing import Preprocessing
from npnets.train.checkpoint import reason

# Bytes: in float32 the network of width 1 takes 17 MB. And as many tensors and operators as nobody needs here.
LARGEST, MOST = 2**26, 1000
MOST_SCALE = 1e20  # times any whole number here this is finite in float32

FLOATS = "FLOAT32", "FLOAT16"
RANGES = {"UINT8": (0, 255), "INT8": (-128, 127)}
DTYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT32": "<i4", "UINT8": "u1", "INT8": "i1"}

CONVOLUTIONS = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"

# MobileNet V1 as a regular expression: the operators in the order of the forward pass, a blank behind each.
OPERATORS = re.compile(
    "(QUANTIZE )?(PAD )?CONV_2D "
    f"((PAD )?DEPTHWISE_CONV_2D CONV_2D ){{{len(BODY)}}}"
    "(AVERAGE_POOL_2D|MEAN) ((RESHAPE|SQUEEZE) )*"
    "(CONV_2D|FULLY_CONNECTED) ((RESHAPE|SQUEEZE) )*"
    "(SOFTMAX )?(DEQUANTIZE )?"
)

# What Keras' files have beside: they compute the shape that a RESHAPE gives the logits, from the number of images.
SHAPES = "SHAPE", "STRIDED_SLICE", "PACK"

# What a PAD adds around (B, H, W, C), in Keras' files, where TensorFlow's have the padding "same" at a stride of 2; and
# the axes of a MEAN over all pixels.
PADDINGS = np.array([[0, 0], [0, 1], [0, 1], [0, 0]], "<i4").tobytes()
AXES = np.array([1, 2], "<i4").tobytes()

# Of each operator that has options: their table, and which ones are read.
WINDOW = "StrideH", "StrideW", "DilationHFactor", "DilationWFactor"
OPTIONS = {
    "CONV_2D": ("Conv2DOptions", (*WINDOW, "Padding", "FusedActivationFunction")),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*WINDOW, "Padding", "FusedActivationFunction")),
    "AVERAGE_POOL_2D": ("Pool2DOptions", ("FilterHeight", "FilterWidth", "FusedActivationFunction")),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("WeightsFormat", "FusedActivationFunction")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
}


def load(path: str | os.PathLike[str], dtype: npt.DTypeLike = np.float32) -> Network:
    """Return the MobileNet V1 of a TFLite file, in eval mode, without batch norm.

    Parameters
    ----------
    path
        Of the file: its weights uint8 or int8, for each tensor or each channel, or float32 or float16.
    dtype
        float32 or float64, of the network.

    Returns
    -------
    net
        Of the width, classes, channels and activation that the file has; it gives the logits, from before the file's
        softmax. TensorFlow's own files have 1001 classes, the first of which is "background". `net.preprocessing` is
        that of the input's quantisation, or x / 127.5 - 1, as in all published networks, where the input is a float.

    Raises
    ------
    ModuleNotFoundError
        The package tflite is not installed.
    OSError
        There is no such file, or it cannot be read.
    TypeError
        `dtype` is none of the two.
    ValueError
        The file is damaged, or holds something else; the message names the file and what is wrong with it.

    Examples
    --------
    >>> net = load("mobilenet_v1_0.25_128_quant.tflite")  # doctest: +SKIP
    >>> net(net.preprocess(photos)).argmax(1)  # doctest: +SKIP
    """
    tflite = need("tflite", "weights", "reading a TFLite file")
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    try:
        return _network(_read(tflite, content), len(content), dtype)
    except ValueError as error:
        raise ValueError(f"{path} is not MobileNet V1 as a TFLite file, or a damaged one: {reason(error)}") from None


# -- from the file to a graph ------------------------------------------------------------------------------------------


class Tensor(NamedTuple):
    """A tensor of the graph; `data` are the bytes of a constant, and none where it is computed."""

    kind: str
    shape: tuple[int, ...]
    data: Array
    scale: Array
    zero: Array
    axis: int  # along which scale and zero point change, where there are several


class Operator(NamedTuple):
    """An operator of the graph; its tensors are numbers, -1 for what it does not have."""

    name: str
    input: int
    constant: int  # weight, paddings, axes
    bias: int
    output: int
    options: dict[str, Any]


class Graph(NamedTuple):
    """All that is read of a file."""

    tensors: list[Tensor]
    operators: list[Operator]
    input: int
    output: int


def _read(tflite: Any, content: bytes) -> Graph:
    """Return the graph of a file, of which nothing is believed."""
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST >> 20} MB")
    if content[4:8] != b"TFL3":
        raise ValueError('it does not begin with four bytes and "TFL3"')
    try:
        model = tflite.Model.GetRootAs(content, 0)
        _at_most("graphs", model.SubgraphsLength(), 1)
        held = model.Subgraphs(0)
        _at_most("tensors", held.TensorsLength(), MOST)
        _at_most("operators", held.OperatorsLength(), MOST)
        tensors = [_tensor(tflite, model, held.Tensors(i)) for i in range(held.TensorsLength())]
        operators = [_operator(tflite, model, held.Operators(i)) for i in range(held.OperatorsLength())]
        graph = Graph(tensors, operators, int(held.InputsAsNumpy()[0]), int(held.OutputsAsNumpy()[0]))
    except (struct.error, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        # What flatbuffers' accessors raise where an offset leads out of the file, or to nothing.
        raise ValueError(f"something in it leads nowhere ({error})") from None
    numbers = {graph.input, graph.output, *(number for op in operators for number in op[1:5])}
    if min(numbers) < -1 or max(numbers) >= len(tensors):
        raise ValueError(f"it asks for a tensor that is not there: it has {len(tensors)}")
    return graph


def _tensor(tflite: Any, model: Any, tensor: Any) -> Tensor:
    shape, quantization = _vector(tensor, "Shape"), tensor.Quantization()
    _at_most("axes of a tensor", len(shape), 8)
    _at_most("buffers", tensor.Buffer() + 1, model.BuffersLength())
    return Tensor(
        _names(tflite.TensorType)[tensor.Type()],
        tuple(shape.tolist()),
        _vector(model.Buffers(tensor.Buffer()), "Data"),
        np.zeros(0) if quantization is None else _vector(quantization, "Scale"),
        np.zeros(0) if quantization is None else _vector(quantization, "ZeroPoint"),
        0 if quantization is None else quantization.QuantizedDimension(),
    )


def _operator(tflite: Any, model: Any, operator: Any) -> Operator:
    _at_most("kinds of operators", operator.OpcodeIndex() + 1, model.OperatorCodesLength())
    code = model.OperatorCodes(operator.OpcodeIndex())
    # The older field is a byte, and became too small: a file has its number in either.
    name = _names(tflite.BuiltinOperator)[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    first, constant, bias = [*_vector(operator, "Inputs")[:3].tolist(), -1, -1, -1][:3]
    options = _options(tflite, operator, name) if name in OPTIONS else {}
    return Operator(name, first, constant, bias, int(_vector(operator, "Outputs")[0]), options)


def _options(tflite: Any, operator: Any, name: str) -> dict[str, Any]:
    kind, wanted = OPTIONS[name]
    if operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, kind):
        raise ValueError(f"a {name} has no {kind}")
    table, held = operator.BuiltinOptions(), getattr(tflite, kind)()
    held.Init(table.Bytes, table.Pos)
    options = {option: getattr(held, option)() for option in wanted}
    for option, names in ("Padding", tflite.Padding), ("FusedActivationFunction", tflite.ActivationFunctionType):
        if option in options:
            options[option] = _names(names)[options[option]]
    return options


def _vector(table: Any, name: str) -> Array:
    """Return a vector of numbers where it stands in the file, without a copy; an empty one where it is left out."""
    found: Array = np.zeros(0, np.uint8) if getattr(table, f"{name}IsNone")() else getattr(table, f"{name}AsNumpy")()
    return found


def _names(kinds: Any) -> dict[int, str]:
    """Return the names of an enumeration by their numbers."""
    return {number: name for name, number in vars(kinds).items() if isinstance(number, int)}


def _at_most(what: str, count: int, most: int) -> None:
    if count > most:
        raise ValueError(f"it asks for {count} {what}, and not for at most {most}")


# -- from the graph to the network -------------------------------------------------------------------------------------


def _network(graph: Graph, size: int, dtype: npt.DTypeLike) -> Network:
    """Return the network of a graph from a file of `size` bytes."""
    chain = _chain(graph)
    convolutions = [op for op in chain if op.name in CONVOLUTIONS]
    width, classes, channels, shapes = _sizes(graph, convolutions)
    # All is checked before anything is built, so that what does not fit takes neither time nor memory.
    constants = []
    for op, shape in zip(convolutions, shapes, strict=True):
        outputs = shape[3] if op.name == "DEPTHWISE_CONV_2D" else shape[0]
        constants += [_constant(graph, op.constant, shape), _constant(graph, op.bias, (outputs,))]
    if sum(tensor.data.size for tensor in constants) > size:
        raise ValueError("some of its weights have the same data")
    _check_windows(graph, chain, convolutions[:-1])
    _check_end(graph, chain[chain.index(convolutions[-2]) + 1 :])
    preprocessing = _preprocessing(graph.tensors[graph.input], channels)
    options: dict[str, Any] = {"activation": _activation(graph, convolutions[:-1]), "padding": "same", "dtype": dtype}
    net = fold_batch_norm(MobileNetV1(width=width, num_classes=classes, in_channels=channels, **options))
    net.preprocessing = preprocessing
    net.load_state_dict(dict(zip(net.parameters(), map(_turned, constants), strict=True)))
    return net


def _chain(graph: Graph) -> list[Operator]:
    """Return the operators from input to output: MobileNet V1's, each going on where the one before it ends."""
    at, chain = graph.input, []
    for number, op in enumerate(graph.operators):
        if op.name == "DEQUANTIZE" and graph.tensors[op.input].data.size:
            graph.tensors[op.output] = graph.tensors[op.input]  # a weight in float16
            continue
        if op.name in SHAPES:
            continue
        if op.input != at:
            raise ValueError(f"its operator {number}, {op.name}, does not go on where the one before it ends")
        at = op.output
        chain.append(op)
    names = "".join(f"{op.name} " for op in chain)
    if not OPERATORS.fullmatch(names) or at != graph.output:
        raise ValueError(f"its operators are not those of MobileNet V1: {names}")
    return chain


def _sizes(graph: Graph, convolutions: list[Operator]) -> tuple[float, int, int, list[tuple[int, ...]]]:
    """Return width, classes, channels of an image, and the shape that each weight must have with these."""
    stem, last, classifier = (graph.tensors[convolutions[i].constant].shape for i in (0, -2, -1))
    if (len(stem), len(last)) != (4, 4) or len(classifier) not in (2, 4):
        raise ValueError(f"its first and its last two weights have the shapes {stem}, {last} and {classifier}")
    width = last[0] / BODY[-1][0]
    thin = channels_of(width, BODY)
    blocks = [shape for a, b in pairwise(thin) for shape in ((1, 3, 3, a), (b, 1, 1, a))]
    end = classifier[0], *(1, 1)[: len(classifier) - 2], thin[-1]
    return width, classifier[0], stem[3], [(thin[0], 3, 3, stem[3]), *blocks, end]


def _constant(graph: Graph, number: int, shape: tuple[int, ...]) -> Tensor:
    """Return a constant, which must have this shape and stand for finite numbers."""
    if number < 0:
        raise ValueError(f"a tensor of the shape {shape} is missing")
    tensor = graph.tensors[number]
    what = f"its tensor {number}, {tensor.kind} of the shape {tensor.shape},"
    if tensor.shape != shape:
        raise ValueError(f"{what} must have the shape {shape} to go with the others")
    if tensor.kind not in DTYPES:
        raise ValueError(f"{what} must be one of {', '.join(DTYPES)}")
    if tensor.data.size != math.prod(shape) * np.dtype(DTYPES[tensor.kind]).itemsize:
        raise ValueError(f"{what} has {tensor.data.size} bytes of data")
    if tensor.kind in FLOATS:
        if not np.isfinite(tensor.data.view(DTYPES[tensor.kind])).all():
            raise ValueError(f"{what} holds NaN or infinity")
        return tensor
    several = shape[tensor.axis] if 0 <= tensor.axis < len(shape) else 1
    if tensor.scale.size not in (1, several) or tensor.zero.size not in (0, tensor.scale.size):
        raise ValueError(f"{what} has {tensor.scale.size} scales and {tensor.zero.size} zero points")
    least, most = RANGES.get(tensor.kind, (0, 0))
    known = ((tensor.scale > 0) & (tensor.scale < MOST_SCALE)).all()
    if not known or not ((tensor.zero >= least) & (tensor.zero <= most)).all():
        raise ValueError(f"{what} has a scale or a zero point that is out of its range")
    return tensor


def _real(tensor: Tensor) -> Array:
    """Return the numbers that a constant stands for, in float64: equation (1)."""
    values: Array = tensor.data.view(DTYPES[tensor.kind]).reshape(tensor.shape).astype(np.float64)
    if tensor.kind not in FLOATS:
        along = [1] * values.ndim
        if tensor.scale.size > 1:
            along[tensor.axis] = -1
        zero = tensor.zero if tensor.zero.size else np.zeros_like(tensor.scale)
        values = (values - zero.reshape(along)) * tensor.scale.astype(np.float64).reshape(along)
    return values


def _turned(tensor: Tensor) -> Array:
    """Return the numbers that a constant stands for, with their axes as npnets has them."""
    values = _real(tensor)
    if values.ndim == 1:
        return values
    if values.shape[:-1] == (1, 3, 3):  # (1, KH, KW, M)
        return values.reshape(values.shape[1:])
    if values.shape[1:-1] == (3, 3):  # (N, KH, KW, M)
        return values.transpose(1, 2, 3, 0)
    return values.reshape(len(values), -1).T  # (N, 1, 1, M) or (N, M)


def _check_windows(graph: Graph, chain: list[Operator], convolutions: list[Operator]) -> None:
    """Refuse other strides, dilations and paddings than MobileNet's."""
    pads = {op.output: op for op in chain if op.name == "PAD"}
    strides = [2, *(one for _, stride in BODY for one in (stride, 1))]
    for number, (op, stride) in enumerate(zip(convolutions, strides, strict=True)):
        window = tuple(op.options[name] for name in WINDOW)
        if window != (stride, stride, 1, 1):
            raise ValueError(f"its convolution {number} has the strides and dilations {window}, not {stride} and 1")
        if op.input in pads:
            pad = pads[op.input]
            odd = any(side % 2 for side in graph.tensors[pad.input].shape[1:3])
            known = graph.tensors[pad.constant].data.tobytes() == PADDINGS
            same = known and stride == 2 and not odd and op.options["Padding"] == "VALID"
        else:
            same = op.options["Padding"] == "SAME" or graph.tensors[op.constant].shape[1:3] == (1, 1)
        if not same:
            raise ValueError(f"its convolution {number} has not the padding SAME")


def _check_end(graph: Graph, end: list[Operator]) -> None:
    """Refuse a pool that is not the mean of all pixels, and options that npnets does not have."""
    pool = end[0]
    if pool.name == "MEAN":
        whole = graph.tensors[pool.constant].data.tobytes() == AXES
    else:
        sides = pool.options["FilterHeight"], pool.options["FilterWidth"]
        whole = graph.tensors[pool.input].shape[1:3] == sides
    if not whole:
        raise ValueError("its pool is not the mean of all pixels")
    for op in end:
        for name, known in ("FusedActivationFunction", "NONE"), ("WeightsFormat", 0), ("Beta", 1.0):
            if op.options.get(name, known) != known:
                raise ValueError(f"its {op.name} has {name} {op.options[name]}, and not {known}")


def _activation(graph: Graph, convolutions: list[Operator]) -> str:
    """Return the activation of all convolutions."""
    found = {_clamped(op.options["FusedActivationFunction"], graph.tensors[op.output]) for op in convolutions}
    if found not in ({"RELU"}, {"RELU6"}):
        raise ValueError(f"its convolutions must all have the activation RELU, or RELU6: {', '.join(sorted(found))}")
    return found.pop().lower()


def _clamped(activation: str, out: Tensor) -> str:
    """Return what an activation and the range of a quantised tensor behind it come to."""
    if out.kind not in RANGES or (out.scale.size, out.zero.size) != (1, 1):
        return activation
    scale, zero = float(out.scale[0]), int(out.zero[0])
    low, high = (scale * (q - zero) for q in RANGES[out.kind])
    if low != 0 or activation not in ("NONE", "RELU"):
        return activation
    return "RELU6" if abs(high - 6) <= scale else "RELU"


def _preprocessing(images: Tensor, channels: int) -> Preprocessing:
    """Return what makes of a byte what the input's numbers stand for."""
    if len(images.shape) != 4:
        raise ValueError(f"its input has the shape {images.shape}, and not (B, H, W, C)")
    mean, std = 0.5, 0.5
    if images.kind in RANGES:
        if (images.scale.size, images.zero.size) != (1, 1) or not 0 < images.scale[0] < MOST_SCALE:
            raise ValueError("its input is quantised, and has not one scale and one zero point")
        # The byte p is q minus the least q that there is, and stands for S (q - Z).
        mean, std = (int(images.zero[0]) - RANGES[images.kind][0]) / 255, 1 / (255 * float(images.scale[0]))
    elif images.kind != "FLOAT32":
        raise ValueError(f"its input is {images.kind}, and not FLOAT32, UINT8 or INT8")
    side = images.shape[1] if images.shape[1] == images.shape[2] > 1 else None
    return Preprocessing(mean=(mean,) * channels, std=(std,) * channels, side=side)
