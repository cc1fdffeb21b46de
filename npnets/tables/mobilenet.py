"""The tables of the MobileNets paper (arXiv 1704.04861) that say what something costs."""

from collections.abc import Iterator
from fractions import Fraction

from npnets import formulas
from npnets.cost import LayerCost
from npnets.layers import Convolution, DepthwiseConvolution, Linear, PointwiseConvolution
from npnets.models.mobilenet_v1 import BODY, STEM
from npnets.tables.figures import Figure, Row, Table, mobilenet, row

PAPER = "MobileNets"

CONV = ("conv", "weights")  # what some entries count
SHALLOW = (*BODY[:6], *BODY[11:])  # without the five blocks of 512 channels at 14 x 14
DOGS = 120  # classes
HEAD = "No head explains 45 and 15: it would add the same to 40.8 at 224 and to 13.3 at 128."


def tables() -> tuple[Table, ...]:
    """Return the tables, in the paper's order."""
    return (
        _body(),
        _layer_types(),
        _one_layer(),
        Table(
            PAPER, 4, "Depthwise separable against full convolution", "top-1",
            (
                _full_convolutions(),
                row("MobileNet", "70.6", "569", "4.2", mobilenet()),
            ),
        ),
        Table(
            PAPER, 5, "Narrow against shallow", "top-1",
            (
                row("0.75 MobileNet", "68.4", "325", "2.6", mobilenet(0.75)),
                row("Shallow MobileNet", "65.3", "307", "2.9", mobilenet(rows=SHALLOW)),
            ),
        ),
        Table(
            PAPER, 6, "Width multiplier", "top-1",
            (
                row("1.0 MobileNet-224", "70.6", "569", "4.2", mobilenet()),
                row("0.75 MobileNet-224", "68.4", "325", "2.6", mobilenet(0.75)),
                row("0.5 MobileNet-224", "63.7", "149", "1.3", mobilenet(0.5)),
                row("0.25 MobileNet-224", "50.6", "41", "0.5", mobilenet(0.25)),
            ),
        ),
        Table(
            PAPER, 7, "Resolution", "top-1",
            (
                row("1.0 MobileNet-224", "70.6", "569", "4.2", mobilenet()),
                row("1.0 MobileNet-192", "69.1", "418", "4.2", mobilenet(side=192)),
                row("1.0 MobileNet-160", "67.2", "290", "4.2", mobilenet(side=160), CONV),
                row("1.0 MobileNet-128", "64.4", "186", "4.2", mobilenet(side=128)),
            ),
        ),
        Table(
            PAPER, 8, "Comparison to popular models", "top-1",
            (
                row("1.0 MobileNet-224", "70.6", "569", "4.2", mobilenet()),
                row("GoogLeNet", "69.8", "1550", "6.8"),
                row("VGG 16", "71.5", "15300", "138"),
            ),
        ),
        Table(
            PAPER, 9, "Smaller MobileNet, comparison to popular models", "top-1",
            (
                row("0.50 MobileNet-160", "60.2", "76", "1.32", mobilenet(0.5, 160), CONV),
                row("SqueezeNet", "57.5", "1700", "1.25"),
                row("AlexNet", "57.2", "720", "60"),
            ),
        ),
        Table(
            PAPER, 10, "Stanford Dogs", "dogs",
            (
                row("Inception V3", "84", "5000", "23.2"),
                _dogs("1.0 MobileNet-224", "83.3", "569", "3.3", 1, 224),
                _dogs("0.75 MobileNet-224", "81.9", "325", "1.9", 0.75, 224),
                _dogs("1.0 MobileNet-192", "81.9", "418", "3.3", 1, 192),
                _dogs("0.75 MobileNet-192", "80.5", "239", "1.9", 0.75, 192),
            ),
            "The mult-adds are those of ImageNet's 1000 classes, the parameters those of 120 breeds of dogs.",
        ),
        Table(
            PAPER, 11, "PlaNet (in the text beside the table)", "",
            (
                row("PlaNet, Inception V3", "", "5.74", "52", unit="G"),
                _planet(),
            ),
        ),
        Table(
            PAPER, 12, "Face attributes", "AP %",
            (
                _faces("1.0 MobileNet-224", "88.7", "568", "3.2", 1, 224),
                _faces("0.5 MobileNet-224", "88.1", "149", "0.8", 0.5, 224),
                _faces("0.25 MobileNet-224", "87.2", "45", "0.2", 0.25, 224, HEAD),
                _faces("1.0 MobileNet-128", "88.1", "185", "3.2", 1, 128),
                _faces("0.5 MobileNet-128", "87.7", "48", "0.8", 0.5, 128, "48.6 is cut here, not rounded."),
                _faces("0.25 MobileNet-128", "86.4", "15", "0.2", 0.25, 128, HEAD),
                row("Baseline", "86.9", "1600", "7.5", note="The text has 75 million parameters."),
            ),
            "Convolutions alone, without a head: the paper does not say how many attributes there are.",
        ),
        Table(
            PAPER, 13, "COCO object detection", "mAP %",
            tuple(
                row(*cells, unit="G")
                for cells in (
                    ("SSD 300, deeplab-VGG", "21.1", "34.9", "33.1"),
                    ("SSD 300, Inception V2", "22.0", "3.8", "13.7"),
                    ("SSD 300, MobileNet", "19.3", "1.2", "6.8"),
                    ("Faster-RCNN 300, VGG", "22.9", "64.3", "138.5"),
                    ("Faster-RCNN 300, Inception V2", "15.4", "118.2", "13.3"),
                    ("Faster-RCNN 300, MobileNet", "16.4", "25.2", "6.1"),
                    ("Faster-RCNN 600, VGG", "25.7", "149.6", "138.5"),
                    ("Faster-RCNN 600, Inception V2", "21.9", "129.6", "13.3"),
                    ("Faster-RCNN 600, MobileNet", "19.8", "30.5", "6.1"),
                )
            ),
            "Quoted: the paper does not say what the heads of the detectors are.",
        ),
        Table(
            PAPER, 14, "Face embeddings, distilled from FaceNet", "face %",
            (
                row("FaceNet", "83", "1600", "7.5"),
                _embedding("1.0 MobileNet-160", "79.4", "286", "4.9", 1, 160, "Convolutions alone have 289.7."),
                _embedding("1.0 MobileNet-128", "78.3", "185", "5.5", 1, 128),
                _embedding("0.75 MobileNet-128", "75.2", "166", "3.4", 0.75, 160, (
                    "This label stands twice in the table. 166 is what 0.75 MobileNet-160 has, which is computed here."
                )),
                _embedding("0.75 MobileNet-128", "72.5", "108", "3.8", 0.75, 128, "Convolutions have 106.0."),
            ),
            "Convolutions alone; the parameters are quoted, as the paper does not say what makes the embedding.",
        ),
    )  # fmt: skip


def _body() -> Table:
    """Return table 1, which prints shapes alone: each line's mult-adds and weights."""
    names = {Convolution: "Conv", DepthwiseConvolution: "Conv dw", PointwiseConvolution: "Conv", Linear: "FC"}
    rows = []
    for layer in mobilenet().layers:
        if type(layer.layer) in names:
            weight = layer.layer.params["weight"].shape
            shape = " x ".join(map(str, (1, 1, *weight) if type(layer.layer) is PointwiseConvolution else weight))
            stride = getattr(layer.layer, "window", {"stride": 1})["stride"]
            label = f"{names[type(layer.layer)]} / s{stride}, {shape}, from {layer.in_shape[0]}"
            rows.append(_line(label, layer))
    rows[-3] = rows[-3]._replace(
        note="The paper prints s2 for the last depthwise convolution, with 7 x 7 in and out: it is s1. With stride 2 "
        "the network would have 533.8 million mult-adds, and table 4 says 569."
    )
    return Table(PAPER, 1, "Body architecture: type / stride, kernel, side of the input", "", tuple(rows))


def _line(label: str, layer: LayerCost) -> Row:
    weights = layer.layer.params["weight"].size
    return Row(label, "", Figure("", layer.mult_adds, ""), Figure("", weights, "weights"))


def _layer_types() -> Table:
    """Return table 2: what kinds of layers have of all mult-adds and weights."""
    count = mobilenet()

    def line(label: str, kind: type, mult_adds: str, weights: str, note: str = "") -> Row:
        of_kind = [layer for layer in count.layers if type(layer.layer) is kind]
        shares = (
            Fraction(sum(layer.mult_adds for layer in of_kind), count.mult_adds),
            Fraction(sum(layer.layer.params["weight"].size for layer in of_kind), count.weights),
        )
        return Row(
            label,
            "",
            Figure(mult_adds, shares[0], "conv+fc", "%"),
            Figure(weights, shares[1], "weights", "%"),
            note,
        )

    return Table(
        PAPER, 2, "Resources by type of layer, %", "",
        (
            line("Conv 1x1", PointwiseConvolution, "94.86", "74.59"),
            line("Conv DW 3x3", DepthwiseConvolution, "3.06", "1.06"),
            line("Conv 3x3", Convolution, "1.19", "0.02",
                 "The first layer has 10838016 of 568740352 mult-adds, 1.91 %; the printed column adds up to 99.29."),
            line("Fully Connected", Linear, "0.18", "24.33"),
        ),
    )  # fmt: skip


def _one_layer() -> Table:
    """Return table 3: one layer, 512 to 512 channels at 14 x 14, by the formulas."""
    width, side = Fraction(3, 4), Fraction(10, 14)
    thin = int(width * 512)
    narrow = 9 * thin + thin**2
    return Table(
        PAPER, 3, "One layer (D_K = 3, M = N = 512, D_F = 14), cumulative", "",
        (
            _formula("Convolution", "462", formulas.standard(3, 512, 512, 14), "2.36", 9 * 512 * 512),
            _formula("Depthwise separable", "52.3", formulas.separable(3, 512, 512, 14), "0.27", 9 * 512 + 512**2),
            _formula("alpha = 0.75", "29.6", formulas.multipliers(3, 512, 512, 14, width), "0.15", narrow),
            _formula("rho = 0.714", "15.1", formulas.multipliers(3, 512, 512, 14, width, side), "0.15", narrow),
        ),
        "0.714 stands for 10/14.",
    )  # fmt: skip


def _formula(label: str, mult_adds: str, exact: int | Fraction, parameters: str, weights: int) -> Row:
    return Row(label, "", Figure(mult_adds, int(exact), "conv"), Figure(parameters, weights, "weights"))


def _full_convolutions() -> Row:
    """Return what MobileNet would cost with a standard convolution for each block."""
    shapes = list(_full_shapes())
    mult_adds = sum(formulas.standard(3, M, N, D_F) for M, N, D_F in shapes)
    weights = sum(9 * M * N for M, N, _ in shapes) + 1024 * 1000
    return Row("Conv MobileNet", "71.7", Figure("4866", mult_adds, "conv"), Figure("29.3", weights, "weights"))


def _full_shapes() -> Iterator[tuple[int, int, int]]:
    """Yield M, N and D_F of each convolution."""
    inputs, side = STEM, 112
    yield 3, inputs, side
    for outputs, stride in BODY:
        side //= stride
        yield inputs, outputs, side
        inputs = outputs


def _dogs(label: str, quality: str, mult_adds: str, parameters: str, width: float, side: int) -> Row:
    """Return a line of table 10: ImageNet's mult-adds, the parameters with another classifier."""
    printed = row(label, quality, mult_adds, "", mobilenet(width, side))
    weights = mobilenet(width, side, num_classes=DOGS).weights
    return printed._replace(parameters=Figure(parameters, weights, "weights"))


def _planet() -> Row:
    """Return what the text says of PlaNet with MobileNet: a final layer of 10 million weights, each used once."""
    final = 10_000_000
    return Row(
        "PlaNet, MobileNet",
        "",
        Figure("0.58", mobilenet().convolutions + final, "conv+fc"),
        Figure("13", mobilenet().weights - 1024 * 1000 + final, "weights"),
        'The text has "0.58 Million mult-adds": it is 0.58 billion.',
    )


def _faces(label: str, quality: str, mult_adds: str, parameters: str, width: float, side: int, note: str = "") -> Row:
    return row(label, quality, mult_adds, parameters, mobilenet(width, side), ("conv", "body"), note=note)


def _embedding(
    label: str, quality: str, mult_adds: str, parameters: str, width: float, side: int, note: str = ""
) -> Row:
    """Return a line of table 14, whose parameters are quoted."""
    line = _faces(label, quality, mult_adds, parameters, width, side, note)
    return line._replace(parameters=Figure(parameters))
