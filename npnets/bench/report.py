"""What people see: tables for the terminal, pictures, and everything as JSON."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from npnets import _picture, _text
from npnets._optional import need
from npnets._picture import BLUE, GREY, ORANGE
from npnets.bench.contenders import OURS
from npnets.bench.goal import Result
from npnets.bench.measure import Entry, Row
from npnets.bench.ours import LayerTime
from npnets.bench.peak import Peaks
from npnets.bench.timing import Summary
from npnets.bench.work import many
from npnets.train.checkpoint import replace

if TYPE_CHECKING:
    pass

COLOURS = {OURS: BLUE, "torch": ORANGE, "onnxruntime": "#5f6570", "openvino": "#a5abb5"}
FORMAT = "npnets bench 1"
DISTURBED = 0.1  # cores kept busy by others: from here a row says so

Columns = Sequence[tuple[str, Callable[[Entry], str]]]


# ---- text ------------------------------------------------------------------------------------------------------------


def introduction(machine: Mapping[str, Any], peaks: Mapping[int, Peaks], against: Sequence[str]) -> str:
    """Say what it runs on, and how to read the tables."""
    versions = "".join(f", {name} {machine['packages'][name]}" for name in ("numpy", "numba", *against))
    lines = [
        f"{machine['processor']} ({machine['llvm_name']}), {many(machine['cores'], 'core')}, {machine['system']}",
        f"Python {machine['python']}{versions}",
    ]
    for threads, peak in peaks.items():
        lines.append(
            f"measured peak of {many(threads, 'thread')}: {peak.flops / 1e9:.0f} GF/s, {peak.bytes / 1e9:.0f} GB/s"
        )
    if against:
        lines.append("ratio: npnets' time by the peer's (medians; quartiles of the rounds): below 1 npnets is faster")
    return "\n".join(lines)


def row_table(row: Row) -> Any:
    """Return one row of the comparison as a table, a line for each contender."""
    columns: list[tuple[str, Callable[[Entry], str]]] = [
        ("", lambda entry: entry.name),
        ("", lambda entry: entry.settings),
        ("ms", lambda entry: f"{1e3 * entry.seconds.median:.2f}"),
        ("GF/s", lambda entry: f"{entry.flops / 1e9:.1f}"),
        ("peak %", lambda entry: f"{100 * entry.of_peak:.0f}"),
    ]
    if len(row.entries) > 1:
        columns += [
            ("ratio", lambda entry: "" if entry.ratio is None else f"{entry.ratio.median:.2f}"),
            ("quartiles", lambda entry: "" if entry.ratio is None else _span(entry.ratio)),
            ("differs", lambda entry: "" if entry.difference is None else f"{entry.difference:.0e}"),
        ]
    if row.entries[0].grown is not None:
        columns.append(("memory", lambda entry: f"{(entry.grown or 0) / 2**20:.1f} MB"))
    table = _table([header for header, _ in columns], words=(0, 1), wrapped=(1,))
    for entry in row.entries:
        table.add_row(*(cell(entry) for _, cell in columns))
    return table


def remarks(row: Row) -> Sequence[str]:
    """Return what else there is to say about a row."""
    said = []
    if row.moved is not None:
        said.append(f"npnets' layers read and write {_percent(row.moved)} of what memory could meanwhile")
    if row.others > DISTURBED:
        said.append(f"disturbed: other processes kept {row.others:.1f} cores busy")
    return said


def summary(rows: Sequence[Row]) -> str:
    """Return all rows as one table in Markdown: milliseconds, and in brackets the ratio."""
    names = list(dict.fromkeys(entry.name for row in rows for entry in row.entries))
    lines = []
    for row in rows:
        entries = {entry.name: entry for entry in row.entries}
        cells = [_brief(entries[name]) if name in entries else "" for name in names]
        lines.append([row.title, str(row.threads), *cells])
    return _text.markdown(["milliseconds (ratio)", "threads", *names], [0], lines)


def layer_table(layers: Sequence[LayerTime], peak: Peaks) -> Any:
    """Return the time of each layer against the roofline: the time that its sums or its bytes take at least."""
    headers = ["layer", "ms", "of all", "GF/s", "of peak", "GB/s", "of peak", "roofline"]
    table = _table(headers, words=(0,), wrapped=(0,))
    total = sum(layer.seconds for layer in layers)
    for layer in layers:
        flops, moved = 2 * layer.mult_adds / layer.seconds, layer.moved / layer.seconds
        table.add_row(
            _short(layer.name),
            f"{1e3 * layer.seconds:.3f}",
            _percent(layer.seconds / total),
            f"{flops / 1e9:.1f}",
            _percent(flops / peak.flops),
            f"{moved / 1e9:.1f}",
            _percent(moved / peak.bytes),
            _percent(max(flops / peak.flops, moved / peak.bytes)),
        )
    flops, moved = 2 * sum(layer.mult_adds for layer in layers) / total, sum(layer.moved for layer in layers) / total
    least = sum(max(2 * layer.mult_adds / peak.flops, layer.moved / peak.bytes) for layer in layers)
    table.add_section()
    table.add_row(
        "all", f"{1e3 * total:.3f}", "", f"{flops / 1e9:.1f}", _percent(flops / peak.flops), f"{moved / 1e9:.1f}",
        _percent(moved / peak.bytes), _percent(least / total),
    )  # fmt: skip
    return table


def _short(name: str) -> str:
    """Return a fused step's name without what goes without saying.

    Those are batch norms and activations, which follow a convolution, and the block's name from its second layer on.

    Examples
    --------
    >>> _short("stem.pool + unit1.reduce + unit1.reduce_norm + unit1.activation + unit1.depthwise + unit2.reduce")
    'stem.pool + unit1.reduce + depthwise + unit2.reduce'
    """
    layers = [layer for layer in name.split(" + ") if not layer.endswith(("norm", "activation"))]
    blocks = ["", *(layer.rpartition(".")[0] + "." for layer in layers)]
    return " + ".join(layer.removeprefix(block) for block, layer in zip(blocks, layers, strict=False)) or name


def goal_table(results: Sequence[Result]) -> Any:
    """Return the figures of the goal, and whether each keeps to its limit."""
    table = _table(["", "figure", "limit", "", "from"], words=(0, 3, 4), wrapped=(0, 4))
    for result in results:
        table.add_row(*result.cells())
    return table


def _table(headers: Sequence[str], words: Sequence[int], wrapped: Sequence[int] = ()) -> Any:
    return _text.table(headers, words, wrapped, "bench", "`npnets bench`")


def _brief(entry: Entry) -> str:
    ratio = "" if entry.ratio is None else f" ({entry.ratio.median:.2f})"
    return f"{1e3 * entry.seconds.median:.2f}{ratio}"


def _span(values: Summary) -> str:
    return f"{values.low:.2f}-{values.high:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


# ---- pictures --------------------------------------------------------------------------------------------------------


def draw_rows(path: str | os.PathLike[str], rows: Sequence[Row], title: str) -> None:
    """Write a picture of all rows: each contender's time by npnets', with the quartiles of the rounds."""
    lines = sum(len(row.entries) + 1 for row in rows)
    figure = _picture.empty(9, 1.2 + 0.2 * lines, "bench")
    axes = figure.subplots()
    places, labels, y = [], [], 0.0
    for row in rows:
        places.append(y - (len(row.entries) - 1) / 2)
        labels.append(f"{row.title.replace(', ', chr(10), 1)}, {many(row.threads, 'thread')}")
        for entry in row.entries:
            length, error = _bar(entry)
            axes.barh(y, length, 0.8, xerr=error, color=COLOURS[entry.name], error_kw={"lw": 1})
            end, text = length + (error[1][0] if error else 0), f"{1e3 * entry.seconds.median:.1f} ms"
            axes.annotate(text, (end, y), (5, 0), textcoords="offset points", va="center", fontsize=8)
            y -= 1
        y -= 1
    axes.axvline(1, color=COLOURS[OURS], linewidth=1, linestyle=":")
    axes.set_yticks(places, labels, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("time, npnets = 1")
    axes.margins(x=0.15, y=0.5 / lines)
    axes.spines[["top", "right", "left"]].set_visible(False)
    names = dict.fromkeys(entry.name for row in rows for entry in row.entries)
    patch = need("matplotlib.patches", "bench", "the picture").Patch
    keys = [patch(color=COLOURS[name], label=name) for name in names]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    _picture.write(path, figure)


def _bar(entry: Entry) -> tuple[float, Any]:
    """Return the length of a bar and how far its error reaches to either side."""
    if entry.ratio is None:
        return 1.0, None
    length, low, high = 1 / entry.ratio.median, 1 / entry.ratio.high, 1 / entry.ratio.low
    return length, [[max(0, length - low)], [max(0, high - length)]]


Point = Mapping[str, Any]


def draw_scaling(path: str | os.PathLike[str], points: Sequence[Point], title: str) -> None:
    """Write a picture of time and memory for each image over the batch, and for each pixel over the side."""
    nets = list(dict.fromkeys(point["net"] for point in points))
    figure = _picture.empty(15, 3.4 * len(nets) + 0.6, "bench")
    grid = figure.subplots(len(nets), 4, squeeze=False)
    panels = (
        ("batch", "seconds", "ms an image", 1e3),
        ("batch", "grown", "MB an image", 2**-20),
        ("side", "seconds", "ns a pixel of the image", 1e9),
        ("side", "grown", "bytes a pixel of the image", 1),
    )
    for net, line in zip(nets, grid, strict=True):
        for axes, (series, value, unit, scale) in zip(line, panels, strict=True):
            chosen = [point for point in points if point["net"] == net and point["series"] == series]
            for name in dict.fromkeys(point["name"] for point in chosen):
                own = [point for point in chosen if point["name"] == name]
                pixels = [point["batch"] * (point["side"] ** 2 if series == "side" else 1) for point in own]
                axes.plot(
                    [point[series] for point in own],
                    [scale * point[value] / size for point, size in zip(own, pixels, strict=True)],
                    "o-", color=COLOURS[name], label=name, markersize=4,
                )  # fmt: skip
            if series == "batch":
                axes.set_xscale("log", base=2)
            ticks = sorted({point[series] for point in chosen})
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set_xlabel(series)
            axes.set_ylabel(unit)
            axes.grid(color=GREY, alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        line[0].set_title(net, loc="left", fontsize=10)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    _picture.write(path, figure)


# ---- JSON ------------------------------------------------------------------------------------------------------------


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write everything that was measured, at once: the old file or the new one, whatever happens."""
    text = json.dumps({"format": FORMAT, **content}, default=_plain, indent=1, allow_nan=False)
    replace(path, text.encode())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{value!r} cannot be written as JSON")
