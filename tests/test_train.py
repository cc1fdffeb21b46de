"""The training loop: what a step is made of, what is counted, and that going on gives the same bytes."""

import dataclasses
import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from training import SHUFFLE, TINY, take, tiny

import npnets
from npnets.data import channel_statistics, normalise, random_crop_flip
from npnets.ops import softmax_cross_entropy
from npnets.train import SGD, Settings, Trainer
from npnets.train import trainer as trainer_module
from npnets.train.report import confusion_matrix, curves, draw_confusion, draw_curves, write_log
from npnets.train.schedule import rate
from npnets.train.settings import BODIES
from npnets.train.trainer import Epoch


@pytest.fixture(autouse=True, params=[pytest.param("numpy", marks=pytest.mark.uncompiled), "numba"])
def implementation(request):
    """The loop is the same for both; NumPy is as fast where the compiler is off."""
    with npnets.use(request.param):
        yield request.param


def trainer(data=None, settings=TINY, **changes):
    return Trainer(dataclasses.replace(settings, **changes), data or tiny())


def whole(training):
    return take(training, training.steps - training.steps_done)


@pytest.fixture
def threads():
    before = npnets.get_threads()
    yield npnets.set_threads
    npnets.set_threads(before)


@pytest.fixture
def batches(monkeypatch):
    """Record what each step is given, in the place of the step."""
    seen = []

    def record(net, optimizer, x, labels, label_smoothing):
        seen.append((x, labels, optimizer.lr, label_smoothing))
        return 1.0, np.eye(4, dtype=np.float32)[labels]

    monkeypatch.setattr(trainer_module, "step_with_logits", record)
    return seen


@pytest.mark.parametrize("settings", [TINY, SHUFFLE], ids=["mobilenet", "shufflenet"])
def test_it_learns(settings):
    """Eight epochs of stripes: the loss falls, and new images are told apart."""
    training = whole(trainer(tiny(), settings, epochs=8, flip=False, crop=0))
    assert training.history[-1].train_loss < 0.2 * training.history[0].train_loss
    assert training.history[-1].test_accuracy > 0.9


# ---- what a step is given --------------------------------------------------------------------------------------------


def test_each_epoch_takes_every_image_once_in_another_order(batches):
    data = tiny()
    data.x_train[...] = np.arange(56, dtype=np.uint8)[:, None, None, None]  # the pixels tell which image it is
    training = whole(trainer(data, crop=0, flip=False))
    levels = np.sort(normalise(data.x_train, training.mean, training.std)[:, 0, 0, 0])
    epochs = [np.concatenate([x[:, 0, 0, 0] for x, *_ in batches[7 * e : 7 * e + 7]]) for e in range(3)]
    for values in epochs:
        np.testing.assert_array_equal(np.sort(values), levels)
    assert len({values.tobytes() for values in [levels, *epochs]}) == 4
    order = np.concatenate([labels for _, labels, *_ in batches[:7]])
    np.testing.assert_array_equal(order, np.searchsorted(levels, epochs[0]) % 4)  # and each has its own label


def test_an_incomplete_batch_is_left_out(batches):
    training = trainer(tiny(61))
    assert (training.steps_per_epoch, training.steps) == (7, 21)
    whole(training)
    assert [len(x) for x, *_ in batches] == [8] * 21


def test_crops_and_flips_follow_from_seed_epoch_and_position(batches):
    data = tiny()
    training = whole(trainer(data, seed=5))
    mean, std = channel_statistics(data.x_train)
    for epoch, position in (0, 0), (0, 6), (2, 3):
        chosen = np.random.default_rng([5, epoch]).permutation(56)[8 * position : 8 * position + 8]
        rng = np.random.default_rng([5, epoch, position])
        images = random_crop_flip(data.x_train[chosen], rng, padding=1, flip=True)
        x, labels, *_ = batches[7 * epoch + position]
        np.testing.assert_array_equal(x, normalise(images, mean, std))
        np.testing.assert_array_equal(labels, data.y_train[chosen])
        assert not np.array_equal(images, data.x_train[chosen])
    assert training.epoch == 3


@pytest.mark.parametrize(("crop", "flip", "kinds"), [(0, False, 1), (0, True, 2), (1, False, 9), (1, True, 18)])
def test_crop_and_flip_do_what_they_say(batches, crop, flip, kinds):
    """One image with nothing symmetric about it: how many different pictures does an epoch make of it?"""
    data = tiny()
    data.x_train[...] = np.random.default_rng(1).integers(1, 255, (1, 8, 8, 1))
    whole(trainer(data, crop=crop, flip=flip, epochs=12))
    assert len({image.tobytes() for x, *_ in batches for image in x}) == kinds


def test_each_step_has_its_rate_and_the_smoothing(batches):
    whole(trainer(schedule="cosine", lr=0.3, label_smoothing=0.25))
    assert [lr for _, _, lr, _ in batches] == [rate("cosine", 0.3, step, 21) for step in range(21)]
    assert {smoothing for *_, smoothing in batches} == {0.25}


def test_the_probe_costs_a_step_and_changes_nothing(tmp_path):
    training = take(trainer(), 5)
    training.save(tmp_path / "before")
    probed = training.probe()
    assert probed is not training.net
    assert probed.gradients()
    training.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    whole(training).epoch -= 1
    training.position = 7  # between the last step of an epoch and finish_epoch: there is no next batch
    training.probe()


# ---- weight decay ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [(), ("depthwise",), ("1d",), ("1d", "depthwise")])
def test_weight_decay_leaves_out_what_it_is_told_to(skip):
    """With gradients of 0 only weight decay moves a parameter."""
    training = trainer(skip_decay=skip, weight_decay=0.5, momentum=0.0, nesterov=False)
    net = training.net
    for _, layer in net.layers():
        layer.grads = {name: np.zeros_like(value) for name, value in layer.params.items()}
    before = {name: value.copy() for name, value in net.parameters().items()}
    training.optimizer.lr = 0.5
    training.optimizer.step()
    kinds = {"depthwise": 0, "1d": 0, "others": 0}
    for name, value in net.parameters().items():
        kind = "depthwise" if name.endswith("depthwise.weight") else "1d" if value.ndim == 1 else "others"
        kinds[kind] += 1
        np.testing.assert_array_equal(value, before[name] if kind in skip else 0.75 * before[name], name)
    assert kinds == {"depthwise": 5, "1d": 2 * 11 + 1, "others": 1 + 5 + 1}


# ---- what is counted -------------------------------------------------------------------------------------------------


def test_the_row_of_an_epoch(batches):
    training = trainer(schedule="linear", lr=0.2)
    losses = [training.step() for _ in range(7)]
    training.running.seconds = 2.0
    evaluation = training.finish_epoch()
    assert losses == [1.0] * 7
    assert training.history == [
        Epoch(
            epoch=1,
            lr=rate("linear", 0.2, 6, 21),
            train_loss=1.0,
            train_accuracy=1.0,
            test_loss=evaluation.loss,
            test_accuracy=evaluation.accuracy,
            seconds=2.0,
            images_per_second=28.0,
        )
    ]
    assert (training.epoch, training.position, training.running.steps) == (1, 0, 0)


def test_the_loss_and_accuracy_of_an_epoch_are_means_over_its_steps(monkeypatch):
    training, seen, step = trainer(), [], trainer_module.step_with_logits

    def record(net, optimizer, x, labels, label_smoothing):
        loss, logits = step(net, optimizer, x, labels, label_smoothing)
        seen.append((loss, (logits.argmax(1) == labels).mean()))
        return loss, logits

    monkeypatch.setattr(trainer_module, "step_with_logits", record)
    take(training, 7)
    means = training.history[0].train_loss, training.history[0].train_accuracy
    assert means == pytest.approx(np.mean(seen, 0), rel=1e-12)


def test_evaluation_is_of_all_test_images_in_eval_mode(monkeypatch):
    monkeypatch.setattr(trainer_module, "EVALUATION_BATCH", 8)  # 8 + 8 + 4
    training = take(trainer(), 10)
    before = training.net.state_dict()
    found = training.evaluate()
    data = training.dataset
    logits = training.net.eval()(normalise(data.x_test, training.mean, training.std))
    assert found.loss == pytest.approx(softmax_cross_entropy(logits, data.y_test)[0], rel=1e-6)
    assert found.accuracy == (logits.argmax(1) == data.y_test).mean()
    for a in range(4):
        for b in range(4):
            assert found.confusion[a, b] == ((data.y_test == a) & (logits.argmax(1) == b)).sum()
    for name, value in training.net.state_dict().items():
        np.testing.assert_array_equal(value, before[name], name)


# ---- the same bytes --------------------------------------------------------------------------------------------------


@functools.cache
def twenty_steps(settings, implementation):
    """Return the bytes of a checkpoint after 20 steps in one go, on one thread."""
    npnets.set_threads(1)
    with npnets.use(implementation), tempfile.TemporaryDirectory() as folder:
        take(trainer(tiny(), settings), 20).save(Path(folder, "c"))
        return Path(folder, "c").read_bytes()


@pytest.mark.parametrize("settings", [TINY, SHUFFLE], ids=["mobilenet", "shufflenet"])
@pytest.mark.parametrize("cut", [7, 10], ids=["between epochs", "mid-epoch"])
@pytest.mark.parametrize("counts", [(1, 1), (2, 1), (2, 2)], ids=str)
def test_20_steps_are_as_many_in_two_parts_to_the_byte(
    tmp_path, threads, implementation, settings, cut, counts
):  # fmt: skip
    """The whole file: tensors, velocities, statistics, description; on 1 and 2 threads. Crops and flips are on."""
    expected = twenty_steps(settings, implementation)
    threads(counts[0])
    take(trainer(tiny(), settings), cut).save(tmp_path / "c")
    threads(counts[1])
    take(Trainer.resume(tmp_path / "c", tiny()), 20 - cut).save(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == expected


def test_a_checkpoint_from_before_finish_epoch_goes_on_as_well(tmp_path):
    training = trainer()
    for _ in range(7):
        training.step()
    training.save(tmp_path / "c")
    resumed = Trainer.resume(tmp_path / "c", tiny())
    assert (resumed.epoch, resumed.position) == (0, 7)
    for each in training, resumed:
        each.finish_epoch()
        whole(each).save(tmp_path / f"{each is training}")
    assert (tmp_path / "True").read_bytes() == (tmp_path / "False").read_bytes()


@pytest.mark.parametrize("change", [{"seed": 1}, {"flip": False}, {"crop": 2}, {"lr": 0.11}, {"momentum": 0.0}])
def test_other_settings_give_other_bytes(tmp_path, change):
    """Else the comparisons above would prove nothing."""
    for name, training in ("a", trainer()), ("b", trainer(**change)):
        take(training, 3).save(tmp_path / name)
    weights = [Trainer.resume(tmp_path / name, tiny()).net.state_dict() for name in "ab"]
    assert any(not np.array_equal(value, weights[1][name]) for name, value in weights[0].items())


def test_more_epochs_may_be_asked_for(tmp_path):
    whole(trainer(schedule="constant")).save(tmp_path / "c")
    longer = dataclasses.replace(TINY, schedule="constant", epochs=5)
    whole(Trainer.resume(tmp_path / "c", tiny(), longer)).save(tmp_path / "parts")
    whole(trainer(schedule="constant", epochs=5)).save(tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 57}, "`batch_size` (=57) must be at most the number of training images (=56)"),
        ({"crop": 8}, "`crop` (=8) must be less than the images' shorter side (=8)"),
        ({"model": "resnet"}, "`model` (='resnet') must be one of 'mobilenet', 'shufflenet'"),
        ({"body": "big"}, "`body` (='big') must be one of 'small', 'paper'"),
        ({"schedule": "up"}, "`schedule` (='up') must be one of"),
        ({"width": 0.0}, "`width` (=0.0) must be greater than 0 and at most 16"),
        ({"width": 17}, "`width` (=17) must be greater than 0 and at most 16"),
        ({"scale": float("nan")}, "`scale` (=nan) must be"),
        ({"groups": 0}, "`groups` (=0) must be at least 1"),
        ({"groups": 17}, "`groups` (=17) must be at most 16"),
        ({"epochs": 0}, "`epochs` (=0) must be at least 1"),
        ({"epochs": 5001}, "`epochs` (=5001) must be at most 5000"),
        ({"batch_size": 1}, "`batch_size` (=1) must be at least 2"),
        ({"crop": -1}, "`crop` (=-1) must be at least 0"),
        ({"seed": -1}, "`seed` (=-1) must be at least 0"),
        ({"lr": -0.1}, "`lr` (=-0.1) must be at least 0"),
        ({"lr": float("inf")}, "`lr` (=inf) must be at least 0 and finite"),
        ({"momentum": float("nan")}, "`momentum` (=nan) must be"),
        ({"weight_decay": -1}, "`weight_decay` (=-1) must be at least 0"),
        ({"label_smoothing": 1.0}, "`label_smoothing` (=1.0) must be at least 0 and less than 1"),
        ({"skip_decay": ([],)}, "`skip_decay` (=([],)) must hold only"),
        ({"skip_decay": ("2d",)}, "`skip_decay` (=('2d',)) must hold only 'depthwise', '1d'"),
    ],
)
def test_wrong_values(change, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared)
        trainer(**change)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "change",
    [{"lr": "0.1"}, {"lr": True}, {"width": None}, {"epochs": 2.0}, {"seed": "0"}, {"flip": 1}, {"nesterov": "yes"},
     {"data": 5}, {"batch_size": True}, {"skip_decay": None}, {"skip_decay": "1d"}],
    ids=str,
)  # fmt: skip
def test_wrong_types(change):
    with pytest.raises(TypeError, match=rf"^`{next(iter(change))}` \(="):
        dataclasses.replace(TINY, **change)


def test_the_smallest_and_largest_networks():
    """`least_parameters` never exceeds what there is, and comes near it where networks can get large."""
    for body in BODIES:
        for width in 0.01, 0.25, 1.0, 1.3:
            settings = Settings(body=body, width=width)
            count = sum(value.size for value in settings.network((28, 28, 1), 10).parameters().values())
            assert settings.least_parameters() <= count
            if width == 1.0:
                assert settings.least_parameters() > 0.7 * count
    shuffle = Settings(model="shufflenet", scale=16.0, groups=1).network((28, 28, 1), 10)
    assert sum(value.size for value in shuffle.parameters().values()) < 6_000_000


def test_settings_survive_json():
    for settings in TINY, SHUFFLE, Settings():
        assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


def test_a_training_that_diverges_says_so():
    training = trainer(lr=1e30, schedule="constant")
    with pytest.raises(
        FloatingPointError, match=r"diverged: the loss is (nan|inf) in epoch 1, step \d; a smaller `lr`"
    ):
        take(training, 7)
    training = trainer()
    for _ in range(7):
        training.step()
    next(iter(training.net.parameters().values()))[...] = np.nan
    with pytest.raises(FloatingPointError, match=r"the loss on the test images is nan in epoch 1, step 7; a smaller"):
        training.finish_epoch()
    assert training.history == []


def test_steps_and_epochs_come_in_their_order():
    training = trainer()
    with pytest.raises(RuntimeError, match="the epoch has 7 steps, and 0 are done"):
        training.finish_epoch()
    for _ in range(7):
        training.step()
    with pytest.raises(RuntimeError, match="the epoch is complete"):
        training.step()


def test_nesterov_without_momentum_is_plain_sgd():
    assert trainer(momentum=0.0).optimizer.nesterov is False
    assert isinstance(trainer().optimizer, SGD)
    assert trainer().optimizer.nesterov is True


# ---- pictures and log ------------------------------------------------------------------------------------------------


def png_size(path):
    """Return width and height as the PNG header has them."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xae\x42\x60\x82")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def test_the_confusion_matrix_shows_the_numbers(tmp_path):
    """Where a number stands is its class, and where none stands it is 0."""
    confusion = take(trainer(), 7).evaluate().confusion
    confusion[1, 3] += 1234
    axes = confusion_matrix(confusion, "abcd").axes[0]
    shown = np.zeros_like(confusion)
    for text in axes.texts:
        b, a = text.get_position()
        shown[a, b] = int(text.get_text())
    np.testing.assert_array_equal(shown, confusion)
    assert [label.get_text() for label in axes.get_yticklabels()] == list("abcd")
    assert [label.get_text() for label in axes.get_xticklabels()] == list("abcd")
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "classified as")
    assert axes.get_title() == f"{100 * confusion.trace() / 1254:.1f} % of 1,254 images are right"
    np.testing.assert_allclose(axes.images[0].get_array(), confusion / confusion.sum(1, keepdims=True))
    draw_confusion(tmp_path / "c.png", confusion, "abcd")
    width, height = png_size(tmp_path / "c.png")
    assert 400 <= width == height <= 1000


@pytest.mark.parametrize(("classes", "numbers"), [(50, 49), (255, 0)])
def test_a_confusion_matrix_of_many_classes_stays_a_picture_of_sane_size(classes, numbers):
    """255 classes at the scale of ten would be a gigabyte of pixels; a class without images is no division by 0."""
    figure = confusion_matrix(np.diag(np.arange(classes)), [str(a) for a in range(classes)])
    assert max(figure.get_size_inches()) == 24
    assert len(figure.axes[0].texts) == numbers
    assert len(figure.axes[0].get_xticks()) <= 50


def test_the_curves_are_those_of_the_log(tmp_path):
    history = [Epoch(e, 0.1, 2 / e, 1 - 1 / e, 3 / e, 1 - 1 / (e + 1), 2.0, 99.0) for e in range(1, 4)]
    title = "trained on {}/$a^$_%s"  # the name of a folder may look like mathematics
    figure = curves(history, title)
    losses, accuracies = figure.axes
    for axes, field, scale in (losses, "loss", 1), (accuracies, "accuracy", 100):
        for line, part in zip(axes.lines, ("train", "test"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            np.testing.assert_allclose(line.get_ydata(), [scale * getattr(row, f"{part}_{field}") for row in history])
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["train 0.667", "test 1.000"]
    assert [text.get_text() for text in accuracies.get_legend().get_texts()] == ["train 66.7 %", "test 75.0 %"]
    for rows in history, history[:1], [history[0]._replace(epoch=e) for e in range(1, 101)]:
        draw_curves(tmp_path / "c.png", rows, title)
        assert png_size(tmp_path / "c.png") == (990, 418)


def test_the_log_has_a_line_for_each_epoch(tmp_path):
    write_log(tmp_path / "log.csv", [Epoch(1, 0.1, 1 / 3, 0.5, 2.0, 0.25, 1.5, 100.0)])
    assert (tmp_path / "log.csv").read_bytes() == (
        b"epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,seconds,images_per_second\r\n"
        b"1,0.1,0.333333,0.5,2,0.25,1.5,100\r\n"
    )
