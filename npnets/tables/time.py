"""Where time really goes: mult-adds against measured time, by kind of layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from npnets import _picture, _text
from npnets._picture import BLUE, ORANGE
from npnets.bench import ours
from npnets.bench.ours import LayerTime
from npnets.bench.work import Work
from npnets.models import Network
from npnets.summary import kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETS = ("mobilenet", "shufflenet")
PROFILES = 3
PARTS = {"batch norm", "activation"}  # of the step before them, where layers are fused


class Spent(NamedTuple):
    """What the layers of a kind have of a network's mult-adds, bytes and seconds, for one image on one thread."""

    kind: str
    layers: int
    mult_adds: int
    moved: int
    seconds: float


class Measured(NamedTuple):
    """A network's layers by kind, run one by one, and fused as `npnets.compile` does it."""

    title: str
    apart: tuple[Spent, ...]
    fused: tuple[Spent, ...]


def measure(net: str, side: int = 224) -> Measured:
    """Measure a network on this machine, which takes a few seconds where all is compiled."""
    work = Work(net, 1, side)
    built, images = work.network(), work.images()
    # Other processes disturb a step for a while: of several medians the shortest is the least disturbed.
    rounds = [ours.profile(built, images) for _ in range(PROFILES)]
    fused = [min(step, key=lambda one: one.seconds) for step in zip(*rounds, strict=True)]
    return Measured(work.title, by_kind(built, ours.layers(built, images)), by_kind(built, fused))


def by_kind(net: Network, times: Sequence[LayerTime]) -> tuple[Spent, ...]:
    """Add up the times of each kind; a fused step counts by the convolutions and pools that it stands for."""
    layers = dict(net.layers())
    sums: dict[str, Spent] = {}
    for step in times:
        kinds = [kind(layers[name]) if name in layers else name for name in step.name.split(" + ")]
        name = " + ".join(one for one in dict.fromkeys(kinds) if len(kinds) == 1 or one not in PARTS)
        known = sums.get(name, Spent(name, 0, 0, 0, 0.0))
        sums[name] = Spent(
            name,
            known.layers + 1,
            known.mult_adds + step.mult_adds,
            known.moved + step.moved,
            known.seconds + step.seconds,
        )
    return tuple(sums.values())


def text(measured: Sequence[Measured]) -> Iterator[Any]:
    """Yield what the terminal shows: text, and tables of rich."""
    for one in measured:
        for how, spent in (("each layer by itself", one.apart), ("fused by npnets.compile", one.fused)):
            yield f"{one.title}, one thread: {how}\n"
            yield _table(spent)
            yield ""
    if len(measured) > 1:
        yield said(measured[0], measured[-1])


def draw(measured: Sequence[Measured], machine: str) -> "Figure":
    """Return a picture of each network's mult-adds and time by kind of layer, layer by layer.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    figure = _picture.empty(11, 4.6)
    for axes, one in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        total, fused = _total(one.apart), _total(one.fused)
        for shift, values, colour, name in (
            (-0.2, [spent.mult_adds / total.mult_adds for spent in one.apart], BLUE, "of the mult-adds"),
            (0.2, [spent.seconds / total.seconds for spent in one.apart], ORANGE, "of the time"),
        ):
            places = [shift + number for number in range(len(values))]
            bars = axes.barh(places, [100 * value for value in values], 0.36, color=colour, label=name)
            axes.bar_label(bars, [f"{100 * value:.1f}" if value else "" for value in values], padding=3, fontsize=8)
        axes.set_yticks(range(len(one.apart)), [spent.kind for spent in one.apart])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 110)
        axes.set_xlabel("%")
        axes.set_title(
            f"{one.title}\n{total.mult_adds / 1e6:.0f} M mult-adds, {1e3 * total.seconds:.1f} ms layer by layer, "
            f"{1e3 * fused.seconds:.1f} ms fused",
            fontsize=9.5,
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
    figure.suptitle(
        f"Where time goes: forward pass of one image on one thread, {machine}", fontsize=10, parse_math=False
    )
    return figure


def said(first: Measured, last: Measured) -> str:
    """Say how two networks compare: in mult-adds, in time, and why."""
    lines = []
    for how, one, other in (("layer by layer", first.apart, last.apart), ("fused", first.fused, last.fused)):
        fewer = _total(one).mult_adds / _total(other).mult_adds
        faster = _total(one).seconds / _total(other).seconds
        lines.append(f"{how}: {fewer:.1f} times fewer mult-adds take {faster:.1f} times less time")
    idle = [sum(spent.seconds for spent in one.apart if not spent.mult_adds) / _total(one.apart).seconds
            for one in (first, last)]  # fmt: skip
    lines.append(
        f"of the time layer by layer {100 * idle[0]:.0f} % and {100 * idle[1]:.0f} % goes into layers that have no "
        "mult-adds (batch norm, activation, shuffle, pools, shortcuts)"
    )
    lines.append(
        "bytes that the layers move for each mult-add: "
        + " and ".join(f"{_total(one.apart).moved / _total(one.apart).mult_adds:.2f}" for one in (first, last))
    )
    return "\n".join(lines)


def _table(spent: Sequence[Spent]) -> Any:
    headers = ["kind", "layers", "mult-adds", "%", "ms", "%", "GF/s", "GB/s"]
    made = _text.table(headers, (0,), (), "demos", "`npnets tables --time`")
    made.padding, made.show_edge = 0, False
    total = _total(spent)
    for one in spent:
        made.add_row(*_cells(one, total))
    made.add_section()
    made.add_row(*_cells(total, total), style="bold")
    return made


def _cells(one: Spent, total: Spent) -> list[str]:
    mult_adds = [f"{one.mult_adds:,}", f"{100 * one.mult_adds / total.mult_adds:.1f}"] if one.mult_adds else ["", ""]
    time = [f"{1e3 * one.seconds:.2f}", f"{100 * one.seconds / total.seconds:.1f}"]
    speed = f"{2e-9 * one.mult_adds / one.seconds:.1f}" if one.mult_adds else ""
    moved = f"{1e-9 * one.moved / one.seconds:.1f}" if one.moved else ""
    return [one.kind, str(one.layers), *mult_adds, *time, speed, moved]


def _total(spent: Sequence[Spent]) -> Spent:
    _, *figures = zip(*spent, strict=True)
    return Spent("total", *map(sum, figures))
