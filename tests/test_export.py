"""`npnets export`: the file gives the network's logits in ONNX Runtime, and the command says what it wrote."""

import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from network_cases import CASES, assert_near
from shared_data import shared
from test_onnx import FLOAT32, run
from tflite_files import folded, mobilenet
from training import SHUFFLE, TINY, take, tiny
from uninstalled import uninstall

import npnets
from npnets import cli
from npnets.preprocessing import Preprocessing
from npnets.train import Trainer
from npnets.train.run import latest


@pytest.fixture
def export(tmp_path, monkeypatch, capsys):
    """Run `npnets export` in an empty folder, and return its exit status, its output and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        try:
            status = cli.main(["export", *map(str, arguments)])
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return call


def train(name, settings, seconds):
    """Leave a training in runs, of an age that is so many seconds less, and return its network."""
    os.makedirs(f"runs/{name}")
    with npnets.use("numpy"):
        trainer = take(Trainer(settings, tiny()), 2)
    trainer.save(path := f"runs/{name}/checkpoint.safetensors")
    os.utime(path, (10**9 + seconds, 10**9 + seconds))
    return trainer.net.eval()


# -- which network -----------------------------------------------------------------------------------------------------


def test_latest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^there is no training in the folder runs: `npnets train` leaves one"):
        latest()
    for name, seconds in ("b", 10), ("c", 30), ("a", 20):
        os.makedirs(f"runs/{name}")
        path = tmp_path / "runs" / name / "checkpoint.safetensors"
        path.write_text("")
        os.utime(path, (seconds, seconds))
    os.makedirs("runs/young/checkpoint.safetensors")
    (tmp_path / "runs" / "d").mkdir()
    assert latest() == latest("runs") == Path("runs", "c", "checkpoint.safetensors")
    assert latest(tmp_path / "runs") == tmp_path / "runs" / "c" / "checkpoint.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no training in the folder elsewhere"):
        latest("elsewhere")


@pytest.mark.parametrize("model", ["MobileNetV1", "ShuffleNetV1"])
def test_the_last_training(export, model):
    trainings = [("mobilenet", TINY), ("shufflenet", SHUFFLE)]
    if model == "MobileNetV1":
        trainings.reverse()
    nets = [train(name, settings, seconds) for seconds, (name, settings) in enumerate(trainings)]
    status, out, err = export("some.onnx")
    assert (status, err) == (0, "")
    assert type(nets[1]).__name__ == model
    assert re.fullmatch(
        rf"""wrote some\.onnx: 0\.\d MB, ONNX opset 21
    net     {model}, from runs.{trainings[1][0]}.checkpoint\.safetensors
    input   images \(batch, height, width, 1\), float32, trained on 8 x 8
            \(pixel / 255 - mean\) / std, grey
            mean 0\.\d+
            std 0\.\d+
    output  logits \(batch, 4\), float32
""",
        out,
    )
    x = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype(np.float32)
    assert_near(run("some.onnx", x), nets[1](x), FLOAT32)
    assert sorted(os.listdir()) == ["runs", "some.onnx"]


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [False, True], ids=["", "fold"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("name", ["mobilenet, tensorflow", "shufflenet, authors' code", "shufflenet, cifar"])
def test_onnxruntime_gives_the_logits(export, name, layout, fold):
    case = CASES[name]
    net, x = case.numpy(np.float32).eval(), case.images().astype(np.float32)
    net.preprocessing = Preprocessing((0.25, 0.5, 0.75), (0.1, 0.2, 1 / 3), "BGR")
    npnets.save_weights(net, "some.npz")
    status, out, _ = export("some.onnx", "--weights", "some.npz", "--layout", layout, *(["--fold"] if fold else []))
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    proto = onnx.load("some.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert fold != any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    assert_near(run("some.onnx", x, layout), net(x), FLOAT32)
    assert fold == ("without batch norm, from some.npz" in out)

    told = " ".join(out.split())  # what it says is what the file says
    for value in (*proto.graph.input, *proto.graph.output):
        shape = ", ".join(str(dim.dim_param or dim.dim_value) for dim in value.type.tensor_type.shape.dim)
        assert f"{value.name} ({shape}), float32" in told
    assert f"ONNX opset {proto.opset_import[0].version}" in told
    assert "(pixel / 255 - mean) / std, BGR mean 0.25, 0.5, 0.75 std 0.1, 0.2, 0.333333" in told
    assert f"wrote some.onnx: {os.path.getsize('some.onnx') / 1e6:.1f} MB" in told


def test_a_quantised_file(export):
    file, _ = mobilenet(folded(), 32, "uint8")
    with open("some.tflite", "wb") as target:
        target.write(file.content())
    status, out, _ = export("some.onnx", "--weights", "some.tflite")
    assert status == 0
    assert "trained on 32 x 32" in out
    net = npnets.from_pretrained("some.tflite")
    x = net.preprocess(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8))
    assert_near(run("some.onnx", x), net(x), FLOAT32)


@pytest.mark.parametrize(
    ("weights", "side"),
    [
        ("mobilenet_v1_025_224_tf.npz", 224), ("mobilenet_v1_0.25_128_quant.tflite", 128),
        ("shufflenet_v1_05_g3_cifar10.npz", 32),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fold", [False, True], ids=["", "fold"])
def test_real_weights(export, weights, side, fold):
    path = shared(weights)
    assert export("some.onnx", "--weights", path, *(["--fold"] if fold else []))[0] == 0
    net = npnets.from_pretrained(path)
    x = np.random.default_rng(0).standard_normal((2, side, side, 3)).astype(np.float32)
    assert_near(run("some.onnx", x), net(x), FLOAT32)


def test_an_old_file_is_replaced_or_stays(export, monkeypatch):
    net = CASES["mobilenet, grey, own rows"].numpy(np.float32)
    npnets.save_weights(net, "some.safetensors")
    with open("some.onnx", "w") as file:
        file.write("something old")
    assert export("some.onnx", "--weights", "some.safetensors")[0] == 0
    new = onnx.load("some.onnx").SerializeToString()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    assert export("some.onnx", "--weights", "some.safetensors") == (1, "", "npnets: error: the disk is full\n")
    assert onnx.load("some.onnx").SerializeToString() == new
    assert sorted(os.listdir()) == ["some.onnx", "some.safetensors"]


# -- help and errors ---------------------------------------------------------------------------------------------------


def test_help(export):
    status, out, _ = export("--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    for phrase in ("--weights FILE", "--fold", "--layout {NHWC,NCHW}", "the last training in runs"):
        assert phrase in " ".join(out.split())
    lines = [line.split()[1:] for line in cli.export.EXAMPLES.splitlines() if line.startswith("  npnets ")]
    assert len(lines) == 3
    for line in lines:
        assert cli._parser().parse_args(line).command is cli.export.run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["some.tflite"], r"`FILE` \(=some.tflite\) must end in .onnx"),
        (["nowhere/a.onnx"], r"`FILE` \(=nowhere.a.onnx\) must stand in a folder that is there, and nowhere is not"),
        (["a.onnx"], "there is no training in the folder runs: `npnets train` leaves one, or name .*--weights"),
        (["some.onnx", "--weights", "none.npz"], r".*none\.npz.*"),
    ],
)  # fmt: skip
def test_errors(export, arguments, message):
    status, out, err = export(*arguments)
    assert (status, out) == (1, "")
    assert re.fullmatch(f"npnets: error: {message}\n", err)
    assert os.listdir() == []


def test_without_onnx(export, monkeypatch):
    npnets.save_weights(CASES["mobilenet, grey, own rows"].numpy(np.float32), "some.npz")
    uninstall(monkeypatch, "onnx")
    status, _, err = export("some.onnx", "--weights", "some.npz")
    assert status == 1
    assert err.endswith('needs `onnx`: pip install "npnets[export]" (in a clone: pip install ".[export]")\n')
    assert os.listdir() == ["some.npz"]


def test_a_network_that_is_folded_already(export):
    net = npnets.fold_batch_norm(CASES["shufflenet, half"].numpy(np.float32))
    npnets.save_weights(net, "folded.safetensors")
    assert export("some.onnx", "--weights", "folded.safetensors", "--fold")[0] == 0
    x = CASES["shufflenet, half"].images().astype(np.float32)
    assert_near(run("some.onnx", x), net(x), FLOAT32)
