"""`npnets explain`: one page without holes that asks for nothing, what it says of a network, and the command."""

import base64
import inspect
import io
import json
import re
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared

import npnets
from npnets import cli, layers
from npnets.explain.network import describe
from npnets.explain.page import PARTS, SCRIPTS, page
from npnets.ops.conv2d import _loops_dx
from npnets.predict.classify import see

pytestmark = pytest.mark.quick

TEXTS = {language: json.loads((PARTS / f"{language}.json").read_text("utf-8")) for language in ("en", "ko")}
SOURCE = {path.name: path.read_text("utf-8") for path in PARTS.iterdir() if path.suffix in (".js", ".html", ".css")}


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def network():
    with npnets.use("numpy"):
        net = npnets.ShuffleNetV1(scale=0.5, num_classes=7).eval()
        net.classes = tuple(f"</script><b>class {n}" for n in range(7))
        picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        return net, picture, describe(net, picture, "weights.npz")


# -- the page ----------------------------------------------------------------------------------------------------------


def test_page_needs_nothing_else():
    html = page()
    assert "<!-- " not in html
    assert set(re.findall(r"https?:[^\"'` ]*", html)) == set()
    assert not re.search(r"<link|\bsrc=|@import|\burl\(|\bimport[ (]|fetch\(|XMLHttp|eval\(|new Function", html)
    assert "default-src 'none'" in html
    assert len(html) < 150_000


def test_page_is_well_formed():
    """Every element that opens is closed, each id is there once, and what is referred to exists."""
    void, opened, ids, references = {"meta", "input", "img", "br"}, [], [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in void:
                opened.append(tag)
            attributes = dict(attributes)
            ids.extend([attributes["id"]] if "id" in attributes else [])
            references.extend(attributes[name] for name in ("aria-labelledby", "aria-controls") if name in attributes)

        def handle_endtag(self, tag):
            if tag != "path":
                assert opened.pop() == tag

        def handle_startendtag(self, tag, attributes):
            pass

    Reader().feed(SOURCE["page.html"])
    assert opened == []
    assert len(ids) == len({*ids})
    named = re.findall(r'byId\("([\w-]+)"\)', "".join(SOURCE.values()))
    assert {*references, *named} <= {*ids}


def test_all_parts_are_used():
    assert {f"{script}.js" for script in SCRIPTS} == {name for name in SOURCE if name.endswith(".js")}


def test_loops_are_the_real_source():
    loops = data_of(page())["loops"]
    source = inspect.getsource(getattr(_loops_dx, "py_func", _loops_dx)).splitlines()
    assert loops["conv2d._loops_dx"] == {"file": "npnets/ops/conv2d.py", "lines": source[1:]}
    assert {*re.findall(r'loops: "(.*?)"', SOURCE["equations.js"])} == loops.keys()
    for function in loops.values():  # what the page takes for granted
        assert function["lines"][0].startswith("def _loops")
        assert re.search(r" (\+=|=) ", function["lines"][-1])
        assert sum(" if " in line for line in function["lines"]) <= 1


def test_texts():
    """Both languages say the same things, with the same placeholders; all are used, and none is missing."""
    english, korean = TEXTS["en"], TEXTS["ko"]
    assert {name for name in english if not name.endswith(".one")} == {
        name for name in korean if not name.endswith(".one")
    }
    for name in korean:
        assert {*re.findall(r"\{\w+\}", english[name])} == {*re.findall(r"\{\w+\}", korean[name])}, name
        words = re.sub(r"\{\w+\}", "", english[name])
        assert english[name] != korean[name] or not re.search("[a-z]{3}", words) or name.endswith(".label"), name
    code = "".join(SOURCE.values())
    used = {*re.findall(r'data-(?:text|label)="([\w.]+)"', code), *re.findall(r'"([a-z]+(?:\.[\w]+)*)"', code)}
    composed = ("kind.", "about.", "slider.", "role.", "where.", "layer.", "network.")
    for name in english:
        assert name.removesuffix(".one") in used or name.startswith(composed), name
    for name in re.findall(r'data-(?:text|label)="([\w.]+)"', code):
        assert name in english, name
    for name in re.findall(r'(?<![\w.])text\("([\w.]+)"', code):
        assert name in english, name


# -- a network ---------------------------------------------------------------------------------------------------------


def test_costs_are_those_of_npnets(network):
    net, picture, said = network
    count = npnets.cost(net, picture.shape)
    assert (said["mult_adds"], said["parameters"]) == (count.mult_adds, count.parameters)
    assert sum(layer["mult_adds"] for layer in said["layers"]) == count.mult_adds
    assert sum(layer["parameters"] for layer in said["layers"]) == count.parameters
    shapes = {layer.name: (list(layer.in_shape), list(layer.out_shape)) for layer in count.layers}
    for layer in said["layers"]:
        assert (layer["input"], layer["output"]) == shapes[layer["name"]]
        assert layer["kind"] in {name.removeprefix("layer.") for name in TEXTS["en"] if name.startswith("layer.")}
    merged = [name for name, layer in net.layers() if isinstance(layer, layers.BatchNorm)]
    assert not {*merged} & {layer["name"] for layer in said["layers"]}


def test_classes(network):
    net, picture, said = network
    with npnets.use("numpy"):
        logits = net(net.preprocess(picture[None]))[0].astype(float)
    shares = np.exp(logits) / np.exp(logits).sum()
    best = np.argsort(-shares)[:5]
    assert [one["name"] for one in said["classes"]] == [net.classes[n] for n in best]
    assert np.allclose([one["probability"] for one in said["classes"]], shares[best], rtol=1e-6)


def decoded(url):
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    head, _, content = url.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return pillow.open(io.BytesIO(base64.b64decode(content)))


def test_pictures(network):
    """Tiles show the numbers: a map's brightest is its greatest, kernels have 0 in the middle; gaps are transparent."""
    net, picture, said = network
    assert decoded(said["photo"]).size == picture.shape[:2]
    seen = {}
    stem = net.children["stem"].children["activation"]
    forward, vars(stem)["forward"] = stem.forward, lambda x: seen.setdefault("out", forward(x))
    with npnets.use("numpy"):
        net(net.preprocess(picture[None]))
    del vars(stem)["forward"]
    out, drawn = seen["out"][0], said["layers"][0]["maps"]
    indices = np.array(decoded(drawn["image"]))
    side, across = out.shape[0] + 1, round((indices.shape[1] + 1) / (out.shape[1] + 1))
    assert (drawn["shown"], drawn["count"]) == (out.shape[2], out.shape[2])
    assert (drawn["low"], drawn["high"]) == (f"{out.min():.3g}", f"{out.max():.3g}")
    for channel in range(out.shape[2]):
        top, left = channel // across * side, channel % across * side
        tile = indices[top : top + side - 1, left : left + side - 1]
        one = out[..., channel].astype(float)
        expected = (one - one.min()) / (one.max() - one.min() or 1) * 254
        assert np.abs(tile - expected).max() <= 0.5 + 1e-3
    gap = np.array(decoded(drawn["image"]).convert("RGBA"))[side - 1, 0]
    assert gap[3] == 0
    weight = net.parameters()["stem.conv.weight"]
    kernels = said["layers"][0]["kernels"]
    assert (kernels["shown"], kernels["count"], kernels["kind"]) == (36, weight[0, 0].size, "kernels")
    first = np.array(decoded(kernels["image"]))[:3, :3]
    kernel = weight[:, :, 0, 0].astype(float)
    assert np.abs(first - (kernel / abs(kernel).max() + 1) * 127).max() <= 0.5 + 1e-3
    last = said["layers"][-1]["kernels"]
    assert last["kind"] == "matrix"
    assert (last["shown"], last["count"]) == (128 * 7, net.parameters()["classifier.weight"].size)


def test_networks_stay_as_they_were(network):
    net = network[0]
    assert all("forward" not in vars(layer) for _, layer in net.layers())


def test_names_cannot_leave_their_text(network):
    html = page(network[2])
    assert "</script><b>" not in html
    assert data_of(html)["network"] == network[2]


def test_real_weights():
    weights, names = shared("mobilenet_v1_025_224_tf.npz"), shared("imagenet_classes.json")
    with np.load(shared("photos_224_ref.npz")) as reference:
        files = {name: reference[name] for name in reference.files}
    net = npnets.from_pretrained(weights)
    net.classes = tuple(json.loads(names.read_text("utf-8")))
    images = next(value for value in files.values() if value.dtype == np.uint8 and value.ndim == 4)
    with npnets.use("numpy"):
        said = describe(net, images[0], "")
        logits = net(net.preprocess(images[:1]))[0]
    assert said["classes"][0]["name"] == net.classes[logits.argmax()]
    assert (said["mult_adds"], said["parameters"], len(said["layers"])) == (41030272, 470072, 29)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Note what the browser is asked to open; the current folder is an empty one."""
    urls = []
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url) or True)
    monkeypatch.chdir(tmp_path)
    return urls


def test_command(opened, tmp_path, capsys):
    assert cli.main(["explain"]) == 0
    path = tmp_path / "npnets-explain.html"
    assert path.read_text("utf-8") == page()
    assert opened == [path.as_uri()]
    assert capsys.readouterr().out == f"wrote {path.name} (0.1 MB)\n"


def test_command_without_a_browser(opened, tmp_path, monkeypatch, capsys):
    assert cli.main(["explain", "--no-open", "--out", "한글 #1.html"]) == 0
    assert opened == []
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert cli.main(["explain"]) == 0
    assert "no browser was found" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["npnets-explain.html", "한글 #1.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "net.npz"], "`--weights` (=net.npz) needs a photograph"),
        (["--classes", "names.json"], "`--classes` (=names.json) needs a photograph"),
        (["--weights", "nosuch.npz", "photo.png"], "nosuch.npz"),
        (["--out", "nosuch/page.html"], "No such file or directory"),
    ],
)
def test_command_refuses(opened, tmp_path, capsys, arguments, message):
    assert cli.main(["explain", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("npnets: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert [*tmp_path.iterdir()] == []
    assert opened == []


def test_command_with_a_network(opened, tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    net = npnets.MobileNetV1(width=0.25, num_classes=3, rows=((16, 2), (32, 2)), in_channels=1)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    pillow.fromarray(picture).save("photo.png")
    npnets.save_weights(net, "net.npz")
    Path("names.txt").write_text("eins\nzwei\ndrei\n", "utf-8")
    with npnets.use("numpy"):
        assert cli.main(["explain", "--weights", "net.npz", "--classes", "names.txt", "photo.png", "--no-open"]) == 0
        said = data_of((tmp_path / "npnets-explain.html").read_text("utf-8"))["network"]
        assert said == json.loads(json.dumps(describe(again(net), see(net, "photo.png"), "net.npz")))
    assert {one["name"] for one in said["classes"]} == {"eins", "zwei", "drei"}
    assert said["input"] == [224, 224, 1]


def again(net):
    net.classes = ("eins", "zwei", "drei")
    return net.eval()
