"""MobileNet V1 as TFLite files, written with the builders of the package `tflite`."""

import flatbuffers
import numpy as np
import tflite

import npnets
from npnets.models.mobilenet_v1 import BODY

KINDS = {"float32": "FLOAT32", "float16": "FLOAT16", "int32": "INT32", "uint8": "UINT8", "int8": "INT8"}
LEAST = {"uint8": 0, "int8": -128}

# Since when an operator knows all that is written here.
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "AVERAGE_POOL_2D": 2, "MEAN": 2, "SOFTMAX": 2, "FULLY_CONNECTED": 4}

OPTIONS = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "AVERAGE_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions", "SOFTMAX": "SoftmaxOptions", "FULLY_CONNECTED": "FullyConnectedOptions",
    "SHAPE": "ShapeOptions", "STRIDED_SLICE": "StridedSliceOptions", "PACK": "PackOptions", "PAD": "PadOptions",
    "ADD": "AddOptions", "RESHAPE": "ReshapeOptions", "DEQUANTIZE": "DequantizeOptions",
}  # fmt: skip


class File:
    """A graph of tensors and operators, lists of what may be changed before `content` is asked for."""

    def __init__(self):
        self.tensors, self.operators, self.inputs, self.outputs = [], [], [], []

    def tensor(self, kind, shape, data=b"", scale=(), zero=(), axis=0):
        """Add a tensor, and return its number."""
        scale, zero = np.array(scale, np.float32), np.array(zero, np.int64)
        self.tensors.append({"kind": kind, "shape": shape, "data": data, "scale": scale, "zero": zero, "axis": axis})
        return len(self.tensors) - 1

    def constant(self, values, scale=(), zero=(), axis=0):
        """Add a tensor that holds these values."""
        return self.tensor(KINDS[str(values.dtype)], values.shape, values.tobytes(), scale, zero, axis)

    def operator(self, name, inputs, output, **options):
        """Add an operator, and return the number of its output."""
        self.operators.append({"name": name, "inputs": inputs, "outputs": [output], "options": options})
        return output

    def content(self):
        """Return the bytes of the file."""
        b = flatbuffers.Builder(0)
        names = sorted({op["name"] for op in self.operators})
        tensors = [self._tensor(b, number, tensor) for number, tensor in enumerate(self.tensors)]
        operators = [self._operator(b, names.index(op["name"]), **op) for op in self.operators]
        fields = {
            "Tensors": _offsets(b, "SubGraph", "Tensors", tensors),
            "Operators": _offsets(b, "SubGraph", "Operators", operators),
            "Inputs": b.CreateNumpyVector(np.array(self.inputs, np.int32)),
            "Outputs": b.CreateNumpyVector(np.array(self.outputs, np.int32)),
        }
        graph = _table(b, "SubGraph", **fields)
        codes = [
            _table(b, "OperatorCode", DeprecatedBuiltinCode=code, BuiltinCode=code, Version=VERSIONS.get(name, 1))
            for name in names
            for code in [getattr(tflite.BuiltinOperator, name)]
        ]
        buffers = [_table(b, "Buffer")]
        for tensor in self.tensors:
            data = _bytes(b, tensor["data"]) if tensor["data"] else None
            buffers.append(_table(b, "Buffer", **({} if data is None else {"Data": data})))
        fields = {
            "Version": 3,
            "Subgraphs": _offsets(b, "Model", "Subgraphs", [graph]),
            "OperatorCodes": _offsets(b, "Model", "OperatorCodes", codes),
            "Buffers": _offsets(b, "Model", "Buffers", buffers),
        }
        b.Finish(_table(b, "Model", **fields), b"TFL3")
        return bytes(b.Output())

    def _tensor(self, b, number, tensor):
        fields = {
            "Shape": b.CreateNumpyVector(np.array(tensor["shape"], np.int32)),
            "Name": b.CreateString(f"tensor {number}"),
            "Type": getattr(tflite.TensorType, tensor["kind"]),
            "Buffer": tensor.get("buffer", number) + 1,
        }
        if tensor["scale"].size:
            scale, zero = b.CreateNumpyVector(tensor["scale"]), b.CreateNumpyVector(tensor["zero"])
            fields["Quantization"] = _table(
                b, "QuantizationParameters", Scale=scale, ZeroPoint=zero, QuantizedDimension=tensor["axis"]
            )
        return _table(b, "Tensor", **fields)

    def _operator(self, b, code, name, inputs, outputs, options):
        kind = OPTIONS[name]
        fields = {
            "OpcodeIndex": code,
            "Inputs": b.CreateNumpyVector(np.array(inputs, np.int32)),
            "Outputs": b.CreateNumpyVector(np.array(outputs, np.int32)),
            "BuiltinOptionsType": getattr(tflite.BuiltinOptions, kind),
            "BuiltinOptions": _table(b, kind, **options),
        }
        return _table(b, "Operator", **fields)


def _table(b, name, **fields):
    getattr(tflite, f"{name}Start")(b)
    for field, value in fields.items():
        getattr(tflite, f"{name}Add{field}")(b, value)
    return getattr(tflite, f"{name}End")(b)


def _offsets(b, table, field, offsets):
    getattr(tflite, f"{table}Start{field}Vector")(b, len(offsets))
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _bytes(b, data):
    """Write bytes that begin where kernels want them to, at a multiple of 16."""
    b.StartVector(1, len(data), 16)
    b.head = b.Head() - len(data)
    b.Bytes[b.Head() : b.Head() + len(data)] = data
    return b.EndVector()


# -- MobileNet V1 ------------------------------------------------------------------------------------------------------


def to_ohwi(weight):
    """Turn npnets' axes into TFLite's."""
    if weight.ndim == 4:
        return weight.transpose(3, 0, 1, 2)
    return weight[None] if weight.ndim == 3 else weight.T[:, None, None]


def mobilenet(
    net,
    side,
    kind="float32",
    *,
    activation="RELU6",
    pads=False,
    mean=False,
    linear=False,
    batches=False,
    logits_scale=0.1,
):
    """Return a folded MobileNet V1 as a `File`, and the state that it holds, which quantisation has rounded.

    Parameters
    ----------
    kind
        "float32", "float16" (weights, each with a DEQUANTIZE), "uint8" (a scale for each tensor), "int8" (one for each
        channel).
    activation
        That the file names: a quantised ReLU6 can be the range of the outputs alone.
    pads, mean, linear, batches
        Whether strides of 2 have a PAD before them; the pool is a MEAN; the classifier a FULLY_CONNECTED; the last
        shape is computed from the number of images.
    """
    file, state = File(), {}
    quantised = kind in LEAST
    least = LEAST.get(kind, 0)

    def flow(shape, scale=6 / 255, zero=least):
        if not quantised:
            return file.tensor("FLOAT32", shape)
        return file.tensor(KINDS[kind], shape, scale=[scale], zero=[zero])

    def weight(name, values, axis):
        if quantised:
            values, scale, zero = quantise(values, kind, axis)
            state[name] = (values - zero) * np.float64(scale)
            return file.constant(values, scale.ravel(), zero.ravel(), axis), scale.ravel()
        number = file.constant(values.astype(kind))
        state[name] = values.astype(kind).astype(np.float64)
        if kind == "float16":
            number = file.operator("DEQUANTIZE", [number], file.tensor("FLOAT32", values.shape))
        return number, None

    def bias(name, values, scale):
        if not quantised:
            state[name] = values.astype(np.float32).astype(np.float64)
            return file.constant(values.astype(np.float32))
        scale = (file.tensors[at]["scale"] * scale).astype(np.float32)
        rounded = np.rint(values / scale).astype(np.int32)
        state[name] = rounded * scale.astype(np.float64)
        return file.constant(rounded, scale, np.zeros(len(scale)))

    shape = [1, side, side, net.in_channels]
    at = flow(shape, 1 / 128, least + 128)
    file.inputs = [at]
    layers = [(name, layer) for name, layer in net.layers() if "weight" in layer.params]
    strides = [2, *(one for _, stride in BODY for one in (stride, 1)), 1]
    for (name, layer), stride in zip(layers, strides, strict=True):
        values = layer.params["weight"]
        depthwise, last = values.ndim == 3, name == "classifier"
        if last:
            pooled = flow([1, 1, 1, shape[3]])
            if mean:
                at = file.operator("MEAN", [at, file.constant(np.array([1, 2], np.int32))], pooled, KeepDims=True)
            else:
                window = {"FilterHeight": shape[1], "FilterWidth": shape[2], "StrideH": 2, "StrideW": 2, "Padding": 1}
                at = file.operator("AVERAGE_POOL_2D", [at], pooled, **window)
            shape = [1, 1, 1, shape[3]]
        padded = pads and stride == 2
        if padded:
            paddings = file.constant(np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.int32))
            source = file.tensors[at]
            shape = [1, shape[1] + 1, shape[2] + 1, shape[3]]
            at = file.operator(
                "PAD", [at, paddings], file.tensor(source["kind"], shape, b"", source["scale"], source["zero"])
            )
        turned = values.T if last and linear else to_ohwi(values)
        held, scale = weight(f"{name}.weight", turned, 3 if depthwise else 0)
        added = bias(f"{name}.bias", layer.params["bias"], scale)
        sides = [(one - 3) // 2 + 1 if padded else -(-one // stride) for one in shape[1:3]]
        shape = [1, *sides, values.shape[-1]]
        out = flow(shape, logits_scale, least + 128) if last else flow(shape)
        options = {"FusedActivationFunction": 0 if last else getattr(tflite.ActivationFunctionType, activation)}
        if last and linear:
            file.tensors[out]["shape"] = [1, shape[3]]
            at = file.operator("FULLY_CONNECTED", [at, held, added], out, **options)
            continue
        options |= {
            "StrideH": stride,
            "StrideW": stride,
            "Padding": int(padded),
            "DilationHFactor": 1,
            "DilationWFactor": 1,
        }
        if depthwise:
            options["DepthMultiplier"] = 1
        at = file.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [at, held, added], out, **options)
    if not linear:
        flat = file.constant(np.array([1, shape[3]], np.int32))
        if batches:
            whole = file.operator("SHAPE", [at], file.tensor("INT32", [4]), OutType=2)
            zero, one = (file.constant(np.array([value], np.int32)) for value in (0, 1))
            count = file.operator("STRIDED_SLICE", [whole, zero, one, one], file.tensor("INT32", []), ShrinkAxisMask=1)
            classes = file.constant(np.array(shape[3], np.int32))
            flat = file.operator("PACK", [count, classes], file.tensor("INT32", [2]), ValuesCount=2)
        at = file.operator("RESHAPE", [at, flat], flow([1, shape[3]], logits_scale, least + 128))
    file.outputs = [file.operator("SOFTMAX", [at], flow([1, shape[3]], 1 / 256, least), Beta=1.0)]
    for name, value in state.items():
        state[name] = from_ohwi(value, net.state_dict()[name])
    return file, state


def from_ohwi(value, like):
    if like.ndim == 4:
        return value.transpose(1, 2, 3, 0)
    return value.reshape(like.shape) if like.ndim != 2 else value.reshape(like.shape[::-1]).T


def quantise(values, kind, axis):
    """Return whole numbers, scale and zero point: for the whole of uint8, for each channel of int8."""
    if kind == "int8":
        others = tuple(one for one in range(values.ndim) if one != axis)
        scale = (np.abs(values).max(others, keepdims=True) / 127).astype(np.float32)
        zero = np.zeros(scale.shape, np.int64)
    else:
        low, high = min(values.min(), 0), max(values.max(), 0)
        scale = np.array((high - low) / 255, np.float32).reshape((1,) * values.ndim)
        zero = np.rint(-low / scale).astype(np.int64)
    least = LEAST[kind]
    return np.clip(np.rint(values / scale) + zero, least, least + 255).astype(kind), scale, zero


def folded(width=0.25, classes=11, seed=1, **options):
    """Return a folded network in float64 whose signals neither fade nor grow."""
    net = npnets.MobileNetV1(
        width=width, num_classes=classes, padding="same", activation="relu6", dtype=np.float64, **options
    )
    random = np.random.default_rng(seed)
    state = {}
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            state[name] = random.uniform(0.5, 2, value.shape)
        elif name.endswith("norm.weight"):
            state[name] = random.uniform(0.5, 1.5, value.shape)
        elif value.ndim == 1:
            state[name] = 0.3 * random.standard_normal(value.shape)
        else:
            fan_in = 9 if value.ndim == 3 else np.prod(value.shape[:-1])
            state[name] = np.sqrt(2 / fan_in) * random.standard_normal(value.shape)
    net.load_state_dict(state)
    return npnets.fold_batch_norm(net)
