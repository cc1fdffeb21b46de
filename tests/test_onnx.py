"""ONNX: other people's runtimes give npnets' logits for the file that `export` writes."""

import os

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from network_cases import CASES, STAGES, Case, assert_near
from uninstalled import uninstall

import npnets
from npnets.layers import Layer
from npnets.weights.layout import to_oihw
from npnets.weights.onnx import export, model

# As in test_networks: what float32 may lose in a network.
FLOAT32 = 1e-4

MORE_CASES = {
    **CASES,
    "shufflenet, other paddings": Case(
        "ShuffleNetV1", {**STAGES, "padding": ((1, 1), (1, 1)), "count_include_pad": False}, (33, 31)
    ),
    "mobilenet, two pairs": Case("MobileNetV1", {"width": 0.25, "padding": ((2, 0), (1, 3))}, (66, 57)),
    "mobilenet, a pair": Case("MobileNetV1", {"width": 0.25, "padding": (2, 1)}, (66, 57)),
    "mobilenet, valid": Case("MobileNetV1", {"rows": ((16, 1), (24, 2)), "padding": "valid"}, (33, 28)),
}


def run(graph, images, layout="NHWC"):
    """Return ONNX Runtime's logits for images (B, H, W, C)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    images = images.transpose(0, 3, 1, 2) if layout == "NCHW" else images
    return session.run(["logits"], {"images": np.ascontiguousarray(images, np.float32)})[0]


def logits_and_images(case):
    """Return the network in eval mode, its logits in float32, and the images."""
    net, images = case.numpy(np.float32).eval(), case.images().astype(np.float32)
    return net, net(images), images


@pytest.mark.parametrize("name", MORE_CASES)
def test_onnxruntime_gives_npnets_logits(name):
    net, logits, images = logits_and_images(MORE_CASES[name])
    for layout in "NHWC", "NCHW":
        proto = model(net, layout=layout)
        onnx.checker.check_model(proto, full_check=True)
        assert_near(run(proto.SerializeToString(), images, layout), logits, FLOAT32)


def test_each_option_is_in_the_graph():
    """With another value of any option the logits are further away than the comparison above allows."""
    case = CASES["shufflenet, same, padding counted"]
    _, logits, images = logits_and_images(case)
    for other in (
        {"padding": 1}, {"count_include_pad": False}, {"shortcut_pool": 2}, {"activation": "relu6"},
        {"activation": "leaky_relu"}, {"concat": "branch first"}, {"shuffle": "after"}, {"shuffle": None},
        {"shuffle_inverse": True}, {"bn_eps": 0.1},
    ):  # fmt: skip
        net = case._replace(options=case.options | other).numpy(np.float32).eval()
        with pytest.raises(AssertionError):
            assert_near(run(model(net).SerializeToString(), images), logits, FLOAT32)


@pytest.mark.parametrize("name", ["mobilenet, steep leak", "mobilenet, two pairs", "shufflenet, grey, leaky"])
def test_in_float64_by_the_reference_of_onnx(name):
    """The reference is NumPy: only the graph itself could differ. ONNX has slopes in float32, in which 1/4 is exact."""
    case = MORE_CASES[name]
    case = case._replace(options={**case.options, "negative_slope": 0.25})
    net, images = case.numpy().eval(), case.images()
    (logits,) = onnx.reference.ReferenceEvaluator(model(net)).run(None, {"images": images})
    assert logits.dtype == np.float64
    assert_near(logits, net(images))


def test_one_file_serves_all_sizes():
    net = CASES["shufflenet, half"].numpy(np.float32).eval()
    graph = model(net).SerializeToString()
    for shape in (1, 33, 33, 3), (5, 40, 71, 3), (2, 64, 32, 3):
        images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        assert_near(run(graph, images), net(images), FLOAT32)


def test_training_later_does_not_change_the_file():
    net, logits, images = logits_and_images(CASES["mobilenet, grey, own rows"])
    proto = model(net)
    npnets.train_step(net.train(), npnets.SGD(net, lr=0.1), images, np.arange(3))
    assert_near(run(proto.SerializeToString(), images), logits, FLOAT32)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_export_writes_the_model(tmp_path):
    net, logits, images = logits_and_images(CASES["mobilenet"])
    path = tmp_path / "mobilenet.onnx"
    path.write_text("something old")
    export(net, path)
    assert_near(run(str(path), images), logits, FLOAT32)
    assert os.listdir(tmp_path) == ["mobilenet.onnx"]
    proto = onnx.load(path)
    assert (proto.producer_name, proto.graph.name) == ("npnets", "MobileNetV1")
    held = sum(np.prod(one.dims) for one in proto.graph.initializer)
    assert held == sum(value.size for value in net.state_dict().values())
    assert {one.name for one in proto.graph.initializer} == net.state_dict().keys()
    export(net, str(path), layout="NCHW")
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 3, "height", "width"]


def test_errors(tmp_path):
    net = npnets.MobileNetV1(width=0.25)
    with pytest.raises(TypeError, match=r"^`net` must be a network, and is a str$"):
        export("mobilenet", tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"^`layout` \(='CHW'\) must be 'NHWC' or 'NCHW'$"):
        export(net, tmp_path / "a.onnx", layout="CHW")
    with pytest.raises(FileNotFoundError):
        export(net, tmp_path / "nowhere" / "a.onnx")
    net.children["block3"].children["own"] = Layer()
    with pytest.raises(
        TypeError, match=r"^`net` holds a Layer \(`block3.own`\), which has no counterpart in ONNX here$"
    ):
        export(net, tmp_path / "a.onnx")
    assert os.listdir(tmp_path) == []


def test_without_onnx(monkeypatch):
    uninstall(monkeypatch, "onnx")
    with pytest.raises(ModuleNotFoundError) as caught:
        model(npnets.MobileNetV1(width=0.25))
    assert str(caught.value) == (
        'the export to ONNX needs `onnx`: pip install "npnets[export]" (in a clone: pip install ".[export]")'
    )


def test_the_order_of_axes():
    """Each entry by its indices, as PyTorch's documentation names them."""
    conv, depthwise, pointwise = (np.random.default_rng(0).random(shape) for shape in ((2, 3, 4, 5), (2, 3, 4), (4, 5)))
    for i, j, m, n in np.ndindex(2, 3, 4, 5):
        assert to_oihw(conv)[n, m, i, j] == conv[i, j, m, n]
        assert to_oihw(depthwise)[m, 0, i, j] == depthwise[i, j, m]
        assert to_oihw(pointwise)[n, m, 0, 0] == pointwise[m, n]
    assert [to_oihw(a).shape for a in (conv, depthwise, pointwise)] == [(5, 4, 2, 3), (4, 1, 2, 3), (5, 4, 1, 1)]
    assert all(to_oihw(a).flags.c_contiguous for a in (conv, depthwise, pointwise))
