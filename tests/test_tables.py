"""`npnets tables`: each printed figure is the computed one, or says why not; the pictures; what it refuses."""

import re

import numpy as np
import pytest

import npnets
from npnets import MobileNetV1, ShuffleNetV1, cli, cost, formulas
from npnets.bench import ours
from npnets.bench.ours import LayerTime
from npnets.models.mobilenet_v1 import BODY
from npnets.tables import PAPERS, Figure, plot, select, show, time

pytestmark = pytest.mark.quick

TABLES = select()
FIGURES = [
    pytest.param(table, row, figure, id=f"{table.paper}-{table.number}-{row.label}-{what}")
    for table in TABLES
    for row in table.rows
    for what, figure in (("mult-adds", row.mult_adds), ("parameters", row.parameters))
    if figure.printed
]


@pytest.fixture
def npnets_(capsys):
    """Run a command in this process, and return its exit status, its output and its errors."""

    def call(*arguments):
        try:
            status = cli.main([*map(str, arguments)])
        except SystemExit as error:
            status = error.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


# -- the figures -------------------------------------------------------------------------------------------------------

WRONG = {  # paper, table, printed: the errata
    ("MobileNets", 2, "1.19"),
    ("MobileNets", 11, "0.58"),
    ("MobileNets", 12, "45"),
    ("MobileNets", 12, "48"),
    ("MobileNets", 12, "15"),
    ("MobileNets", 14, "286"),
    ("MobileNets", 14, "108"),
}


def test_which_tables_there_are():
    assert [table.number for table in PAPERS["mobilenet"]()] == list(range(1, 15))
    assert [table.number for table in PAPERS["shufflenet"]()] == [1, 2, 3, 4, 5, 6, 8]  # 7 has no costs
    assert len(FIGURES) == 165


@pytest.mark.parametrize(("table", "row", "figure"), FIGURES)
def test_each_printed_figure(table, row, figure):
    """It is the computed one, or a budget of about that, or quoted, or an erratum that is explained."""
    wrong = (table.paper, table.number, figure.printed) in WRONG
    assert (figure.status == "!") == wrong
    if wrong:
        assert row.note
    if figure.status == "~":
        assert abs(figure.exact / 1e6 / float(figure.printed) - 1) < 0.07
    if figure.exact is not None:
        assert figure.counts


def test_status():
    assert Figure("1.2", 1_249_999).status == Figure("1.2", 1_150_001).status == "="
    assert Figure("1.2", 1_260_000).status == "!"
    assert Figure("1.2", 1_260_000, budget=True).status == "~"
    assert Figure("1.2").status == Figure("", 1).status == ""


def exact(paper, number, label, what="mult_adds"):
    (table,) = select(paper, number)
    return {getattr(row, what).exact for row in table.rows if row.label == label}


def test_figures_come_from_the_networks():
    """The notes and PAPERS' figures, computed by another way than the tables'."""
    assert exact("mobilenet", 7, "1.0 MobileNet-160") == {cost(MobileNetV1(), (160, 160)).convolutions}
    assert exact("shufflenet", 5, "ShuffleNet 2x, g=3") == {524045184}
    assert exact("shufflenet", 1, "g=8: 24; 384/768/1536") == {136829952}
    assert exact("mobilenet", 4, "Conv MobileNet") == {4866269184}
    assert exact("mobilenet", 4, "Conv MobileNet", "parameters") == {29281120}
    assert exact("mobilenet", 3, "Convolution") == {formulas.standard(3, 512, 512, 14)}
    body = select("mobilenet", 1)[0].rows
    assert sum(row.mult_adds.exact for row in body) == 568740352
    assert sum(row.parameters.exact for row in body) == 4209088


def test_the_erratum_of_the_body():
    """What the network would cost if its last depthwise convolution had the printed stride."""
    count = cost(MobileNetV1(rows=(*BODY[:-1], (1024, 2))), (224, 224))
    assert count.mult_adds == 533833216
    noted = [row for row in select("mobilenet", 1)[0].rows if row.note]
    assert [row.label for row in noted] == ["Conv dw / s1, 3 x 3 x 1024, from 7"]
    assert "533.8 million" in noted[0].note


def test_the_erratum_of_the_shares():
    """The printed column does not add up, the computed one does."""
    (table,) = select("mobilenet", 2)
    assert sum(float(row.mult_adds.printed) for row in table.rows) == pytest.approx(99.29, abs=1e-9)
    assert sum(row.mult_adds.exact for row in table.rows) == sum(row.parameters.exact for row in table.rows) == 1


# -- text --------------------------------------------------------------------------------------------------------------


def test_a_table(npnets_):
    status, out, err = npnets_("tables", "mobilenet", 2)
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("MobileNets, table 2: Resources by type of layer, %\n")
    assert lines[2] == ["paper", "mult-adds", "counts", "paper", "params", "counts"]
    assert "Conv 3x3 [1] 1.19 % ! 1.906 % conv+fc 0.02 % = 0.021 % weights" in map(" ".join, lines)
    assert out.count("[1] The first layer has 10838016 of 568740352 mult-adds") == 1
    assert "! the printed figure is another one: see the note" in map(" ".join, lines)


def test_the_legend_has_what_stands_in_the_tables():
    assert [sign for sign, _ in show.legend(select("shufflenet", 1))] == ["paper", "=", "conv"]
    assert show.legend(TABLES) == list(show.LEGEND)


@pytest.mark.parametrize("paper", PAPERS)
def test_nothing_is_cut_where_there_is_no_terminal(npnets_, paper):
    _, out, _ = npnets_("tables", paper)
    assert "…" not in out
    for table in select(paper):
        assert show.title(table) in out
        for row in table.rows:
            assert f"{row.label} " in out
        headers, rows = show.laid_out(table)
        assert all(cell in out for cell in (*headers, *(cell for row in rows for cell in row)))
        text = " ".join(out.split())
        assert all(" ".join(note.split()) in text for note in show.notes(table))


def test_a_narrow_terminal_cuts_nothing(npnets_, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = npnets_("tables", "mobilenet", 7)
    plain = [" ".join(re.sub("\x1b[^m]*m", "", line).split()) for line in out.splitlines()]
    assert "1.0 MobileNet-160 67.2 290 M = 289,651,200 conv 4.2 M = 4,209,088 weights" in plain
    assert "= the computed figure, rounded, is" in plain  # but text is broken between words


def test_80_columns_are_enough(npnets_):
    """For tables; what is said about them is broken between words in a terminal."""
    _, out, _ = npnets_("tables")
    tables = [line for line in out.splitlines() if re.search(r" [=~!] [\d,.]+|quoted *$|────", line)]
    assert len(tables) > 90
    assert max(map(len, tables)) <= 80


def test_markdown(npnets_):
    _, out, _ = npnets_("tables", "shufflenet", "1", "--markdown")
    assert out.startswith("### ShuffleNet, table 1: Architecture: stem, stages\n\n|  | paper | mult-adds | counts |\n")
    assert "| g=3: 24; 240/480/960 | 137 M | = 136,500,672 | conv |\n" in out
    _, everything, _ = npnets_("tables", "--markdown")
    assert everything.count("### ") == len(TABLES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shufflenet", 7), "`number` (=7) must be one of 1, 2, 3, 4, 5, 6, 8"),
        (("--time", "--markdown"), "--time cannot go with N and --markdown: it shows no table of a paper"),
        (("mobilenet", 2, "--time"), "--time cannot go with N and --markdown: it shows no table of a paper"),
    ],
)
def test_errors(npnets_, arguments, message):
    assert npnets_("tables", *arguments) == (1, "", f"npnets: error: {message}\n")


# -- the picture of accuracy -------------------------------------------------------------------------------------------


def test_points():
    """Each network once, with the papers' accuracies."""
    points = plot.points(TABLES)
    assert len(points) == 42
    by_family = {family: [one for one in points if one.family == family] for family in plot.COLOURS}
    assert len({one.label for one in by_family["MobileNet"]}) == len(by_family["MobileNet"]) == 10
    assert len({one.label for one in by_family["ShuffleNet"]}) == len(by_family["ShuffleNet"]) == 19
    found = {one.label: (round(one.mult_adds, 3), one.accuracy) for one in points}
    assert found["1.0-224"] == (568.74, 70.6)
    assert found["2x, g=3"] == (524.045, 73.7)
    assert found["0.25x, g=8"] == (13.0, 47.3)
    assert found["VGG 16"] == (15300.0, 71.5)
    assert {label for line in plot.LINES for label in line} <= set(found)


@pytest.fixture(scope="module")
def picture():
    return plot.accuracy(TABLES)


def test_labels_do_not_overlap(picture):
    """Every network is named, inside of the picture, and no name touches another or a point."""
    (axes,) = picture.axes
    points = plot.points(TABLES)
    texts = [text for text in axes.texts if text.get_text()]
    assert sorted(text.get_text() for text in texts) == sorted(one.label for one in points)
    picture.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts]
    for number, box in enumerate(boxes):
        assert axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:number])
        for one in points:
            assert not box.contains(*axes.transData.transform((one.mult_adds, one.accuracy)))


def test_labels_are_seen_to_be_their_points(picture):
    """The nearest point is the label's own, or a line leads to it, past no other: the five of 1x lie close together."""
    (axes,) = picture.axes
    picture.draw_without_rendering()
    dots = axes.transData.transform([(one.mult_adds, one.accuracy) for one in plot.points(TABLES)])
    led = {text.xy for text in axes.texts if text.arrow_patch is not None}
    for text in (text for text in axes.texts if text.get_text()):
        box, dot = text.get_window_extent(), axes.transData.transform(text.xy)
        gaps = np.hypot(*np.maximum(0, np.maximum(box.min - dots, dots - box.max)).T)
        if text.xy not in led:
            assert gaps[np.hypot(*(dots - dot).T).argmin()] == gaps.min(), text.get_text()
            continue
        line = np.array(text.get_position()) * picture.dpi / 72
        along = np.clip((dots - dot) @ line / (line @ line), 0, 1)
        passed = np.hypot(*(dot + along[:, None] * line - dots).T)
        assert (passed >= np.minimum(4, np.hypot(*(dots - dot).T) / 2)).all(), text.get_text()


def test_plot(npnets_, picture, monkeypatch, tmp_path):
    monkeypatch.setattr(plot, "accuracy", {TABLES: picture}.get)
    path = tmp_path / "accuracy.png"
    assert npnets_("tables", "--plot", path) == npnets_("tables")
    assert path.read_bytes().startswith(b"\x89PNG")
    status, _, err = npnets_("tables", "--plot", tmp_path / "nowhere" / "accuracy.png")
    assert status == 1
    assert "nowhere" in err


def test_nothing_to_draw(npnets_, tmp_path):
    message = "npnets: error: there is nothing to draw: no network of MobileNets 12 has an accuracy on ImageNet\n"
    assert npnets_("tables", "mobilenet", 12, "--plot", tmp_path / "accuracy.png") == (1, "", message)
    assert not list(tmp_path.iterdir())


# -- time --------------------------------------------------------------------------------------------------------------


def test_layers_are_timed_where_they_are():
    """Each layer once, with its own mult-adds; afterwards the network is as it was."""
    net = ShuffleNetV1(stem_channels=6, stage_channels=(36,), stage_units=(2,), num_classes=3)
    x = np.zeros((2, 17, 15, 3), np.float32)
    with npnets.use("numpy"):
        times = ours.layers(net, x)
    counted = cost(net, x.shape[1:]).layers
    assert [one.name for one in times] == [*(layer.name for layer in counted), ours.BETWEEN]
    assert [(one.mult_adds, one.moved) for one in times[:-1]] == [(one.mult_adds, one.bytes) for one in counted]
    assert all(one.seconds > 0 for one in times[:-1])
    assert times[-1].seconds >= 0
    assert not any("forward" in vars(layer) for _, layer in net.layers())


def test_measure_takes_the_least_disturbed(monkeypatch):
    """Of each fused step the shortest of several medians."""
    rounds = [[LayerTime("stem.conv", s, 5, 6), LayerTime("pool", t, 0, 7)] for s, t in ((3, 1), (1, 3), (2, 2))]
    monkeypatch.setattr(ours, "profile", lambda net, x: rounds.pop())
    monkeypatch.setattr(ours, "layers", lambda net, x: [LayerTime("stem.conv", 4, 5, 6)])
    found = time.measure("mobilenet:0.25", 32)
    assert found.title == "MobileNet V1 0.25, 32 x 32, batch 1, forward"
    assert found.fused == (("conv", 1, 5, 6, 1), ("global pool", 1, 0, 7, 1))
    assert found.apart == (("conv", 1, 5, 6, 4),)


def measured(name, net, seconds):
    counted = cost(net, (224, 224)).layers
    apart = [LayerTime(layer.name, seconds(layer), layer.mult_adds, layer.bytes) for layer in counted]
    apart.append(LayerTime(ours.BETWEEN, 0.001, 0, 0))
    fused = [
        LayerTime("stem.conv + stem.norm + stem.activation", 0.002, 10, 20),
        LayerTime("pool", 0.001, 0, 4),
        LayerTime("classifier", 0.001, 30, 40),
    ]
    return time.Measured(name, time.by_kind(net, apart), time.by_kind(net, fused))


@pytest.fixture
def two():
    """Two networks whose layers take a nanosecond for each value that they give."""
    nets = (("MobileNet", MobileNetV1()), ("ShuffleNet", ShuffleNetV1()))
    return [measured(name, net, lambda layer: 1e-9 * layer.activations) for name, net in nets]


def test_by_kind(two):
    apart = {spent.kind: spent for spent in two[0].apart}
    assert list(apart) == [
        "conv", "batch norm", "activation", "depthwise", "pointwise", "global pool", "linear", "between layers",
    ]  # fmt: skip
    assert (apart["pointwise"].layers, apart["pointwise"].mult_adds) == (13, 539492352)
    assert apart["batch norm"].seconds == pytest.approx(5042688e-9)
    assert two[0].fused[0] == ("conv", 1, 10, 20, 0.002)  # batch norm and activation are part of it


def test_text_of_time(two):
    parts = [part for part in time.text(two) if isinstance(part, str)]
    assert parts[0] == "MobileNet, one thread: each layer by itself\n"
    assert "layer by layer: 4.1 times fewer mult-adds take " in parts[-1]
    assert "bytes that the layers move for each mult-add: 0.24 and 0.62" in parts[-1]


def test_command_time(npnets_, two, monkeypatch, tmp_path):
    monkeypatch.setattr(time, "measure", lambda net: two[net == "shufflenet"])
    path = tmp_path / "time.png"
    status, out, err = npnets_("tables", "--time", "--plot", path)
    assert (status, err) == (0, "")
    assert ["pointwise", "13", "539,492,352", "94.9"] in [line.split()[:4] for line in out.splitlines()]
    assert path.read_bytes().startswith(b"\x89PNG")
    status, out, _ = npnets_("tables", "shufflenet", "--time")
    assert status == 0
    assert "MobileNet" not in out
    assert "times fewer" not in out  # than what?
