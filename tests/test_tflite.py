"""TFLite: the network of a file is that of LiteRT, layer by layer; files of all kinds, and of none."""

import contextlib
import functools
import json
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st
from network_cases import assert_near
from PIL import Image
from shared_data import shared
from tflite_files import File, folded, mobilenet
from uninstalled import uninstall

import npnets
from npnets._config import IMPLEMENTATIONS
from npnets.layers import GlobalAveragePool
from npnets.preprocessing import Preprocessing
from npnets.weights import tflite
from npnets.weights.tflite import load

QUANTISED = "mobilenet_v1_0.25_128_quant.tflite"

PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


@pytest.fixture(autouse=True)
def _numpy():
    with npnets.use("numpy"):
        yield


@functools.cache
def written(kind="float32", side=32, width=0.25, **options):
    """Return the bytes of a file, and the state that it holds."""
    file, state = mobilenet(folded(width), side, kind, **options)
    return file.content(), state


def loaded(folder, content, dtype=np.float64):
    path = folder / "some.tflite"
    path.write_bytes(content)
    return load(path, dtype)


def interpreter(content, *, keep=False):
    """Return LiteRT with a file; it can keep the tensors between its operators, without its fastest kernels."""
    kept = {"experimental_op_resolver_type": OpResolverType.BUILTIN_REF, "experimental_preserve_all_tensors": True}
    made = Interpreter(model_content=content, num_threads=1, **(kept if keep else {}))
    made.allocate_tensors()
    return made


def inputs(net, pixels, kind):
    """Return the input of LiteRT for uint8 pixels."""
    if kind == "uint8":
        return pixels
    return (pixels ^ 0x80).view(np.int8) if kind == "int8" else net.preprocess(pixels).astype(np.float32)


def softmax(logits):
    exps = np.exp(logits - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)


# -- the real file -----------------------------------------------------------------------------------------------------


@functools.cache
def photographs():
    """Return the five photographs at 128 x 128, and LiteRT's probabilities for them."""
    with np.load(shared("photos_224_ref.npz"), allow_pickle=False) as held:
        size, filter_ = (128, 128), Image.Resampling.BILINEAR
        images = np.stack([np.asarray(Image.fromarray(image).resize(size, filter_)) for image in held["x"]])
    made, probabilities = interpreter(shared(QUANTISED).read_bytes()), []
    for image in images:
        made.set_tensor(made.get_input_details()[0]["index"], image[None])
        made.invoke()
        probabilities.append(made.get_tensor(made.get_output_details()[0]["index"])[0] / 256)
    return images, np.array(probabilities)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", [*IMPLEMENTATIONS, "compiled"])
def test_photographs(way, dtype):
    images, expected = photographs()
    net = load(shared(QUANTISED), dtype)
    x = net.preprocess(images)
    if way == "compiled":
        logits = npnets.compile(net)(x)
    else:
        with npnets.use(way):
            logits = net(x)
    probabilities = softmax(logits)
    assert (probabilities.argmax(1) == expected.argmax(1)).all()
    assert np.abs(probabilities - expected).max() <= 0.06


def test_what_the_real_file_is():
    net = load(shared(QUANTISED))
    assert (net.dtype, net.in_channels, net.training) == (np.float32, 3, False)
    assert net.children["classifier"].params["weight"].shape == (256, 1001)
    assert net.children["block13"].children["pointwise"].params["weight"].shape == (256, 256)
    assert net.children["stem"].children["activation"].kind == "relu6"
    assert net.preprocessing.side == 128
    pixels = np.repeat(PIXELS, 3, axis=3)
    expected = (pixels.astype(np.float64) - 128) / 128
    assert np.abs(net.preprocessing(pixels, np.float64) - expected).max() < 1e-15


# -- layer by layer ----------------------------------------------------------------------------------------------------


def assert_layers_as_litert(net, content, pixels, kind):
    """Feed each layer what LiteRT feeds its own, and compare the outputs: within a step of LiteRT's whole numbers.

    It rounds the sum twice, to whole numbers of some bits more and of 8, by half a step each at most.
    """
    made = interpreter(content, keep=True)
    details = {tensor["index"]: tensor for tensor in made.get_tensor_details()}
    made.set_tensor(made.get_input_details()[0]["index"], inputs(net, pixels, kind))
    made.invoke()

    def real(index):
        scale, zero = details[index]["quantization"]
        return scale * (made.get_tensor(index).astype(np.float64) - zero), scale

    operators = [op for op in made._get_ops_details() if op["op_name"].endswith(("CONV_2D", "AVERAGE_POOL_2D"))]
    layers = [layer for _, layer in net.layers() if "weight" in layer.params or isinstance(layer, GlobalAveragePool)]
    assert len(operators) == len(layers) == 29
    for number, (op, layer) in enumerate(zip(operators, layers, strict=True)):
        x, _ = real(op["inputs"][0])
        expected, scale = real(op["outputs"][0])
        out = layer.forward(x.reshape(1, -1) if number == 28 else x)
        if number < 27:
            out = net.children["stem"].children["activation"].forward(out)
        assert expected.std() > scale  # something to see
        assert np.abs(out.reshape(expected.shape) - expected).max() <= scale, op["op_name"]


def test_each_layer_of_the_real_file():
    images, _ = photographs()
    content = shared(QUANTISED).read_bytes()
    net = load(shared(QUANTISED), np.float64)
    for image in images:
        assert_layers_as_litert(net, content, image[None], "uint8")


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_each_layer_of_quantised_files(kind, tmp_path):
    content, _ = written(kind, 64, logits_scale=0.03)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    assert_layers_as_litert(loaded(tmp_path, content), content, pixels, kind)


# -- files of all kinds ------------------------------------------------------------------------------------------------

OPTIONS = [{}, {"pads": True, "batches": True}, {"mean": True}, {"linear": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["float32", "float16", "uint8", "int8"])
def test_the_state_is_that_of_the_file(kind, options, tmp_path):
    """To the bit in float64, and so are the logits; in float32 rounded once."""
    content, state = written(kind, **options)
    net = loaded(tmp_path, content)
    assert list(net.state_dict()) == list(state)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name], name)
    for name, value in loaded(tmp_path, content, np.float32).state_dict().items():
        np.testing.assert_array_equal(value, state[name].astype(np.float32), name)
    written_from = folded(0.25)
    written_from.load_state_dict(state)
    x = net.preprocess(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8))
    np.testing.assert_array_equal(net(x), written_from(x))


SIZES = [(0.25, 32), (0.25, 65), (0.35, 48), (0.5, 96), (1.0, 32)]


@pytest.mark.parametrize(("width", "side"), SIZES)
def test_width_and_size(width, side, tmp_path):
    """Logits as LiteRT's, and the network that was written: as test_networks allows for float32."""
    content, _ = written("float32", side, width)
    net, made = loaded(tmp_path, content), interpreter(content, keep=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    made.set_tensor(made.get_input_details()[0]["index"], inputs(net, pixels, "float32"))
    made.invoke()
    logits = made.get_tensor(made._get_ops_details()[-1]["inputs"][0])
    expected = folded(width)(net.preprocess(pixels))
    assert net.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, side=side)
    assert_near(net(net.preprocess(pixels)), expected, 1e-6)  # of weights that float32 has rounded
    assert_near(logits.astype(np.float64), expected, 1e-4)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["float32", "float16", "uint8", "int8"])
def test_litert_runs_them(kind, options, tmp_path):
    """What the tests write are such files: LiteRT's probabilities are the network's, a quantised one's nearly."""
    content, _ = written(kind, logits_scale=0.03, **options)
    net, made = loaded(tmp_path, content), interpreter(content)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    made.set_tensor(made.get_input_details()[0]["index"], inputs(net, pixels, kind))
    made.invoke()
    out = made.get_output_details()[0]
    scale, zero = out["quantization"] if "int" in kind else (1, 0)
    probabilities = scale * (made.get_tensor(out["index"]).astype(np.float64) - zero)
    assert np.abs(probabilities - softmax(net(net.preprocess(pixels)))).max() < (0.06 if "int" in kind else 1e-5)


def test_grey_images(tmp_path):
    net = folded(in_channels=1)
    file, _ = mobilenet(net, 32, "uint8")
    found = loaded(tmp_path, file.content())
    assert found.in_channels == 1
    assert found.preprocessing.mean == (128 / 255,)


def test_preprocessing(tmp_path):
    """A byte stands for S (q - Z), be it stored as uint8 or, 128 less, as int8."""
    pixels = np.repeat(PIXELS, 3, axis=3)
    for kind in "uint8", "int8":
        for zero in 0, 128, 255:
            file, _ = mobilenet(folded(), 32, kind)
            least = -128 if kind == "int8" else 0
            file.tensors[file.inputs[0]]["scale"] = np.array([0.25], np.float32)
            file.tensors[file.inputs[0]]["zero"] = np.array([zero + least])
            found = loaded(tmp_path, file.content()).preprocessing
            assert np.abs(found(pixels, np.float64) - 0.25 * (pixels.astype(np.float64) - zero)).max() < 1e-13
    file, _ = mobilenet(folded(), 32)
    file.tensors[file.inputs[0]]["shape"] = [1, 32, 64, 3]
    assert loaded(tmp_path, file.content()).preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("kind", "activation", "top", "expected"),
    [
        ("float32", "RELU6", 6, "relu6"), ("float32", "RELU", 6, "relu"), ("uint8", "RELU6", 6, "relu6"),
        ("uint8", "RELU6", 3, "relu6"), ("uint8", "NONE", 6, "relu6"), ("int8", "NONE", 6, "relu6"),
        ("uint8", "RELU", 6, "relu6"), ("uint8", "RELU", 11, "relu"), ("int8", "NONE", 11, "relu"),
    ],
)  # fmt: skip
def test_activation(kind, activation, top, expected, tmp_path):
    """That of the file, or what the outputs' range comes to."""
    file, _ = mobilenet(folded(), 32, kind, activation=activation)
    for op in file.operators:
        if op["name"].endswith("CONV_2D") and kind != "float32":
            file.tensors[op["outputs"][0]]["scale"] = np.array([top / 255], np.float32)
    net = loaded(tmp_path, file.content())
    kinds = {layer.kind for _, layer in net.layers() if hasattr(layer, "kind")}
    assert kinds == {expected}


# -- files that are wrong ----------------------------------------------------------------------------------------------


def file(change, as_="float32", **options):
    """Return a function that gives the bytes of a right file with a change."""

    def content():
        made, _ = mobilenet(folded(), 32, as_, **options)
        change(made)
        return made.content()

    return content


def tensor(operator, place, as_="float32", fill=None, **values):
    """Change a tensor of an operator: 1 is the weight, 2 the bias; `fill` is what its scales and zero points become."""

    def change(made):
        found = made.tensors[made.operators[operator]["inputs"][place]]
        found.update(values)
        for name, value in (fill or {}).items():
            found[name].fill(value)

    return file(change, as_)


def holds(values, operator, place=1, **options):
    """Put other values into a constant."""

    def change(made):
        found = made.tensors[made.operators[operator]["inputs"][place]]
        found.update(data=values.tobytes(), shape=values.shape)

    return file(change, **options)


def option(operator, **values):
    return file(lambda made: made.operators[operator]["options"].update(values))


def image(as_="float32", **values):
    """Change the input."""
    return file(lambda made: made.tensors[made.inputs[0]].update(values), as_)


def every_activation(made):
    for operator in made.operators[:27]:
        operator["options"]["FusedActivationFunction"] = 4


def without_a_block(made):
    made.operators[5]["inputs"][0] = made.operators[3]["inputs"][0]
    del made.operators[3:5]


def shared_data(made):
    """Five pointwise weights are one and the same."""
    weights = [made.operators[number]["inputs"][1] for number in (14, 16, 18, 20, 22)]
    for number in weights[1:]:
        made.tensors[number].update(data=b"", buffer=weights[0])


def another_network():
    made = File()
    one, two, three = (made.tensor("FLOAT32", [1, 8, 8, 3]) for _ in range(3))
    weight, bias = made.constant(np.zeros((3, 1, 1, 3), np.float32)), made.constant(np.zeros(3, np.float32))
    made.operator("CONV_2D", [one, weight, bias], two, StrideH=1, StrideW=1, DilationHFactor=1, DilationWFactor=1)
    made.operator("ADD", [two, one], three)
    made.inputs, made.outputs = [one], [three]
    return made.content()


def right():
    return written()[0]


NOWHERE = "leads nowhere|asks for"
NAN, FLOAT32 = np.float32(np.nan), np.float32

WRONG = {
    "empty": (lambda: b"", "TFL3"),
    "a header alone": (lambda: right()[:8], NOWHERE),
    "half of a file": (lambda: right()[: len(right()) // 2], NOWHERE),
    "the end missing": (lambda: right()[:-2000], NOWHERE),
    "random bytes": (lambda: np.random.default_rng(8).bytes(100_000), "TFL3"),
    "random bytes with its name": (lambda: right()[:8] + np.random.default_rng(8).bytes(100_000), NOWHERE),
    "offsets as large as can be": (lambda: right()[:8] + b"\xff" * 50_000, NOWHERE),
    "zeros": (lambda: right()[:8] + bytes(50_000), NOWHERE),
    "a large file": (lambda: right() + bytes(tflite.LARGEST), "more than 64 MB"),
    "another network": (another_network, "operators are not those of MobileNet V1: CONV_2D ADD"),
    "no operators": (file(lambda made: made.operators.clear()), "operators are not those"),
    "a block left out": (file(without_a_block), "operators are not those"),
    "operators exchanged": (file(lambda made: made.operators.insert(3, made.operators.pop(4))), "does not go on where"),
    "another output": (file(lambda made: made.outputs.__setitem__(0, 5)), "operators are not those"),
    "a tensor too many": (file(lambda made: made.inputs.__setitem__(0, 900)), "tensor that is not there"),
    "no bias": (file(lambda made: made.operators[4]["inputs"].pop()), r"a tensor of the shape \(32,\) is missing"),
    "a wrong shape": (
        holds(np.zeros((17, 1, 1, 8), FLOAT32), 2), r"\(17, 1, 1, 8\), must have the shape \(16, 1, 1, 8\)",
    ),
    "millions of channels": (tensor(26, 1, shape=(2**30, 1, 1, 256)), "must have the shape"),
    "many axes": (tensor(0, 1, shape=(1,) * 9), "9 axes of a tensor"),
    "a weight of two axes": (tensor(0, 1, shape=(8, 27)), "its first and its last two weights"),
    "less data than its shape": (tensor(0, 1, data=bytes(860)), "has 860 bytes of data"),
    "no data": (tensor(0, 1, data=b""), "has 0 bytes of data"),
    "weights that share data": (file(shared_data), "have the same data"),
    "NaN": (holds(np.full((1, 3, 3, 16), NAN), 3), "holds NaN or infinity"),
    "infinity in a bias": (holds(np.full(8, FLOAT32(np.inf)), 0, 2), "holds NaN or infinity"),
    "complex weights": (tensor(0, 1, kind="COMPLEX64"), "must be one of FLOAT32"),
    "two scales": (tensor(0, 1, "uint8", scale=np.ones(2, FLOAT32), zero=np.zeros(2, int)), "has 2 scales"),
    "no scale": (tensor(0, 1, "uint8", scale=np.zeros(0, FLOAT32)), "has 0 scales"),
    "a negative scale": (tensor(0, 1, "uint8", fill={"scale": -1}), "out of its range"),
    "a scale of NaN": (tensor(0, 1, "int8", fill={"scale": NAN}), "out of its range"),
    "a scale beyond all": (tensor(0, 1, "int8", fill={"scale": 3e38}), "out of its range"),
    "a zero point beyond all": (tensor(0, 1, "uint8", fill={"zero": 2**60}), "out of its range"),
    "scales along another axis": (tensor(0, 1, "int8", axis=3), "has 8 scales"),
    "another stride": (option(3, StrideH=1), r"convolution 3 has the strides and dilations \(1, 2, 1, 1\), not 2"),
    "a dilation": (option(5, DilationWFactor=2), r"convolution 5 has the strides and dilations \(1, 1, 1, 2\)"),
    "another padding": (option(1, Padding=1), "convolution 1 has not the padding SAME"),
    "a padding of all sides": (holds(np.ones((4, 2), np.int32), 0, pads=True), "convolution 0 has not the padding"),
    "another activation": (file(every_activation), "must all have the activation RELU, or RELU6: TANH"),
    "two activations": (option(0, FusedActivationFunction=1), "must all have .*: RELU, RELU6"),
    "an activation of logits": (option(28, FusedActivationFunction=3), "FusedActivationFunction RELU6, and not NONE"),
    "no such activation": (option(28, FusedActivationFunction=77), NOWHERE),
    "a pool of a part": (option(27, FilterHeight=2), "its pool is not the mean of all pixels"),
    "a mean of channels": (holds(np.array([3], np.int32), 27, mean=True), "its pool is not the mean of all pixels"),
    "another softmax": (option(30, Beta=2.0), r"SOFTMAX has Beta 2\.0, and not 1\.0"),
    "an input of whole numbers": (image(kind="INT32"), "its input is INT32"),
    "an input without a scale": (image("uint8", scale=np.zeros(0, FLOAT32)), "not one scale"),
    "an input of two axes": (image(shape=[1, 3072]), r"its input has the shape \(1, 3072\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(name, tmp_path):
    content, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as caught:
        loaded(tmp_path, content())
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'some.tflite'} is not MobileNet V1 as a TFLite file, or a damaged one: ")
    assert "\n" not in text
    assert len(text) < 500


REFUSE = """
import json, sys, time
from npnets.weights.tflite import load
seconds = []
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        load(path)
    except ValueError:
        seconds.append(time.process_time() - start)
memory = 0
if sys.platform == "linux":
    memory = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(json.dumps([seconds, memory]))
"""


def test_wrong_files_take_no_time_and_no_memory(tmp_path):
    """One after the other in one process: a second each, and 256 MB at the peak."""
    for number, (content, _) in enumerate(WRONG.values()):
        (tmp_path / f"{number}.tflite").write_bytes(content())
    command = [sys.executable, "-c", REFUSE, *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    seconds, megabytes = json.loads(done.stdout)
    assert len(seconds) == len(WRONG)
    assert max(seconds) < 1
    assert megabytes < 256


@given(
    st.sampled_from(["float32", "int8"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=9),
)
def test_any_bytes_changed(tmp_path_factory, kind, changes):
    """What is not an error has all of its numbers, whatever they are."""
    content = bytearray(written(kind)[0])
    for where, values in changes:
        # Most of a file are weights: half of the changes go where the graph stands, at its end.
        at = int(where * 2 * (len(content) - 8)) if where < 0.5 else len(content) - 8 - int((where - 0.5) * 40_000)
        content[at : at + len(values)] = values
    with contextlib.suppress(ValueError):
        net = loaded(tmp_path_factory.mktemp("changed"), bytes(content), np.float32)
        assert all(np.isfinite(value).all() for value in net.state_dict().values())


def test_other_errors(tmp_path, monkeypatch):
    path = tmp_path / "some.tflite"
    with pytest.raises(FileNotFoundError):
        load(path)
    path.write_bytes(right())
    with pytest.raises(IsADirectoryError if sys.platform != "win32" else PermissionError):
        load(tmp_path)
    with pytest.raises(TypeError, match=r"^`dtype` \(=<class 'numpy.float16'>\) must be float32 or float64$"):
        load(path, np.float16)
    uninstall(monkeypatch, "tflite")
    with pytest.raises(ModuleNotFoundError) as caught:
        load(path)
    assert str(caught.value) == (
        'reading a TFLite file needs `tflite`: pip install "npnets[weights]" (in a clone: pip install ".[weights]")'
    )
