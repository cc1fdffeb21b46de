"""`npnets bench` against its peers: they do the same work with the same weights, and the command shows and writes it.

No test asserts a time.
"""

import json
import os

import numpy as np
import onnxruntime
import pytest
import torch
from test_networks import assert_near
from test_onnx import FLOAT32, MORE_CASES
from uninstalled import uninstall

import npnets
from npnets import cli
from npnets.bench import contenders, goal, measure, peak, run, startup, timing
from npnets.bench.contenders import CHANNELS_LAST, NCHW, OURS, PEERS, TRAINERS, candidates, contender
from npnets.bench.measure import LIMITS, compared
from npnets.bench.peak import Peaks
from npnets.bench.torch_network import torch_network, torch_order
from npnets.bench.work import Work
from npnets.layers import Layer

PNG = b"\x89PNG\r\n\x1a\n"

FORWARD = Work("mobilenet:0.25", 2, 33), Work("shufflenet:0.5", 1, 64), Work("shufflenet:1:8", 3, 49)
STEPS = Work("mobilenet:0.25", 8, 48, train=True), Work("shufflenet:0.5", 8, 48, train=True)


@pytest.fixture(autouse=True)
def _quick_and_tidy(monkeypatch):
    """Make turns short, and leave numbers of threads as they were."""
    monkeypatch.setattr(timing, "TURN", 0.001)
    monkeypatch.setattr(timing, "PATIENCE", 0.02)
    monkeypatch.setattr(peak, "STEPS", 1000)
    monkeypatch.setattr(peak, "TRIES", 2)
    monkeypatch.setattr(peak, "TRIAD_BYTES", 1 << 16)
    threads, of_torch = npnets.get_threads(), torch.get_num_threads()
    yield
    npnets.set_threads(threads)
    torch.set_num_threads(of_torch)


# ---- the same work ---------------------------------------------------------------------------------------------------


def result(who):
    who.prepare()
    return who.result()


@pytest.mark.parametrize("work", FORWARD, ids=lambda work: work.title)
@pytest.mark.parametrize("name", PEERS)
def test_each_peer_gives_npnets_logits(name, work):
    """In float32 to what test_networks allows of a network, with each of the settings and in each call."""
    logits = work.network()(work.images())
    assert_near(result(contender(OURS, work, "NHWC", 2)), logits, FLOAT32)
    for who in candidates(name, work, 2):
        assert_near(result(who), logits, FLOAT32)
        who.call()
        assert_near(result(who), logits, FLOAT32)


@pytest.mark.parametrize("layout", [NCHW, CHANNELS_LAST])
@pytest.mark.parametrize("work", STEPS, ids=lambda work: work.title)
def test_pytorch_takes_npnets_step(work, layout):
    """In float64, to the limit that test_networks has for gradients, also with momentum from a step before."""
    work = Work(work.net, work.batch, work.side, True, "float64")
    ours, theirs = contender(OURS, work, "NHWC", 1), contender("torch", work, layout, 1)
    for _ in range(2):
        expected, actual = result(ours), result(theirs)
        assert np.abs(expected).max() > 1e-5
        assert_near(actual, expected, 1e-9)


@pytest.mark.parametrize("work", STEPS, ids=lambda work: work.title)
def test_steps_in_float32_are_within_the_limit(work):
    ours = result(contender(OURS, work, "NHWC", 1))
    for who in candidates("torch", work, 1):
        assert 0 < compared(who, ours, work) < LIMITS[True, "float32"]


def test_what_a_step_moves_is_found_again_in_the_network():
    work = STEPS[0]
    net = work.network()
    before = {name: value.copy() for name, value in net.parameters().items()}
    npnets.train_step(net, npnets.SGD(net, **contenders.SGD_OPTIONS), work.images(), work.labels())
    moved = result(contender(OURS, work, "NHWC", npnets.get_threads()))
    own = np.concatenate([np.sort((value - before[name]).ravel()) for name, value in net.parameters().items()])
    assert moved.shape == own.shape
    np.testing.assert_array_equal(np.sort(moved), np.sort(own))


@pytest.mark.parametrize("name", MORE_CASES)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_module_is_the_network(name, training):
    """Every option of both networks, in float64: logits in both modes, and the running statistics."""
    case = MORE_CASES[name]
    net, images = case.numpy(), case.images()
    module = torch_network(net).train(training)
    (net.train if training else net.eval)()
    with torch.no_grad():
        logits = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert_near(logits, net(images))
    own = [value for _, layer in net.layers() for value in torch_order(layer, layer.params | layer.buffers).values()]
    theirs = [value.numpy() for key, value in module.state_dict().items() if "num_batches" not in key]
    for actual, expected in zip(theirs, own, strict=True):
        assert_near(actual, expected)


def test_no_counterpart():
    with pytest.raises(TypeError, match=r"^a Layer has no counterpart in PyTorch here$"):
        torch_network(Layer())


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threads", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_settings_that_are_tried(monkeypatch, threads, counts):
    monkeypatch.setattr(contenders, "contender", lambda name, work, layout, threads: (name, layout, threads))
    expected = [("torch", layout, count) for layout in (NCHW, CHANNELS_LAST) for count in counts]
    assert candidates("torch", FORWARD[0], threads) == expected
    assert candidates("openvino", FORWARD[0], threads) == [("openvino", NCHW, count) for count in counts]
    assert candidates(OURS, FORWARD[0], threads) == [(OURS, "NHWC", threads)]


def test_settings_are_used(monkeypatch):
    who = contender("torch", FORWARD[0], CHANNELS_LAST, 2)
    torch.set_num_threads(1)
    who.prepare()
    assert torch.get_num_threads() == 2
    assert who.settings == "channels_last, 2 threads"
    npnets.set_threads(1)
    contender(OURS, FORWARD[0], "NHWC", 3).prepare()
    assert npnets.get_threads() == 3
    seen = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *a, **k: (seen.append(a[1].intra_op_num_threads), session(*a, **k))[1]
    )
    assert contender("onnxruntime", FORWARD[0], NCHW, 1).settings == "1 thread"
    assert seen == [1]


def test_a_signal_after_openvino():
    """Ctrl-C behind the comparison is an exception, not a crash: in a process of its own, as it would take this one."""
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process that was started in the background ignores it
from npnets.bench.contenders import contender
from npnets.bench.work import Work
for _ in range(3):
    last = contender("openvino", Work("mobilenet:0.25", 1, 32), "NCHW", 1)
    last.call()
del last
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert startup.output(code) == "interrupted"


def test_the_fastest_is_chosen(monkeypatch):
    monkeypatch.setattr(measure, "alternate", lambda field, seconds, rounds: [[len(who)] * rounds for who in field])
    assert measure.best(["aaa", "b", "cc"]) == "b"
    assert measure.best(["aaa"]) == "aaa"


@pytest.mark.parametrize(
    ("name", "work", "message"),
    [
        ("onnxruntime", STEPS[0], "onnxruntime does neither training steps nor float64"),
        ("openvino", Work("mobilenet", 1, 32, dtype="float64"), "openvino does neither training steps nor float64"),
    ],
)
def test_work_that_a_peer_cannot_do(name, work, message):
    with pytest.raises(ValueError, match=message):
        contender(name, work, NCHW, 1)


# ---- a row -----------------------------------------------------------------------------------------------------------


def test_a_row():
    work = FORWARD[1]
    said = []
    row = measure.measure(work, 2, PEERS, Peaks(1e9, 1e9), 0, 3, 0, said.append)
    assert [entry.name for entry in row.entries] == [OURS, *PEERS]
    assert {len(entry.times) for entry in row.entries} == {3}
    ours = row.entries[0]
    assert (ours.ratio, ours.difference, ours.grown, ours.settings) == (None, None, None, "2 threads")
    for entry in row.entries:
        assert entry.seconds == timing.summary(entry.times)
        np.testing.assert_allclose(entry.flops, work.flops() / entry.seconds.median)
        assert entry.of_peak == entry.flops / 1e9
    for entry in row.entries[1:]:
        assert entry.ratio == timing.ratio(ours.times, entry.times)
        assert 0 < entry.difference < LIMITS[False, "float32"]
    assert row.moved > 0
    assert said == ["building", *(f"looking for the best settings of {name}" for name in PEERS), "taking turns"]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_does_something_else_is_not_timed(monkeypatch, name):
    """A planted mistake: the peer gets a network in which one number of one weight is another one."""
    network = Work.network
    built = []

    def other(self):
        net = network(self)
        built.append(net)
        if len(built) > 1:  # npnets' own is the first
            net.parameters()["block2.pointwise.weight"][0, 0] += 1
        return net

    monkeypatch.setattr(Work, "network", other)
    with pytest.raises(
        ValueError, match=rf"batch 2, forward: the result of {name} differs from npnets' by .*, and may"
    ):
        measure.measure(FORWARD[0], 1, [name], Peaks(1, 1), 0, 1)


@pytest.mark.parametrize("result", [np.full((2, 1000), np.nan), np.zeros((2, 10))])
def test_nan_and_other_shapes_differ(result):
    who = contenders.Contender("torch", NCHW, 1, lambda: None, lambda: None, lambda: result)
    with pytest.raises(ValueError, match="the result of torch differs"):
        compared(who, np.ones((2, 1000)), FORWARD[0])


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(capsys, tmp_path, monkeypatch):
    """Run `npnets bench` in an empty folder, and return its exit status, its output and its errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = cli.main(["bench", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


TINY = "--net", "mobilenet:0.25,shufflenet:0.5", "--side", 32, "--threads", 1, "--rounds", 1


def test_against_all_peers(bench):
    status, out, err = bench(*TINY, "--batch", "1,2", "--layers", "--json", "a.json", "--plot", "a.png")
    assert (status, err) == (0, "")
    assert sorted(os.listdir()) == ["a.json", "a.png"]
    with open("a.png", "rb") as file:
        assert file.read(8) == PNG
    with open("a.json") as file:
        content = json.load(file)
    assert content.keys() == {"format", "npnets", "options", "machine", "peaks", "rows", "layers"}
    assert content["npnets"] == npnets.__version__
    assert content["machine"]["packages"]["onnxruntime"] == onnxruntime.__version__
    assert len(content["rows"]) == 4
    assert len(content["layers"]) == 4
    for row in content["rows"]:
        assert [entry["name"] for entry in row["entries"]] == [OURS, *PEERS]
        assert f"{row['title']}, 1 thread\n" in out
        cells = [f"{1e3 * entry['seconds']['median']:.2f}" for entry in row["entries"]]
        ratios = ["", *(f" ({entry['ratio']['median']:.2f})" for entry in row["entries"][1:])]
        line = " | ".join([row["title"], "1", *(a + b for a, b in zip(cells, ratios, strict=True))])
        assert f"| {line} |\n" in out
    assert "classifier" in out
    assert out.endswith("written: a.json\nwritten: a.png\n")
    assert "a.json" not in json.dumps(content)  # places on somebody's disk are nobody else's


def test_training_with_memory(bench, monkeypatch):
    monkeypatch.setattr(run, "RUNS", 1)
    status, out, err = bench(*TINY, "--net", "shufflenet:0.5", "--batch", 4, "--train", "--memory", "--json", "a.json")
    assert (status, err) == (0, "")
    with open("a.json") as file:
        rows = json.load(file)["rows"]
    assert len(rows) == 1
    assert [entry["name"] for entry in rows[0]["entries"]] == [OURS, *TRAINERS]
    assert min(entry["grown"] for entry in rows[0]["entries"]) > 0
    assert rows[0]["moved"] is None
    assert out.count(" MB") == 2


def test_float64_and_nobody_else(bench):
    status, out, err = bench(*TINY, "--batch", 1, "--dtype", "float64", "--against", "none")
    assert (status, err) == (0, "")
    assert "forward, float64, 1 thread\n" in out
    assert not any(name in out for name in ("torch", "onnx", "openvino", "ratio: "))
    status, out, err = bench(*TINY, "--batch", 1, "--dtype", "float64")
    assert (status, err) == (0, "")
    assert "torch" in out


def test_scaling(bench, monkeypatch):
    monkeypatch.setattr(run, "MANY_BATCHES", (1, 2))
    monkeypatch.setattr(run, "MANY_SIDES", (32, 40))
    arguments = "--net", "mobilenet:0.25", "--against", "onnxruntime", "--threads", "1", "--rounds", 1
    status, _, err = bench("--scaling", *arguments, "--json", "a.json", "--plot", "a.png")
    assert (status, err) == (0, "")
    with open("a.json") as file:
        points = json.load(file)["scaling"]
    assert [(point["series"], point["batch"], point["side"], point["name"]) for point in points] == [
        (series, batch, side, name)
        for series, batch, side in (("batch", 1, 40), ("batch", 2, 40), ("side", 1, 32), ("side", 1, 40))
        for name in (OURS, "onnxruntime")
    ]
    assert all(point["grown"] >= 0 < point["seconds"] for point in points)
    assert os.path.getsize("a.png") > 1000


def test_the_goal(bench, monkeypatch):
    """Every kind of figure, each with a small network."""
    monkeypatch.setattr(goal, "NETS", ("mobilenet:0.25",))
    monkeypatch.setattr(goal, "FORWARD", [Work("shufflenet:0.5", 1, 32)])
    monkeypatch.setattr(goal, "TRAINING", {Work("mobilenet:0.25", 4, 32, train=True): 0.5})
    monkeypatch.setattr(goal, "FIRST_CALLS", [Work("mobilenet:0.25", 1, 32)])
    monkeypatch.setattr(startup, "first_call_seconds", lambda work, cold: 0.5)
    monkeypatch.setattr(startup, "RUNS", 1)
    monkeypatch.setattr(run, "RUNS", 1)
    status, out, err = bench("--goal", "--rounds", 1, "--threads", 1, "--json", "a.json", "--plot", "a.png")
    assert (status, err) == (0, "")
    with open("a.json") as file:
        found = json.load(file)["goal"]
    assert len(found) == 7
    met = sum(one["met"] for one in found)
    assert f"met: {met} of 7\n" in out
    assert out.count("NOT MET") == 7 - met
    for one in found:
        assert one["title"] in out
    assert os.path.getsize("a.png") > 1000


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("torch", "the comparison with torch needs `torch`"),
        ("onnxruntime", "the comparison with onnxruntime needs `onnxruntime`"),
        ("openvino", "the comparison with openvino needs `openvino`"),
        ("onnx", "the comparison with onnxruntime needs `onnx`"),
        ("rich", "`npnets bench` needs `rich`"),
        ("psutil", "`npnets bench` needs `psutil`"),
        ("matplotlib", "`npnets bench` needs `matplotlib`"),
    ],
)
def test_what_is_missing_is_named_with_the_command(bench, monkeypatch, package, message):
    uninstall(monkeypatch, package)
    monkeypatch.setattr(run, "peaks", lambda threads, dtype: pytest.fail("nothing may be measured"))
    status, out, err = bench("--plot", "a.png")
    command = 'pip install "npnets[bench]" (in a clone: pip install ".[bench]")'
    assert (status, out, err) == (1, "", f"npnets: error: {message}: {command}\n")
    assert os.listdir() == []


def test_a_terminal_sees_what_is_being_waited_for(bench, monkeypatch):
    """And no thread draws while something is timed."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    status, out, err = bench(*TINY, "--batch", 1, "--against", "none")
    assert (status, err) == (0, "")
    assert "measuring the peaks of the machine" in out
    assert "MobileNet V1 0.25, 32 x 32, batch 1, forward, 1 thread: taking turns" in out
