"""`npnets summary`: every layer once, figures that add up, and what it refuses."""

import json
import subprocess
import sys

import pytest

from npnets import MobileNetV1, ShuffleNetV1, cli, cost, summary
from npnets.layers import AveragePool, Convolution

pytestmark = pytest.mark.quick

NETS = {"mobilenet": (MobileNetV1(width=0.25), (64, 48)), "shufflenet": (ShuffleNetV1(scale=0.5), (96, 96))}


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


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("each", [False, True])
def test_lines_add_up(name, each):
    net, sides = NETS[name]
    count = cost(net, sides)
    blocks = summary.lines(count, each=each)
    assert [block[0].name.split(".")[0] for block in blocks] == list(net.children)
    lines = [line for block in blocks for line in block]
    for field in ("parameters", "forward", "backward", "activations"):
        assert sum(getattr(line, field) for line in lines) == getattr(count, field)
    if each:
        assert [line.name for line in lines] == [layer.name for layer in count.layers]
    assert sum(number for _, number in summary.by_kind(count)) == len(count.layers)


def test_what_a_line_stands_for():
    net, sides = NETS["shufflenet"]
    unit = summary.lines(cost(net, sides))[1]
    names = [line.name for line in unit]
    assert names == [f"stage2_unit1.{part}" for part in ("reduce", "shuffle", "depthwise", "expand", "pool", "after")]
    reduce, shuffle, depthwise, expand, pool, after = unit
    assert (reduce.kind, reduce.parameters) == ("pointwise", 12 * 30 + 2 * 30)  # with its batch norm
    assert reduce.activations == 3 * 24 * 24 * 30  # and its activation
    assert (shuffle.kind, depthwise.kind, expand.kind) == ("shuffle g=3", "depthwise 3x3/2", "pointwise g=3")
    assert (pool.kind, after.kind) == ("avg pool 3x3/2", "relu")
    assert (expand.out_shape, after.out_shape) == ((12, 12, 108), (12, 12, 120))  # joined with the shortcut's 12


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Convolution(MobileNetV1(width=0.25).parameters()["stem.conv.weight"], stride=(2, 1)), "conv 3x3/2x1"),
        (AveragePool((2, 3), stride=2), "avg pool 2x3/2"),
    ],
)
def test_described(layer, words):
    assert summary.described(layer) == words


def test_table(npnets_):
    status, out, err = npnets_("summary", "mobilenet")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("MobileNet V1 1, 224 x 224, batch 1\n")
    assert lines[2] == ["layer", "kind", "output", "parameters", "mult-adds", "%", "activations"]
    assert ["stem", "conv", "3x3/2", "112x112x32", "928", "10,838,016", "1.91", "1,204,224"] in lines
    assert ["block13", "7x7x1024", "1,061,888", "51,831,808", "9.11", "301,056"] in lines
    assert ["depthwise", "depthwise", "3x3", "7x7x1024", "11,264", "451,584", "0.08", "150,528"] in lines
    assert ["classifier", "linear", "1000", "1,025,000", "1,024,000", "0.18", "1,000"] in lines
    assert ["total", "4,231,976", "568,740,352", "100", "15,130,088"] in lines
    assert ["pointwise", "13", "3,139,584", "539,492,352", "94.86", "2,709,504"] in lines  # by kind
    assert "864,608 of them multiply with the zeros of the padding" in out


@pytest.mark.parametrize(
    "arguments",
    [("mobilenet",), ("mobilenet", "--backward"), ("shufflenet",), ("shufflenet", "--backward"), ("shufflenet:2:8",)],
)
def test_80_columns_are_enough(npnets_, arguments):
    _, out, _ = npnets_("summary", *arguments)
    assert max(map(len, out.splitlines()[2:-5])) <= 80


def test_backward(npnets_):
    _, out, _ = npnets_("summary", "shufflenet", "--backward", "--convention", "double")
    assert out.startswith("ShuffleNet V1 1x g=3, 224 x 224, batch 1, counted by the convention 'double'\n")
    assert ["total", "1,865,728", "274,921,344", "100", "533,585,664"] in [line.split() for line in out.splitlines()]
    assert "with the forward pass 808,507,008" in out


def test_json(npnets_):
    arguments = ("mobilenet:0.25", "--input", "64x48", "--batch", "3", "--channels", "1", "--convention", "thop")
    status, out, _ = npnets_("summary", *arguments, "--json")
    found = json.loads(out)
    count = cost(MobileNetV1(width=0.25, in_channels=1), (64, 48, 1), "thop", batch=3)
    assert status == 0
    assert (found["format"], found["input"], found["batch"]) == ("npnets summary 1", [64, 48, 1], 3)
    assert found["forward"] == count.forward == sum(layer["forward"] for layer in found["layers"])
    assert found["layers"][0] == {
        **count.layers[0]._asdict(), "layer": "conv 3x3/2", "in_shape": [64, 48, 1], "out_shape": [32, 24, 8],
    }  # fmt: skip


def test_markdown(npnets_):
    _, out, _ = npnets_("summary", "mobilenet:0.5", "--classes", 10, "--input", 32, "--all", "--markdown")
    lines = out.splitlines()
    assert lines[2] == "| layer | kind | output | parameters | mult-adds | % | activations |"
    assert "| stem.norm | batch norm | 16x16x16 | 32 |  |  | 4,096 |" in lines
    rows = [line for line in lines[4:] if line.startswith("|")]
    count = cost(MobileNetV1(width=0.5, num_classes=10), (32, 32))
    assert len(rows) == len(count.layers) + 1
    assert rows[-1] == f"| total |  |  | {count.parameters:,} | {count.mult_adds:,} | 100 | {count.activations:,} |"
    assert f"- {count.outside:,} of them multiply with the zeros of the padding" in lines  # of the line above


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet",), '`net` (=\'resnet\') must be "mobilenet", "mobilenet:WIDTH", "shufflenet", "shufflenet:SCALE" or '
                      '"shufflenet:SCALE:GROUPS"'),
        (("mobilenet:1:2",), "`net` (='mobilenet:1:2') must be"),
        (("mobilenet:wide",), "`net` (='mobilenet:wide') must be"),
        (("mobilenet", "--input", "0x3"), "`input_shape` (=0) must be at least 1"),
        (("mobilenet", "--batch", "0"), "`batch` (=0) must be at least 1"),
        (("mobilenet", "--classes", "0"), "`num_classes` (=0) must be at least 1"),
        (("mobilenet", "--convention", "flops"), "`convention` (='flops') must be one of 'mult-adds', "),
    ],
)  # fmt: skip
def test_errors(npnets_, arguments, message):
    status, out, err = npnets_("summary", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith(f"npnets: error: {message}")
    assert err.count("\n") == 1


def test_what_is_no_size(npnets_):
    status, _, err = npnets_("summary", "mobilenet", "--input", "3x")
    assert status == 2
    assert "argument --input: must be HxW, such as 224x224, not '3x'" in err


@pytest.mark.parametrize("form", ["--json", "--all"])
def test_nobody_reads_on(form):
    """`npnets summary ... | head` says nothing about its pipe."""
    command = [sys.executable, "-m", "npnets", "summary", "mobilenet:0.25", form]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 1
