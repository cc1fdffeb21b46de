"""What `npnets summary` shows: a network layer by layer, with what each costs."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from npnets import _check, _text
from npnets.cost import Cost, LayerCost
from npnets.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    PointwiseConvolution,
    Shape,
)

KINDS: dict[type[Layer], str] = {
    Convolution: "conv",
    DepthwiseConvolution: "depthwise",
    PointwiseConvolution: "pointwise",
    BatchNorm: "batch norm",
    Activation: "activation",
    ChannelShuffle: "shuffle",
    MaxPool: "max pool",
    AveragePool: "avg pool",
    GlobalAveragePool: "global pool",
    Linear: "linear",
}


class Line(NamedTuple):
    """A line of the table: a layer, or several of them together; the figures are those of `LayerCost`."""

    name: str
    kind: str
    out_shape: Shape
    parameters: int
    forward: int
    backward: int
    activations: int


def kind(layer: Layer) -> str:
    """Return what kind of layer it is.

    Examples
    --------
    >>> kind(BatchNorm(8, eps=1e-5, momentum=0.1, dtype="float32"))
    'batch norm'
    """
    return KINDS.get(type(layer), type(layer).__name__)


def described(layer: Layer) -> str:
    """Return its kind with kernel, stride and groups: "conv 3x3/2", "pointwise g=3"."""
    if isinstance(layer, Activation):
        return layer.kind
    words, window = [kind(layer)], getattr(layer, "window", None)
    if window is not None:
        size = layer.params["weight"].shape[:2] if layer.params else getattr(layer, "size", 1)
        stride = _check.pair("stride", window["stride"], 1)
        words.append(_sides(_check.pair("kernel_size", size, 1)) + ("" if stride == (1, 1) else f"/{_one(stride)}"))
    groups = getattr(layer, "groups", 1)
    return " ".join([*words, *([f"g={groups}"] if groups > 1 else [])])


def lines(count: Cost, *, each: bool = False) -> list[list[Line]]:
    """Return the lines of each block (stem, a block or unit, pool, classifier).

    Batch norm and activation are part of the line of the convolution that they follow, or with `each` lines themselves.
    """
    blocks = []
    for _, layers in groupby(count.layers, lambda layer: layer.name.partition(".")[0]):
        block: list[Line] = []
        for layer in layers:
            line = _line(layer)
            follows = isinstance(layer.layer, BatchNorm) or (
                isinstance(layer.layer, Activation) and line.name.rpartition(".")[2] != "after"
            )  # "after" is behind the addition of a shortcut
            if block and follows and not each:
                line = _together(block.pop(), line)
            block.append(line)
        blocks.append(block)
    return blocks


def by_kind(count: Cost) -> list[tuple[Line, int]]:
    """Return a line for each kind of layer, in order of appearance, and how many layers it stands for."""
    groups: dict[str, list[Line]] = {}
    for layer in count.layers:
        groups.setdefault(kind(layer.layer), []).append(_line(layer))
    return [(_sum(name, members), len(members)) for name, members in groups.items()]


def text(count: Cost, title: str, *, each: bool = False, backward: bool = False) -> Iterator[Any]:
    """Yield what the terminal shows: text, and tables of rich.

    Raises
    ------
    ModuleNotFoundError
        rich is not installed.
    """
    headers, total = ["layer", "kind", "output", *_headers(backward)], _sum("total", list(map(_line, count.layers)))
    table = _table(headers, (0, 1, 2))
    for block in lines(count, each=each):
        name = block[0].name.partition(".")[0]
        whole = _sum(name, block)._replace(out_shape=block[-1].out_shape)
        if len(block) == 1:
            whole = block[0]._replace(name=name)
        table.add_row(*_cells(whole, total, backward), style="bold")
        for line in block if len(block) > 1 else ():
            table.add_row(*_cells(line._replace(name="  " + line.name.partition(".")[2]), total, backward))
    table.add_section()
    table.add_row(*_cells(total, total, backward), style="bold")
    yield title
    yield ""
    yield table
    yield ""
    kinds = _table(["kind", "layers", *_headers(backward)], (0,))
    for line, number in by_kind(count):
        name, _, _, *figures = _cells(line, total, backward)
        kinds.add_row(name, str(number), *figures)
    yield kinds
    yield ""
    yield "\n".join(f"{name:<12}{what}" for name, what in remarks(count))


def markdown(count: Cost, title: str, *, each: bool = False, backward: bool = False) -> str:
    """Return the table in Markdown, with full names."""
    total = _sum("total", list(map(_line, count.layers)))
    rows = [_cells(line, total, backward) for block in lines(count, each=each) for line in block]
    rows.append(_cells(total, total, backward))
    table = _text.markdown(["layer", "kind", "output", *_headers(backward)], (0, 1, 2), rows)
    said = (f"- {name}: {what}".replace("- : ", "- ") for name, what in remarks(count))
    return "\n".join([title, "", table, "", *said])


def as_json(count: Cost, about: dict[str, Any]) -> str:
    """Return everything that was counted, each layer by itself."""
    layers = [{**layer._asdict(), "layer": described(layer.layer)} for layer in count.layers]
    return json.dumps({"format": "npnets summary 1", **about, **count._asdict(), "layers": layers}, indent=1)


def remarks(count: Cost) -> Sequence[tuple[str, str]]:
    """Return in words what the table does not hold."""
    state = count.parameters + count.running_statistics
    return (
        ("parameters", f"{count.parameters:,}, of which {count.weights:,} weights; running statistics: "
                       f"{count.running_statistics:,}; together {state:,}"),
        ("mult-adds", f"{count.mult_adds:,}, of which {count.convolutions:,} of convolutions"),
        ("", f"{count.outside:,} of them multiply with the zeros of the padding"),
        ("backward", f"{count.backward:,}; with the forward pass {count.forward + count.backward:,}"),
        ("bytes moved", f"{count.bytes:,} forward, {count.bytes_backward:,} backward, each layer by itself"),
    )  # fmt: skip


def _line(layer: LayerCost) -> Line:
    figures = layer.parameters, layer.forward, layer.backward, layer.activations
    return Line(layer.name, described(layer.layer), layer.out_shape, *figures)


def _together(line: Line, other: Line) -> Line:
    sums = [mine + its for mine, its in zip(line[3:], other[3:], strict=True)]
    return Line(line.name, line.kind, line.out_shape, *sums)


def _sum(name: str, members: Sequence[Line]) -> Line:
    figures = zip(*(line[3:] for line in members), strict=True)
    return Line(name, "", (), *map(sum, figures))


def _headers(backward: bool) -> list[str]:
    return ["parameters", "mult-adds", "%", "backward" if backward else "activations"]


def _cells(line: Line, total: Line, backward: bool) -> list[str]:
    share = "100" if line is total else f"{100 * line.forward / total.forward:.2f}" if line.forward else ""
    last = line.backward if backward else line.activations
    figures = [f"{value:,}" if value else "" for value in (line.parameters, line.forward, last)]
    return [line.name, line.kind, _sides(line.out_shape), *figures[:2], share, figures[2]]


def _table(headers: Sequence[str], words: Sequence[int]) -> Any:
    made = _text.table(headers, words, (), "demos", "`npnets summary`")
    made.padding, made.show_edge = 0, False  # so that it has 80 columns
    return made


def _sides(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def _one(pair: _check.Ints) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _sides(pair)
