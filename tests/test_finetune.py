"""Fine-tuning: frozen layers stay and the others are trained as PyTorch trains them; a new classifier; going on."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from training import IMPLEMENTATION, SHUFFLE, TINY, USE, pack, take, tiny, unpack, untimed

import npnets
from npnets import cli
from npnets.data import Dataset
from npnets.train import Settings, Trainer, step
from npnets.train.finetune import fitted
from npnets.weights import from_pretrained

pytestmark = pytest.mark.uncompiled

FREEZE = {"none": (), "first": ("stem", "block1"), "inner": ("block2",), "most": ("all-but-classifier",)}


@pytest.fixture(autouse=True)
def _implementation():
    threads = npnets.get_threads()
    with npnets.use(IMPLEMENTATION):
        yield
    npnets.set_threads(threads)


def network(**options):
    return npnets.MobileNetV1(
        width=0.25, num_classes=3, rows=((64, 1), (128, 2), (128, 1)), activation="relu6", padding="same", **options
    )


def images(count=6, side=8, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.random((count, side, side, 3)).astype(dtype), rng.integers(0, 3, count)


def moved(net):
    """Put statistics into the batch norms that are not the ones they begin with."""
    rng = np.random.default_rng(1)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            net.load_state_dict({**net.state_dict(), name: rng.uniform(0.5, 2, value.shape)})
    return net


# -- frozen layers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", FREEZE.values(), ids=FREEZE)
def test_what_is_frozen_stays_and_the_rest_moves(names):
    net = moved(network()).train().freeze(*names)
    optimizer = npnets.SGD(net, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    before = net.state_dict()
    for _ in range(3):
        npnets.train_step(net, optimizer, *images())
    frozen = set(net.children) - {"classifier"} if names == FREEZE["most"] else set(names)
    for name, value in net.state_dict().items():
        assert np.array_equal(value, before[name]) == (name.split(".")[0] in frozen), name


@pytest.mark.parametrize("names", FREEZE.values(), ids=FREEZE)
def test_frozen_in_any_mode(names):
    """Whether it is frozen first or set to training first, a frozen layer computes what it does in eval mode."""
    x, _ = images()
    one, other = moved(network()).train().freeze(*names), moved(network()).freeze(*names).train()
    assert np.array_equal(one(x), other(x))
    frozen, _ = step.split(one)
    assert np.array_equal(frozen.forward(x), step.split(other.eval())[0].forward(x))
    assert not any(layer.frozen for _, layer in one.freeze().layers())
    assert all(layer.training for _, layer in one.layers())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("stem", "blok1"), "`freeze` (='blok1') must be one of 'stem', 'block1', 'block2', 'block3', 'classifier', "),
        (("pool",), "`freeze` (='pool') must be one of 'stem'"),
        (("stem", "block1", "block2", "block3", "classifier"), "leaves nothing to train"),
        (("all-but-classifier", "classifier"), "`freeze` (=all-but-classifier,classifier) leaves nothing to train"),
    ],
)
def test_what_cannot_be_frozen(names, message):
    net = network().freeze("stem")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        net.freeze(*names)
    assert message in str(caught.value)
    assert net.children["stem"].frozen


def test_shufflenet_units_too():
    net = npnets.ShuffleNetV1(groups=2, stem_channels=8, stage_channels=(16,), stage_units=(2,), num_classes=3)
    net.train().freeze("stem", "stage2_unit1")
    before = net.state_dict()
    npnets.train_step(net, npnets.SGD(net, lr=0.1), *images(side=16))
    changed = {
        name.split(".")[0] for name, value in net.state_dict().items() if not np.array_equal(value, before[name])
    }
    assert changed == {"stage2_unit2", "classifier"}


def test_the_classifiers_input_fused():
    net = moved(network(dtype=np.float64)).freeze("all-but-classifier").train()
    x, _ = images(dtype=np.float64)
    expected = step.split(net)[0].forward(x)
    for name in ("numpy", IMPLEMENTATION):
        with npnets.use(name):
            np.testing.assert_allclose(step.fused_features(net)(x), expected, rtol=1e-12, atol=1e-12)


def test_weight_decay_skips_across_frozen_layers():
    """Runs of neighbours in the flat array end where a frozen layer begins."""
    net = network().freeze("block1", "block3")
    optimizer = npnets.SGD(net, lr=0.1, skip_decay=("1d",))
    _, runs, _ = optimizer.rule(net.flat())
    decays = {}
    at = 0
    for name, value in net.parameters().items():
        decays[name] = [bool(which) for start, stop, which in runs if start <= at and at + value.size <= stop]
        at += value.size
    for name, value in net.parameters().items():
        assert decays[name] == ([] if name.startswith(("block1.", "block3.")) else [value.ndim > 1]), name


# -- the trainer -------------------------------------------------------------------------------------------------------


def coloured(side=16):
    data = tiny(side=side)
    x_train, x_test = (np.repeat(x, 3, 3) for x in (data.x_train, data.x_test))
    return dataclasses.replace(data, x_train=x_train, x_test=x_test)


def start():
    net = moved(network())
    net.preprocessing = dataclasses.replace(net.preprocessing, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), order="BGR")
    return fitted(net, coloured(), 0)[0]


def trainer(names, **changes):
    settings = Settings(init="somewhere", freeze=names, batch_size=8, epochs=2, lr=0.05, flip=False, seed=3)
    return Trainer(dataclasses.replace(settings, **changes), coloured(), start=start())


@pytest.mark.parametrize("change", [{}, {"crop": 1, "flip": True}, {"resized_crop": 0.5}], ids=str)
@pytest.mark.parametrize("names", FREEZE.values(), ids=FREEZE)
def test_going_on_gives_the_same_bytes(names, change, tmp_path):
    whole = take(trainer(names, **change), 14)
    whole.save(tmp_path / "whole")
    parts = take(trainer(names, **change), 4)
    parts.save(tmp_path / "parts")
    parts = Trainer.resume(tmp_path / "parts", coloured())
    assert parts.net.preprocessing == start().preprocessing
    assert parts.net.arguments["padding"] == "same"
    take(parts, 5).save(tmp_path / "parts")
    take(Trainer.resume(tmp_path / "parts", coloured()), 5).save(tmp_path / "parts")
    assert untimed(tmp_path / "whole") == untimed(tmp_path / "parts")
    assert from_pretrained(tmp_path / "whole").preprocessing == start().preprocessing


def shufflenet():
    return npnets.ShuffleNetV1(groups=2, stem_channels=8, stage_channels=(16, 32), stage_units=(2, 1), num_classes=3)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("network", [start, shufflenet])
def test_other_networks_go_on_too(network, folded, tmp_path):
    """Folded ones are as from TFLite: convolutions with biases, and no batch norm."""
    net = network()
    net = fitted(npnets.models.fold_batch_norm(net) if folded else net, coloured(), 0)[0]
    settings = Settings(init="somewhere", freeze=FREEZE["most"], batch_size=8, epochs=2, lr=0.05)
    whole = take(Trainer(settings, coloured(), start=net), 4)
    whole.save(tmp_path / "parts")
    take(Trainer.resume(tmp_path / "parts", coloured()), 5).save(tmp_path / "parts")
    take(whole, 5).save(tmp_path / "whole")
    assert untimed(tmp_path / "whole") == untimed(tmp_path / "parts")


def test_features_once_are_what_the_layers_compute():
    """As with crops by no pixel, which let each image go through the layers in each epoch."""
    kept = take(trainer(FREEZE["most"]), 14)
    again = trainer(FREEZE["most"])
    again.__dict__["_features"] = None
    take(again, 14)
    assert (kept.once, again.once) == (True, False)
    for one, other in zip(kept.history, again.history, strict=True):
        np.testing.assert_allclose(one[1:6], other[1:6], rtol=1e-4)


def test_a_checkpoint_that_asks_for_a_huge_network(tmp_path):
    take(trainer(FREEZE["first"]), 1).save(tmp_path / "good")
    header, about, content = unpack((tmp_path / "good").read_bytes())
    for change in {"width": 16.0}, {"num_classes": 10**6}, {"rows": [[10**6, 1]] * 3}, {"width": "x"}, {"rows": 5}:
        told = {**about, "arguments": {**about["arguments"], **change}}
        (tmp_path / "bad").write_bytes(pack(header, told, content))
        with pytest.raises(ValueError, match=f"^{tmp_path / 'bad'} cannot be resumed: "):
            Trainer.resume(tmp_path / "bad", coloured())
    for told in {**about, "network": "VGG"}, {name: about[name] for name in about if name != "preprocessing"}:
        (tmp_path / "bad").write_bytes(pack(header, told, content))
        with pytest.raises(ValueError, match=f"^{tmp_path / 'bad'} cannot be resumed: "):
            Trainer.resume(tmp_path / "bad", coloured())


# -- the classifier ----------------------------------------------------------------------------------------------------


def data(*classes):
    x = np.zeros((2, 8, 8, 3), np.uint8)
    return Dataset("some", x, np.zeros(2, np.int64), x, np.zeros(2, np.int64), classes)


@pytest.mark.parametrize(
    ("before", "now", "note"),
    [
        (None, "abcd", "its classifier of 3 classes is replaced by a new one of 4"),
        ("abc", "abd", "its classifier of 3 classes is replaced by a new one of 3"),
        ("abc", "abc", "its classifier is kept: the classes are the same 3"),
        (None, "abd", "its classifier is kept: it has 3 classes too, and does not name them"),
    ],
)
def test_the_classifier_is_replaced_where_the_classes_differ(before, now, note):
    net = moved(network(bn_momentum=0.01))
    net.classes = before and tuple(before)
    made, said = fitted(net, data(*now), seed=5)
    assert said == note
    assert (made.arguments["num_classes"], made.arguments["bn_momentum"]) == (len(now), 0.1)
    assert made.arguments["activation"] == "relu6"
    assert made.preprocessing == dataclasses.replace(net.preprocessing, side=8)  # of the pictures that it is trained on
    for name, value in made.state_dict().items():
        same = name.split(".")[0] != "classifier" or name == "classifier.bias" or "kept" in note
        assert (value.shape == net.state_dict()[name].shape and np.array_equal(value, net.state_dict()[name])) == (
            same and value.shape == net.state_dict()[name].shape
        ), name
    assert np.array_equal(fitted(net, data(*now), seed=5)[0].state_dict()["classifier.weight"],
                          made.state_dict()["classifier.weight"])  # fmt: skip


def test_other_channels():
    with pytest.raises(ValueError, match=r"^the images of 'tiny' have 1 channels, and .* begin with takes 3$"):
        fitted(network(), tiny(), 0)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `npnets train` in a folder with pictures and weights; the charts are not drawn."""
    monkeypatch.chdir(tmp_path)
    for name in "draw_curves", "draw_confusion":
        monkeypatch.setattr(f"npnets.train.run.{name}", lambda *_: None)
    held = coloured()
    for label, name in enumerate("abcd"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, image in enumerate(held.x_train[held.y_train == label]):
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{number}.png")
    net = start()
    np.savez(tmp_path / "weights.npz", **moved(network()).state_dict())
    first = Trainer(dataclasses.replace(Settings(init="x", batch_size=8, epochs=1)), coloured(), start=net)
    first.save(tmp_path / "first.safetensors")

    def call(*arguments):
        status = cli.main(["train", *USE, *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


INIT = "--init", "first.safetensors", "--data", "photos", "--batch-size", 8, "--lr", 0.05, "--side", 16


def test_the_command(run):
    status, out, err = run(*INIT, "--epochs", 1, "--freeze", "stem,block1", "--out", "all")
    assert (status, err) == (0, "")
    lines = [line.strip() for line in out.splitlines()]
    assert lines[:3] == [
        "MobileNet V1 from first.safetensors",
        "its classifier is kept: the classes are the same 4",
        "frozen: stem, block1; 2,324 parameters are trained",
    ]
    assert lines[4].startswith("photos: ")
    assert "16 x 16 x 3, 4 classes" in lines[4]
    status, out, _ = run("--resume", "all", "--epochs", 2)
    assert status == 0
    assert "frozen: stem, block1" in out
    status, out, _ = run(*INIT, "--epochs", 2, "--freeze", "all-but-classifier", "--out", "most")
    assert status == 0
    assert "each image goes once through the frozen layers, then only through the rest" in out
    assert from_pretrained("most/checkpoint.safetensors").classes == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--init", "nosuch.npz"), "nosuch.npz"),
        ((*INIT, "--width", 0.5), "`--width` (=0.5) cannot go with --init: the weights say what the network is"),
        ((*INIT, "--model", "shufflenet"), "`--model` (=shufflenet) cannot go with --init"),
        ((*INIT, "--freeze", "stem,blok"), "`freeze` (='blok') must be one of 'stem', 'block1'"),
        ((*INIT, "--resized-crop", 1.5), "`resized_crop` (=1.5) must be at most 1"),
        ((*INIT[:4], "--side", 0), "`side` (=0) must be at least 1"),
        ((*INIT[:2], "--side", 16), "the images of 'fashion-mnist' have 1 channels"),
        (("--data", "photos", "--freeze", "stem"), "`--freeze` (=stem) needs --init"),
    ],
    ids=str,
)
def test_errors(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("npnets: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_settings_of_both_kinds_come_back():
    for settings in TINY, SHUFFLE, Settings(init="x", freeze=("stem",), side=224, resized_crop=0.08):
        assert Settings.from_json({**settings.as_json(), "freeze": list(settings.freeze)}) == settings
