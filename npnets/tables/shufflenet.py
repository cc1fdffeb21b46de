"""The tables of the ShuffleNet paper (arXiv 1707.01083v2) that say what something costs."""

from npnets.models.shufflenet_v1 import CHANNELS
from npnets.tables.figures import Figure, Row, Table, mobilenet, row, shufflenet

PAPER = "ShuffleNet"

CONV = ("conv", "weights")  # what table 1 counts
BUDGETS = {1.0: "140", 0.5: "38", 0.25: "13"}  # printed for each scale, whatever the groups
GROUPS = (1, 2, 3, 4, 8)

ERRORS = {
    1.0: ("33.6", "32.7", "32.6", "32.8", "32.4"),
    0.5: ("45.1", "44.4", "43.2", "41.6", "42.3"),
    0.25: ("57.1", "56.8", "55.0", "54.2", "52.7"),
}
SHUFFLES = {  # without and with shuffle
    (1.0, 3): ("34.5", "32.6"),
    (1.0, 8): ("37.6", "32.4"),
    (0.5, 3): ("45.7", "43.2"),
    (0.5, 8): ("48.1", "42.3"),
    (0.25, 3): ("56.3", "55.0"),
    (0.25, 8): ("56.5", "52.7"),
}
COMPLEXITY = ("143", "140", "137", "133", "137")


def tables() -> tuple[Table, ...]:
    """Return the tables, in the paper's order."""
    return (
        Table(PAPER, 1, "Architecture: stem, stages", "", tuple(map(_architecture, GROUPS, COMPLEXITY))),
        Table(
            PAPER, 2, "Number of groups", "error %",
            tuple(
                _scaled(scale, groups, error)
                for scale, errors in ERRORS.items()
                for groups, error in zip(GROUPS, errors, strict=True)
            ),
            "One budget for all groups. The paper does not say how stem and stages scale, so that most are quoted.",
        ),
        Table(
            PAPER, 3, "Without - with channel shuffle, which has no mult-adds", "error %, %",
            tuple(
                _scaled(*pair, " - ".join(errors))._replace(mult_adds=_exact(*pair))
                for pair, errors in SHUFFLES.items()
            ),
        ),
        Table(
            PAPER, 4, "Other structures in the place of the units", "error %",
            (
                *_structures("140", ("50.7", "37.3", "33.6", "33.3"), 1.0),
                _scaled(1.0, 8, "32.4"),
                *_structures("38", ("-", "48.8", "45.1", "46.0"), 0.5),
                _scaled(0.5, 4, "41.6"),
                *_structures("13", ("-", "63.7", "57.1", "65.2"), 0.25),
                _scaled(0.25, 8, "52.7"),
            ),
            "Xception-like is ShuffleNet with one group. The paper does not give the channels of the other structures.",
        ),
        Table(
            PAPER, 5, "ShuffleNet against MobileNet", "error %",
            (
                row("1.0 MobileNet-224", "29.4", "569", count=mobilenet()),
                row("ShuffleNet 2x, g=3", "26.3", "524", count=shufflenet(2, 3)),
                row("ShuffleNet 2x, g=3, SE", "24.7", "527"),
                row("0.75 MobileNet-224", "31.6", "325", count=mobilenet(0.75)),
                row("ShuffleNet 1.5x, g=3", "28.5", "292", count=shufflenet(1.5, 3)),
                row("0.5 MobileNet-224", "36.3", "149", count=mobilenet(0.5)),
                _scaled(1.0, 8, "32.4"),
                row("0.25 MobileNet-224", "49.4", "41", count=mobilenet(0.25)),
                _scaled(0.5, 4, "41.6"),
                row("ShuffleNet 0.5x, g=3, shallow", "42.8", "40"),
            ),
            "Here the classifier counts, unlike in table 1: with it 1x, g=8 has 138.4, and 140 is its budget.",
        ),
        Table(
            PAPER, 6, "Comparison to popular models", "error %",
            (
                row("VGG-16", "28.5", "15300"),
                row("ShuffleNet 2x, g=3", "26.3", "524", count=shufflenet(2, 3)),
                row("GoogLeNet", "31.3", "1500", note="MobileNets, table 8, has 1550."),
                _scaled(1.0, 8, "32.4"),
                row("AlexNet", "42.8", "720"),
                row("SqueezeNet", "42.5", "833", note="MobileNets, table 9, has 1700."),
                _scaled(0.5, 4, "41.6"),
            ),
        ),
        Table(
            PAPER, 8, "Time on a telephone (Snapdragon 820, one thread, 224 x 224)", "error %, ms",
            (
                row("ShuffleNet 0.5x, g=3", "43.2, 15.2", "38", count=shufflenet(0.5, 3)),
                _scaled(1.0, 3, "32.6, 37.8"),
                row("ShuffleNet 2x, g=3", "26.3, 108.8", "524", count=shufflenet(2, 3)),
                row("AlexNet", "42.8, 184.0", "720"),
                row("1.0 MobileNet-224", "29.4, 110.0", "569", count=mobilenet()),
            ),
            "The paper: a quarter of the mult-adds takes 1/2.6 of the time. `npnets tables --time` measures yours.",
        ),
    )  # fmt: skip


def _architecture(groups: int, complexity: str) -> Row:
    stem, stages = CHANNELS[1.0, groups]
    return row(f"g={groups}: {stem}; {'/'.join(map(str, stages))}", "", complexity, "", shufflenet(1, groups), CONV)


def _scaled(scale: float, groups: int, quality: str) -> Row:
    """Return a line with the budget of a scale, and what the network costs where its channels are known."""
    count = shufflenet(scale, groups) if (scale, groups) in CHANNELS else None
    return row(f"ShuffleNet {scale:g}x, g={groups}", quality, BUDGETS[scale], count=count, budget=True)


def _exact(scale: float, groups: int) -> Figure:
    return _scaled(scale, groups, "").mult_adds._replace(printed="")


def _structures(budget: str, errors: tuple[str, ...], scale: float) -> list[Row]:
    names = (f"{budget} M: VGG-like", "ResNet", "Xception-like", "ResNeXt")
    rows = [row(name, error, budget, budget=True) for name, error in zip(names, errors, strict=True)]
    rows[2] = _scaled(scale, 1, errors[2])._replace(label="Xception-like")
    return rows
