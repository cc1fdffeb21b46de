"""`npnets evaluate`: what is counted, how classes are matched, what is shown."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import rich.console
from PIL import Image
from shared_data import shared
from training import IMPLEMENTATION, USE, leave, tiny, write_idx

import npnets
from npnets import cli
from npnets.predict import report
from npnets.predict.evaluate import Score, evaluate, outputs_of

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

quick = pytest.mark.quick


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make an empty folder the current one, with a data set and a network for it, as `npnets train` leaves it."""
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "tiny", tiny())
    trainer = leave(tmp_path / "runs/mobilenet-tiny")
    threads = npnets.get_threads()
    yield trainer
    npnets.set_threads(threads)


def run(capsys, *arguments):
    status = cli.main(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# ---- counting --------------------------------------------------------------------------------------------------------


def logits_and_labels(N, images=200):
    """Whole numbers from 0 to 3, so that many are equal."""
    rng = np.random.default_rng(N)
    return rng.integers(0, 4, (images, N)).astype(np.float32), rng.integers(0, N, images)


def counted(logits, labels, size=64):
    """Evaluate a network that gives these logits: the images are their numbers."""
    images = np.arange(len(labels)).reshape(-1, 1, 1, 1)
    names = [f"c{n}" for n in range(logits.shape[1])]
    batches = [slice(start, start + size) for start in range(0, len(labels), size)]
    return evaluate(lambda part: logits[part[:, 0, 0, 0]], images, labels, names, batches)


@quick
@pytest.mark.parametrize("N", [2, 5, 6, 30])
def test_counts(N):
    """Against sorting each row by itself: equal logits in the order of their classes."""
    logits, labels = logits_and_labels(N)
    score = counted(logits, labels)
    ranks = [sorted(range(N), key=lambda n, row=row: (-row[n], n)) for row in logits]
    assert score.right == sum(rank[0] == label for rank, label in zip(ranks, labels, strict=True))
    top = sum(label in rank[:5] for rank, label in zip(ranks, labels, strict=True))
    assert score.among_top == (top if N > 5 else None)
    assert score.images == len(labels)
    for a, one in enumerate(score.classes):
        for b, other in enumerate(score.classes):
            pairs = [(f"c{label}", f"c{rank[0]}") for rank, label in zip(ranks, labels, strict=True)]
            assert score.confusion[a, b] == pairs.count((one, other))


@quick
def test_classes_that_do_not_occur_are_left_out():
    logits = np.eye(1000, dtype=np.float32)[[7, 9, 9, 800]]
    score = counted(logits, np.array([7, 7, 9, 7]))
    assert score.classes == ("c7", "c9", "c800")
    assert score.confusion.tolist() == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert [tuple(row) for row in score.by_class()] == [("c7", 3, 1, "c9"), ("c9", 1, 1, None)]
    assert (score.right, score.images, score.among_top) == (2, 4, 2)  # c7 is among those that are equal, c0 to c4 first


@quick
def test_logits_that_are_not_finite():
    with pytest.raises(FloatingPointError, match="a logit is not finite"):
        counted(np.full((2, 3), np.nan, np.float32), np.array([0, 1]))


# ---- classes ---------------------------------------------------------------------------------------------------------


@quick
def test_classes_are_matched_by_name():
    assert outputs_of(["cat", "dog"], ["ant", "Dog", "cat"], 3).tolist() == [2, 1]
    assert outputs_of(["cat", "dog"], None, 2).tolist() == [0, 1]
    assert outputs_of(["0", "1"], ["T-shirt", "Trouser"], 2).tolist() == [0, 1]  # an IDX file has no names


@quick
@pytest.mark.parametrize(
    ("classes", "names", "message"),
    [
        (["cat", "dog"], None, "the data has 2 classes and the network 3, whose names are not known: give them by"),
        (["0", "1"], ["a", "b", "c"], "'0', '1': each class of the data must be one of the network's, which are 'a', "),
        (["cat", "hen"], ["cat", "dog", "cow"], "'hen': each class of the data must be one of the network's, which"),
        (["cat"], ["cat", "dog", "Cat"], "'cat': each class of the data must be one"),
        (list("hijklmn"), list("abcdefg"), "'h', 'i', 'j', 'k', 'l' and so on: each .* 'd', 'e' and so on$"),
    ],
)
def test_classes_that_do_not_match(classes, names, message):
    with pytest.raises(ValueError, match=message):
        outputs_of(classes, names, len(names or "abc"))


# ---- what is shown ---------------------------------------------------------------------------------------------------


def shown(score, width, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding, errors="replace", newline="")
    console = rich.console.Console(file=file, width=width, color_system=None, highlight=False, markup=False)
    console.print(report.score_table(score, width))
    file.flush()
    return [line.rstrip() for line in file.buffer.getvalue().decode(encoding).splitlines()]


SCORE = Score(("cat", "dog", "[r]"), np.array([[8, 2, 0], [1, 19, 0], [0, 1, 2]]), None, 1.0)


@quick
def test_confusion_in_the_terminal():
    assert shown(SCORE, 35) == [
        "  taken for  cat  dog  [r]  right",
        "  cat          8    2    . 80.0 %",
        "  dog          1   19    . 95.0 %",
        "  [r]          .    1    2 66.7 %",
    ]


@quick
@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "ascii"])
def test_a_list_where_the_terminal_is_narrow(encoding):
    score = dataclasses.replace(SCORE, classes=("cat", "dog", "chimpanzee"), confusion=10**6 * SCORE.confusion)
    listed = [
        "  class         images   right  taken for",
        "  cat         10000000  80.0 %  dog",
        "  dog         20000000  95.0 %  cat",
        "  chimpanzee   3000000  66.7 %  dog",
    ]
    assert shown(score, 48, encoding)[0].startswith("  taken for")
    assert shown(score, 47, encoding) == listed
    assert shown(score, 30, encoding) == [line[:30] for line in listed]


@quick
def test_a_list_where_there_are_many_classes():
    logits, labels = logits_and_labels(60, 3000)
    lines = shown(counted(logits, labels), 80)
    assert lines[0].split() == ["the", "worst", "50", "of", "60", "images", "right", "taken", "for"]
    shares = [float(line.split()[2]) for line in lines[1:]]
    assert len(shares) == report.EACH
    assert shares == sorted(shares)  # the worst ones


@quick
def test_a_bar_where_there_is_a_terminal():
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=True, force_interactive=True, width=80)
    slices = [slice(0, 3), slice(3, 6), slice(6, 9)]
    assert list(report.batches(console, 7, 3)) == slices
    assert "evaluating" in file.getvalue()
    assert list(report.batches(rich.console.Console(file=io.StringIO()), 7, 3)) == slices


# ---- the command -----------------------------------------------------------------------------------------------------


def test_what_it_says_without_weights(folder, capsys):
    """The network that was trained last: the same as its trainer finds."""
    with npnets.use(IMPLEMENTATION):
        expected = folder.evaluate()
    status, out, err = run(capsys, "tiny", *USE, "--json", "score.json", "--plot", "confusion.png", "--threads", 1)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    right = int(expected.confusion.trace())
    assert lines[0] == (
        f"{Path('runs', 'mobilenet-tiny', 'checkpoint.safetensors')}: MobileNetV1, 10,244 parameters, 4 classes, "
        "images of 8 x 8"
    )
    assert lines[1] == "tiny: 20 images (test), 8 x 8 x 1, 4 classes"
    assert f"accuracy {100 * right / 20:.1f} % ({right} of 20)" in lines
    assert lines[-1].endswith(" images/s")
    held = json.loads(Path("score.json").read_bytes())
    assert held["confusion"] == expected.confusion.tolist()
    assert Path("confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("use", ["loops", "numpy", "numba"])
def test_every_implementation_counts_the_same(folder, capsys, use):
    status, out, _ = run(capsys, "tiny", "--use", use, "--json", "-", "--part", "all", "--batch", 7)
    assert status == 0
    held = json.loads(out)
    with npnets.use(IMPLEMENTATION):
        data = folder.dataset
        images, labels = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
        taken = folder.net.eval()(npnets.data.normalise(images, folder.mean, folder.std)).argmax(1)
    assert held["images"] == len(labels) == 76
    assert held["right"] == int((taken == labels).sum())


def test_errors_are_one_line(folder, capsys):
    for name in "a/1.png", "a/2.png", "b/1.png", "b/2.png":
        Path("pictures", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(Path("pictures", name))
    for arguments, message in (
        (("tiny", "--batch", "0"), "`--batch` (=0) must be at least 1"),
        (("nowhere",), "`data` (='nowhere') must be one of"),
        (("pictures",), "pictures has 3 channels, and the network takes 1"),
        (("digits",), "each class of the data must be one of the network's"),
    ):
        status, out, err = run(capsys, *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert message in err


def test_the_accuracy_on_cifar(tmp_path, monkeypatch, capsys):
    """250 lossless images that a network trained elsewhere gets 90.8 % of, from a folder of pictures."""
    weights, held = shared("shufflenet_v1_05_g3_cifar10.npz"), np.load(shared("cifar10_test_250_ref.npz"))
    monkeypatch.chdir(tmp_path)
    for number, (image, label) in enumerate(zip(held["x"], held["y"], strict=True)):
        each = tmp_path / "cifar" / CIFAR[label]
        each.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(each / f"{number:03}.png")
    status, out, err = run(capsys, "cifar", "--weights", weights, "--part", "all", "--json", "score.json")
    assert (status, err) == (0, "")
    right = held["logits_shufflenet_v1_05_g3"].argmax(1) == held["y"]
    assert "cifar: 250 images (all), 32 x 32 x 3, 10 classes" in out
    assert f"accuracy 90.8 % ({right.sum()} of 250), among the top 5 " in out
    for row in json.loads(Path("score.json").read_bytes())["by_class"]:
        own = held["y"] == CIFAR.index(row["name"])
        assert (row["images"], row["right"]) == (own.sum(), right[own].sum())
