"""`npnets bench`: the statistics are right, what is shown is what was measured, and each error says what to do.

No test asserts a time; what is compared with the peers stands in test_bench_peers.
"""

import io
import json
import os
import re
import statistics
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import rich.console

import npnets
from npnets import cli
from npnets.bench import goal, machine, memory, ours, peak, report, run, startup, timing
from npnets.bench.measure import Entry, Row
from npnets.bench.ours import LayerTime
from npnets.bench.peak import Peaks
from npnets.bench.run import Options
from npnets.bench.timing import Summary
from npnets.bench.work import Work

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = Work("mobilenet:0.25", 2, 32)


@pytest.fixture(autouse=True)
def _threads():
    before = npnets.get_threads()
    yield
    npnets.set_threads(before)


# ---- turns and statistics --------------------------------------------------------------------------------------------


class Player:
    """A contender that writes down what it is asked to do."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def prepare(self):
        self.log.append(f"prepare {self.name}")

    def call(self):
        self.log.append(self.name)


@pytest.mark.quick
def test_contenders_take_turns(monkeypatch):
    log = []
    monkeypatch.setattr(timing, "settle", lambda: log.append("settle"))
    monkeypatch.setattr(timing, "TURN", 0)  # one call fills a turn
    times = timing.alternate([Player("a", log), Player("b", log)], seconds=100, rounds=3)
    assert log == ["settle", "prepare a", "a", "settle", "prepare b", "b"] * 4  # the first turns are not counted
    assert [len(own) for own in times] == [3, 3]
    assert min(map(min, times)) >= 0


@pytest.mark.quick
def test_the_rounds_end_with_the_time(monkeypatch):
    clock = 0.0

    def turn(contender):
        nonlocal clock
        clock += 1
        return 1.0

    monkeypatch.setattr(timing, "turn", turn)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock))
    assert len(timing.alternate([None, None], seconds=16)[0]) == 8
    assert len(timing.alternate([None, None], seconds=17)[1]) == 9
    assert len(timing.alternate([None], seconds=0)[0]) == timing.LEAST_ROUNDS


@pytest.mark.quick
@pytest.mark.parametrize(
    ("durations", "expected", "calls"),
    [([0.5], 0.5, 1), ([0.09, 0.03, 0.05, 0.04], 0.04, 4), ([0.02, 0.2], 0.2, 2), ([0.1], 0.1, 1)],
)
def test_a_turn_is_as_many_calls_as_fill_it(monkeypatch, durations, expected, calls):
    """One call if it is long; else the median of those behind the first, which finds cold caches."""
    script = iter(durations)
    monkeypatch.setattr(timing, "timed", lambda call: next(script))
    assert timing.steady(lambda: None) == expected
    assert len(durations) - len(list(script)) == calls


@pytest.mark.quick
@pytest.mark.parametrize(("busy", "sleeps"), [(0, 1), (3, 4), (10**6, 50)])
def test_settling_waits_for_threads_that_spin(monkeypatch, busy, sleeps):
    wall, own, slept = 0.0, 0.0, 0

    def sleep(seconds):
        nonlocal wall, own, slept
        wall += seconds
        own += 0.8 * seconds if slept < busy else 0.01 * seconds
        slept += 1

    clock = SimpleNamespace(perf_counter=lambda: wall, process_time=lambda: own, sleep=sleep)
    monkeypatch.setattr(timing, "time", clock)
    timing.settle()
    assert slept == sleeps or (busy == 10**6 and abs(slept - sleeps) <= 1)  # at last patience ends


@pytest.mark.quick
def test_timed():
    seen = []
    assert timing.timed(lambda: seen.append(1)) >= 0
    assert seen == [1]


@pytest.mark.quick
@pytest.mark.parametrize("count", [2, 5, 8, 31])
def test_summary_and_ratio(count):
    ours, theirs = np.random.default_rng(count).uniform(1, 2, (2, count)).tolist()
    low, median, high = statistics.quantiles(ours, n=4, method="inclusive")
    found = timing.summary(ours)
    np.testing.assert_allclose([found.low, found.median, found.high], [low, median, high], rtol=1e-14)
    found = timing.ratio(ours, theirs)
    low, _, high = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4, method="inclusive")
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-14)
    np.testing.assert_allclose(found.median, statistics.median(ours) / statistics.median(theirs), rtol=1e-14)


@pytest.mark.quick
def test_summary_of_one():
    assert timing.summary([3.0]) == Summary(3.0, 3.0, 3.0)


# ---- work ------------------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    ("net", "name", "network"),
    [
        ("mobilenet", "MobileNet V1 1", npnets.MobileNetV1),
        ("mobilenet:0.25", "MobileNet V1 0.25", npnets.MobileNetV1),
        ("shufflenet", "ShuffleNet V1 1x g=3", npnets.ShuffleNetV1),
        ("shufflenet:0.5", "ShuffleNet V1 0.5x g=3", npnets.ShuffleNetV1),
        ("shufflenet:2:8", "ShuffleNet V1 2x g=8", npnets.ShuffleNetV1),
    ],
)
def test_networks_by_name(net, name, network):
    work = Work(net, 1, 32)
    assert work.name == name
    assert type(work.network()) is network


@pytest.mark.quick
def test_the_network_has_the_size_that_its_name_says():
    def parameters(net):
        return {key: value.shape for key, value in net.parameters().items()}

    assert parameters(Work("mobilenet:0.25", 1, 32).network()) == parameters(npnets.MobileNetV1(width=0.25))
    assert parameters(Work("shufflenet:0.5:8", 1, 32).network()) == parameters(npnets.ShuffleNetV1(scale=0.5, groups=8))


@pytest.mark.quick
def test_work():
    work = Work("shufflenet:0.5", 3, 40, train=True, dtype="float64")
    net, other = work.network(), work.network()
    assert net.training
    assert not Work("shufflenet:0.5", 3, 40).network().training
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name])
        assert value.dtype == np.float64
        assert value.size == 1 or value.std() > 0, name  # no array is left as it was initialised
    assert work.images().shape == (3, 40, 40, 3)
    assert work.images().dtype == np.float64
    assert work.labels().shape == (3,)
    once = npnets.cost(net, (40, 40)).mult_adds
    assert work.flops() == 2 * once * 3 * 3
    assert Work("shufflenet:0.5", 3, 40).flops() == 2 * once * 3
    assert work.title == "ShuffleNet V1 0.5x g=3, 40 x 40, batch 3, training step, float64"


@pytest.mark.quick
def test_classes():
    work = Work("mobilenet:0.25", 64, 32, classes=3)
    assert work.title == "MobileNet V1 0.25, 32 x 32, batch 64, 3 classes, forward"
    with npnets.use("numpy"):
        assert work.network()(work.images()).shape == (64, 3)
    assert set(work.labels()) == {0, 1, 2}
    with pytest.raises(ValueError, match=r"^`classes` \(=0\) must be"):
        Work("mobilenet", 1, 32, classes=0)


@pytest.mark.quick
def test_signals_neither_fade_nor_grow():
    """Numbers that vanish or overflow would make other times, and a comparison of nothing."""
    for work in Work("mobilenet:0.5", 2, 64), Work("shufflenet", 2, 64):
        with npnets.use("numpy"):
            logits = work.network()(work.images())
        assert 1e-3 < np.abs(logits).max() < 1e6


@pytest.mark.quick
@pytest.mark.parametrize("net", ["resnet", "mobilenet:", "mobilenet:1:3", "shufflenet:1:3:4", "shufflenet:1:x", ""])
def test_networks_that_are_not_there(net):
    with pytest.raises(ValueError, match=r'^`net` \(=.*\) must be "mobilenet", "mobilenet:WIDTH", "shufflenet", '):
        Work(net, 1, 32)


# ---- tables, pictures, JSON ------------------------------------------------------------------------------------------


def entry(name, median, ratio=None, grown=None, difference=None):
    seconds = Summary(median, 0.9 * median, 1.2 * median)
    return Entry(name, "2 threads", seconds, [median] * 5, 2e9 / median, 0.5, ratio, difference, grown)


def a_row(batch=8, grown=None, others=0.0, train=False):
    entries = [
        entry("npnets", 0.010, grown=grown),
        entry("torch", 0.040, Summary(0.25, 0.24, 0.27), grown and 2 * grown, 3e-7),
        entry("onnxruntime", 0.0125, Summary(0.8, 0.79, 0.83), grown and 3 * grown, 2e-7),
        entry("openvino", 0.008, Summary(1.25, 1.2, 1.3), grown and 4 * grown, 1.5e-6),
    ][: 2 if train else 4]
    work = Work("mobilenet", batch, 224, train)
    return Row(work.title, work, 2, entries, None if train else 0.4, others)


def shown(table, width=100):
    """Return what rich prints, line by line."""
    console = rich.console.Console(file=io.StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.quick
def test_the_table_of_a_row():
    lines = [line.split() for line in shown(report.row_table(a_row()))]
    assert ["ms", "GF/s", "peak", "%", "ratio", "quartiles", "differs"] in lines
    assert ["npnets", "2", "threads", "10.00", "200.0", "50"] in lines
    assert ["onnxruntime", "2", "threads", "12.50", "160.0", "50", "0.80", "0.79-0.83", "2e-07"] in lines
    assert ["openvino", "2", "threads", "8.00", "250.0", "50", "1.25", "1.20-1.30", "2e-06"] in lines


@pytest.mark.quick
def test_the_table_of_a_row_with_memory_and_without_peers():
    row = a_row(grown=float(3 << 20))
    assert ["openvino", "2", "threads", "8.00", "250.0", "50", "1.25", "1.20-1.30", "2e-06", "12.0", "MB"] in [
        line.split() for line in shown(report.row_table(row))
    ]
    alone = Row(row.title, row.work, 1, [entry("npnets", 0.01)], 0.4, 0.0)
    assert ["ms", "GF/s", "peak", "%"] in [line.split() for line in shown(report.row_table(alone))]


@pytest.mark.quick
def test_a_row_fits_into_eighty_columns():
    lines = shown(report.row_table(a_row()), 80)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


@pytest.mark.quick
def test_remarks():
    assert report.remarks(a_row()) == ["npnets' layers read and write 40 % of what memory could meanwhile"]
    assert report.remarks(a_row(others=0.26, train=True)) == ["disturbed: other processes kept 0.3 cores busy"]


@pytest.mark.quick
def test_the_summary_is_markdown():
    assert report.summary([a_row(1), a_row(16, train=True)]).splitlines() == [
        "| milliseconds (ratio) | threads | npnets | torch | onnxruntime | openvino |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| MobileNet V1 1, 224 x 224, batch 1, forward | 2 | 10.00 | 40.00 (0.25) | 12.50 (0.80) | 8.00 (1.25) |",
        "| MobileNet V1 1, 224 x 224, batch 16, training step | 2 | 10.00 | 40.00 (0.25) |  |  |",
    ]


@pytest.mark.quick
def test_the_table_of_layers():
    layers = [LayerTime("product", 0.002, 10**8, 10**6), LayerTime("pool", 0.001, 0, 5 * 10**6)]
    lines = [line.split() for line in shown(report.layer_table(layers, Peaks(200e9, 10e9)))]
    assert ["product", "2.000", "67", "%", "100.0", "50", "%", "0.5", "5", "%", "50", "%"] in lines
    assert ["pool", "1.000", "33", "%", "0.0", "0", "%", "5.0", "50", "%", "50", "%"] in lines
    assert ["all", "3.000", "66.7", "33", "%", "2.0", "20", "%", "50", "%"] in lines


@pytest.mark.quick
def test_the_table_of_layers_fits_into_eighty_columns():
    names = ("depthwise", "depthwise_norm", "expand", "expand_norm", "pool")
    step = LayerTime(" + ".join(f"stage2_unit1.{name}" for name in names), 0.001234, 10**8, 10**7)
    lines = shown(report.layer_table([step], Peaks(200e9, 10e9)), 80)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert "1.234 100 % 162.1 81 % 8.1 81 % 81 %" in " ".join(" ".join(lines).split())
    assert "stage2_unit1.depthwise + expand + pool" in " ".join(line[:23].strip() for line in lines)


@pytest.mark.quick
@pytest.mark.parametrize("rows", [[a_row()], [a_row(1), a_row(8), a_row(16, train=True)]])
def test_the_picture_of_rows(tmp_path, rows):
    report.draw_rows(tmp_path / "a.png", rows, "some $machine_")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.quick
def test_the_picture_of_growing_work(tmp_path):
    points = [
        {"series": series, "net": net, "batch": batch, "side": side, "name": name, "seconds": 0.1, "grown": 1e6}
        for net in ("MobileNet V1 1", "ShuffleNet V1 1x g=3")
        for series, batch, side in (("batch", 1, 32), ("batch", 4, 32), ("side", 1, 32), ("side", 1, 48))
        for name in ("npnets", "torch")
    ]
    report.draw_scaling(tmp_path / "a.png", points, "some machine")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


@pytest.mark.quick
def test_json(tmp_path):
    row = a_row(grown=1024.0)
    report.write_json(tmp_path / "a.json", {"rows": [row], "number": 1})
    content = json.loads((tmp_path / "a.json").read_text())
    assert content.keys() == {"format", "rows", "number"}
    found = content["rows"][0]
    assert found["work"] == {"net": "mobilenet", "batch": 8, "side": 224, "train": False, "dtype": "float32",
                             "classes": 1000}  # fmt: skip
    assert found["entries"][1]["ratio"] == {"median": 0.25, "low": 0.24, "high": 0.27}
    assert found["entries"][1]["times"] == [0.04] * 5
    assert [one["name"] for one in found["entries"]] == ["npnets", "torch", "onnxruntime", "openvino"]
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        report.write_json(tmp_path / "a.json", {"a": {1, 2}})
    with pytest.raises(ValueError, match="JSON"):
        report.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == content  # the old file, whole
    assert os.listdir(tmp_path) == ["a.json"]


# ---- the goal --------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_a_forward_pass_is_held_against_the_faster_runtime():
    result = goal.forward(a_row())
    assert (result.value, result.limit, result.met) == (1.25, 1.0, False)  # openvino's; torch is none of the two
    assert result.detail == "10.00 ms by 8.00 of openvino; quartiles 1.20-1.30"
    assert result.cells()[:4] == (
        "MobileNet V1 1, 224 x 224, batch 8, forward, 2 threads", "1.25 x", "<= 1.00 x", "NOT MET",
    )  # fmt: skip


@pytest.mark.quick
def test_training_and_its_memory_are_held_against_pytorch():
    row = a_row(16, grown=float(7 << 20), train=True)
    result = goal.training(row, 0.33)
    assert (result.value, result.limit, result.met) == (0.25, 0.33, True)
    result = goal.memory(row)
    assert (result.value, result.limit, result.met) == (0.5, 0.7, True)
    assert result.detail == "7 MB by 14 of torch"


@pytest.mark.quick
@pytest.mark.parametrize(("value", "met"), [(89.9, False), (90.0, True), (95.0, True)])
def test_at_least(value, met):
    result = goal.Result("products", value, "%", 90, "", at_least=True)
    assert result.met is met
    assert result.cells()[2] == ">= 90.00 %"


@pytest.mark.quick
def test_all_figures_of_the_goal(monkeypatch):
    asked, said = [], []

    def measure(work, threads, against, with_memory):
        asked.append((work, threads, tuple(against), with_memory))
        return a_row(train=work.train, grown=1e6 if with_memory else None)

    result = goal.Result("a", 1, "s", 2, "")
    for name in "products", "imports", "first_calls":
        monkeypatch.setattr(goal, name, lambda *arguments: result)
    found = list(goal.results({1: Peaks(1, 1), 2: Peaks(2, 2)}, measure, said.append))
    assert len(found) == 8 + 2 * 4 + 4 + 1 + 2
    forwards = [(work.net, work.batch, work.side, threads) for work, threads, _, _ in asked if not work.train]
    assert forwards == [
        (net, batch, 224, threads) for net in ("mobilenet", "shufflenet") for batch in (1, 8) for threads in (1, 2)
    ]
    steps = [(work.net, work.batch, work.side, threads, memory) for work, threads, _, memory in asked if work.train]
    assert steps == [
        ("mobilenet", 16, 224, 2, True), ("shufflenet", 16, 224, 2, True),
        ("mobilenet:0.25", 64, 32, 2, True), ("shufflenet", 64, 32, 2, True),
    ]  # fmt: skip
    assert [one.limit for one in found[8:16]] == [0.5, 0.7, 0.5, 0.7, 0.33, 0.7, 0.33, 0.7]
    table = shown(report.goal_table(found), 160)
    assert sum("NOT MET" in line for line in table) == sum(not one.met for one in found)


def test_products(monkeypatch):
    """Twice the mult-adds of the pointwise layers by the sum of their times; here all calls take a millisecond."""
    monkeypatch.setattr(goal, "steady", lambda call: (call(), 0.001)[1])
    result = goal.products("mobilenet:0.25", 1, Peaks(1e9, 1), side=32)
    steps = npnets.cost(npnets.MobileNetV1(width=0.25), (32, 32)).layers
    pointwise = [step for step in steps if step.name.endswith(".pointwise")]
    assert len(pointwise) == 13
    expected = 100 * 2 * sum(step.mult_adds for step in pointwise) * ours.TIMES / 0.013 / 1e9
    np.testing.assert_allclose(result.value, expected, rtol=1e-12)
    assert npnets.get_threads() == 1


@pytest.mark.quick
def test_start_up_figures(monkeypatch):
    monkeypatch.setattr(startup, "import_seconds", lambda: (0.75, 0.5))
    result = goal.imports()
    assert (result.value, result.met, result.detail) == (0.25, True, "0.75 - 0.50 s")
    monkeypatch.setattr(startup, "first_call_seconds", lambda work, cold: work.batch + 10 * cold)
    assert (goal.first_calls(False).value, goal.first_calls(False).met) == (2, False)
    assert (goal.first_calls(True).value, goal.first_calls(True).met) == (12, True)
    assert goal.first_calls(True).detail == "the slowest: MobileNet V1 1, 224 x 224, batch 2, training step"


# ---- processes of their own: start-up and memory ---------------------------------------------------------------------


@pytest.mark.quick
def test_output(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    code = "import os, sys; print('noise'); print(os.environ.get('OPENBLAS_CORETYPE'), os.environ['A'] + sys.argv[1])"
    assert startup.output(code, "2", A="1") == "12"
    assert startup.output("import os; print(os.environ.get('OPENBLAS_CORETYPE'))") == "None"
    with pytest.raises(ChildProcessError, match=r"^a process that measures failed: ValueError: what$"):
        startup.output("raise ValueError('what')")
    with pytest.raises(ChildProcessError, match=r"^a process that measures failed: exit status 3$"):
        startup.output("raise SystemExit(3)")


@pytest.mark.quick
def test_imports_are_timed_in_turns(monkeypatch):
    seen = []
    times = {"npnets": iter([9, 1, 2, 3]), "numpy": iter([9, 5, 4, 6])}

    def output(code):
        seen.append(re.search(r"import (npnets|numpy)", code)[1])
        return next(times[seen[-1]])

    monkeypatch.setattr(startup, "RUNS", 3)
    monkeypatch.setattr(startup, "output", output)
    assert startup.import_seconds() == (2, 5)  # the first ones, which read from the disk, left out
    assert seen == ["npnets", "numpy"] * 4


def test_import_seconds(monkeypatch):
    monkeypatch.setattr(startup, "RUNS", 1)
    assert min(startup.import_seconds()) > 0


@pytest.mark.quick
def test_first_calls_have_a_cache_that_is_warm_or_empty(monkeypatch):
    seen = []

    def output(code, task, **environment):
        folder = environment.get("NUMBA_CACHE_DIR")
        assert folder is None or os.listdir(folder) == []
        seen.append((json.loads(task), folder is not None))
        return str(len(seen))

    monkeypatch.setattr(startup, "RUNS", 3)
    monkeypatch.setattr(startup, "output", output)
    assert startup.first_call_seconds(SMALL, cold=False) == 3  # of 2, 3, 4: the first one fills the cache
    assert startup.first_call_seconds(SMALL, cold=True) == 5
    assert [cold for _, cold in seen] == [False] * 4 + [True]
    assert all(Work(**task) == SMALL for task, _ in seen)


@pytest.mark.parametrize("train", [False, True])
def test_the_first_call(monkeypatch, capsys, train):
    task = {"net": "mobilenet:0.25", "batch": 2, "side": 32, "train": train, "dtype": "float32", "classes": 1000}
    monkeypatch.setattr(sys, "argv", ["-c", json.dumps(task)])
    startup.child()
    assert float(capsys.readouterr().out) > 0


def test_memory_grows_by_what_is_used():
    """50 MB are touched and freed again in each call: the process has grown by that, and not by ten times as much."""
    size = 50 << 20

    def call():
        np.ones(size // 8).sum()

    who = SimpleNamespace(prepare=lambda: None, call=call)
    assert size * 0.9 < memory.grown(who) < 3 * size
    np.ones(8 * size // 8).sum()  # a peak of before does not count
    who.call = lambda: None
    assert memory.grown(who) < size


def test_memory_in_a_process_of_its_own(monkeypatch, capsys):
    who = SimpleNamespace(name="npnets", layout="NHWC", threads=1)
    assert memory.growth(SMALL, who, 1) > 0
    task = {"name": "npnets", "work": vars(SMALL), "layout": "NHWC", "threads": 1}
    monkeypatch.setattr(sys, "argv", ["-c", json.dumps(task)])
    memory.child()
    assert float(capsys.readouterr().out) >= 0


def test_peak_resident_on_other_systems(monkeypatch, tmp_path):
    here = memory.peak_resident()
    assert here >= memory.resident() * 0.9
    for name in "STATUS", "CLEAR":
        monkeypatch.setattr(memory, name, tmp_path / "nowhere")
    memory.forget_peak()
    assert memory.peak_resident() > 0  # the resource module's: kilobytes here, bytes on macOS
    info = SimpleNamespace(peak_wset=12345)
    monkeypatch.setattr(memory, "need", lambda *_: SimpleNamespace(
        Process=lambda: SimpleNamespace(memory_info=lambda: info)))  # fmt: skip
    assert memory.peak_resident() == 12345


# ---- the machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_chains_are_multiply_adds(dtype):
    """acc = a acc + b, n times from k, is a^n k + b (1 - a^n) / (1 - a)."""
    a, b, n = 0.999, 0.001, 1000
    expected = sum(a**n * k + b * (1 - a**n) / (1 - a) for k in range(peak.CHAINS))
    u = np.finfo(dtype).eps / 2
    assert abs(peak._chains(dtype(a), dtype(b), n) - expected) <= 3 * n * u * expected  # a rounded, n sums


@pytest.mark.quick
def test_the_triad():
    for triad in peak._triad, getattr(peak._triad, "py_func", peak._triad):
        out, b, c = np.zeros(5), np.arange(5.0), np.arange(5.0) ** 2
        triad(out, b, c)
        np.testing.assert_array_equal(out, b + 3 * c)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peaks(monkeypatch, dtype):
    monkeypatch.setattr(peak, "STEPS", 1000)
    monkeypatch.setattr(peak, "TRIES", 2)
    monkeypatch.setattr(peak, "TRIAD_BYTES", 1 << 16)
    for threads in 1, 3:
        assert min(peak.peaks(threads, dtype)) > 0
    monkeypatch.setattr(peak, "OPTIONS", SimpleNamespace(DISABLE_JIT=1))
    with pytest.raises(ValueError, match="NUMBA_DISABLE_JIT"):
        peak.peaks(1, dtype)


@pytest.mark.quick
@pytest.mark.parametrize(("features", "expected"), [
    ({"avx512f": True, "fma": True}, 16), ({"avx512f": False, "fma": True}, 8), ({"neon": True}, 4),
])  # fmt: skip
def test_lanes(monkeypatch, features, expected):
    monkeypatch.setattr(peak.binding, "get_host_cpu_features", lambda: features)
    assert (peak.lanes(32), peak.lanes(64)) == (expected, expected // 2)


def test_the_machine_is_described(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somebody/else")
    about = machine.describe()
    assert json.loads(json.dumps(about)) == about
    assert about["cores"] == os.cpu_count()
    assert about["packages"]["numpy"] == np.__version__
    assert about["environment"]["OMP_NUM_THREADS"] == "2"
    assert "NUMBA_CACHE_DIR" not in about["environment"]
    assert about["processor"]
    assert "/" not in json.dumps(about["thread_pools"])


@pytest.mark.quick
def test_processor(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPUINFO", cpuinfo)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv")
    assert machine.processor() == "riscv"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nprocessor\t: 1\nmodel name\t: Some CPU\n")
    assert machine.processor() == "Some CPU @ 3 GHz"
    assert machine.version("numpy") == np.__version__
    assert machine.version("no-such-package") is None


def test_others_are_noticed(monkeypatch):
    clocks = iter([(0.0, 100.0, 10.0), (4.0, 107.0, 11.0), (4.0, 100.5, 11.0)])
    monkeypatch.setattr(machine, "_clocks", lambda: next(clocks))
    others = machine.Others()
    assert others.cores() == (7 - 1) / 4
    assert others.cores() == 0  # clocks of different grain
    monkeypatch.undo()
    wall, busy, own = machine._clocks()
    assert min(wall, busy, own) > 0


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(capsys):
    """Run `npnets bench` in this process, and return its exit status, its output and its errors."""

    def call(*arguments):
        try:
            status = cli.main(["bench", *map(str, arguments)])
        except SystemExit as error:
            status = error.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.mark.quick
def test_help(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = bench("--help")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    for phrase in (
        "--net NET mobilenet[:WIDTH], shufflenet[:SCALE[:GROUPS]] (default: mobilenet,shufflenet)",
        "--batch N images at once (default: 1,8; with --train 16)",
        "--side N pixels of an image's side (default: 224)",
        "--threads N at most so many, of npnets and of each peer (default: one for each core)",
        "--train a step of training instead of a forward pass",
        "--against PEER torch, onnxruntime, openvino, or none (default: all that can do the work)",
        "--seconds S for the turns of one row (default: 10)",
        "--json FILE write everything, with a description of the machine",
        "--goal instead: what npnets promises, and whether it is so",
        "They take turns in one run",
    ):
        assert phrase in text, phrase


@pytest.mark.quick
def test_the_examples_of_the_help_can_be_parsed():
    lines = [line.split()[1:] for line in cli.bench.EXAMPLES.splitlines() if line.startswith("  npnets ")]
    assert len(lines) == 6
    for line in lines:
        assert cli._parser().parse_args(line).command is cli.bench.run


@pytest.mark.quick
def test_each_option_arrives(bench, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.bench, "run_bench", seen.append)
    assert bench()[0] == 0
    assert seen.pop() == Options()
    arguments = (
        "--net mobilenet:0.5,shufflenet --batch 1,8 --side 32,64 --threads 1,2 --train --dtype float64 --against torch "
        "--seconds 2.5 --rounds 7 --layers --memory --scaling --goal --json a.json --plot b.png"
    )
    assert bench(*arguments.split())[0] == 0
    assert seen.pop() == Options(
        net=("mobilenet:0.5", "shufflenet"), batch=(1, 8), side=(32, 64), threads=(1, 2), train=True, dtype="float64",
        against=("torch",), seconds=2.5, rounds=7, layers=True, memory=True, scaling=True, goal=True, json="a.json",
        plot="b.png",
    )  # fmt: skip
    assert bench("--against", "none")[0] == 0
    assert seen.pop().against == ()


@pytest.mark.quick
@pytest.mark.parametrize(("arguments", "message"), [
    ("--batch 1,x", "argument --batch: must be whole numbers, separated by commas, not '1,x'"),
    ("--threads", "argument --threads: expected one argument"),
    ("--dtype float16", "argument --dtype: invalid choice: 'float16'"),
])  # fmt: skip
def test_arguments_that_cannot_be_read(bench, arguments, message):
    status, out, err = bench(*arguments.split())
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(("arguments", "message"), [
    ("--batch 0", "`batch` (=0) must be at least 1"),
    ("--side 32,-1", "`side` (=-1) must be at least 1"),
    ("--threads 0", "`threads` (=0) must be at least 1"),
    ("--seconds 0", "`seconds` (=0.0) must be greater than 0 and finite"),
    ("--rounds 0", "`rounds` (=0) must be at least 1"),
    ("--net resnet", '`net` (=\'resnet\') must be "mobilenet", "mobilenet:WIDTH", "shufflenet", "shufflenet:SCALE" or '
                     '"shufflenet:SCALE:GROUPS"'),
    ("--net shufflenet:7", "`groups` (=3) at `scale` (=7.0) is not in the paper's tables"),
    ("--against jax", "`against` (='jax') must be of torch, onnxruntime, openvino, or none"),
    ("--train --against torch,openvino", "`against` (='openvino') cannot go with --train or --dtype float64"),
    ("--dtype float64 --against onnxruntime", "`against` (='onnxruntime') cannot go with --train or --dtype float64"),
    ("--json nowhere/a.json", "`nowhere/a.json` cannot be written: its folder does not exist, or it is one itself"),
    ("--plot .", "`.` cannot be written: its folder does not exist, or it is one itself"),
    ("--goal --net mobilenet --train", "--goal cannot go with --net, --train"),
    ("--goal --scaling", "--goal cannot go with --scaling"),
    ("--scaling --layers --memory", "--scaling cannot go with --layers, --memory"),
])  # fmt: skip
def test_options_that_are_wrong(bench, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "peaks", lambda threads, dtype: pytest.fail("nothing may be measured"))
    status, out, err = bench(*arguments.split())
    assert (status, out) == (1, "")
    assert err.startswith(f"npnets: error: {message}")
    assert err.count("\n") == 1
    assert os.listdir() == []


def test_layers_of_npnets():
    """Of one image, however many are given."""
    work = Work("shufflenet:0.5", 2, 32)
    layers = ours.profile(work.network(), work.images())
    count = npnets.cost(work.network(), (32, 32))
    assert sum(layer.mult_adds for layer in layers) == count.mult_adds
    assert min(layer.seconds for layer in layers) > 0
    assert min(layer.moved for layer in layers) > 0


def test_phases_of_a_training_step():
    """Each product and its two gradients: three times the forward pass, but for the images, which have no gradient."""
    work = Work("mobilenet:0.25", 2, 32, train=True)
    phases = ours.profile(work.network(), work.images())
    count = npnets.cost(work.network(), (32, 32))
    stem = count.layers[0].mult_adds
    assert sum(phase.mult_adds for phase in phases) == 2 * (3 * count.mult_adds - stem)
    assert min(phase.seconds for phase in phases) > 0
    assert {"stem, 32x32x3 to 16x16x8", "product, back, 16x16x8 to 16x16x16", "SGD"} <= {phase.name for phase in phases}
