"""`npnets classify`: what it says of photographs, and the picture that explains it."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rich.console
from PIL import Image
from shared_data import shared
from training import IMPLEMENTATION, leave
from uninstalled import uninstall

import npnets
from npnets import cam, cli
from npnets.predict import network, picture, report
from npnets.predict.classify import Guess, best, see
from npnets.predict.network import read_names

quick = pytest.mark.quick


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make an empty folder the current one, with a network as `npnets train` leaves it, and pictures."""
    monkeypatch.chdir(tmp_path)
    trainer = leave(tmp_path / "runs/mobilenet-tiny")
    rng = np.random.default_rng(0)
    for name, shape in (("wide.png", (30, 50, 3)), ("high.jpg", (80, 20, 3)), ("grey.png", (8, 8))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(name)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    threads = npnets.get_threads()
    yield trainer
    npnets.set_threads(threads)


def run(capsys, *arguments):
    status = cli.main(["classify", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# ---- real photographs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Write the five photographs as PNG; return the weights, their names and the reference logits."""
    weights, held = shared("mobilenet_v1_025_224_tf.npz"), np.load(shared("photos_224_ref.npz"))
    place = tmp_path_factory.mktemp("photographs")
    for name, image in zip(held["names"], held["x"], strict=True):
        Image.fromarray(image).save(place / f"{name}.png")
    files = [str(place / f"{name}.png") for name in held["names"]]
    return weights, files, held["logits_mobilenet_v1_025_tf"]


def test_five_photographs(photographs, capsys):
    """The class that is printed first is the one that PyTorch found in float64."""
    weights, files, reference = photographs
    classes = shared("imagenet_classes.json")
    status, out, err = run(capsys, *files, "--weights", weights, "--classes", classes, "--json", "-")
    assert (status, err) == (0, "")
    names = json.loads(classes.read_text("utf-8"))
    exps = np.exp(reference - reference.max(1, keepdims=True))
    for said, file, logits, p in zip(json.loads(out)["photographs"], files, reference, exps, strict=True):
        assert said["file"] == file
        assert [guess["index"] for guess in said["classes"]] == np.argsort(-logits)[:5].tolist()
        for guess in said["classes"]:
            assert guess["name"] == names[guess["index"]].strip()
            assert abs(guess["logit"] - logits[guess["index"]]) <= 1e-4 * abs(logits).max()
            assert abs(guess["probability"] - p[guess["index"]] / p.sum()) <= 2e-4 * abs(logits).max()


def test_what_is_printed_of_five_photographs(photographs, capsys):
    weights, files, reference = photographs
    status, out, err = run(capsys, *files, "--weights", weights, "--top", 2)
    assert (status, err) == (0, "")
    blocks = out.split("\n\n")[1:]
    for file, block, logits in zip(files, blocks, reference, strict=True):
        lines = block.splitlines()
        assert lines[0] == file
        assert [line.split()[:2] for line in lines[1:]] == [["class", str(n)] for n in np.argsort(-logits)[:2]]


def test_the_maps_explain_the_logits(photographs):
    """On real features, with the weights as they are: mean and bias, to rounding (see test_cam)."""
    weights, _, reference = photographs
    net = npnets.from_pretrained(weights, dtype=np.float64)
    x = net.preprocess(np.load(shared("photos_224_ref.npz"))["x"])
    seen = cam.activations(net, x)
    assert seen.maps.shape == (5, 7, 7, 1000)
    logits = seen.maps.mean((1, 2)) + net.parameters()["classifier.bias"]
    assert abs(logits - reference).max() <= 1e-9 * abs(reference).max()


# ---- what is asked of a photograph -----------------------------------------------------------------------------------


@quick
def test_best():
    logits = np.log([1.0, 4.0, 1.0, 2.0])
    names = ["ant", "bee", "cat", "dog"]
    guesses = best(logits, names, 3)
    assert [guess.name for guess in guesses] == ["bee", "dog", "ant"]  # of equals the first one
    np.testing.assert_allclose([guess.probability for guess in guesses], [0.5, 0.25, 0.125], 1e-15)
    assert [guess.name for guess in best(logits, None, 9)] == ["class 1", "class 3", "class 0", "class 2"]
    assert best(np.array([1e4, -1e4], np.float32), None, 1)[0].probability == 1
    for wrong in np.nan, np.inf:
        with pytest.raises(FloatingPointError, match="the logits are not finite"):
            best(np.array([0, wrong]), None, 1)


@quick
def test_what_the_network_is_shown(folder):
    net = npnets.MobileNetV1(rows=(), num_classes=2)
    assert see(net, "wide.png").shape == (224, 224, 3)
    net = npnets.MobileNetV1(rows=(), num_classes=2, in_channels=1)
    net.preprocessing = npnets.preprocessing.Preprocessing((0.5,), (0.5,), side=8)
    assert np.array_equal(see(net, "grey.png")[..., 0], np.asarray(Image.open("grey.png")))
    square = Image.open("wide.png").crop((10, 0, 40, 30)).resize((8, 8), Image.Resampling.BILINEAR)
    assert abs(see(net, "wide.png")[..., 0].astype(int) - np.asarray(square.convert("L"))).max() <= 1
    with pytest.raises(ValueError, match="images of 2 channels, and photographs have 1 or 3"):
        see(npnets.MobileNetV1(rows=(), num_classes=2, in_channels=2), "wide.png")


# ---- the command -----------------------------------------------------------------------------------------------------


def test_what_it_says_without_weights(folder, capsys):
    status, out, err = run(capsys, "wide.png", "high.jpg", "--threads", 1)
    assert (status, err) == (0, "")
    assert npnets.get_threads() == 1
    about, *blocks = out.split("\n\n")
    weights = Path("runs", "mobilenet-tiny", "checkpoint.safetensors")
    assert about == f"{weights}: MobileNetV1, 10,244 parameters, 4 classes, images of 8 x 8"
    for name, block in zip(("wide.png", "high.jpg"), blocks, strict=True):
        title, *lines = block.splitlines()
        assert title == name
        assert sorted(line.split()[0] for line in lines) == list("abcd")
        shares = [float(line.split()[1]) for line in lines]
        assert shares == sorted(shares, reverse=True)
        assert abs(sum(shares) - 100) <= 0.2  # each is rounded to 0.1
        net, image = folder.net.eval(), see_tiny(folder, name)
        with npnets.use(IMPLEMENTATION):
            logits = net(npnets.data.normalise(image[None], folder.mean, folder.std))[0]
        assert lines[0].split()[0] == "abcd"[logits.argmax()]


def see_tiny(trainer, name):
    net = trainer.net
    net.preprocessing = npnets.preprocessing.Preprocessing((0.5,), (0.5,), side=8)
    return see(net, name)


def test_a_photograph_that_cannot_be_read_does_not_stop_the_others(folder, capsys):
    status, out, err = run(capsys, "gone.png", "wide.png", "broken.jpg", "grey.png", "--json", "said.json")
    assert status == 1
    assert [line for line in out.splitlines() if line.endswith((".png", ".jpg"))] == ["wide.png", "grey.png"]
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("npnets: error: ") for line in lines)
    assert "gone.png" in lines[0]
    assert "broken.jpg" in lines[1]
    held = json.loads(Path("said.json").read_bytes())["photographs"]
    assert [("error" in one, one["file"]) for one in held] == [
        (True, "gone.png"), (False, "wide.png"), (True, "broken.jpg"), (False, "grey.png"),
    ]  # fmt: skip


def test_names_of_the_classes(folder, capsys):
    Path("names.txt").write_text("ant\nbee\n\ncat [/b]\n")
    with pytest.raises(ValueError, match="a name is empty"):
        read_names("names.txt")
    Path("names.txt").write_text("\ufeffant\nbee\ncat [/b]\n:smile:\n", "utf-8")
    Path("names.json").write_text('["ant", "bee", "cat [/b]", ":smile:"]')
    Path("index.json").write_text(
        '{"2": ["n2", "cat [/b]"], "0": ["n0", "ant"], "1": ["n1", "bee"], "3": ["n3", ":smile:"]}'
    )
    for file in "names.txt", "names.json", "index.json":
        assert read_names(file) == ["ant", "bee", "cat [/b]", ":smile:"]
        status, out, _ = run(capsys, "grey.png", "--classes", file)
        assert status == 0
        assert sorted(line.rpartition(" %")[0].rstrip("0123456789. ").strip() for line in out.splitlines()[3:]) == [
            ":smile:", "ant", "bee", "cat [/b]",
        ]  # fmt: skip


@quick
def test_a_thousand_names_for_a_network_with_a_background(monkeypatch, tmp_path):
    """TensorFlow's networks have 1001 classes: the first one is nothing, and the thousand follow."""
    monkeypatch.setattr(network, "from_pretrained", lambda file: npnets.MobileNetV1(rows=(), num_classes=1001).eval())
    (tmp_path / "names").write_text("\n".join(f"name {n}" for n in range(1000)))
    net, about = network.load("a.tflite", str(tmp_path / "names"))
    assert net.classes == ("background", *(f"name {n}" for n in range(1000)))
    assert about == "a.tflite: MobileNetV1, 33,961 parameters, 1001 classes"


@quick
@pytest.mark.parametrize(
    "content",
    [
        "a" * (1 << 20) + "b",
        '["a", 1]',
        '["a"',
        "[" * 100_000,
        "",
        '{"0": "a"}',
        '{"1": ["a", "b"]}',
        "a\n \nb",
        "\xff",
        "[]",
        "[[1]]",
    ],
)
def test_what_is_no_list_of_names(folder, content):
    Path("names").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="names is no list of names, as JSON or one on each line: "):
        read_names("names")


@quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grey.png", "--top", "0"), "`--top` (=0) must be at least 1"),
        (("grey.png", "--threads", "0"), "`--threads` (=0) must be at least 1"),
        (("grey.png", "--classes", "names"), "`--classes` (=names) has 3 names, and the network 4 classes"),
        (("grey.png", "--classes", "gone"), "gone"),
        (("grey.png", "--weights", "gone.npz"), "gone.npz"),
        (("grey.png", "--layers", "stem"), "`--layers` (=stem) goes with --explain, which draws them"),
        (("grey.png", "wide.png", "--explain", "a.png"), "`--explain` (=a.png) draws one photograph, and there are 2"),
    ],
    ids=str,
)
def test_errors_are_one_line_and_leave_nothing(folder, capsys, arguments, message):
    Path("names").write_text("a\nb\nc\n")
    before = sorted(os.listdir())
    status, out, err = run(capsys, *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err
    assert sorted(os.listdir()) == before


def test_a_network_that_was_never_trained_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "grey.png")
    assert (status, out) == (1, "")
    assert "there is no training in the folder runs: `npnets train` leaves one, or name a file with --weights" in err


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(folder, capsys):
    """The names of a state_dict say nothing of padding and activation."""
    np.savez("plain.npz", **npnets.MobileNetV1(width=0.25, num_classes=2).state_dict())
    status, _, err = run(capsys, "wide.png", "--weights", "plain.npz")
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith("npnets: warning: the names of these arrays are npnets' own and do not tell ")


def test_what_cannot_be_written_is_named(folder, capsys):
    """And not the temporary file beside it."""
    Path("a.png").mkdir()
    for option, path in (
        ("--json", "no/a.json"),
        ("--json", "grey.png/a"),
        ("--explain", "no/a"),
        ("--explain", "a.png"),
    ):
        status, _, err = run(capsys, "wide.png", option, path)
        assert (status, err.count("\n")) == (1, 1)
        assert err.endswith(f": '{path}'\n")


@pytest.mark.parametrize("package", ["rich", "PIL", "matplotlib"])
def test_without_an_optional_package(folder, capsys, monkeypatch, package):
    uninstall(monkeypatch, package)
    status, out, err = run(capsys, "grey.png", "--explain", "a.png")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f'needs `{package}`: pip install "npnets[demos]"' in err


# ---- the picture -----------------------------------------------------------------------------------------------------


def drawn(monkeypatch):
    """Keep the figures that are written."""
    figures = []
    monkeypatch.setattr(picture, "draw", lambda path, figure: figures.append((path, figure)))
    return figures


def test_what_is_drawn(folder, capsys, monkeypatch):
    figures = drawn(monkeypatch)
    assert run(capsys, "wide.png", "--explain", "a.png", "--top", 1)[0] == 0
    ((path, figure),) = figures
    assert path == "a.png"
    *panels, scale = figure.axes
    titles = [axes.get_title() for axes in panels]
    assert titles[0] == "what the network sees\n8 x 8"
    assert [title.splitlines()[0] for title in titles[4:]] == ["stem", "block1", "block3", "block5"]
    net = folder.net.eval()
    image = see_tiny(folder, "wide.png")
    x = npnets.data.normalise(image[None], folder.mean, folder.std)
    with npnets.use("numpy"):
        guesses = best(net(x)[0], "abcd", 3)
        maps = cam.activations(net, x, classes=[guess.index for guess in guesses]).maps[0]
    assert titles[1:4] == [
        f"{guess.name}\n{100 * guess.probability:.1f} %, logit {guess.logit:.1f}" for guess in guesses
    ]
    assert np.array_equal(panels[0].images[0].get_array(), image[..., 0])
    largest = abs(maps).max()
    for axes, values in zip(panels[1:4], np.moveaxis(maps, 2, 0), strict=True):
        photograph, overlay = axes.images
        assert np.array_equal(photograph.get_array(), image.mean(2))
        np.testing.assert_array_equal(overlay.get_array(), values)
        assert overlay.get_clim() == (-largest, largest)
        assert overlay.get_extent() == photograph.get_extent() == [-0.5, 7.5, 7.5, -0.5]
    assert scale.get_ylim() == (-largest, largest)


def test_chosen_layers(folder, capsys, monkeypatch):
    figures = drawn(monkeypatch)
    layers = ["block1.depthwise", "block2", "block3", "block4", "stem"]
    assert run(capsys, "grey.png", "--explain", "a.png", "--layers", ",".join(layers))[0] == 0
    titles = [axes.get_title() for axes in figures[0][1].axes[4:]]
    assert [title.splitlines()[0] for title in titles if "channels" in title] == layers
    assert titles[0] == "block1.depthwise\n8 x 8, 8 of 8 channels"
    status, _, err = run(capsys, "grey.png", "--explain", "a.png", "--layers", "block9")
    assert status == 1
    assert "`layers`: 'block9' is not one of this network's: stem, block1, block2, " in err
    assert len(figures) == 1
    assert run(capsys, "grey.png", "--explain", "a.png", "--layers", "none")[0] == 0
    assert len(figures[1][1].axes) == 5  # the photograph, three classes and their scale


def test_the_picture_is_a_png(folder, capsys):
    """In few classes, and named like formulas."""
    Path("names").write_text("$a^$\nb, c\n[d]\n" + "long " * 20)
    assert run(capsys, "grey.png", "--explain", "a.png", "--classes", "names")[0] == 0
    with Image.open("a.png") as image:
        assert image.format == "PNG"
        assert image.width > 1000


@quick
def test_montage():
    features = np.zeros((2, 2, 5), np.float32)
    features[0, 0] = [1, 3, 0, -2, 8]
    tiles = picture.montage(features, 4, side=4)
    assert tiles.shape == (4 + 1 + 4, 4 + 1 + 4)
    assert np.isnan(tiles[4]).all()
    assert np.isnan(tiles[:, 4]).all()
    first, second, third, fourth = tiles[:4, :4], tiles[:4, 5:], tiles[5:, :4], tiles[5:, 5:]
    for tile, inverted in ((first, False), (second, False), (third, True), (fourth, False)):  # 8, 3, -2, 1; not 0
        expected = np.zeros((4, 4))
        expected[:2, :2] = 1
        assert np.array_equal(tile, 1 - expected if inverted else expected)
    assert np.array_equal(picture.montage(np.ones((3, 3, 1)), side=3), np.zeros((3, 3)))


# ---- terminals and encodings -----------------------------------------------------------------------------------------

GUESSES = [
    Guess(2, "great white shark, white shark, man-eater", 0.75, 3.0),
    Guess(0, "[red]cat[/]", 0.25, 1.9),
    Guess(1, "\uc0c1\uc5b4", 0.0, -9.0),
]


def printed(encoding, width):
    file = io.TextIOWrapper(io.BytesIO(), encoding, errors="replace", newline="\n")
    console = rich.console.Console(
        file=file, width=width, highlight=False, markup=False, emoji=False, legacy_windows=False, color_system=None
    )
    console.print(report.guess_table(GUESSES, width))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


@quick
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "cp949", "ascii"])
def test_bars_in_every_encoding(encoding):
    bar, half = ("\u2501", "\u2578") if encoding == "utf-8" else ("-", " ")
    shark = "\uc0c1\uc5b4".encode(encoding, "replace").decode(encoding)
    lines = [line.rstrip() for line in printed(encoding, 80).splitlines()]
    assert lines == [
        f"  great white shark, white shark, man-eater  75.0 %  {19 * bar}{half}".rstrip(),
        f"  [red]cat[/]                                25.0 %  {6 * bar}{half}".rstrip(),
        f"  {shark}                                        0.0 %",
    ]


@quick
@pytest.mark.parametrize("width", [20, 40])
def test_narrow_terminals_lose_nothing(width):
    text = printed("cp949", width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("great", "white", "shark,", "man-eater", "75.0 %", "[red]cat[/", "25.0 %", "\uc0c1\uc5b4", " 0.0 %"):
        assert word in text
