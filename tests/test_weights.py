"""Weights by the names of each source, npnets' own files, and what is said of those that do not fit."""

import json
import os
import re

import numpy as np
import pytest
import weight_files
from network_cases import CASES, random_state
from uninstalled import uninstall
from weight_files import renamed, to_hwio, to_oihw

import npnets
from npnets.data import Dataset, normalise
from npnets.models.geometry import arguments_of
from npnets.preprocessing import Preprocessing
from npnets.train.settings import Settings
from npnets.train.trainer import Trainer
from npnets.weights import NAMES, SOURCES, Report, from_pretrained, load_weights, match, save_weights
from npnets.weights.sources import IGNORED

pytestmark = pytest.mark.quick

TENSORFLOW = {"activation": "relu6", "padding": "same", "bn_eps": 1e-3}
CIFAR = {
    "stem_channels": 24, "stage_channels": (120, 240, 480), "num_classes": 10, "stem_stride": 1, "stem_pool": False,
    "stage_strides": (1, 2, 2), "shortcut_pool": 2, "concat": "branch first",
}  # fmt: skip
AUTHORS = {"shuffle": "after", "shuffle_inverse": True}

# source: network, its arguments, the names, the order of axes.
FILES = {
    "keras": ("MobileNetV1", {"width": 0.25, **TENSORFLOW}, weight_files.keras_names, to_hwio),
    "tf-slim": ("MobileNetV1", {"width": 0.5, "num_classes": 1001, **TENSORFLOW}, weight_files.slim_names, to_hwio),
    "timm": ("MobileNetV1", {"width": 0.25, "activation": "relu6"}, weight_files.timm_names, to_oihw),
    "pytorchcv": ("MobileNetV1", {"width": 0.75, "num_classes": 7}, weight_files.pytorchcv_mobilenet_names, to_oihw),
    "pytorchcv, shufflenet": (
        "ShuffleNetV1", {"groups": 8, "concat": "branch first"}, weight_files.pytorchcv_shufflenet_names, to_oihw,
    ),
    "megvii": ("ShuffleNetV1", {"scale": 0.5, **AUTHORS}, weight_files.megvii_names, to_oihw),
    "cifar10-shufflenet": ("ShuffleNetV1", CIFAR, weight_files.cifar_names, to_oihw),
}  # fmt: skip


def network(name, options, dtype=np.float32):
    """Return a network with random weights and running statistics, in eval mode."""
    net = getattr(npnets, name)(**options, dtype=dtype)
    net.load_state_dict(random_state(net, 2.0))
    return net.eval()


def file_of(source):
    """Return a network and the arrays that this source would hold of it."""
    name, options, names, turn = FILES[source]
    net = network(name, options)
    prefix = "MobilenetV1/" if source == "tf-slim" else ""
    return net, renamed(net, [prefix + one for one in names()], turn)


def same(a, b):
    """Return whether two networks have the same layers, options and bytes."""
    described = [describe_without_preprocessing(net) for net in (a, b)]
    state, other = a.state_dict(), b.state_dict()
    return (
        described[0] == described[1]
        and list(state) == list(other)
        and all(state[name].tobytes() == other[name].tobytes() for name in state)
    )


def describe_without_preprocessing(net):
    described = npnets.models.description.describe(net)
    return {name: described[name] for name in ("network", "arguments")}


def options_of(net):
    """What decides the function, and is not in the arrays: training's momentum aside."""
    arguments = describe_without_preprocessing(net)["arguments"]
    return {name: value for name, value in arguments.items() if name != "bn_momentum"}


def untold():
    """Names of npnets' own, outside of its files, say nothing of what the network does."""
    return pytest.warns(UserWarning, match="names of these arrays are npnets' own and do not tell what network they")


# -- by the names of each source ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", FILES)
def test_from_pretrained_builds_the_network_that_the_names_are_of(source):
    net, arrays = file_of(source)
    made = from_pretrained(arrays)
    assert type(made) is type(net)
    assert not made.training
    assert options_of(made) == options_of(net)
    state, expected = made.state_dict(), net.state_dict()
    assert list(state) == list(expected)
    assert all(state[name].tobytes() == expected[name].tobytes() for name in state)
    assert made.dtype == np.float32
    doubled = from_pretrained(arrays, dtype=np.float64)
    assert all((value == state[name]).all() for name, value in doubled.state_dict().items())


@pytest.mark.parametrize("source", FILES)
def test_load_weights_says_what_it_mapped(source):
    net, arrays = file_of(source)
    fresh = type(net)(**net.arguments)
    report = load_weights(fresh, arrays)
    assert same(fresh, net)
    assert report == Report(source.partition(",")[0], dict(zip(net.state_dict(), arrays, strict=True)), (), (), ())
    assert not report.by_order
    assert fresh.preprocessing == from_pretrained(arrays).preprocessing


def test_every_source_is_tested_and_documented():
    assert {name.partition(",")[0] for name in FILES} | {"npnets"} == set(NAMES)
    table = npnets.weights.__doc__.partition("Files\n")[0]
    for source in SOURCES:
        assert re.search(rf"^{re.escape(source.name)} +(both|{source.network.__name__})", table, re.MULTILINE)


def test_preprocessing_of_each_source():
    pixels = np.array([[0, 51, 255]], np.uint8).reshape(1, 1, 1, 3)
    expected = {
        "keras": [-1, -0.6, 1],
        "tf-slim": [-1, -0.6, 1],
        "timm": [-1, -0.6, 1],
        "pytorchcv": [-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225],
        "pytorchcv, shufflenet": [-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225],
        "megvii": [255, 51, 0],
        "cifar10-shufflenet": [
            -0.53129727 / 0.28938246, (0.2 - 0.5259391) / 0.28505746, (1 - 0.52069134) / 0.27971658,
        ],
    }  # fmt: skip
    for source, values in expected.items():
        net = from_pretrained(file_of(source)[1], dtype=np.float64)
        np.testing.assert_allclose(net.preprocess(pixels).ravel(), values, rtol=1e-6, err_msg=source)


def test_arguments_override():
    _, arrays = file_of("keras")
    net = from_pretrained(arrays, activation="relu", padding=1, bn_eps=1e-5, dtype="float64")
    expected = {"activation": "relu", "padding": 1, "bn_eps": 1e-5}
    assert {name: net.arguments[name] for name in expected} == expected
    assert net.dtype == np.float64
    with pytest.raises(ValueError, match=r"^`activation` \(='swish'\) must be one of"):
        from_pretrained(arrays, activation="swish")
    with pytest.raises(TypeError, match=r"^`dtype` \(='int8'\) must be float32 or float64$"):
        from_pretrained(arrays, dtype="int8")


@pytest.mark.parametrize(
    ("width", "found"), [(0.3, 0.3), (0.123, 0.123), (1.25, 1.25), (2 / 3, 0.6661), (0.01, 0.01), (0.0312, 0.031)]
)
def test_width_is_the_shortest_decimal_that_gives_the_channels(width, found):
    net = npnets.MobileNetV1(width=width, num_classes=2)
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    assert arguments_of(npnets.MobileNetV1, shapes) == {"width": found, "in_channels": 3, "num_classes": 2}
    again = npnets.MobileNetV1(width=found, num_classes=2)
    assert {name: value.shape for name, value in again.state_dict().items()} == shapes


@pytest.mark.parametrize(("scale", "groups"), npnets.models.shufflenet_v1.CHANNELS)
def test_groups_and_scale_are_told_from_shapes(scale, groups):
    net = npnets.ShuffleNetV1(scale=scale, groups=groups, num_classes=2)
    with untold():
        made = from_pretrained(net.state_dict())
    assert (made.arguments["scale"], made.arguments["groups"]) == (scale, groups)


def test_other_channels_and_units():
    given = {"groups": 2, "stem_channels": 6, "stage_channels": (16, 40), "stage_units": (1, 3), "in_channels": 1}
    with untold():
        made = from_pretrained(npnets.ShuffleNetV1(**given, num_classes=5).state_dict())
    assert {name: made.arguments[name] for name in given} == given


def test_a_guessed_source_can_be_given():
    net, arrays = file_of("timm")
    assert load_weights(net, arrays, source="timm").source == "timm"
    with pytest.raises(ValueError, match=r"^`source` \(='torch'\) must be one of 'npnets', 'keras', "):
        load_weights(net, arrays, source="torch")
    with pytest.raises(
        ValueError, match=r"^none of its 137 names \(conv_stem\.weight, bn1\.weight, .*the source 'keras'$"
    ):
        load_weights(net, arrays, source="keras")


def test_a_prefix_and_counters_are_dropped():
    net, arrays = file_of("timm")
    wrapped = {f"module.{name}": value for name, value in arrays.items()}
    counters = {f"module.{name}.num_batches_tracked": np.zeros(1) for name in ("bn1", "blocks.0.0.bn1")}
    report = load_weights(net, {**wrapped, **counters})
    assert report.source == "timm"
    assert list(report.mapped.values()) == list(wrapped)
    assert same(from_pretrained({"epoch": 3, "state_dict": {**wrapped, **counters}}), from_pretrained(arrays))
    assert IGNORED.search("MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage")
    assert not IGNORED.search("conv1/kernel")


def test_without_bias():
    _, arrays = file_of("megvii")
    del arrays["classifier.0.bias"]
    assert not from_pretrained(arrays).state_dict()["classifier.bias"].any()
    _, arrays = file_of("timm")
    del arrays["classifier.bias"]
    with pytest.raises(ValueError, match=r"^the weights do not fit this network: `classifier\.bias` is missing$"):
        from_pretrained(arrays)


def test_differences_of_the_network_are_reported():
    net, arrays = file_of("megvii")
    report = load_weights(npnets.ShuffleNetV1(scale=0.5, activation="relu6"), arrays)
    assert report.differences == (
        ("shuffle", "before", "after"), ("shuffle_inverse", False, True), ("activation", "relu6", "relu"),
    )  # fmt: skip
    assert str(report).splitlines()[1:] == [
        "`shuffle` is 'before' here, and 'after' there", "`shuffle_inverse` is False here, and True there",
        "`activation` is 'relu6' here, and 'relu' there",
    ]  # fmt: skip
    # What the source leaves as the paper has it can be otherwise here.
    other = npnets.ShuffleNetV1(scale=0.5, concat="branch first", **AUTHORS)
    assert load_weights(other, arrays).differences == (("concat", "branch first", "shortcut first"),)
    assert load_weights(net, arrays).differences == ()
    # Own names say nothing of the network, a file of `save_weights` does.
    assert load_weights(npnets.ShuffleNetV1(scale=0.5), net.state_dict()).differences == ()


def test_the_other_network():
    _, arrays = file_of("keras")
    with pytest.raises(ValueError, match=r"^its arrays are of a MobileNetV1, and `net` is a ShuffleNetV1$"):
        load_weights(npnets.ShuffleNetV1(), arrays, strict=False)


def test_images_of_other_channels():
    """Keras' -1 to 1 is so for any of them; ImageNet's mean and deviation are for three."""
    for source, name, expected in (
        ("keras", "conv1/kernel", ((0.5,), (0.5,))),
        ("pytorchcv", "features.init_block.conv.weight", ((0.0,), (1.0,))),
    ):
        _, arrays = file_of(source)
        arrays[name] = arrays[name][:, :, :1] if source == "keras" else arrays[name][:, :1]
        net = from_pretrained(arrays)
        assert (net.preprocessing.mean, net.preprocessing.std) == expected
        assert net.preprocess(np.zeros((1, 8, 8, 1), np.uint8)).shape == (1, 8, 8, 1)


# -- by order and shape ------------------------------------------------------------------------------------------------


def anonymous(net, turn, names="layer{}"):
    return {names.format(i): np.array(turn(*item)) for i, item in enumerate(net.state_dict().items())}


@pytest.mark.parametrize("turn", [to_oihw, to_hwio])
@pytest.mark.parametrize("case", ["mobilenet", "shufflenet, half", "shufflenet, one group"])
def test_by_order_and_shape(case, turn):
    net = CASES[case].numpy(np.float32)
    arrays = anonymous(net, turn)
    fresh = type(net)(**net.arguments)
    report = load_weights(fresh, arrays)
    assert report.by_order
    assert report.source == "order"
    assert list(report.mapped.values()) == list(arrays)
    assert same(fresh, net)
    with pytest.warns(UserWarning, match="matched by order and shape"):
        made = from_pretrained(arrays)
    assert same(made, net)


def test_by_order_of_the_numbers_in_the_names():
    """Some files have their names sorted: layer 10 before layer 2, classifiers first, a mean before its weight."""
    net = CASES["mobilenet"].numpy(np.float32)
    fresh = npnets.MobileNetV1(width=0.25)
    for names in "layer{}", "{}":
        arrays = anonymous(net, to_oihw, names)
        assert load_weights(fresh, {name: arrays[name] for name in sorted(arrays)}).by_order
        assert same(fresh, net)
    for case in "shufflenet, half", "mobilenet", "shufflenet, no shuffle":
        net = CASES[case].numpy(np.float32)
        fresh, state = type(net)(**net.arguments), {}
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in net.state_dict()))
        for name, value in net.state_dict().items():
            layer, _, array = name.rpartition(".")
            there = "classifier" if layer == "classifier" else f"features.{layers.index(layer)}"
            state[f"module.{there}.{array}"] = to_oihw(name, value)
        assert load_weights(fresh, {name: state[name] for name in sorted(state)}).by_order
        assert same(fresh, net)


@pytest.mark.parametrize("ending", ["", ":0"])
def test_by_order_the_known_names_of_arrays_count(ending):
    """The arrays of a batch norm have one shape, and TensorFlow writes beta before gamma."""
    net = CASES["mobilenet"].numpy(np.float32)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in net.state_dict()))
    held = {}
    for name, value in net.state_dict().items():
        layer, _, array = name.rpartition(".")
        norm = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        there = (norm if layer.endswith("norm") else {"weight": "weights", "bias": "biases"})[array]
        held[f"Net/{layers.index(layer)}/{there}{ending}"] = to_hwio(name, value)
    names = sorted(held, key=lambda name: (int(name.split("/")[1]), "beta" not in name))
    assert "beta" in names[1]
    fresh = npnets.MobileNetV1(width=0.25)
    assert load_weights(fresh, {name: held[name] for name in names}).by_order
    assert same(fresh, net)


def test_order_must_fit_exactly():
    net = CASES["mobilenet"].numpy(np.float32)
    arrays = anonymous(net, to_oihw)
    for change in (
        lambda held: held.pop("layer7"),
        lambda held: held.update(more=np.zeros(3, np.float32)),
        lambda held: held.update(layer5=held["layer5"][:, :, :2]),
        lambda held: held.update(layer0=np.zeros((3, 3, 5, 5), np.float32)),
    ):
        held = dict(arrays)
        change(held)
        with pytest.raises(ValueError, match=r"names|shape"):
            load_weights(npnets.MobileNetV1(width=0.25), held)
    with pytest.raises(ValueError, match=r"^the weights do not fit this network: `layer0` has"):
        load_weights(npnets.MobileNetV1(width=0.5), arrays)


# -- what does not fit -------------------------------------------------------------------------------------------------


def test_strict_lists_all_that_is_wrong():
    net, arrays = file_of("keras")
    before = net.state_dict()
    arrays["conv_pw_3/bias"] = arrays["dense/kernel"] = np.zeros(3, np.float32)
    del arrays["conv_dw_2_bn/beta"], arrays["conv_preds/bias"]
    with pytest.raises(ValueError, match=r"^the weights do not fit this network: ") as caught:
        load_weights(net, arrays)
    assert str(caught.value).partition(": ")[2] == (
        "`block2.depthwise_norm.bias` is missing; `classifier.bias` is missing; "
        "`dense/kernel` is left over; `conv_pw_3/bias` is left over"
    )
    report = load_weights(net, arrays, strict=False)
    assert report.missing == ("block2.depthwise_norm.bias", "classifier.bias")
    assert report.left_over == ("dense/kernel", "conv_pw_3/bias")
    assert len(report.mapped) == len(before) - 2
    assert str(report).splitlines() == [
        "keras: 135 arrays mapped, 2 left over, 2 missing", "left over: dense/kernel", "left over: conv_pw_3/bias",
        "missing: block2.depthwise_norm.bias", "missing: classifier.bias",
    ]  # fmt: skip
    assert (net.state_dict()["classifier.bias"] == before["classifier.bias"]).all()
    arrays["conv1/kernel"] = np.zeros((3, 3, 3, 16), np.float32)
    with pytest.raises(ValueError, match=r"`conv1/kernel` has, in npnets' order, the shape \(3, 3, 3, 16\), and "
                                         r"`stem\.conv\.weight` here \(3, 3, 3, 8\)"):  # fmt: skip
        load_weights(net, arrays, strict=False)


def test_shapes_that_are_no_network():
    _, arrays = file_of("keras")
    for name, shape, message in (
        ("conv1/kernel", (3, 3), r"`stem\.conv\.weight` has the shape \(3, 3\)"),
        ("conv1/kernel", (5, 5, 3, 8), r"`stem\.conv\.weight` has the shape \(5, 5, 3, 8\), and must have \(3, 3, \*"),
        ("conv_pw_4/kernel", (1, 1, 16, 64), r"`block4\.pointwise\.weight` has the shape \(16, 64\), and must have"),
        ("conv_pw_4/kernel", (7,), r"`block4\.pointwise\.weight` has the shape \(7,\), and must have"),
        ("conv_dw_4/depthwise_kernel", (3, 3, 32), r"`conv_dw_4/depthwise_kernel` has the shape \(3, 3, 32\)"),
        ("conv_preds/kernel", (1, 1, 256, 0), r"`classifier\.weight` has the shape"),
        ("conv_pw_13/kernel", (1, 1, 256, 300), r"`classifier\.weight` has the shape \(256, 1000\), and must"),
        ("conv1_bn/beta", (9,), r"`conv1_bn/beta` has, in npnets' order, the shape \(9,\)"),
        ("conv1_bn/beta", (8, 1), r"`conv1_bn/beta` has, in npnets' order, the shape \(8, 1\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            from_pretrained({**arrays, name: np.zeros(shape, np.float32)})
    with pytest.raises(ValueError, match=r"^the channels of its 12 blocks, .* are the paper's at no width"):
        from_pretrained({name: value for name, value in arrays.items() if not re.match("conv_.._7", name)})


def test_values_that_are_no_numbers():
    net, arrays = file_of("timm")
    for value in np.nan, np.inf:
        arrays["blocks.3.1.conv_pw.weight"][3, 4] = value
        with pytest.raises(ValueError, match=r"^`blocks\.3\.1\.conv_pw\.weight` holds NaN or infinity$"):
            load_weights(net, arrays)
    _, arrays = file_of("timm")
    arrays["bn1.weight"] = np.full(8, 1e300)  # float32 ends at 3e38
    with pytest.raises(ValueError, match=r"^`bn1\.weight` holds NaN or infinity$"):
        load_weights(net, arrays)
    _, arrays = file_of("timm")
    arrays["bn1.running_var"][2] = -1
    with pytest.raises(ValueError, match=r"^`bn1\.running_var` holds a variance below 0$"):
        load_weights(net, arrays)


def test_what_is_no_file():
    net = npnets.MobileNetV1(width=0.25)
    with pytest.raises(TypeError, match=r"^`file` must be a path or arrays by name, and is a list$"):
        load_weights(net, [1])
    with pytest.raises(TypeError, match=r"^`a` must be an array, and is a list$"):
        load_weights(net, {"a": [1.0]})
    with pytest.raises(TypeError, match=r"^`net` must be a network, and is a str$"):
        load_weights("net", {})
    with pytest.raises(ValueError, match=r"^none of its 0 names \(\) is one of any source"):
        from_pretrained({})
    with pytest.raises(ValueError, match=r"^it holds 4001 arrays, and no network has more than 4000$"):
        match.match({str(i): np.zeros(1) for i in range(4001)})


# -- npnets' own files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_says_everything_about_its_network(case, ending, tmp_path):
    net = CASES[case].numpy(np.float32)
    net.preprocessing = Preprocessing((0.25,) * net.in_channels, (0.5,) * net.in_channels, "BGR", 48)
    net.classes = tuple(f"klasse {i} é" for i in range(net.arguments.get("num_classes", 1000)))
    path = tmp_path / f"net.{ending}"
    save_weights(net, path)
    made = from_pretrained(path)
    assert same(made, net)
    assert (made.preprocessing, made.classes) == (net.preprocessing, net.classes)
    assert os.listdir(tmp_path) == [path.name]
    content = path.read_bytes()
    save_weights(made, str(path))
    assert path.read_bytes() == content
    fresh = type(net)(**{**net.arguments, "seed": 7})
    report = load_weights(fresh, path)
    assert same(fresh, net)
    assert (report.source, report.differences) == ("npnets", ())
    assert (fresh.preprocessing, fresh.classes) == (net.preprocessing, net.classes)


def test_float64_is_kept(tmp_path):
    net = CASES["mobilenet, grey, own rows"].numpy()
    save_weights(net, tmp_path / "net.npz")
    assert same(from_pretrained(tmp_path / "net.npz", dtype=np.float64), net)


def test_a_folded_network_and_another_classifier(tmp_path):
    net = npnets.fold_batch_norm(CASES["shufflenet, cifar"].numpy(np.float32))
    save_weights(net, tmp_path / "net.safetensors")
    assert same(from_pretrained(tmp_path / "net.safetensors"), net)
    net = npnets.MobileNetV1(width=0.25, num_classes=3)
    net.children["classifier"] = npnets.layers.Linear(np.ones((256, 5), np.float32))
    save_weights(net, tmp_path / "net.npz")
    assert from_pretrained(tmp_path / "net.npz").arguments["num_classes"] == 5


@pytest.mark.parametrize("settings", [Settings(), Settings(model="shufflenet"), Settings(body="paper", width=0.25)])
def test_checkpoints_of_a_training(settings, tmp_path):
    """The network with the preprocessing and the classes of its data; what the optimiser remembers is left out."""
    images = np.random.default_rng(0).integers(0, 256, (64, 12, 16, 1), np.uint8)
    trainer = Trainer(settings, Dataset("toy", images, np.arange(64) % 3, images[:9], np.arange(9) % 3, tuple("abc")))
    trainer.save(tmp_path / "checkpoint.safetensors")
    net = from_pretrained(tmp_path)
    state, expected = net.state_dict(), trainer.net.state_dict()
    assert {name: value.tobytes() for name, value in state.items()} == {
        name: value.tobytes() for name, value in expected.items()
    }
    assert net.classes == ("a", "b", "c")
    assert (net.preprocess(images) == normalise(images, trainer.mean, trainer.std)).all()
    assert load_weights(trainer.net, tmp_path).source == "npnets"


def test_differences_from_a_file_of_npnets(tmp_path):
    net = network("ShuffleNetV1", {"scale": 0.5, "num_classes": 3, **AUTHORS})
    save_weights(net, tmp_path / "net.npz")
    report = load_weights(npnets.ShuffleNetV1(scale=0.5, num_classes=3, padding="same"), tmp_path / "net.npz")
    assert report.differences == (
        ("shuffle", "before", "after"), ("shuffle_inverse", False, True), ("padding", "same", 1),
    )  # fmt: skip


def test_strides_differ_though_the_shapes_do_not(tmp_path):
    here, there = ((16, 1), (32, 1)), ((16, 1), (32, 2))
    save_weights(npnets.MobileNetV1(rows=there, num_classes=3), tmp_path / "net.npz")
    report = load_weights(npnets.MobileNetV1(rows=here, num_classes=3), tmp_path / "net.npz")
    assert report.differences == (("rows", here, there),)
    assert load_weights(npnets.MobileNetV1(rows=list(there), num_classes=3), tmp_path / "net.npz").differences == ()


def test_save_weights_refuses(tmp_path):
    net = npnets.MobileNetV1(width=0.25)
    with pytest.raises(ValueError, match=r"net\.pth'\) must end in \.safetensors or \.npz$"):
        save_weights(net, tmp_path / "net.pth")
    with pytest.raises(TypeError, match=r"^`net` must be one of MobileNetV1, ShuffleNetV1, and is a Linear$"):
        save_weights(npnets.layers.Linear(np.zeros((2, 3))), tmp_path / "net.npz")
    with pytest.raises(FileNotFoundError):
        save_weights(net, tmp_path / "nowhere" / "net.npz")
    assert os.listdir(tmp_path) == []


def described(path, change):
    """Write a file of a small network whose description somebody has changed."""
    net = npnets.MobileNetV1(rows=((8, 1), (16, 2)), num_classes=3)
    about = {"format": "weights 1", **npnets.models.description.describe(net)}
    change(about)
    path.write_bytes(npnets.weights.npz.write(net.state_dict(), json.dumps(about)))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format="weights 2"), "its description has none of the formats"),
        (lambda about: about.pop("network"), "'network' is missing"),
        (lambda about: about.update(network="ResNet"), "its network 'ResNet' is none of MobileNetV1, ShuffleNetV1"),
        (lambda about: about["arguments"].update(depth=3), "the arguments of its network are not some of"),
        (lambda about: about["arguments"].update(dtype="float64"), "the arguments of its network are not some of"),
        (lambda about: about["arguments"].update(width=16.0), "its description is of a MobileNetV1 with"),
        (lambda about: about["arguments"].update(num_classes=10**12), "its description is of a MobileNetV1 with"),
        (lambda about: about["arguments"].update(rows=[[8, 1]] * 1000), "its description is of a MobileNetV1 with"),
        (lambda about: about["arguments"].update(rows="88"), "must be pairs"),
        (lambda about: about["arguments"].update(padding="around"), "`padding` "),
        (lambda about: about.update(preprocessing={"mean": [0.0]}), "missing .* argument: 'std'"),
        (lambda about: about["preprocessing"].update(mean="abc"), "`mean` .* is not a list of numbers"),
        (lambda about: about["preprocessing"].update(mean=[0.0]), "is not for the network's 3 channels"),
        (lambda about: about["preprocessing"].update(order="GBR"), "has the order 'GBR'"),
        (lambda about: about["preprocessing"].update(side=-2), "and the side -2"),
        (lambda about: about.update(classes=["a", 3, "b"]), "its classes are not a list of names"),
        (lambda about: about.update(classes=["a"]), "it names 1 classes, and the network has 3"),
    ],
)
def test_descriptions_that_do_not_fit(change, message, tmp_path):
    path = described(tmp_path / "net.npz", change)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}(:| cannot be read as weights:) .*{message}"):
        from_pretrained(path)


# -- where files lie ---------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_the_file_in_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^the folder .* holds none of model\.safetensors, checkpoint\."):
        from_pretrained(tmp_path)
    net = npnets.MobileNetV1(width=0.25, num_classes=3)
    save_weights(net, tmp_path / "model.safetensors")
    assert same(from_pretrained(tmp_path), net)


@pytest.mark.parametrize("file", ["nowhere.npz", "/nowhere/else", "tests/nowhere", "a/b/c/../d?", "nowhere/net.npz"])
def test_no_file(file, monkeypatch):
    monkeypatch.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with pytest.raises(FileNotFoundError, match=rf"^there is no file {re.escape(file)}$"):
        from_pretrained(file)


def test_the_hub_needs_its_package(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    uninstall(monkeypatch, "huggingface_hub")
    with pytest.raises(ModuleNotFoundError) as caught:
        from_pretrained("timm/mobilenetv1_100")
    assert str(caught.value) == (
        "'timm/mobilenetv1_100' is not a file here, and from the hub it needs `huggingface_hub`: "
        'pip install "npnets[weights]" (in a clone: pip install ".[weights]")'
    )
